//! The life of a connection: open, closing, over; and the clocks that watch over it.

use core::time::Duration;

use crate::{CloseReason, Instant, TimeoutKind};

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In use.
    Open,
    /// `close` was called: what is queued is still sent.
    Closing,
    /// Over; farewells may still be sent.
    Over,
}

/// What was begun before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Not,
    /// The link can no longer be written to; what still arrives is taken in.
    Cut,
    /// This side closes.
    Closing,
}

/// The shared life of a connection: closing with a bound, one reason, keep-alive, write progress.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    reason: Option<CloseReason>,
    /// An orderly close is over at this time at the latest.
    drain_until: Option<Instant>,
    ending: Ending,
    /// How long the transport may take nothing while something waits; `None`: for ever.
    write_timeout: Option<Duration>,
    /// Since when something has waited and nothing was taken.
    stuck_since: Option<Instant>,
}

impl Life {
    /// A connection in use. `write_timeout` ends it when the transport takes nothing for so long.
    pub(crate) const fn new(write_timeout: Option<Duration>) -> Self {
        let ending = Ending::Not;
        Self { reason: None, drain_until: None, ending, write_timeout, stuck_since: None }
    }

    /// Where the connection stands.
    #[inline]
    pub(crate) const fn phase(&self) -> Phase {
        match (&self.reason, self.ending) {
            (Some(_), _) => Phase::Over,
            (None, Ending::Cut | Ending::Closing) => Phase::Closing,
            (None, Ending::Not) => Phase::Open,
        }
    }

    /// Whether streams can be opened, and those that the peer opens are taken.
    #[inline]
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.phase(), Phase::Open)
    }

    /// Whether streams that wait for accept are handed out: also behind an end that came over the
    /// link, because they were opened before it; not once this side has closed.
    pub(crate) const fn hands_out(&self) -> bool {
        !matches!(self.ending, Ending::Closing) && !matches!(self.reason, Some(CloseReason::Local))
    }

    /// Why it is over.
    #[inline]
    pub(crate) const fn closed(&self) -> Option<&CloseReason> {
        self.reason.as_ref()
    }

    /// Ends the connection; false, and nothing changes, when it had ended. The wire then tells it.
    pub(crate) fn end(&mut self, reason: CloseReason) -> bool {
        let first = self.reason.is_none();
        if first {
            self.reason = Some(reason);
            self.drain_until = None;
            self.stuck_since = None;
        }
        first
    }

    /// Begins an orderly close; false when it had begun, or the connection is over.
    pub(crate) fn close(&mut self, now: Instant, drain: Duration) -> bool {
        if self.ending == Ending::Closing || self.reason.is_some() {
            return false;
        }
        self.ending = Ending::Closing;
        self.drain_until = earliest([self.drain_until, Some(now + drain)]);
        true
    }

    /// The link can no longer be written to: it is over after `drain` at the latest, until when what
    /// arrives is taken in.
    pub(crate) fn cut(&mut self, now: Instant, drain: Duration) {
        if self.ending == Ending::Not && self.reason.is_none() {
            self.ending = Ending::Cut;
            self.drain_until = Some(now + drain);
        }
    }

    /// Note before each `poll_transmit` returns whether something was taken, and whether more waits.
    #[inline]
    pub(crate) fn transmitted(&mut self, now: Instant, taken: bool, waits: bool) {
        if !waits {
            self.stuck_since = None;
        } else if taken || self.stuck_since.is_none() {
            self.stuck_since = Some(now);
        }
    }

    /// Note after each call that may have queued something, whether something waits; that is asked
    /// for only where nothing was known to wait.
    #[inline]
    pub(crate) fn queued(&mut self, now: Instant, waits: impl FnOnce() -> bool) {
        if self.stuck_since.is_none() && waits() {
            self.stuck_since = Some(now);
        }
    }

    /// The next deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.reason.is_some() {
            return None;
        }
        let stuck = self.stuck_since.zip(self.write_timeout).map(|(since, most)| since + most);
        earliest([self.drain_until, stuck])
    }

    /// Which deadline has passed, if any: the reason for which the connection is then to end.
    pub(crate) fn expired(&self, now: Instant) -> Option<CloseReason> {
        if self.reason.is_some() {
            return None;
        }
        if self.drain_until.is_some_and(|at| at <= now) {
            return Some(CloseReason::Timeout(TimeoutKind::Close));
        }
        let stuck = self.stuck_since.zip(self.write_timeout)?;
        (stuck.0 + stuck.1 <= now).then_some(CloseReason::Timeout(TimeoutKind::Write))
    }
}

/// The first of several deadlines.
#[inline]
pub(crate) fn earliest<const N: usize>(deadlines: [Option<Instant>; N]) -> Option<Instant> {
    let mut first: Option<Instant> = None;
    for at in deadlines.into_iter().flatten() {
        first = Some(first.map_or(at, |first| first.min(at)));
    }
    first
}

/// A clock that fires again and again, from the first time it is told.
#[derive(Clone, Debug)]
pub(crate) struct Every {
    interval: Option<Duration>,
    next: Option<Instant>,
}

impl Every {
    /// Fires every `interval`; never where there is none.
    pub(crate) const fn new(interval: Option<Duration>) -> Self {
        Self { interval, next: None }
    }

    /// Starts it, if it does not run: call it wherever a time comes in.
    #[inline]
    pub(crate) fn start(&mut self, now: Instant) {
        if self.next.is_none() {
            self.next = self.interval.map(|interval| now + interval);
        }
    }

    /// Whether it fires now; the next time lies one interval ahead.
    pub(crate) fn fires(&mut self, now: Instant) -> bool {
        let fires = self.next.is_some_and(|at| at <= now);
        if fires {
            self.next = self.interval.map(|interval| now + interval);
        }
        fires
    }

    /// Whether it was started, and not stopped since.
    #[inline]
    pub(crate) const fn runs(&self) -> bool {
        self.next.is_some()
    }

    /// Lets a whole interval pass from now.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.next = self.interval.map(|interval| now + interval);
    }

    /// Stops it until it is started again.
    pub(crate) const fn stop(&mut self) {
        self.next = None;
    }

    /// When it fires next.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}
