//! Machines alone, without transport and runtime: what a frame costs in core.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use trunkline_core::mux::{Mux, MuxEvent, Opened, Received, Sent, Side, StreamKey};
use trunkline_core::{Instant, Segment};

use super::wires::{Use, with_wire};
use crate::allocator;

/// Bytes of one read of a transport.
const READ: usize = 128 << 10;

/// Frames that are usually handed over together: as many as one turn of a driver writes.
pub const BATCH: usize = 200;

/// What is done with frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Write, send, receive and read, the windows' updates included.
    Carry,
    /// Receive and read what was sent before.
    Receive,
    /// Open, one small frame, its echo, both ends close and forget.
    Open,
    /// Open streams and keep them.
    Keep,
}

impl Act {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Carry, "carry"),
        (Self::Receive, "receive"),
        (Self::Open, "open"),
        (Self::Keep, "keep"),
    ];

    /// Its name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(act, _)| *act == self).map_or("", |(_, name)| name)
    }

    /// The act of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(act, _)| *act)
    }
}

/// So many times, beside so many open streams that take turns.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// What is done.
    pub act: Act,
    /// Bytes of each frame's payload.
    pub payload: usize,
    /// Streams that are open; frames go over each in turn.
    pub streams: usize,
    /// How often; at least.
    pub times: usize,
    /// Frames that are handed over together at the most, of what one read of a transport brings.
    pub together: usize,
    /// Reads of a transport between two looks at the clock.
    pub reads: usize,
    /// What is read before and after: the thread's CPU time, or nothing.
    pub clock: fn() -> Duration,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Frames with payload, or streams.
    pub units: usize,
    /// Time for writing and sending them.
    pub sending: Duration,
    /// Time for receiving and reading them.
    pub receiving: Duration,
    /// Bytes of heap for each stream that is open, of both ends together.
    pub held_each: f64,
}

/// Does it with the machines of a wire; `None` when there is no such wire, or its machines did not
/// do what they should.
#[must_use]
pub fn run(wire: &str, task: Task) -> Option<Done> {
    with_wire(wire, task.streams > 200, task)?
}

impl Use for Task {
    type Output = Option<Done>;

    fn with<M>(self, make: impl Fn(Side) -> M + Copy + Send + 'static) -> Option<Done>
    where
        M: Mux + Send + 'static,
    {
        let before = allocator::held();
        let mut pair = Pair::new(make);
        // What a connection costs without streams is no stream's.
        let bare = allocator::held() - before;
        let keys = (0..self.streams).map(|_| pair.open()).collect::<Option<Vec<_>>>()?;
        let list = (keys.capacity() * size_of::<[StreamKey; 2]>()) as i64;
        let held = allocator::held() - before - bare - list;
        let mut done = match self.act {
            Act::Carry => pair.carry(&self, &keys)?,
            Act::Receive => pair.receive(&self, &keys)?,
            Act::Open => pair.churn(&self)?,
            Act::Keep => Done { units: self.streams, ..Done::default() },
        };
        done.held_each = held as f64 / self.streams.max(1) as f64;
        Some(done)
    }
}

/// Two machines, each at the other's end.
struct Pair<M> {
    client: M,
    server: M,
    segments: Vec<Segment>,
    wire: BytesMut,
    inputs: Vec<Bytes>,
    readable: Vec<StreamKey>,
}

const NOW: Instant = Instant::ORIGIN;

impl<M: Mux> Pair<M> {
    fn new(make: impl Fn(Side) -> M) -> Self {
        let mut pair = Self {
            client: make(Side::Client),
            server: make(Side::Server),
            segments: Vec::with_capacity(2 * BATCH),
            wire: BytesMut::with_capacity(2 * READ),
            inputs: Vec::with_capacity(4),
            readable: Vec::with_capacity(2 * BATCH),
        };
        pair.settle();
        pair
    }

    /// Moves what there is to move, until there is nothing more.
    fn settle(&mut self) {
        for _ in 0..8 {
            let there = transmit(&mut self.client, &mut self.segments);
            join(self.segments.drain(..), &mut self.wire);
            hand_in(&mut self.server, &mut self.wire);
            let back = transmit(&mut self.server, &mut self.segments);
            join(self.segments.drain(..), &mut self.wire);
            hand_in(&mut self.client, &mut self.wire);
            events(&mut self.client, &mut self.readable);
            events(&mut self.server, &mut self.readable);
            self.readable.clear();
            if there + back == 0 {
                return;
            }
        }
    }

    /// A stream that both ends know, and on which both have sent.
    fn open(&mut self) -> Option<[StreamKey; 2]> {
        let Opened::Stream(one) = self.client.open(NOW) else { return None };
        self.exchange(one, 1)
    }

    /// The first frame of a new stream, and its echo.
    fn exchange(&mut self, one: StreamKey, payload: usize) -> Option<[StreamKey; 2]> {
        let message = Bytes::from_static(&[7; 64]).slice(..payload);
        written(self.client.write(NOW, one, &mut message.clone()), payload)?;
        self.settle();
        let other = self.server.accept(NOW)?;
        read(&mut self.server, other, payload)?;
        written(self.server.write(NOW, other, &mut message.clone()), payload)?;
        self.settle();
        read(&mut self.client, one, payload)?;
        Some([one, other])
    }

