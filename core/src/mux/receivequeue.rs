//! What one stream has received and nobody has read.

use alloc::collections::VecDeque;
use bytes::Bytes;

use super::lists::Link;
use super::spares::Queue;
use crate::{Budget, Instant};

/// Below so many bytes of a turn their chunk is never kept, but copied from.
const WORTH: usize = 16 << 10;

/// Pieces that are smaller on average are joined, whatever they fill.
const SMALL: usize = 512;

/// The most bytes that joined pieces grow to.
const JOINED: usize = 64 << 10;

/// The most pieces that wait for the end of their turn.
const MOST_FRESH: u32 = 512;

/// What a block of memory costs beside its bytes.
const BLOCK: usize = 64;

/// Received pieces of one stream, in order, charged to the connection's budget with all that they
/// keep in memory.
///
/// A piece is a slice of the chunk that the transport delivered and keeps all of it alive. That is
/// fine within a turn, in which most of it is read. What is left at the [end of the
/// turn](Self::settle) stays where it is only if it is most of its chunk; otherwise it moves into
/// memory of its own, joined to what is there already.
#[derive(Debug)]
pub(crate) struct ReceiveQueue {
    pieces: VecDeque<Piece>,
    len: usize,
    charged: usize,
    /// Pieces at the back that came in this turn, and their bytes.
    fresh: u32,
    fresh_len: usize,
    /// The chunks in which they lie.
    chunks: usize,
    /// When the first of what is there came, and the first of this turn.
    since: Instant,
    fresh_since: Instant,
    /// Its place among the unread streams.
    pub(super) link: Link,
    pub(super) magnitude: Option<u8>,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// Memory that goes with the piece beside its bytes.
    beside: usize,
    /// Made by joining, and may still grow.
    joined: bool,
}

impl Default for ReceiveQueue {
    fn default() -> Self {
        Self {
            pieces: VecDeque::new(),
            len: 0,
            charged: 0,
            fresh: 0,
            fresh_len: 0,
            chunks: 0,
            since: Instant::ORIGIN,
            fresh_since: Instant::ORIGIN,
            link: Link::OUT,
            magnitude: None,
        }
    }
}

impl Queue for ReceiveQueue {
    fn capacity(&self) -> usize {
        self.pieces.capacity()
    }
}

impl ReceiveQueue {
    /// Bytes that wait.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory counted against the budget for it.
    pub(crate) const fn charged(&self) -> usize {
        self.charged
    }

    /// Whether some of it came in this turn.
    pub(super) const fn is_fresh(&self) -> bool {
        self.fresh > 0
    }

    /// What is here came then, or later.
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// Appends a slice of a chunk of `chunk` bytes that came now; an empty one leaves no trace.
    #[inline]
    pub(super) fn push(&mut self, now: Instant, budget: &mut Budget, bytes: Bytes, chunk: usize) {
        if bytes.is_empty() {
            return;
        }
        if self.pieces.is_empty() {
            self.since = now;
        }
        if self.fresh == 0 {
            self.fresh_since = now;
        }
        self.len += bytes.len();
        self.fresh += 1;
        self.fresh_len += bytes.len();
        self.chunks = self.chunks.max(chunk);
        // What it is itself counts from its first byte on.
        let before = if self.charged == 0 { 0 } else { self.overhead() };
        let cost = bytes.len();
        self.pieces.push_back(Piece { bytes, beside: 0, joined: false });
        self.charge(budget, cost + self.overhead() - before);
        if self.fresh >= MOST_FRESH {
            self.settle(budget);
        }
    }

    /// Takes up to `max` bytes (one at least) off the front, never more than one piece.
    #[inline]
    pub(super) fn pop(&mut self, budget: &mut Budget, max: usize) -> Option<Bytes> {
        let front = self.pieces.front_mut()?;
        let max = max.max(1);
        let (bytes, beside) = if front.bytes.len() > max {
            (front.bytes.split_to(max), 0)
        } else {
            let piece = self.pieces.pop_front()?;
            (piece.bytes, piece.beside)
        };
        self.len = self.len.saturating_sub(bytes.len());
        self.release(budget, bytes.len() + beside);
        let left = self.pieces.len();
        if left <= self.fresh as usize {
            self.since = self.fresh_since;
            self.fresh = u32::try_from(left).unwrap_or(u32::MAX);
            self.fresh_len = self.len;
        }
        Some(bytes)
    }

