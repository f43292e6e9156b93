//! `lenient.json`: other encodings than the canonical one, and the value each stands for.

use serde::Deserialize;
use serde_json::Value;
use trunkline_core::agentproto::{Acceptance, Frame, Record, Violation};

use super::decode::{Wire, encodes_to, every_way, everything, is_value, only, told};
use crate::case::{self, Check, ensure};
use crate::notation::{Hex, Plain};
use crate::report::Verdict;

#[derive(Deserialize)]
struct LenientCase {
    target: String,
    tier: String,
    hex: Hex,
    decoded: Plain,
    reencoded: Hex,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    let check = case::read::<LenientCase>(case).and_then(|case| match case.target.as_str() {
        "frame" => check::<Frame>(&case),
        "record" => check::<Record>(&case),
        other => Err(case::unknown("target", other)),
    });
    case::verdict(check)
}

fn check<T: Wire>(case: &LenientCase) -> Check {
    let LenientCase { hex: Hex(bytes), decoded: Plain(value), reencoded: Hex(canonical), .. } =
        case;
    let is_quirk = match case.tier.as_str() {
        "format" => false,
        "quirk" => true,
        other => return Err(case::unknown("tier", other)),
    };
    let decoded = every_way::<T>(bytes, Acceptance::Lenient, |decoded| {
        encodes_to(only(decoded)?, canonical)
    })?;
    let item = only(&decoded)?;
    is_value(item, value)?;

    if is_quirk {
        refused::<T>(bytes, Acceptance::Format, &["quirk"])?;
    } else {
        accepted(bytes, Acceptance::Format, item)?;
    }
    if bytes != canonical {
        refused::<T>(bytes, Acceptance::Canonical, &["quirk", "canonical"])?;
    }
    accepted(canonical, Acceptance::Canonical, item)
}

fn accepted<T: Wire>(bytes: &[u8], acceptance: Acceptance, item: &T) -> Check {
    let decoded = everything::<T>(bytes, acceptance)?;
    let same = only(&decoded).is_ok_and(|seen| seen == item);
    ensure(same, || {
        format!("{acceptance:?} acceptance: expected the same value, seen {}", told(&decoded))
    })
}

fn refused<T: Wire>(bytes: &[u8], acceptance: Acceptance, kinds: &[&str]) -> Check {
    let decoded = everything::<T>(bytes, acceptance)?;
    let kind = decoded.error.as_ref().map(Violation::kind);
    ensure(decoded.items.is_empty() && kind.is_some_and(|kind| kinds.contains(&kind)), || {
        format!("{acceptance:?} acceptance: expected a refusal, seen {}", told(&decoded))
    })
}
