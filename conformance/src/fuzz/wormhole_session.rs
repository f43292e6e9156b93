//! One wormhole connection between a user and a peer that do as the input says.

use std::time::Duration;

use bytes::Bytes;
use trunkline_core::mux::{Mux as _, MuxEvent, Opened, Received, Sent, Side, StreamKey};
use trunkline_core::wormhole::{
    Config, Connection, Decoder, Excess, Frame, FrameOrder, FrameType, PeerIds,
};
use trunkline_core::{CloseReason, Direction, Instant, Machine as _};

use super::ops::Ops;
use super::wormhole_watch::Watch;

/// What no order of calls and no bytes of a peer must do to a wormhole connection.
///
/// The first byte chooses the settings; the rest are operations of the user, of the peer (frames, or
/// any bytes) and of time. What is written are frames in order and within credit, memory and queues
/// stay within their limits, the end comes once and last, and the same bytes in pieces bring the
/// same to the user.
pub fn wormhole_session(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let whole = play(*how, rest, usize::MAX);
    if how & 0x20 == 0 {
        // With a memory that is short, what is given up depends on the pieces.
        assert_eq!(play(*how, rest, 1 + usize::from(*how) % 7), whole);
    }
}

/// What a user sees: bytes and ends of streams, events, the end.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    lines: Vec<String>,
    closed: Option<CloseReason>,
}

fn play(how: u8, input: &[u8], size: usize) -> Seen {
    let side = if how & 1 == 0 { Side::Client } else { Side::Server };
    let mut config = if how & 2 == 0 { Config::default() } else { Config::reference() };
    config.window = if how & 4 == 0 { 262_144 } else { 100 };
    // The pieces of a read decide what a grant counts: fixed, so that both plays grant alike.
    config.limits.window = config.window as usize;
    config.frame_order = if how & 8 == 0 { FrameOrder::Fair } else { FrameOrder::Written };
    if how & 16 != 0 {
        config.limits.backlog = 3;
        config.limits.streams = 5;
        config.limits.replies = 4;
        config.limits.useless_burst = 20;
        config.limits.send_queue = 1_000;
        config.recv_limit = Some(2 * config.window as usize);
    }
    if how & 0x20 != 0 {
        config.limits.connection_memory = 100_000;
    }
    if how & 0x40 != 0 {
        config.excess = Excess::Strict;
    }
    let any_ids = config.peer_ids == PeerIds::Any;
    let window = config.window;
    let Ok(machine) = Connection::new(side, config) else { return Seen::default() };
    let mut player = Player {
        watch: (!any_ids).then(|| Watch::new(side, window)),
        heard: Decoder::new(usize::MAX),
        heads: Heads::default(),
        machine,
        now: Instant::from_millis(1),
        keys: Vec::new(),
        over: false,
        size,
        seen: Seen::default(),
    };
    let mut ops = Ops::new(input);
    while let Some(op) = ops.next() {
        player.step(op, &mut ops);
        player.check();
    }
    player.drain();
    player.seen.closed = player.machine.closed().cloned();
    player.seen
}

struct Player {
    machine: Connection,
    now: Instant,
    keys: Vec<StreamKey>,
    watch: Option<Watch>,
    /// The frames that the peer sent, for what they grant.
    heard: Decoder,
    heads: Heads,
    over: bool,
    size: usize,
    seen: Seen,
}

/// The heads of what the peer sent: a HANDSHAKE opens a stream before its payload, which means
/// nothing, is there.
#[derive(Default)]
struct Heads {
    head: Vec<u8>,
    skip: u32,
}

impl Heads {
    fn take(&mut self, bytes: &[u8], mut opened: impl FnMut(u32)) {
        for byte in bytes {
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            self.head.push(*byte);
            let &[_, kind, a, b, c, d, e, f, g, h] = self.head.as_slice() else { continue };
            self.skip = u32::from_be_bytes([e, f, g, h]);
            if FrameType(kind) == FrameType::HANDSHAKE {
                opened(u32::from_be_bytes([a, b, c, d]));
            }
            self.head.clear();
        }
    }
}

impl Player {
    fn step(&mut self, op: u8, ops: &mut Ops<'_>) {
        match op % 24 {
            0 => {
                let bytes = ops.bytes().to_vec();
                self.feed(&bytes);
            }
            1..=6 => {
                let frame = frame(ops);
                if let Ok(segment) = frame.encode() {
                    self.feed(&segment.into_bytes());
                }
            }
            7 => {
                if self.keys.len() < 64
                    && let Opened::Stream(key) = self.machine.open(self.now)
                {
                    self.keys.push(key);
                }
            }
            8 => {
                if let Some(key) = self.machine.accept(self.now) {
                    self.keys.push(key);
                }
            }
            9 | 10 => self.read(ops),
            11 | 12 => {
                let (key, size) = (self.key(ops), ops.size());
                let mut bytes = ops.pattern(size);
                if let Some(key) = key {
                    match self.machine.write(self.now, key, &mut bytes) {
                        Sent::Accepted(taken) => assert_eq!(taken + bytes.len(), size),
                        _ => assert_eq!(bytes.len(), size),
                    }
                }
            }
            13 => {
                if let Some(key) = self.key(ops) {
                    self.machine.finish(self.now, key);
                }
            }
            14 => {
                if let Some(key) = self.key(ops) {
                    self.machine.reset(self.now, key);
                }
            }
            15 => {
                if let Some(key) = self.key(ops) {
                    self.machine.forget(self.now, key);
                    assert_eq!(self.machine.read(self.now, key, 1), Received::Unknown);
                    self.keys.retain(|known| *known != key);
                }
            }
            16 => {
                self.machine.ping(self.now);
            }
            17 | 18 => self.transmit(1 + usize::from(ops.byte()) % 8),
            19 => self.events(),
            20 => {
                self.now = self.now + Duration::from_millis(u64::from(ops.short()));
                self.machine.handle_timeout(self.now);
            }
            21 => {
                if let (Some(key), size) = (self.key(ops), ops.size())
                    && let Some(reserved) = self.machine.reserve(self.now, key, size)
                {
                    let bytes = ops.pattern(reserved.len);
                    let frame = [reserved.head.into_bytes(), bytes].concat();
                    self.watch.iter_mut().for_each(|watch| watch.wrote(frame.clone().into()));
                }
            }
            22 => self.rarely(ops),
            _ => {
                if let Some(key) = self.key(ops) {
                    let drained = self.machine.drain(key, ops.size());
                    assert!(drained.is_none_or(|bytes| !bytes.is_empty()));
                }
            }
        }
    }

