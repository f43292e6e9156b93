//! What a pool needs of a connection.

use std::future::Future;
use std::io;

use trunkline_core::mux::OpenRefusal;

use crate::Runtime;
use crate::mux::{Connection, MuxError};

/// A connection, as far as a pool of them needs one. Cloning gives another handle of the same.
pub trait Pooled: Clone + Send + Sync + 'static {
    /// What [`open`](Self::open) gives.
    type Stream;

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

    /// Whether streams can still be opened, as far as is known: false once it is over, or its peer
    /// wants no more of them. It never becomes true again.
    fn is_usable(&self) -> bool;

    /// Whether an error of [`open`](Self::open) says that it opens no stream ever more.
    fn is_final(&self, error: &io::Error) -> bool {
        let _ = error;
        !self.is_usable()
    }

    /// Ends the connection in order, within a bound of its own.
    fn close(&self) -> impl Future<Output = ()> + Send;

    /// Whether both are handles of one connection.
    fn is_same(&self, other: &Self) -> bool;
}

impl<R: Runtime> Pooled for Connection<R> {
    type Stream = R::Stream;

    async fn open(&self) -> io::Result<R::Stream> {
        Self::open(self).await
    }

    fn streams(&self) -> usize {
        self.stats().streams
    }

    fn is_usable(&self) -> bool {
        self.opens()
    }

    fn is_final(&self, error: &io::Error) -> bool {
        // A budget without room has some again when other streams end.
        !self.opens()
            || MuxError::of(error).is_some_and(|error| match error {
                MuxError::Open(refusal) => *refusal != OpenRefusal::Budget,
                _ => false,
            })
    }

    async fn close(&self) {
        let _reason = Self::close(self).await;
    }

    fn is_same(&self, other: &Self) -> bool {
        Self::is_same(self, other)
    }
}
