//! `frames.json`: bytes and the one frame, or the frames, that they stand for.

use serde::Deserialize;
use serde_json::Value;
use trunkline_core::wormhole::{Frame, MAX_PAYLOAD};

use super::decode::everything;
use crate::case::{self, Check, ensure};
use crate::diff;
use crate::notation::Hex;
use crate::report::Verdict;

#[derive(Deserialize)]
struct FrameCase {
    dir: String,
    hex: Hex,
    max_payload: Option<usize>,
    decoded: Value,
}

/// A frame as a case tells it; a field that is not known here is not skipped in silence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    version: u8,
    r#type: u8,
    type_name: String,
    stream_id: u32,
    length: usize,
    payload: Hex,
    connection_level: bool,
    total_size: usize,
    display: String,
    increment: Option<u32>,
    ping_id: Option<u32>,
    code: Option<u32>,
    message: Option<String>,
    message_bytes: Option<Hex>,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    case::verdict(check(case))
}

fn check(case: &Value) -> Check {
    let FrameCase { dir, hex: Hex(bytes), max_payload, mut decoded } = case::read(case)?;
    // Also what only a decoder has to know is written as it came: payloads that are ignored.
    if !matches!(dir.as_str(), "encode+decode" | "decode") {
        return Err(case::unknown("dir", &dir));
    }
    let expected = match decoded.get_mut("frames") {
        Some(Value::Array(frames)) => std::mem::take(frames),
        _ => vec![decoded],
    };
    let seen = everything(&bytes, max_payload.unwrap_or(MAX_PAYLOAD))?;
    ensure(seen.error.is_none(), || {
        format!("after {} frames: {:?}", seen.frames.len(), seen.error)
    })?;
    ensure(seen.frames.len() == expected.len(), || {
        format!("expected {} frames, seen {}", expected.len(), seen.frames.len())
    })?;
    let mut written = Vec::new();
    for (frame, told) in seen.frames.iter().zip(&expected) {
        is_told(frame, &case::read(told)?)?;
        // A small one as JSON too; a large one would only take long.
        let frame =
            if frame.length() < 100_000 { through_json(frame, told)? } else { frame.clone() };
        let bytes = frame.encode().map_err(|why| Verdict::Fail(format!("encoding: {why}")))?;
        written.extend_from_slice(&bytes.into_bytes());
    }

    diff::bytes(&bytes, &written)
        .map_or(Ok(()), |why| Err(Verdict::Fail(format!("encoded: differs at {why}"))))
}

fn is_told(frame: &Frame, told: &Told) -> Check {
    let payload = frame.payload.clone().into_bytes();
    let error = frame.remote_error().ok();
    let number = frame.ping_id().or_else(|_| frame.pong_id()).ok();
    let text = error.as_ref().map(|error| error.message.to_vec());
    let expected_text = told.message.as_ref().map(|text| text.as_bytes().to_vec());
    let expected_text = expected_text.or(told.message_bytes.as_ref().map(|bytes| bytes.0.clone()));
    for (holds, field) in [
        (frame.version == told.version, "version"),
        (frame.kind.0 == told.r#type, "type"),
        (frame.kind.to_string() == told.type_name, "type_name"),
        (frame.stream == told.stream_id, "stream_id"),
        (frame.length() == told.length, "length"),
        (*payload == told.payload.0, "payload"),
        (frame.is_connection_level() == told.connection_level, "connection_level"),
        (frame.total_size() == told.total_size, "total_size"),
        (frame.to_string() == told.display, "display"),
        (frame.increment().ok() == told.increment, "increment"),
        (number == told.ping_id, "ping_id"),
        (error.map(|error| error.code) == told.code, "code"),
        (text == expected_text, "message"),
        (frame.validate().is_ok(), "validate"),
    ] {
        ensure(holds, || format!("{field} is another: seen {frame}"))?;
    }
    Ok(())
}

/// The frame that its JSON, and the case's own, stand for.
fn through_json(frame: &Frame, told: &Value) -> Check<Frame> {
    let wrong = |why: serde_json::Error| Verdict::Fail(format!("as JSON: {why}"));
    let json = serde_json::to_value(frame).map_err(wrong)?;
    for value in [json, told.clone()] {
        let again: Frame = serde_json::from_value(value).map_err(wrong)?;
        ensure(again == *frame, || "the frame read from JSON is another".into())?;
    }
    Ok(frame.clone())
}
