//! What a pool does when time has passed.

use super::{Action, PoolMachine, Refusal};
use crate::Instant;

impl PoolMachine {
    /// When [`handle_timeout`](Self::handle_timeout) must be called next, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let waits = !self.gets.is_empty() || !self.warm_ups.is_empty();
        let sweeps = [self.next_health_check, self.next_idle_sweep, self.pause.filter(|_| waits)];
        sweeps.into_iter().chain(self.dials.iter().map(|dial| dial.until)).flatten().min()
    }

    /// Acts on everything that `now` has reached: gives up dials that take too long, ends a pause,
    /// takes out connections that have ended and closes those that are idle. Harmless when nothing
    /// is due.
    ///
    /// `random` is for the pause behind a dial that is given up, as in
    /// [`dial_failed`](Self::dial_failed).
    pub fn handle_timeout(&mut self, now: Instant, random: u64) {
        if self.closed {
            return;
        }
        let late = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        while let Some(at) = self.dials.iter().position(|dial| late(dial.until)) {
            let dial = self.dials.remove(at);
            self.actions.push_back(Action::GiveUp(dial.key));
            self.failed(now, &dial, random, Refusal::DialTimedOut);
        }
        if late(self.next_health_check) {
            self.next_health_check = self.config.health_sweep().map(|time| now + time);
            self.check_health();
        }
        if late(self.next_idle_sweep) {
            self.next_idle_sweep = self.config.idle_sweep().map(|time| now + time);
            self.close_idle(now);
        }
        self.settle(now);
    }

    /// Takes out connections that have ended, and counts them.
    fn check_health(&mut self) {
        let before = self.entries.len();
        self.entries.retain(|entry| !entry.ended);
        let found = before.saturating_sub(self.entries.len()) as u64;
        self.health_check_failures = self.health_check_failures.saturating_add(found);
    }

    /// Closes connections without streams that were not used for too long, the oldest first, down to
    /// the smallest size.
    fn close_idle(&mut self, now: Instant) {
        let Some(limit) = self.config.max_idle_time else { return };
        let mut spare = self.len().saturating_sub(self.config.min_size);
        let actions = &mut self.actions;
        self.entries.retain(|entry| {
            let idle = !entry.ended
                && entry.streams == 0
                && now.saturating_since(entry.used) > limit
                && spare > 0;
            if idle {
                spare -= 1;
                actions.push_back(Action::Close(entry.key));
            }
            !idle
        });
    }
}
