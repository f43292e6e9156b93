//! Deadlines that lose to what had already arrived.

use std::task::{Context, Poll};

use trunkline_core::{Instant, Machine};

use crate::link::ROUNDS;
use crate::{Clock, Sleep};

/// What a round should do about a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// It is not reached: wait, when there is nothing else to do.
    NotYet,
    /// It is reached, and what is there already is looked at once more.
    LookAgain,
    /// It is reached, and nothing that came in time is left: act on it.
    Now,
}

/// A timer, and how long its deadline has been reached.
///
/// A runtime that was busy finds a deadline behind it and bytes before it in the same poll. The
/// bytes came in time, so they are taken in first: a deadline is acted upon when the timer has
/// fired *and* a whole round after that moved nothing. Whether the timer has fired is the runtime's
/// to say, not the clock's: a reactor that has looked at its timers has looked at its descriptors
/// as well, and before. A peer that never stops gets a few rounds more, not more time.
#[derive(Debug)]
pub(crate) struct Deadline<S> {
    sleep: S,
    clock: Clock,
    /// The deadline that the next two are about.
    at: Option<Instant>,
    /// The timer has fired in an earlier round.
    fired: bool,
    /// Rounds that moved something behind the deadline.
    late: usize,
}

impl<S: Sleep> Deadline<S> {
    pub(crate) const fn new(sleep: S, clock: Clock) -> Self {
        Self { sleep, clock, at: None, fired: false, late: 0 }
    }

    /// Asked at the end of every round, with the deadline there is and whether the round moved
    /// anything. Without a deadline, or with one ahead and nothing moved, the timer wakes the task.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, at: Option<Instant>, moved: bool) -> Due {
        if self.at != at {
            (self.at, self.fired, self.late) = (at, false, 0);
        }
        let Some(at) = at else { return Due::NotYet };
        if moved {
            self.late += usize::from(at <= self.clock.now());
            return if self.late > ROUNDS { self.act() } else { Due::NotYet };
        }
        // Asked again in the second round although it has fired: it says no if the runtime wants
        // the task to yield, and then that is why there was nothing to read.
        match self.poll_until(cx, at) {
            Poll::Pending => Due::NotYet,
            Poll::Ready(()) if std::mem::replace(&mut self.fired, true) => self.act(),
            Poll::Ready(()) => Due::LookAgain,
        }
    }

    fn act(&mut self) -> Due {
        self.at = None;
        Due::Now
    }

    /// Ready once the timer says that this time is reached.
    pub(crate) fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.sleep.poll_until(cx, self.clock.to_std(at))
    }
}

/// Tells a machine that its deadline is reached, unless what came meanwhile has lifted it.
pub(crate) fn reached<M: Machine>(machine: &mut M, now: Instant, at: Option<Instant>) {
    if let Some(at) = at.filter(|_| machine.poll_timeout() == at) {
        // Timers may be a little early, which must not make this a loop.
        machine.handle_timeout(now.max(at));
    }
}
