//! `frames.json`: the bytes of single frames and what they say.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use trunkline_core::fixed::{FixedFrame as _, FrameDecoder};
use trunkline_core::yamux::{Flags, Frame, FrameType, Head};

use crate::case::{self, Check, ensure, unknown};
use crate::diff;
use crate::notation::{self, Hex};
use crate::report::Verdict;

/// A payload beyond anything in the vectors.
const MOST: usize = 1 << 28;

/// Sizes of pieces in which the bytes arrive.
const PIECES: [usize; 6] = [usize::MAX, 1, 5, 12, 13, 4_099];

#[derive(Deserialize)]
struct FrameCase {
    #[serde(alias = "parts")]
    hex: Hex,
    decoded: Map<String, Value>,
    #[serde(default)]
    decode_only: bool,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    case::verdict(case::read(case).and_then(|case| check(&case)))
}

fn check(case: &FrameCase) -> Check {
    let bytes = &case.hex.0;
    let mut seen = None;
    // Long payloads are not cut into a million pieces.
    for size in PIECES.into_iter().filter(|size| bytes.len() / size < 10_000) {
        let frame = only(bytes, size)?;
        for (key, value) in &case.decoded {
            says(&frame, key, value)?;
        }
        if !case.decode_only {
            encodes_to(&frame, bytes)?;
        }
        seen = Some(frame);
    }
    let Some(frame) = seen else { return Ok(()) };
    // The notation of the command, both ways, and a frame made of the fields alone.
    let told = serde_json::to_value(&frame).map_err(|why| Verdict::Fail(why.to_string()))?;
    let read: Frame = serde_json::from_value(told)
        .map_err(|why| Verdict::Fail(format!("it is not read as it is told: {why}")))?;
    ensure(read == frame, || "it is read as another frame than it is told".into())?;
    made_of(&case.decoded, frame.payload.clone()).map_or(Ok(()), |made| encodes_to(&made, bytes))
}

/// The one frame that the bytes are.
fn only(bytes: &[u8], size: usize) -> Check<Frame> {
    let mut decoder = FrameDecoder::<Frame>::new(MOST);
    let mut frames = Vec::new();
    for piece in bytes.chunks(size.min(bytes.len().max(1))) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(frame) = decoder.poll().map_err(|why| Verdict::Fail(why.to_string()))? {
            frames.push(frame);
        }
    }
    ensure(decoder.buffered() == 0 && decoder.position() == bytes.len() as u64, || {
        format!("{} bytes are left", decoder.buffered())
    })?;
    match <[Frame; 1]>::try_from(frames) {
        Ok([frame]) => Ok(frame),
        Err(frames) => Err(Verdict::Fail(format!("expected one frame, seen {}", frames.len()))),
    }
}

/// Whether a decoded frame says what stands under `key`.
fn says(frame: &Frame, key: &str, value: &Value) -> Check {
    let Head { kind, flags, stream, length } = frame.head;
    let payload = || frame.payload.clone().into_bytes();
    let seen = match key {
        "version" => json!(0),
        "type" => json!(kind as u8),
        "type_name" => json!(kind.name()),
        "flags" => json!(flags.0),
        "unknown_flags" => json!(flags.0 & 0xfff0),
        "flag_names" => Flags::NAMED
            .iter()
            .filter(|(flag, _)| flags.has(*flag))
            .map(|(_, name)| Value::from(*name))
            .collect(),
        "stream_id" => json!(stream),
        "length" => json!(length),
        "payload_hex" => json!(notation::hex(&payload())),
        "payload_text" => json!(String::from_utf8_lossy(&payload())),
        "payload_len" => json!(frame.payload.len()),
        "go_text" => json!(format!(
            "Vsn:0 Type:{} Flags:{} StreamID:{stream} Length:{length}",
            kind as u8, flags.0
        )),
        other => return Err(unknown("decoded", other)),
    };
    ensure(&seen == value, || format!("{key} is {value}, seen {seen}"))
}

fn encodes_to(frame: &Frame, bytes: &[u8]) -> Check {
    let segment = frame.encode().map_err(|why| Verdict::Fail(why.to_string()))?;
    match diff::bytes(bytes, &segment.slices().concat()) {
        Some(why) => Err(Verdict::Fail(format!("encode differs at {why}"))),
        None => Ok(()),
    }
}

/// A frame made of what the case says, when that is enough.
fn made_of(said: &Map<String, Value>, payload: trunkline_core::Payload) -> Option<Frame> {
    let number = |key: &str| said.get(key)?.as_u64();
    let head = Head {
        kind: FrameType::from_number(number("type")?.try_into().ok()?)?,
        flags: Flags(number("flags")?.try_into().ok()?),
        stream: number("stream_id")?.try_into().ok()?,
        length: number("length")?.try_into().ok()?,
    };
    Some(Frame { head, payload })
}
