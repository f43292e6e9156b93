//! Received data of all streams: queues made when needed, the budget, who has most unread.

use alloc::vec::Vec;
use bytes::Bytes;

use super::lists::{Kind, List, MAGNITUDES};
use super::parts::{Pressure, ReceiveQueue, Slot, Streams};
use super::spares::Spares;
use crate::{Budget, Instant};

/// What a reader took, and what a window wants to know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// They came then, or later.
    pub(crate) since: Instant,
    /// Bytes that the stream still has unread.
    pub(crate) unread: usize,
    /// How short memory is.
    pub(crate) pressure: Pressure,
}

/// Received data that nobody has read, over all streams.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// What the connection holds, queues and bookkeeping; the wire may charge more to it.
    pub(crate) budget: Budget,
    limit: usize,
    spares: Spares<ReceiveQueue>,
    /// Streams that got data in this turn. Most of it is read in the same turn, so they stand in
    /// no list of unread streams before the turn is over, or the longest is asked for.
    fresh: Vec<Slot>,
    /// So many of them were listed since.
    listed: usize,
    /// Unread bytes over all streams.
    unread: usize,
    /// Which lists of unread streams may have streams.
    magnitudes: u32,
    /// What was charged for bookkeeping.
    bookkeeping: usize,
}

impl Inbox {
    /// Nothing, and a budget of `memory` bytes for all that the connection holds.
    pub(crate) const fn new(memory: usize) -> Self {
        let budget = Budget::new(memory);
        Self {
            budget,
            limit: memory,
            spares: Spares::new(),
            fresh: Vec::new(),
            listed: 0,
            unread: 0,
            magnitudes: 0,
            bookkeeping: 0,
        }
    }

    /// Unread bytes over all streams.
    pub(crate) const fn unread(&self) -> usize {
        self.unread
    }

    /// Charges what the connection holds beside queues: the memory of its tables now, in bytes. Call
    /// it when they may have grown, as after an insertion.
    pub(crate) fn set_bookkeeping(&mut self, bytes: usize) {
        self.budget.release(core::mem::replace(&mut self.bookkeeping, bytes));
        self.budget.charge(bytes);
    }

    /// How short memory is.
    pub(crate) fn pressure(&self) -> Pressure {
        Pressure::within(&self.budget, self.limit)
    }

    /// A new turn begins: what the last one brought and nobody has read yet must not pin the chunks
    /// that it came in any longer. Call it at the start of `handle_input`.
    pub(crate) fn next_turn<S: Default>(&mut self, streams: &mut Streams<S>) {
        self.end_turn(streams, |queue, budget| queue.settle(budget));
    }

    /// The same where what came is to stay as it came.
    pub(crate) fn next_turn_whole<S: Default>(&mut self, streams: &mut Streams<S>) {
        self.end_turn(streams, |_, _| ());
    }

    fn end_turn<S: Default>(
        &mut self,
        streams: &mut Streams<S>,
        settle: impl Fn(&mut ReceiveQueue, &mut Budget),
    ) {
        self.listed = 0;
        let mut fresh = core::mem::take(&mut self.fresh);
        for slot in fresh.drain(..) {
            if let Some(queue) = streams.get_mut(slot).and_then(|stream| stream.incoming.as_mut()) {
                settle(queue, &mut self.budget);
                self.list(streams, slot);
            }
        }
        self.fresh = fresh;
    }

    /// Appends a slice of a chunk of `chunk` bytes to what a stream has unread.
    #[inline]
    pub(crate) fn push<S: Default>(
        &mut self,
        now: Instant,
        streams: &mut Streams<S>,
        slot: Slot,
        bytes: Bytes,
        chunk: usize,
    ) {
        let Some(stream) = streams.get_mut(slot) else { return };
        let queue = stream.incoming.get_or_insert_with(|| self.spares.take());
        self.unread += bytes.len();
        if !queue.is_fresh() {
            self.fresh.push(slot);
        }
        queue.push(now, &mut self.budget, bytes, chunk);
        if queue.magnitude.is_some() {
            self.list(streams, slot);
        }
    }

    /// Takes up to `max` bytes (one at least) of what a stream has unread, never more than one
    /// piece.
    #[inline]
    pub(crate) fn pop<S: Default>(
        &mut self,
        streams: &mut Streams<S>,
        slot: Slot,
        max: usize,
    ) -> Option<Taken> {
        let queue = streams.get_mut(slot)?.incoming.as_mut()?;
        let since = queue.since();
        let bytes = queue.pop(&mut self.budget, max)?;
        self.unread = self.unread.saturating_sub(bytes.len());
        let unread = queue.len();
        self.relist(streams, slot);
        Some(Taken { bytes, since, unread, pressure: self.pressure() })
    }

