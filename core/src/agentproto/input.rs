//! Reads values out of an item that is whole and well-formed: `docs/protocols/agentproto.md`
//! section 3.
//!
//! The item may lie in several chunks. Payloads leave as slices of them; everything else is small
//! and is read into owned values.

use alloc::borrow::Cow;
use alloc::collections::vec_deque;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use super::config::{Acceptance, Config};
use super::scan::{Head, Scanner, Top};
use super::violation::{Malformed, Violation};
use crate::{Limits, Payload};

/// What stands at a value's place, tags taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Unsigned(u64),
    /// -1 minus this.
    Negative(u64),
    Bytes(Option<usize>),
    Text(Option<usize>),
    Array(Option<usize>),
    Map(Option<usize>),
    Bool(bool),
    Null,
    /// An unassigned simple value.
    Simple(u8),
    Float,
    /// Tag 2 or 3 on a byte string, which comes next.
    Bignum {
        negative: bool,
    },
}

impl Value {
    const fn name(self) -> &'static str {
        match self {
            Self::Unsigned(_) => "an integer",
            Self::Negative(_) => "a negative integer",
            Self::Bytes(_) => "a byte string",
            Self::Text(_) => "text",
            Self::Array(_) => "a list",
            Self::Map(_) => "a map",
            Self::Bool(_) => "a boolean",
            Self::Null => "null",
            Self::Simple(_) => "a simple value",
            Self::Float => "a float",
            Self::Bignum { .. } => "a big number",
        }
    }
}

/// Where a value stands, for errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) message: &'static str,
    pub(super) key: &'static str,
}

/// A cursor over one item.
pub(super) struct Input<'a> {
    /// What is left of the present chunk.
    left: &'a [u8],
    chunk: &'a Bytes,
    further: vec_deque::Iter<'a, Bytes>,
    limits: &'a Limits,
    acceptance: Acceptance,
    /// Memory the frame may still take.
    memory: usize,
    pub(super) place: Place,
    /// The next value is an element of a list.
    element: bool,
    /// The last value had a tag.
    tagged: bool,
}

type Read<T> = Result<T, Violation>;

/// Chunks of an indefinite byte string below this size are not worth a piece each.
const SMALL_CHUNK: usize = 512;

const TRUNCATED: Violation = Violation::Malformed(Malformed::Truncated);

impl<'a> Input<'a> {
    pub(super) fn new(
        first: &'a Bytes,
        further: vec_deque::Iter<'a, Bytes>,
        config: &'a Config,
    ) -> Self {
        Self {
            left: first,
            chunk: first,
            further,
            limits: &config.limits,
            acceptance: config.acceptance,
            memory: config.limits.frame_memory,
            place: Place { message: "item", key: "" },
            element: false,
            tagged: false,
        }
    }

    // Bytes.

