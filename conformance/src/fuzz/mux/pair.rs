//! Two machines through a transport that cuts bytes anywhere, against a model: for each stream and
//! direction what was written, what was read, and how it ended; also when the connection ends.

use std::time::Duration;

use bytes::Bytes;
use trunkline_core::mux::{Finished, Mux as _, Opened, Received, Sent, Side, StreamEnd, StreamKey};
use trunkline_core::{CloseReason, Instant, Machine as _};

use super::super::ops::Ops;
use super::{START, Wire, drain_events, sound};

/// The first byte chooses the settings; the rest are operations.
pub(crate) fn run<W: Wire>(input: &[u8]) {
    let [how, rest @ ..] = input else { return };
    let machines = [W::machine(Side::Client, *how), W::machine(Side::Server, *how)];
    let half_close = machines.iter().all(|machine| machine.abilities().half_close);
    let mut world = World::<W> {
        machines,
        half_close,
        streams: Vec::new(),
        pipes: [Vec::new(), Vec::new()],
        gone_away: [false; 2],
        closing: [false; 2],
        now: START,
    };
    let mut ops = Ops::new(rest);
    while let Some(op) = ops.next() {
        world.step(op, &mut ops);
        if world.is_over() {
            return world.part();
        }
    }
    if world.closing.contains(&true) {
        while !world.is_over() && (world.carry(0, 100, 100_000) | world.carry(1, 100, 100_000)) {}
        return world.part();
    }
    world.settle();
}

/// One direction of a stream.
#[derive(Clone, Debug, Default)]
struct Way {
    written: usize,
    read: usize,
    finished: bool,
    ended: bool,
}

#[derive(Debug, Default)]
struct Stream {
    id: u32,
    /// By side.
    keys: [Option<StreamKey>; 2],
    /// By writing side.
    ways: [Way; 2],
    /// Somebody ended it by force, or the wire has no other way to end both.
    broken: bool,
}

struct World<W: Wire> {
    machines: [W::Machine; 2],
    half_close: bool,
    streams: Vec<Stream>,
    /// Bytes under way, by the side that sent them.
    pipes: [Vec<u8>; 2],
    /// Which side wants no more streams, and which has closed in order.
    gone_away: [bool; 2],
    closing: [bool; 2],
    now: Instant,
}

fn set(flags: &mut [bool; 2], side: usize) {
    if let Some(flag) = flags.get_mut(side) {
        *flag = true;
    }
}

/// The byte at a place of a direction: what is lost, doubled or given to another stream shows.
fn byte(id: u32, side: usize, place: usize) -> u8 {
    let [place, high, ..] = place.to_le_bytes();
    place.wrapping_mul(31).wrapping_add(high).wrapping_add(id as u8 ^ (side as u8 * 101))
}

impl<W: Wire> World<W> {
    fn step(&mut self, op: u8, ops: &mut Ops<'_>) {
        let side = usize::from(op & 1);
        let index = usize::from(ops.byte() % 16);
        match op >> 1 & 15 {
            0 | 1 => self.open(side),
            2 => drop(self.accept(side)),
            3..=5 => self.write(side, index, ops.size() * 5),
            6 | 7 => drop(self.read(side, index, ops.size() * 5)),
            8 => drop(self.finish(side, index)),
            9 => self.reset(side, index),
            10 => drop(self.machine(side).map(|machine| machine.ping(START))),
            11 => self.wait(u64::from(ops.byte())),
            12 => self.rarely(side, index, ops.byte()),
            _ => drop(self.carry(side, ops.size(), ops.size() * 5)),
        }
    }

    fn machine(&mut self, side: usize) -> Option<&mut W::Machine> {
        self.machines.get_mut(side)
    }

    /// A stream's id, the key that a side has of it, and that side's machine.
    fn at(
        &mut self,
        side: usize,
        index: usize,
    ) -> Option<(&mut Stream, StreamKey, &mut W::Machine)> {
        let stream = self.streams.get_mut(index)?;
        let key = (*stream.keys.get(side)?)?;
        Some((stream, key, self.machines.get_mut(side)?))
    }

    fn open(&mut self, side: usize) {
        let now = self.now;
        let broken = self.gone_away.get(1 - side).copied().unwrap_or_default();
        let Some(machine) = self.machine(side) else { return };
        let Opened::Stream(key) = machine.open(now) else { return };
        let id = machine.stream_stats(key).map_or(0, |stats| stats.id);
        let mut stream = Stream { id, broken, ..Stream::default() };
        if let Some(place) = stream.keys.get_mut(side) {
            *place = Some(key);
        }
        self.streams.push(stream);
    }

