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

/// The same for a frame that came from a peer, whatever its lists.
pub(super) fn encode_any(frame: &Frame) -> Segment {
    let mut output = Output::new(true);
    Message::write(frame, &mut output);
    output.error = None;
    output.into_segment().unwrap_or_else(|_| Segment::whole(Bytes::new()))
}

/// A DATA frame around `data`, which is not copied. Costs a few nanoseconds, allocates nothing.
#[must_use]
#[inline]
pub fn data_segment(stream: u32, data: Bytes) -> Segment {
    if data.is_empty() {
        // The wire leaves an empty payload out. A frame without lists always encodes.
        return encode(&Frame::data(stream, data)).unwrap_or_else(|_| Segment::whole(Bytes::new()));
    }
    let mut segment = Segment::whole(data);
    let map = if stream == 0 { 0xa2 } else { 0xa3 };
    segment.frame(|body, head, tail| (data_head(map, body.len(), head), data_tail(stream, tail)));
    segment
}

/// What stands before a payload; says how many bytes that are. All but the largest become one word,
/// which is stored at once: a loop, or a copy of some length, would take longer than all the rest.
#[inline]
fn data_head(map: u8, length: usize, head: &mut [u8; Segment::HEAD]) -> u8 {
    let length = length as u64;
    let (rest, count) = match length {
        0..=23 => ((0x40 | length) << 32, 4),
        24..=0xff => (0x58 << 32 | length << 24, 5),
        0x100..=0xffff => (0x59 << 32 | length << 16, 6),
        0x1_0000..=0xffff_ffff => (0x5a << 32 | length, 8),
        _ => (0x5b << 32 | length >> 32, 12),
    };
    let word = u64::from(map) << 56 | 0x6164 << 40 | rest;
    if let Some((word_at, behind)) = head.split_first_chunk_mut() {
        *word_at = word.to_be_bytes();
        if count == 12
            && let Some(low) = behind.first_chunk_mut()
        {
            *low = (length as u32).to_be_bytes();
        }
    }
    count
}

/// What stands behind a payload; says how many bytes that are.
#[inline]
fn data_tail(stream: u32, tail: &mut [u8; Segment::TAIL]) -> u8 {
    const KIND: u64 = 0x61_74_02;
    let number = u64::from(stream);
    let (word, count) = match stream {
        0 => (KIND << 40, 3),
        1..=23 => (0x61_73 << 48 | number << 40 | KIND << 16, 6),
        24..=0xff => (0x61_73_18 << 40 | number << 32 | KIND << 8, 7),
        0x100..=0xffff => (0x61_73_19 << 40 | number << 24 | KIND, 8),
        _ => (0x61_73_1a << 40 | number << 8 | KIND >> 16, 10),
    };
    if let Some((word_at, behind)) = tail.split_first_chunk_mut() {
        *word_at = word.to_be_bytes();
        if count == 10
            && let Some(low) = behind.first_chunk_mut()
        {
            *low = (KIND as u16).to_be_bytes();
        }
    }
    count
}

/// A head in its shortest form: the bytes and how many of them count.
pub(super) fn head_bytes(major: u8, argument: u64) -> ([u8; 9], usize) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_form_of_data_is_the_general_one_at_every_width() {
        let lengths = [1, 23, 24, 0xff, 0x100, 0xffff, 0x1_0000, 0x1_2345];
        for stream in [0, 1, 23, 24, 0xff, 0x100, 0xffff, 0x1_0000, u32::MAX] {
            for length in lengths {
                let data = Bytes::from(alloc::vec![7; length]);
                let general = encode(&Frame::data(stream, data.clone())).unwrap().into_bytes();
                assert_eq!(data_segment(stream, data).into_bytes(), general);
            }
        }
        let mut head = [0; Segment::HEAD];
        assert_eq!(data_head(0xa2, 0x12_3456_789a, &mut head), 12);
        assert_eq!(head[..12], *b"\xa2\x61d\x5b\x00\x00\x00\x12\x34\x56\x78\x9a");
    }
}