    /// What is left of the present chunk, or the next one; never empty.
    fn some(&mut self) -> Read<&'a [u8]> {
        while self.left.is_empty() {
            self.chunk = self.further.next().ok_or(TRUNCATED)?;
            self.left = self.chunk;
        }
        Ok(self.left)
    }

    fn byte(&mut self) -> Read<u8> {
        let (byte, left) = self.some()?.split_first().ok_or(TRUNCATED)?;
        self.left = left;
        Ok(*byte)
    }

    /// The next byte, left where it is.
    pub(super) fn peek(&mut self) -> Read<u8> {
        self.some()?.first().copied().ok_or(TRUNCATED)
    }

    /// Hands the next `length` bytes to `take`, a piece at a time.
    fn pieces(&mut self, mut length: usize, mut take: impl FnMut(&'a [u8], &'a Bytes)) -> Read<()> {
        while length > 0 {
            let piece = self.some()?;
            let (piece, left) = piece.split_at(length.min(piece.len()));
            self.left = left;
            length -= piece.len();
            take(piece, self.chunk);
        }
        Ok(())
    }

    pub(super) fn head(&mut self) -> Read<Head> {
        let initial = self.byte()?;
        let mut extra = [0; 8];
        let wanted = Head::extra(initial).map_err(Violation::Malformed)?;
        for byte in extra.iter_mut().take(wanted) {
            *byte = self.byte()?;
        }
        Head::new(initial, extra.get(..wanted).unwrap_or_default()).map_err(Violation::Malformed)
    }

    /// Takes a break off, if one comes next.
    fn take_break(&mut self) -> Read<bool> {
        let found = self.peek()? == 0xff;
        if found {
            self.byte()?;
        }
        Ok(found)
    }

    /// Passes over one value, whatever it is (D4, D7).
    pub(super) fn skip(&mut self) -> Read<()> {
        let mut scanner = Scanner::new(Top::Any, self.limits);
        loop {
            let bytes = self.some()?;
            match scanner.scan(bytes)? {
                Some(used) => {
                    self.left = bytes.get(used..).unwrap_or_default();
                    return Ok(());
                }
                None => self.left = &[],
            }
        }
    }

    // Errors and budgets.

    pub(super) const fn wrong(&self, found: Value) -> Violation {
        Violation::Type { message: self.place.message, key: self.place.key, found: found.name() }
    }

    const fn range(&self) -> Violation {
        Violation::Range { message: self.place.message, key: self.place.key }
    }

    /// Notes a coercion of tier Q; an error where it is not accepted.
    pub(super) fn quirk(&self, rule: &'static str) -> Read<()> {
        if self.acceptance == Acceptance::Lenient { Ok(()) } else { Err(Violation::Quirk { rule }) }
    }

    /// Counts memory that the decoded frame takes.
    pub(super) fn charge(&mut self, bytes: usize) -> Read<()> {
        let left = self.memory.checked_sub(bytes);
        self.memory = left.ok_or(Violation::FrameMemory { limit: self.limits.frame_memory })?;
        Ok(())
    }

    /// Memory that was counted.
    pub(super) const fn charged(&self) -> usize {
        self.limits.frame_memory - self.memory
    }

    // Values.

    /// The next value's head, tags checked and taken off (D12, D13, R8).
    pub(super) fn value(&mut self) -> Read<Value> {
        let element = core::mem::take(&mut self.element);
        self.tagged = false;
        loop {
            let head = self.head()?;
            let size = (!head.is_indefinite())
                .then_some(usize::try_from(head.argument).unwrap_or(usize::MAX));
            let value = match head.major {
                0 => Value::Unsigned(head.argument),
                1 => Value::Negative(head.argument),
                2 => Value::Bytes(size),
                3 => Value::Text(size),
                4 => Value::Array(size),
                5 => Value::Map(size),
                6 => {
                    self.tagged = true;
                    self.check_tag(head.argument)?;
                    match head.argument {
                        2 | 3 => Value::Bignum { negative: head.argument == 3 },
                        _ => continue,
                    }
                }
                _ => match head.info {
                    20 | 21 => Value::Bool(head.info == 21),
                    22 | 23 => Value::Null,
                    25..=27 => Value::Float,
                    _ => Value::Simple(u8::try_from(head.argument).unwrap_or(u8::MAX)),
                },
            };
            if element && value == Value::Null {
                self.quirk("D10")?;
            }
            return Ok(value);
        }
    }

    /// Whether the value last read had a tag.
    pub(super) const fn was_tagged(&self) -> bool {
        self.tagged
    }

    fn check_tag(&mut self, number: u64) -> Read<()> {
        let next = self.peek()?;
        let fits = match (number, next >> 5) {
            (0, major) => major == 3,
            (1, major) => major <= 1 || (major == 7 && (25..=27).contains(&(next & 31))),
            (2 | 3, major) => major == 2,
            _ => true,
        };
        if fits { Ok(()) } else { Err(Violation::Tag { number }) }
    }

    /// An unsigned integer of at most `most`; `None` for null (D8, D14, D17).
    pub(super) fn unsigned(&mut self, most: u64) -> Read<Option<u64>> {
        let number = match self.value()? {
            Value::Unsigned(number) => number,
            Value::Null => return Ok(None),
            Value::Simple(number) => {
                self.quirk("D17")?;
                u64::from(number)
            }
            Value::Bignum { negative: false } => self.bignum()?,
            other => return Err(self.wrong(other)),
        };
        if number <= most { Ok(Some(number)) } else { Err(self.range()) }
    }

    /// A signed integer from `least` to `most`; `None` for null (D8, D14, D17).
    pub(super) fn signed(&mut self, least: i64, most: i64) -> Read<Option<i64>> {
        let (magnitude, negative) = match self.value()? {
            Value::Unsigned(number) => (number, false),
            Value::Negative(number) => (number, true),
            Value::Null => return Ok(None),
            Value::Simple(number) => {
                self.quirk("D17")?;
                (u64::from(number), false)
            }
            Value::Bignum { negative } => (self.bignum()?, negative),
            other => return Err(self.wrong(other)),
        };
        let number = i64::try_from(magnitude).map_err(|_| self.range())?;
        let number = if negative { -1 - number } else { number };
        if (least..=most).contains(&number) { Ok(Some(number)) } else { Err(self.range()) }
    }

    /// The content of a tag 2 or 3 as a number, when it fits 64 bits (D14).
    fn bignum(&mut self) -> Read<u64> {
        self.quirk("D14")?;
        let bytes = self.bytes()?;
        let mut number: u64 = 0;
        for byte in bytes.pieces().flat_map(|piece| piece.iter()) {
            if number >> 56 != 0 {
                return Err(self.range());
            }
            number = number << 8 | u64::from(*byte);
        }
        Ok(number)
    }

    pub(super) fn bool(&mut self) -> Read<Option<bool>> {
        match self.value()? {
            Value::Bool(value) => Ok(Some(value)),
            Value::Null => Ok(None),
            other => Err(self.wrong(other)),
        }
    }

    /// Text; `None` for null. Each chunk must be UTF-8 by itself (R6).
    pub(super) fn text(&mut self) -> Read<Option<String>> {
        let size = match self.value()? {
            Value::Text(size) => size,
            Value::Null => return Ok(None),
            other => return Err(self.wrong(other)),
        };
        let Some(size) = size else {
            let mut text = String::new();
            while !self.take_break()? {
                let length = self.head()?.argument;
                text.push_str(&self.text_of(usize::try_from(length).unwrap_or(usize::MAX))?);
            }
            return Ok(Some(text));
        };
        self.text_of(size).map(Some)
    }

    fn text_of(&mut self, length: usize) -> Read<String> {
        self.charge(length)?;
        // The item is whole: so many bytes are there.
        let mut bytes = Vec::with_capacity(length);
        self.pieces(length, |piece, _| bytes.extend_from_slice(piece))?;
        String::from_utf8(bytes)
            .map_err(|_| Violation::Utf8 { message: self.place.message, key: self.place.key })
    }

    /// A byte-string field; `None` for null (D15, D16).
    pub(super) fn payload(&mut self) -> Read<Option<Payload>> {
        match self.value()? {
            Value::Bytes(size) => self.bytes_of(size).map(Some),
            Value::Null => Ok(None),
            Value::Bignum { .. } => {
                self.quirk("D15")?;
                self.bytes().map(Some)
            }
            Value::Array(size) => {
                self.quirk("D16")?;
                let mut bytes = Vec::new();
                self.list(size, |input| {
                    let byte = input.unsigned(u64::from(u8::MAX))?.unwrap_or_default();
                    input.charge(1)?;
                    bytes.push(u8::try_from(byte).unwrap_or_default());
                    Ok(())
                })?;
                Ok(Some(bytes.into()))
            }
            other => Err(self.wrong(other)),
        }
    }

    /// A byte string, its head included.
    fn bytes(&mut self) -> Read<Payload> {
        let head = self.head()?;
        let size =
            (!head.is_indefinite()).then_some(usize::try_from(head.argument).unwrap_or(usize::MAX));
        self.bytes_of(size)
    }

    fn bytes_of(&mut self, size: Option<usize>) -> Read<Payload> {
        let mut payload = Payload::new();
        let Some(size) = size else {
            // Small ones are copied together: kept apart, two bytes on the wire would hold a
            // hundred in memory, here and in the queue of their stream.
            let mut joined = Vec::new();
            while !self.take_break()? {
                let length = usize::try_from(self.head()?.argument).unwrap_or(usize::MAX);
                if length < SMALL_CHUNK {
                    self.charge(length)?;
                    self.pieces(length, |piece, _| joined.extend_from_slice(piece))?;
                } else {
                    payload.push(core::mem::take(&mut joined).into());
                    self.charge(size_of::<Bytes>())?;
                    self.pieces(length, |piece, chunk| payload.push(chunk.slice_ref(piece)))?;
                }
            }
            payload.push(joined.into());
            return Ok(payload);
        };
        self.pieces(size, |piece, chunk| payload.push(chunk.slice_ref(piece)))?;
        Ok(payload)
    }

    /// Calls `element` for each element of a list whose head was just read.
    pub(super) fn list(
        &mut self,
        size: Option<usize>,
        mut element: impl FnMut(&mut Self) -> Read<()>,
    ) -> Read<()> {
        let mut left = size;
        loop {
            match &mut left {
                Some(0) => return Ok(()),
                Some(left) => *left -= 1,
                None if self.take_break()? => return Ok(()),
                None => {}
            }
            self.element = true;
            element(self)?;
        }
    }

    /// Calls `pair` for each text key of a map whose head was just read; it must take the value.
    pub(super) fn map(
        &mut self,
        size: Option<usize>,
        mut pair: impl FnMut(&mut Self, &[u8]) -> Read<()>,
    ) -> Read<()> {
        let mut left = size;
        loop {
            match &mut left {
                Some(0) => return Ok(()),
                Some(left) => *left -= 1,
                None if self.take_break()? => return Ok(()),
                None => {}
            }
            match self.key()? {
                Some(key) => pair(self, &key)?,
                None => self.skip()?,
            }
        }
    }

    /// A map key; `None` for an integer one, which names nothing (D5, R6, R7).
    fn key(&mut self) -> Read<Option<Cow<'a, [u8]>>> {
        let head = self.head()?;
        let key = match head.major {
            0 | 1 if head.argument <= i64::MAX as u64 => {
                self.quirk("D5")?;
                return Ok(None);
            }
            0 | 1 => return Err(Violation::Key { found: "an integer beyond 64 bits" }),
            2 => return Err(Violation::Key { found: "a byte string" }),
            3 => head,
            4 => return Err(Violation::Key { found: "a list" }),
            5 => return Err(Violation::Key { found: "a map" }),
            6 => return Err(Violation::Key { found: "tagged" }),
            _ => return Err(Violation::Key { found: "a simple value or float" }),
        };
        let utf8 = Violation::Utf8 { message: self.place.message, key: "" };
        let length = usize::try_from(key.argument).unwrap_or(usize::MAX);
        if let Some((name, left)) =
            self.left.split_at_checked(length).filter(|_| !key.is_indefinite())
        {
            self.left = left;
            core::str::from_utf8(name).map_err(|_| utf8)?;
            return Ok(Some(Cow::Borrowed(name)));
        }
        let mut name = Vec::new();
        if key.is_indefinite() {
            while !self.take_break()? {
                let length = usize::try_from(self.head()?.argument).unwrap_or(usize::MAX);
                let begun = name.len();
                self.pieces(length, |piece, _| name.extend_from_slice(piece))?;
                core::str::from_utf8(name.get(begun..).unwrap_or_default())
                    .map_err(|_| utf8.clone())?;
            }
        } else {
            self.pieces(length, |piece, _| name.extend_from_slice(piece))?;
            core::str::from_utf8(&name).map_err(|_| utf8)?;
        }
        Ok(Some(Cow::Owned(name)))
    }
}
