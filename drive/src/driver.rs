//! The loop that moves bytes and time between a machine and a transport.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::{CloseReason, Direction, Instant, Machine, Segment};

use crate::deadline::{Deadline, Due};
use crate::link::{Arrived, Link, ROUNDS, Wrote};
use crate::listener::Listener;
use crate::shared::{Shared, Waiters};
use crate::{Clock, Io, Sleep};

/// How long an orderly close may take to write what is left.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// Bytes of one read after which other tasks get their turn.
const MUCH: usize = 16 << 10;

/// How long what comes behind the peer's last word is still taken. A peer that has more to say, such
/// as log records behind an exit (`docs/protocols/agentproto.md` section 14, H11), would otherwise
/// die of writing to nobody.
const LINGER: Duration = Duration::from_secs(1);

/// Drives one machine over one transport until it is over: a future to spawn.
///
/// It ends once the machine is closed, what it still had to say has been written (for 5 seconds at
/// most), the transport is shut down, and a peer that ended in order has hung up (for 1 second at
/// most). Dropping it drops the transport and ends the session.
#[derive(Debug)]
#[must_use = "nothing moves until the driver is spawned or polled"]
pub(crate) struct Driver<M, W, I, S>
where
    M: Machine<Input = Bytes, Output = Segment>,
    W: Waiters<M::Event>,
{
    shared: Arc<Shared<M, W>>,
    link: Link<I>,
    /// There mostly is none.
    listener: Option<Box<dyn Listener<M>>>,
    deadline: Deadline<S>,
    clock: Clock,
    /// When an orderly close stops waiting for the transport to take what is left.
    drain_until: Option<Instant>,
    /// When it stops listening to a peer that has ended in order.
    linger_until: Option<Instant>,
}

impl<M, W, I, S> Driver<M, W, I, S>
where
    M: Machine<Input = Bytes, Output = Segment>,
    W: Waiters<M::Event>,
    I: Io,
    S: Sleep,
{
    pub(crate) fn new(
        shared: Arc<Shared<M, W>>,
        listener: Option<Box<dyn Listener<M>>>,
        io: I,
        sleep: S,
        clock: Clock,
    ) -> Self {
        Self {
            shared,
            link: Link::new(io),
            listener,
            deadline: Deadline::new(sleep, clock),
            clock,
            drain_until: None,
            linger_until: None,
        }
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Round {
        let now = self.clock.now();
        let (link, listener) = (&mut self.link, &mut self.listener);
        let (wants_input, closed, mut due, heard) = self.shared.drive(cx.waker(), |machine| {
            link.fill(machine, now);
            let heard = listener.as_mut().is_some_and(|listener| listener.take(machine));
            (machine.wants_input(), machine.closed().is_some(), machine.poll_timeout(), heard)
        });
        if let Some(listener) = &mut self.listener {
            listener.tell();
        }
        let wrote = match self.link.write(cx) {
            Wrote::Nothing => false,
            Wrote::Something => true,
            Wrote::Failed(error) => {
                let os_error = error.raw_os_error();
                self.input(cx, |machine, now| {
                    machine.handle_failure(now, Direction::Write, os_error);
                });
                true
            }
        };
        if closed {
            if !wrote && !heard && self.link.is_drained() {
                return Round::Over;
            }
            due = Some(*self.drain_until.get_or_insert(now + DRAIN));
        }
        let read = if wants_input && !closed { self.read(cx) } else { 0 };
        // What is kept no longer makes room.
        let moved = wrote || heard || read > 0;
        match self.deadline.poll(cx, due, moved) {
            Due::Now if closed => Round::Over,
            Due::Now => {
                self.input(cx, |machine, now| crate::deadline::reached(machine, now, due));
                Round::Moved
            }
            Due::LookAgain => Round::Moved,
            Due::NotYet if read >= MUCH => Round::Much,
            Due::NotYet if moved => Round::Moved,
            Due::NotYet => Round::Idle,
        }
    }

    /// Shuts the transport down; a peer that ended in order is listened to until it hangs up.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.clock.now();
        if self.link.poll_close(cx).is_pending() {
            // A transport that cannot be closed is let go at the same deadline.
            let until = self.drain_until.unwrap_or(Instant::ORIGIN);
            return if until <= now {
                Poll::Ready(())
            } else {
                self.deadline.poll_until(cx, until)
            };
        }
        let in_order = |machine: &mut M| matches!(machine.closed(), Some(CloseReason::Peer { .. }));
        if self.link.read_over() || !self.shared.drive(cx.waker(), in_order) {
            return Poll::Ready(());
        }
        let until = *self.linger_until.get_or_insert(now + LINGER);
        for _ in 0..ROUNDS {
            match self.link.read(cx) {
                Arrived::Bytes(_) if now < until => {}
                Arrived::Nothing if now < until => return self.deadline.poll_until(cx, until),
                _ => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once; says how many bytes came, or 1 when something else happened.
    fn read(&mut self, cx: &mut Context<'_>) -> usize {
        match self.link.read(cx) {
            Arrived::Nothing => return 0,
            Arrived::Bytes(bytes) => {
                let count = bytes.len();
                self.input(cx, |machine, now| machine.handle_input(now, bytes));
                return count;
            }
            Arrived::End => self.input(cx, |machine, now| machine.handle_eof(now)),
            Arrived::Failed(error) => {
                let os_error = error.raw_os_error();
                self.input(cx, |machine, now| {
                    machine.handle_failure(now, Direction::Read, os_error);
                });
            }
        }
        1
    }

    fn input(&self, cx: &Context<'_>, call: impl FnOnce(&mut M, Instant)) {
        let now = self.clock.now();
        self.shared.drive(cx.waker(), |machine| call(machine, now));
    }
}

enum Round {
    Moved,
    /// Much has arrived: whoever reads it should do so while it is in the cache.
    Much,
    Idle,
    Over,
}

impl<M, W, I, S> Future for Driver<M, W, I, S>
where
    M: Machine<Input = Bytes, Output = Segment>,
    W: Waiters<M::Event>,
    I: Io,
    S: Sleep,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..ROUNDS {
            match this.round(cx) {
                Round::Moved => {}
                Round::Much => break,
                Round::Idle => {
                    if let Some(listener) = &mut this.listener {
                        listener.rest();
                    }
                    return Poll::Pending;
                }
                Round::Over => return this.poll_over(cx),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<M, W, I, S> Drop for Driver<M, W, I, S>
where
    M: Machine<Input = Bytes, Output = Segment>,
    W: Waiters<M::Event>,
{
    fn drop(&mut self) {
        // Whoever waits must not wait for a driver that is gone.
        let now = self.clock.now();
        let listener = &mut self.listener;
        self.shared.command(|state| {
            state.machine.handle_failure(now, Direction::Read, None);
            listener.as_mut().is_some_and(|listener| listener.take(&mut state.machine))
        });
        if let Some(listener) = &mut self.listener {
            listener.tell();
        }
    }
}

impl<M, W, I, S> Unpin for Driver<M, W, I, S>
where
    M: Machine<Input = Bytes, Output = Segment>,
    W: Waiters<M::Event>,
{
}
