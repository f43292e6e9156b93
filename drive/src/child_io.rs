//! The streams of an agent's command.

use std::io;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use trunkline_core::agentproto::{Agent, Read, Write};

use crate::buffers::Buffers;
use crate::chunks::Chunks;
use crate::{FdIo, Io as _, Readiness};

/// One descriptor of the command, and which directions of it are still open.
#[derive(Debug)]
pub(crate) struct ChildStream<R> {
    number: u32,
    io: FdIo<R>,
    /// Bytes on their way to the command; `None` once that direction is over.
    input: Option<Chunks>,
    /// Output that the machine had no room for; `None` once that direction is over.
    output: Option<Bytes>,
}

impl<R: Readiness> ChildStream<R> {
    pub(crate) fn new(number: u32, io: FdIo<R>, reads: bool, writes: bool) -> Self {
        Self { number, io, input: reads.then(Chunks::default), output: writes.then(Bytes::new) }
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.input.is_none() && self.output.is_none()
    }

    /// Moves what can be moved; says whether anything was.
    pub(crate) fn step(
        &mut self,
        cx: &mut Context<'_>,
        agent: &mut Agent,
        buffers: &mut Buffers,
    ) -> bool {
        let moved = self.feed(cx, agent);
        self.drain(cx, agent, buffers) || moved
    }

    /// Bytes for the command.
    fn feed(&mut self, cx: &mut Context<'_>, agent: &mut Agent) -> bool {
        let Some(chunks) = &mut self.input else { return false };
        let mut ended = false;
        while chunks.has_room() && !ended {
            match agent.read(self.number, usize::MAX) {
                Read::Data(bytes) => chunks.push(bytes),
                Read::Empty => break,
                Read::End => ended = true,
                // Given up because the command is over.
                _ => {
                    chunks.clear();
                    ended = true;
                }
            }
        }
        if chunks.is_empty() {
            if ended {
                self.input = None;
                self.end_input(cx);
            }
            return ended;
        }
        match chunks.poll_write(&mut self.io, cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(_)) => true,
            // The command no longer reads: what comes for it is dropped, as a shell's pipe would.
            Poll::Ready(Err(_)) => {
                self.input = None;
                agent.forget(self.number);
                self.end_input(cx);
                true
            }
        }
    }

    /// Ends the input. A two-way stream keeps its other direction (hazard H7).
    fn end_input(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(error)) = self.io.poll_close(cx) {
            tracing::debug!(stream = self.number, %error, "ending an input failed");
        }
    }

    /// Output of the command.
    fn drain(&mut self, cx: &mut Context<'_>, agent: &mut Agent, buffers: &mut Buffers) -> bool {
        let Some(held) = &mut self.output else { return false };
        if held.is_empty() {
            match buffers.read(&mut self.io, cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(Some(bytes))) => *held = bytes,
                Poll::Ready(end) => {
                    // A terminal or a reset socket ends with an error; there is nothing more to read.
                    if let Err(error) = end {
                        tracing::debug!(stream = self.number, %error, "an output ended with an error");
                    }
                    self.output = None;
                    agent.finish(self.number);
                    return true;
                }
            }
        }
        match agent.write(self.number, held) {
            Write::Accepted(count) => {
                held.advance(count);
                true
            }
            Write::Blocked => false,
            // Nobody will read it: let the command notice.
            _ => {
                self.output = None;
                agent.finish(self.number);
                true
            }
        }
    }
}

/// The streams of a command out of its descriptors.
pub(crate) fn streams<R: Readiness>(
    child: &mut trunkline_host::process::Child,
) -> io::Result<Vec<ChildStream<R>>> {
    let mut streams = Vec::new();
    if let Some(stdin) = child.stdin.take() {
        streams.push(ChildStream::new(0, FdIo::pollable(stdin)?, true, false));
    }
    for (number, output) in [(1, child.stdout.take()), (2, child.stderr.take())] {
        if let Some(output) = output {
            streams.push(ChildStream::new(number, FdIo::pollable(output)?, false, true));
        }
    }
    for (number, socket) in child.extra.drain(..) {
        streams.push(ChildStream::new(number, FdIo::socket(socket)?, true, true));
    }
    Ok(streams)
}
