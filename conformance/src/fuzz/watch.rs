//! What both session machines promise whatever happens to them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::agentproto::{
    Acceptance, Agent, AgentEvent, Config, Decoder, Frame, FrameType, Local, LocalEvent, LostInput,
    Read, Stats, Write,
};
use trunkline_core::{CloseReason, Instant, Machine, Segment};

/// What the two machines have in common beside [`Machine`].
pub(super) trait Session: Machine<Input = Bytes, Output = Segment> {
    fn read(&mut self, stream: u32, max: usize) -> Read;
    fn stats(&self) -> Stats;
    fn write(&mut self, stream: u32, data: &Bytes) -> Write;
    /// The reason that the last event of all gives.
    fn closing(event: &Self::Event) -> Option<&CloseReason>;
    /// The stream that an event says can be read, or can be written.
    fn wake(event: &Self::Event) -> Option<Wake>;
}

/// A wait that is over.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wake {
    Readable(u32),
    Writable(u32),
}

macro_rules! session {
    ($machine:ident $event:ident) => {
        impl Session for $machine {
            fn read(&mut self, stream: u32, max: usize) -> Read {
                Self::read(self, stream, max)
            }

            fn stats(&self) -> Stats {
                Self::stats(self)
            }

            fn write(&mut self, stream: u32, data: &Bytes) -> Write {
                Self::write(self, stream, data)
            }

            fn closing(event: &$event) -> Option<&CloseReason> {
                if let $event::Closed(reason) = event { Some(reason) } else { None }
            }

            fn wake(event: &$event) -> Option<Wake> {
                match event {
                    $event::Readable(stream) => Some(Wake::Readable(*stream)),
                    $event::Writable(stream) => Some(Wake::Writable(*stream)),
                    _ => None,
                }
            }
        }
    };
}

session! { Local LocalEvent }
session! { Agent AgentEvent }

/// The settings that a byte of an input chooses: bit 0 the original's, 1 tight limits, 2 deadlines
/// for the first frame and for requests, 3 and 4 what an agent does without input.
pub(super) fn settings(how: u8) -> Config {
    let mut config = if how & 1 == 0 { Config::default() } else { Config::reference() };
    if how & 2 != 0 {
        config.limits.stream_queue = 300;
        config.limits.session_queue = 700;
        config.limits.replies = 4;
        config.limits.in_flight = 3;
        config.limits.handles = 2;
        config.limits.read_size = 500;
        config.limits.frame = 4_000;
        config.limits.log_record = 60;
        config.limits.log_burst = 5;
        config.data_chunk = 90;
    }
    if how & 4 != 0 {
        config.answer_timeout = Some(Duration::from_secs(9));
        config.request_timeout = Some(Duration::from_secs(4));
    }
    match how & 24 {
        8 => config.lost_input = LostInput::EndStreams,
        16 => config.lost_input = LostInput::HangUp { grace: Duration::from_millis(700) },
        _ => {}
    }
    config
}

/// One stream towards the peer.
#[derive(Debug, Default)]
struct Outgoing {
    accepted: Vec<u8>,
    sent: usize,
    finished: bool,
    ended: bool,
    refused: bool,
}

/// One stream from the peer.
#[derive(Debug, Default)]
struct Incoming {
    read: Vec<u8>,
    /// A reader found nothing and was not woken since.
    waits: bool,
    forgotten: bool,
}

/// Watches a machine from outside.
pub(super) struct Watch {
    pub(super) config: Config,
    pub(super) now: Instant,
    closed: Option<CloseReason>,
    told_closed: bool,
    /// The input has ended.
    pub(super) ended: bool,
    /// The output has failed: what is queued goes nowhere.
    pub(super) muted: bool,
    /// What waited to be sent when the session was found closed.
    left: usize,
    /// Bytes of frames that the user handed over beside streams.
    pub(super) given: usize,
    outgoing: BTreeMap<u32, Outgoing>,
    incoming: BTreeMap<u32, Incoming>,
    /// Frames that left, by type.
    pub(super) kinds: BTreeMap<u8, usize>,
}

