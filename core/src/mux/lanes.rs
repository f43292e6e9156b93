//! What is sent next: control frames first, then every stream in turn, one frame each.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use bytes::Bytes;
use core::time::Duration;

use super::lists::{Kind, List};
use super::parts::{SendQueue, Slot, Streams};
use super::spares::Spares;
use crate::Instant;

/// What a queued piece costs of the room beside its bytes.
const PIECE: usize = 64;

/// Room for which one waiting writer is called.
const SHARE: usize = 16 << 10;

/// How long writers that were called may leave their room unused before others are called.
const PATIENCE: Duration = Duration::from_millis(5);

/// What waits to be sent, over all streams. `C` is a wire's control frame, a small value.
#[derive(Debug)]
pub(crate) struct Lanes<C> {
    control: VecDeque<(C, bool)>,
    /// How many of them the peer provoked.
    provoked: usize,
    replies: usize,
    spares: Spares<SendQueue>,
    /// Bytes of payload that wait.
    unsent: usize,
    /// Room taken: payload and what its pieces cost.
    used: usize,
    room: usize,
    /// Of a write only whole frames of this size are taken, but for its last.
    frame: usize,
    /// Room for which one waiting writer is called.
    share: usize,
    /// Room for which writers were called that have not used it yet.
    called: usize,
    /// When to call others, if those called do nothing.
    patience: Option<Instant>,
}

impl<C> Lanes<C> {
    /// Empty lanes with `room` bytes for payload, and a bound of `replies` for what a peer provokes.
    pub(crate) const fn new(room: usize, replies: usize) -> Self {
        Self {
            control: VecDeque::new(),
            provoked: 0,
            replies,
            spares: Spares::new(),
            unsent: 0,
            used: 0,
            room,
            frame: 1,
            share: if SHARE < room { SHARE } else { room },
            called: 0,
            patience: None,
        }
    }

    /// Lanes that take whole frames of `frame` bytes of each write, but for its last, so that a
    /// write becomes no more frames for want of room than it would have with all of it.
    pub(crate) fn with_frames_of(mut self, frame: usize) -> Self {
        self.frame = frame.min(self.room.saturating_sub(PIECE)).max(1);
        self.share = self.share.max(self.frame.saturating_add(PIECE)).min(self.room);
        self
    }

    // Control frames of the connection.

    /// Queues a control frame of this side's own making. The wire bounds how many there can be.
    pub(crate) fn push_control(&mut self, frame: C) {
        self.control.push_back((frame, false));
    }

    /// Queues a control frame that the peer provoked. Read no further while [`is_choked`](Self::is_choked).
    pub(crate) fn push_reply(&mut self, frame: C) {
        self.provoked += 1;
        self.control.push_back((frame, true));
    }

    /// The next control frame.
    pub(crate) fn pop_control(&mut self) -> Option<C> {
        let (frame, provoked) = self.control.pop_front()?;
        self.provoked = self.provoked.saturating_sub(usize::from(provoked));
        Some(frame)
    }

    /// Whether as many replies wait as may: the machine then wants no input.
    pub(crate) const fn is_choked(&self) -> bool {
        self.provoked >= self.replies
    }

    // Data.

    /// Queues the front of `data`: at most `credit` bytes, and what room there is. Says how many
    /// bytes that were; 0 when the stream has to wait: for room (it is then in line) or for credit.
    /// It is marked as blocked either way; the wire tells it when credit comes.
    pub(crate) fn write<S: Default>(
        &mut self,
        now: Instant,
        streams: &mut Streams<S>,
        slot: Slot,
        data: &mut Bytes,
        credit: usize,
    ) -> usize {
        let most = data.len().min(credit);
        let Some(stream) = streams.get_mut(slot) else { return 0 };
        // Who was called may use the room for which it was; others stand behind those that wait.
        let called = core::mem::take(&mut stream.called);
        if called {
            self.called = self.called.saturating_sub(self.share);
        }
        if most == 0 {
            streams.block_write(slot);
            self.call_writers(now, streams);
            return 0;
        }
        let mut room = self.room.saturating_sub(self.used).saturating_sub(PIECE);
        if !streams.is_empty(List::Writers) {
            // Others wait: each takes its share and goes to the end of the line, so that streams
            // get on alike however much each of them offers at a time.
            room = room.min(self.share.saturating_sub(PIECE));
        }
        let enough = room >= most.min(self.frame);
        if !enough || (!called && !streams.is_empty(List::Writers)) {
            streams.block_write(slot);
            if called {
                streams.push_front(List::Writers, slot, Kind::Write);
            } else {
                streams.push(List::Writers, slot, Kind::Write);
            }
            self.call_writers(now, streams);
            return 0;
        }
        let taken = if most > room { room - room % self.frame } else { most };
        if let Some(stream) = streams.get_mut(slot) {
            let queue = stream.outgoing.get_or_insert_with(|| self.spares.take());
            queue.push(data.split_to(taken));
        }
        self.unsent += taken;
        self.used += taken + PIECE;
        self.make_ready(streams, slot);
        self.call_writers(now, streams);
        taken
    }

