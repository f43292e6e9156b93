//! Why a pool gave nothing.

use std::fmt;
use std::io;
use std::sync::Arc;

use trunkline_core::pool::Refusal;

/// Why a pool gave no connection: the source of its `io::Error`s.
///
/// What a connection says about a stream that could not be opened comes through as it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PoolError {
    /// The pool is closed (`NotConnected`).
    Closed,
    /// It may have no connection, or too many callers wait for one (`ResourceBusy`).
    Exhausted,
    /// No connection was made within
    /// [`connect_timeout`](trunkline_core::pool::PoolConfig::connect_timeout) (`TimedOut`).
    TimedOut,
    /// The dial function failed with this, and the error has its kind. All who waited share it.
    Dial(Arc<io::Error>),
}

impl PoolError {
    /// The error of this kind below an `io::Error`, if there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What a refusal says, with the last error of the dial function.
    pub(super) fn new(why: Refusal, dial: Option<&Arc<io::Error>>) -> Self {
        match (why, dial) {
            (Refusal::Closed, _) => Self::Closed,
            (Refusal::DialFailed, Some(error)) => Self::Dial(Arc::clone(error)),
            (Refusal::DialTimedOut, _) => Self::TimedOut,
            _ => Self::Exhausted,
        }
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Closed => io::ErrorKind::NotConnected,
            Self::Exhausted => io::ErrorKind::ResourceBusy,
            Self::TimedOut => io::ErrorKind::TimedOut,
            Self::Dial(error) => error.kind(),
        }
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => Refusal::Closed.fmt(f),
            Self::Exhausted => Refusal::Exhausted.fmt(f),
            Self::TimedOut => Refusal::DialTimedOut.fmt(f),
            Self::Dial(error) => write!(f, "{}: {error}", Refusal::DialFailed),
        }
    }
}

impl std::error::Error for PoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dial(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<PoolError> for io::Error {
    fn from(error: PoolError) -> Self {
        Self::new(error.kind(), error)
    }
}
