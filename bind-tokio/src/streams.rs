//! The streams of a command as tokio's own.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use trunkline_drive::{StreamReader, StreamWriter};

/// An output of the command.
///
/// Its end is the command's own: a session that is lost gives an error, never an end. Dropping it
/// discards what is unread and what still comes; the command does not notice.
#[derive(Debug)]
pub struct Reader(StreamReader);

impl Reader {
    /// The next bytes as they arrived, without a copy; `None` at the end.
    ///
    /// Cancel safe: nothing is taken unless it is returned.
    ///
    /// # Errors
    ///
    /// When the session was lost before the output ended; the source is a
    /// [`SessionError`](crate::SessionError).
    pub async fn read_chunk(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.0.poll_chunk(cx)).await
    }
}

impl Reader {
    /// The runtime-neutral stream below.
    #[must_use]
    pub fn into_inner(self) -> StreamReader {
        self.0
    }
}

impl Writer {
    /// The runtime-neutral stream below.
    #[must_use]
    pub fn into_inner(self) -> StreamWriter {
        self.0
    }
}

impl From<StreamReader> for Reader {
    fn from(reader: StreamReader) -> Self {
        Self(reader)
    }
}

impl From<StreamWriter> for Writer {
    fn from(writer: StreamWriter) -> Self {
        Self(writer)
    }
}

impl From<(StreamReader, StreamWriter)> for Duplex {
    fn from((reader, writer): (StreamReader, StreamWriter)) -> Self {
        Self { reader: reader.into(), writer: writer.into() }
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_read_into(cx, buf.remaining(), |bytes| buf.put_slice(bytes)).map_ok(|_| ())
    }
}

/// An input of the command.
///
/// What a write took is sent unless the session ends. Shutting it down, or dropping it, ends the
/// input behind that. Flushing does nothing: sending starts at once.
#[derive(Debug)]
pub struct Writer(StreamWriter);

impl Writer {
    /// Writes all of `data` without a copy.
    ///
    /// Cancel safe: what was not taken is still in `data`.
    ///
    /// # Errors
    ///
    /// When the input was ended, the command does not take it any more or the session is over.
    pub async fn write_bytes(&mut self, data: &mut Bytes) -> io::Result<()> {
        while !data.is_empty() {
            poll_fn(|cx| self.0.poll_write_bytes(cx, data)).await?;
        }
        Ok(())
    }

    /// Ends the input behind what was written, at once.
    pub fn finish(&mut self) {
        self.0.finish();
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.finish();
        Poll::Ready(Ok(()))
    }
}

/// An extra descriptor of the command: both directions, which end on their own.
#[derive(Debug)]
pub struct Duplex {
    /// What the command writes to the descriptor.
    pub reader: Reader,
    /// What the command reads from the descriptor.
    pub writer: Writer,
}

impl Duplex {
    /// The two directions, to be used in two tasks.
    #[must_use]
    pub fn into_split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
