//! What can go wrong with an exchange, by whose fault: `docs/protocols/agent-tunnel.md` section 6.

use alloc::string::String;
use core::fmt;

use crate::tunnel::{HeaderError, MetaError, StreamType};

/// What the other end of an exchange did wrong, or what became of it; the exchange is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// There is no stream header, or no whole one.
    Header(HeaderError),
    /// The stream is of another type than the dialect has for this.
    Kind(StreamType),
    /// The metadata is no head.
    Metadata(MetaError),
    /// The method is no token.
    Method,
    /// The path does not begin with one `/`, has a scheme or host, or a character that none has.
    Path,
    /// A header's name is no token.
    HeaderName,
    /// A header's value has a line break or another control character.
    HeaderValue,
    /// `Content-Length` is no number, or there are several that differ, or it is not the body's.
    ContentLength,
    /// There are both `Content-Length` and `Transfer-Encoding`.
    BothLengths,
    /// A length below zero.
    NegativeLength(i64),
    /// A body longer than this side takes.
    TooLong,
    /// The direction ended before the body did; so many bytes are missing.
    Truncated(u64),
    /// More bytes than the body was said to have.
    Surplus,
    /// A status that no response can have.
    Status(i64),
    /// An upgrade that was not asked for.
    Upgrade,
    /// The stream was ended by force.
    Reset,
    /// The tunnel was lost.
    Lost,
    /// The local service does not answer; with the reason. Never made here: for
    /// [`Callee::answer`](super::Callee::answer).
    Target(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => error.fmt(f),
            Self::Kind(StreamType(kind)) => write!(f, "a stream of the unexpected type {kind}"),
            Self::Metadata(error) => write!(f, "invalid metadata: {error}"),
            Self::Method => f.write_str("the method is no token"),
            Self::Path => f.write_str("invalid request path"),
            Self::HeaderName => f.write_str("the name of a header is no token"),
            Self::HeaderValue => f.write_str("the value of a header has a control character"),
            Self::ContentLength => f.write_str("the content length is not that of the body"),
            Self::BothLengths => {
                f.write_str("both a content length and a transfer encoding are given")
            }
            Self::NegativeLength(len) => write!(f, "the body's length is {len}"),
            Self::TooLong => f.write_str("the body is too long"),
            Self::Truncated(missing) => {
                write!(f, "the body was cut off, {missing} bytes before its end")
            }
            Self::Surplus => f.write_str("the body is longer than announced"),
            Self::Status(status) => write!(f, "the status is {status}"),
            Self::Upgrade => f.write_str("an upgrade that was not asked for"),
            Self::Reset => f.write_str("the stream was reset by the other side"),
            Self::Lost => f.write_str("the tunnel was lost"),
            Self::Target(reason) => write!(f, "local service error: {reason}"),
        }
    }
}

impl core::error::Error for Fault {}

/// What this side asked for and cannot be; nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// The method is no token.
    Method,
    /// The path does not begin with one `/`, or has a character that none has.
    Path,
    /// The name of a header is no token.
    HeaderName(String),
    /// The value of this header has a line break or another control character.
    HeaderValue(String),
    /// There are more than [`MAX_HEADERS`](crate::tunnel::MAX_HEADERS) headers.
    TooManyHeaders,
    /// The head does not fit into a stream's metadata.
    TooLarge,
    /// `Content-Length` is no number, or there are several, or it is not the body's.
    ContentLength,
    /// `Transfer-Encoding` belongs to one connection, and bodies have no encoding here.
    TransferEncoding,
    /// The original's dialect has no bodies of unknown length, nor bodies beyond 2^63 - 1 bytes.
    BodyLength,
    /// More body than announced.
    TooMuchBody,
    /// Less body than announced; so many bytes are missing.
    ShortBody(u64),
    /// The body is over, or nobody wants the rest of it.
    BodyOver,
    /// A status that no response can have.
    Status(u16),
    /// A 101 that was not asked for, or that the dialect cannot carry.
    Upgrade,
    /// There is no request to answer yet.
    NoRequest,
    /// The request was answered.
    Answered,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("the method is no token"),
            Self::Path => f.write_str("the path is no path"),
            Self::HeaderName(name) => write!(f, "{name:?} cannot be the name of a header"),
            Self::HeaderValue(name) => write!(f, "the value of {name:?} has a control character"),
            Self::TooManyHeaders => f.write_str("there are too many headers"),
            Self::TooLarge => f.write_str("the head is too large"),
            Self::ContentLength => f.write_str("the content length is not that of the body"),
            Self::TransferEncoding => f.write_str("a transfer encoding cannot go through a tunnel"),
            Self::BodyLength => f.write_str("a body of this length needs our own dialect"),
            Self::TooMuchBody => f.write_str("the body is longer than announced"),
            Self::ShortBody(missing) => write!(f, "{missing} bytes of the body are missing"),
            Self::BodyOver => f.write_str("the body is over"),
            Self::Status(status) => write!(f, "{status} cannot be the status of a response"),
            Self::Upgrade => f.write_str("the upgrade was not asked for"),
            Self::NoRequest => f.write_str("there is no request yet"),
            Self::Answered => f.write_str("the request was answered"),
        }
    }
}

impl core::error::Error for Misuse {}
