//! `modes.json`: mode bits between unix and the wire, both ways.

use serde::Deserialize;
use serde_json::Value;
use trunkline_core::agentproto::{mode_bits, mode_from_unix};

use crate::case::{self, Check, ensure};
use crate::report::Verdict;

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

#[derive(Deserialize)]
struct StatCase {
    st_mode: u32,
    m: u32,
}

#[derive(Deserialize)]
struct RequestCase {
    mo: u32,
    bits: u32,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    case::verdict(check(case))
}

fn check(case: &Value) -> Check {
    let Kind { kind } = case::read(case)?;
    let (given, expected, seen) = match kind.as_str() {
        "stat" => {
            let StatCase { st_mode, m } = case::read(case)?;
            (st_mode, m, mode_from_unix(st_mode))
        }
        "request" => {
            let RequestCase { mo, bits } = case::read(case)?;
            (mo, bits, mode_bits(mo))
        }
        other => return Err(case::unknown("kind", other)),
    };
    ensure(seen == expected, || format!("mode {given:#o}: expected {expected:#o}, seen {seen:#o}"))
}
