//! What every machine promises, as functions that check it.
//!
//! A law knows no wire: it takes machines as [`Machine`]s and asks its caller for what only a wire
//! knows. Each returns [`Broken`] instead of panicking, so that a caller can add a seed or a place.
//!
//! | promise | law |
//! |---|---|
//! | P-LOSS: what was accepted arrives in order and once | [`Ledger`] |
//! | P-MEM: memory stays within its budget | [`within`] |
//! | P-ERR: the end is one event with one reason | [`over_once`] |
//! | P-HANG: nobody waits in silence | [`waits_for_something`] |
//! | P-PANIC: work per byte is constant | [`linear`] |
//! | P-SAME: pieces and polls change nothing | [`same`] |
//! | all: whatever byte a link breaks at | [`cut_everywhere`] |
//!
//! P-CANCEL and P-ISO are a wire's own: their tests stand with its model.

mod cut;
mod loss;
mod same;

use std::fmt;

use trunkline_core::{CloseReason, Machine};

pub use cut::{FAULTS, cut_everywhere};
pub use loss::Ledger;
pub use same::{Ending, Watch, same};

/// A law that does not hold, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct Broken {
    /// The promise.
    pub promise: &'static str,
    /// What was seen.
    pub what: String,
}

impl Broken {
    /// This promise is broken, in this way.
    #[must_use]
    pub fn new(promise: &'static str, what: impl Into<String>) -> Self {
        Self { promise, what: what.into() }
    }

    /// The same, with where it happened.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.what = format!("{place}: {}", self.what);
        self
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is broken: {}", self.promise, self.what)
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Broken {}

/// Breaks `promise` with what `what` says unless `holds`.
///
/// # Errors
///
/// [`Broken`] unless `holds`.
pub fn hold(
    promise: &'static str,
    holds: bool,
    what: impl FnOnce() -> String,
) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken::new(promise, what())) }
}

/// P-MEM: a machine reports no more than its limit of something.
///
/// # Errors
///
/// [`Broken`] when it does.
pub fn within(what: &str, used: usize, limit: usize) -> Result<(), Broken> {
    hold("P-MEM", used <= limit, || format!("{what}: {used} of at most {limit}"))
}

/// P-ERR: a machine that is over has told it by one event, its last, with the reason that it keeps;
/// one that is not has told no such thing.
///
/// `reason` gives the reason that an event tells, if it is that event.
///
/// # Errors
///
/// [`Broken`] when the events say otherwise.
pub fn over_once<M: Machine>(
    machine: &M,
    events: &[M::Event],
    reason: impl Fn(&M::Event) -> Option<&CloseReason>,
) -> Result<(), Broken> {
    let told: Vec<_> = events.iter().filter_map(&reason).collect();
    let expected: Vec<_> = machine.closed().into_iter().collect();
    hold("P-ERR", told == expected, || format!("over for {expected:?}, told {told:?}"))?;
    let last = events.last().and_then(&reason).is_some();
    hold("P-ERR", told.is_empty() || last, || "told something behind its end".to_owned())
}

/// P-HANG: a machine that nothing happens to any more is over, has a deadline, wants input, or waits
/// for its user in a way that its wire documents.
///
/// Wanting input without a deadline is a wait for the peer, which a wire documents too, or not:
/// `documented` says what the machine waits for, if that stands in its documentation.
///
/// # Errors
///
/// [`Broken`] when none of these is the case.
pub fn waits_for_something<M: Machine>(
    machine: &M,
    documented: impl FnOnce(&M) -> Option<&'static str>,
) -> Result<(), Broken> {
    let waits = machine.closed().is_some() || machine.poll_timeout().is_some();
    hold("P-HANG", waits || documented(machine).is_some(), || {
        format!("no deadline, no documented wait; it wants input: {}", machine.wants_input())
    })
}

/// P-PANIC: work per byte is constant: eight times the input cost less than 24 times the work.
///
/// `cost` does the work for an input of so many bytes and says what it took, in any unit. Where that
/// is time, a busy machine can spoil a measurement but not all of them: the law holds when it holds
/// in one of twenty attempts. Quadratic work costs 64 times as much in each.
///
/// # Errors
///
/// [`Broken`] with the last costs when it never held.
pub fn linear(bytes: usize, mut cost: impl FnMut(usize) -> u64) -> Result<(), Broken> {
    let mut last = (0, 0);
    for _ in 0..20 {
        last = (cost(bytes).max(1), cost(bytes.saturating_mul(8)));
        if last.1 / last.0 < 24 {
            return Ok(());
        }
    }
    let (small, large) = last;
    Err(Broken::new("P-PANIC", format!("{bytes} bytes cost {small}, eight times that {large}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quadratic_work_is_noticed_and_linear_work_passes() {
        assert!(linear(1_000, |bytes| bytes as u64 + 5).is_ok());
        let broken = linear(1_000, |bytes| (bytes * bytes) as u64).unwrap_err();
        assert!(broken.to_string().starts_with("P-PANIC is broken: 1000 bytes cost"), "{broken}");
    }

    #[test]
    fn a_measurement_that_was_spoilt_is_made_again() {
        let mut spoilt = 3;
        let cost = |bytes: usize| {
            spoilt -= 1;
            if spoilt == 1 { u64::MAX } else { bytes as u64 }
        };
        assert!(linear(10, cost).is_ok());
    }
}
