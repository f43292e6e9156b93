//! The local side against a peer that may do anything: `docs/protocols/agentproto.md` sections 6 to
//! 8, 10 and 15.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::agentproto::{
    AgentConfig, Config, Decoder, Frame, FrameType, Item, LateData, Local, LocalEvent, Misuse,
    PathQuery, Read,
};
use trunkline_core::{Direction, Instant, Machine};

use super::frames::{EXTRA, exec, frame, request};
use super::ops::Ops;
use super::watch::{Watch, settings};

/// A local side driven by operations.
///
/// Input: a byte of settings, a byte for the session's purpose (0 a command, 1 a query, 2 files, 3
/// none), then operations: the user's calls, bytes and frames of the peer, polls in any order, time,
/// and cuts of either direction.
///
/// Holds: what every machine promises (one canonical frame a segment, bytes out in order and once,
/// bounded queues, a closed session stays closed and is told once); what is read of a stream is what
/// the peer sent of it; every request has one outcome; no deadline lies in the past; nobody waits
/// for an event that never comes.
///
/// # Panics
///
/// When one of these is broken.
pub fn agentproto_local(input: &[u8]) {
    let Some(([how, purpose], operations)) = input.split_first_chunk::<2>() else { return };
    let mut session = Driven::new(settings(*how), purpose % 4);
    let mut ops = Ops::new(operations);
    while let Some(op) = ops.next() {
        session.step(op, &mut ops);
        session.watch.check(&session.local);
    }
    session.settle();
    if !session.watch.ended {
        session.end_input(None);
        session.settle();
        assert!(session.local.closed().is_some(), "the input has ended");
    }
    assert!(session.waiting.is_empty(), "requests without an outcome: {:?}", session.waiting);
}

/// What the peer has said, read apart from the machine.
struct Peer {
    decoder: Decoder<Frame>,
    streams: BTreeMap<u32, Vec<u8>>,
    ended: BTreeSet<u32>,
    late_data: LateData,
    exited: bool,
}

impl Peer {
    fn says(&mut self, bytes: &Bytes) {
        self.decoder.push(bytes.clone());
        while let Ok(Some(frame)) = self.decoder.poll() {
            let drops = self.late_data == LateData::Drop && self.ended.contains(&frame.stream);
            match frame.kind {
                _ if self.exited => {}
                FrameType::DATA if !drops => {
                    let stream = self.streams.entry(frame.stream).or_default();
                    stream.extend_from_slice(&frame.data.into_bytes());
                }
                FrameType::EOF => drop(self.ended.insert(frame.stream)),
                FrameType::EXIT => self.exited = true,
                _ => {}
            }
        }
    }
}

struct Driven {
    local: Local,
    watch: Watch,
    peer: Peer,
    purpose: u8,
    /// Requests that were sent, and had no outcome yet.
    waiting: BTreeSet<u32>,
    /// The user ended the session, or a deadline did: what arrived may not have been looked at.
    cut_short: bool,
    /// What was queued may have been thrown away.
    discarded: bool,
    /// A request was refused, and nobody was told of room since.
    refused: bool,
}

impl Driven {
    fn new(config: Config, purpose: u8) -> Self {
        let mut watch = Watch::new(&config);
        let mut local = Local::new(config.clone());
        let started = match purpose {
            0 => {
                let cfg = AgentConfig { env_keep: Some(vec!["A*".into()]), env_remove: None };
                [1, 2].into_iter().chain(EXTRA).for_each(|stream| watch.open_in(stream));
                [0].into_iter().chain(EXTRA).for_each(|stream| watch.open_out(stream));
                local.exec(watch.now, exec(), Some(cfg))
            }
            1 => local.query_paths(watch.now, PathQuery::default(), None),
            _ => Ok(()),
        };
        assert_eq!(started, Ok(()));
        watch.given = 1_000;
        let peer = Peer {
            decoder: Decoder::new(&config),
            streams: BTreeMap::new(),
            ended: BTreeSet::new(),
            late_data: config.late_data,
            exited: false,
        };
        let waiting = BTreeSet::new();
        Self {
            local,
            watch,
            peer,
            purpose,
            waiting,
            cut_short: false,
            discarded: false,
            refused: false,
        }
    }

