//! Medians, and how far the samples lie apart.

/// What repeated measurements of one thing gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// The middle one.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) low: f64,
    /// The largest.
    pub(crate) high: f64,
}

impl Summary {
    /// Sums samples up; nothing was measured when there are none.
    pub(crate) fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        samples.sort_by(f64::total_cmp);
        let (low, high) = (*samples.first()?, *samples.last()?);
        let middle = samples.len() / 2;
        let median = match samples.len() % 2 {
            0 => f64::midpoint(*samples.get(middle - 1)?, *samples.get(middle)?),
            _ => *samples.get(middle)?,
        };
        Some(Self { median, low, high })
    }

    /// What was measured once.
    pub(crate) const fn of_one(sample: f64) -> Self {
        Self { median: sample, low: sample, high: sample }
    }

    /// The same in another unit.
    pub(crate) fn map(self, change: impl Fn(f64) -> f64) -> Self {
        let (one, other) = (change(self.low), change(self.high));
        Self { median: change(self.median), low: one.min(other), high: one.max(other) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        let odd = Summary::of([3.0, 1.0, 9.0]).unwrap();
        assert_eq!(odd, Summary { median: 3.0, low: 1.0, high: 9.0 });
        assert_eq!(Summary::of([4.0, 1.0, 2.0, 9.0]).unwrap().median, 3.0);
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn another_unit_may_turn_the_order_around() {
        let rate = Summary::of([1.0, 2.0, 4.0]).unwrap().map(|seconds| 8.0 / seconds);
        assert_eq!(rate, Summary { median: 4.0, low: 2.0, high: 8.0 });
    }
}
