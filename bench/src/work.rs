//! Loops over frames: what the codec scenario times and what the gate counts.

use std::hint::black_box;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use trunkline_core::agentproto::{
    Agent, AgentEvent, Config, DataView, Decoder, ExecRequest, Frame, Local, LocalEvent, Read,
    Write, data_segment, encode,
};
use trunkline_core::{Instant, Machine};

use crate::peers::{self, SerdeFrame};

/// Bytes of one read of a transport: as many frames as fit arrive together.
const READ: usize = 128 << 10;

/// One kind of work, done frame by frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Reads a frame in place.
    Scan,
    /// Takes a frame out of a decoder.
    Decode,
    /// Hands a frame through the local session to a reader.
    Local,
    /// Hands a frame through the agent's session to the command's input.
    Agent,
    /// Hands output of the command through the agent's session to the transport.
    Send,
    /// Encodes a head, with the payload beside it.
    Head,
    /// Encodes head and payload into one buffer.
    Whole,
    /// Decodes with ciborium.
    CiboriumDecode,
    /// Decodes with minicbor.
    MinicborDecode,
    /// Encodes with ciborium.
    CiboriumEncode,
    /// Encodes with minicbor.
    MinicborEncode,
}

impl Work {
    const ALL: [(Self, &'static str); 11] = [
        (Self::Scan, "scan"),
        (Self::Decode, "decode"),
        (Self::Local, "local"),
        (Self::Agent, "agent"),
        (Self::Send, "send"),
        (Self::Head, "head"),
        (Self::Whole, "whole"),
        (Self::CiboriumDecode, "ciborium-decode"),
        (Self::MinicborDecode, "minicbor-decode"),
        (Self::CiboriumEncode, "ciborium-encode"),
        (Self::MinicborEncode, "minicbor-encode"),
    ];

    /// Its name on a command line.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(work, _)| *work == self).map_or("", |(_, name)| name)
    }

    /// The work of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(work, _)| *work)
    }

    /// Does it to at least `frames` frames with `payload` bytes each.
    pub(crate) fn run(self, payload: usize, frames: usize, clock: Clock) -> Done {
        match self {
            Self::Scan => each(payload, frames, clock, |bytes| {
                DataView::at_front(bytes).expect("a frame").payload.len()
            }),
            Self::CiboriumDecode => each(payload, frames, clock, peers::ciborium_decode),
            Self::MinicborDecode => {
                each(payload, frames, clock, |bytes| peers::minicbor_decode(bytes).2.len())
            }
            Self::Decode => decode(payload, frames, clock),
            Self::Local => local(payload, frames, clock),
            Self::Agent => agent(payload, frames, clock),
            Self::Send => send(payload, frames, clock),
            Self::Head => head(payload, frames, clock),
            Self::Whole => whole(payload, frames, clock),
            Self::CiboriumEncode => ciborium_encode(payload, frames, clock),
            Self::MinicborEncode => minicbor_encode(payload, frames, clock),
        }
    }
}

/// What was done, and the CPU time that this thread took for it without its preparations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) frames: usize,
    pub(crate) cpu: Duration,
}

/// What a watch reads.
pub(crate) type Clock = fn() -> Duration;

/// CPU time of this thread: what others do on the machine does not count, only disturbs.
pub(crate) fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

/// Always the same time: under callgrind there is no clock that means anything.
pub(crate) const fn no_clock() -> Duration {
    Duration::ZERO
}

struct Watch {
    clock: Clock,
    start: Duration,
}

impl Watch {
    fn start(clock: Clock) -> Self {
        Self { clock, start: clock() }
    }

    fn stop(&self, frames: usize) -> Done {
        Done { frames, cpu: (self.clock)().saturating_sub(self.start) }
    }
}

/// One encoded frame.
fn frame(stream: u32, payload: usize) -> Bytes {
    data_segment(stream, Bytes::from(vec![7; payload])).into_bytes()
}

/// As many frames as one read brings, and their number.
fn chunk(stream: u32, payload: usize) -> (Bytes, usize) {
    let frame = frame(stream, payload);
    let count = (READ / frame.len()).max(1);
    (frame.repeat(count).into(), count)
}

/// Decodes the same frame again and again.
#[inline(never)]
fn each(payload: usize, frames: usize, clock: Clock, decode: impl Fn(&[u8]) -> usize) -> Done {
    let bytes = frame(1, payload);
    let watch = Watch::start(clock);
    for _ in 0..frames {
        assert!(decode(black_box(&bytes)) == payload);
    }
    watch.stop(frames)
}

#[inline(never)]
fn decode(payload: usize, frames: usize, clock: Clock) -> Done {
    let (chunk, _) = chunk(1, payload);
    let mut decoder: Decoder<Frame> = Decoder::new(&Config::default());
    let mut done = 0;
    let watch = Watch::start(clock);
    while done < frames {
        decoder.push(black_box(&chunk).clone());
        while let Some(frame) = decoder.poll().expect("frames") {
            assert!(black_box(&frame).stream == 1);
            done += 1;
        }
    }
    watch.stop(done)
}