    fn step(&mut self, op: u8, ops: &mut Ops<'_>) {
        match op {
            0..50 => self.input(Bytes::copy_from_slice(ops.bytes())),
            50..100 => {
                // What came from a peer is at most so long: longer ones never end here.
                let bytes = frame(ops).to_bytes().unwrap_or_default();
                let cut = ops.size().min(bytes.len());
                let (one, two) = bytes.split_at(cut);
                self.input(Bytes::copy_from_slice(one));
                self.input(Bytes::copy_from_slice(two));
            }
            100..120 => drop(self.poll_event()),
            120..140 => drop(self.transmit()),
            140..160 => {
                let (stream, max) = (ops.stream(), ops.size());
                self.watch.read(&mut self.local, stream, max);
            }
            160..180 => {
                let (stream, size) = (ops.stream(), ops.size());
                let data = ops.pattern(size);
                self.watch.write(&mut self.local, stream, &data);
            }
            180..186 => {
                let stream = ops.stream();
                if self.local.finish(stream) {
                    self.watch.finish(stream);
                }
            }
            186..192 => self.signal(i32::from(ops.byte())),
            192..207 => self.request(ops),
            207..209 => self.refused |= !self.local.request_room(),
            209..212 => self.close_handle(u32::from(ops.byte())),
            212..222 => self.cancel(u32::from(ops.byte())),
            222..232 => self.time_passes(Duration::from_millis(u64::from(ops.short()))),
            232..236 => {
                let stream = ops.stream();
                self.local.forget(stream);
                self.watch.forget(stream);
            }
            236..239 => self.end_input(ops.byte().checked_sub(100)),
            239..241 => self.fail_output(ops.byte()),
            241 => {
                self.cut_short |= self.local.closed().is_none();
                self.local.close();
            }
            242 => {
                self.cut_short |= self.local.closed().is_none();
                self.discarded = true;
                self.local.abort();
            }
            243..246 => self.misuse(),
            246.. => self.settle(),
        }
    }

    fn input(&mut self, bytes: Bytes) {
        if !self.watch.ended && self.local.closed().is_none() && self.purpose == 0 {
            self.peer.says(&bytes);
        }
        self.local.handle_input(self.watch.now, bytes);
    }

    fn end_input(&mut self, os_error: Option<u8>) {
        self.watch.ended = true;
        match os_error {
            None => self.local.handle_eof(self.watch.now),
            Some(number) => {
                let number = Some(i32::from(number));
                self.local.handle_failure(self.watch.now, Direction::Read, number);
            }
        }
    }

    fn fail_output(&mut self, number: u8) {
        self.watch.muted = true;
        self.discarded = true;
        self.local.handle_failure(self.watch.now, Direction::Write, Some(i32::from(number)));
    }

    fn poll_event(&mut self) -> bool {
        let Some(event) = self.local.poll_event() else { return false };
        self.watch.event(&self.local, &event);
        match event {
            LocalEvent::Response(response) => {
                assert!(self.waiting.remove(&response.id), "a second outcome of {}", response.id);
            }
            LocalEvent::RequestLost(id) | LocalEvent::RequestTimedOut(id) => {
                assert!(self.waiting.remove(&id), "a second outcome of {id}");
            }
            LocalEvent::RequestRoom => {
                assert!(std::mem::take(&mut self.refused), "nobody was refused");
            }
            LocalEvent::Log(record) => {
                let length: usize = record.attributes.iter().map(String::len).sum();
                assert!(record.message.len() + length <= self.watch.config.limits.log_record);
            }
            LocalEvent::Exited { .. } => assert!(matches!(self.purpose, 0 | 2 | 3)),
            LocalEvent::Closed(_) => assert!(self.waiting.is_empty(), "requests without outcome"),
            _ => {}
        }
        true
    }

    fn transmit(&mut self) -> bool {
        let Some(segment) = self.local.poll_transmit(self.watch.now) else { return false };
        assert!(!self.watch.muted, "sent although the output has failed");
        let first = self.watch.kinds.is_empty();
        let frame = self.watch.segment(&segment);
        match frame.kind {
            FrameType::CONFIG => assert!(first && self.purpose == 0),
            FrameType::EXEC => assert_eq!(self.watch.kinds.get(&8), Some(&1), "CONFIG, then EXEC"),
            FrameType::PATH_QUERY => assert!(first && self.purpose == 1),
            FrameType::DATA | FrameType::EOF | FrameType::SIGNAL => {
                assert_eq!(self.watch.kinds.get(&1), Some(&1), "behind EXEC");
            }
            FrameType::FILE_REQUEST => assert!(self.purpose >= 2),
            kind => unreachable!("a local side sends no frame of type {}", kind.0),
        }
        true
    }

