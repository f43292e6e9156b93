//! Two machines through a pipe that cuts bytes anywhere, against a model: for each stream and
//! direction the bytes that were written and how they ended.

use bytes::Bytes;
use proptest::prelude::*;
use trunkline_core::Machine as _;
use trunkline_core::mux::{Finished, Mux as _, Opened, Received, Sent, StreamEnd, StreamKey};
use trunkline_core::yamux::{Acks, Config, Opens};

use crate::pair::Pair;

/// What was written into one direction of a stream, and how it ended.
#[derive(Clone, Debug, Default)]
struct Direction {
    written: usize,
    read: usize,
    finished: bool,
    ended: bool,
}

#[derive(Debug, Default)]
struct Stream {
    /// By side: client, server.
    keys: [Option<StreamKey>; 2],
    /// By writing side.
    ways: [Direction; 2],
    reset: bool,
    id: u32,
}

/// The byte at a place of a direction.
fn byte(id: u32, side: usize, place: usize) -> u8 {
    (place as u8).wrapping_mul(31).wrapping_add(id as u8).wrapping_add(side as u8 * 101)
}

struct World {
    pair: Pair,
    streams: Vec<Stream>,
    /// Bytes under way, by sending side.
    pipes: [Vec<u8>; 2],
}

impl World {
    fn new(config: &Config) -> Self {
        let pair = Pair::new(config.clone(), config.clone());
        Self { pair, streams: Vec::new(), pipes: [Vec::new(), Vec::new()] }
    }

    fn end(&mut self, side: usize) -> &mut crate::pair::End {
        if side == 0 { &mut self.pair.client } else { &mut self.pair.server }
    }

    fn open(&mut self, side: usize) {
        let end = self.end(side);
        let Opened::Stream(key) = end.machine.open(end.now) else { return };
        let id = end.machine.stream_stats(key).unwrap().id;
        let mut stream = Stream { id, ..Stream::default() };
        stream.keys[side] = Some(key);
        self.streams.push(stream);
    }

    fn accept(&mut self, side: usize) -> bool {
        let end = self.end(side);
        let Some(key) = end.machine.accept(end.now) else { return false };
        let id = end.machine.stream_stats(key).unwrap().id;
        let stream = self.streams.iter_mut().find(|stream| stream.id == id).unwrap();
        assert_eq!(stream.keys[side].replace(key), None);
        true
    }