    /// Drops everything; says how many bytes that were.
    pub(super) fn clear(&mut self, budget: &mut Budget) -> usize {
        self.pieces = VecDeque::new();
        budget.release(core::mem::take(&mut self.charged));
        (self.fresh, self.fresh_len, self.chunks) = (0, 0, 0);
        core::mem::take(&mut self.len)
    }

    /// The turn is over: what it left must not pin more than it is.
    pub(super) fn settle(&mut self, budget: &mut Budget) {
        let fresh = core::mem::take(&mut self.fresh) as usize;
        let len = core::mem::take(&mut self.fresh_len);
        let chunk = core::mem::take(&mut self.chunks);
        if fresh == 0 {
            return;
        }
        if len >= WORTH && len / fresh >= SMALL && len.saturating_mul(2) >= chunk {
            // All of the chunk is alive until the last of its pieces is gone.
            let beside = chunk.saturating_sub(len) + BLOCK;
            if let Some(last) = self.pieces.back_mut() {
                last.beside += beside;
                self.charge(budget, beside);
            }
            return;
        }
        let kept = self.pieces.len().saturating_sub(fresh);
        let tail = kept.checked_sub(1).and_then(|last| self.pieces.get_mut(last));
        let left = budget.left();
        let tail = tail.filter(|tail| {
            let total = tail.bytes.len() + len;
            // A block that grows doubles, and many may do so in one turn: not where memory is short.
            let grows = tail.beside < len + BLOCK;
            tail.joined && total <= JOINED && (!grows || left > total.saturating_mul(2))
        });
        let mut joined = bytes::BytesMut::new();
        let mut beside = 0;
        let mut grows = false;
        if let Some(tail) = tail {
            match core::mem::take(&mut tail.bytes).try_into_mut() {
                Ok(own) => (joined, beside, grows) = (own, tail.beside, true),
                // A reader still holds a part of it.
                Err(shared) => tail.bytes = shared,
            }
        }
        joined.reserve(len);
        for piece in self.pieces.range(kept..) {
            joined.extend_from_slice(&piece.bytes);
        }
        self.pieces.truncate(if grows { kept.saturating_sub(1) } else { kept });
        self.release(budget, beside);
        let beside = joined.capacity().saturating_sub(joined.len()) + BLOCK;
        self.charge(budget, beside);
        self.pieces.push_back(Piece { bytes: joined.freeze(), beside, joined: true });
    }

    /// Empty, and nothing charged: it leaves its stream.
    pub(super) fn retire(&mut self, budget: &mut Budget) {
        budget.release(core::mem::take(&mut self.charged));
        (self.fresh, self.fresh_len, self.chunks) = (0, 0, 0);
        (self.link, self.magnitude) = (Link::OUT, None);
    }

    #[inline]
    fn overhead(&self) -> usize {
        size_of::<Self>() + self.pieces.capacity() * size_of::<Piece>()
    }

    #[inline]
    fn charge(&mut self, budget: &mut Budget, bytes: usize) {
        self.charged += bytes;
        budget.charge(bytes);
    }

