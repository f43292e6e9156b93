//! The seam between a driver and a runtime's transports.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::Bytes;

/// A byte transport as the driver sees it.
///
/// Every method registers the waker of `cx` when it returns `Pending`, one for each direction.
pub trait Io: Send + Unpin {
    /// Appends what has arrived to the spare capacity of `buf`; 0 bytes mean the end.
    ///
    /// The buffer always has spare capacity. It must not grow.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>>;

    /// Reads what has arrived into `buf`, which is not empty; 0 bytes mean the end.
    ///
    /// The same as [`poll_read`](Self::poll_read) for a caller whose memory is initialized. What is
    /// provided goes through a buffer of its own: a transport that can do without should.
    fn poll_read_slice(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        copied(buf, |copied| self.poll_read(cx, copied))
    }

    /// The next bytes of a transport that has them in memory already, without a copy; none in them
    /// are the end.
    ///
    /// `None`, which is provided, says that it reads into memory it is given: then the other two are
    /// asked. It must always say the same.
    fn poll_read_chunk(&mut self, cx: &mut Context<'_>) -> Option<Poll<io::Result<Bytes>>> {
        let _ = cx;
        None
    }

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

/// Reads through a buffer that need not be initialized.
pub(crate) fn copied(
    buf: &mut [u8],
    read: impl FnOnce(&mut Vec<u8>) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    let mut copied = Vec::with_capacity(buf.len());
    std::task::ready!(read(&mut copied))?;
    let count = copied.len().min(buf.len());
    for (to, from) in buf.iter_mut().zip(&copied) {
        *to = *from;
    }
    Poll::Ready(Ok(count))
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

    fn poll_read_slice(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.reader.poll_read_slice(cx, buf)
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
