//! What a peer may do for nothing, and what becomes of one that does too much of it.

use crate::{Budget, CloseReason, Flood, Instant, Limits, Meter, Violation};

/// A meter for each kind of frame that costs a peer nothing.
#[derive(Clone, Debug)]
pub(crate) struct Guards {
    useless: Meter,
    refused: Meter,
    resets: Meter,
    pings: Meter,
}

impl Guards {
    /// Meters as the limits say.
    pub(crate) const fn new(limits: &Limits) -> Self {
        let meter = Meter::new(limits.useless_burst, limits.useless_rate);
        let (useless, refused) = (meter, Meter::new(limits.useless_burst, limits.useless_rate));
        let resets = Meter::new(limits.useless_burst, limits.useless_rate);
        let pings = Meter::new(limits.useless_burst, limits.useless_rate);
        Self { useless, refused, resets, pings }
    }

    /// One more such frame came: an error when that is too many, with which the connection ends.
    pub(crate) fn count(&mut self, now: Instant, kind: Flood) -> Result<(), CloseReason> {
        let meter = match kind {
            Flood::Useless | Flood::Memory => &mut self.useless,
            Flood::RefusedOpens => &mut self.refused,
            Flood::Resets => &mut self.resets,
            Flood::Pings => &mut self.pings,
        };
        if meter.take(now) {
            return Ok(());
        }
        Err(CloseReason::Violation(Violation::Flood(kind)))
    }
}

/// How short memory is: each step takes more from the peer than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    /// None.
    Free,
    /// Windows grow no more.
    NoGrowth,
    /// No new streams either.
    NoStreams,
    /// The longest unread stream has to be reset; and where there is none, the connection ends with
    /// [`Flood::Memory`].
    Reset,
}

impl Pressure {
    /// How short `budget` is.
    pub(crate) fn of(budget: &Budget, limits: &Limits) -> Self {
        Self::within(budget, limits.connection_memory)
    }

    /// How short a budget of `limit` bytes is.
    pub(super) fn within(budget: &Budget, limit: usize) -> Self {
        match budget.left() {
            0 => Self::Reset,
            left if left < limit / 8 => Self::NoStreams,
            left if left < limit / 2 => Self::NoGrowth,
            _ => Self::Free,
        }
    }
}
