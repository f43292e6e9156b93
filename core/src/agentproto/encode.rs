//! Writes messages in their one canonical form: `docs/protocols/agentproto.md` section 2.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

use super::frame::Frame;
use super::wire::Message;
use crate::{Payload, Segment};

/// Payloads from this size on travel beside their frame instead of being copied into it.
const SPLICE: usize = 512;

/// The longest list that a receiver takes (hazard H3).
const MOST_ELEMENTS: usize = 131_072;

/// Why a message was not encoded: no receiver would take it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// One list of more than 131,072 elements (hazard H3): of a command's arguments the first, its
    /// name, counts too.
    TooManyElements {
        /// How many there are in that list.
        count: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyElements { count } => {
                write!(f, "a list of {count} elements; the wire carries at most {MOST_ELEMENTS}")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

/// Encodes a frame as one segment. A payload of 512 bytes and more in one piece is not copied.
///
/// # Errors
///
/// When a list is longer than any receiver takes.
pub fn encode(frame: &Frame) -> Result<Segment, EncodeError> {
    let mut output = Output::new(true);
    Message::write(frame, &mut output);
    output.into_segment()
}

/// A DATA frame around `data`, which is not copied. Costs a few nanoseconds, allocates nothing.
#[must_use]
#[inline]
pub fn data_segment(stream: u32, data: Bytes) -> Segment {
    if data.is_empty() {
        // The wire leaves an empty payload out. A frame without lists always encodes.
        return encode(&Frame::data(stream, data)).unwrap_or_else(|_| Segment::whole(Bytes::new()));
    }
    let map = if stream == 0 { 0xa2 } else { 0xa3 };
    Segment::framed(data_head(map, data.len()), data, data_tail(stream))
}

/// What stands before a payload. Written out for each width: so it becomes a few stores, while a
/// loop or a copy of some length would take longer than all the rest.
#[inline]
const fn data_head(map: u8, length: usize) -> ([u8; Segment::HEAD], u8) {
    let [.., e, f, g, h, a, b, c, d] = (length as u64).to_be_bytes();
    let mut head = [0; Segment::HEAD];
    let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, ..] = &mut head;
    (*b0, *b1, *b2) = (map, 0x61, b'd');
    let count = match length {
        0..=23 => {
            *b3 = 0x40 | d;
            4
        }
        24..=0xff => {
            (*b3, *b4) = (0x58, d);
            5
        }
        0x100..=0xffff => {
            (*b3, *b4, *b5) = (0x59, c, d);
            6
        }
        0x1_0000..=0xffff_ffff => {
            (*b3, *b4, *b5, *b6, *b7) = (0x5a, a, b, c, d);
            8
        }
        _ => {
            (*b3, *b4, *b5, *b6, *b7) = (0x5b, e, f, g, h);
            (*b8, *b9, *b10, *b11) = (a, b, c, d);
            12
        }
    };
    (head, count)
}

/// What stands behind a payload.
#[inline]
const fn data_tail(stream: u32) -> ([u8; Segment::TAIL], u8) {
    let [a, b, c, d] = stream.to_be_bytes();
    let mut tail = [0; Segment::TAIL];
    let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, ..] = &mut tail;
    let count = match stream {
        0 => {
            (*b0, *b1, *b2) = (0x61, b't', 2);
            3
        }
        1..=23 => {
            (*b0, *b1, *b2) = (0x61, b's', d);
            (*b3, *b4, *b5) = (0x61, b't', 2);
            6
        }
        24..=0xff => {
            (*b0, *b1, *b2, *b3) = (0x61, b's', 0x18, d);
            (*b4, *b5, *b6) = (0x61, b't', 2);
            7
        }
        0x100..=0xffff => {
            (*b0, *b1, *b2, *b3, *b4) = (0x61, b's', 0x19, c, d);
            (*b5, *b6, *b7) = (0x61, b't', 2);
            8
        }
        _ => {
            (*b0, *b1, *b2) = (0x61, b's', 0x1a);
            (*b3, *b4, *b5, *b6) = (a, b, c, d);
            (*b7, *b8, *b9) = (0x61, b't', 2);
            10
        }
    };
    (tail, count)
}

/// A head in its shortest form: the bytes and how many of them count.
fn head_bytes(major: u8, argument: u64) -> ([u8; 9], usize) {
    let mut bytes = [0; 9];
    let (info, width) = match argument {
        0..=23 => (argument as u8, 0),
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    let [initial, rest @ ..] = &mut bytes;
    *initial = major << 5 | info;
    for (to, from) in rest.iter_mut().zip(argument.to_be_bytes().iter().skip(8 - width)) {
        *to = *from;
    }
    (bytes, 1 + width)
}

/// Where messages are written to.
pub(super) struct Output {
    bytes: Vec<u8>,
    /// A payload that is left beside the bytes, and where in them it belongs.
    beside: Option<(usize, Bytes)>,
    may_splice: bool,
    error: Option<EncodeError>,
}

impl Output {
    pub(super) const fn new(may_splice: bool) -> Self {
        Self { bytes: Vec::new(), beside: None, may_splice, error: None }
    }

    fn head(&mut self, major: u8, argument: u64) {
        let (bytes, len) = head_bytes(major, argument);
        self.bytes.extend_from_slice(bytes.get(..len).unwrap_or_default());
    }

    pub(super) fn unsigned(&mut self, number: u64) {
        self.head(0, number);
    }

    pub(super) fn signed(&mut self, number: i64) {
        match u64::try_from(number) {
            Ok(number) => self.head(0, number),
            // -1 - n, which is the complement.
            Err(_) => self.head(1, !(number as u64)),
        }
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.bytes.push(if value { 0xf5 } else { 0xf4 });
    }

    pub(super) fn null(&mut self) {
        self.bytes.push(0xf6);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.head(3, text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(super) fn payload(&mut self, payload: &Payload) {
        self.head(2, payload.len() as u64);
        let mut pieces = payload.pieces();
        if let (Some(only), None) = (pieces.next(), pieces.next())
            && only.len() >= SPLICE
            && self.may_splice
            && self.beside.is_none()
        {
            self.beside = Some((self.bytes.len(), only.clone()));
            return;
        }
        for piece in payload.pieces() {
            self.bytes.extend_from_slice(piece);
        }
    }

    pub(super) fn list(&mut self, count: usize) {
        if count > MOST_ELEMENTS {
            self.error.get_or_insert(EncodeError::TooManyElements { count });
        }
        self.head(4, count as u64);
    }

    pub(super) fn map(&mut self, pairs: u64) {
        self.head(5, pairs);
    }

    /// Everything written, in one piece (nothing may have been spliced).
    pub(super) fn into_bytes(self) -> Result<Vec<u8>, EncodeError> {
        self.error.map_or(Ok(self.bytes), Err)
    }

    fn into_segment(self) -> Result<Segment, EncodeError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let Some((at, payload)) = self.beside else {
            return Ok(Segment::whole(self.bytes.into()));
        };
        let (head, tail) = self.bytes.split_at_checked(at).unwrap_or_default();
        Ok(Segment::new(head, payload.clone(), tail).unwrap_or_else(|| {
            let whole = [head, &payload, tail].concat();
            Segment::whole(whole.into())
        }))
    }
}
