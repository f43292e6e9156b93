//! `rejects.json`: bytes that must not yield a frame, and how they must fail.

use serde::Deserialize;
use serde_json::Value;
use trunkline_core::agentproto::{Acceptance, Frame, Record, Violation};

use super::decode::{Decoded, Wire, everything, is_value, told, told_early};
use crate::case::{self, Check, ensure};
use crate::notation::{Hex, Plain};
use crate::report::Verdict;

#[derive(Deserialize)]
struct RejectCase {
    target: String,
    expect: String,
    kind: String,
    hex: Hex,
    #[serde(default)]
    frames_before: Vec<Plain>,
}

/// What must come after the frames before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// A violation.
    Error,
    /// Nothing yet, and a truncation if the stream ends.
    Incomplete,
    /// Either.
    IncompleteOrError,
    /// A violation of a limit, from the head alone.
    Limit,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    let check = case::read::<RejectCase>(case).and_then(|case| match case.target.as_str() {
        "frame" => check::<Frame>(&case),
        "record" => check::<Record>(&case),
        other => Err(case::unknown("target", other)),
    });
    case::verdict(check)
}

fn check<T: Wire>(case: &RejectCase) -> Check {
    let expect = match case.expect.as_str() {
        "error" => Expect::Error,
        "incomplete" => Expect::Incomplete,
        "incomplete_or_error" => Expect::IncompleteOrError,
        "limit" => Expect::Limit,
        other => return Err(case::unknown("expect", other)),
    };
    match case.kind.as_str() {
        "incomplete" | "malformed" | "type" | "range" | "utf8" | "tag" | "limit" | "key" => {}
        other => return Err(case::unknown("kind", other)),
    }
    let decoded = everything::<T>(&case.hex.0, Acceptance::Lenient)?;
    before(case, &decoded)?;
    ends_as(case, expect, &decoded)?;
    for acceptance in [Acceptance::Format, Acceptance::Canonical] {
        not_taken::<T>(case, expect, acceptance)?;
    }
    Ok(())
}

/// The frames before the bad one, and nothing else, come out.
fn before<T: Wire>(case: &RejectCase, decoded: &Decoded<T>) -> Check {
    let expected = case.frames_before.len();
    ensure(decoded.items.len() == expected, || {
        format!("expected {expected} items before the bad one, seen {}", told(decoded))
    })?;
    decoded
        .items
        .iter()
        .zip(&case.frames_before)
        .try_for_each(|(item, value)| is_value(item, &value.0))
}

fn ends_as<T: Wire>(case: &RejectCase, expect: Expect, decoded: &Decoded<T>) -> Check {
    let early = told_early(decoded, &case.hex.0);
    let kind = decoded.error.as_ref().map(Violation::kind);
    let waits = kind.is_none() && decoded.left > 0;
    let holds = match (expect, case.kind.as_str()) {
        (Expect::Error, "limit" | "malformed") if early => true,
        (Expect::Error, expected) => kind == Some(expected),
        (Expect::Limit, _) => kind == Some("limit") || early,
        (Expect::Incomplete, _) => waits || early,
        (Expect::IncompleteOrError, _) => waits || kind.is_some(),
    };
    ensure(holds, || {
        let expected = match expect {
            Expect::Error => format!("an error of kind {}", case.kind),
            Expect::Limit => "a refusal of kind limit".into(),
            Expect::Incomplete => "an item that is not whole".into(),
            Expect::IncompleteOrError => "an error, or an item that is not whole".into(),
        };
        format!("expected {expected}, seen {}", told(decoded))
    })
}

/// What is refused stays refused where less is accepted, whatever the reason told.
fn not_taken<T: Wire>(case: &RejectCase, expect: Expect, acceptance: Acceptance) -> Check {
    let decoded = everything::<T>(&case.hex.0, acceptance)?;
    let fails = matches!(expect, Expect::Error | Expect::Limit);
    let holds = decoded.items.len() <= case.frames_before.len()
        && (decoded.error.is_some() || !fails && decoded.left > 0);
    ensure(holds, || {
        format!("{acceptance:?} acceptance: expected a refusal, seen {}", told(&decoded))
    })
}
