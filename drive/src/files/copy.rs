//! Whole files, to and from streams of the caller's.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use trunkline_core::agentproto::FileOp;

use super::ops::at;
use super::{Files, OpenOptions};
use crate::Runtime;

/// The window of a whole file: all that a session has.
const WINDOW: usize = 16 << 20;

/// For bindings, which bring the stream traits of their runtime.
impl<R: Runtime> Files<R> {
    /// Reads a file from front to back; `write` takes bytes from the front of what it is given, as
    /// many as it likes. Says how many bytes there were.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request), and what `write` fails with; [`WriteZero`](io::ErrorKind) when
    /// it takes nothing.
    pub async fn copy_to_with(
        &self,
        path: impl Into<String>,
        mut write: impl FnMut(&mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
        mut progress: impl FnMut(u64),
    ) -> io::Result<u64> {
        let options = OpenOptions::new().window(WINDOW);
        let mut file = self.open_by(at(FileOp::OPEN, path), &options).await?;
        let mut count = 0;
        while let Some(mut chunk) = poll_fn(|cx| file.poll_chunk(cx, usize::MAX)).await? {
            while !chunk.is_empty() {
                let written = poll_fn(|cx| write(cx, &chunk)).await?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                let written = written.min(chunk.len());
                bytes::Buf::advance(&mut chunk, written);
                count += written as u64;
                progress(count);
            }
        }
        file.close().await?;
        Ok(count)
    }

    /// Writes a file from front to back, created or emptied, with what `read` puts into its buffer;
    /// 0 is the end. Says how many bytes there were, once they are all answered and the file is
    /// closed.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request), and what `read` fails with. What was written until then stays.
    pub async fn copy_from_with(
        &self,
        path: impl Into<String>,
        mut read: impl FnMut(&mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>,
        mut progress: impl FnMut(u64),
    ) -> io::Result<u64> {
        let options = OpenOptions::new().window(WINDOW);
        let mut file = self.open_by(at(FileOp::CREATE, path), &options).await?;
        let mut count = 0;
        loop {
            let mut buffer = vec![0; super::file::CHUNK];
            let mut filled = 0;
            // As much as there is, so that requests are large even if reads are not.
            while filled < buffer.len() {
                let room = buffer.get_mut(filled..).unwrap_or_default();
                match poll_fn(|cx| read(cx, room)).await? {
                    0 => break,
                    more => filled += more,
                }
            }
            if filled == 0 {
                break;
            }
            buffer.truncate(filled);
            let mut data = Bytes::from(buffer);
            while !data.is_empty() {
                count += poll_fn(|cx| file.poll_write_bytes(cx, &mut data)).await? as u64;
                progress(count);
            }
        }
        file.close().await?;
        Ok(count)
    }
}