    fn accept(&mut self, side: usize) -> bool {
        let now = self.now;
        let Some(machine) = self.machine(side) else { return false };
        let Some(key) = machine.accept(now) else { return false };
        let id = machine.stream_stats(key).map_or(0, |stats| stats.id);
        let stream = self.streams.iter_mut().find(|stream| stream.id == id);
        assert!(stream.is_some(), "stream {id} was accepted and never opened");
        if let Some(place) = stream.and_then(|stream| stream.keys.get_mut(side)) {
            assert_eq!(place.replace(key), None, "stream {id} was accepted twice");
        }
        true
    }

    fn write(&mut self, side: usize, index: usize, len: usize) {
        let now = self.now;
        let over = self.closing.get(side).copied().unwrap_or_default();
        let Some((stream, key, machine)) = self.at(side, index) else { return };
        let (id, broken) = (stream.id, stream.broken);
        let Some(way) = stream.ways.get_mut(side) else { return };
        let content = (way.written..way.written + len).map(|place| byte(id, side, place));
        let mut data: Bytes = content.collect();
        match machine.write(now, key, &mut data) {
            Sent::Accepted(count) => {
                assert!(!way.finished, "it was finished");
                way.written += count;
            }
            Sent::Blocked => assert!(!way.finished, "it was finished"),
            Sent::End(end) => {
                assert!(
                    way.finished || broken || over,
                    "stream {id} cannot be written to: {end:?}"
                );
            }
            Sent::Unknown => assert!(broken, "nobody forgot stream {id}"),
        }
    }

    fn read(&mut self, side: usize, index: usize, max: usize) -> bool {
        let now = self.now;
        let Some((stream, key, machine)) = self.at(side, index) else { return false };
        let (id, broken, over) = (stream.id, stream.broken, machine.closed().is_some());
        let Some(way) = stream.ways.get_mut(1 - side) else { return false };
        match machine.read(now, key, max) {
            Received::Data(bytes) => {
                assert!(!way.ended, "bytes behind the end");
                for seen in &bytes {
                    assert_eq!(*seen, byte(id, 1 - side, way.read), "stream {id} at {}", way.read);
                    way.read += 1;
                }
                assert!(way.read <= way.written, "more was read than written");
                !bytes.is_empty()
            }
            Received::Blocked => false,
            Received::End(StreamEnd::Finished) => {
                let whole = way.finished && way.read == way.written;
                assert!(whole || broken, "stream {id} ends early: {way:?}");
                way.ended = true;
                false
            }
            Received::End(StreamEnd::Connection(_)) => {
                assert!(over, "stream {id} ends with a connection that goes on");
                assert!(!way.ended, "stream {id} had ended");
                false
            }
            Received::End(end) => {
                assert!(broken, "stream {id} ends badly: {end:?}");
                false
            }
            Received::Unknown => {
                assert!(broken, "nobody forgot stream {id}");
                false
            }
        }
    }

    fn finish(&mut self, side: usize, index: usize) -> bool {
        let (now, half_close) = (self.now, self.half_close);
        let Some((stream, key, machine)) = self.at(side, index) else { return false };
        if machine.finish(now, key) != Finished::Queued {
            return false;
        }
        stream.broken |= !half_close;
        if let Some(way) = stream.ways.get_mut(side) {
            way.finished = true;
        }
        true
    }

    fn reset(&mut self, side: usize, index: usize) {
        let now = self.now;
        let Some((stream, key, machine)) = self.at(side, index) else { return };
        machine.reset(now, key);
        stream.broken = true;
    }

    /// What ends streams or the connection, and so may not come too often.
    fn rarely(&mut self, side: usize, index: usize, op: u8) {
        let now = self.now;
        let Some(machine) = self.machines.get_mut(side) else { return };
        match op {
            0..=63 => self.forget(side, index),
            64..=69 => {
                machine.go_away(now);
                self.refuses(side);
            }
            70..=79 => {
                machine.close(now);
                set(&mut self.closing, side);
                self.refuses(side);
            }
            80..=81 => {
                machine.abort(now);
                // Whatever it was about to do in order.
                if let Some(closing) = self.closing.get_mut(side) {
                    *closing = false;
                }
            }
            // The link breaks: what is under way is lost, and comes to its end in both directions.
            82..=83 => {
                self.pipes = [Vec::new(), Vec::new()];
                self.machines.iter_mut().for_each(|machine| machine.handle_eof(now));
            }
            _ => {}
        }
    }

