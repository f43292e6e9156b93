//! How long the way there and back takes.

use core::time::Duration;

use crate::Instant;

/// How long a measurement counts.
const FRESH: Duration = Duration::from_secs(30);

/// The shortest round trip of late: what the link takes when nothing waits on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoundTrip {
    last: Option<Duration>,
    /// The shortest in this period, and in the one before.
    shortest: Option<Duration>,
    before: Option<Duration>,
    began: Instant,
}

impl RoundTrip {
    /// A round trip took so long.
    pub(crate) fn sample(&mut self, now: Instant, took: Duration) {
        self.last = Some(took);
        if now.saturating_since(self.began) >= FRESH {
            self.began = now;
            self.before = self.shortest.take();
        }
        self.shortest = Some(self.shortest.map_or(took, |shortest| shortest.min(took)));
    }

    /// The last that was measured.
    pub(crate) const fn last(&self) -> Option<Duration> {
        self.last
    }

    /// The shortest of late; `None` before the first.
    pub(crate) fn shortest(&self) -> Option<Duration> {
        match (self.shortest, self.before) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        }
    }
}
