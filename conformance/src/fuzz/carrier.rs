//! Messages and operations, in any order, at an end of yamux in messages.

use std::time::Duration;

use bytes::Bytes;
use trunkline_core::carrier::{Config, OverMessages};
use trunkline_core::mux::{Mux as _, MuxEvent, Opened, Received, Side, StreamKey};
use trunkline_core::yamux::{self, Connection};
use trunkline_core::{CloseFrame, Direction, Instant, Machine as _, Message};

use super::ops::Ops;

/// When everything begins.
const START: Instant = Instant::from_millis(1_000);

/// What no peer, transport or user may make of a carrier and the multiplexer in it.
///
/// The first byte chooses the side and the settings, the second what the rest is: bytes, which
/// arrive in other messages each time and must give the same, or operations.
///
/// Holds: nothing is sent behind a close, and no message is empty but pings and pongs; once it is
/// over it stays so, for the same reason, wants nothing and has no deadline; the multiplexer is
/// over with it, and told it once.
///
/// # Panics
///
/// When one of these is broken.
pub fn carrier(input: &[u8]) {
    let [how, what, rest @ ..] = input else { return };
    if what % 2 == 0 {
        let play = |size| arrive(*how, rest, size);
        let size = usize::from(what / 2) + 1;
        assert_eq!(play(usize::MAX), play(size), "in messages of {size}");
    } else {
        operate(*how, &mut Ops::new(rest));
    }
}

fn end(how: u8) -> OverMessages<Connection> {
    let side = if how & 1 == 0 { Side::Server } else { Side::Client };
    let (mux, mut carrier) = match how & 2 {
        0 => (yamux::Config::agent_tunnel(), Config::default()),
        _ => (yamux::Config::agent_tunnel_reference(), Config::reference(side)),
    };
    if how & 4 != 0 {
        carrier.max_message = 300;
        carrier.answers_pings = false;
    }
    match Connection::new(side, mux) {
        Ok(machine) => OverMessages::new(machine, carrier),
        Err(_) => std::process::abort(),
    }
}

/// Bytes in messages of a size, then the end: the streams' bytes and ends, and why it is over.
fn arrive(how: u8, bytes: &[u8], size: usize) -> (Vec<(Vec<u8>, String)>, String) {
    let mut end = end(how & !4);
    let mut leaves = Leaves::default();
    for piece in bytes.chunks(size.min(bytes.len().max(1))) {
        end.handle_input(START, Message::Binary(Bytes::copy_from_slice(piece)));
        leaves.all(&mut end, START);
    }
    let mut keys = Vec::new();
    while let Some(key) = end.machine_mut().accept(START) {
        keys.push(key);
    }
    end.handle_eof(START);
    leaves.all(&mut end, START);
    let mut streams = Vec::new();
    for key in keys {
        let mut bytes = Vec::new();
        let ended = loop {
            match end.machine_mut().read(START, key, 4_096) {
                Received::Data(piece) => bytes.extend(piece),
                other => break format!("{other:?}"),
            }
        };
        streams.push((bytes, ended));
    }
    // One that broke the wire may still wait for the peer's close: there is none behind the end.
    assert!(end.closed().is_some(), "input has ended, and it goes on");
    (streams, format!("{:?}", end.closed()))
}

/// What leaves an end, and what must not.
#[derive(Default)]
struct Leaves {
    closed: bool,
}

impl Leaves {
    fn one(&mut self, end: &mut OverMessages<Connection>, now: Instant) -> bool {
        let Some(message) = end.poll_transmit(now) else { return false };
        assert!(!self.closed, "{message:?} behind a close");
        match &message {
            Message::Binary(bytes) => assert!(!bytes.is_empty(), "a message of nothing"),
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => self.closed = true,
            other => unreachable!("{other:?} is sent"),
        }
        true
    }

    fn all(&mut self, end: &mut OverMessages<Connection>, now: Instant) {
        while self.one(end, now) {}
    }
}