    fn write(&mut self, side: usize, index: usize, len: usize) {
        let Some((id, key)) = self.named(side, index) else { return };
        let way = self.streams[index].ways[side].clone();
        let content = (way.written..way.written + len).map(|place| byte(id, side, place));
        let mut data: Bytes = content.collect();
        let end = self.end(side);
        match end.machine.write(end.now, key, &mut data) {
            Sent::Accepted(count) => {
                assert!(!way.finished);
                self.streams[index].ways[side].written += count;
            }
            Sent::Blocked => assert!(!way.finished),
            Sent::End(StreamEnd::Finished) => assert!(way.finished),
            Sent::End(StreamEnd::Reset | StreamEnd::Local(_)) => {
                assert!(self.streams[index].reset);
            }
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, side: usize, index: usize, max: usize) -> bool {
        let Some((id, key)) = self.named(side, index) else { return false };
        let end = self.end(side);
        let received = end.machine.read(end.now, key, max);
        let stream = &mut self.streams[index];
        let way = &mut stream.ways[1 - side];
        match received {
            Received::Data(bytes) => {
                let expected = (way.read..).map(|place| byte(id, 1 - side, place));
                assert!(expected.zip(&bytes).all(|(expected, seen)| expected == *seen));
                way.read += bytes.len();
                assert!(way.read <= way.written && !way.ended);
                !bytes.is_empty()
            }
            Received::Blocked => {
                assert!(!way.ended);
                false
            }
            Received::End(StreamEnd::Finished) => {
                assert!(way.finished && way.read == way.written, "{way:?}");
                way.ended = true;
                false
            }
            Received::End(StreamEnd::Reset | StreamEnd::Local(_)) => {
                assert!(stream.reset);
                false
            }
            other => panic!("{other:?}"),
        }
    }

    fn finish(&mut self, side: usize, index: usize) -> bool {
        let Some((_, key)) = self.named(side, index) else { return false };
        let end = self.end(side);
        let queued = end.machine.finish(end.now, key) == Finished::Queued;
        self.streams[index].ways[side].finished |= queued;
        queued
    }

    fn reset(&mut self, side: usize, index: usize) {
        let Some((_, key)) = self.named(side, index) else { return };
        self.streams[index].reset = true;
        let end = self.end(side);
        end.machine.reset(end.now, key);
    }

    fn named(&self, side: usize, index: usize) -> Option<(u32, StreamKey)> {
        let stream = self.streams.get(index)?;
        Some((stream.id, stream.keys[side]?))
    }

    /// Takes up to `frames` frames from one side, and hands up to `bytes` bytes of its pipe over.
    fn carry(&mut self, side: usize, frames: usize, bytes: usize) -> bool {
        let mut moved = false;
        for _ in 0..frames {
            let end = self.end(side);
            let Some(segment) = end.machine.poll_transmit(end.now) else { break };
            self.pipes[side].extend(segment.slices().concat());
            moved = true;
        }
        let pipe = &mut self.pipes[side];
        let rest = pipe.split_off(bytes.min(pipe.len()));
        let chunk = std::mem::replace(pipe, rest);
        if !chunk.is_empty() {
            moved = true;
            self.end(1 - side).feed(chunk);
        }
        self.end(0).events();
        self.end(1).events();
        moved
    }

    /// Ends everything in order, and looks whether all of it arrived.
    fn settle(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for side in [0, 1] {
                moved |= self.carry(side, 1_000, 100_000);
                moved |= self.accept(side);
                for index in 0..self.streams.len() {
                    moved |= self.finish(side, index);
                    while self.read(side, index, 70_000) {
                        moved = true;
                    }
                }
            }
        }
        for end in [&self.pair.client, &self.pair.server] {
            assert_eq!(end.machine.closed(), None);
            let stats = end.machine.stats();
            assert_eq!((stats.streams, stats.queued_out, stats.granted), (0, 0, 0), "{stats:?}");
        }
        for stream in self.streams.iter().filter(|stream| !stream.reset) {
            for (side, way) in stream.ways.iter().enumerate() {
                if stream.keys[1 - side].is_some() {
                    assert_eq!((way.read, way.ended), (way.written, true), "{stream:?}");
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Accept(usize),
    Write(usize, usize, usize),
    Read(usize, usize, usize),
    Finish(usize, usize),
    Reset(usize, usize),
    Carry(usize, usize, usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let side = || 0..2_usize;
    let step = prop_oneof![
        2 => side().prop_map(Step::Open),
        2 => side().prop_map(Step::Accept),
        6 => (side(), 0..6_usize, prop_oneof![0..40_usize, 0..300_000_usize])
            .prop_map(|(side, index, len)| Step::Write(side, index, len)),
        5 => (side(), 0..6_usize, prop_oneof![1..40_usize, 1..200_000_usize])
            .prop_map(|(side, index, max)| Step::Read(side, index, max)),
        1 => (side(), 0..6_usize).prop_map(|(side, index)| Step::Finish(side, index)),
        1 => (side(), 0..12_usize).prop_map(|(side, index)| Step::Reset(side, index)),
        9 => (side(), 0..30_usize, prop_oneof![0..30_usize, 0..200_000_usize])
            .prop_map(|(side, frames, bytes)| Step::Carry(side, frames, bytes)),
        1 => (0..200_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..100)
}

fn play(config: &Config, steps: &[Step]) {
    let mut world = World::new(config);
    for step in steps {
        match *step {
            Step::Open(side) => world.open(side),
            Step::Accept(side) => drop(world.accept(side)),
            Step::Write(side, index, len) => world.write(side, index, len),
            Step::Read(side, index, max) => drop(world.read(side, index, max)),
            Step::Finish(side, index) => drop(world.finish(side, index)),
            Step::Reset(side, index) => world.reset(side, index),
            Step::Carry(side, frames, bytes) => drop(world.carry(side, frames, bytes)),
            Step::Wait(millis) => {
                world.end(0).advance(millis);
                world.end(1).advance(millis);
            }
        }
    }
    world.settle();
}

fn configs() -> [Config; 3] {
    let mut odd = Config::default();
    odd.opens = Opens::Lazy;
    odd.acks = Acks::Lazy;
    odd.frame_size = 777;
    odd.window = 300_001;
    odd.limits.send_queue = 5_000;
    odd.limits.replies = 3;
    [Config::default(), Config::reference(), odd].map(|mut config| {
        config.open_timeout = None;
        config.write_timeout = None;
        config
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_arrives_once_in_order_and_ends_as_it_was_ended(steps in steps()) {
        for config in configs() {
            play(&config, &steps);
        }
    }
}
