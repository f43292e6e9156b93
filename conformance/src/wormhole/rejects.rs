//! `rejects.json`: what must not be taken, by the decoder, by an accessor, by a connection.

use serde::Deserialize;
use serde_json::Value;
use trunkline_core::wormhole::{Frame, MAX_PAYLOAD};

use super::decode::{class, everything};
use super::mux_rejects;
use crate::case::{self, Check, ensure};
use crate::notation::Hex;
use crate::report::Verdict;

#[derive(Deserialize)]
struct DecodeCase {
    hex: Hex,
    max_payload: Option<usize>,
    parse: Option<String>,
    decoded: Failure,
}

/// How it failed in the original.
#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    frames_before_error: usize,
    error_class: String,
    error: String,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    let check = match case.get("kind").and_then(Value::as_str) {
        Some("decode") => case::read(case).and_then(|case| decode(&case)),
        Some("parse") => case::read(case).and_then(|case| parse(&case)),
        Some("mux") => case::read(case).and_then(|case| mux_rejects::check(&case)),
        Some(other) => Err(case::unknown("kind", other)),
        None => Err(Verdict::NotRun("the case has no `kind`".into())),
    };
    case::verdict(check)
}

fn decode(case: &DecodeCase) -> Check {
    let seen = everything(&case.hex.0, case.max_payload.unwrap_or(MAX_PAYLOAD))?;
    ensure(seen.frames.len() == case.decoded.frames_before_error, || {
        format!(
            "expected {} frames before the error, seen {}",
            case.decoded.frames_before_error,
            seen.frames.len()
        )
    })?;
    let text = seen.error.as_ref().map_or("EOF".into(), ToString::to_string);
    is_failure(&case.decoded, seen.class(), &text)
}

fn parse(case: &DecodeCase) -> Check {
    let seen = everything(&case.hex.0, MAX_PAYLOAD)?;
    let [frame]: [Frame; 1] = seen
        .frames
        .try_into()
        .map_err(|_| Verdict::Fail("expected one well-formed frame".into()))?;
    let parsed = match case.parse.as_deref() {
        Some("window_update") => frame.increment().map(drop),
        Some("ping") => frame.ping_id().map(drop),
        Some("pong") => frame.pong_id().map(drop),
        Some("error") => frame.remote_error().map(drop),
        other => return Err(case::unknown("parse", other.unwrap_or(""))),
    };
    match parsed {
        Ok(()) => Err(Verdict::Fail("it was read".into())),
        Err(why) => is_failure(&case.decoded, class(why.kind()), &why.to_string()),
    }
}

fn is_failure(expected: &Failure, class: &str, text: &str) -> Check {
    ensure(class == expected.error_class && text == expected.error, || {
        format!(
            "expected {} (\"{}\"), seen {class} (\"{text}\")",
            expected.error_class, expected.error
        )
    })
}