    fn carry(&mut self, task: &Task, keys: &[[StreamKey; 2]]) -> Option<Done> {
        let (payload, mut done) = (Bytes::from(vec![7; task.payload]), Done::default());
        let batch = task.together.min(READ / task.payload.max(1)).max(1);
        let mut turn = keys.iter().cycle();
        while done.units < task.times {
            let begun = (task.clock)();
            for _ in 0..task.reads {
                for [one, _] in turn.by_ref().take(batch) {
                    written(self.client.write(NOW, *one, &mut payload.clone()), task.payload)?;
                }
                transmit(&mut self.client, &mut self.segments);
            }
            done.sending += (task.clock)() - begun;
            let each = self.segments.len().div_ceil(task.reads);
            while !self.segments.is_empty() {
                let most = each.min(self.segments.len());
                join(self.segments.drain(..most), &mut self.wire);
                self.inputs.push(self.wire.split().freeze());
            }
            let (begun, mut read) = ((task.clock)(), 0);
            for input in self.inputs.drain(..) {
                read += take(&mut self.server, input, &mut self.readable);
            }
            done.receiving += (task.clock)() - begun;
            if read != task.reads * batch * task.payload {
                return None;
            }
            // What the receiver grants.
            transmit(&mut self.server, &mut self.segments);
            join(self.segments.drain(..), &mut self.wire);
            hand_in(&mut self.client, &mut self.wire);
            events(&mut self.client, &mut self.readable);
            self.readable.clear();
            done.units += task.reads * batch;
        }
        Some(done)
    }

    fn receive(&mut self, task: &Task, keys: &[[StreamKey; 2]]) -> Option<Done> {
        let (payload, mut done) = (Bytes::from(vec![7; task.payload]), Done::default());
        // Recorded once, taken in again and again: data frames carry no numbers that would differ.
        let batch = task.together.min(READ / task.payload.max(1)).max(1);
        let mut passes = Vec::new();
        for chunk in keys.chunks(batch) {
            for [one, _] in chunk.iter().cycle().take(batch) {
                written(self.client.write(NOW, *one, &mut payload.clone()), task.payload)?;
            }
            transmit(&mut self.client, &mut self.segments);
            join(self.segments.drain(..), &mut self.wire);
            passes.push(self.wire.split().freeze());
        }
        for input in passes.iter().cycle() {
            let begun = (task.clock)();
            let read = take(&mut self.server, input.clone(), &mut self.readable);
            done.receiving += (task.clock)() - begun;
            if read != batch * task.payload {
                return None;
            }
            transmit(&mut self.server, &mut self.segments);
            self.segments.clear();
            done.units += batch;
            if done.units >= task.times {
                break;
            }
        }
        Some(done)
    }

    fn churn(&mut self, task: &Task) -> Option<Done> {
        let begun = (task.clock)();
        for _ in 0..task.times {
            let Opened::Stream(one) = self.client.open(NOW) else { return None };
            let [one, other] = self.exchange(one, 64)?;
            self.server.finish(NOW, other);
            self.client.finish(NOW, one);
            self.settle();
            self.client.forget(NOW, one);
            self.server.forget(NOW, other);
            self.settle();
        }
        let sending = (task.clock)() - begun;
        Some(Done { units: task.times, sending, ..Done::default() })
    }
}

fn written(sent: Sent, count: usize) -> Option<()> {
    (sent == Sent::Accepted(count)).then_some(())
}

/// Takes everything that is to be sent; how many frames.
fn transmit<M: Mux>(machine: &mut M, segments: &mut Vec<Segment>) -> usize {
    segments.extend(std::iter::from_fn(|| machine.poll_transmit(NOW)));
    segments.len()
}

fn join(segments: impl Iterator<Item = Segment>, wire: &mut BytesMut) {
    for segment in segments {
        segment.slices().iter().for_each(|slice| wire.extend_from_slice(slice));
    }
}

fn hand_in<M: Mux>(machine: &mut M, wire: &mut BytesMut) {
    if !wire.is_empty() {
        machine.handle_input(NOW, wire.split().freeze());
    }
}

fn events<M: Mux>(machine: &mut M, readable: &mut Vec<StreamKey>) {
    while let Some(event) = machine.poll_event() {
        if let MuxEvent::Readable(key) = event {
            readable.push(key);
        }
    }
}

/// Receives, and reads everything that can be read; how many bytes.
fn take<M: Mux>(machine: &mut M, input: Bytes, readable: &mut Vec<StreamKey>) -> usize {
    machine.handle_input(NOW, input);
    events(machine, readable);
    let mut count = 0;
    for key in readable.drain(..) {
        while let Received::Data(bytes) = machine.read(NOW, key, usize::MAX) {
            count += bytes.len();
        }
    }
    count
}

/// Reads exactly so many bytes, and asks for more so that the next are told.
fn read<M: Mux>(machine: &mut M, key: StreamKey, count: usize) -> Option<()> {
    let mut got = 0;
    while let Received::Data(bytes) = machine.read(NOW, key, usize::MAX) {
        got += bytes.len();
    }
    (got == count).then_some(())
}

/// The middle one.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
