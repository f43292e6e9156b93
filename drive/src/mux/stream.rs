//! One stream of a connection, without a runtime: what the bindings' streams are made of.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use trunkline_core::mux::{Abilities, StreamEnd, StreamKey, StreamStats};

use super::ends::EndPlace;
use super::handle::Handle;
use super::pieces::Pieces;

/// One stream: both of its directions.
///
/// # Ends
///
/// Reading ends with `None` (or 0 bytes) only when the peer ended its direction in order: then
/// everything came. A stream that was reset, or whose connection is over, gives an error, whose
/// source is a [`MuxError`](super::MuxError). Such an end is told at once; what had arrived before
/// it and was not read is still there for [`drain`](Self::drain).
///
/// # Dropping
///
/// Dropping a stream lets go of it, and never waits: what was written is still sent. When the peer's direction was
/// read to its end, this side's direction is ended behind what was written; when not (something may
/// be lost by it), the stream is reset, where the wire can. One task at a time reads, and one
/// writes; a second task in the same direction takes the first one's wake-up.
pub struct Stream {
    handle: Arc<dyn Handle>,
    key: StreamKey,
}

impl Stream {
    pub(super) const fn new(handle: Arc<dyn Handle>, key: StreamKey) -> Self {
        Self { handle, key }
    }

    /// The two directions, to be used in two tasks. The stream is let go with the second of them.
    #[must_use]
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        let stream = Arc::new(self);
        (ReadHalf(Arc::clone(&stream)), WriteHalf(stream))
    }

    /// Ready with up to `room` bytes, handed to `take` piece by piece; says how many. 0 is the end,
    /// or means no room.
    ///
    /// Cancel safe: nothing is taken unless it is handed out.
    ///
    /// # Errors
    ///
    /// When the stream did not end in order; see [`Stream`].
    pub fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        take: impl FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        self.read_into(cx, room, take)
    }

    /// Ready with the next bytes as they arrived, without a copy; `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`poll_read_into`](Self::poll_read_into).
    pub fn poll_read_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.handle.poll_chunk(cx, self.key).map_ok(|chunk| chunk.map(|(bytes, _)| bytes))
    }

    /// As [`poll_read_chunk`](Self::poll_read_chunk), and whether the bytes go up to the end of the
    /// data frame in which they came. They never go beyond it where the machine keeps the boundaries
    /// of frames (yamux with `frame_marks`); elsewhere the answer is no.
    ///
    /// # Errors
    ///
    /// As [`poll_read_into`](Self::poll_read_into).
    pub fn poll_read_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<(Bytes, bool)>>> {
        self.handle.poll_chunk(cx, self.key)
    }

    /// Bytes of the data frame at the head of what is unread that are still to be read, whether they
    /// have arrived or not; see [`Mux::frame_left`](trunkline_core::mux::Mux::frame_left).
    #[must_use]
    pub fn frame_left(&self) -> Option<usize> {
        self.handle.frame_left(self.key)
    }

    /// The next bytes as they arrived, without a copy; `None` at the end.
    ///
    /// Cancel safe: nothing is taken unless it is returned.
    ///
    /// # Errors
    ///
    /// As [`poll_read_into`](Self::poll_read_into).
    pub async fn read_chunk(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_read_chunk(cx)).await
    }

    /// Takes bytes from the front of the slices; says how many. Of 4 KiB and more nothing is copied
    /// that the transport takes at once; less leaves together with what else is written in the same
    /// turn, or at once where a turn woke this task alone.
    ///
    /// Cancel safe: what was not taken is not sent.
    ///
    /// # Errors
    ///
    /// When this direction was ended, or the stream is over.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.handle.poll_write(cx, self.key, bufs)
    }

    /// Takes bytes from the front of `data`, without a copy; says how many.
    ///
    /// # Errors
    ///
    /// As [`poll_write`](Self::poll_write).
    pub fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<io::Result<usize>> {
        self.handle.poll_write_bytes(cx, self.key, data)
    }

    /// Writes all of `data` without a copy.
    ///
    /// Cancel safe: what was not taken is still in `data`.
    ///
    /// # Errors
    ///
    /// As [`poll_write`](Self::poll_write).
    pub async fn write_bytes(&mut self, data: &mut Bytes) -> io::Result<()> {
        while !data.is_empty() {
            poll_fn(|cx| self.poll_write_bytes(cx, data)).await?;
        }
        Ok(())
    }

    /// Ends this side's direction behind what was written, at once; a second call does nothing. On
    /// a wire without [`half_close`](Abilities::half_close) it ends the whole stream, and what the
    /// peer sends after it is dropped.
    pub fn finish(&self) {
        self.handle.finish(self.key);
    }

    /// Ends both directions at once and by force; what was not sent, and not read, is gone. The peer
    /// can tell it from an orderly end where the wire has [`reset`](Abilities::reset). Harmless where
    /// the stream is over.
    pub fn reset(&self) {
        self.handle.reset(self.key);
    }

    /// Bytes that a stream which has ended badly still held when it ended; `None` when there are no
    /// more.
    pub fn drain(&mut self) -> Option<Bytes> {
        self.handle.drain(self.key)
    }

    /// Whether and why the peer's direction is over: `None` while bytes may come, or wait to be
    /// read.
    #[must_use]
    pub fn read_end(&self) -> Option<StreamEnd> {
        let [end, _] = self.handle.ends(self.key);
        end
    }

    /// Whether and why this side's direction is over: `None` while it can be written to.
    #[must_use]
    pub fn write_end(&self) -> Option<StreamEnd> {
        let [_, end] = self.handle.ends(self.key);
        end
    }

    /// Waits until nothing can be written to the stream any more, and says why: for who computes an
    /// answer and wants to know that nobody waits for it.
    ///
    /// That is when the peer has reset or refused the stream, when it has ended it on a wire without
    /// [`half_close`](Abilities::half_close), when this side has ended its direction
    /// ([`StreamEnd::Finished`]) or both, or when the connection is over (or closing: smux alone
    /// takes writes until it is over). A peer that has only ended its own direction still reads: of
    /// that, reading tells.
    ///
    /// Any number of tasks may wait, beside one that reads and one that writes. Cancel safe.
    pub async fn closed(&self) -> StreamEnd {
        let mut waits = WaitsForEnd { stream: self, place: EndPlace::default() };
        poll_fn(|cx| waits.stream.handle.poll_end(cx, waits.stream.key, &mut waits.place)).await
    }

    /// The stream's counters, also behind its end.
    #[must_use]
    pub fn stats(&self) -> Option<StreamStats> {
        self.handle.stream_stats(self.key)
    }

    /// What the stream's wire can do.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        self.handle.abilities()
    }

    /// As [`poll_read_chunk`](Self::poll_read_chunk), for one of several that share the stream; one of
    /// them reads at a time.
    pub(crate) fn poll_chunk(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.handle.poll_chunk(cx, self.key).map_ok(|chunk| chunk.map(|(bytes, _)| bytes))
    }

    /// As [`poll_read_frame`](Self::poll_read_frame), likewise.
    pub(crate) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<(Bytes, bool)>>> {
        self.handle.poll_chunk(cx, self.key)
    }

    /// As [`poll_write_bytes`](Self::poll_write_bytes), for one of several that share the stream; one
    /// of them writes at a time.
    pub(crate) fn poll_put(
        &self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<io::Result<usize>> {
        self.handle.poll_write_bytes(cx, self.key, data)
    }

    /// As [`poll_write`](Self::poll_write), likewise.
    pub(crate) fn poll_put_slice(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.handle.poll_write(cx, self.key, &[IoSlice::new(data)])
    }

    /// As [`drain`](Self::drain), likewise.
    pub(crate) fn take_rest(&self) -> Option<Bytes> {
        self.handle.drain(self.key)
    }

    fn read_into(
        &self,
        cx: &mut Context<'_>,
        room: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut pieces = Pieces::new();
        std::task::ready!(self.handle.poll_read(cx, self.key, room, &mut pieces))?;
        let mut count = 0;
        for piece in pieces.iter() {
            count += piece.len();
            take(piece);
        }
        Poll::Ready(Ok(count))
    }
}

