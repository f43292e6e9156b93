//! What a handle reports when its session is over.

use std::fmt;
use std::io;

use trunkline_core::agentproto::{self, FirstBytes};
use trunkline_core::{CloseReason, Violation};

/// A session that ended before what was asked of it: the source of the handles' `io::Error`s.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// The session is over, for this reason.
    Lost(CloseReason),
    /// What came was never an agent, most likely: the session is over before any frame.
    NoAgent {
        /// Why it is over.
        reason: CloseReason,
        /// How the other side's output began.
        began: FirstBytes,
    },
    /// The agent refused, in these words. The text is the peer's: escape it before showing it.
    Refused(String),
    /// The call made no sense in the state the session was in.
    Misuse(agentproto::Misuse),
}

impl SessionError {
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Lost(reason) | Self::NoAgent { reason, .. } => kind_of(reason),
            Self::Refused(_) => io::ErrorKind::Other,
            Self::Misuse(_) => io::ErrorKind::InvalidInput,
        }
    }
}

/// The kind of `io::Error` that tells of a connection's end.
pub(crate) const fn kind_of(reason: &CloseReason) -> io::ErrorKind {
    match reason {
        CloseReason::Eof { .. } => io::ErrorKind::UnexpectedEof,
        CloseReason::Timeout(_) => io::ErrorKind::TimedOut,
        CloseReason::Violation(_) => io::ErrorKind::InvalidData,
        CloseReason::Transport { .. } => io::ErrorKind::ConnectionReset,
        _ => io::ErrorKind::ConnectionAborted,
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(reason) => reason.fmt(f),
            // A violation of that kind shows them itself.
            Self::NoAgent {
                reason:
                    reason @ CloseReason::Violation(Violation::Agentproto(
                        agentproto::Violation::NotAFrame { .. },
                    )),
                ..
            } => reason.fmt(f),
            Self::NoAgent { reason, began } => {
                write!(f, "{reason}; its output begins with \"{began}\"")
            }
            Self::Refused(text) => {
                write!(f, "agent error: {}", agentproto::escape(text))
            }
            Self::Misuse(misuse) => misuse.fmt(f),
        }
    }
}

impl std::error::Error for SessionError {}

impl From<SessionError> for io::Error {
    fn from(error: SessionError) -> Self {
        Self::new(error.kind(), error)
    }
}
