//! The metadata of the original's HTTP streams: `docs/protocols/agent-tunnel.md` section 5.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::MAX_METADATA;
use super::json::{Kind, Reader, names};
use super::quote::{number, quote};

/// The most headers that one metadata may have.
pub const MAX_HEADERS: usize = 256;

/// Headers as the original carries them: one value for each name; `None` is its `null`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Option<BTreeMap<String, String>>);

/// What the opener of an HTTP stream asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestMeta {
    /// The method; the original takes an empty one for GET.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: Headers,
    /// Bytes of body that follow.
    pub body_len: i64,
}

/// What the agent answers on an HTTP stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseMeta {
    /// The status; the original takes 0 for 200.
    pub status: i64,
    /// The headers.
    pub headers: Headers,
}

/// Why metadata is no metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetaError {
    /// The text ends within a value, or is empty.
    Cut,
    /// It is no JSON, from this byte on.
    Syntax {
        /// Bytes before it.
        at: usize,
    },
    /// A field has a value of another type, or a number that does not fit.
    WrongType {
        /// The field, or `""` for the whole.
        field: &'static str,
    },
    /// Values are nested more than 64 deep.
    TooDeep,
    /// There are more than [`MAX_HEADERS`] headers.
    TooManyHeaders,
    /// The strings make up more than [`MAX_METADATA`] bytes once they are decoded.
    TooLarge,
}

impl fmt::Display for MetaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("unexpected end of JSON input"),
            Self::Syntax { at } => write!(f, "no JSON from byte {at} on"),
            Self::WrongType { field: "" } => f.write_str("the metadata is no object"),
            Self::WrongType { field } => write!(f, "the field {field} has a value of a wrong type"),
            Self::TooDeep => f.write_str("values are nested too deep"),
            Self::TooManyHeaders => write!(f, "more than {MAX_HEADERS} headers"),
            Self::TooLarge => f.write_str("the metadata is too large once it is decoded"),
        }
    }
}

impl core::error::Error for MetaError {}

impl RequestMeta {
    /// The JSON text, byte by byte as the original's encoder makes it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let headers = self.headers.0.as_ref().map(pairs);
        request_json(self.method.as_bytes(), self.path.as_bytes(), headers, self.body_len)
    }

    /// Reads a JSON text by the rules of the original's decoder, within this side's limits.
    ///
    /// # Errors
    ///
    /// The first rule that the text breaks; a wrong type only where its syntax is right.
    pub fn from_json(text: &[u8]) -> Result<Self, MetaError> {
        let mut meta = Self::default();
        let mut size = Size::default();
        fields(text, |reader, key| {
            if reader.null_or_unknown(&key, &["method", "path", "body_len"])? {
                return Ok(());
            }
            if names(&key, "method") {
                size.keep(reader.string("method")?, &mut meta.method)
            } else if names(&key, "path") {
                size.keep(reader.string("path")?, &mut meta.path)
            } else if names(&key, "body_len") {
                meta.body_len = reader.integer("body_len")?.unwrap_or(meta.body_len);
                Ok(())
            } else {
                read_headers(reader, &key, &mut meta.headers, &mut size)
            }
        })?;
        Ok(meta)
    }
}

impl ResponseMeta {
    /// The JSON text, byte by byte as the original's encoder makes it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        response_json(self.status, self.headers.0.as_ref().map(pairs))
    }

    /// Reads a JSON text by the rules of the original's decoder, within this side's limits. Any
    /// status is taken here.
    ///
    /// # Errors
    ///
    /// The first rule that the text breaks; a wrong type only where its syntax is right.
    pub fn from_json(text: &[u8]) -> Result<Self, MetaError> {
        let mut meta = Self::default();
        let mut size = Size::default();
        fields(text, |reader, key| {
            if reader.null_or_unknown(&key, &["status"])? {
                return Ok(());
            }
            if names(&key, "status") {
                meta.status = reader.integer("status")?.unwrap_or(meta.status);
                Ok(())
            } else {
                read_headers(reader, &key, &mut meta.headers, &mut size)
            }
        })?;
        Ok(meta)
    }
}

