//! What one stream has received and nobody has read.

use bytes::Bytes;

use crate::{Budget, ByteQueue, Instant};

/// Memory that a queued piece costs beside its bytes, at most.
const PIECE: usize = 96;

/// Received pieces of one stream, in order, charged to the connection's budget.
#[derive(Debug, Default)]
pub(crate) struct ReceiveQueue {
    queue: ByteQueue,
    charged: usize,
    /// When the first of what is there now arrived.
    since: Instant,
    /// The order of magnitude under which the stream is listed as unread.
    pub(super) magnitude: u8,
}

impl ReceiveQueue {
    /// Bytes that wait.
    pub(crate) const fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Memory counted against the budget for it.
    pub(crate) const fn charged(&self) -> usize {
        self.charged
    }

    /// When the oldest byte arrived, as far as known: what is here waits since then at the longest.
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn push(&mut self, now: Instant, budget: &mut Budget, bytes: Bytes, chunk: usize) {
        if self.queue.is_empty() {
            self.since = now;
        }
        self.queue.push(bytes, chunk);
        self.recharge(budget);
    }

    pub(super) fn pop(&mut self, budget: &mut Budget, max: usize) -> Option<Bytes> {
        let bytes = self.queue.pop(max)?;
        self.recharge(budget);
        Some(bytes)
    }

    pub(super) fn clear(&mut self, budget: &mut Budget) -> usize {
        let dropped = self.queue.clear();
        self.recharge(budget);
        dropped
    }

    pub(super) fn compact(&mut self, budget: &mut Budget) {
        self.queue.compact();
        self.recharge(budget);
    }

    fn recharge(&mut self, budget: &mut Budget) {
        let due = self.queue.len() + self.queue.pieces() * PIECE;
        budget.release(self.charged);
        budget.charge(due);
        self.charged = due;
    }
}
