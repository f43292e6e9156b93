//! Pings of this side: those of the user, keep-alives, and measurements of the round trip
//! (`docs/protocols/yamux.md` section 7).

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::Instant;
use crate::mux::parts::Every;

/// The most pings that wait for their answers.
const MOST: usize = 64;

/// Who asked for a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    User,
    KeepAlive,
    Probe,
}

/// Pings that were asked for, in order; values count from 0.
#[derive(Debug)]
pub(super) struct Pings {
    next: u32,
    waiting: VecDeque<Waiting>,
    /// Keep-alives among them: looked at with every call.
    asked: u8,
    /// When the next keep-alive is due; stopped while one waits.
    pub(super) keep_alive: Every,
}

#[derive(Debug)]
struct Waiting {
    value: u32,
    by: By,
    /// When it was queued, and once it has left when it did.
    since: Instant,
}

impl Pings {
    pub(super) const fn new(keep_alive: Option<Duration>) -> Self {
        Self { next: 0, waiting: VecDeque::new(), asked: 0, keep_alive: Every::new(keep_alive) }
    }

    /// One more ping: its value, or `None` when as many wait as may. Those of the machine's own
    /// have room in any case.
    pub(super) fn ask(&mut self, now: Instant, by: By) -> Option<u32> {
        if by == By::User && self.waiting.len() >= MOST {
            return None;
        }
        if by == By::KeepAlive {
            self.asked = self.asked.saturating_add(1);
            self.keep_alive.stop();
        }
        let value = self.next;
        self.next = self.next.wrapping_add(1);
        self.waiting.push_back(Waiting { value, by, since: now });
        Some(value)
    }

    /// A ping leaves now: its round trip begins.
    pub(super) fn left(&mut self, now: Instant, value: u32) {
        if let Some(ping) = self.waiting.iter_mut().find(|ping| ping.value == value) {
            ping.since = now;
        }
    }

    /// An answer came: whose, and how long it took; `None` when nobody asked. Answers may come in
    /// any order.
    pub(super) fn answered(&mut self, now: Instant, value: u32) -> Option<(By, Duration)> {
        let index = self.waiting.iter().position(|ping| ping.value == value)?;
        let ping = self.waiting.remove(index)?;
        if ping.by == By::KeepAlive {
            self.asked = self.asked.saturating_sub(1);
            self.keep_alive.restart(now);
        }
        Some((ping.by, now.saturating_since(ping.since)))
    }

    /// Since when a keep-alive has waited for its answer.
    #[inline]
    pub(super) fn unanswered_since(&self) -> Option<Instant> {
        if self.asked == 0 { None } else { self.oldest_unanswered() }
    }

    fn oldest_unanswered(&self) -> Option<Instant> {
        let mut waiting = self.waiting.iter();
        waiting.find(|ping| ping.by == By::KeepAlive).map(|ping| ping.since)
    }
}