impl Watch {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            now: Instant::from_millis(1_000),
            closed: None,
            told_closed: false,
            ended: false,
            muted: false,
            left: 0,
            given: 0,
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            kinds: BTreeMap::new(),
        }
    }

    /// A stream that the peer can be sent bytes of.
    pub(super) fn open_out(&mut self, stream: u32) {
        self.outgoing.entry(stream).or_default();
    }

    /// A stream that the peer can send bytes of.
    pub(super) fn open_in(&mut self, stream: u32) {
        self.incoming.entry(stream).or_default();
    }

    /// What must hold after every step.
    pub(super) fn check(&mut self, machine: &impl Session) {
        let stats = machine.stats();
        let limits = &self.config.limits;
        assert!(stats.queued_in <= limits.session_queue + limits.frame, "{stats:?}");
        // Streams, control frames, and the frame that filled them; answers to late handles.
        let own = limits.session_queue + limits.frame + 100 * limits.in_flight;
        assert!(stats.queued_out <= limits.session_queue + own + self.given, "{stats:?}");
        match machine.closed() {
            Some(reason) => {
                assert!(!machine.wants_input(), "closed, and wants input");
                if self.closed.is_none() {
                    self.closed = Some(reason.clone());
                    self.left = stats.queued_out;
                }
                assert_eq!(self.closed.as_ref(), Some(reason), "the reason stays");
                assert!(stats.queued_out <= self.left, "queued after the end");
                self.left = stats.queued_out;
                assert_eq!(machine.poll_timeout(), None, "closed, and waits");
            }
            None => assert_eq!(self.closed, None, "closed stays"),
        }
        assert!(!(self.ended && machine.wants_input()), "wants input behind its end");
    }

    /// An event that was polled.
    pub(super) fn event<M: Session>(&mut self, machine: &M, event: &M::Event) {
        assert!(!self.told_closed, "an event behind the last one");
        if let Some(reason) = M::closing(event) {
            self.told_closed = true;
            assert_eq!(machine.closed(), Some(reason));
        }
        match M::wake(event) {
            Some(Wake::Readable(stream)) => {
                let known = self.incoming.get_mut(&stream).filter(|known| !known.forgotten);
                // A stream may be given up while its event waits.
                if let Some(incoming) = known {
                    incoming.waits = false;
                }
            }
            Some(Wake::Writable(stream)) => {
                let outgoing = self.outgoing.get_mut(&stream);
                assert!(outgoing.is_some_and(|known| {
                    known.refused = false;
                    true
                }));
            }
            None => {}
        }
    }

    /// Reads a stream once; says whether there were bytes.
    pub(super) fn read(&mut self, machine: &mut impl Session, stream: u32, max: usize) -> bool {
        let read = machine.read(stream, max);
        let Some(known) = self.incoming.get_mut(&stream).filter(|known| !known.forgotten) else {
            assert_eq!(read, Read::Unknown);
            return false;
        };
        match read {
            Read::Data(piece) => {
                assert!(!piece.is_empty() && piece.len() <= max.max(1));
                known.read.extend_from_slice(&piece);
                return true;
            }
            Read::Empty => known.waits = true,
            Read::Lost => assert!(machine.closed().is_some(), "lost, and goes on"),
            Read::End | Read::Unknown | _ => {}
        }
        false
    }

    /// What was read of a stream.
    pub(super) fn was_read(&self, stream: u32) -> &[u8] {
        self.incoming.get(&stream).map_or(&[], |known| &known.read)
    }

    pub(super) fn forget(&mut self, stream: u32) {
        if let Some(known) = self.incoming.get_mut(&stream) {
            known.forgotten = true;
        }
    }

    pub(super) fn is_forgotten(&self, stream: u32) -> bool {
        self.incoming.get(&stream).is_some_and(|known| known.forgotten)
    }

    /// Writes to a stream once; says how many bytes were taken.
    pub(super) fn write(&mut self, machine: &mut impl Session, stream: u32, data: &Bytes) -> usize {
        let before = machine.stats().queued_out;
        let written = machine.write(stream, data);
        let Some(known) = self.outgoing.get_mut(&stream) else {
            assert_eq!(written, Write::Unknown);
            return 0;
        };
        match written {
            Write::Accepted(taken) => {
                assert!(!known.finished && machine.closed().is_none());
                assert!(taken <= data.len());
                known.accepted.extend_from_slice(data.get(..taken).unwrap_or_default());
                known.refused |= taken < data.len();
                assert!(taken == 0 || machine.stats().queued_out <= before + taken + 64);
                return taken;
            }
            Write::Blocked => {
                assert!(!known.finished && !data.is_empty());
                known.refused = true;
            }
            Write::Unknown => unreachable!("a stream of the command is not known"),
            Write::Closed | _ => {}
        }
        0
    }

    pub(super) fn finish(&mut self, stream: u32) {
        if let Some(known) = self.outgoing.get_mut(&stream) {
            known.finished = true;
        }
    }

    /// A segment on its way out: one canonical frame, in its place.
    pub(super) fn segment(&mut self, segment: &Segment) -> Frame {
        let mut config = Config::default();
        config.acceptance = Acceptance::Canonical;
        let mut decoder = Decoder::<Frame>::new(&config);
        let bytes = segment.slices().concat();
        assert_eq!(bytes.len(), segment.len());
        decoder.push(bytes.into());
        let (frame, more) = (decoder.poll(), decoder.buffered());
        let Ok(Some(frame)) = frame else { unreachable!("no canonical frame: {frame:?}") };
        assert_eq!(more, 0, "a segment is one frame");
        *self.kinds.entry(frame.kind.0).or_default() += 1;
        if matches!(frame.kind, FrameType::DATA | FrameType::EOF) {
            self.stream_frame(&frame);
        }
        frame
    }

    fn stream_frame(&mut self, frame: &Frame) {
        let Some(known) = self.outgoing.get_mut(&frame.stream) else {
            unreachable!("a frame of stream {}", frame.stream)
        };
        assert!(!known.ended, "behind the end of stream {}", frame.stream);
        if frame.kind == FrameType::EOF {
            assert!(
                known.finished && known.sent == known.accepted.len(),
                "an end before the bytes"
            );
            known.ended = true;
            return;
        }
        let data = frame.data.clone().into_bytes();
        assert!(!data.is_empty() && data.len() <= self.config.data_chunk);
        let from = known.accepted.get(known.sent..known.sent + data.len());
        assert_eq!(from, Some(&data[..]), "bytes of stream {} out of order", frame.stream);
        known.sent += data.len();
    }

    /// Whether all that was written, ends included, has left.
    pub(super) fn all_sent(&self) -> bool {
        let sent =
            |known: &Outgoing| known.sent == known.accepted.len() && known.ended == known.finished;
        self.outgoing.values().all(sent)
    }

    /// Nothing is left to poll or to read: what must hold then.
    pub(super) fn settled(&self, machine: &impl Session) {
        assert_eq!(machine.closed().is_some(), self.told_closed, "closed, and not told");
        if self.closed.is_none() {
            for (stream, known) in &self.outgoing {
                assert!(!known.refused, "the writer of {stream} waits for ever");
            }
        }
    }

    /// A reader that waits must be woken before there is something to read.
    pub(super) fn wakes(&mut self, machine: &mut impl Session) {
        let waiting: Vec<u32> = self
            .incoming
            .iter()
            .filter(|(_, known)| known.waits && !known.forgotten)
            .map(|(stream, _)| *stream)
            .collect();
        for stream in waiting {
            let read = machine.read(stream, 1);
            let over = machine.closed().is_some();
            let idle = matches!(read, Read::Empty | Read::Unknown) || over;
            assert!(idle && !matches!(read, Read::Data(_)), "the reader of {stream} is not woken");
        }
    }
}
