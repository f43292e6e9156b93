//! Classes of errors, and the peer's own: `docs/protocols/wormhole.md` section 10.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use bytes::Bytes;

use super::Violation;
use crate::mux::StreamEnd;
use crate::{CloseReason, TimeoutKind};

/// The classes of errors that the original names, and those it has without a name.
///
/// `Display` gives the original's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// `ErrInvalidVersion`.
    InvalidVersion,
    /// `ErrInvalidFrameType`.
    InvalidFrameType,
    /// `ErrPayloadTooLarge`.
    PayloadTooLarge,
    /// `ErrFrameTooShort`; nothing produces it.
    FrameTooShort,
    /// `ErrUnexpectedEOF`.
    UnexpectedEof,
    /// `ErrStreamAlreadyExist`.
    StreamAlreadyExists,
    /// `ErrStreamClosed`.
    StreamClosed,
    /// `ErrStreamNotFound`; a key that names nothing.
    StreamNotFound,
    /// `ErrInvalidStreamID`.
    InvalidStreamId,
    /// `ErrChecksumMismatch`; nothing produces it.
    ChecksumMismatch,
    /// `ErrConnectionClosed`: the connection was lost or ended by the peer.
    ConnectionClosed,
    /// `ErrMuxClosed`: the connection was closed by this side.
    MuxClosed,
    /// `ErrTimeout`: a deadline of a read or a write.
    Timeout,
    /// `RemoteError`: the peer refused or failed a stream.
    Remote,
    /// A payload without the four bytes that its type needs.
    PayloadTooShort,
    /// A frame of another type than was asked for.
    WrongFrameType,
    /// More unread bytes than a stream may have.
    ReadBufferFull,
    /// No answer to a PING in time.
    KeepAliveTimeout,
    /// A pool that is closed.
    PoolClosed,
    /// A pool with no room for one more connection.
    PoolExhausted,
}

impl ErrorKind {
    /// The class of a connection's end.
    #[must_use]
    pub const fn of_close(reason: &CloseReason) -> Self {
        match reason {
            CloseReason::Local => Self::MuxClosed,
            CloseReason::Eof { mid_frame: true } => Self::UnexpectedEof,
            CloseReason::Timeout(TimeoutKind::KeepAlive) => Self::KeepAliveTimeout,
            CloseReason::Violation(crate::Violation::Wormhole(violation)) => violation.kind(),
            _ => Self::ConnectionClosed,
        }
    }

    /// The class of a stream's end; `None` for one that lost nothing.
    #[must_use]
    pub const fn of_end(end: &StreamEnd) -> Option<Self> {
        Some(match end {
            StreamEnd::Finished => return None,
            StreamEnd::Remote { .. } => Self::Remote,
            StreamEnd::Connection(reason) => Self::of_close(reason),
            _ => Self::StreamClosed,
        })
    }
}

impl ErrorKind {
    /// The class in a word or two, as reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidVersion => "version",
            Self::InvalidFrameType => "type",
            Self::PayloadTooLarge => "limit",
            Self::FrameTooShort | Self::PayloadTooShort => "short",
            Self::UnexpectedEof => "truncated",
            Self::StreamAlreadyExists | Self::InvalidStreamId => "id",
            Self::StreamClosed | Self::StreamNotFound => "stream",
            Self::ChecksumMismatch => "checksum",
            Self::ConnectionClosed | Self::MuxClosed => "closed",
            Self::Timeout | Self::KeepAliveTimeout => "timeout",
            Self::Remote => "remote",
            Self::WrongFrameType => "misuse",
            Self::ReadBufferFull => "window",
            Self::PoolClosed | Self::PoolExhausted => "pool",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidVersion => "tunnel: invalid frame version",
            Self::InvalidFrameType => "tunnel: invalid frame type",
            Self::PayloadTooLarge => "tunnel: payload too large",
            Self::FrameTooShort => "tunnel: frame too short",
            Self::UnexpectedEof => "tunnel: unexpected EOF",
            Self::StreamAlreadyExists => "tunnel: stream already exists",
            Self::StreamClosed => "tunnel: stream closed",
            Self::StreamNotFound => "tunnel: stream not found",
            Self::InvalidStreamId => "tunnel: invalid stream ID",
            Self::ChecksumMismatch => "tunnel: checksum mismatch",
            Self::ConnectionClosed => "tunnel: connection closed",
            Self::MuxClosed => "tunnel: mux closed",
            Self::Timeout => "tunnel: operation timeout",
            Self::Remote => "remote error",
            Self::PayloadTooShort => "payload too short",
            Self::WrongFrameType => "wrong frame type",
            Self::ReadBufferFull => "read buffer full",
            Self::KeepAliveTimeout => "keep-alive timeout",
            Self::PoolClosed => "pool is closed",
            Self::PoolExhausted => "pool is at max capacity",
        })
    }
}

impl From<&Violation> for ErrorKind {
    fn from(violation: &Violation) -> Self {
        violation.kind()
    }
}

/// What a peer says with an ERROR frame: a code and a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteError {
    /// The code; the original sends 503 only.
    pub code: u32,
    /// The message's bytes, not always UTF-8 and not escaped.
    pub message: Bytes,
}

impl RemoteError {
    /// The code of a stream that was refused (503).
    pub const REFUSED: u32 = 503;
    /// The code of a stream whose peer sent more than is held (413); Trunkline's own.
    pub const TOO_MUCH: u32 = 413;

    /// The peer's error in a stream's end, where there is one.
    #[must_use]
    pub fn of(end: &StreamEnd) -> Option<Self> {
        match end {
            StreamEnd::Remote { code, text } => Some(Self { code: *code, message: text.clone() }),
            _ => None,
        }
    }

    /// The message as text, with U+FFFD for what is not UTF-8.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.message)
    }
}

impl fmt::Display for RemoteError {
    /// The message, or `remote error` where it is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            f.write_str("remote error")
        } else {
            f.write_str(&self.text())
        }
    }
}

impl core::error::Error for RemoteError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    #[test]
    fn an_error_without_a_message_says_that_it_is_remote() {
        let error = |message: &'static [u8]| RemoteError { code: 1, message: message.into() };
        assert_eq!(error(b"").to_string(), "remote error");
        assert_eq!(error(b"full").to_string(), "full");
        assert_eq!(error(b"\xffbad").to_string(), "\u{fffd}bad");
    }
}
