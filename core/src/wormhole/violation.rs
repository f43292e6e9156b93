//! The rules a peer can break: `docs/protocols/wormhole.md` section 3.

use core::fmt;

use super::{ErrorKind, FrameType, VERSION};

/// Which rule of the wire was broken.
///
/// [`kind`](Self::kind) gives the class, `Display` the original's words where it has some.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A frame of another version.
    Version {
        /// The version it has.
        found: u8,
    },
    /// A type that the wire does not have.
    FrameType {
        /// The type it has.
        found: u8,
    },
    /// A payload longer than is taken, or than may be sent.
    PayloadTooLarge {
        /// Its length in bytes.
        length: u64,
        /// The most bytes allowed.
        limit: usize,
    },
    /// The bytes end in the middle of a frame. A connection reports this as
    /// [`CloseReason::Eof`](crate::CloseReason::Eof).
    UnexpectedEof,
    /// A payload without the four bytes that its type needs.
    PayloadTooShort {
        /// The frame's type.
        kind: FrameType,
        /// The payload's length in bytes.
        length: usize,
    },
    /// A frame of another type than the accessor is for. Never the peer's fault.
    WrongFrameType {
        /// The type that was asked for.
        expected: FrameType,
        /// The type it has.
        found: FrameType,
    },
    /// A HANDSHAKE for a stream that lives.
    StreamExists {
        /// The stream's id.
        stream: u32,
    },
    /// A HANDSHAKE with id 0, or with an id that only this side gives out.
    InvalidStreamId {
        /// The id.
        stream: u32,
    },
    /// More unread bytes of one stream than this side holds. By default only the stream ends by it,
    /// under [`Excess::EndConnection`](super::Excess::EndConnection) the connection.
    ReadBufferFull {
        /// The stream's id.
        stream: u32,
    },
}

impl Violation {
    /// The class of the violation.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. } => ErrorKind::InvalidVersion,
            Self::FrameType { .. } => ErrorKind::InvalidFrameType,
            Self::PayloadTooLarge { .. } => ErrorKind::PayloadTooLarge,
            Self::UnexpectedEof => ErrorKind::UnexpectedEof,
            Self::PayloadTooShort { .. } => ErrorKind::PayloadTooShort,
            Self::WrongFrameType { .. } => ErrorKind::WrongFrameType,
            Self::StreamExists { .. } => ErrorKind::StreamAlreadyExists,
            Self::InvalidStreamId { .. } => ErrorKind::InvalidStreamId,
            Self::ReadBufferFull { .. } => ErrorKind::ReadBufferFull,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Version { found } => write!(f, "{kind}: got {found}, want {VERSION}"),
            Self::FrameType { found } => write!(f, "{kind}: {found}"),
            Self::PayloadTooLarge { length, limit } => write!(f, "{kind}: {length} > {limit}"),
            Self::UnexpectedEof => write!(f, "{kind}"),
            Self::PayloadTooShort { kind, length } => {
                write!(f, "{kind} payload too short: {length}")
            }
            Self::WrongFrameType { expected, found } => {
                write!(f, "expected {expected} frame, got {found}")
            }
            Self::StreamExists { stream }
            | Self::InvalidStreamId { stream }
            | Self::ReadBufferFull { stream } => write!(f, "{kind} (stream {stream})"),
        }
    }
}

impl core::error::Error for Violation {}
