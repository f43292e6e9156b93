//! Wires in memory that a test can hold, cut and count, and one that behaves badly.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::io::Errno;

use crate::rt;

/// A transport without a runtime; `rt::Over` gives it the runtime's own traits.
pub(crate) trait Wire: Send + Unpin + 'static {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;
    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>])
    -> Poll<io::Result<usize>>;
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn is_vectored(&self) -> bool {
        true
    }
}

/// What a reader finds behind the last byte it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing, for ever.
    Silence,
    /// The end.
    End,
    /// An error.
    Reset,
}

#[derive(Debug)]
struct State {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that were read.
    begun: usize,
    held: usize,
    capacity: usize,
    written: u64,
    read: u64,
    /// How many bytes may be read in all, and what comes behind them.
    readable: u64,
    fate: Fate,
    /// How many bytes may be written in all before writing fails.
    writable: u64,
    /// The writer is gone.
    ended: bool,
    /// The reader is gone.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One direction of a wire, as a test sees it.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Mutex<State>>);

impl Gate {
    fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            chunks: VecDeque::new(),
            begun: 0,
            held: 0,
            capacity,
            written: 0,
            read: 0,
            readable: u64::MAX,
            fate: Fate::Silence,
            writable: u64::MAX,
            ended: false,
            abandoned: false,
            reader: None,
            writer: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Changes something that both sides want to know.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Lets no byte through from now on.
    pub(crate) fn hold(&self) {
        self.cut(Fate::Silence);
    }

    /// Lets everything through again.
    pub(crate) fn open(&self) {
        self.change(|state| state.readable = u64::MAX);
    }

    /// The reader finds this instead of the next byte.
    pub(crate) fn cut(&self, fate: Fate) {
        self.change(|state| (state.readable, state.fate) = (state.read, fate));
    }

    /// The reader finds this behind so many bytes, counted from the very first.
    pub(crate) fn cut_after(&self, count: u64, fate: Fate) {
        self.change(|state| (state.readable, state.fate) = (count, fate));
    }

    /// Writing fails behind so many bytes, counted from the very first.
    pub(crate) fn break_after(&self, count: u64) {
        self.change(|state| state.writable = count);
    }

    /// Bytes that the reader has taken.
    pub(crate) fn passed(&self) -> u64 {
        self.lock().read
    }

    /// Bytes that the writer has given.
    pub(crate) fn written(&self) -> u64 {
        self.lock().written
    }

    fn poll_read(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        let most = usize::try_from(state.readable.saturating_sub(state.read)).unwrap_or(usize::MAX);
        match (most, state.fate) {
            (0, Fate::End) => return Poll::Ready(Ok(0)),
            (0, Fate::Reset) => {
                return Poll::Ready(Err(Errno::CONNRESET.into()));
            }
            (1.., _) if state.held == 0 && state.ended => return Poll::Ready(Ok(0)),
            (1.., _) if state.held > 0 => {}
            _ => {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let begun = state.begun;
        let chunk = &state.chunks[0][begun..];
        let count = chunk.len().min(buf.len()).min(most);
        buf[..count].copy_from_slice(&chunk[..count]);
        if count == chunk.len() {
            state.chunks.pop_front();
            state.begun = 0;
        } else {
            state.begun += count;
        }
        state.held -= count;
        state.read += count as u64;
        let waker = state.writer.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_write(&self, cx: &Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        let left =
            usize::try_from(state.writable.saturating_sub(state.written)).unwrap_or(usize::MAX);
        if state.ended || state.abandoned || left == 0 {
            return Poll::Ready(Err(Errno::PIPE.into()));
        }
        let room = (state.capacity - state.held).min(left);
        if room == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut chunk = Vec::new();
        for buf in bufs {
            chunk.extend_from_slice(&buf[..buf.len().min(room - chunk.len())]);
        }
        let count = chunk.len();
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        state.chunks.push_back(chunk);
        state.held += count;
        state.written += count as u64;
        let waker = state.reader.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }
}

/// One end of a wire in memory.
#[derive(Debug)]
pub(crate) struct End {
    reader: Gate,
    writer: Gate,
}

/// Both directions of a wire in memory, as a test sees them.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// From the first end to the second: from the local side to the agent.
    pub(crate) up: Gate,
    /// From the second end to the first.
    pub(crate) down: Gate,
}

/// A wire in memory that keeps so many bytes in each direction: the local end and the agent's.
pub(crate) fn wire(capacity: usize) -> (End, End, Line) {
    let (up, down) = (Gate::new(capacity), Gate::new(capacity));
    let local = End { reader: down.clone(), writer: up.clone() };
    let agent = End { reader: up.clone(), writer: down.clone() };
    (local, agent, Line { up, down })
}

impl Wire for End {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.reader.poll_read(cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writer.poll_write(cx, bufs)
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.change(|state| state.ended = true);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.writer.change(|state| state.ended = true);
        self.reader.change(|state| state.abandoned = true);
    }
}

/// How a [`Rough`] wire says `Pending` although it need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Never.
    Steady,
    /// Every other time, and it wakes at once.
    Nervous,
    /// Every other time, and it wakes a little later.
    Late,
}

/// A wire that takes and gives few bytes at a time, and makes its users wait for nothing.
#[derive(Debug)]
pub(crate) struct Rough<W> {
    inner: W,
    most: usize,
    pace: Pace,
    vectored: bool,
    /// Whether the next read, write, flush and close are made to wait.
    waits: [bool; 4],
}

impl<W> Rough<W> {
    pub(crate) fn new(inner: W, most: usize, pace: Pace, vectored: bool) -> Self {
        Self { inner, most, pace, vectored, waits: [true; 4] }
    }

    fn waits(&mut self, which: usize, cx: &Context<'_>) -> bool {
        if self.pace == Pace::Steady || !std::mem::replace(&mut self.waits[which], false) {
            self.waits[which] = true;
            return false;
        }
        let waker = cx.waker().clone();
        match self.pace {
            Pace::Late => rt::spawn(async move {
                rt::sleep(Duration::from_millis(1)).await;
                waker.wake();
            })
            .detach(),
            _ => waker.wake(),
        }
        true
    }
}

impl<W: Wire> Wire for Rough<W> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.waits(0, cx) {
            return Poll::Pending;
        }
        let most = self.most.min(buf.len());
        self.inner.poll_read(cx, &mut buf[..most])
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.waits(1, cx) {
            return Poll::Pending;
        }
        let mut left = self.most;
        let mut few = Vec::new();
        for buf in bufs {
            let part = &buf[..buf.len().min(left)];
            left -= part.len();
            few.push(IoSlice::new(part));
        }
        self.inner.poll_write(cx, &few)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waits(2, cx) { Poll::Pending } else { self.inner.poll_flush(cx) }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waits(3, cx) { Poll::Pending } else { self.inner.poll_close(cx) }
    }

    fn is_vectored(&self) -> bool {
        self.vectored
    }
}
