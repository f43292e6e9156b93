//! The rules a peer can break: `docs/protocols/yamux.md` section 8.

use core::fmt;

/// Which rule of the wire the peer broke. All of them end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A frame of another version than 0.
    Version(u8),
    /// A frame of a type that does not exist.
    FrameType(u8),
    /// A payload beyond what one frame may carry here.
    FrameSize {
        /// Bytes announced.
        length: u32,
        /// The most allowed.
        limit: usize,
    },
    /// Data beyond the window that was granted.
    Window {
        /// The stream.
        stream: u32,
        /// Bytes announced.
        length: u32,
        /// Bytes that were left of the window.
        left: u32,
    },
    /// Credit that adds up to more than a window can be.
    Credit {
        /// The stream.
        stream: u32,
        /// The credit that was too much.
        delta: u32,
    },
    /// A stream was opened under the id of one that lives.
    DuplicateStream(u32),
    /// A stream was opened under an id that only this side may give out, or 0.
    ForeignId(u32),
    /// A stream was opened under an id that was used before.
    ReusedId(u32),
    /// The peer ended its direction of a stream twice.
    SecondFin(u32),
    /// Data for a stream that is not there, more than could be under way.
    UnknownPayload {
        /// The id.
        stream: u32,
        /// Bytes announced.
        length: u32,
    },
}

impl Violation {
    /// The class of the violation: version, type, limit, window, credit, id or state.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Version(_) => "version",
            Self::FrameType(_) => "type",
            Self::FrameSize { .. } | Self::UnknownPayload { .. } => "limit",
            Self::Window { .. } => "window",
            Self::Credit { .. } => "credit",
            Self::DuplicateStream(_) | Self::ForeignId(_) | Self::ReusedId(_) => "id",
            Self::SecondFin(_) => "state",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "yamux version {version}, not 0"),
            Self::FrameType(kind) => write!(f, "no yamux frame is of type {kind}"),
            Self::FrameSize { length, limit } => {
                write!(f, "a frame of {length} bytes, more than {limit}")
            }
            Self::Window { stream, length, left } => {
                write!(f, "{length} bytes on stream {stream}, whose window was {left}")
            }
            Self::Credit { stream, delta } => {
                write!(f, "credit of {delta} on stream {stream}, more than a window can hold")
            }
            Self::DuplicateStream(stream) => write!(f, "stream {stream} was opened twice"),
            Self::ForeignId(stream) => {
                write!(f, "stream {stream} was opened by the side that may not give out that id")
            }
            Self::ReusedId(stream) => write!(f, "stream id {stream} was used before"),
            Self::SecondFin(stream) => write!(f, "stream {stream} was ended twice"),
            Self::UnknownPayload { stream, length } => {
                write!(f, "{length} bytes for stream {stream}, which does not exist")
            }
        }
    }
}

impl core::error::Error for Violation {}
