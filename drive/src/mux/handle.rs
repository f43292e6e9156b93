//! What a connection's handles ask of it, whatever the wire and the transport.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::mux::{
    Abilities, Finished, Mux, MuxStats, Opened, Pinged, Received, Sent, Side, StreamEnd, StreamKey,
    StreamStats,
};
use trunkline_core::{CloseReason, Instant};

use super::MuxError;
use super::ends::EndPlace;
use super::handoff::{Bell, Std};
use super::line::Place;
use super::link::Link;
use super::pieces::Pieces;
use super::slots::For;
use super::state::{Ping, State};
use super::wakes::Wakes;
use crate::frames::Frames;
use crate::outgoing::MOST_PARTS;
use crate::{Clock, Io};

/// Writes from this size on go into the transport at once; smaller ones leave together, at the end
/// of the turn, unless [`Eager`](super::eager::Eager) lets one through.
const THROUGH: usize = 4 << 10;

/// Bytes that one read of a caller's slice gathers before it is content.
const CONTENT: usize = 16 << 10;

/// Where a future of the connection waits.
#[derive(Debug, Default)]
pub(super) struct Spot {
    pub(super) place: Place,
    /// The ping that was sent.
    number: Option<u32>,
}

impl Spot {
    /// Whether a future that waits there leaves something behind.
    pub(super) const fn waits(&self) -> bool {
        self.place.waits() || self.number.is_some()
    }
}

/// Which line a future waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Accept,
    Open,
    Ping,
    Closed,
}

/// Bytes, and whether they end the frame that they came in, where that is known; `None` at the end.
pub(super) type Chunk = Option<(Bytes, bool)>;

