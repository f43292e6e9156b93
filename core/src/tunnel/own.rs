//! The metadata of our own stream types: `docs/protocols/agent-tunnel.md` section 12.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::json::{Kind, Reader, names};
use super::meta::{Size, fields};
use super::quote::{number, quote, quote_latin1};
use super::{MAX_HEADERS, MetaError};

/// The name of the header by which two ends agree on our own dialect in the WebSocket handshake.
pub const DIALECT_HEADER: &str = "Trunkline-Tunnel";

/// The value of [`DIALECT_HEADER`] that stands for the dialect as it is described here.
pub const DIALECT_VERSION: &str = "1";

/// The head of a request in our own dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names and values in their order; a name may come again, a value may be any bytes.
    pub headers: Vec<(String, Bytes)>,
    /// Bytes of body that follow; -1: until the end of the direction.
    pub body_len: i64,
}

/// The head of a response in our own dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnResponse {
    /// The status.
    pub status: u16,
    /// Names and values in their order; a name may come again, a value may be any bytes.
    pub headers: Vec<(String, Bytes)>,
}

/// What a terminal of our own dialect shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnTerminal {
    /// The value of `TERM`.
    pub term: String,
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
    /// What to run and its arguments; `None`: the shell of the agent's choice.
    pub command: Option<Vec<String>>,
}

/// Where a forwarded connection shall go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnForward {
    /// A host name or address, as the agent can reach it.
    pub host: String,
    /// A TCP port.
    pub port: u16,
}

/// What the agent answers to an [`OwnForward`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnForwardAnswer {
    /// Why there is no connection; `None`: there is one, and its bytes follow.
    pub error: Option<String>,
}

impl OwnRequest {
    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        own_request_json(&self.method, &self.path, &self.headers, self.body_len)
    }

    /// Reads a JSON text.
    ///
    /// # Errors
    ///
    /// The first rule that the text breaks.
    pub fn from_json(text: &[u8]) -> Result<Self, MetaError> {
        let mut meta = Self::default();
        let mut size = Size::default();
        fields(text, |reader, key| {
            match field(&key, &["method", "path", "headers", "body_len"]) {
                "method" => size.keep(reader.string("method")?, &mut meta.method),
                "path" => size.keep(reader.string("path")?, &mut meta.path),
                "headers" => list(reader, &mut meta.headers, &mut size),
                "body_len" => set(reader.integer("body_len")?, &mut meta.body_len),
                _ => reader.skip(),
            }
        })?;
        Ok(meta)
    }
}

impl OwnResponse {
    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        own_response_json(self.status, &self.headers)
    }

    /// Reads a JSON text.
    ///
    /// # Errors
    ///
    /// The first rule that the text breaks.
    pub fn from_json(text: &[u8]) -> Result<Self, MetaError> {
        let mut meta = Self::default();
        let mut size = Size::default();
        fields(text, |reader, key| match field(&key, &["status", "headers"]) {
            "status" => set(reader.integer("status")?, &mut meta.status),
            "headers" => list(reader, &mut meta.headers, &mut size),
            _ => reader.skip(),
        })?;
        Ok(meta)
    }
}

impl OwnTerminal {
    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = b"{\"term\":".to_vec();
        quote(self.term.as_bytes(), &mut json);
        json.extend_from_slice(b",\"cols\":");
        number(self.cols, &mut json);
        json.extend_from_slice(b",\"rows\":");
        number(self.rows, &mut json);
        json.extend_from_slice(b",\"command\":");
        match &self.command {
            None => json.extend_from_slice(b"null"),
            Some(command) => {
                json.push(b'[');
                for (at, word) in command.iter().enumerate() {
                    if at > 0 {
                        json.push(b',');
                    }
                    quote(word.as_bytes(), &mut json);
                }
                json.push(b']');
            }
        }
        json.push(b'}');
        json
    }

    /// Reads a JSON text; a command has at most [`MAX_HEADERS`] words.
    ///
    /// # Errors
    ///
    /// The first rule that the text breaks.
    pub fn from_json(text: &[u8]) -> Result<Self, MetaError> {
        let mut meta = Self::default();
        let mut size = Size::default();
        fields(text, |reader, key| match field(&key, &["term", "cols", "rows", "command"]) {
            "term" => size.keep(reader.string("term")?, &mut meta.term),
            "cols" => set(reader.integer("cols")?, &mut meta.cols),
            "rows" => set(reader.integer("rows")?, &mut meta.rows),
            "command" => words(reader, &mut meta.command, &mut size),
            _ => reader.skip(),
        })?;
        Ok(meta)
    }
}

impl OwnForward {
    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = b"{\"host\":".to_vec();
        quote(self.host.as_bytes(), &mut json);
        json.extend_from_slice(b",\"port\":");
        number(self.port, &mut json);
        json.push(b'}');
        json
    }

    /// Reads a JSON text.
    ///
    /// # Errors
    ///
    /// The first rule that the text breaks.
    pub fn from_json(text: &[u8]) -> Result<Self, MetaError> {
        let mut meta = Self::default();
        let mut size = Size::default();
        fields(text, |reader, key| match field(&key, &["host", "port"]) {
            "host" => size.keep(reader.string("host")?, &mut meta.host),
            "port" => set(reader.integer("port")?, &mut meta.port),
            _ => reader.skip(),
        })?;
        Ok(meta)
    }
}

