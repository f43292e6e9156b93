//! The first bytes of a stream: `docs/protocols/agent-tunnel.md` section 4.

use core::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};

/// The longest metadata of a stream, in bytes.
pub const MAX_METADATA: usize = 1 << 20;

/// Bytes before the metadata.
const FIXED: usize = 5;

/// What a stream is for; numbers that nobody knows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamType(pub u8);

impl StreamType {
    /// One HTTP exchange, as the original has it.
    pub const HTTP: Self = Self(1);
    /// A terminal, as the original has it.
    pub const TERMINAL: Self = Self(2);
    /// What an agent tells about itself.
    pub const CONTROL: Self = Self(3);
    /// One HTTP exchange of our own dialect.
    pub const OWN_HTTP: Self = Self(0x81);
    /// A terminal of our own dialect.
    pub const OWN_TERMINAL: Self = Self(0x82);
    /// A forwarded TCP connection; only our own dialect has these.
    pub const OWN_FORWARD: Self = Self(0x83);
}

/// A stream's header, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the stream is for.
    pub kind: StreamType,
    /// JSON in most types; at most [`MAX_METADATA`] bytes.
    pub metadata: Bytes,
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// The stream ended in order before its first byte.
    NoHeader,
    /// The stream ended within the first five bytes.
    TornHeader,
    /// The stream ended where its metadata should begin.
    NoMetadata,
    /// The stream ended within its metadata.
    TornMetadata,
    /// The metadata is announced, or was given, with more than [`MAX_METADATA`] bytes.
    TooLarge(usize),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The original's words.
        match self {
            Self::NoHeader => f.write_str("read stream header: EOF"),
            Self::TornHeader => f.write_str("read stream header: unexpected EOF"),
            Self::NoMetadata => f.write_str("read stream metadata: EOF"),
            Self::TornMetadata => f.write_str("read stream metadata: unexpected EOF"),
            Self::TooLarge(len) => write!(f, "stream metadata too large: {len} bytes"),
        }
    }
}

impl core::error::Error for HeaderError {}

/// The bytes of a header, in one piece: to be written first on a stream.
///
/// # Errors
///
/// [`HeaderError::TooLarge`] for metadata of more than [`MAX_METADATA`] bytes.
pub fn encode_header(kind: StreamType, metadata: &[u8]) -> Result<Bytes, HeaderError> {
    let len = u32::try_from(metadata.len()).ok().filter(|len| *len as usize <= MAX_METADATA);
    let len = len.ok_or(HeaderError::TooLarge(metadata.len()))?;
    let mut bytes = BytesMut::with_capacity(FIXED + metadata.len());
    bytes.put_u8(kind.0);
    bytes.put_u32(len);
    bytes.extend_from_slice(metadata);
    Ok(bytes.freeze())
}

/// Reads one header out of the pieces in which a stream's bytes arrive.
///
/// Its memory grows with what arrived, never with what was announced.
#[derive(Debug, Default)]
pub struct HeaderDecoder {
    fixed: [u8; FIXED],
    have: usize,
    metadata: BytesMut,
}

impl HeaderDecoder {
    /// A decoder that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the header's bytes off `input`, and no others; `None` while more are needed.
    ///
    /// Metadata that lies whole in one piece is a slice of it. Behind a header or an error the
    /// decoder is used up.
    ///
    /// # Errors
    ///
    /// [`HeaderError::TooLarge`], decided on the first five bytes.
    pub fn feed(&mut self, input: &mut Bytes) -> Result<Option<Header>, HeaderError> {
        let missing = self.fixed.get_mut(self.have..).unwrap_or_default();
        let front = input.split_to(missing.len().min(input.len()));
        for (to, from) in missing.iter_mut().zip(&front) {
            *to = *from;
        }
        self.have += front.len();
        if self.have < FIXED {
            return Ok(None);
        }
        let [kind, len @ ..] = self.fixed;
        let len = u32::from_be_bytes(len) as usize;
        if len > MAX_METADATA {
            return Err(HeaderError::TooLarge(len));
        }
        let missing = len.saturating_sub(self.metadata.len());
        let part = input.split_to(missing.min(input.len()));
        if part.len() < missing {
            self.metadata.extend_from_slice(&part);
            return Ok(None);
        }
        let metadata = if self.metadata.is_empty() {
            part
        } else {
            self.metadata.extend_from_slice(&part);
            core::mem::take(&mut self.metadata).freeze()
        };
        Ok(Some(Header { kind: StreamType(kind), metadata }))
    }

    /// The stream has ended: which part of the header is missing.
    #[must_use]
    pub fn end(&self) -> HeaderError {
        match (self.have, self.metadata.len()) {
            (0, _) => HeaderError::NoHeader,
            (1..FIXED, _) => HeaderError::TornHeader,
            (_, 0) => HeaderError::NoMetadata,
            _ => HeaderError::TornMetadata,
        }
    }
}
