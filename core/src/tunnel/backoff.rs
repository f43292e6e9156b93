//! When an agent dials again: `docs/protocols/agent-tunnel.md` section 1.

use core::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
const LASTED: Duration = Duration::from_secs(30);

/// The waits of an agent between its attempts to join: 1 s, doubling up to 60 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The first wait is 1 s.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A connection was lost that had lasted so long: above 30 s the waits begin anew.
    pub fn lost(&mut self, lasted: Duration) {
        if lasted > LASTED {
            self.next = FIRST;
        }
    }

    /// How long to wait before the next attempt; the one after it waits twice as long.
    ///
    /// `jitter` is random: of a quarter of the wait the part of it that it is of `u32::MAX` is taken
    /// off, so that agents that lost the same relay do not come back in one moment. 0 is the
    /// original's wait.
    pub fn wait(&mut self, jitter: u32) -> Duration {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(LONGEST);
        let part = f64::from(jitter) / f64::from(u32::MAX);
        wait.saturating_sub((wait / 4).mul_f64(part))
    }
}
