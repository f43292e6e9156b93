//! Any operations, of the user, of the peer, of the transport and of the clock, in any order.

use std::time::Duration;

use bytes::Bytes;
use trunkline_core::mux::{Mux as _, Opened, Received, Sent, Side, StreamKey};
use trunkline_core::{Direction, Instant, Machine as _};

use super::super::ops::Ops;
use super::{START, Wire, drain_events, drain_output, sound};

/// The first byte chooses the side and the settings; the rest are operations.
pub(crate) fn run<W: Wire>(input: &[u8]) {
    let [how, rest @ ..] = input else { return };
    let side = if how & 2 == 0 { Side::Server } else { Side::Client };
    let mut play =
        Play::<W> { machine: W::machine(side, *how), keys: Vec::new(), now: START, reason: None };
    let mut ops = Ops::new(rest);
    while let Some(op) = ops.next() {
        play.step(op, &mut ops);
        play.look();
    }
    play.machine.abort(play.now);
    play.look();
    assert!(play.machine.closed().is_some());
    for key in std::mem::take(&mut play.keys) {
        play.machine.forget(play.now, key);
        assert_eq!(play.machine.read(play.now, key, 1), Received::Unknown);
    }
    drain_output(&mut play.machine, play.now);
    drain_events(&mut play.machine);
    play.look();
    let stats = play.machine.stats();
    assert!(stats.waiting > 0 || stats.queued_in == 0, "{stats:?}");
}

struct Play<W: Wire> {
    machine: W::Machine,
    keys: Vec<StreamKey>,
    now: Instant,
    reason: Option<String>,
}

impl<W: Wire> Play<W> {
    /// One operation. Those of the peer come most often.
    fn step(&mut self, number: u8, ops: &mut Ops<'_>) {
        let now = self.now;
        match number % 32 {
            0..=9 => self.machine.handle_input(now, W::frame(ops).into()),
            10 => self.machine.handle_input(now, Bytes::copy_from_slice(ops.bytes())),
            11 | 12 => {
                if let Opened::Stream(key) = self.machine.open(now) {
                    self.keys.push(key);
                }
            }
            13 | 14 => self.keys.extend(self.machine.accept(now)),
            15 => drop(self.machine.ping(now)),
            16 => drop(drain_output(&mut self.machine, now)),
            17 => drop(self.machine.poll_transmit(now)),
            18 => drop(drain_events(&mut self.machine)),
            19 => self.wait(u64::from(ops.byte()) * 400),
            20 => self.rarely(ops.byte()),
            _ => {
                if let Some(key) = self.key(number) {
                    self.stream(number, key, ops);
                }
            }
        }
    }

    /// What the user does to a stream.
    fn stream(&mut self, op: u8, key: StreamKey, ops: &mut Ops<'_>) {
        let now = self.now;
        match op % 32 {
            21..=23 => self.read(key, ops.size()),
            24..=26 => self.write(key, ops.size() * 37),
            27 => drop(self.machine.finish(now, key)),
            28 => self.machine.reset(now, key),
            29 => self.forget(key),
            30 => self.reserve(key, ops.size() * 37),
            _ => while self.machine.drain(key, ops.size()).is_some() {},
        }
    }

    /// What ends a connection, and so may not come too often.
    fn rarely(&mut self, op: u8) {
        match op {
            0 => self.machine.close(self.now),
            1 => self.machine.go_away(self.now),
            2 => self.machine.handle_eof(self.now),
            3 => self.machine.handle_failure(self.now, Direction::Write, Some(32)),
            4 => self.machine.handle_failure(self.now, Direction::Read, None),
            5 => self.machine.abort(self.now),
            // A clock that goes back is tolerated.
            6 => self.now = START,
            _ => {}
        }
    }

    /// One of the streams; early ones seldom.
    fn key(&self, op: u8) -> Option<StreamKey> {
        let back = usize::from(op / 32) % self.keys.len().max(1);
        self.keys.iter().rev().nth(back).copied()
    }

    fn read(&mut self, key: StreamKey, max: usize) {
        let ended = self.machine.read_end(key);
        match self.machine.read(self.now, key, max) {
            Received::Data(bytes) => {
                assert!(bytes.len() <= max.max(1) && ended.is_none());
                assert!(!bytes.is_empty() || max == 0);
            }
            Received::End(end) => assert_eq!(self.machine.read_end(key), Some(end)),
            Received::Blocked | Received::Unknown => assert_eq!(ended, None),
        }
    }

    fn write(&mut self, key: StreamKey, len: usize) {
        let mut data = Bytes::from(vec![7; len]);
        let ended = self.machine.write_end(key);
        let before = self.machine.stats().queued_out;
        match self.machine.write(self.now, key, &mut data) {
            Sent::Accepted(count) => {
                assert_eq!((count, ended), (len - data.len(), None));
                assert!(len == 0 || count > 0);
                assert_eq!(self.machine.stats().queued_out, before + count);
            }
            Sent::End(end) => assert_eq!(ended, Some(end)),
            Sent::Blocked | Sent::Unknown => assert_eq!(data.len(), len),
        }
    }

    fn reserve(&mut self, key: StreamKey, len: usize) {
        if let Some(reserved) = self.machine.reserve(self.now, key, len) {
            assert!(reserved.len > 0 && reserved.len <= len && !reserved.head.is_empty());
            assert_eq!(self.machine.write_end(key), None);
        }
    }

    fn forget(&mut self, key: StreamKey) {
        self.machine.forget(self.now, key);
        self.keys.retain(|known| *known != key);
        assert_eq!(self.machine.read(self.now, key, 1), Received::Unknown);
        assert_eq!(self.machine.stream_stats(key), None);
    }

    /// Moves the clock through every deadline on the way; each of them has to pass.
    fn wait(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        let mut same = 0;
        let mut last = None;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            same = if last == Some(at) { same + 1 } else { 0 };
            assert!(same < 3, "a deadline that does not pass: {at:?}");
            last = Some(at);
        }
        self.now = self.now.max(until);
    }

    fn look(&mut self) {
        sound(&self.machine);
        let reason = self.machine.closed().map(|reason| format!("{reason:?}"));
        assert!(self.reason.is_none() || self.reason == reason, "the reason changed: {reason:?}");
        self.reason = reason;
    }
}
