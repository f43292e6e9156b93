//! Reading what a case says, or telling why it cannot be run.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::report::Verdict;

/// The outcome of a check: `Ok` when it holds, else the verdict it leads to.
pub type Check<T = ()> = Result<T, Verdict>;

/// Reads the fields of a case.
///
/// # Errors
///
/// [`Verdict::NotRun`] when the case lacks a field or holds something else in it.
pub fn read<T: DeserializeOwned>(case: &Value) -> Check<T> {
    serde_json::from_value(case.clone())
        .map_err(|why| Verdict::NotRun(format!("the case cannot be read: {why}")))
}

/// The verdict of a case all of whose checks are in `check`.
#[must_use]
pub fn verdict(check: Check) -> Verdict {
    match check {
        Ok(()) => Verdict::Pass,
        Err(verdict) => verdict,
    }
}

/// Fails the case with `why` unless `holds`.
///
/// # Errors
///
/// [`Verdict::Fail`] with what `why` says.
pub fn ensure(holds: bool, why: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Verdict::Fail(why())) }
}

/// The verdict on a case that says something under `key` that the runner does not know.
#[must_use]
pub fn unknown(key: &str, value: &str) -> Verdict {
    Verdict::NotRun(format!("`{key}` is \"{value}\", which this runner does not know"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Deserialize)]
    struct Sample {
        number: u8,
    }

    #[test]
    fn a_case_that_lacks_a_field_is_not_run() {
        assert_eq!(read::<Sample>(&json!({"number": 7, "note": ""})).unwrap().number, 7);
        for case in [json!({}), json!({"number": 256}), json!(7), json!({"number": "7"})] {
            assert!(matches!(read::<Sample>(&case), Err(Verdict::NotRun(_))), "{case}");
        }
    }
}
