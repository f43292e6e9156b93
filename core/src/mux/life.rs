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

/// The shared life of a connection: closing with a bound, one reason, keep-alive, write progress.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    reason: Option<CloseReason>,
    /// An orderly close is over at this time at the latest.
    drain_until: Option<Instant>,
    closing: bool,
    /// How long the transport may take nothing while something waits; `None`: for ever.
    write_timeout: Option<Duration>,
    /// Since when something has waited and nothing was taken.
    stuck_since: Option<Instant>,
}

impl Life {
    /// A connection in use. `write_timeout` ends it when the transport takes nothing for so long.
    pub(crate) const fn new(write_timeout: Option<Duration>) -> Self {
        Self { reason: None, drain_until: None, closing: false, write_timeout, stuck_since: None }
    }

    /// Where the connection stands.
    #[inline]
    pub(crate) const fn phase(&self) -> Phase {
        match (&self.reason, self.closing) {
            (Some(_), _) => Phase::Over,
            (None, true) => Phase::Closing,
            (None, false) => Phase::Open,
        }
    }

    /// Whether streams can be opened and accepted.
    #[inline]
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.phase(), Phase::Open)
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
        if self.closing || self.reason.is_some() {
            return false;
        }
        self.closing = true;
        self.drain_until = Some(now + drain);
        true
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
pub(crate) fn earliest<const N: usize>(deadlines: [Option<Instant>; N]) -> Option<Instant> {
    deadlines.into_iter().flatten().min()
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
