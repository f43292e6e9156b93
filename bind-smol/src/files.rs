//! The files of an agent.

use std::future::poll_fn;
use std::io::{self, SeekFrom};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};
use trunkline_core::agentproto::Config;

use crate::exec::Smol;
use crate::io::TransportIo;

/// The files of an agent: one session, which any number of tasks may use at the same time.
///
/// See [`trunkline_drive::Files`] for its methods.
pub type Files = trunkline_drive::Files<Smol>;

/// Uses an agent's files over a transport of one's own. Call it from within the runtime.
///
/// Nothing is sent before the first request, so whether an agent is there shows with that.
pub fn files_over<T>(transport: T, config: Config) -> Files
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    trunkline_drive::files_over(TransportIo::new(transport), config)
}

/// An open file, with smol's own traits of reading, writing and seeking.
///
/// See [`trunkline_drive::File`] for its other methods, and for what dropping it does. Flushing waits
/// until what was written is answered; closing it by the trait is the same, and leaves the file open.
#[derive(Debug)]
pub struct File(trunkline_drive::File);

impl File {
    /// The next bytes at the position, without a copy and at most `max`; `None` at the end.
    ///
    /// Cancel safe: nothing is taken unless it is returned.
    ///
    /// # Errors
    ///
    /// When the agent refused or the session is over; reading on asks again.
    pub async fn read_chunk(&mut self, max: usize) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.0.poll_chunk(cx, max)).await
    }

    /// Writes all of `data` without a copy.
    ///
    /// Cancel safe: what was not taken is still in `data`.
    ///
    /// # Errors
    ///
    /// What could not be written before, or that the file was closed.
    pub async fn write_bytes(&mut self, data: &mut Bytes) -> io::Result<()> {
        while !data.is_empty() {
            poll_fn(|cx| self.0.poll_write_bytes(cx, data)).await?;
        }
        Ok(())
    }
}

impl From<trunkline_drive::File> for File {
    fn from(file: trunkline_drive::File) -> Self {
        Self(file)
    }
}

impl Deref for File {
    type Target = trunkline_drive::File;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for File {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let room = buf.len();
        self.0.poll_read_into(cx, room, |bytes| buf[..bytes.len()].copy_from_slice(bytes))
    }
}

impl AsyncWrite for File {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsyncSeek for File {
    fn poll_seek(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        position: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        self.0.poll_seek_to(cx, position)
    }
}

/// Reads a file from front to back into a writer, which is flushed at the end; `progress` is told how
/// many bytes there are so far. Says how many there were.
///
/// # Errors
///
/// When the agent refused or the session is over, and what the writer fails with.
pub async fn copy_to(
    files: &Files,
    path: impl Into<String>,
    writer: &mut (impl AsyncWrite + Unpin),
    progress: impl FnMut(u64),
) -> io::Result<u64> {
    let count = files
        .copy_to_with(path, |cx, bytes| Pin::new(&mut *writer).poll_write(cx, bytes), progress)
        .await?;
    poll_fn(|cx| Pin::new(&mut *writer).poll_flush(cx)).await?;
    Ok(count)
}

/// Writes a file, created or emptied, with everything that a reader gives; `progress` is told how many
/// bytes were taken so far. Says how many there were, once the agent has them all.
///
/// # Errors
///
/// When the agent refused or the session is over, and what the reader fails with. What was written
/// until then stays.
pub async fn copy_from(
    files: &Files,
    path: impl Into<String>,
    reader: &mut (impl AsyncRead + Unpin),
    progress: impl FnMut(u64),
) -> io::Result<u64> {
    files.copy_from_with(path, |cx, buf| Pin::new(&mut *reader).poll_read(cx, buf), progress).await
}
