//! `frames.json`: bytes and the one frame, or the frames, that they stand for.

use serde::Deserialize;
use serde_json::Value;
use trunkline_core::fixed::FixedFrame as _;
use trunkline_core::smux::Frame;

use super::decode::{everything, with_payload};
use crate::case::{self, Check, ensure};
use crate::diff;
use crate::notation::{Hex, plain};
use crate::report::Verdict;

#[derive(Deserialize)]
struct FrameCase {
    hex: Hex,
    decoded: Value,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    case::verdict(check(case))
}

fn check(case: &Value) -> Check {
    let FrameCase { hex: Hex(bytes), mut decoded } = case::read(case)?;
    let expected = match decoded.get_mut("frames") {
        Some(Value::Array(frames)) => std::mem::take(frames),
        _ => vec![decoded],
    };
    let expected = expected.into_iter().map(with_payload).collect::<Check<Vec<_>>>()?;
    let seen = everything(&bytes)?;
    ensure(seen.error.is_none() && seen.left == 0, || {
        format!("after {} frames: {:?}, {} bytes left", seen.frames.len(), seen.error, seen.left)
    })?;
    are_values(&seen.frames, &expected)?;
    let written = expected.iter().map(encoded).collect::<Check<Vec<_>>>()?.concat();
    diff::bytes(&bytes, &written)
        .map_or(Ok(()), |why| Err(Verdict::Fail(format!("encoded: differs at {why}"))))
}

/// Checks that frames are the values expected, as JSON and read from it.
///
/// # Errors
///
/// [`Verdict::Fail`] when one is not.
pub fn are_values(frames: &[Frame], expected: &[Value]) -> Check {
    ensure(frames.len() == expected.len(), || {
        format!("expected {} frames, seen {}", expected.len(), frames.len())
    })?;
    for (frame, expected) in frames.iter().zip(expected) {
        let seen = serde_json::to_value(frame).map_err(|why| Verdict::Fail(why.to_string()))?;
        let seen = plain(&seen).map_err(Verdict::Fail)?;
        if let Some(why) = diff::json(expected, &seen) {
            return Err(Verdict::Fail(format!("decoded: {why}")));
        }
        ensure(read(expected)? == *frame, || {
            "the frame read from JSON is another than the one decoded".into()
        })?;
    }
    Ok(())
}

fn read(value: &Value) -> Check<Frame> {
    serde_json::from_value(value.clone())
        .map_err(|why| Verdict::Fail(format!("the frame cannot be read from JSON: {why}")))
}

fn encoded(value: &Value) -> Check<Vec<u8>> {
    let segment = read(value)?.encode().map_err(|why| Verdict::Fail(why.to_string()))?;
    let slices = segment.slices().concat();
    ensure(segment.len() == slices.len(), || "a segment's length is not its slices'".into())?;
    Ok(slices)
}
