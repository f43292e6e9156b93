//! What the handles of a multiplexed connection report.

use std::fmt;
use std::io;

use trunkline_core::CloseReason;
use trunkline_core::mux::{LocalEnd, OpenRefusal, StreamEnd};

/// Why a connection or a stream did not do what was asked: the source of the handles' `io::Error`s.
///
/// The `io::Error`'s kind: `ConnectionReset` for what the peer broke off, `ConnectionAborted` for what
/// this side did, `TimedOut`, `InvalidData` for a violation, `BrokenPipe` for a write behind one's own
/// end, `NotConnected` for a stream that cannot be opened (`OutOfMemory` when it is for the budget) and
/// `Unsupported`; for a connection that is over, by why it is.
///
/// ```
/// # use trunkline_drive::mux::MuxError;
/// fn was_reset(error: &std::io::Error) -> bool {
///     use trunkline_core::mux::StreamEnd;
///     matches!(MuxError::of(error), Some(MuxError::Stream(StreamEnd::Reset)))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MuxError {
    /// The stream is over, for this reason. `Finished` stands here only for a write behind the end
    /// that this side sent; for a reader it is an end, and no error.
    Stream(StreamEnd),
    /// The connection is over, for this reason.
    Connection(CloseReason),
    /// No stream can be opened, for this reason.
    Open(OpenRefusal),
    /// The wire cannot do that.
    Unsupported,
}

impl MuxError {
    /// The error of this kind below an `io::Error`, if there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    fn kind(&self) -> io::ErrorKind {
        use io::ErrorKind as Kind;
        match self {
            Self::Stream(end) => match end {
                StreamEnd::Finished => Kind::BrokenPipe,
                StreamEnd::Local(LocalEnd::Timeout) => Kind::TimedOut,
                StreamEnd::Local(LocalEnd::Violation) => Kind::InvalidData,
                StreamEnd::Local(_) => Kind::ConnectionAborted,
                StreamEnd::Connection(reason) => crate::error::kind_of(reason),
                _ => Kind::ConnectionReset,
            },
            Self::Connection(reason) => crate::error::kind_of(reason),
            Self::Open(OpenRefusal::Budget) => Kind::OutOfMemory,
            Self::Open(_) => Kind::NotConnected,
            Self::Unsupported => Kind::Unsupported,
        }
    }
}

impl fmt::Display for MuxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(end) => match end {
                StreamEnd::Finished => f.write_str("the stream was ended by this side"),
                StreamEnd::Reset => f.write_str("the other side reset the stream"),
                StreamEnd::Remote { code, text } => {
                    write!(f, "the other side failed the stream with code {code}")?;
                    if text.is_empty() {
                        return Ok(());
                    }
                    write!(f, ": {}", text.escape_ascii())
                }
                StreamEnd::Local(LocalEnd::Asked) => f.write_str("this side reset the stream"),
                StreamEnd::Local(LocalEnd::TooMuch) => {
                    f.write_str("the other side sent more than it was granted, or than fits")
                }
                StreamEnd::Local(LocalEnd::Violation) => {
                    f.write_str("the other side broke a rule on this stream")
                }
                StreamEnd::Local(LocalEnd::Timeout) => {
                    f.write_str("the other side did not accept or end the stream in time")
                }
                StreamEnd::Connection(reason) => reason.fmt(f),
                _ => f.write_str("the stream is over"),
            },
            Self::Connection(reason) => reason.fmt(f),
            Self::Open(OpenRefusal::Closed) => f.write_str("the connection is closed"),
            Self::Open(OpenRefusal::GoneAway) => {
                f.write_str("the other side takes no more streams")
            }
            Self::Open(OpenRefusal::IdsExhausted) => {
                f.write_str("the connection has no stream ids left")
            }
            Self::Open(_) => f.write_str("the connection has no room for another stream"),
            Self::Unsupported => f.write_str("the wire cannot do that"),
        }
    }
}

impl std::error::Error for MuxError {}

impl From<MuxError> for io::Error {
    fn from(error: MuxError) -> Self {
        Self::new(error.kind(), error)
    }
}

impl From<StreamEnd> for MuxError {
    fn from(end: StreamEnd) -> Self {
        Self::Stream(end)
    }
}
