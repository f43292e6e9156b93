//! Decodes the bytes of a case in every way in which they could arrive.

use bytes::Bytes;
use serde_json::{Value, json};
use trunkline_core::fixed::FrameDecoder;
use trunkline_core::smux::{Frame, Violation};

use crate::case::Check;
use crate::notation::{bytes, hex};
use crate::report::Verdict;

/// Sizes of pieces; one byte always, then odd ones, so that heads and payloads are cut everywhere.
const PIECES: [usize; 6] = [1, 3, 7, 61, 1_021, 32_769];

/// Up to this length every cut into two is tried.
const CUT_EVERYWHERE: usize = 300;

/// What came out of a stream of bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The frames, in order.
    pub frames: Vec<Frame>,
    /// The rule that ended the decoding, if any did.
    pub error: Option<Violation>,
    /// Where the frame begins that is not whole or is wrong.
    pub position: u64,
    /// Bytes of a frame that is not whole; 0 after an error.
    pub left: usize,
}

/// Decodes bytes in every way, and returns what came out, the same in each.
///
/// # Errors
///
/// [`Verdict::Fail`] when two ways differ.
pub fn everything(bytes: &[u8]) -> Check<Decoded> {
    let whole = decode([bytes]);
    for size in PIECES.into_iter().filter(|size| *size < bytes.len()) {
        if decode(bytes.chunks(size)) != whole {
            return Err(Verdict::Fail(format!("in pieces of {size}: not the same as whole")));
        }
    }
    for at in (1..bytes.len()).take_while(|_| bytes.len() <= CUT_EVERYWHERE) {
        if decode(<[&[u8]; 2]>::from(bytes.split_at(at))) != whole {
            return Err(Verdict::Fail(format!("cut at byte {at}: not the same as whole")));
        }
    }
    Ok(whole)
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = FrameDecoder::<Frame>::new(0);
    let mut frames = Vec::new();
    let mut error = None;
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.poll() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(violation) => {
                    error = Some(violation);
                    break;
                }
            }
        }
    }
    let left = if error.is_some() { 0 } else { decoder.buffered() };
    Decoded { frames, error, position: decoder.position(), left }
}

/// A `decoded` of the vectors with its payload in the notation that core writes.
///
/// # Errors
///
/// [`Verdict::NotRun`] when the payload is no notation of bytes.
pub fn with_payload(mut decoded: Value) -> Check<Value> {
    if let Some(payload) = decoded.get_mut("payload") {
        let read = bytes(payload).map_err(|why| Verdict::NotRun(format!("`payload` is {why}")))?;
        *payload = json!(hex(&read));
    }
    Ok(decoded)
}
