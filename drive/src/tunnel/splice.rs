//! Joins two duplex ends: what one says the other hears, ends and breaks included.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::rt::{Read, ReadBuf, Write};
use trunkline_core::mux::StreamEnd;
use trunkline_core::tunnel::{Header, HeaderDecoder};

use super::time::within;
use super::typed::{self, Shared};
use crate::Runtime;
use crate::mux::{Connection, MuxError, Stream};

/// Bytes read from a socket at once.
const ROOM: usize = 32 << 10;

/// Pieces moved in one direction before the other has its turn.
const TURNS: usize = 16;

/// A stream of a tunnel whose header has been dealt with: both directions are the caller's.
pub struct Raw {
    stream: Shared,
    /// What had come with the header.
    first: VecDeque<Bytes>,
    /// What came of a header that is being read.
    header: HeaderDecoder,
}

impl Raw {
    pub(super) fn new(stream: Shared, first: impl IntoIterator<Item = Bytes>) -> Self {
        let first = first.into_iter().filter(|bytes| !bytes.is_empty()).collect();
        Self { stream, first, header: HeaderDecoder::new() }
    }

    /// The next stream that the other end of a connection opens, its header still to be read.
    ///
    /// # Errors
    ///
    /// Once the connection is over.
    pub async fn accept<R: Runtime>(connection: &Connection<R>) -> io::Result<Self> {
        connection.accept_stream().await.map(|stream| Self::new(Arc::new(stream), []))
    }

    /// Reads the header that the stream begins with. Cancel safe: a further call goes on where the
    /// last one was.
    ///
    /// # Errors
    ///
    /// When it is not whole within the time, is none, or the stream ends badly.
    pub async fn header<R: Runtime>(&mut self, limit: Duration) -> io::Result<Header> {
        let read = async {
            loop {
                let Some(mut bytes) = poll_fn(|cx| self.poll_read(cx)).await? else {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, self.header.end()));
                };
                let header = self.header.feed(&mut bytes).map_err(typed::bad_data)?;
                if !bytes.is_empty() {
                    self.first.push_front(bytes);
                }
                if let Some(header) = header {
                    return Ok(header);
                }
            }
        };
        within::<R, _>(limit, read).await.unwrap_or_else(|| Err(typed::late_header()))
    }

    /// The stream itself, and what came before it was asked for: that is read first.
    #[must_use]
    pub fn into_parts(self) -> (Arc<Stream>, Vec<Bytes>) {
        (self.stream, self.first.into())
    }

    /// Ready with the next bytes as they came; `None` at the peer's orderly end.
    ///
    /// # Errors
    ///
    /// When the stream did not end in order.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        match self.first.pop_front() {
            Some(bytes) => Poll::Ready(Ok(Some(bytes))),
            None => self.stream.poll_chunk(cx),
        }
    }

    /// Takes bytes from the front of `data`, without a copy; says how many.
    ///
    /// # Errors
    ///
    /// When this direction was ended, or the stream is over.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_put(cx, data)
    }

    /// Ends this side's direction behind what was written.
    pub fn finish(&self) {
        self.stream.finish();
    }

    /// Ends both directions at once, by force.
    pub fn reset(&self) {
        self.stream.reset();
    }

    /// Joins it with a socket until both directions are over. An end is passed on as an end; a
    /// break of either side breaks the other: it is never told as an end. What the socket's peer
    /// sees of a break is up to the socket: see [`join_socket_or`](Self::join_socket_or).
    ///
    /// Dropping the future resets the stream and drops the socket.
    ///
    /// # Errors
    ///
    /// When either side broke.
    pub async fn join_socket(self, socket: impl Read + Write + Unpin) -> io::Result<()> {
        self.join_socket_or(socket, |_| ()).await
    }

    /// As [`join_socket`](Self::join_socket); calls `break_off` with the socket before it is dropped
    /// if the stream broke before its end: a TCP socket that is just closed tells an end.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn join_socket_or<S: Read + Write + Unpin>(
        self,
        socket: S,
        break_off: impl FnOnce(&S),
    ) -> io::Result<()> {
        let stream = Arc::clone(&self.stream);
        let mut join = SocketJoin::new(self, socket);
        let mut broken = pin!(broken(&stream));
        let mut gone = None;
        let joined = poll_fn(|cx| {
            if let Poll::Ready(joined) = join.poll(cx) {
                return Poll::Ready(joined);
            }
            if gone.is_none() {
                match broken.as_mut().poll(cx) {
                    Poll::Ready(error) => gone = Some(error),
                    Poll::Pending => return Poll::Pending,
                }
            }
            match stream.read_end() {
                // What came before the break is still worth handing over; reading tells the rest.
                None | Some(StreamEnd::Finished) => Poll::Pending,
                Some(_) => gone.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
            }
        })
        .await;
        if joined.is_err() {
            stream.reset();
            // Behind an end that was told a break would only destroy what is still on its way.
            if !join.down_over {
                break_off(&join.socket);
            }
        }
        joined
    }

    /// Joins it with another stream, likewise.
    ///
    /// # Errors
    ///
    /// When either side broke; the other one was reset then.
    pub async fn join(mut self, mut other: Self) -> io::Result<()> {
        let streams = [Arc::clone(&self.stream), Arc::clone(&other.stream)];
        let (mut there, mut back) = (Way::default(), Way::default());
        let mut broken = pin!(either_broken(&streams));
        let joined = poll_fn(|cx| {
            let one = there.poll(cx, &mut self, &streams[1])?;
            let two = back.poll(cx, &mut other, &streams[0])?;
            match (one, two) {
                (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
                _ => broken.as_mut().poll(cx).map(Err),
            }
        })
        .await;
        if joined.is_err() {
            streams.iter().for_each(|stream| stream.reset());
        }
        joined
    }
}