/// The command that the sessions pretend to run.
fn request() -> ExecRequest {
    ExecRequest { path: "cat".into(), argv: Some(vec!["cat".into()]), ..ExecRequest::default() }
}

#[inline(never)]
fn local(payload: usize, frames: usize, clock: Clock) -> Done {
    let (chunk, per_chunk) = chunk(1, payload);
    let mut local = Local::new(Config::default());
    local.exec(Instant::ORIGIN, request(), None).expect("a new session");
    while local.poll_transmit(Instant::ORIGIN).is_some() {}
    let (mut done, mut bytes) = (0, 0);
    let watch = Watch::start(clock);
    while done < frames {
        assert!(local.wants_input());
        local.handle_input(Instant::ORIGIN, black_box(&chunk).clone());
        while let Some(event) = local.poll_event() {
            assert!(matches!(event, LocalEvent::Readable(1)));
            while let Read::Data(data) = local.read(1, usize::MAX) {
                bytes += black_box(data).len();
            }
        }
        done += per_chunk;
    }
    let result = watch.stop(done);
    assert!(bytes == done * payload);
    result
}

/// An agent whose command runs.
fn running() -> Agent {
    let mut agent = Agent::new(Config::default());
    let exec = encode(&Frame::exec(request())).expect("short lists").into_bytes();
    agent.handle_input(Instant::ORIGIN, exec);
    assert!(matches!(agent.poll_event(), Some(AgentEvent::Exec(..))));
    agent.started(1);
    while agent.poll_transmit(Instant::ORIGIN).is_some() {}
    agent
}

#[inline(never)]
fn agent(payload: usize, frames: usize, clock: Clock) -> Done {
    let (chunk, per_chunk) = chunk(0, payload);
    let mut agent = running();
    let (mut done, mut bytes) = (0, 0);
    let watch = Watch::start(clock);
    while done < frames {
        assert!(agent.wants_input());
        agent.handle_input(Instant::ORIGIN, black_box(&chunk).clone());
        while let Some(event) = agent.poll_event() {
            assert!(matches!(event, AgentEvent::Readable(0)));
            while let Read::Data(data) = agent.read(0, usize::MAX) {
                bytes += black_box(data).len();
            }
        }
        done += per_chunk;
    }
    let result = watch.stop(done);
    assert!(bytes == done * payload);
    result
}

/// Each write of the command's becomes one frame, or several where it is larger than a frame.
#[inline(never)]
fn send(payload: usize, frames: usize, clock: Clock) -> Done {
    let data = Bytes::from(vec![7; payload]);
    let mut agent = running();
    let mut done = 0;
    let watch = Watch::start(clock);
    while done < frames {
        let mut rest = black_box(&data).clone();
        while !rest.is_empty() {
            let Write::Accepted(count) = agent.write(1, &rest) else { panic!("no room") };
            rest.advance(count);
            while let Some(segment) = agent.poll_transmit(Instant::ORIGIN) {
                black_box(&segment);
                done += 1;
            }
        }
        // A write beyond the room raises an event that there is room again.
        while agent.poll_event().is_some() {}
    }
    watch.stop(done)
}

#[inline(never)]
fn head(payload: usize, frames: usize, clock: Clock) -> Done {
    // What is shared costs a count up and down, which is the payload's affair: static bytes do not.
    let data: &'static [u8] = Box::leak(vec![7; payload].into_boxed_slice());
    let watch = Watch::start(clock);
    for _ in 0..frames {
        let segment = data_segment(black_box(1), Bytes::from_static(black_box(data)));
        black_box(&segment);
    }
    watch.stop(frames)
}

#[inline(never)]
fn whole(payload: usize, frames: usize, clock: Clock) -> Done {
    let data = Bytes::from(vec![7; payload]);
    let mut buffer = Vec::new();
    let watch = Watch::start(clock);
    for _ in 0..frames {
        buffer.clear();
        let segment = data_segment(black_box(1), data.clone());
        for part in segment.slices() {
            buffer.extend_from_slice(part);
        }
        black_box(&buffer);
    }
    watch.stop(frames)
}

#[inline(never)]
fn ciborium_encode(payload: usize, frames: usize, clock: Clock) -> Done {
    let frame = SerdeFrame { d: vec![7; payload], s: 1, t: 2 };
    let mut buffer = Vec::new();
    let watch = Watch::start(clock);
    for _ in 0..frames {
        peers::ciborium_encode(black_box(&frame), &mut buffer);
        black_box(&buffer);
    }
    watch.stop(frames)
}

#[inline(never)]
fn minicbor_encode(payload: usize, frames: usize, clock: Clock) -> Done {
    let data = vec![7; payload];
    let mut buffer = Vec::new();
    let watch = Watch::start(clock);
    for _ in 0..frames {
        peers::minicbor_encode(black_box(1), black_box(&data), &mut buffer);
        black_box(&buffer);
    }
    watch.stop(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_work_does_at_least_what_was_asked() {
        for (work, name) in Work::ALL {
            assert_eq!(Work::named(name), Some(work));
            for payload in [1, 64, 70_000] {
                assert!(work.run(payload, 10, thread_cpu).frames >= 10, "{name}, {payload} bytes");
            }
        }
    }
}
