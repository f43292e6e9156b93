//! Decodes the bytes of a case in every way in which they could arrive.

use bytes::Bytes;
use trunkline_core::wormhole::{Decoder, ErrorKind, Frame, Violation};

use crate::case::Check;
use crate::report::Verdict;

/// Sizes of pieces; one byte always, then odd ones, so that heads and payloads are cut everywhere.
const PIECES: [usize; 6] = [1, 3, 7, 61, 1_021, 32_769];

/// Up to this length every cut into two is tried.
const CUT_EVERYWHERE: usize = 300;

/// The most pieces that are tried; more say nothing new and take long.
const MOST_PIECES: usize = 100_000;

/// What came out of a stream of bytes and its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The frames, in order.
    pub frames: Vec<Frame>,
    /// The rule that ended the decoding, or that its end breaks.
    pub error: Option<Violation>,
    /// Where the frame begins that is not whole or is wrong.
    pub position: u64,
}

impl Decoded {
    /// The name of the class that the vectors give to how it ended.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match &self.error {
            None => "EOF",
            Some(violation) => class(violation.kind()),
        }
    }
}

/// The name that the vectors give to a class of errors.
#[must_use]
pub const fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidVersion => "ErrInvalidVersion",
        ErrorKind::InvalidFrameType => "ErrInvalidFrameType",
        ErrorKind::PayloadTooLarge => "ErrPayloadTooLarge",
        ErrorKind::UnexpectedEof => "ErrUnexpectedEOF",
        ErrorKind::StreamAlreadyExists => "ErrStreamAlreadyExist",
        ErrorKind::InvalidStreamId => "ErrInvalidStreamID",
        ErrorKind::ConnectionClosed => "ErrConnectionClosed",
        ErrorKind::MuxClosed => "ErrMuxClosed",
        ErrorKind::PayloadTooShort => "PayloadTooShort",
        ErrorKind::WrongFrameType => "WrongFrameType",
        ErrorKind::ReadBufferFull => "ReadBufferFull",
        ErrorKind::KeepAliveTimeout => "KeepAliveTimeout",
        _ => "another",
    }
}

/// Decodes bytes in every way, and returns what came out, the same in each.
///
/// # Errors
///
/// [`Verdict::Fail`] when two ways differ.
pub fn everything(bytes: &[u8], limit: usize) -> Check<Decoded> {
    let whole = decode([bytes], limit);
    for size in PIECES {
        if size < bytes.len()
            && bytes.len() / size < MOST_PIECES
            && decode(bytes.chunks(size), limit) != whole
        {
            return Err(Verdict::Fail(format!("in pieces of {size}: not the same as whole")));
        }
    }
    for at in (1..bytes.len()).take_while(|_| bytes.len() <= CUT_EVERYWHERE) {
        if decode(<[&[u8]; 2]>::from(bytes.split_at(at)), limit) != whole {
            return Err(Verdict::Fail(format!("cut at byte {at}: not the same as whole")));
        }
    }
    Ok(whole)
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> Decoded {
    let mut decoder = Decoder::new(limit);
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
    if error.is_none() && decoder.buffered() > 0 {
        error = Some(Violation::UnexpectedEof);
    }
    Decoded { frames, error, position: decoder.position() }
}
