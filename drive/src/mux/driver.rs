//! The loop that moves bytes and time between a multiplexer and its transport.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use trunkline_core::mux::Mux;
use trunkline_core::{CloseReason, Direction, Instant};

use super::handle::Core;
use super::link::Link;
use super::wakes::Wakes;
use crate::deadline::{Deadline, Due};
use crate::driver::DRAIN;
use crate::link::{Arrived, ROUNDS};
use crate::{Clock, Io, Sleep};

/// Bytes read in one turn: then whoever reads them should do so while they are in the cache.
const MUCH: usize = 256 << 10;

/// How long what a peer still sends is taken, and dropped, behind our own farewell: closing a socket
/// with unread bytes would destroy what we sent last.
const LINGER: Duration = Duration::from_secs(1);

/// How long what has arrived is still read once nothing can be written any more: then the connection
/// is lost, whether or not the transport ever says so.
const UNHEARD: Duration = Duration::from_secs(1);

/// Drives one connection until it is over: a future to spawn.
///
/// It ends once the machine is over, what it still had to say has been written (for 5 seconds at
/// most), the transport is shut down and the peer has hung up (for 1 second at most). Dropping it
/// drops the transport and loses the connection.
#[must_use = "nothing moves until the driver is spawned or polled"]
pub(super) struct Driver<M: Mux, I: Io, S> {
    core: Arc<Core<M, I>>,
    /// The transport, once the machine is over and nobody else needs it.
    ending: Option<Box<Link<I>>>,
    deadline: Deadline<S>,
    /// What the timer is set to; it may be earlier than what is due, never later.
    timer: Option<Instant>,
    /// What it saw last, when it came to rest behind that.
    rested: Option<View>,
    clock: Clock,
    wakes: Wakes,
    drain_until: Option<Instant>,
    linger_until: Option<Instant>,
    /// When a connection that cannot be written to any more is given up.
    lost_at: Option<Instant>,
}

/// What the driver saw under the lock.
#[derive(Clone, Copy)]
struct View {
    now: Instant,
    wants_input: bool,
    closed: bool,
    aborted: bool,
    /// The machine may have more to send than there was room for.
    more: bool,
    due: Option<Instant>,
}

impl<M: Mux, I: Io, S: Sleep> Driver<M, I, S> {
    pub(super) fn new(core: Arc<Core<M, I>>, sleep: S) -> Self {
        let clock = core.clock;
        Self {
            core,
            ending: None,
            deadline: Deadline::new(sleep, clock),
            timer: None,
            rested: None,
            clock,
            wakes: Wakes::new(),
            drain_until: None,
            linger_until: None,
            lost_at: None,
        }
    }

    /// Takes the transport, unless a stream writes through at the moment: that one rings. With it
    /// comes what was seen last, when nothing but the transport has anything new: then it is read
    /// before anything else is looked at.
    fn take(&mut self) -> Option<(Box<Link<I>>, Option<View>)> {
        let rested = self.rested.take();
        let mut state = self.core.lock();
        let rung = state.desk.is_rung();
        let link = state.desk.ask()?;
        let known = rested.filter(|_| !rung && link.is_readable() && !link.has_work());
        Some((link, known))
    }

    /// Puts it back, unless there is more to do.
    fn rest(&mut self, link: Box<Link<I>>, view: &View) -> Option<Box<Link<I>>> {
        let mut state = self.core.lock();
        state.seen.armed = self.timer;
        state.seen.held_back = !view.wants_input;
        let back = state.rest(link, view.more);
        self.rested = back.is_none().then_some(*view);
        back
    }

    /// Hands in what arrived, hands out what happened, and takes what is to be sent.
    fn look(&mut self, link: &mut Link<I>, arrived: Arrived, due: Option<Instant>) -> View {
        let now = self.clock.now();
        let mut state = self.core.lock();
        state.desk.look();
        let turn = matches!(arrived, Arrived::Bytes(_));
        match arrived {
            Arrived::Nothing => {}
            Arrived::Bytes(bytes) => state.machine.handle_input(now, bytes),
            Arrived::End => state.machine.handle_eof(now),
            Arrived::Failed(error)
                if error.get_ref().is_some_and(|inner| inner.is::<CloseReason>()) =>
            {
                if let Some(Ok(reason)) = error.into_inner().map(|inner| inner.downcast()) {
                    state.machine.handle_lost(now, *reason);
                }
            }
            Arrived::Failed(error) => {
                let os_error = error.raw_os_error();
                state.machine.handle_failure(now, Direction::Read, os_error);
            }
        }
        let failure = link.failure();
        state.tell_failure(now, failure);
        crate::deadline::reached(&mut state.machine, now, due);
        let more = link.fill(&mut state.machine, now);
        state.hand_out(now, &mut self.wakes);
        if turn {
            state.eager.turn(self.wakes.count());
        }
        let view = View {
            now,
            wants_input: state.machine.wants_input(),
            closed: state.machine.closed().is_some(),
            aborted: state.aborted,
            more,
            due: state.machine.poll_timeout(),
        };
        state.seen.closed |= view.closed;
        drop(state);
        self.wakes.wake();
        view
    }

