//! The clock of one machine, which may be wrong.

use std::time::Duration;

use trunkline_core::Instant;

/// The clock that one machine is told the time from: right at first, and then as wrong as wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Nanoseconds that it is ahead of the simulation's own time.
    ahead: i128,
    frozen: Option<Instant>,
}

impl Clock {
    /// Puts it forward.
    pub fn forward(&mut self, by: Duration) {
        self.jump(nanos(by));
    }

    /// Puts it back.
    pub fn back(&mut self, by: Duration) {
        self.jump(-nanos(by));
    }

    /// Sets it, given the simulation's own time.
    pub fn set(&mut self, now: Instant, to: Instant) {
        self.ahead = i128::from(to.as_nanos()) - i128::from(now.as_nanos());
        self.frozen = None;
    }

    /// Stops it, given the simulation's own time.
    pub fn freeze(&mut self, now: Instant) {
        self.frozen = Some(self.shows(now));
    }

    /// What it shows at a moment of the simulation's own time.
    #[must_use]
    pub fn shows(&self, now: Instant) -> Instant {
        self.frozen.unwrap_or_else(|| instant(i128::from(now.as_nanos()) + self.ahead))
    }

    /// When it will show `at`, in the simulation's own time; `None` when it never will.
    #[must_use]
    pub fn will_show(&self, at: Instant) -> Option<Instant> {
        match self.frozen {
            Some(shown) => (at <= shown).then_some(Instant::ORIGIN),
            None => Some(instant(i128::from(at.as_nanos()) - self.ahead)),
        }
    }

    fn jump(&mut self, nanos: i128) {
        self.ahead = self.ahead.saturating_add(nanos);
        self.frozen = self.frozen.map(|at| instant(i128::from(at.as_nanos()) + nanos));
    }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

fn instant(nanos: i128) -> Instant {
    Instant::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_what_it_was_set_to_and_goes_on_from_there() {
        let (ten, hour) = (Instant::from_millis(10), Duration::from_secs(3_600));
        let mut clock = Clock::default();
        assert_eq!((clock.shows(ten), clock.will_show(ten)), (ten, Some(ten)));
        clock.forward(hour);
        assert_eq!((clock.shows(ten), clock.will_show(ten + hour)), (ten + hour, Some(ten)));
        clock.back(hour);
        clock.back(hour);
        assert_eq!(clock.shows(ten), Instant::ORIGIN);
        clock.set(ten, Instant::from_nanos(u64::MAX));
        assert_eq!(clock.shows(ten + hour), Instant::from_nanos(u64::MAX));
    }

    #[test]
    fn a_clock_that_stands_still_reaches_nothing() {
        let mut clock = Clock::default();
        clock.freeze(Instant::from_millis(10));
        assert_eq!(clock.shows(Instant::from_millis(500)), Instant::from_millis(10));
        assert_eq!(clock.will_show(Instant::from_millis(11)), None);
        clock.forward(Duration::from_millis(1));
        assert!(clock.will_show(Instant::from_millis(11)).is_some());
    }
}
