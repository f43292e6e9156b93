//! What calls on a machine come to, in the words of the vectors.

use trunkline_core::mux::{LocalEnd, Received, StreamEnd};
use trunkline_core::smux::Connection;
use trunkline_core::{CloseReason, Machine as _, Violation};

/// What the original calls the end of a connection, where it has a word for it.
#[must_use]
pub fn reason(reason: &CloseReason) -> &'static str {
    match reason {
        CloseReason::Eof { mid_frame: false } => "EOF",
        CloseReason::Eof { mid_frame: true } => "unexpected EOF",
        CloseReason::Violation(Violation::Smux(_)) => "invalid protocol",
        CloseReason::Local => "closed here",
        CloseReason::Timeout(_) => "timed out",
        _ => "something else",
    }
}

/// What the original calls the end of a stream.
#[must_use]
pub fn end(end: &StreamEnd) -> &'static str {
    match end {
        // A stream whose connection was closed here reads as ended.
        StreamEnd::Finished
        | StreamEnd::Connection(CloseReason::Local | CloseReason::Timeout(_)) => "EOF",
        StreamEnd::Connection(why) => reason(why),
        StreamEnd::Local(LocalEnd::Violation) => "peer consumed more than sent",
        StreamEnd::Local(_) => "io: read/write on closed pipe",
        _ => "something else",
    }
}

/// What `IsClosed` of the original says: a session is closed by its owner or by keep-alive.
#[must_use]
pub fn is_closed(machine: &Connection) -> bool {
    matches!(machine.closed(), Some(CloseReason::Local | CloseReason::Timeout(_)))
}

/// What a read came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Bytes.
    Got(Vec<u8>),
    /// The end, in the original's word.
    End(&'static str),
    /// Nothing yet.
    Blocked,
}

impl From<Received> for Read {
    fn from(received: Received) -> Self {
        match received {
            Received::Data(bytes) => Self::Got(bytes.to_vec()),
            Received::End(why) => Self::End(end(&why)),
            Received::Blocked => Self::Blocked,
            Received::Unknown => Self::End("EOF"),
        }
    }
}
