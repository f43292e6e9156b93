//! `frames.json`: canonical bytes and the one value each stands for.

use serde::Deserialize;
use serde_json::Value;
use trunkline_core::agentproto::{Acceptance, Frame};

use super::decode::{encodes_to, every_way, everything, from_value, is_value, only};
use crate::case::{self, Check, ensure};
use crate::notation::{Hex, Plain};
use crate::report::Verdict;

#[derive(Deserialize)]
struct FrameCase {
    hex: Hex,
    decoded: Plain,
    len: Option<usize>,
    #[serde(default)]
    decode_only: bool,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    case::verdict(check(case))
}

fn check(case: &Value) -> Check {
    let FrameCase { hex: Hex(bytes), decoded: Plain(value), len, decode_only } = case::read(case)?;
    ensure(len.is_none_or(|len| len == bytes.len()), || {
        format!("`hex` is {} bytes long, `len` says {}", bytes.len(), len.unwrap_or_default())
    })?;
    let decoded = every_way::<Frame>(&bytes, Acceptance::Lenient, |decoded| {
        let frame = only(decoded)?;
        if decode_only { Ok(()) } else { encodes_to(frame, &bytes) }
    })?;
    let frame = only(&decoded)?;
    is_value(frame, &value)?;
    if decode_only {
        return Ok(());
    }
    encodes_to(&from_value::<Frame>(&value)?, &bytes)?;
    for acceptance in [Acceptance::Format, Acceptance::Canonical] {
        let strict = everything::<Frame>(&bytes, acceptance)?;
        ensure(only(&strict)? == frame, || {
            format!("{acceptance:?} acceptance decodes another value")
        })?;
    }
    Ok(())
}
