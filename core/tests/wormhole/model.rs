//! Two machines against each other, through arbitrary cuts, against what a pipe would do.

use bytes::Bytes;
use proptest::prelude::*;
use trunkline_core::mux::{Finished, Mux as _, Received, Sent, Side, StreamEnd, StreamKey};
use trunkline_core::wormhole::{Config, FrameOrder};
use trunkline_core::{Instant, Machine as _};

use crate::pair::{End, quiet};

/// A step of either end.
#[derive(Clone, Debug)]
enum Step {
    Open,
    Accept,
    Write(usize, usize),
    Read(usize, usize),
    Finish(usize),
    /// So many segments leave, in pieces of so many bytes.
    Carry(usize, usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let step = prop_oneof![
        2 => Just(Step::Open),
        2 => Just(Step::Accept),
        6 => (0..4_usize, 0..70_000_usize).prop_map(|(s, n)| Step::Write(s, n)),
        6 => (0..4_usize, 1..70_000_usize).prop_map(|(s, n)| Step::Read(s, n)),
        1 => (0..4_usize).prop_map(Step::Finish),
        6 => (0..9_usize, 1..5_000_usize).prop_map(|(n, size)| Step::Carry(n, size)),
        1 => (0..3_000_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec((any::<bool>(), step), 1..120)
}

/// One stream seen from one end.
#[derive(Debug)]
struct Half {
    key: StreamKey,
    id: u32,
    written: usize,
    read: usize,
    finished: bool,
}

/// Byte `at` of what `side` writes on stream `id`.
fn byte(id: u32, side: Side, at: usize) -> u8 {
    (at as u32).wrapping_mul(31).wrapping_add(id * 7 + u32::from(side == Side::Client)) as u8
}

fn other(side: Side) -> Side {
    if side == Side::Client { Side::Server } else { Side::Client }
}

struct World {
    ends: [End; 2],
    halves: [Vec<Half>; 2],
    now: Instant,
}

impl World {
    fn new(config: &Config) -> Self {
        let ends = [Side::Client, Side::Server].map(|side| End::new(side, config.clone()));
        let now = ends[0].now;
        Self { ends, halves: [vec![], vec![]], now }
    }

    fn learn(&mut self, end: usize, key: StreamKey) {
        let id = self.ends[end].machine.stream_stats(key).unwrap().id;
        self.halves[end].push(Half { key, id, written: 0, read: 0, finished: false });
    }

    fn step(&mut self, end: usize, step: &Step) {
        let side = [Side::Client, Side::Server][end];
        let (one, now) = (&mut self.ends[end], self.now);
        match *step {
            Step::Open if self.halves[end].len() < 4 => {
                let key = one.open();
                self.learn(end, key);
            }
            Step::Accept => {
                if let Some(key) = one.accept() {
                    self.learn(end, key);
                }
            }
            Step::Write(stream, count) => {
                let Some(half) = self.halves[end].get_mut(stream) else { return };
                let bytes: Vec<u8> =
                    (0..count).map(|at| byte(half.id, side, half.written + at)).collect();
                match one.machine.write(now, half.key, &mut Bytes::from(bytes)) {
                    Sent::Accepted(taken) => half.written += taken,
                    Sent::Blocked | Sent::End(_) => {}
                    Sent::Unknown => panic!("a stream was lost"),
                }
            }
            Step::Read(stream, max) => {
                self.read(end, stream, max);
            }
            Step::Finish(stream) => {
                let Some(half) = self.halves[end].get_mut(stream) else { return };
                let finished = one.machine.finish(now, half.key);
                assert_eq!(finished == Finished::Already, half.finished);
                half.finished = true;
            }
            Step::Carry(count, size) => self.carry(end, count, size),
            Step::Wait(millis) => {
                self.now = Instant::from_nanos(self.now.as_nanos() + millis * 1_000_000);
                for end in &mut self.ends {
                    end.now = self.now;
                    end.machine.handle_timeout(self.now);
                }
            }
            Step::Open => {}
        }
    }

    /// Reads once, and compares; whether anything came.
    fn read(&mut self, end: usize, stream: usize, max: usize) -> bool {
        let side = [Side::Client, Side::Server][end];
        let Some(half) = self.halves[end].get_mut(stream) else { return false };
        match self.ends[end].machine.read(self.now, half.key, max) {
            Received::Data(bytes) => {
                assert!(bytes.len() <= max);
                for (at, seen) in bytes.iter().enumerate() {
                    assert_eq!(*seen, byte(half.id, other(side), half.read + at));
                }
                half.read += bytes.len();
                true
            }
            Received::Blocked => false,
            Received::End(StreamEnd::Finished) => {
                // All that the other side wrote before its CLOSE has come.
                let (id, read) = (half.id, half.read);
                let theirs = self.halves[1 - end].iter().find(|half| half.id == id).unwrap();
                assert!(theirs.finished && theirs.written == read, "{theirs:?} {read}");
                false
            }
            Received::End(StreamEnd::Local(_)) => {
                assert!(half.finished);
                false
            }
            other => panic!("{other:?}"),
        }
    }

    fn carry(&mut self, from: usize, count: usize, size: usize) {
        for _ in 0..count {
            let Some(segment) = self.ends[from].machine.poll_transmit(self.now) else { return };
            let bytes = segment.into_bytes();
            let to = &mut self.ends[1 - from];
            for start in (0..bytes.len()).step_by(size) {
                let piece = bytes.slice(start..bytes.len().min(start + size));
                to.machine.handle_input(self.now, piece);
            }
        }
    }

    /// Everything moves to its end; nothing is lost on streams that nobody finished.
    fn settle(&mut self) {
        // A stall guard speaks within four of these rounds.
        let mut idle = 0;
        while idle < 6 {
            let before = self.ends.iter().map(|end| end.machine.stats().frames_in).sum::<u64>();
            for end in 0..2 {
                self.step(end, &Step::Accept);
                self.carry(end, 1_000, 100_000);
                for stream in 0..self.halves[end].len() {
                    while self.read(end, stream, 1 << 20) {}
                }
            }
            self.step(0, &Step::Wait(300));
            let after = self.ends.iter().map(|end| end.machine.stats().frames_in).sum::<u64>();
            idle = if before == after { idle + 1 } else { 0 };
        }
        for end in 0..2 {
            assert_eq!(self.ends[end].closed(), None);
            let stats = self.ends[end].machine.stats();
            assert_eq!((stats.queued_in, stats.queued_out), (0, 0));
            for half in &self.halves[end] {
                let theirs = self.halves[1 - end].iter().find(|theirs| theirs.id == half.id);
                let theirs = theirs.expect("it was accepted");
                if !half.finished && !theirs.finished {
                    assert_eq!(theirs.written, half.read);
                }
            }
        }
    }
}

fn run(config: &Config, steps: &[(bool, Step)]) {
    let mut world = World::new(config);
    for (end, step) in steps {
        world.step(usize::from(*end), step);
    }
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn two_machines_carry_what_a_pipe_would(steps in steps()) {
        run(&quiet(), &steps);
    }

    #[test]
    fn two_machines_with_tiny_windows_do_too(steps in steps(), window in 1..2_000_u32) {
        let mut config = quiet();
        config.window = window;
        config.limits.send_queue = 3_000;
        run(&config, &steps);
    }

    #[test]
    fn two_originals_do_too(steps in steps()) {
        let mut config = Config::reference();
        config.keep_alive_interval = core::time::Duration::ZERO;
        config.frame_order = FrameOrder::Written;
        // Their faults would make the model's rules untrue.
        config.late_data = quiet().late_data;
        config.late_writes = quiet().late_writes;
        config.ends = quiet().ends;
        run(&config, &steps);
    }
}
