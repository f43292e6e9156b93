//! Real time for machines.

use std::task::{Context, Poll};
use std::time::Instant as StdInstant;

use trunkline_core::Instant;

/// A runtime's timer.
pub trait Sleep: Send + Unpin {
    /// Ready once `at` has been reached; may be called with another time at any moment.
    fn poll_until(&mut self, cx: &mut Context<'_>, at: StdInstant) -> Poll<()>;
}

/// Turns the runtime's clock into the machine's time.
///
/// A binding passes the clock its timers run on, so that a runtime's paused time works.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: StdInstant,
    read: fn() -> StdInstant,
}

impl Clock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn new(read: fn() -> StdInstant) -> Self {
        Self { origin: read(), read }
    }

    /// Now, as machines see it.
    #[must_use]
    pub fn now(self) -> Instant {
        let since = (self.read)().saturating_duration_since(self.origin);
        Instant::ORIGIN + since
    }

    /// A machine's time as the runtime's timers see it.
    #[must_use]
    pub fn to_std(self, at: Instant) -> StdInstant {
        let since = at.saturating_since(Instant::ORIGIN);
        // A time too far ahead to be expressed will not be waited for to its end.
        self.origin
            .checked_add(since)
            .unwrap_or_else(|| self.origin + std::time::Duration::from_secs(1 << 30))
    }
}
