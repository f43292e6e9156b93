//! What a pool and its embedder say to each other.

use core::fmt;

/// One connection of a pool, from its dial on. Never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub(super) u64);

/// One caller that waits. Never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// What a caller that asks for a connection is told at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Got {
    /// This one.
    Ready(Key),
    /// Wait for [`Action::Grant`] or [`Action::Refuse`] with this ticket; whoever gives up calls
    /// [`forget`](super::PoolMachine::forget).
    Wait(Ticket),
    /// None, for this reason.
    Refused(Refusal),
}

/// What a caller that asks for a warm-up is told at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Warmth {
    /// There are enough connections already.
    Warm,
    /// Wait for [`Action::Warm`] or [`Action::Refuse`] with this ticket; whoever gives up calls
    /// [`forget`](super::PoolMachine::forget).
    Wait(Ticket),
    /// There will not be any, for this reason.
    Refused(Refusal),
}

/// Why a caller gets no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The pool is closed.
    Closed,
    /// The pool may have no connection, or too many callers wait for one.
    Exhausted,
    /// The dial that it waited for failed; the embedder has just reported how.
    DialFailed,
    /// The dial that it waited for took too long.
    DialTimedOut,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the pool is closed",
            Self::Exhausted => "the pool is at its largest and has no connection to give",
            Self::DialFailed => "no connection could be made",
            Self::DialTimedOut => "no connection was made in time",
        })
    }
}

impl core::error::Error for Refusal {}

/// What the embedder should do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Make a connection, and report it by this key: as dialled or as failed.
    Dial(Key),
    /// Give up a dial under way; it need not be reported any more. If it succeeds all the same,
    /// report it, to be told to close it.
    GiveUp(Key),
    /// Close a connection, in order; it is not in the pool any more.
    Close(Key),
    /// Give a waiting caller this connection.
    Grant(Ticket, Key),
    /// Tell a waiting caller that the warm-up is done.
    Warm(Ticket),
    /// Tell a waiting caller why it gets nothing.
    Refuse(Ticket, Refusal),
}
