//! Laws of the session machines: what comes out depends on the bytes that came in and on nothing
//! else, and what was taken from a writer leaves in order and once.

mod common;

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;
use common::*;
use proptest::prelude::*;
use trunkline_core::agentproto::{
    Agent, AgentConfig, Config, FileOp, FileRequest, FileResponse, Frame, FrameType, LocalEvent,
    Read, Write,
};
use trunkline_core::{CloseReason, Direction, Instant, Machine};

/// Everything that can be seen of a session.
#[derive(Debug, PartialEq)]
struct Seen {
    streams: BTreeMap<u32, (Vec<u8>, Read)>,
    events: Vec<String>,
    sent: Vec<Frame>,
    closed: Option<String>,
    wants_input: bool,
    timeout: Option<Instant>,
}

/// How the bytes come, and what is done between them.
#[derive(Clone, Debug)]
struct Schedule {
    cuts: Vec<usize>,
    acts: Vec<(u8, u32, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    None,
    Eof,
    Failure,
}

struct Run<M: Side> {
    machine: M,
    streams: BTreeMap<u32, (Vec<u8>, Read)>,
    events: Vec<M::Event>,
    /// How many of the events are answered, if they ask for something.
    answered: usize,
    sent: Vec<Frame>,
    /// The input has ended.
    ended: bool,
}

impl<M: Side> Run<M>
where
    M::Event: Debug,
{
    fn new(machine: M) -> Self {
        let streams = (0..6).map(|stream| (stream, (Vec::new(), Read::Unknown))).collect();
        Self { machine, streams, events: Vec::new(), answered: 0, sent: Vec::new(), ended: false }
    }

    fn poll_event(&mut self) -> bool {
        let event = self.machine.poll_event();
        let found = event.is_some();
        self.events.extend(event.filter(|event| !M::is_wake(event)));
        found
    }

    fn transmit(&mut self) -> bool {
        let frame = send_one(&mut self.machine);
        let found = frame.is_some();
        self.sent.extend(frame);
        found
    }

    fn read(&mut self, stream: u32, max: usize) -> bool {
        let Some((bytes, last)) = self.streams.get_mut(&stream) else { return false };
        match self.machine.read(stream, max) {
            Read::Data(piece) => {
                bytes.extend_from_slice(&piece);
                true
            }
            other => {
                *last = other;
                false
            }
        }
    }

    fn act(&mut self, (act, stream, max): (u8, u32, usize)) {
        if act & 1 != 0 {
            self.poll_event();
        }
        if act & 2 != 0 {
            self.transmit();
        }
        if act & 4 != 0 {
            self.read(stream, max);
        }
        if act & 8 != 0 {
            while self.read(stream, max) {}
        }
        if act & 48 == 48 {
            while self.poll_event() {}
        }
    }

    /// Everything until nothing happens any more.
    fn settle(&mut self) {
        loop {
            let before = self.answered;
            let mut moved = self.poll_event();
            moved |= self.transmit();
            for stream in 0..6 {
                while self.read(stream, usize::MAX) {
                    moved = true;
                }
            }
            if moved {
                continue;
            }
            // The host, when nothing else happens: what it has not answered stops the link.
            let asked = self.events.split_off(self.answered);
            asked.iter().for_each(|event| self.machine.answer(event));
            self.answered += asked.len();
            self.events.extend(asked);
            if self.answered == before {
                break;
            }
        }
        let over = self.ended || self.machine.closed().is_some();
        assert_eq!(self.machine.wants_input(), !over, "nothing is in its way");
    }

    fn feed(&mut self, bytes: &[u8], schedule: &Schedule, end: End) {
        let mut left = bytes;
        let mut cuts = schedule.cuts.iter().cycle();
        let mut acts = schedule.acts.iter().cycle();
        while !left.is_empty() {
            let (piece, rest) = left.split_at((*cuts.next().unwrap()).min(left.len()));
            self.machine.handle_input(START, Bytes::copy_from_slice(piece));
            left = rest;
            if let Some(act) = acts.next() {
                self.act(*act);
            }
        }
        self.ended = end != End::None;
        match end {
            End::None => {}
            End::Eof => self.machine.handle_eof(START),
            End::Failure => self.machine.handle_failure(START, Direction::Read, Some(104)),
        }
        self.settle();
    }

    fn seen(self) -> Seen {
        Seen {
            events: self.events.iter().map(|event| plain(format!("{event:?}"))).collect(),
            closed: self.machine.closed().map(|reason| plain(format!("{reason:?}"))),
            wants_input: self.machine.wants_input(),
            timeout: self.machine.poll_timeout(),
            streams: self.streams,
            sent: self.sent.into_iter().map(plain_log).collect(),
        }
    }
}

/// The first bytes of what was no frame are as many as there were at that moment; a test of their
/// own looks at them.
fn plain(text: String) -> String {
    if text.contains("NotAFrame") { "not a frame".into() } else { text }
}

fn plain_log(mut frame: Frame) -> Frame {
    for attribute in frame.log.iter_mut().flat_map(|record| &mut record.attributes) {
        if attribute.starts_with("error=not an agentproto frame") {
            *attribute = "error=not a frame".into();
        }
    }
    frame
}

/// Limits that are reached all the time.
fn tight(mut config: Config) -> Config {
    config.limits.stream_queue = 300;
    config.limits.session_queue = 700;
    config.limits.replies = 4;
    config.limits.frame = 2_000;
    config
}

fn local_seen(config: &Config, bytes: &[u8], schedule: &Schedule, end: End) -> Seen {
    let mut run = Run::new(running_local(config.clone(), with_fds(&[3, 4])));
    run.feed(bytes, schedule, end);
    run.seen()
}

fn agent_seen(config: &Config, bytes: &[u8], schedule: &Schedule, end: End) -> Seen {
    let mut run = Run::new(Agent::new(config.clone()));
    run.feed(bytes, schedule, end);
    // The command, at the very end.
    for output in 1..6 {
        run.machine.finish(output);
    }
    run.machine.exited(3);
    run.settle();
    run.seen()
}

fn frame() -> impl Strategy<Value = Frame> {
    let bytes = prop::collection::vec(any::<u8>(), 0..120);
    prop_oneof![
        8 => (0..6_u32, bytes).prop_map(|(stream, bytes)| Frame::data(stream, bytes)),
        3 => (0..6_u32).prop_map(Frame::eof),
        3 => (-2..70_i64).prop_map(Frame::signal),
        3 => "[a-z]{0,20}".prop_map(|text| log(&text)),
        1 => (0..5_i64).prop_map(|code| Frame::exit(code, "bye")),
        1 => any::<u8>().prop_map(|kind| Frame::of(FrameType(kind))),
        2 => any::<u32>().prop_map(|id| {
            Frame::file_request(FileRequest { id, op: FileOp::STAT, ..FileRequest::default() })
        }),
        1 => any::<u32>().prop_map(|id| {
            Frame::file_response(FileResponse { id, ..FileResponse::default() })
        }),
        1 => Just(Frame::config(AgentConfig::default())),
    ]
}

/// Frames as bytes, some of which may have been changed.
fn traffic() -> impl Strategy<Value = Vec<u8>> {
    let frames = prop::collection::vec(frame(), 1..40);
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let changes = prop_oneof![2 => Just(vec![]), 1 => prop::collection::vec(change, 1..4)];
    (frames, changes).prop_map(|(frames, changes)| {
        let mut bytes = wire(&frames).to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes
    })
}

/// What an agent gets: mostly with a purpose in front.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        4 => Just(vec![Frame::exec(with_fds(&[3, 4]))]),
        2 => Just(vec![Frame::config(AgentConfig::default()), Frame::exec(with_fds(&[5]))]),
        2 => Just(vec![Frame::of(FrameType::FILE_REQUEST)]),
        1 => Just(vec![Frame::path_query(Default::default())]),
        1 => Just(vec![]),
    ];
    (first, traffic()).prop_map(|(first, more)| [&wire(&first)[..], &more].concat())
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let cut = prop_oneof![3 => 1..4_usize, 2 => 1..60_usize, 1 => 1..2_000_usize];
    let act = (any::<u8>(), 0..6_u32, prop_oneof![1..5_usize, 1..400_usize]);
    (prop::collection::vec(cut, 1..20), prop::collection::vec(act, 1..20))
        .prop_map(|(cuts, acts)| Schedule { cuts, acts })
}