/// A future that waits for the stream's end, and leaves no trace when it is dropped.
struct WaitsForEnd<'a> {
    stream: &'a Stream,
    place: EndPlace,
}

impl Drop for WaitsForEnd<'_> {
    fn drop(&mut self) {
        self.stream.handle.leave_end(self.stream.key, &mut self.place);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.handle.forget(self.key);
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("slot", &self.key.slot()).finish_non_exhaustive()
    }
}

/// The reading half of a stream.
///
/// Dropping it while the writing half lives leaves what comes unread: the peer may send until its
/// window is full. See [`Stream`] for how it ends.
#[derive(Debug)]
pub struct ReadHalf(Arc<Stream>);

impl ReadHalf {
    /// As [`Stream::poll_read_into`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        take: impl FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        self.0.read_into(cx, room, take)
    }

    /// As [`Stream::poll_read_chunk`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_read_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.0.handle.poll_chunk(cx, self.0.key).map_ok(|chunk| chunk.map(|(bytes, _)| bytes))
    }

    /// As [`Stream::poll_read_frame`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_read_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<(Bytes, bool)>>> {
        self.0.handle.poll_chunk(cx, self.0.key)
    }

    /// As [`Stream::read_chunk`], and as cancel safe.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn read_chunk(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_read_chunk(cx)).await
    }

    /// As [`Stream::closed`]: it is about the other half's direction, and a reader may wait for it as
    /// well.
    pub async fn closed(&self) -> StreamEnd {
        self.0.closed().await
    }

    /// As [`Stream::drain`].
    pub fn drain(&mut self) -> Option<Bytes> {
        self.0.handle.drain(self.0.key)
    }

    /// The stream, for everything but reading and writing.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.0
    }
}

/// The writing half of a stream.
///
/// Dropping it ends this side's direction behind what was written, as [`finish`](Stream::finish)
/// does; on a wire without [`half_close`](Abilities::half_close) nothing happens until the reading
/// half is dropped as well.
#[derive(Debug)]
pub struct WriteHalf(Arc<Stream>);

impl WriteHalf {
    /// As [`Stream::poll_write`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.handle.poll_write(cx, self.0.key, bufs)
    }

    /// As [`Stream::poll_write_bytes`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<io::Result<usize>> {
        self.0.handle.poll_write_bytes(cx, self.0.key, data)
    }

    /// As [`Stream::write_bytes`], and as cancel safe.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn write_bytes(&mut self, data: &mut Bytes) -> io::Result<()> {
        while !data.is_empty() {
            poll_fn(|cx| self.poll_write_bytes(cx, data)).await?;
        }
        Ok(())
    }

    /// As [`Stream::closed`].
    pub async fn closed(&self) -> StreamEnd {
        self.0.closed().await
    }

    /// As [`Stream::finish`].
    pub fn finish(&self) {
        self.0.finish();
    }

    /// The stream, for everything but reading and writing.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.0
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        if self.0.abilities().half_close {
            self.0.finish();
        }
    }
}