    /// A side takes no more streams: those that it has not met may be refused.
    fn refuses(&mut self, side: usize) {
        set(&mut self.gone_away, side);
        let unmet = |stream: &&mut Stream| stream.keys.get(side).copied().flatten().is_none();
        self.streams.iter_mut().filter(unmet).for_each(|stream| stream.broken = true);
    }

    fn forget(&mut self, side: usize, index: usize) {
        let now = self.now;
        let Some((stream, key, machine)) = self.at(side, index) else { return };
        machine.forget(now, key);
        assert_eq!(machine.read(now, key, 1), Received::Unknown);
        stream.broken = true;
    }

    fn is_over(&self) -> bool {
        self.machines.iter().any(|machine| machine.closed().is_some())
    }

    /// The connection has ended at one side or both: what is under way still arrives, then the end.
    /// What came whole is accepted and read; what did not is never said to be whole.
    fn part(&mut self) {
        let now = self.now;
        let before = self.machines.each_ref().map(|machine| machine.closed().cloned());
        for (side, machine) in self.machines.iter_mut().enumerate() {
            let coming = self.pipes.get_mut(1 - side).map(std::mem::take).unwrap_or_default();
            machine.handle_input(now, coming.into());
            machine.handle_eof(now);
        }
        let mut moved = true;
        while moved {
            moved = false;
            for side in [0, 1] {
                moved |= self.accept(side);
                for index in 0..self.streams.len() {
                    while self.read(side, index, 70_000) {
                        moved = true;
                    }
                }
                if let Some(machine) = self.machine(side) {
                    moved |= machine.poll_transmit(now).is_some();
                    drain_events(machine);
                    sound(machine);
                }
            }
        }
        for (side, [ended, other]) in [[0, 1], [1, 0]].into_iter().enumerate() {
            let (Some(Some(reason)), Some(None)) = (before.get(ended), before.get(other)) else {
                continue;
            };
            let aborted = !self.closing.get(side).copied().unwrap_or_default();
            if *reason != CloseReason::Local || aborted {
                continue;
            }
            // It closed in order, and the other one had not: all that it wrote arrived.
            for stream in self.streams.iter().filter(|stream| !stream.broken) {
                let met = stream.keys.get(other).copied().flatten().is_some();
                let Some(way) = stream.ways.get(ended) else { continue };
                let whole = way.read == way.written && way.ended == way.finished;
                assert!(!met || whole, "not all arrived before the end: {stream:?}");
                assert!(met || !way.finished, "never to be accepted: {stream:?}");
            }
        }
        for machine in &self.machines {
            assert!(machine.closed().is_some(), "its link is gone, and it goes on");
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        for machine in &mut self.machines {
            if machine.poll_timeout().is_some_and(|at| at <= self.now) {
                machine.handle_timeout(self.now);
            }
        }
    }

    /// Takes up to `frames` frames of one side, and hands up to `bytes` bytes of its pipe over.
    fn carry(&mut self, side: usize, frames: usize, bytes: usize) -> bool {
        let now = self.now;
        let [client, server] = &mut self.machines;
        let [up, down] = &mut self.pipes;
        let (from, to, pipe) =
            if side == 0 { (client, server, up) } else { (server, client, down) };
        let mut moved = false;
        for _ in 0..frames {
            let Some(segment) = from.poll_transmit(now) else { break };
            pipe.extend(segment.slices().concat());
            moved = true;
        }
        let rest = pipe.split_off(bytes.min(pipe.len()));
        let chunk = std::mem::replace(pipe, rest);
        if !chunk.is_empty() {
            to.handle_input(now, chunk.into());
            moved = true;
        }
        for machine in &mut self.machines {
            drain_events(machine);
            sound(machine);
        }
        moved
    }

    /// Ends everything in order: all that was written on whole streams has to arrive.
    fn settle(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for side in [0, 1] {
                moved |= self.carry(side, 100, 100_000);
                moved |= self.accept(side);
                for index in 0..self.streams.len() {
                    if self.half_close {
                        moved |= self.finish(side, index);
                    }
                    while self.read(side, index, 70_000) {
                        moved = true;
                    }
                }
            }
        }
        for stream in self.streams.iter().filter(|stream| !stream.broken) {
            for (side, way) in stream.ways.iter().enumerate() {
                let reader = stream.keys.get(1 - side).copied().flatten();
                let whole = way.read == way.written && way.ended == self.half_close;
                assert!(reader.is_none() || whole, "not all arrived: {stream:?}");
            }
        }
        for machine in &self.machines {
            let stats = machine.stats();
            assert_eq!(machine.closed(), None);
            assert_eq!(stats.queued_out, 0, "{stats:?}");
            assert!(!self.half_close || stats.streams == 0, "{stats:?}");
        }
    }
}
