//! What a pool needs of a connection.

use std::future::Future;
use std::io;

/// A connection, as far as a pool of them needs one. Cloning gives another handle of the same.
pub trait Pooled: Clone + Send + Sync + 'static {
    /// What [`open`](Self::open) gives.
    type Stream: Send;

    /// Opens a stream.
    ///
    /// Cancel safe in that nothing is left open when the future is dropped.
    ///
    /// # Errors
    ///
    /// When the connection is over, or opens no streams (any more, or now).
    fn open(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Streams that are open, whichever side opened them.
    fn streams(&self) -> usize;

    /// Whether streams can still be opened: false once it is over, its peer wants no more of them,
    /// or its ids are used up. It never becomes true again.
    fn is_usable(&self) -> bool;

    /// Ends the connection in order, within a bound of its own.
    fn close(&self) -> impl Future<Output = ()> + Send;

    /// Whether both are handles of one connection.
    fn is_same(&self, other: &Self) -> bool;
}