/// A connection, as its handles see it: nothing of the wire or the transport shows.
pub(super) trait Handle: Send + Sync {
    fn abilities(&self) -> Abilities;
    fn side(&self) -> Side;
    fn poll_open(&self, cx: &mut Context<'_>, spot: &mut Spot) -> Poll<io::Result<StreamKey>>;
    fn poll_accept(&self, cx: &mut Context<'_>, spot: &mut Spot) -> Poll<io::Result<StreamKey>>;
    fn poll_ping(&self, cx: &mut Context<'_>, spot: &mut Spot) -> Poll<io::Result<Duration>>;
    /// Ready once the machine is over; with `written`, once the transport is shut down as well.
    fn poll_closed(
        &self,
        cx: &mut Context<'_>,
        spot: &mut Spot,
        written: bool,
    ) -> Poll<CloseReason>;
    /// A future that waits there is dropped.
    fn leave(&self, wish: Wish, spot: &mut Spot);
    fn go_away(&self);
    fn close(&self);
    fn abort(&self);
    fn close_reason(&self) -> Option<CloseReason>;
    /// Whether the connection lives and the peer takes streams.
    fn opens(&self) -> bool;
    fn stats(&self) -> MuxStats;
    /// The last handle of the connection itself is gone.
    fn unlisten(&self);

    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        stream: StreamKey,
        max: usize,
        pieces: &mut Pieces,
    ) -> Poll<io::Result<()>>;
    fn poll_chunk(&self, cx: &mut Context<'_>, stream: StreamKey) -> Poll<io::Result<Chunk>>;
    fn frame_left(&self, stream: StreamKey) -> Option<usize>;
    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        stream: StreamKey,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;
    fn poll_write_bytes(
        &self,
        cx: &mut Context<'_>,
        stream: StreamKey,
        data: &mut Bytes,
    ) -> Poll<io::Result<usize>>;
    /// Ready once nothing can be written to the stream any more.
    fn poll_end(
        &self,
        cx: &mut Context<'_>,
        stream: StreamKey,
        place: &mut EndPlace,
    ) -> Poll<StreamEnd>;
    /// A future that waits there is dropped.
    fn leave_end(&self, stream: StreamKey, place: &mut EndPlace);
    fn drain(&self, stream: StreamKey) -> Option<Bytes>;
    fn finish(&self, stream: StreamKey) -> Finished;
    fn reset(&self, stream: StreamKey);
    fn forget(&self, stream: StreamKey);
    fn ends(&self, stream: StreamKey) -> [Option<StreamEnd>; 2];
    fn stream_stats(&self, stream: StreamKey) -> Option<StreamStats>;
}

/// What a connection's handles and its driver share.
pub(super) struct Core<M, I> {
    state: Mutex<State<M, I>>,
    pub(super) bell: Arc<Bell<Std>>,
    pub(super) clock: Clock,
}

impl<M: Mux, I: Io> Core<M, I> {
    pub(super) fn new(machine: M, io: I, clock: Clock) -> Self {
        let bell = Bell::new();
        let link = Box::new(Link::new(io, &bell));
        Self { state: Mutex::new(State::new(machine, link)), bell, clock }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<M, I>> {
        // A panic elsewhere leaves the machine as it was between two calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls into the machine, hands out events, and has the driver look where it must.
    fn command<R>(&self, call: impl FnOnce(&mut State<M, I>, Instant, &mut Wakes) -> R) -> R {
        let now = self.clock.now();
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        let result = call(&mut state, now, &mut wakes);
        self.settle(state, now, wakes);
        result
    }

    /// Reads: where there is nothing, nothing has changed.
    fn read<R>(&self, call: impl FnOnce(&mut State<M, I>, Instant) -> Poll<R>) -> Poll<R> {
        let now = self.clock.now();
        let mut state = self.lock();
        let result = call(&mut state, now);
        if result.is_ready() {
            self.settle_quietly(state, now);
        }
        result
    }

    /// The end of every command: whoever is to be woken is woken, outside of the lock.
    fn settle(&self, mut state: MutexGuard<'_, State<M, I>>, now: Instant, mut wakes: Wakes) {
        state.hand_out(now, &mut wakes);
        let ring = state.must_ring();
        drop(state);
        wakes.wake();
        if ring {
            self.bell.ring();
        }
    }

    /// The end of a command that wakes nobody but by what the machine tells, which is seldom
    /// anything.
    fn settle_quietly(&self, mut state: MutexGuard<'_, State<M, I>>, now: Instant) {
        if let Some(event) = state.machine.poll_event() {
            let mut wakes = Wakes::new();
            state.tell(event, now, &mut wakes);
            return self.settle(state, now, wakes);
        }
        let ring = state.must_ring();
        drop(state);
        if ring {
            self.bell.ring();
        }
    }

    /// Puts the transport back after a write of one's own.
    fn put_back(&self, link: Box<Link<I>>, now: Instant) {
        let mut wakes = Wakes::new();
        let mut link = Some(link);
        let mut state = self.lock();
        // A failure stays with the transport: the driver is rung for it, and counts from then.
        state.hand_out(now, &mut wakes);
        let mut ring = false;
        if !state.over {
            ring = link.take().is_some_and(|link| state.put_back(link));
        }
        drop(state);
        // A transport that nobody drives any more.
        drop(link);
        wakes.wake();
        if ring {
            self.bell.ring();
        }
    }

    /// Writes what the machine holds into the transport at once, if nobody else is at it.
    fn write_now(&self, mut state: MutexGuard<'_, State<M, I>>, now: Instant) {
        let may = state.desk.tool().is_some_and(|link| link.may_write_through());
        let Some(mut link) = may.then(|| state.desk.take()).flatten() else {
            return self.settle_quietly(state, now);
        };
        link.fill(&mut state.machine, now);
        let mut wakes = Wakes::new();
        state.hand_out(now, &mut wakes);
        drop(state);
        wakes.wake();
        link.write();
        self.put_back(link, now);
    }
}

impl<M: Mux + Send, I: Io> Handle for Core<M, I> {
    fn abilities(&self) -> Abilities {
        self.lock().machine.abilities()
    }

    fn side(&self) -> Side {
        self.lock().machine.side()
    }

    fn poll_open(&self, cx: &mut Context<'_>, spot: &mut Spot) -> Poll<io::Result<StreamKey>> {
        self.command(|state, now, wakes| {
            let (lines, span) = (&mut state.lines, &state.span);
            if lines.open.must_wait(&spot.place) && state.machine.closed().is_none() {
                lines.open.wait(&mut spot.place, cx.waker());
                return Poll::Pending;
            }
            let opened = match state.machine.open(now) {
                Opened::Blocked => {
                    lines.open.wait(&mut spot.place, cx.waker());
                    return Poll::Pending;
                }
                Opened::Stream(stream) => {
                    state.streams += 1;
                    tracing::trace!(parent: span, slot = stream.slot(), "stream opened");
                    Ok(stream)
                }
                Opened::Refused(refusal) => Err(match state.machine.closed() {
                    Some(reason) => MuxError::Connection(reason.clone()).into(),
                    None => MuxError::Open(refusal).into(),
                }),
            };
            lines.open.leave(&mut spot.place, wakes);
            // There may be room for more than one, or for none ever.
            lines.open.tell(wakes);
            Poll::Ready(opened)
        })
    }

    fn poll_accept(&self, cx: &mut Context<'_>, spot: &mut Spot) -> Poll<io::Result<StreamKey>> {
        self.command(|state, now, wakes| {
            let (line, span) = (&mut state.lines.accept, &state.span);
            if line.must_wait(&spot.place) && state.machine.closed().is_none() {
                line.wait(&mut spot.place, cx.waker());
                return Poll::Pending;
            }
            let accepted = match (state.machine.accept(now), state.machine.closed()) {
                (Some(stream), _) => {
                    state.streams += 1;
                    tracing::trace!(parent: span, slot = stream.slot(), "stream accepted");
                    Ok(stream)
                }
                (None, Some(reason)) => Err(MuxError::Connection(reason.clone()).into()),
                (None, None) => {
                    line.wait(&mut spot.place, cx.waker());
                    return Poll::Pending;
                }
            };
            line.leave(&mut spot.place, wakes);
            line.tell(wakes);
            Poll::Ready(accepted)
        })
    }

    fn poll_ping(&self, cx: &mut Context<'_>, spot: &mut Spot) -> Poll<io::Result<Duration>> {
        self.command(|state, now, wakes| {
            if let Some(number) = spot.number {
                let index = state.pings.iter().position(|ping| ping.number == number);
                let Some(index) = index else { return Poll::Pending };
                if let Some(round_trip) = state.pings[index].round_trip {
                    state.pings.swap_remove(index);
                    spot.number = None;
                    return Poll::Ready(Ok(round_trip));
                }
                if let Some(reason) = state.closed() {
                    state.pings.swap_remove(index);
                    spot.number = None;
                    return Poll::Ready(Err(MuxError::Connection(reason).into()));
                }
                state.pings[index].waker.clone_from(cx.waker());
                return Poll::Pending;
            }
            let line = &mut state.lines.ping;
            if line.must_wait(&spot.place) && state.machine.closed().is_none() {
                line.wait(&mut spot.place, cx.waker());
                return Poll::Pending;
            }
            let failed = match state.machine.ping(now) {
                Pinged::Blocked => {
                    line.wait(&mut spot.place, cx.waker());
                    return Poll::Pending;
                }
                Pinged::Number(number) => {
                    let waker = cx.waker().clone();
                    state.pings.push(Ping { number, waker, round_trip: None });
                    spot.number = Some(number);
                    None
                }
                Pinged::Unsupported => Some(MuxError::Unsupported),
                Pinged::Closed => {
                    let reason = state.machine.closed().cloned().unwrap_or(CloseReason::Local);
                    Some(MuxError::Connection(reason))
                }
            };
            line.leave(&mut spot.place, wakes);
            line.tell(wakes);
            failed.map_or(Poll::Pending, |error| Poll::Ready(Err(error.into())))
        })
    }

    fn poll_closed(
        &self,
        cx: &mut Context<'_>,
        spot: &mut Spot,
        written: bool,
    ) -> Poll<CloseReason> {
        let mut state = self.lock();
        match state.closed() {
            Some(reason) if state.over || !written => Poll::Ready(reason),
            _ => {
                state.lines.closed.wait(&mut spot.place, cx.waker());
                Poll::Pending
            }
        }
    }

    fn leave(&self, wish: Wish, spot: &mut Spot) {
        self.command(|state, _, wakes| {
            if let Some(number) = spot.number.take() {
                state.pings.retain(|ping| ping.number != number);
            }
            let line = match wish {
                Wish::Accept => &mut state.lines.accept,
                Wish::Open => &mut state.lines.open,
                Wish::Ping => &mut state.lines.ping,
                Wish::Closed => &mut state.lines.closed,
            };
            line.leave(&mut spot.place, wakes);
        });
    }

    fn go_away(&self) {
        self.command(|state, now, _| state.machine.go_away(now));
    }

    fn close(&self) {
        self.command(|state, now, wakes| {
            state.machine.close(now);
            state.lines.open.tell_all(wakes);
            state.ends.tell_all(wakes);
        });
    }

    fn abort(&self) {
        self.command(|state, now, _| {
            state.aborted = true;
            state.machine.abort(now);
        });
        // It may be busy with an orderly end.
        self.bell.ring();
    }

    fn close_reason(&self) -> Option<CloseReason> {
        self.lock().closed()
    }

    fn opens(&self) -> bool {
        let state = self.lock();
        state.machine.closed().is_none() && !state.gone_away
    }

    fn stats(&self) -> MuxStats {
        self.lock().machine.stats()
    }

    fn unlisten(&self) {
        self.command(|state, now, _| {
            state.listening = false;
            state.refuse(now);
        });
    }

    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        stream: StreamKey,
        max: usize,
        pieces: &mut Pieces,
    ) -> Poll<io::Result<()>> {
        self.read(|state, now| {
            let mut left = max;
            let mut some = false;
            loop {
                match state.machine.read(now, stream, left) {
                    Received::Data(bytes) => {
                        some = true;
                        left -= bytes.len().min(left);
                        if !pieces.push(bytes) || left == 0 || max - left >= CONTENT {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    _ if some => return Poll::Ready(Ok(())),
                    Received::Blocked => {
                        state.slots.wait(stream, For::Reading, cx.waker());
                        return Poll::Pending;
                    }
                    Received::End(StreamEnd::Finished) => return Poll::Ready(Ok(())),
                    Received::End(end) => return Poll::Ready(Err(MuxError::Stream(end).into())),
                    Received::Unknown => return Poll::Ready(Err(unknown())),
                }
            }
        })
    }

    fn poll_chunk(&self, cx: &mut Context<'_>, stream: StreamKey) -> Poll<io::Result<Chunk>> {
        self.read(|state, now| {
            let left = state.machine.frame_left(stream);
            match state.machine.read(now, stream, usize::MAX) {
                Received::Data(bytes) => {
                    let ends = left == Some(bytes.len());
                    Poll::Ready(Ok(Some((bytes, ends))))
                }
                Received::Blocked => {
                    state.slots.wait(stream, For::Reading, cx.waker());
                    Poll::Pending
                }
                Received::End(StreamEnd::Finished) => Poll::Ready(Ok(None)),
                Received::End(end) => Poll::Ready(Err(MuxError::Stream(end).into())),
                Received::Unknown => Poll::Ready(Err(unknown())),
            }
        })
    }

    fn frame_left(&self, stream: StreamKey) -> Option<usize> {
        self.lock().machine.frame_left(stream)
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        stream: StreamKey,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = bufs.get(..MOST_PARTS).unwrap_or(bufs);
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        let now = self.clock.now();
        let mut state = self.lock();
        let through = total >= THROUGH || state.eager.take();
        let may = state.desk.tool().is_some_and(|link| match through {
            true => link.may_write_through(),
            false => link.may_stage(),
        });
        if may {
            let frames = Frames::reserve(total, |left| state.machine.reserve(now, stream, left));
            if !frames.is_empty() {
                if !through {
                    if let Some(link) = state.desk.tool_mut() {
                        link.stage(&frames, bufs);
                    }
                    self.settle_quietly(state, now);
                } else if let Some(mut link) = state.desk.take() {
                    state.eager.went();
                    drop(state);
                    link.write_through(&frames, bufs);
                    self.put_back(link, now);
                }
                return Poll::Ready(Ok(frames.payload()));
            }
        }
        let mut data = state.copy(bufs, total);
        let sent = state.write(cx, now, stream, &mut data);
        if total >= THROUGH && sent.is_ready() {
            self.write_now(state, now);
        } else {
            self.settle_quietly(state, now);
        }
        sent
    }

    fn poll_write_bytes(
        &self,
        cx: &mut Context<'_>,
        stream: StreamKey,
        data: &mut Bytes,
    ) -> Poll<io::Result<usize>> {
        let now = self.clock.now();
        let mut state = self.lock();
        let sent = state.write(cx, now, stream, data);
        let through = match sent {
            Poll::Ready(Ok(THROUGH..)) => true,
            Poll::Ready(Ok(1..)) => state.eager.take(),
            _ => false,
        };
        if through {
            state.eager.went();
            self.write_now(state, now);
        } else {
            self.settle_quietly(state, now);
        }
        sent
    }

    fn poll_end(
        &self,
        cx: &mut Context<'_>,
        stream: StreamKey,
        place: &mut EndPlace,
    ) -> Poll<StreamEnd> {
        self.lock().poll_end(cx, stream, place)
    }

    fn leave_end(&self, stream: StreamKey, place: &mut EndPlace) {
        let waker = self.lock().ends.leave(stream, place);
        drop(waker);
    }

    fn drain(&self, stream: StreamKey) -> Option<Bytes> {
        self.command(|state, _, _| state.machine.drain(stream, usize::MAX))
    }

    fn finish(&self, stream: StreamKey) -> Finished {
        self.command(|state, now, _| state.machine.finish(now, stream))
    }

    fn reset(&self, stream: StreamKey) {
        self.command(|state, now, wakes| {
            state.machine.reset(now, stream);
            // Whoever waits in the other half learns of it.
            for waker in state.slots.clear(stream) {
                wakes.push(waker);
            }
        });
    }

    fn forget(&self, stream: StreamKey) {
        // Wakers are dropped outside of the lock: they may hold the last of anything.
        let wakers: [Option<Waker>; 2] = self.command(|state, now, _| state.forget(now, stream));
        drop(wakers);
    }

    fn ends(&self, stream: StreamKey) -> [Option<StreamEnd>; 2] {
        let state = self.lock();
        [state.machine.read_end(stream), state.machine.write_end(stream)]
    }

    fn stream_stats(&self, stream: StreamKey) -> Option<StreamStats> {
        self.lock().machine.stream_stats(stream)
    }
}

impl<M: Mux, I: Io> State<M, I> {
    fn write(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        stream: StreamKey,
        data: &mut Bytes,
    ) -> Poll<io::Result<usize>> {
        match self.machine.write(now, stream, data) {
            Sent::Accepted(count) => Poll::Ready(Ok(count)),
            Sent::Blocked => {
                self.slots.wait(stream, For::Writing, cx.waker());
                Poll::Pending
            }
            Sent::End(end) => Poll::Ready(Err(MuxError::Stream(end).into())),
            Sent::Unknown => Poll::Ready(Err(unknown())),
        }
    }
}

/// The machine does not know a stream that a handle of it holds: never seen.
fn unknown() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the stream is gone")
}
