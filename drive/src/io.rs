//! The seam between a driver and a runtime's transports.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// A byte transport as the driver sees it.
///
/// Every method registers the waker of `cx` when it returns `Pending`, one for each direction.
pub trait Io: Send + Unpin {
    /// Appends what has arrived to the spare capacity of `buf`; 0 bytes mean the end.
    ///
    /// The buffer always has spare capacity. It must not grow.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>>;

    /// Writes a prefix of the slices' bytes, in one system call where the transport can.
    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>])
    -> Poll<io::Result<usize>>;

    /// Moves on what the transport itself buffers.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the writing direction; reading goes on where the transport can do that.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether the peer has gone although there may still be bytes to read. Asked now and then
    /// while nothing may be read; transports that cannot tell say no.
    fn peer_gone(&self) -> bool {
        false
    }
}

/// Two one-way transports as one: a process's stdin and stdout, most often.
#[derive(Debug)]
pub struct Duplex<R, W> {
    reader: R,
    /// Dropped on close: for a pipe that is the only way to say "the end".
    writer: Option<W>,
}

impl<R: Io, W: Io> Duplex<R, W> {
    /// Reads from one, writes to the other; closing drops the writer.
    #[must_use]
    pub const fn new(reader: R, writer: W) -> Self {
        Self { reader, writer: Some(writer) }
    }
}

impl<R: Io, W: Io> Io for Duplex<R, W> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        self.reader.poll_read(cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.writer {
            Some(writer) => writer.poll_write(cx, bufs),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().map_or(Poll::Ready(Ok(())), |writer| writer.poll_flush(cx))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = match &mut self.writer {
            Some(writer) => std::task::ready!(writer.poll_close(cx)),
            None => Ok(()),
        };
        self.writer = None;
        Poll::Ready(closed)
    }

    fn peer_gone(&self) -> bool {
        self.reader.peer_gone()
    }
}