    /// Gives a stream a turn in the round, at its end; harmless where it has one. For data it has
    /// one already; a wire calls it for an end of stream that follows no data.
    pub(crate) fn make_ready<S: Default>(&mut self, streams: &mut Streams<S>, slot: Slot) {
        streams.push(List::Round, slot, Kind::Turn);
    }

    /// The stream whose turn it is. It is out of the round: [`make_ready`](Self::make_ready) puts it
    /// at the end again if it has more to send than the one frame of this turn.
    pub(crate) fn next_turn<S: Default>(&mut self, streams: &mut Streams<S>) -> Option<Slot> {
        streams.pop(List::Round)
    }

    /// Takes the payload of a stream's next frame, at most `most` bytes of one write, and calls
    /// writers into the room that it leaves.
    pub(crate) fn take<S: Default>(
        &mut self,
        now: Instant,
        streams: &mut Streams<S>,
        slot: Slot,
        most: usize,
    ) -> Option<Bytes> {
        let stream = streams.get_mut(slot)?;
        let (bytes, whole) = stream.outgoing.as_mut()?.take(most)?;
        if stream.outgoing.as_ref().is_some_and(|queue| queue.is_empty()) {
            let queue = stream.outgoing.take();
            self.recycle(queue);
        }
        self.unsent = self.unsent.saturating_sub(bytes.len());
        self.used = self.used.saturating_sub(bytes.len() + if whole { PIECE } else { 0 });
        self.call_writers(now, streams);
        Some(bytes)
    }

    /// Drops what a stream has written and not sent; says how many bytes that were.
    pub(crate) fn clear<S: Default>(
        &mut self,
        now: Instant,
        streams: &mut Streams<S>,
        slot: Slot,
    ) -> usize {
        let Some(stream) = streams.get_mut(slot) else { return 0 };
        let mut queue = stream.outgoing.take();
        let (bytes, pieces) = queue.as_mut().map_or((0, 0), |queue| queue.clear());
        self.recycle(queue);
        self.unsent = self.unsent.saturating_sub(bytes);
        self.used = self.used.saturating_sub(bytes + pieces * PIECE);
        streams.unlink(slot, Kind::Turn);
        self.stop_writing(now, streams, slot);
        bytes
    }

    /// Nobody will write to the stream any more (it was finished, reset or forgotten): the room for
    /// which it waited, or was called, goes to others. What it has queued is still sent.
    pub(crate) fn stop_writing<S: Default>(
        &mut self,
        now: Instant,
        streams: &mut Streams<S>,
        slot: Slot,
    ) {
        let Some(stream) = streams.get_mut(slot) else { return };
        if core::mem::take(&mut stream.called) {
            self.called = self.called.saturating_sub(self.share);
        } else if stream.write_blocked {
            // It may stand in line for room; a pending event stays.
            streams.unlink(slot, Kind::Write);
        }
        self.call_writers(now, streams);
    }

    /// Bytes of payload that wait to be sent.
    pub(crate) const fn unsent(&self) -> usize {
        self.unsent
    }

    /// Memory held beside what is queued, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.control.capacity() * size_of::<(C, bool)>() + self.spares.memory()
    }

    /// Whether nothing at all waits to be sent, and nobody waits for room: a frame of a writer that
    /// comes now may leave at once.
    pub(crate) fn is_idle<S: Default>(&self, streams: &Streams<S>) -> bool {
        self.control.is_empty()
            && streams.is_empty(List::Control)
            && streams.is_empty(List::Round)
            && streams.is_empty(List::Writers)
    }

    /// Whether anything waits to be sent.
    pub(crate) fn has_output<S: Default>(&self, streams: &Streams<S>) -> bool {
        !self.control.is_empty()
            || !streams.is_empty(List::Control)
            || !streams.is_empty(List::Round)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.patience
    }

    /// Calls other writers when those called first have left their room unused for too long.
    pub(crate) fn handle_timeout<S: Default>(&mut self, now: Instant, streams: &mut Streams<S>) {
        if self.patience.is_some_and(|at| at <= now) {
            self.called = 0;
            self.patience = None;
            self.call_writers(now, streams);
        }
    }

    /// Tells waiting writers, in order, as far as there is room that nobody was called into.
    #[inline]
    fn call_writers<S: Default>(&mut self, now: Instant, streams: &mut Streams<S>) {
        if streams.is_empty(List::Writers) {
            self.patience = None;
        } else {
            self.call_waiting(now, streams);
        }
    }

    fn call_waiting<S: Default>(&mut self, now: Instant, streams: &mut Streams<S>) {
        let room = self.room.saturating_sub(self.used);
        while room >= self.called.saturating_add(self.share) {
            let Some(slot) = streams.pop(List::Writers) else { break };
            self.called += self.share;
            if let Some(stream) = streams.get_mut(slot) {
                stream.called = true;
                stream.write_blocked = true;
            }
            streams.tell_writable(slot);
        }
        if self.unsent > 0 || streams.is_empty(List::Writers) {
            self.patience = None;
        } else if self.patience.is_none() {
            self.patience = Some(now + PATIENCE);
        }
    }

    fn recycle(&mut self, queue: Option<Box<SendQueue>>) {
        if let Some(queue) = queue {
            self.spares.keep(queue);
        }
    }
}
