//! The seam between a driver and WebSockets, whichever library speaks them.

use std::io;
use std::task::{Context, Poll};

use trunkline_core::Message;

/// A transport of whole messages, as the driver sees it: a WebSocket whose handshake is done.
///
/// Reading and writing each register one waker, the one of the last call that gave `Pending`:
/// [`poll_next`](Self::poll_next) for the one, the others together for the other. Dropping it drops
/// the transport, without a close.
pub trait MessageIo: Send + Unpin {
    /// The next message; `None` where the transport ended, with or without a close before it.
    ///
    /// It may be asked again behind an end or an error, and then says `None`.
    ///
    /// # Errors
    ///
    /// When the transport failed. A rule of WebSocket that the peer broke is an error whose inner
    /// one is a [`carrier::Violation`](trunkline_core::carrier::Violation): then a close can still
    /// be sent.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Message>>>;

    /// Whether a message can be taken: ready at once, unless the transport has not taken the last
    /// one yet. This is the back-pressure: what waits here is one message and what the library
    /// gathers.
    ///
    /// # Errors
    ///
    /// When the transport failed.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Takes a message, behind a [`poll_ready`](Self::poll_ready) that was ready. A close is the
    /// last one.
    ///
    /// # Errors
    ///
    /// When the transport failed, or behind a close.
    fn start_send(&mut self, message: Message) -> io::Result<()>;

    /// Moves on what was taken, until the transport has all of it.
    ///
    /// # Errors
    ///
    /// When the transport failed.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Takes what the peer still sends, whatever it is, and drops it; ready once it has hung up.
    /// Asked behind an error of [`poll_next`](Self::poll_next), once a close was sent: letting go of
    /// a socket with unread bytes would take that close back. It waits as reading does.
    ///
    /// What is provided takes nothing.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }

    /// Shuts the transport's writing direction down, behind everything that was taken.
    ///
    /// # Errors
    ///
    /// When the transport failed.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}
