//! What stands under a connection's lock: the machine, the transport's desk, and who waits.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use trunkline_core::mux::{Mux, MuxEvent, StreamKey};
use trunkline_core::{CloseReason, Direction, Instant};

use super::eager::Eager;
use super::ends::Ends;
use super::handoff::Desk;
use super::line::Line;
use super::link::Link;
use super::slots::{For, Slots};
use super::wakes::Wakes;
use crate::Io;

/// Bytes of a caller that are copied at a time, where they must be.
const COPY: usize = 64 << 10;

/// A copy below this size shares memory with others.
const SMALL: usize = 4 << 10;

/// Memory that small copies share.
const SHARED: usize = 64 << 10;

/// A ping on its way.
#[derive(Debug)]
pub(super) struct Ping {
    pub(super) number: u32,
    pub(super) waker: Waker,
    pub(super) round_trip: Option<Duration>,
}

/// Who waits for what belongs to the whole connection.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) accept: Line,
    pub(super) open: Line,
    pub(super) ping: Line,
    pub(super) closed: Line,
}

/// Everything that a connection's handles and its driver share.
pub(super) struct State<M, I> {
    pub(super) machine: M,
    pub(super) desk: Desk<Box<Link<I>>>,
    pub(super) slots: Slots,
    pub(super) ends: Ends,
    pub(super) lines: Lines,
    pub(super) pings: Vec<Ping>,
    /// Streams that somebody holds.
    pub(super) streams: usize,
    /// Whether a handle of the connection itself lives: without one nobody accepts.
    pub(super) listening: bool,
    pub(super) seen: Seen,
    /// The peer takes no more streams.
    pub(super) gone_away: bool,
    /// The user wants no farewell.
    pub(super) aborted: bool,
    /// The driver is done with the transport, or gone.
    pub(super) over: bool,
    pub(super) eager: Eager,
    /// Everything that happens to the connection happens in it.
    pub(super) span: tracing::Span,
    small: BytesMut,
}

impl<M: Mux, I: Io> State<M, I> {
    pub(super) fn new(machine: M, link: Box<Link<I>>) -> Self {
        let span = span(&machine);
        Self {
            machine,
            desk: Desk::new(link),
            slots: Slots::default(),
            ends: Ends::default(),
            lines: Lines::default(),
            pings: Vec::new(),
            streams: 0,
            listening: true,
            seen: Seen::default(),
            gone_away: false,
            aborted: false,
            over: false,
            eager: Eager::default(),
            span,
            small: BytesMut::new(),
        }
    }

    /// Why the connection is over, once it is.
    pub(super) fn closed(&self) -> Option<CloseReason> {
        self.machine.closed().cloned()
    }

    /// Takes in what the machine tells, and notes whom to wake.
    pub(super) fn hand_out(&mut self, now: Instant, wakes: &mut Wakes) {
        while let Some(event) = self.machine.poll_event() {
            self.tell(event, now, wakes);
        }
    }

    /// Takes in one thing that the machine tells.
    pub(super) fn tell(&mut self, event: MuxEvent, now: Instant, wakes: &mut Wakes) {
        match event {
            MuxEvent::Readable(stream) => wakes.push(self.slots.take(stream, For::Reading)),
            MuxEvent::Writable(stream) => {
                wakes.push(self.slots.take(stream, For::Writing));
                if self.ends.waits_for(stream) && self.machine.watch(stream).is_some() {
                    self.ends.tell(stream, wakes);
                }
            }
            MuxEvent::Acceptable if self.listening => {
                let waiting = self.machine.stats().waiting;
                self.lines.accept.tell_some(waiting.max(1), wakes);
            }
            MuxEvent::Acceptable => self.refuse(now),
            MuxEvent::Openable => self.lines.open.tell(wakes),
            MuxEvent::GoneAway => {
                tracing::debug!(parent: &self.span, "the other side takes no more streams");
                self.gone_away = true;
                self.lines.open.tell_all(wakes);
            }
            MuxEvent::Pong { number, round_trip } => self.answered(number, round_trip, wakes),
            MuxEvent::Closed(reason) => {
                tracing::debug!(parent: &self.span, %reason, "connection over");
                self.wake_all(wakes);
            }
            _ => {}
        }
    }

    fn answered(&mut self, number: u32, round_trip: Duration, wakes: &mut Wakes) {
        if let Some(ping) = self.pings.iter_mut().find(|ping| ping.number == number) {
            ping.round_trip = Some(round_trip);
            wakes.push(Some(ping.waker.clone()));
        }
        self.lines.ping.tell(wakes);
    }

