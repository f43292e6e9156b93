//! One transport and what is under way in it, in both directions.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use trunkline_core::{Machine, Segment};

use crate::Io;
use crate::buffers::Buffers;
use crate::outgoing::Outgoing;

/// Rounds of write and read before other tasks get their turn.
pub(crate) const ROUNDS: usize = 16;

/// What became of an attempt to write.
pub(crate) enum Wrote {
    Nothing,
    Something,
    Failed(io::Error),
}

/// What an attempt to read brought.
pub(crate) enum Arrived {
    Nothing,
    Bytes(Bytes),
    End,
    Failed(io::Error),
}

/// A transport, the frames on their way into it and the buffer it is read into.
#[derive(Debug)]
pub(crate) struct Link<I> {
    io: I,
    outgoing: Outgoing,
    buffers: Buffers,
    /// The transport failed for writing; what the machine says goes nowhere.
    write_failed: bool,
    read_over: bool,
    unflushed: bool,
}

impl<I: Io> Link<I> {
    pub(crate) fn new(io: I) -> Self {
        Self {
            io,
            outgoing: Outgoing::new(),
            buffers: Buffers::default(),
            write_failed: false,
            read_over: false,
            unflushed: false,
        }
    }

    /// Takes what the machine wants to send, as far as there is room.
    pub(crate) fn fill<M: Machine<Output = Segment>>(
        &mut self,
        machine: &mut M,
        now: trunkline_core::Instant,
    ) {
        while self.outgoing.has_room() {
            match machine.poll_transmit(now) {
                Some(_) if self.write_failed => {}
                Some(segment) => self.outgoing.push(segment),
                None => break,
            }
        }
    }

    /// Whether the transport has taken everything.
    pub(crate) fn is_drained(&self) -> bool {
        self.outgoing.is_empty()
    }

    pub(crate) fn write(&mut self, cx: &mut Context<'_>) -> Wrote {
        if self.write_failed {
            return Wrote::Nothing;
        }
        let result = if !self.outgoing.is_empty() {
            self.unflushed = true;
            self.outgoing.poll_write(&mut self.io, cx)
        } else if self.unflushed {
            self.io.poll_flush(cx).map_ok(|()| self.unflushed = false)
        } else {
            return Wrote::Nothing;
        };
        match result {
            Poll::Pending => Wrote::Nothing,
            Poll::Ready(Ok(())) => Wrote::Something,
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "writing to the transport failed");
                self.write_failed = true;
                self.outgoing.clear();
                Wrote::Failed(error)
            }
        }
    }

    pub(crate) fn read(&mut self, cx: &mut Context<'_>) -> Arrived {
        if self.read_over {
            return Arrived::Nothing;
        }
        match self.buffers.read(&mut self.io, cx) {
            Poll::Pending => Arrived::Nothing,
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

    /// Whether the peer is gone, though something may be left to read; told once.
    #[cfg(all(unix, feature = "host"))]
    pub(crate) fn peer_gone(&mut self) -> bool {
        let gone = self.peer_has_hung_up();
        self.read_over |= gone;
        gone
    }

    /// The same, told again and again, for whoever still wants what is left.
    #[cfg(all(unix, feature = "host"))]
    pub(crate) fn peer_has_hung_up(&self) -> bool {
        !self.read_over && self.io.peer_gone()
    }

    /// Whether nothing more will be read.
    pub(crate) const fn read_over(&self) -> bool {
        self.read_over
    }

    /// Shuts the writing half down; what goes wrong now harms nobody.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.write_failed
            && let Err(error) = std::task::ready!(self.io.poll_close(cx))
        {
            tracing::debug!(%error, "closing the transport failed");
        }
        Poll::Ready(())
    }
}