fn config() -> impl Strategy<Value = Config> {
    prop_oneof![Just(Config::default()), Just(Config::reference())]
        .prop_flat_map(|config| prop_oneof![Just(config.clone()), Just(tight(config))])
}

fn at_once() -> Schedule {
    Schedule { cuts: vec![usize::MAX], acts: vec![(0, 0, 1)] }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_local_side_sees_the_same_however_the_bytes_come(
        config in config(),
        bytes in traffic(),
        schedule in schedule(),
        end in prop_oneof![Just(End::None), Just(End::Eof), Just(End::Failure)],
    ) {
        let whole = local_seen(&config, &bytes, &at_once(), end);
        prop_assert_eq!(&whole, &local_seen(&config, &bytes, &schedule, end));
        prop_assert!(whole.closed.is_some() || end == End::None);
    }

    #[test]
    fn an_agent_sees_the_same_however_the_bytes_come(
        config in config(),
        bytes in requests(),
        schedule in schedule(),
        ended in any::<bool>(),
    ) {
        let end = if ended { End::Eof } else { End::None };
        let whole = agent_seen(&config, &bytes, &at_once(), end);
        prop_assert_eq!(&whole, &agent_seen(&config, &bytes, &schedule, end));
        let exits = whole.sent.iter().filter(|frame| frame.kind == FrameType::EXIT).count();
        prop_assert!(exits <= 1);
    }

    #[test]
    fn an_agent_sees_the_same_up_to_a_failure_however_the_bytes_come(
        config in config(),
        bytes in requests(),
        schedule in schedule(),
    ) {
        let whole = agent_seen(&config, &bytes, &at_once(), End::Failure);
        prop_assert_eq!(&whole, &agent_seen(&config, &bytes, &schedule, End::Failure));
    }

    #[test]
    fn what_a_writer_got_rid_of_leaves_in_order_and_once(
        steps in prop::collection::vec((0..10_u8, 0..3_usize, 1..400_usize), 1..80),
    ) {
        let mut config = Config::default();
        (config.limits.stream_queue, config.limits.session_queue) = (600, 1_000);
        config.data_chunk = 90;
        let streams = [0, 3, 4];
        let mut local = running_local(config, with_fds(&[3, 4]));
        let mut model = [(); 3].map(|()| Vec::new());
        let mut got = [(); 3].map(|()| (Vec::new(), 0));
        let (mut finished, mut refused) = ([false; 3], [false; 3]);
        let mut numbers = (0..=u8::MAX).cycle();
        let place = |stream| streams.iter().position(|known| *known == stream).unwrap();
        let steps = steps.into_iter().chain(std::iter::repeat_n((9, 0, 0), 100));
        for (step, index, size) in steps {
            let stream = streams[index];
            match step {
                0..5 => {
                    let bytes: Vec<u8> = numbers.by_ref().take(size).collect();
                    match local.write(stream, &Bytes::from(bytes.clone())) {
                        Write::Accepted(taken) => model[index].extend_from_slice(&bytes[..taken]),
                        Write::Blocked => refused[index] = true,
                        other => prop_assert!(finished[index] && other == Write::Closed),
                    }
                    prop_assert!(local.stats().queued_out <= 1_000);
                }
                5 if size < 100 => {
                    prop_assert_eq!(local.finish(stream), !finished[index]);
                    finished[index] = true;
                }
                _ => {
                    let Some(frame) = send_one(&mut local) else { continue };
                    let (bytes, ends) = &mut got[place(frame.stream)];
                    prop_assert_eq!(*ends, 0);
                    prop_assert!(frame.data.len() <= 90);
                    *ends += usize::from(frame.kind == FrameType::EOF);
                    bytes.extend_from_slice(&frame.data.into_bytes());
                }
            }
            for event in events(&mut local) {
                let LocalEvent::Writable(stream) = event else { panic!("{event:?}") };
                refused[place(stream)] = false;
            }
        }
        prop_assert_eq!(refused, [false; 3], "all has left, and nobody may wait");
        prop_assert_eq!(local.stats().queued_out, 0);
        for index in 0..3 {
            prop_assert_eq!(&got[index], &(model[index].clone(), usize::from(finished[index])));
        }
    }
}

