//! One transport and what is under way in it, as whoever holds it at the moment works with it.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use trunkline_core::Instant;
use trunkline_core::mux::Mux;

use super::buffers::Buffers;
use super::handoff::{Bell, Side, Std};
use crate::Io;
use crate::frames::Frames;
use crate::link::{Arrived, ROUNDS};
use crate::outgoing::Outgoing;

/// One direction of the transport, as it is waited for.
struct Direction {
    side: Arc<Side<Std>>,
    waker: Waker,
    /// It said `Pending`: it is not asked again until it has woken its waker.
    waits: bool,
}

impl Direction {
    fn new(bell: &Arc<Bell<Std>>) -> Self {
        let side = Side::new(bell);
        Self { waker: Waker::from(Arc::clone(&side)), side, waits: false }
    }

    /// Whether it is worth asking.
    fn may(&mut self) -> bool {
        if self.waits && self.side.heard() {
            self.waits = false;
        }
        !self.waits
    }
}

/// A transport, the frames on their way into it and the buffers it is read into.
pub(super) struct Link<I> {
    io: I,
    outgoing: Outgoing,
    buffers: Buffers,
    reading: Direction,
    writing: Direction,
    /// The transport failed for writing; what the machine says goes nowhere.
    write_failed: bool,
    /// That failure, until the machine is told.
    untold: Option<io::Error>,
    read_over: bool,
    unflushed: bool,
}

impl<I: Io> Link<I> {
    pub(super) fn new(io: I, bell: &Arc<Bell<Std>>) -> Self {
        Self {
            io,
            outgoing: Outgoing::new(),
            buffers: Buffers::default(),
            reading: Direction::new(bell),
            writing: Direction::new(bell),
            write_failed: false,
            untold: None,
            read_over: false,
            unflushed: false,
        }
    }

    /// Takes what the machine wants to send, as far as there is room; says whether there may be
    /// more.
    pub(super) fn fill(&mut self, machine: &mut impl Mux, now: Instant) -> bool {
        while self.outgoing.has_room() {
            match machine.poll_transmit(now) {
                Some(_) if self.write_failed => {}
                Some(segment) => self.outgoing.push(segment),
                None => return false,
            }
        }
        true
    }

    /// Whether the transport has taken everything.
    pub(super) fn is_drained(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Whether there is something to write that the transport may take, or a failure to tell.
    pub(super) fn has_work(&self) -> bool {
        let waits = !self.outgoing.is_empty() || self.unflushed;
        self.untold.is_some() || waits && !self.is_clogged()
    }

    /// Whether the transport takes nothing at the moment, and will say when it does.
    pub(super) fn is_clogged(&self) -> bool {
        self.write_failed || self.writing.waits && !self.writing.side.is_woken()
    }

    /// Whether frames of the machine go anywhere: into the transport, or, when that has failed, away.
    pub(super) fn takes(&self) -> bool {
        self.write_failed || !self.is_clogged()
    }

    /// Whether a frame of a caller can be put behind what waits here.
    pub(super) fn may_stage(&self) -> bool {
        !self.write_failed && self.outgoing.has_room()
    }

    /// Whether a frame of a caller can be written at once.
    pub(super) fn may_write_through(&self) -> bool {
        !self.is_clogged() && self.outgoing.may_write_through() && self.outgoing.has_room()
    }

    /// Puts reserved frames behind what waits here, with a copy of their payload.
    pub(super) fn stage(&mut self, frames: &Frames, bufs: &[IoSlice<'_>]) {
        self.outgoing.stage(frames, bufs);
    }

    /// Writes reserved frames, whose payload stands at the front of `bufs`, behind what waits here.
    /// The frames are taken whatever happens.
    pub(super) fn write_through(&mut self, frames: &Frames, bufs: &[IoSlice<'_>]) {
        self.unflushed = true;
        self.writing.may();
        let mut cx = Context::from_waker(&self.writing.waker);
        match self.outgoing.poll_through(&mut self.io, &mut cx, frames, bufs) {
            Poll::Pending => self.writing.waits = true,
            Poll::Ready(Ok(())) => {
                if self.outgoing.is_empty() {
                    self.write();
                }
            }
            Poll::Ready(Err(error)) => self.fail(error),
        }
    }

    /// Writes and flushes what waits, as far as the transport takes it; says whether it took any.
    pub(super) fn write(&mut self) -> bool {
        let mut moved = false;
        if self.write_failed || !self.writing.may() {
            return moved;
        }
        for _ in 0..ROUNDS {
            let mut cx = Context::from_waker(&self.writing.waker);
            let result = if !self.outgoing.is_empty() {
                self.unflushed = true;
                self.outgoing.poll_write(&mut self.io, &mut cx)
            } else if self.unflushed {
                self.io.poll_flush(&mut cx).map_ok(|()| self.unflushed = false)
            } else {
                break;
            };
            match result {
                Poll::Pending => {
                    self.writing.waits = true;
                    break;
                }
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(error)) => {
                    self.fail(error);
                    return true;
                }
            }
        }
        moved
    }

    fn fail(&mut self, error: io::Error) {
        tracing::debug!(%error, "writing to the transport failed");
        self.write_failed = true;
        self.untold = Some(error);
        self.outgoing.clear();
    }

    /// Whether nothing can be written any more.
    pub(super) const fn write_failed(&self) -> bool {
        self.write_failed
    }

    /// A failure to write that the machine was not told of, told once.
    pub(super) const fn failure(&mut self) -> Option<io::Error> {
        self.untold.take()
    }

    pub(super) fn read(&mut self) -> Arrived {
        if self.read_over || !self.reading.may() {
            return Arrived::Nothing;
        }
        let mut cx = Context::from_waker(&self.reading.waker);
        match self.buffers.read(&mut self.io, &mut cx) {
            Poll::Pending => {
                self.reading.waits = true;
                Arrived::Nothing
            }
            Poll::Ready(Ok(Some(bytes))) => Arrived::Bytes(bytes),
            Poll::Ready(Ok(None)) => {
                self.read_over = true;
                Arrived::End
            }
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "reading from the transport failed");
                self.read_over = true;
                Arrived::Failed(error)
            }
        }
    }

    /// Whether the transport has said since the last read that there may be more.
    pub(super) fn is_readable(&self) -> bool {
        !self.read_over && self.reading.waits && self.reading.side.is_woken()
    }

    /// Whether nothing more will be read.
    pub(super) const fn read_over(&self) -> bool {
        self.read_over
    }

    /// Shuts the writing half down; what goes wrong now harms nobody.
    pub(super) fn poll_close(&mut self) -> Poll<()> {
        if self.write_failed {
            return Poll::Ready(());
        }
        if !self.writing.may() {
            return Poll::Pending;
        }
        let mut cx = Context::from_waker(&self.writing.waker);
        match self.io.poll_close(&mut cx) {
            Poll::Pending => {
                self.writing.waits = true;
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => tracing::debug!(%error, "closing the transport failed"),
            Poll::Ready(Ok(())) => {}
        }
        Poll::Ready(())
    }
}