    fn signal(&mut self, number: i32) {
        let queued = self.local.stats().queued_out;
        match self.local.signal(number) {
            Ok(()) => assert!(self.purpose == 0 && self.local.closed().is_none()),
            Err(_) => assert_eq!(self.local.stats().queued_out, queued, "refused, and queued"),
        }
    }

    fn request(&mut self, ops: &mut Ops<'_>) {
        let request = request(ops);
        let size = request.data.len() + request.path.len() + 200;
        match self.local.request(request) {
            Ok(id) => {
                assert!(id != 0 && self.waiting.insert(id), "number {id} is taken");
                assert!(self.purpose >= 2 && self.local.closed().is_none());
                self.watch.given += size;
            }
            Err(Misuse::Closed) => assert!(self.local.closed().is_some() || self.watch.muted),
            Err(Misuse::AlreadyStarted) => assert!(self.purpose < 2),
            Err(Misuse::Busy) => self.refused = true,
            Err(Misuse::TooLarge { .. }) => {}
            Err(other) => unreachable!("{other}"),
        }
        assert!(self.local.in_flight() <= self.watch.config.limits.in_flight);
        assert!(self.local.in_flight() <= self.waiting.len());
    }

    fn close_handle(&mut self, handle: u32) {
        match self.local.close_handle(handle) {
            Ok(()) => {
                assert!(self.purpose >= 2 && self.local.closed().is_none());
                self.watch.given += 200;
            }
            Err(Misuse::Closed) => assert!(self.local.closed().is_some() || self.watch.muted),
            // Before the first request there is nothing to close.
            Err(other) => assert_eq!(other, Misuse::NotStarted),
        }
    }

    fn cancel(&mut self, id: u32) {
        if self.local.cancel(id) {
            assert!(self.waiting.remove(&id), "{id} had its outcome");
        }
    }

    fn time_passes(&mut self, time: Duration) {
        self.watch.now = self.watch.now + time;
        let was_closed = self.local.closed().is_some();
        self.local.handle_timeout(self.watch.now);
        self.cut_short |= !was_closed && self.local.closed().is_some();
        let next = self.local.poll_timeout();
        assert!(next.is_none_or(|at| at > self.watch.now), "a deadline in the past");
    }

    /// Calls that make no sense now change nothing.
    fn misuse(&mut self) {
        let stats = self.local.stats();
        if self.purpose < 2 || self.local.closed().is_some() {
            assert!(self.local.exec(Instant::ORIGIN, exec(), None).is_err());
            assert!(self.local.query_paths(Instant::ORIGIN, PathQuery::default(), None).is_err());
        }
        assert!(!self.local.finish(77));
        assert_eq!(self.local.read(77, 1), Read::Unknown);
        assert_eq!(self.local.write_room(77), 0);
        assert_eq!(self.local.stats(), stats);
    }

    /// Polls and reads until nothing comes any more.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            while self.poll_event() {
                moved = true;
            }
            while self.transmit() {
                moved = true;
            }
            for stream in [1, 2].into_iter().chain(EXTRA) {
                while self.watch.read(&mut self.local, stream, usize::MAX) {
                    moved = true;
                }
            }
            self.watch.check(&self.local);
            if !moved {
                break;
            }
        }
        self.watch.settled(&self.local);
        self.watch.wakes(&mut self.local);
        let over = self.watch.ended || self.local.closed().is_some();
        assert_eq!(self.local.wants_input(), !over, "nothing is in its way");
        assert!(!self.watch.ended || self.local.closed().is_some(), "the input has ended");
        if self.local.closed().is_none() {
            assert!(self.discarded || self.watch.all_sent(), "something is never sent");
        }
        if self.refused && self.local.closed().is_none() {
            assert!(!self.local.request_room(), "there is room, and nobody was told");
        }
        self.compare();
    }

    /// What was read is what the peer sent.
    fn compare(&self) {
        for stream in [1, 2].into_iter().chain(EXTRA) {
            let said = self.peer.streams.get(&stream).map_or(&[][..], Vec::as_slice);
            let read = self.watch.was_read(stream);
            assert!(said.starts_with(read), "stream {stream} was not sent so");
            if !self.cut_short && !self.watch.is_forgotten(stream) {
                assert_eq!(read.len(), said.len(), "bytes of stream {stream} are missing");
            }
        }
    }
}