fn message(ops: &mut Ops<'_>) -> Message {
    match ops.byte() {
        0..=5 => Message::Text(Bytes::copy_from_slice(ops.bytes())),
        6..=20 => Message::Ping(Bytes::copy_from_slice(ops.bytes())),
        21..=35 => Message::Pong(Bytes::copy_from_slice(ops.bytes())),
        36..=38 => Message::Close(None),
        39..=44 => Message::Close(Some(CloseFrame { code: ops.short(), reason: ops.text() })),
        45..=50 => Message::Close(Some(CloseFrame { code: 1000, reason: "done".to_owned() })),
        51..=55 => Message::Pong(Bytes::from_static(b"1")),
        _ => Message::Binary(Bytes::copy_from_slice(ops.bytes())),
    }
}

fn operate(how: u8, ops: &mut Ops<'_>) {
    let mut end = end(how);
    let mut leaves = Leaves::default();
    let mut keys: Vec<StreamKey> = Vec::new();
    let mut now = START;
    let mut reason = None;
    let mut told = 0;
    while let Some(op) = ops.next() {
        let key = keys.get(usize::from(op / 32) % keys.len().max(1)).copied();
        match op % 32 {
            0..=11 => end.handle_input(now, message(ops)),
            12 | 13 => {
                if let Opened::Stream(key) = end.machine_mut().open(now) {
                    keys.push(key);
                }
            }
            14 => keys.extend(end.machine_mut().accept(now)),
            15 => drop(leaves.one(&mut end, now)),
            16 => leaves.all(&mut end, now),
            17 => now = now + Duration::from_millis(u64::from(ops.byte()) * 200),
            18 => end.handle_timeout(now),
            19 => rarely(&mut end, now, ops.byte()),
            20 => told += events(&mut end),
            other => {
                let Some(key) = key else { continue };
                let mux = end.machine_mut();
                match other {
                    21..=23 => drop(mux.read(now, key, ops.size())),
                    24..=27 => drop(mux.write(now, key, &mut ops.pattern(ops_size(op)))),
                    28 => drop(mux.finish(now, key)),
                    29 => mux.reset(now, key),
                    _ => mux.forget(now, key),
                }
            }
        }
        sound(&end, &mut reason);
    }
    end.machine_mut().abort(now);
    leaves.all(&mut end, now);
    end.handle_eof(now);
    leaves.all(&mut end, now);
    sound(&end, &mut reason);
    assert!(end.closed().is_some(), "the transport has ended, and it goes on");
    told += events(&mut end);
    assert_eq!(told, 1, "told its end so often");
}

/// A size out of an operation's number.
const fn ops_size(op: u8) -> usize {
    (op as usize) * (op as usize)
}

/// What ends a connection, and so may not come too often.
fn rarely(end: &mut OverMessages<Connection>, now: Instant, op: u8) {
    match op {
        0..=3 => end.machine_mut().close(now),
        4 => end.handle_eof(now),
        5 => end.handle_failure(now, Direction::Write, Some(32)),
        6 => end.handle_failure(now, Direction::Read, None),
        7 => end.machine_mut().abort(now),
        _ => {}
    }
}

/// Takes all events; how often its end is among them.
fn events(end: &mut OverMessages<Connection>) -> usize {
    let mut ends = 0;
    while let Some(event) = end.poll_event() {
        assert_eq!(ends, 0, "{event:?} behind the end");
        ends += usize::from(matches!(event, MuxEvent::Closed(_)));
    }
    ends
}

fn sound(end: &OverMessages<Connection>, reason: &mut Option<String>) {
    assert!(end.machine().stats().memory <= 72 << 20);
    let now = end.closed().map(|reason| format!("{reason:?}"));
    assert!(reason.is_none() || *reason == now, "over for {reason:?}, then for {now:?}");
    if now.is_some() {
        assert!(!end.wants_input(), "it is over and wants input");
        assert_eq!(end.poll_timeout(), None, "it is over and has a deadline");
        assert!(end.machine().closed().is_some(), "over without its machine");
    }
    *reason = now;
}