    /// What is due, by the timer. A timer that is set too early is left alone until it fires: what
    /// puts a deadline off with every frame would set it anew with every frame.
    fn time(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        due: Option<Instant>,
        moved: bool,
    ) -> Due {
        if moved && due.is_none_or(|due| due > now) {
            return Due::NotYet;
        }
        let early = self.timer.filter(|set| due.is_some_and(|due| *set <= due) && *set > now);
        self.timer = early.or(due);
        match self.deadline.poll(cx, self.timer, moved) {
            Due::NotYet => Due::NotYet,
            _ if self.timer != due => {
                self.timer = None;
                Due::LookAgain
            }
            due => due,
        }
    }

    /// Shuts the transport down; what the peer still sends is taken until it hangs up.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.clock.now();
        let Some(link) = &mut self.ending else { return Poll::Ready(()) };
        if link.poll_close().is_pending() {
            // A transport that cannot be closed is let go at the same deadline.
            let until = self.drain_until.unwrap_or(Instant::ORIGIN);
            if now < until && self.deadline.poll_until(cx, until).is_pending() {
                return Poll::Pending;
            }
            self.over();
            return Poll::Ready(());
        }
        self.over();
        let until = *self.linger_until.get_or_insert(now + LINGER);
        let Some(link) = &mut self.ending else { return Poll::Ready(()) };
        for _ in 0..ROUNDS {
            if now >= until || link.read_over() {
                return Poll::Ready(());
            }
            match link.read() {
                Arrived::Bytes(_) => {}
                Arrived::Nothing => return self.deadline.poll_until(cx, until),
                Arrived::End | Arrived::Failed(_) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Tells whoever waits for the transport's end.
    fn over(&mut self) {
        let mut state = self.core.lock();
        if !std::mem::replace(&mut state.over, true) {
            state.lines.closed.tell_all(&mut self.wakes);
        }
        drop(state);
        self.wakes.wake();
    }

    fn rounds(
        &mut self,
        cx: &mut Context<'_>,
        mut link: Box<Link<I>>,
        mut known: Option<View>,
    ) -> Poll<()> {
        let mut arrived = Arrived::Nothing;
        let mut due = None;
        let mut read = 0;
        for _ in 0..ROUNDS {
            let view = match known.take() {
                Some(view) => view,
                None => self.look(&mut link, arrived, due.take()),
            };
            let wrote = link.write();
            arrived = Arrived::Nothing;
            let mut until = view.due;
            if view.closed {
                if view.aborted || link.is_drained() && !wrote {
                    if !view.aborted {
                        // What the transport itself holds (a WebSocket, TLS) leaves within the
                        // same bound.
                        self.drain_until.get_or_insert(self.clock.now() + DRAIN);
                    }
                    self.ending = Some(link);
                    return self.poll_end(cx);
                }
                until = Some(*self.drain_until.get_or_insert(self.clock.now() + DRAIN));
            } else {
                if link.write_failed() {
                    let lost_at = *self.lost_at.get_or_insert(view.now + UNHEARD);
                    until = Some(until.map_or(lost_at, |until| until.min(lost_at)));
                }
                if view.wants_input && read < MUCH {
                    arrived = link.read();
                }
            }
            let moved = match &arrived {
                Arrived::Nothing => false,
                Arrived::Bytes(bytes) => {
                    read += bytes.len();
                    true
                }
                Arrived::End | Arrived::Failed(_) => true,
            };
            match self.time(cx, view.now, until, moved || wrote) {
                Due::Now if view.closed => {
                    self.ending = Some(link);
                    return self.poll_end(cx);
                }
                Due::Now if until.is_some() && until == self.lost_at => {
                    arrived = Arrived::Failed(std::io::ErrorKind::BrokenPipe.into());
                }
                Due::Now => due = until,
                Due::LookAgain => {}
                // What was written may have been the last: then nothing wakes us any more.
                Due::NotYet if moved || view.closed && wrote => {}
                Due::NotYet if read >= MUCH => break,
                Due::NotYet => match self.rest(link, &view) {
                    Some(back) => link = back,
                    None => return Poll::Pending,
                },
            }
        }
        // What was read in the last round is handed in before others get their turn.
        let view = self.look(&mut link, arrived, due);
        if let Some(link) = self.rest(link, &view) {
            self.core.lock().desk.rest(link, |_, _| false);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<M: Mux, I: Io, S: Sleep> Future for Driver<M, I, S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.core.bell.register(cx.waker());
        if this.ending.is_some() {
            return this.poll_end(cx);
        }
        match this.take() {
            Some((link, known)) => this.rounds(cx, link, known),
            None => Poll::Pending,
        }
    }
}

impl<M: Mux, I: Io, S> Drop for Driver<M, I, S> {
    fn drop(&mut self) {
        // Whoever waits must not wait for a driver that is gone.
        let now = self.clock.now();
        let mut state = self.core.lock();
        if state.machine.closed().is_none() {
            state.machine.handle_failure(now, Direction::Read, None);
            state.machine.abort(now);
        }
        state.hand_out(now, &mut self.wakes);
        state.over = true;
        state.lines.closed.tell_all(&mut self.wakes);
        let link = state.desk.take();
        drop(state);
        drop(link);
        self.wakes.wake();
    }
}

impl<M: Mux, I: Io, S> Unpin for Driver<M, I, S> {}