    /// What happens once in a connection's life.
    fn rarely(&mut self, ops: &mut Ops<'_>) {
        match ops.byte() {
            0..=3 => self.machine.close(self.now),
            4 => self.machine.abort(self.now),
            5..=8 => self.machine.handle_eof(self.now),
            9 => self.machine.handle_failure(self.now, Direction::Read, None),
            10 | 11 => self.machine.handle_failure(self.now, Direction::Write, Some(32)),
            12 => self.machine.go_away(self.now),
            _ => {}
        }
    }

    fn key(&self, ops: &mut Ops<'_>) -> Option<StreamKey> {
        let index = usize::from(ops.byte());
        self.keys.get(index % self.keys.len().max(1)).copied()
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.hear(bytes);
        for piece in bytes.chunks(self.size) {
            self.machine.handle_input(self.now, Bytes::copy_from_slice(piece));
        }
    }

    /// Notes what the peer grants, at the most: nothing is unread between the two of us.
    fn hear(&mut self, bytes: &[u8]) {
        let Some(watch) = &mut self.watch else { return };
        self.heard.push(Bytes::copy_from_slice(bytes));
        while let Ok(Some(frame)) = self.heard.poll() {
            if frame.kind == FrameType::WINDOW_UPDATE {
                watch.grant(frame.stream, frame.increment().unwrap_or(0).into());
            }
        }
        self.heads.take(bytes, |id| watch.opened(id));
    }

    /// Reads up to so many bytes, of however many pieces.
    fn read(&mut self, ops: &mut Ops<'_>) {
        let (Some(key), mut left) = (self.key(ops), ops.size()) else { return };
        let mut all = Vec::new();
        while left > 0 {
            match self.machine.read(self.now, key, left) {
                Received::Data(bytes) => {
                    assert!(!bytes.is_empty() && bytes.len() <= left);
                    left -= bytes.len();
                    all.extend_from_slice(&bytes);
                }
                Received::Blocked => break,
                other => {
                    self.seen.lines.push(format!("{other:?}"));
                    break;
                }
            }
        }
        self.seen.lines.push(format!("{key:?} {all:02x?}"));
    }

    fn transmit(&mut self, most: usize) {
        for _ in 0..most {
            let Some(segment) = self.machine.poll_transmit(self.now) else { return };
            let bytes = segment.into_bytes();
            self.watch.iter_mut().for_each(|watch| watch.wrote(bytes.clone()));
        }
    }

    fn events(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            assert!(!self.over, "{event:?} behind the end");
            self.over = matches!(event, MuxEvent::Closed(_));
            self.seen.lines.push(format!("{event:?}"));
        }
    }

    fn check(&self) {
        let (stats, limits) = (self.machine.stats(), &self.machine.config().limits);
        assert!(stats.queued_out <= limits.send_queue);
        assert!(stats.waiting <= limits.backlog.max(1));
        // The last chunk may go beyond, and what was in the budget's way is given up in the same call.
        assert!(stats.memory <= limits.connection_memory, "{stats:?}");
        let over = self.machine.closed().is_some();
        assert!(!over || !self.machine.wants_input() && self.machine.poll_timeout().is_none());
    }

    /// Everything that waits leaves, and after an abort the end is told, once.
    fn drain(&mut self) {
        self.transmit(usize::MAX);
        self.events();
        self.machine.abort(self.now);
        assert!(self.machine.poll_transmit(self.now).is_none());
        self.events();
        assert!(self.over && self.machine.closed().is_some());
        for key in std::mem::take(&mut self.keys) {
            self.machine.forget(self.now, key);
        }
        // One that failed before it was accepted waits and does not count.
        assert!(self.machine.stats().streams <= self.machine.stats().waiting);
    }
}

/// A frame of a peer that mostly knows the wire.
fn frame(ops: &mut Ops<'_>) -> Frame {
    let id = match ops.byte() {
        id @ 0..200 => u32::from(id % 9),
        id @ 200..250 => u32::from(id),
        id => u32::MAX - u32::from(255 - id),
    };
    match ops.byte() % 12 {
        0..=2 => {
            let size = ops.size();
            Frame::data(id, ops.pattern(size))
        }
        3 | 4 => Frame::open(id),
        5 => Frame::close(id),
        6 => Frame::window_update(id, u32::from(ops.short()) << (ops.byte() % 17)),
        7 => Frame::ping(ops.byte().into()),
        8 => Frame::pong(u32::from(ops.byte() % 8)),
        9 => Frame::error(id, ops.byte().into(), ops.bytes()),
        10 => Frame::new(FrameType(ops.byte() % 8), id, ops.bytes().to_vec()),
        _ => Frame::handshake(ops.bytes().to_vec()),
    }
}