    /// Drops what a stream has unread; says how many bytes that were.
    pub(crate) fn clear<S: Default>(&mut self, streams: &mut Streams<S>, slot: Slot) -> usize {
        let Some(queue) = streams.get_mut(slot).and_then(|stream| stream.incoming.as_mut()) else {
            return 0;
        };
        let dropped = queue.clear(&mut self.budget);
        self.unread = self.unread.saturating_sub(dropped);
        self.relist(streams, slot);
        dropped
    }

    /// The stream that has most unread, to within a factor of two, and among such the one that has
    /// had so much for longest: the one to give up when memory is short.
    pub(crate) fn longest<S: Default>(&mut self, streams: &mut Streams<S>) -> Option<Slot> {
        while let Some(slot) = self.fresh.get(self.listed).copied() {
            self.listed += 1;
            self.list(streams, slot);
        }
        loop {
            let magnitude = self.magnitudes.checked_ilog2()? as u8;
            if let Some(slot) = streams.front(List::Unread(magnitude)) {
                return Some(slot);
            }
            self.magnitudes &= !(1 << magnitude);
        }
    }

    /// After something was taken: lists the stream anew where it is listed, and takes back a queue
    /// that is empty.
    #[inline]
    fn relist<S: Default>(&mut self, streams: &mut Streams<S>, slot: Slot) {
        let Some(stream) = streams.get_mut(slot) else { return };
        let Some(queue) = stream.incoming.as_ref() else { return };
        let (empty, listed) = (queue.is_empty(), queue.magnitude.is_some());
        if listed && empty {
            streams.unlink(slot, Kind::Unread);
        } else if listed {
            self.list(streams, slot);
        }
        if empty {
            let spare = streams.get_mut(slot).and_then(|stream| stream.incoming.take());
            if let Some(mut spare) = spare {
                spare.retire(&mut self.budget);
                self.spares.keep(spare);
            }
        }
    }

    /// Lists the stream by what it has now.
    fn list<S: Default>(&mut self, streams: &mut Streams<S>, slot: Slot) {
        let Some(stream) = streams.get_mut(slot) else { return };
        let Some(queue) = stream.incoming.as_mut() else { return };
        let magnitude = queue.charged().checked_ilog2().unwrap_or(0) as u8;
        let magnitude = magnitude.min(MAGNITUDES - 1);
        if queue.magnitude.replace(magnitude) == Some(magnitude) {
            return;
        }
        streams.unlink(slot, Kind::Unread);
        self.magnitudes |= 1 << magnitude;
        streams.push(List::Unread(magnitude), slot, Kind::Unread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::ORIGIN;

    #[test]
    fn streams_of_a_turn_are_remembered_once_and_not_beyond_it() {
        let (mut inbox, mut streams) = (Inbox::new(1 << 20), Streams::<()>::new(7));
        let slots = [2, 4].map(|id| streams.insert(id, false, ()).unwrap());
        for round in 0..3 {
            for _ in 0..50 {
                for slot in slots {
                    let bytes = Bytes::from_static(b"bytes");
                    inbox.push(NOW, &mut streams, slot, bytes, 5);
                }
            }
            assert!(inbox.fresh.len() <= 2, "{}", inbox.fresh.len());
            if round == 1 {
                inbox.next_turn(&mut streams);
            } else {
                inbox.next_turn_whole(&mut streams);
            }
            assert!(inbox.fresh.is_empty());
        }
        assert_eq!(inbox.unread(), 3 * 50 * 2 * 5);
    }

    #[test]
    fn the_longest_is_found_in_the_turn_in_which_it_came() {
        let (mut inbox, mut streams) = (Inbox::new(1 << 20), Streams::<()>::new(7));
        let slots = [2, 4, 6].map(|id| streams.insert(id, false, ()).unwrap());
        for (slot, len) in slots.into_iter().zip([100, 9_000, 700]) {
            inbox.push(NOW, &mut streams, slot, Bytes::from(std::vec![1; len]), len);
        }
        assert_eq!(inbox.longest(&mut streams), Some(slots[1]));
        while inbox.pop(&mut streams, slots[1], usize::MAX).is_some() {}
        assert_eq!(inbox.longest(&mut streams), Some(slots[2]));
        inbox.push(NOW, &mut streams, slots[1], Bytes::from(std::vec![1; 9_000]), 9_000);
        assert_eq!(inbox.longest(&mut streams), Some(slots[1]), "again, in the same turn");
    }
}
