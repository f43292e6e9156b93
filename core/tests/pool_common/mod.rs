//! A pool, its clock, and what it said so far.

#![allow(dead_code)]

use std::time::Duration;

use trunkline_core::Instant;
use trunkline_core::pool::{
    Action, Got, Key, PoolConfig, PoolMachine, PoolStats, Refusal, Ticket, Warmth,
};

/// The longest jitter there is: pauses are the whole of what the doubling gives.
const RANDOM: u64 = u64::MAX;

/// A pool under a clock that only the test moves.
pub(crate) struct Bed {
    pub(crate) pool: PoolMachine,
    pub(crate) now: Instant,
}

impl Bed {
    pub(crate) fn new(change: impl FnOnce(&mut PoolConfig)) -> Self {
        let mut config = PoolConfig::default();
        change(&mut config);
        Self { pool: PoolMachine::new(config, Instant::ORIGIN), now: Instant::ORIGIN }
    }

    /// A shared one with so many connections, the oldest first.
    pub(crate) fn with(count: usize, change: impl FnOnce(&mut PoolConfig)) -> (Self, Vec<Key>) {
        let mut bed = Self::new(|config| {
            change(config);
            assert!(config.max_size >= count);
        });
        // Each of so many callers of an empty pool has one dialled.
        let callers: Vec<_> = (0..count).map(|_| bed.wait()).collect();
        let keys = bed.dials();
        assert_eq!(keys.len(), count);
        callers.into_iter().for_each(|ticket| bed.pool.forget(ticket));
        for key in &keys {
            bed.pool.dialled(bed.now, *key);
        }
        bed.actions();
        (bed, keys)
    }

    pub(crate) fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.pool.poll_action()).collect()
    }

    /// What it says, which is nothing but dials.
    pub(crate) fn dials(&mut self) -> Vec<Key> {
        let only = |action| match action {
            Action::Dial(key) => key,
            other => panic!("not a dial: {other:?}"),
        };
        self.actions().into_iter().map(only).collect()
    }

    /// The one dial that it asks for.
    pub(crate) fn dial(&mut self) -> Key {
        let dials = self.dials();
        assert_eq!(dials.len(), 1, "{dials:?}");
        dials[0]
    }

    pub(crate) fn get(&mut self) -> Got {
        self.pool.get(self.now)
    }

    /// A caller that has to wait.
    pub(crate) fn wait(&mut self) -> Ticket {
        match self.get() {
            Got::Wait(ticket) => ticket,
            other => panic!("does not wait: {other:?}"),
        }
    }

    /// A caller that gets one at once.
    pub(crate) fn ready(&mut self) -> Key {
        match self.get() {
            Got::Ready(key) => key,
            other => panic!("gets none: {other:?}"),
        }
    }

    pub(crate) fn refused(&mut self) -> Refusal {
        match self.get() {
            Got::Refused(why) => why,
            other => panic!("is not refused: {other:?}"),
        }
    }

    /// A warm-up that has to wait.
    pub(crate) fn warm_up(&mut self) -> Ticket {
        match self.pool.warm_up(self.now) {
            Warmth::Wait(ticket) => ticket,
            other => panic!("does not wait: {other:?}"),
        }
    }

    pub(crate) fn dialled(&mut self, key: Key) {
        self.pool.dialled(self.now, key);
    }

    pub(crate) fn failed(&mut self, key: Key) {
        self.pool.dial_failed(self.now, key, RANDOM);
    }

    pub(crate) fn ended(&mut self, key: Key) {
        self.pool.ended(self.now, key);
    }

    pub(crate) fn opened(&mut self, key: Key, count: usize) {
        for _ in 0..count {
            self.pool.stream_opened(self.now, key);
        }
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns = 0;
        while let Some(at) = self.pool.poll_timeout().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline in the past");
            self.now = at;
            self.pool.handle_timeout(at, RANDOM);
            turns += 1;
            assert!(turns < 100_000, "time stands still at {at:?}");
        }
        self.now = end;
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.pool.stats()
    }
}

pub(crate) fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}
