//! When a pool dials, and what becomes of it.

use super::{Action, Entry, Key, PoolMachine, Refusal};
use crate::Instant;

/// A dial under way.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) key: Key,
    /// Given up at this time.
    pub(super) until: Option<Instant>,
    /// The failures in a row when it began: those of one burst count once.
    burst: u32,
}

impl PoolMachine {
    /// Reports that a connection was made. One that comes too late, because the pool is closed or
    /// the dial was given up, is to be closed. A second report about the same one changes nothing.
    pub fn dialled(&mut self, now: Instant, key: Key) {
        if self.take_dial(key).is_none() {
            if self.entries.iter().any(|entry| entry.key == key) {
                return;
            }
            self.actions.push_back(Action::Close(key));
            return;
        }
        let entry = Entry { key, ended: false, streams: 0, given: 0, used: now };
        self.entries.push(entry);
        self.total_connections = self.total_connections.saturating_add(1);
        (self.failures, self.pause) = (0, None);
        self.settle(now);
    }

    /// Reports that a dial failed, or ended without saying how. No other begins before a pause, of
    /// which `random`, from the whole range of its type, decides the second half.
    pub fn dial_failed(&mut self, now: Instant, key: Key, random: u64) {
        if let Some(dial) = self.take_dial(key) {
            self.failed(now, &dial, random, Refusal::DialFailed);
        }
    }

    fn take_dial(&mut self, key: Key) -> Option<Dial> {
        let at = self.dials.iter().position(|dial| dial.key == key)?;
        Some(self.dials.remove(at))
    }

    pub(super) fn failed(&mut self, now: Instant, dial: &Dial, random: u64, why: Refusal) {
        self.failed_connections = self.failed_connections.saturating_add(1);
        if dial.burst == self.failures {
            self.failures = self.failures.saturating_add(1);
            self.pause = Some(now + self.config.backoff(self.failures, random));
        }
        let refuse = |ticket| Action::Refuse(ticket, why);
        self.actions.extend(self.warm_ups.drain(..).map(refuse));
        if self.dials.is_empty() && self.is_empty() {
            self.actions.extend(self.gets.drain(..).map(refuse));
        }
        self.settle(now);
    }

    /// Begins as many dials as those who wait need and as there is room for; behind a failure one at
    /// a time, until one succeeds.
    pub(super) fn begin_dials(&mut self, now: Instant) {
        self.pause = self.pause.filter(|until| now < *until);
        if self.pause.is_some() {
            return;
        }
        let (live, dialling) = (self.len(), self.dials.len());
        let callers = self.gets.len().div_ceil(self.config.policy.callers_a_dial());
        let warm = match self.warm_ups.is_empty() {
            true => 0,
            false => self.config.warm_size().saturating_sub(live),
        };
        let most = if self.failures > 0 { 1 } else { usize::MAX };
        let wanted = callers.max(warm).min(most).saturating_sub(dialling);
        let room = self.config.max_size.saturating_sub(live).saturating_sub(dialling);
        for _ in 0..wanted.min(room) {
            self.make_place();
            let key = Key(self.number());
            let until = self.config.dial_limit().map(|time| now + time);
            self.dials.push(Dial { key, until, burst: self.failures });
            self.actions.push_back(Action::Dial(key));
        }
    }

    /// Takes ended connections out when a new one needs their place.
    fn make_place(&mut self) {
        if self.entries.len().saturating_add(self.dials.len()) >= self.config.max_size {
            self.entries.retain(|entry| !entry.ended);
        }
    }
}
