//! The rules a peer can break: `docs/protocols/agentproto.md` sections 3 and 15.

use core::fmt;

use super::escape::escape;
use super::frame::FrameType;

/// Which rule of the wire the peer's bytes broke.
///
/// [`kind`](Self::kind) gives the class, in the words of the golden vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The bytes are not well-formed CBOR; nothing after them can be read (R1, R11).
    Malformed(Malformed),
    /// The item cannot be a frame: it is neither a map nor null (R2, H20).
    NotAFrame {
        /// How it began; a login banner, most often.
        first: FirstBytes,
    },
    /// A value of the wrong type (R3, R5).
    Type {
        /// The message it stood in.
        message: &'static str,
        /// The key it stood under.
        key: &'static str,
        /// What it was.
        found: &'static str,
    },
    /// An integer outside its field's range (R4).
    Range {
        /// The message it stood in.
        message: &'static str,
        /// The key it stood under.
        key: &'static str,
    },
    /// Text that is not UTF-8, in a known field or in any key (R6).
    Utf8 {
        /// The message it stood in.
        message: &'static str,
        /// The key it stood under; empty when the key itself was the text.
        key: &'static str,
    },
    /// A map key that cannot name a field (R7).
    Key {
        /// What it was.
        found: &'static str,
    },
    /// A tag with the wrong content (R8).
    Tag {
        /// The tag's number.
        number: u64,
    },
    /// Nested too deeply (R9).
    Depth {
        /// The most levels allowed.
        limit: usize,
    },
    /// Too many elements in one list, or pairs in one map (R10).
    Elements {
        /// The most allowed.
        limit: usize,
    },
    /// A frame announced or grown beyond the limit (R12, section 15).
    FrameSize {
        /// The most bytes allowed.
        limit: usize,
    },
    /// A frame whose decoded form takes too much memory (section 15).
    FrameMemory {
        /// The most bytes allowed.
        limit: usize,
    },
    /// A first frame that gives the session no purpose (section 6, step 3).
    FirstFrame {
        /// Its type.
        kind: FrameType,
    },
    /// The agent does not know file operation 16: it serves no files, or is of version 1.2, whose
    /// numbers mean other operations (H2).
    UnknownOperations {
        /// What it answered.
        errno: u32,
    },
    /// The first file request is one that only a client of version 1.2 sends (H2).
    OldClient,
    /// A coercion of tier Q, refused by the acceptance in force.
    Quirk {
        /// Its number in section 3, such as `D6`.
        rule: &'static str,
    },
    /// Not the one canonical encoding, refused by the acceptance in force.
    NotCanonical,
}

impl Violation {
    /// The class of the violation: malformed, type, range, utf8, key, tag, limit, first frame,
    /// operations, quirk or canonical.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::NotAFrame { .. } | Self::Type { .. } => "type",
            Self::Range { .. } => "range",
            Self::Utf8 { .. } => "utf8",
            Self::Key { .. } => "key",
            Self::Tag { .. } => "tag",
            Self::Depth { .. }
            | Self::Elements { .. }
            | Self::FrameSize { .. }
            | Self::FrameMemory { .. } => "limit",
            Self::FirstFrame { .. } => "first frame",
            Self::UnknownOperations { .. } | Self::OldClient => "operations",
            Self::Quirk { .. } => "quirk",
            Self::NotCanonical => "canonical",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(rule) => write!(f, "not well-formed CBOR: {rule}"),
            Self::NotAFrame { first } => {
                write!(f, "not an agentproto frame, it begins with \"{first}\"")
            }
            Self::Type { key: "", found, .. } => write!(f, "not a frame but {found}"),
            Self::Type { message, key, found } => {
                write!(f, "{message}.{key} has the wrong type: {found}")
            }
            Self::Range { message, key } => write!(f, "{message}.{key} is out of range"),
            Self::Utf8 { message, key: "" } => write!(f, "a key of {message} is not UTF-8"),
            Self::Utf8 { message, key } => write!(f, "{message}.{key} is not UTF-8"),
            Self::Key { found } => write!(f, "a map key is not text but {found}"),
            Self::Tag { number } => write!(f, "tag {number} has the wrong content"),
            Self::Depth { limit } => write!(f, "nested deeper than {limit} levels"),
            Self::Elements { limit } => write!(f, "more than {limit} elements"),
            Self::FrameSize { limit } => write!(f, "a frame of more than {limit} bytes"),
            Self::FrameMemory { limit } => {
                write!(f, "a frame that takes more than {limit} bytes of memory")
            }
            Self::FirstFrame { kind } => write!(f, "a first frame of type {}", kind.0),
            Self::UnknownOperations { errno } => write!(
                f,
                "the agent does not know file operation 16 (errno {errno}): it serves no files, or \
                 is of version 1.2, where the numbers mean other operations"
            ),
            Self::OldClient => f.write_str(
                "a file request of a client of version 1.2, where the numbers mean other operations",
            ),
            Self::Quirk { rule } => write!(f, "an encoding outside the format (rule {rule})"),
            Self::NotCanonical => f.write_str("not the canonical encoding"),
        }
    }
}

impl core::error::Error for Violation {}

/// Why bytes are not well-formed CBOR (R1, R11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Additional information 28 to 30, or 31 where no indefinite length exists.
    Info(u8),
    /// A break outside an indefinite item, or after a key without its value.
    Break,
    /// A simple value below 32 in two bytes.
    Simple(u8),
    /// A chunk of another type inside an indefinite string.
    ChunkType,
    /// A chunk that is itself indefinite.
    ChunkIndefinite,
    /// A length of 2^63 or more.
    Length(u64),
    /// An item cut short.
    Truncated,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Info(info) => write!(f, "additional information {info}"),
            Self::Break => f.write_str("a break out of place"),
            Self::Simple(value) => write!(f, "simple value {value} in two bytes"),
            Self::ChunkType => f.write_str("a chunk of another type than its string"),
            Self::ChunkIndefinite => f.write_str("a chunk of indefinite length"),
            Self::Length(length) => write!(f, "a length of {length}"),
            Self::Truncated => f.write_str("an item cut short"),
        }
    }
}

/// The first bytes of something that was no frame, at most 48 of them.
///
/// `Display` shows them as text with everything unprintable escaped. Two are equal when they begin
/// with the same byte: how many more were kept depends on how they happened to arrive.
#[derive(Clone, Copy)]
pub struct FirstBytes {
    bytes: [u8; Self::MOST],
    len: u8,
}

impl FirstBytes {
    const MOST: usize = 48;

    /// Keeps the beginning of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut first = Self { bytes: [0; Self::MOST], len: 0 };
        first.extend(bytes);
        first
    }

    /// Keeps more bytes, as far as there is room.
    pub fn extend(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let Some(to) = self.bytes.get_mut(usize::from(self.len)) else { return };
            *to = *byte;
            self.len += 1;
        }
    }

    /// Whether no byte was kept.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes kept.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl PartialEq for FirstBytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice().first() == other.as_slice().first()
    }
}

impl Eq for FirstBytes {}

impl fmt::Display for FirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_slice().utf8_chunks() {
            write!(f, "{}", escape(chunk.valid()))?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for FirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