    #[inline]
    fn release(&mut self, budget: &mut Budget, bytes: usize) {
        let bytes = bytes.min(self.charged);
        self.charged -= bytes;
        budget.release(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const NOW: Instant = Instant::ORIGIN;

    fn chunk(len: usize) -> Bytes {
        Bytes::from((0..len).map(|i| (i * 7 + i / 256) as u8).collect::<Vec<_>>())
    }

    #[test]
    fn a_small_piece_does_not_pin_its_chunk_beyond_the_turn() {
        let (mut queue, mut budget) = (ReceiveQueue::default(), Budget::new(1 << 20));
        let large = chunk(1 << 18);
        queue.push(NOW, &mut budget, large.slice(100..110), large.len());
        queue.settle(&mut budget);
        assert!(large.is_unique(), "the chunk is still held");
        assert_eq!(queue.pop(&mut budget, 99).unwrap(), large.slice(100..110));
    }

    #[test]
    fn what_fills_its_chunk_stays_where_it_is_and_is_charged_for_all_of_it() {
        let (mut queue, mut budget) = (ReceiveQueue::default(), Budget::new(1 << 20));
        let large = chunk(100_000);
        queue.push(NOW, &mut budget, large.slice(..40_000), large.len());
        queue.push(NOW, &mut budget, large.slice(50_000..70_000), large.len());
        queue.settle(&mut budget);
        assert!(budget.used() >= 100_000);
        let first = queue.pop(&mut budget, usize::MAX).unwrap();
        assert_eq!(first.as_ptr(), large.as_ptr());
        assert!(budget.used() >= 60_000);
        queue.pop(&mut budget, usize::MAX).unwrap();
        assert!(budget.used() < 2_000);
    }

    #[test]
    fn a_trickle_is_joined_into_one_piece() {
        let (mut queue, mut budget) = (ReceiveQueue::default(), Budget::new(1 << 20));
        for byte in 0..200_u8 {
            queue.push(NOW, &mut budget, Bytes::copy_from_slice(&[byte]), 1);
            queue.settle(&mut budget);
        }
        assert!(budget.used() < 1_500, "{}", budget.used());
        let all = queue.pop(&mut budget, usize::MAX).unwrap();
        assert_eq!(all, (0..200).collect::<Vec<u8>>());
        queue.retire(&mut budget);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn the_time_is_that_of_the_oldest_turn_that_is_left() {
        let (mut queue, mut budget) = (ReceiveQueue::default(), Budget::new(1 << 20));
        let (one, two) = (Instant::from_millis(1), Instant::from_millis(2));
        queue.push(one, &mut budget, chunk(5), 5);
        queue.settle(&mut budget);
        queue.push(two, &mut budget, chunk(5), 5);
        assert_eq!(queue.since(), one);
        queue.pop(&mut budget, 5).unwrap();
        assert_eq!(queue.since(), two);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push(usize, usize),
        Pop(usize),
        Settle,
        Clear,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => (0..70_000_usize, 0..70_000_usize).prop_map(|(from, to)| Op::Push(from, to)),
            3 => (0..3_usize, 0..3_000_usize).prop_map(|(from, len)| Op::Push(from, from + len)),
            6 => (0..50_000_usize).prop_map(Op::Pop),
            3 => Just(Op::Settle),
            1 => Just(Op::Clear),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 2 } else { 128 }, ..ProptestConfig::default()
        })]
        #[test]
        fn it_behaves_as_a_plain_queue_and_never_holds_more_than_it_charges(
            ops in proptest::collection::vec(op(), 0..60)
        ) {
            let (mut queue, mut budget) = (ReceiveQueue::default(), Budget::new(usize::MAX));
            let mut model: Vec<u8> = Vec::new();
            let large = chunk(70_000);
            for op in ops {
                match op {
                    Op::Push(from, to) => {
                        let piece = large.slice(from.min(to)..to.max(from));
                        model.extend_from_slice(&piece);
                        queue.push(NOW, &mut budget, piece, large.len());
                    }
                    Op::Pop(max) => match queue.pop(&mut budget, max) {
                        Some(bytes) => {
                            prop_assert!(!bytes.is_empty() && bytes.len() <= max.max(1));
                            let rest = model.split_off(bytes.len());
                            prop_assert!(model == bytes);
                            model = rest;
                        }
                        None => prop_assert!(model.is_empty()),
                    },
                    Op::Settle => queue.settle(&mut budget),
                    Op::Clear => {
                        prop_assert_eq!(queue.clear(&mut budget), model.len());
                        model.clear();
                        prop_assert_eq!(budget.used(), 0);
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert!(budget.used() >= queue.len());
                prop_assert_eq!(budget.used(), queue.charged());
            }
        }
    }
}
