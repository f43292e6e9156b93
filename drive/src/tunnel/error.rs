//! Why a call through a tunnel failed.

use std::error::Error;
use std::fmt;
use std::io;

use trunkline_core::tunnel::http::{Fault, Misuse};

/// Why an HTTP call through a tunnel failed; what a proxy answers follows from it.
#[derive(Debug)]
#[non_exhaustive]
pub enum TunnelError {
    /// No stream could be opened: nothing of the call was sent, and it may be tried elsewhere.
    NotSent(io::Error),
    /// The request cannot be carried by this tunnel, and why.
    Refused(Misuse),
    /// The request's own body failed.
    Body(Box<dyn Error + Send + Sync>),
    /// No head of an answer came in time; the stream was reset.
    NoAnswer,
    /// The other end broke a rule of the exchange, or broke it off.
    Failed(Fault),
}

impl TunnelError {
    /// Whether nothing of the call has left, so that trying it again repeats nothing.
    #[must_use]
    pub const fn never_sent(&self) -> bool {
        matches!(self, Self::NotSent(_) | Self::Refused(_))
    }

    /// Whether the tunnel was lost, so that another one may do.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        matches!(self, Self::NotSent(_) | Self::Failed(Fault::Lost))
    }
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(error) => write!(f, "no stream could be opened: {error}"),
            Self::Refused(misuse) => write!(f, "the request cannot be carried: {misuse}"),
            Self::Body(error) => write!(f, "the request's body failed: {error}"),
            Self::NoAnswer => f.write_str("no answer in time"),
            Self::Failed(fault) => write!(f, "{fault}"),
        }
    }
}

impl Error for TunnelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotSent(error) => Some(error),
            Self::Refused(misuse) => Some(misuse),
            Self::Body(error) => Some(&**error),
            Self::NoAnswer => None,
            Self::Failed(fault) => Some(fault),
        }
    }
}

impl From<TunnelError> for io::Error {
    fn from(error: TunnelError) -> Self {
        Self::other(error)
    }
}