    pub(super) fn wake_all(&mut self, wakes: &mut Wakes) {
        for waker in self.slots.drain() {
            wakes.push(Some(waker));
        }
        self.ends.tell_all(wakes);
        for ping in &self.pings {
            wakes.push(Some(ping.waker.clone()));
        }
        let Lines { accept, open, ping, closed } = &mut self.lines;
        for line in [accept, open, ping, closed] {
            line.tell_all(wakes);
        }
    }

    /// Sends away streams that nobody will ever accept; those of a connection that is over are only
    /// forgotten.
    pub(super) fn refuse(&mut self, now: Instant) {
        while let Some(stream) = self.machine.accept(now) {
            self.machine.reset(now, stream);
            self.machine.forget(now, stream);
        }
        // Nobody opens either: with the last stream the connection ends.
        self.end_if_unused(now);
    }

    /// Closes a connection that nobody holds any more.
    pub(super) fn end_if_unused(&mut self, now: Instant) {
        if !self.listening && self.streams == 0 && self.machine.closed().is_none() {
            self.machine.close(now);
        }
    }

    /// Tells the machine that the transport failed for writing, if it did.
    pub(super) fn tell_failure(&mut self, now: Instant, failure: Option<io::Error>) {
        if let Some(error) = failure {
            self.machine.handle_failure(now, Direction::Write, error.raw_os_error());
        }
    }

    /// Whether the driver must be rung for what a command has left behind.
    pub(super) fn must_ring(&mut self) -> bool {
        let Self { machine, desk, seen, over, eager, .. } = self;
        let ring = !*over && desk.leave(|link| seen.is_outdated(machine, link, true));
        if ring {
            eager.more();
        }
        ring
    }

    /// Puts the transport back after a write of a stream's own; says whether to ring.
    pub(super) fn put_back(&mut self, link: Box<Link<I>>) -> bool {
        let Self { machine, desk, seen, .. } = self;
        desk.put_back(link, |link| seen.is_outdated(machine, link, true))
    }

    /// Puts the transport back for the driver, unless there is more for it to do; `more` says that
    /// the machine was not asked for all it had to send.
    pub(super) fn rest(&mut self, link: Box<Link<I>>, more: bool) -> Option<Box<Link<I>>> {
        let Self { machine, desk, seen, .. } = self;
        desk.rest(link, |link, left| seen.is_outdated(machine, link, left || more))
    }

    /// A copy of the front of a caller's slices, without an allocation where it is small.
    pub(super) fn copy(&mut self, bufs: &[IoSlice<'_>], total: usize) -> Bytes {
        let mut left = total.min(COPY);
        let mut copied = if left < SMALL {
            if self.small.capacity() < left {
                self.small.reserve(SHARED);
            }
            std::mem::take(&mut self.small)
        } else {
            BytesMut::with_capacity(left)
        };
        let is_small = left < SMALL;
        for buf in bufs {
            let part = buf.get(..left.min(buf.len())).unwrap_or_default();
            copied.extend_from_slice(part);
            left -= part.len();
        }
        let bytes = copied.split().freeze();
        if is_small {
            self.small = copied;
        }
        bytes
    }

    /// Forgets a stream whose last handle is gone.
    pub(super) fn forget(&mut self, now: Instant, stream: StreamKey) -> [Option<Waker>; 2] {
        let wakers = self.slots.clear(stream);
        self.machine.forget(now, stream);
        self.streams = self.streams.saturating_sub(1);
        self.end_if_unused(now);
        wakers
    }
}

/// The span of a new connection, which tells it from every other one of the process.
fn span(machine: &impl Mux) -> tracing::Span {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    tracing::debug_span!("connection", id, wire = machine.abilities().name, side = ?machine.side())
}

/// What the driver knew when it came to rest.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The deadline that its timer is set to.
    pub(super) armed: Option<Instant>,
    /// The machine wanted no input.
    pub(super) held_back: bool,
    /// The machine is over.
    pub(super) closed: bool,
}

impl Seen {
    /// Whether there is something now that only the driver does. `output` says whether the machine
    /// may have something to send that it had not before.
    fn is_outdated<I: Io>(&self, machine: &impl Mux, link: &Link<I>, output: bool) -> bool {
        let earlier = |due| self.armed.is_none_or(|armed| due < armed);
        link.has_work()
            || output && link.takes() && machine.wants_output()
            || self.held_back && machine.wants_input()
            || !self.closed && machine.closed().is_some()
            || machine.poll_timeout().is_some_and(earlier)
    }
}
