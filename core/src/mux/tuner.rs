//! What the windows of a connection have in common: their rule, the link's round trip, the bound on
//! all of them together.

use core::time::Duration;

use super::parts::{RoundTrip, Slot, Window};
use crate::Instant;

/// The bandwidth beyond which a window need not grow, in bytes a second.
const FASTEST: u128 = 1_250_000_000;

/// A round trip is measured anew after so long, while data comes.
const PROBE: Duration = Duration::from_secs(10);

/// A grant whose data did not come for so long measures nothing any more.
const STALE: Duration = Duration::from_secs(2);

/// How a wire's windows begin, end and grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowRule {
    /// The window at the start, in bytes.
    pub(crate) initial: u32,
    /// The largest window, in bytes; never less than `initial`.
    pub(crate) largest: u32,
    /// Whether windows grow at all.
    pub(crate) grows: bool,
    /// Whether the wire has pings. Where it has none, the time between a grant and the data that
    /// needed it stands for the round trip.
    pub(crate) pings: bool,
    /// A window that is not used up in such a time runs down to its start.
    pub(crate) idle: Duration,
}

impl WindowRule {
    /// A window that grows from `initial` to `largest`, on a wire with pings.
    pub(crate) const fn new(initial: u32, largest: u32) -> Self {
        let largest = if largest < initial { initial } else { largest };
        let largest = if largest > Window::LARGEST { Window::LARGEST } else { largest };
        Self { initial, largest, grows: true, pings: true, idle: Duration::from_secs(10) }
    }

    /// The same on a wire without pings.
    #[must_use]
    pub(crate) const fn without_pings(self) -> Self {
        Self { pings: false, ..self }
    }

    /// The same, but windows stay as they begin.
    #[must_use]
    pub(crate) const fn fixed(self) -> Self {
        Self { grows: false, ..self }
    }
}

/// What the windows of a connection have in common.
#[derive(Clone, Debug)]
pub(crate) struct Tuner {
    /// How they begin, end and grant.
    pub(crate) rule: WindowRule,
    /// What is known of the link. The wire puts in the round trips of its pings.
    pub(crate) round_trip: RoundTrip,
    /// Bytes by which windows are larger than they began, over all streams.
    grown: u64,
    /// The most of that.
    most: u64,
    /// A round trip should be measured.
    probe: bool,
    probed: Option<Instant>,
    watched: Option<Watched>,
    /// How long the data had waited that was read last, in nanoseconds.
    waited: u64,
    /// A window grew, and the grant that says so is still to come: what the peer waits for until
    /// then is the fault of the smaller window.
    fresh: bool,
}

/// The grant whose effect is timed: one at a time.
#[derive(Clone, Copy, Debug)]
struct Watched {
    slot: Slot,
    at: Instant,
    /// What the peer may send without it.
    before: u32,
    /// When the peer had used that up.
    dry: Option<Instant>,
    /// How long the data had waited whose reading led to it, in nanoseconds.
    waited: u64,
}

impl Tuner {
    /// Windows by `rule`, which may grow by `most` bytes over all streams.
    pub(crate) fn new(rule: WindowRule, most: usize) -> Self {
        Self {
            rule,
            round_trip: RoundTrip::default(),
            grown: 0,
            most: most as u64,
            probe: false,
            probed: None,
            watched: None,
            waited: 0,
            fresh: false,
        }
    }

    /// Bytes by which windows are larger than they began, over all streams.
    #[cfg(test)]
    pub(crate) const fn grown(&self) -> u64 {
        self.grown
    }

    /// Whether a ping should go out to measure the round trip: asked for once, while data comes in
    /// and the last measurement is old. The wire calls it in `poll_transmit`.
    pub(crate) const fn take_probe(&mut self) -> bool {
        core::mem::replace(&mut self.probe, false)
    }

    pub(super) fn want_probe(&mut self, now: Instant) {
        let due = self.probed.is_none_or(|at| now.saturating_since(at) >= PROBE);
        if due && self.rule.pings {
            self.probed = Some(now);
            self.probe = true;
        }
    }

    /// By how much a window of `size` grows, counted.
    pub(super) fn grow(&mut self, size: u32, factor: u32) -> u32 {
        let trip = self.round_trip.shortest().unwrap_or_default();
        let enough = trip.as_nanos().saturating_mul(FASTEST) / 1_000_000_000;
        if u128::from(size) >= enough {
            return 0;
        }
        let wanted = size.saturating_mul(factor).min(self.rule.largest);
        let room = self.most.saturating_sub(self.grown);
        let more = u64::from(wanted.saturating_sub(size)).min(room);
        self.grown += more;
        self.fresh = true;
        u32::try_from(more).unwrap_or(0)
    }

    pub(super) fn shrink(&mut self, less: u32) {
        self.grown = self.grown.saturating_sub(u64::from(less));
    }

    #[inline]
    pub(super) const fn note_wait(&mut self, waited: u64) {
        self.waited = waited;
    }

    pub(super) fn note_grant(&mut self, now: Instant, slot: Slot, before: u32) {
        let free = self.watched.is_none_or(|old| now.saturating_since(old.at) > STALE);
        let fresh = core::mem::replace(&mut self.fresh, false);
        if self.rule.grows && free && !fresh {
            let dry = (before == 0).then_some(now);
            self.watched = Some(Watched { slot, at: now, before, dry, waited: self.waited });
        }
    }

    /// Notes that data came, and answers by what factor it shows the window to be too small: the
    /// peer stood still for want of a grant for so much of a round trip.
    #[inline]
    pub(super) fn note_arrival(&mut self, now: Instant, slot: Slot, len: u32) -> u32 {
        if self.watched.is_none_or(|watched| watched.slot != slot) {
            return 1;
        }
        self.judge_arrival(now, len)
    }

    fn judge_arrival(&mut self, now: Instant, len: u32) -> u32 {
        let Some(watched) = self.watched.as_mut() else { return 1 };
        if len <= watched.before && watched.before > 0 {
            watched.before -= len;
            if watched.before == 0 {
                watched.dry = Some(now);
            }
            return 1;
        }
        // This needed the grant. Had the peer stood still for want of it, a gap shows how long the
        // way is; where none is to be seen, the grant came before it was needed.
        let took = now.saturating_since(watched.at);
        let gap = watched.dry.map(|dry| now.saturating_since(dry)).unwrap_or_default();
        let waited = Duration::from_nanos(watched.waited);
        self.watched = None;
        if !self.rule.pings && gap * 4 > took {
            self.round_trip.sample(now, took);
        }
        let trip = self.round_trip.shortest().unwrap_or_default();
        if took > trip * 5 / 4 || waited > trip / 4 {
            return 1;
        }
        if gap * 8 >= took * 7 {
            8
        } else if gap * 4 >= took * 3 {
            4
        } else {
            1
        }
    }
}