#[test]
fn what_was_no_frame_is_shown_alike_however_the_bytes_come() {
    let whole = {
        let mut local = running_local(Config::default(), exec("/bin/x"));
        local.handle_input(START, Bytes::from_static(b"Welcome to the machine"));
        local.closed().cloned()
    };
    let mut local = running_local(Config::default(), exec("/bin/x"));
    for byte in b"Welcome to the machine".chunks(1) {
        local.handle_input(START, Bytes::copy_from_slice(byte));
    }
    assert_eq!(local.closed(), whole.as_ref());
}

#[test]
fn a_frame_of_exactly_the_limit_passes_however_it_is_cut() {
    let mut config = Config::default();
    config.limits.frame = 100;
    // The text comes last, so that the frame ends with it.
    let frame = [&b"\xa2\x61t\x05\x61e\x78\x5c"[..], &[b'x'; 92]].concat();
    assert_eq!(frame.len(), 100);
    for cut in 1..frame.len() {
        let mut local = running_local(config.clone(), exec("/bin/x"));
        local.handle_input(START, Bytes::copy_from_slice(&frame[..cut]));
        local.handle_input(START, Bytes::copy_from_slice(&frame[cut..]));
        assert!(matches!(local.closed(), Some(CloseReason::Peer { .. })), "cut at {cut}");
    }
}