impl OwnForwardAnswer {
    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = b"{\"error\":".to_vec();
        match &self.error {
            None => json.extend_from_slice(b"null"),
            Some(text) => quote(text.as_bytes(), &mut json),
        }
        json.push(b'}');
        json
    }

    /// Reads a JSON text.
    ///
    /// # Errors
    ///
    /// The first rule that the text breaks.
    pub fn from_json(text: &[u8]) -> Result<Self, MetaError> {
        let mut meta = Self::default();
        fields(text, |reader, key| {
            if !names(&key, "error") {
                return reader.skip();
            }
            meta.error =
                if reader.null()? { None } else { reader.string("error")?.map(Cow::into_owned) };
            Ok(())
        })?;
        Ok(meta)
    }
}

/// As [`OwnRequest::to_json`], of parts that stay where they are.
pub(super) fn own_request_json(
    method: &str,
    path: &str,
    headers: &[(String, Bytes)],
    body_len: i64,
) -> Vec<u8> {
    let mut json = Vec::with_capacity(80 + path.len() + room(headers));
    json.extend_from_slice(b"{\"method\":");
    quote(method.as_bytes(), &mut json);
    json.extend_from_slice(b",\"path\":");
    quote(path.as_bytes(), &mut json);
    list_json(headers, &mut json);
    json.extend_from_slice(b",\"body_len\":");
    number(body_len, &mut json);
    json.push(b'}');
    json
}

/// As [`OwnResponse::to_json`], of parts that stay where they are.
pub(super) fn own_response_json(status: u16, headers: &[(String, Bytes)]) -> Vec<u8> {
    let mut json = Vec::with_capacity(40 + room(headers));
    json.extend_from_slice(b"{\"status\":");
    number(status, &mut json);
    list_json(headers, &mut json);
    json.push(b'}');
    json
}

/// What the list takes where nothing is escaped.
fn room(headers: &[(String, Bytes)]) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum()
}

fn list_json(headers: &[(String, Bytes)], json: &mut Vec<u8>) {
    json.extend_from_slice(b",\"headers\":[");
    for (at, (name, value)) in headers.iter().enumerate() {
        json.extend_from_slice(if at > 0 { b",[" } else { b"[" });
        quote(name.as_bytes(), json);
        json.push(b',');
        quote_latin1(value, json);
        json.push(b']');
    }
    json.push(b']');
}

/// The field that a key names, `""` for none.
fn field(key: &str, fields: &[&'static str]) -> &'static str {
    fields.iter().find(|field| names(key, field)).copied().unwrap_or_default()
}

#[allow(clippy::unnecessary_wraps, reason = "it ends a closure whose other arms can fail")]
fn set<T>(value: Option<T>, to: &mut T) -> Result<(), MetaError> {
    if let Some(value) = value {
        *to = value;
    }
    Ok(())
}

fn words(
    reader: &mut Reader<'_>,
    to: &mut Option<Vec<String>>,
    size: &mut Size,
) -> Result<(), MetaError> {
    *to = None;
    if reader.null()? {
        return Ok(());
    }
    if reader.kind()? != Kind::Array {
        return reader.wrong("command");
    }
    let mut all = Vec::new();
    reader.items(|reader| {
        let mut word = String::new();
        size.keep(reader.string("command")?, &mut word)?;
        all.push(word);
        if all.len() > MAX_HEADERS { Err(MetaError::TooManyHeaders) } else { Ok(()) }
    })?;
    *to = Some(all);
    Ok(())
}

/// Pairs of a name and a value; each character of a value is one byte.
fn list(
    reader: &mut Reader<'_>,
    to: &mut Vec<(String, Bytes)>,
    size: &mut Size,
) -> Result<(), MetaError> {
    to.clear();
    if reader.kind()? != Kind::Array {
        return reader.wrong("headers");
    }
    reader.items(|reader| {
        if reader.kind()? != Kind::Array {
            return reader.wrong("headers");
        }
        let (mut name, mut value, mut count) = (None, None, 0);
        reader.items(|reader| {
            count += 1;
            match count {
                1 => name = reader.string("headers")?,
                2 => value = reader.string("headers")?.map(latin1),
                _ => reader.wrong("headers")?,
            }
            Ok(())
        })?;
        let (Some(name), Some(Some(value))) = (name, value) else {
            return Err(MetaError::WrongType { field: "headers" });
        };
        size.count(name.len() + value.len())?;
        to.push((name.into_owned(), value));
        if to.len() > MAX_HEADERS { Err(MetaError::TooManyHeaders) } else { Ok(()) }
    })
}

fn latin1(text: Cow<'_, str>) -> Option<Bytes> {
    if text.is_ascii() {
        return Some(text.into_owned().into());
    }
    text.chars().map(|char| u8::try_from(char).ok()).collect::<Option<Vec<u8>>>().map(Bytes::from)
}