impl Raw {
    /// As [`join`](Self::join), frame by frame: each data frame of one stream becomes one of the
    /// other, which is what the original's terminal messages are kept apart by.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn join_frames(self, other: Self) -> io::Result<()> {
        let (mut there, mut back) = (Frames::new(self.first), Frames::new(other.first));
        let streams = [self.stream, other.stream];
        let mut broken = pin!(either_broken(&streams));
        let joined = poll_fn(|cx| {
            let one = there.poll(cx, &streams[0], &streams[1])?;
            let two = back.poll(cx, &streams[1], &streams[0])?;
            match (one, two) {
                (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
                _ => broken.as_mut().poll(cx).map(Err),
            }
        })
        .await;
        if joined.is_err() {
            streams.iter().for_each(|stream| stream.reset());
        }
        joined
    }
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raw").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Ready once the stream broke, whoever reads or writes it just then; never where this side has
/// ended its direction: of that stream only reading tells.
async fn broken(stream: &Stream) -> io::Error {
    match stream.closed().await {
        StreamEnd::Finished => std::future::pending().await,
        end => MuxError::Stream(end).into(),
    }
}

/// Ready once either broke.
async fn either_broken(streams: &[Shared; 2]) -> io::Error {
    let (mut one, mut two) = (pin!(broken(&streams[0])), pin!(broken(&streams[1])));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(error) => Poll::Ready(error),
        Poll::Pending => two.as_mut().poll(cx),
    })
    .await
}

/// One direction between two streams.
#[derive(Default)]
struct Way {
    pending: Bytes,
    over: bool,
}

impl Way {
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Raw, to: &Stream) -> io::Result<Poll<()>> {
        for _ in 0..TURNS {
            if self.over {
                return Ok(Poll::Ready(()));
            }
            if !self.pending.is_empty() {
                match to.poll_put(cx, &mut self.pending) {
                    Poll::Pending => return Ok(Poll::Pending),
                    Poll::Ready(put) => put?,
                };
                continue;
            }
            match from.poll_read(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(read) => match read? {
                    Some(bytes) => self.pending = bytes,
                    None => {
                        to.finish();
                        self.over = true;
                    }
                },
            }
        }
        cx.waker().wake_by_ref();
        Ok(Poll::Pending)
    }
}

/// A stream and a socket, joined.
struct SocketJoin<S> {
    raw: Raw,
    socket: S,
    /// Bytes on their way into the socket.
    down: Bytes,
    down_over: bool,
    unflushed: bool,
    buffer: Vec<u8>,
    /// What of the buffer is on its way into the stream.
    up: std::ops::Range<usize>,
    up_over: bool,
}

