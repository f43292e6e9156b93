//! What the scenarios ask of an implementation.

use std::future::Future;
use std::io;

use futures::io::{AsyncRead, AsyncWrite};

use crate::Trouble;

/// One connection of some implementation.
pub trait Session {
    /// Its streams; closing one finishes writing.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// Whether a writer is told when the connection is lost.
    const WRITER_LEARNS: bool = true;

    /// Whether a stream is read on after it was closed.
    fn half_close(&self) -> bool {
        true
    }

    /// Opens a stream. The kind of the error is `ConnectionRefused` when the peer takes no more.
    fn open(&self) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Waits for a stream of the peer; an error is the end of the connection.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Asks so many pings, or waits for so many signs of life, and says what it saw.
    fn ping(&self, count: u64) -> impl Future<Output = Result<String, Trouble>>;

    /// Says that no more streams are taken.
    fn go_away(&self) -> impl Future<Output = Result<(), Trouble>>;

    /// Ends the connection.
    fn close(&self) -> impl Future<Output = ()>;
}

/// The error of an open or an accept when the connection has ended.
#[must_use]
pub fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection has ended")
}
