//! A case that panics has failed, and nothing else has.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};

use crate::report::Verdict;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The verdict of `case`; a panic inside it is its failure.
#[must_use]
pub fn guarded(case: impl FnOnce() -> Verdict) -> Verdict {
    INSIDE.set(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(case));
    INSIDE.set(false);
    outcome.unwrap_or_else(|payload| {
        let place = PLACE.take().map(|place| format!(" at {place}")).unwrap_or_default();
        Verdict::Fail(format!("panicked{place}: {}", message(&*payload)))
    })
}

/// Keeps panics inside of cases off stderr, and has their verdicts say where they happened.
///
/// For a whole process: call it once, before anything is run. Other panics are told as before.
pub fn quiet_panics() {
    let told = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if INSIDE.get() {
            PLACE.set(info.location().map(ToString::to_string));
        } else {
            told(info);
        }
    }));
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_that_says_what_and_where() {
        quiet_panics();
        let verdict = guarded(|| panic!("seven is {}", 8));
        let Verdict::Fail(why) = verdict else { panic!("{verdict:?}") };
        assert!(why.starts_with("panicked at ") && why.contains("guard.rs"), "{why}");
        assert!(why.ends_with(": seven is 8"), "{why}");
        assert_eq!(guarded(|| Verdict::Pass), Verdict::Pass);
    }
}