impl<S: Read + Write + Unpin> SocketJoin<S> {
    fn new(raw: Raw, socket: S) -> Self {
        Self {
            raw,
            socket,
            down: Bytes::new(),
            down_over: false,
            unflushed: false,
            buffer: Vec::new(),
            up: 0..0,
            up_over: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let down = self.poll_down(cx)?;
        let up = self.poll_up(cx)?;
        if down.is_ready() && up.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..TURNS {
            if self.down_over {
                return Poll::Ready(Ok(()));
            }
            if !self.down.is_empty() {
                let wrote = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.down))?;
                if wrote == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                drop(self.down.split_to(wrote));
                self.unflushed = true;
                continue;
            }
            match self.raw.poll_read(cx)? {
                Poll::Ready(Some(bytes)) => self.down = bytes,
                Poll::Ready(None) => {
                    ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
                    // A socket whose peer has gone says so here; there is nothing left to lose.
                    let _ = ready!(Pin::new(&mut self.socket).poll_shutdown(cx));
                    self.down_over = true;
                }
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..TURNS {
            if self.up_over {
                return Poll::Ready(Ok(()));
            }
            if let Some(rest) = self.buffer.get(self.up.clone()).filter(|rest| !rest.is_empty()) {
                self.up.start += ready!(self.raw.stream.poll_put_slice(cx, rest))?;
                continue;
            }
            if self.buffer.is_empty() {
                self.buffer = vec![0; ROOM];
            }
            let mut room = ReadBuf::new(&mut self.buffer);
            ready!(Pin::new(&mut self.socket).poll_read(cx, room.unfilled()))?;
            let count = room.filled().len();
            self.up = 0..count;
            if count == 0 {
                self.raw.finish();
                self.up_over = true;
                self.buffer = Vec::new();
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// One direction between two streams whose frames are messages.
struct Frames {
    /// What came along with the header, as messages.
    first: VecDeque<Bytes>,
    /// The message that is being read; longer ones than any are passed on in several.
    whole: BytesMut,
    /// The message that is being written.
    pending: Bytes,
    /// Its first byte, which says what it is.
    kind: u8,
    over: bool,
}

impl Frames {
    fn new(first: VecDeque<Bytes>) -> Self {
        Self { first, whole: BytesMut::new(), pending: Bytes::new(), kind: 0, over: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>, from: &Stream, to: &Stream) -> io::Result<Poll<()>> {
        for _ in 0..TURNS {
            if !self.pending.is_empty() {
                match to.poll_put(cx, &mut self.pending) {
                    Poll::Pending => return Ok(Poll::Pending),
                    Poll::Ready(put) => put?,
                };
                if !self.pending.is_empty() {
                    // The window cut the message: the rest needs a kind of its own.
                    let mut rest = BytesMut::with_capacity(1 + self.pending.len());
                    rest.put_u8(self.kind);
                    rest.extend_from_slice(&self.pending);
                    self.pending = rest.freeze();
                }
                continue;
            }
            if self.over {
                to.finish();
                return Ok(Poll::Ready(()));
            }
            let read = match self.first.pop_front() {
                Some(bytes) => Poll::Ready(Ok(Some((bytes, true)))),
                None => from.poll_frame(cx),
            };
            let Poll::Ready(read) = read else { return Ok(Poll::Pending) };
            match read? {
                Some((bytes, true)) if self.whole.is_empty() => self.send(bytes),
                Some((bytes, ends)) => {
                    self.whole.extend_from_slice(&bytes);
                    if ends || self.whole.len() >= ROOM {
                        let message = self.whole.split().freeze();
                        self.send(message);
                        if !ends {
                            self.whole.put_u8(self.kind);
                        }
                    }
                }
                None => {
                    let message = self.whole.split().freeze();
                    self.send(message);
                    self.over = true;
                }
            }
        }
        cx.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    fn send(&mut self, message: Bytes) {
        self.kind = message.first().copied().unwrap_or_default();
        self.pending = message;
    }
}