/// A request's text, of bytes that need not be UTF-8; `headers` come in the order of their names.
pub(super) fn request_json<'a>(
    method: &[u8],
    path: &[u8],
    headers: Option<impl Iterator<Item = (&'a [u8], &'a [u8])>>,
    body_len: i64,
) -> Vec<u8> {
    let mut json = Vec::with_capacity(64 + path.len());
    json.extend_from_slice(b"{\"method\":");
    quote(method, &mut json);
    json.extend_from_slice(b",\"path\":");
    quote(path, &mut json);
    headers_json(headers, &mut json);
    json.extend_from_slice(b",\"body_len\":");
    number(body_len, &mut json);
    json.push(b'}');
    json
}

/// A response's text, as [`request_json`].
pub(super) fn response_json<'a>(
    status: i64,
    headers: Option<impl Iterator<Item = (&'a [u8], &'a [u8])>>,
) -> Vec<u8> {
    let mut json = b"{\"status\":".to_vec();
    number(status, &mut json);
    headers_json(headers, &mut json);
    json.push(b'}');
    json
}

fn headers_json<'a>(
    headers: Option<impl Iterator<Item = (&'a [u8], &'a [u8])>>,
    json: &mut Vec<u8>,
) {
    json.extend_from_slice(b",\"headers\":");
    let Some(headers) = headers else { return json.extend_from_slice(b"null") };
    json.push(b'{');
    for (at, (name, value)) in headers.enumerate() {
        if at > 0 {
            json.push(b',');
        }
        quote(name, json);
        json.push(b':');
        quote(value, json);
    }
    json.push(b'}');
}

fn pairs(map: &BTreeMap<String, String>) -> impl Iterator<Item = (&[u8], &[u8])> {
    map.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

/// Reads an object (or `null`, which has no fields), and nothing behind it.
pub(super) fn fields<'a>(
    text: &'a [u8],
    each: impl FnMut(&mut Reader<'a>, Cow<'a, str>) -> Result<(), MetaError>,
) -> Result<(), MetaError> {
    let mut reader = Reader::new(text);
    match reader.kind()? {
        Kind::Null => reader.skip()?,
        Kind::Object => reader.object(each)?,
        _ => reader.wrong("")?,
    }
    reader.end()
}

/// What decoded strings make up together.
#[derive(Default)]
pub(super) struct Size(usize);

impl Size {
    pub(super) fn keep(
        &mut self,
        value: Option<Cow<'_, str>>,
        to: &mut String,
    ) -> Result<(), MetaError> {
        if let Some(value) = value {
            self.count(value.len())?;
            *to = value.into_owned();
        }
        Ok(())
    }

    pub(super) fn count(&mut self, len: usize) -> Result<(), MetaError> {
        self.0 = self.0.saturating_add(len);
        if self.0 > MAX_METADATA { Err(MetaError::TooLarge) } else { Ok(()) }
    }
}

impl Reader<'_> {
    /// Skips what has no effect: a field that nobody knows, a `null` for one of `plain`.
    fn null_or_unknown(&mut self, key: &str, plain: &[&str]) -> Result<bool, MetaError> {
        if plain.iter().any(|field| names(key, field)) {
            return self.null();
        }
        if names(key, "headers") {
            return Ok(false);
        }
        self.skip()?;
        Ok(true)
    }
}

fn read_headers(
    reader: &mut Reader<'_>,
    key: &str,
    headers: &mut Headers,
    size: &mut Size,
) -> Result<(), MetaError> {
    debug_assert!(names(key, "headers"));
    if reader.null()? {
        headers.0 = None;
        return Ok(());
    }
    if reader.kind()? != Kind::Object {
        return reader.wrong("headers");
    }
    let map = headers.0.get_or_insert_default();
    reader.object(|reader, name| {
        let value =
            if reader.null()? { Some(Cow::Borrowed("")) } else { reader.string("headers")? };
        let Some(value) = value else { return Ok(()) };
        size.count(name.len() + value.len())?;
        map.insert(name.into_owned(), value.into_owned());
        if map.len() > MAX_HEADERS { Err(MetaError::TooManyHeaders) } else { Ok(()) }
    })
}
