//! Two wormhole connections over a link that cuts and delays, against what a pipe would do.

// A body stops at the first thing that is wrong.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::mux::{Finished, Mux as _, Opened, Received, Sent, Side, StreamEnd, StreamKey};
use trunkline_core::wormhole::{Config, Connection, Credit, FrameOrder};
use trunkline_core::{Instant, Machine as _};

use super::ops::Ops;

/// The most streams of each end.
const STREAMS: usize = 6;

/// What no order of calls of two honest ends may lose, invent or swap.
///
/// The first byte chooses settings of both ends; the rest are operations of either end and of the
/// link. Every stream carries bytes that tell what they are; at the end everything moves, and what
/// was written and not cut off by somebody's close has been read.
pub fn wormhole_pair(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let Some(mut world) = World::new(*how) else { return };
    let mut ops = Ops::new(rest);
    while let Some(op) = ops.next() {
        world.step(op, &mut ops);
    }
    world.settle();
}

struct World {
    ends: [Connection; 2],
    halves: [Vec<Half>; 2],
    /// What is on its way to each end.
    links: [VecDeque<Bytes>; 2],
    now: Instant,
}

/// One stream, seen from one end.
#[derive(Debug)]
struct Half {
    key: StreamKey,
    id: u32,
    written: usize,
    read: usize,
    finished: bool,
}

/// Byte `at` of what an end writes on stream `id`.
fn byte(id: u32, end: usize, at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8)).wrapping_add(id as usize * 7 + end) as u8
}

impl World {
    fn new(how: u8) -> Option<Self> {
        let config = |bits: u8| {
            let mut config = Config::default();
            config.keep_alive_interval = Duration::ZERO;
            config.window = [262_144, 100, 5_000, 40_000][usize::from(bits & 3)];
            if bits & 4 != 0 {
                config.credit = Credit::Reference;
            }
            if bits & 8 != 0 {
                config.frame_order = FrameOrder::Written;
                config.limits.send_queue = 2_000;
            }
            config
        };
        let client = Connection::new(Side::Client, config(how)).ok()?;
        let server = Connection::new(Side::Server, config(how >> 4)).ok()?;
        let now = Instant::from_millis(1);
        Some(Self {
            ends: [client, server],
            halves: Default::default(),
            links: Default::default(),
            now,
        })
    }

    fn step(&mut self, op: u8, ops: &mut Ops<'_>) {
        let end = usize::from(op >> 7);
        match op % 12 {
            0 => {
                if self.halves[end].len() < STREAMS
                    && let Opened::Stream(key) = self.ends[end].open(self.now)
                {
                    self.learn(end, key);
                }
            }
            1 => self.accept(end),
            2..=4 => {
                let (stream, size) = (ops.byte(), ops.size());
                self.write(end, stream.into(), size);
            }
            5 | 6 => {
                let (stream, max) = (ops.byte(), ops.size());
                let count = self.halves[end].len().max(1);
                self.read(end, usize::from(stream) % count, max.max(1));
            }
            7 => {
                let count = self.halves[end].len().max(1);
                let stream = usize::from(ops.byte()) % count;
                let Some(half) = self.halves[end].get_mut(stream) else { return };
                let finished = self.ends[end].finish(self.now, half.key);
                assert_eq!(finished == Finished::Already, half.finished);
                half.finished = true;
            }
            8 => self.send(end, usize::from(ops.byte() % 8)),
            9 | 10 => {
                let (count, size) = (ops.byte() % 8, ops.size());
                self.arrive(end, count.into(), size.max(1));
            }
            _ => self.wait(u64::from(ops.short()) / 16),
        }
    }

    fn learn(&mut self, end: usize, key: StreamKey) {
        let stats = self.ends[end].stream_stats(key).expect("the stream is there");
        self.halves[end].push(Half { key, id: stats.id, written: 0, read: 0, finished: false });
    }

    fn accept(&mut self, end: usize) {
        if let Some(key) = self.ends[end].accept(self.now) {
            self.learn(end, key);
        }
    }

    fn write(&mut self, end: usize, stream: usize, size: usize) {
        let count = self.halves[end].len().max(1);
        let Some(half) = self.halves[end].get_mut(stream % count) else { return };
        let bytes: Vec<u8> = (0..size).map(|at| byte(half.id, end, half.written + at)).collect();
        match self.ends[end].write(self.now, half.key, &mut Bytes::from(bytes)) {
            Sent::Accepted(taken) => half.written += taken,
            Sent::Blocked | Sent::End(_) => {}
            Sent::Unknown => panic!("a stream was lost"),
        }
    }

    /// Reads once and compares; whether anything came.
    fn read(&mut self, end: usize, stream: usize, max: usize) -> bool {
        let Some(half) = self.halves[end].get_mut(stream) else { return false };
        match self.ends[end].read(self.now, half.key, max) {
            Received::Data(bytes) => {
                assert!(!bytes.is_empty() && bytes.len() <= max);
                for (at, seen) in bytes.iter().enumerate() {
                    assert_eq!(*seen, byte(half.id, 1 - end, half.read + at), "other bytes");
                }
                half.read += bytes.len();
                true
            }
            Received::Blocked => false,
            Received::End(StreamEnd::Finished) => {
                let (id, read) = (half.id, half.read);
                let theirs = self.halves[1 - end].iter().find(|half| half.id == id);
                let whole = theirs.is_some_and(|half| half.finished && half.written == read);
                assert!(whole, "an end before everything came: {theirs:?}, read {read}");
                false
            }
            Received::End(StreamEnd::Local(_)) => {
                assert!(half.finished);
                false
            }
            other => panic!("{other:?}"),
        }
    }

    fn send(&mut self, end: usize, count: usize) {
        for _ in 0..count {
            let Some(segment) = self.ends[end].poll_transmit(self.now) else { return };
            self.links[1 - end].push_back(segment.into_bytes());
        }
    }

    fn arrive(&mut self, end: usize, count: usize, size: usize) {
        for _ in 0..count {
            if !self.ends[end].wants_input() {
                return;
            }
            let Some(mut bytes) = self.links[end].pop_front() else { return };
            if bytes.len() > size {
                let rest = bytes.split_off(size);
                self.links[end].push_front(rest);
            }
            self.ends[end].handle_input(self.now, bytes);
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        for end in &mut self.ends {
            end.handle_timeout(self.now);
        }
    }

    /// Everything moves, until nothing does any more, not even for the stall guard.
    fn settle(&mut self) {
        let mut idle = 0;
        while idle < 6 {
            let mut moved = false;
            for end in 0..2 {
                self.accept(end);
                self.send(end, usize::MAX);
                moved |= !self.links[1 - end].is_empty();
                self.arrive(1 - end, usize::MAX, usize::MAX);
                for stream in 0..self.halves[end].len() {
                    while self.read(end, stream, usize::MAX) {
                        moved = true;
                    }
                }
            }
            self.wait(300);
            idle = if moved { 0 } else { idle + 1 };
        }
        for end in 0..2 {
            let stats = self.ends[end].stats();
            assert_eq!(self.ends[end].closed(), None);
            assert_eq!((stats.queued_in, stats.queued_out), (0, 0), "{stats:?}");
            for half in &self.halves[end] {
                let theirs = self.halves[1 - end].iter().find(|theirs| theirs.id == half.id);
                let theirs = theirs.expect("a stream that was never accepted");
                assert!(half.finished || theirs.finished || theirs.written == half.read);
            }
        }
    }
}
