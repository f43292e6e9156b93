//! A reader of JSON as Go's `encoding/json` reads it: `docs/protocols/agent-tunnel.md` section 5.
//!
//! It pulls: nothing is built that nobody asked for. A value of the wrong type is remembered and
//! skipped, and a syntax error anywhere behind it is told first, as in Go, which checks the whole
//! text before it looks at a value.

use alloc::borrow::Cow;
use alloc::string::String;

use super::MetaError;
use super::class::{Class, class};

/// The deepest nesting that is read.
pub(super) const MAX_DEPTH: usize = 64;

/// What can stand in a string as it is, escapes and the closing quote excepted.
static PLAIN: Class = class!(0x20..=0x21 | 0x23..=0x5b | 0x5d..);

type Read<T = ()> = Result<T, MetaError>;

/// What a value is, seen from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Bool,
    Null,
}

/// Where the reading of one text stands.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
    depth: usize,
    wrong: Option<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self { rest: text, len: text.len(), depth: 0, wrong: None }
    }

    /// Nothing but white space may follow; then the first wrong type of all is told.
    pub(super) fn end(mut self) -> Read {
        match (self.peek(), self.wrong) {
            (Some(_), _) => Err(self.syntax()),
            (None, Some(field)) => Err(MetaError::WrongType { field }),
            (None, None) => Ok(()),
        }
    }

    /// The kind of the next value.
    pub(super) fn kind(&mut self) -> Read<Kind> {
        match self.peek() {
            None => Err(MetaError::Cut),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => Err(self.syntax()),
        }
    }

    /// Skips a value that is of the wrong type for `field`, and remembers that.
    pub(super) fn wrong(&mut self, field: &'static str) -> Read {
        self.wrong.get_or_insert(field);
        self.skip()
    }

    /// Skips a value of any type.
    pub(super) fn skip(&mut self) -> Read {
        match self.kind()? {
            Kind::Object => self.members(),
            Kind::Array => self.items(Self::skip),
            Kind::Text => self.span().map(drop),
            Kind::Number => self.number().map(|_| ()),
            Kind::Bool => match self.peek() {
                Some(b't') => self.literal(b"true"),
                _ => self.literal(b"false"),
            },
            Kind::Null => self.literal(b"null"),
        }
    }

    /// Reads the next value, an object; `each` reads the value of the key that it is given.
    pub(super) fn object(&mut self, mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Read) -> Read {
        self.enter(b'{')?;
        if self.take(b'}') {
            return self.leave();
        }
        loop {
            let key = self.text()?;
            self.expect(b':')?;
            each(self, key)?;
            if self.take(b'}') {
                return self.leave();
            }
            self.expect(b',')?;
        }
    }

    /// As [`object`](Self::object), where nothing is kept.
    fn members(&mut self) -> Read {
        self.enter(b'{')?;
        if self.take(b'}') {
            return self.leave();
        }
        loop {
            self.span()?;
            self.expect(b':')?;
            self.skip()?;
            if self.take(b'}') {
                return self.leave();
            }
            self.expect(b',')?;
        }
    }

    /// Reads the next value, an array; `each` reads each of its values.
    pub(super) fn items(&mut self, mut each: impl FnMut(&mut Self) -> Read) -> Read {
        self.enter(b'[')?;
        if self.take(b']') {
            return self.leave();
        }
        loop {
            each(self)?;
            if self.take(b']') {
                return self.leave();
            }
            self.expect(b',')?;
        }
    }

    /// Reads a string, unescaped: what is no UTF-8 and no whole pair of surrogates is U+FFFD.
    pub(super) fn text(&mut self) -> Read<Cow<'a, str>> {
        let (mut span, escaped) = self.span()?;
        if !escaped && let Ok(text) = core::str::from_utf8(span) {
            return Ok(Cow::Borrowed(text));
        }
        let mut text = String::with_capacity(span.len());
        while let Some(at) = span.iter().position(|&byte| byte == b'\\') {
            let (plain, escape) = span.split_at_checked(at).unwrap_or((span, &[]));
            push_lossy(&mut text, plain);
            span = push_escape(&mut text, escape);
        }
        push_lossy(&mut text, span);
        Ok(Cow::Owned(text))
    }

    /// Reads a number as it stands in the text.
    pub(super) fn number(&mut self) -> Read<&'a [u8]> {
        self.peek();
        let start = self.rest;
        if self.rest.first() == Some(&b'-') {
            self.advance(1);
        }
        if self.rest.first() == Some(&b'0') {
            self.advance(1);
        } else {
            self.digits()?;
        }
        if self.rest.first() == Some(&b'.') {
            self.advance(1);
            self.digits()?;
        }
        if matches!(self.rest.first(), Some(b'e' | b'E')) {
            self.advance(1);
            if matches!(self.rest.first(), Some(b'+' | b'-')) {
                self.advance(1);
            }
            self.digits()?;
        }
        Ok(start.get(..start.len().saturating_sub(self.rest.len())).unwrap_or_default())
    }

    /// Reads a whole number for `field`; one that is none, or does not fit, is a wrong type.
    pub(super) fn integer<T: core::str::FromStr>(
        &mut self,
        field: &'static str,
    ) -> Read<Option<T>> {
        if self.kind()? != Kind::Number {
            self.wrong(field)?;
            return Ok(None);
        }
        let digits = core::str::from_utf8(self.number()?).unwrap_or_default();
        let value = digits.parse().ok();
        if value.is_none() {
            self.wrong.get_or_insert(field);
        }
        Ok(value)
    }

    /// Reads a string for `field`; anything else is a wrong type.
    pub(super) fn string(&mut self, field: &'static str) -> Read<Option<Cow<'a, str>>> {
        if self.kind()? == Kind::Text {
            return self.text().map(Some);
        }
        self.wrong(field)?;
        Ok(None)
    }

    /// Reads a `null`, if that is what comes, and says so.
    pub(super) fn null(&mut self) -> Read<bool> {
        let null = self.kind()? == Kind::Null;
        if null {
            self.literal(b"null")?;
        }
        Ok(null)
    }

    fn digits(&mut self) -> Read {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.unexpected());
        }
        self.advance(count);
        Ok(())
    }

    /// What stands between the quotes of the next string, checked but not unescaped, and whether
    /// there is anything to unescape.
    fn span(&mut self) -> Read<(&'a [u8], bool)> {
        self.expect(b'"')?;
        let start = self.rest;
        let mut escaped = false;
        loop {
            let count = self.rest.iter().position(|byte| !PLAIN.has(*byte));
            let count = count.unwrap_or(self.rest.len());
            self.advance(count);
            match self.rest.first() {
                Some(b'"') => {
                    let len = start.len().saturating_sub(self.rest.len());
                    self.advance(1);
                    return Ok((start.get(..len).unwrap_or_default(), escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn escape(&mut self) -> Read {
        self.advance(1);
        match self.rest.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.advance(1),
            Some(b'u') => {
                self.advance(1);
                for _ in 0..4 {
                    if !self.rest.first().is_some_and(u8::is_ascii_hexdigit) {
                        return Err(self.unexpected());
                    }
                    self.advance(1);
                }
            }
            _ => return Err(self.unexpected()),
        }
        Ok(())
    }

    fn literal(&mut self, word: &[u8]) -> Read {
        for byte in word {
            if self.rest.first() != Some(byte) {
                return Err(self.unexpected());
            }
            self.advance(1);
        }
        Ok(())
    }

    fn enter(&mut self, bracket: u8) -> Read {
        self.expect(bracket)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(MetaError::TooDeep) } else { Ok(()) }
    }

    fn leave(&mut self) -> Read {
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    /// The next byte that is no white space, which stays.
    fn peek(&mut self) -> Option<u8> {
        let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.advance(self.rest.iter().take_while(space).count());
        self.rest.first().copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.advance(1);
        }
        there
    }

    fn expect(&mut self, byte: u8) -> Read {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn advance(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn unexpected(&self) -> MetaError {
        if self.rest.is_empty() { MetaError::Cut } else { self.syntax() }
    }

    fn syntax(&self) -> MetaError {
        MetaError::Syntax { at: self.len.saturating_sub(self.rest.len()) }
    }
}

/// Each byte that belongs to no character is one U+FFFD.
fn push_lossy(to: &mut String, bytes: &[u8]) {
    if let Ok(text) = core::str::from_utf8(bytes) {
        return to.push_str(text);
    }
    for chunk in bytes.utf8_chunks() {
        to.push_str(chunk.valid());
        to.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

/// Unescapes the escape at the front of `span`, which was checked; gives what is behind it.
fn push_escape<'a>(to: &mut String, span: &'a [u8]) -> &'a [u8] {
    let rest = span.get(2..).unwrap_or_default();
    to.push(match span.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let rest = span.get(6..).unwrap_or_default();
            let unit = hex(span.get(2..6));
            let low = if rest.starts_with(b"\\u") { hex(rest.get(2..6)) } else { 0 };
            let pair = [unit, low];
            if let (0xd800..=0xdbff, Some(Ok(whole))) = (unit, char::decode_utf16(pair).next()) {
                to.push(whole);
                return rest.get(6..).unwrap_or_default();
            }
            to.push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
            return rest;
        }
        Some(&byte) => char::from(byte),
        None => return rest,
    });
    rest
}

fn hex(digits: Option<&[u8]>) -> u16 {
    let text = digits.and_then(|digits| core::str::from_utf8(digits).ok()).unwrap_or_default();
    u16::from_str_radix(text, 16).unwrap_or(0)
}

/// Whether a key names a field, as Go matches them: without regard to case, by simple folding.
pub(super) fn names(key: &str, field: &str) -> bool {
    key == field || key.chars().map(fold).eq(field.chars().map(fold))
}

fn fold(char: char) -> char {
    match char {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => char.to_ascii_lowercase(),
    }
}
