//! Bytes that wait, in the pieces they came in.

use alloc::collections::VecDeque;
use bytes::{Bytes, BytesMut};

/// Pieces below this size are worth joining whatever they pin.
const SMALL: usize = 512;

/// The most bytes that joined pieces grow to.
const JOINED: usize = 64 << 10;

/// The most pieces that wait for the end of their turn; a huge chunk may hold very many.
const MOST_FRESH: usize = 4_096;

/// Bytes that wait to be read or sent, in the pieces they came in.
///
/// A piece is a slice of the chunk that the transport delivered, and keeps that whole chunk in
/// memory. So that a tiny payload never pins a large chunk for long, [`compact`](Self::compact) is
/// called once a turn: what is still there and small against its chunk moves into memory of its
/// own, neighbours joined.
#[derive(Debug, Default)]
pub struct ByteQueue {
    pieces: VecDeque<Piece>,
    len: usize,
    /// How many pieces at the back were pushed since the last `compact`.
    fresh: usize,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// Bytes of memory that the piece keeps alive.
    pinned: usize,
    /// Made by `compact`, and may still grow.
    joined: bool,
}

impl Piece {
    /// Whether `other`, which came later, is of the same chunk, as far as addresses tell.
    fn shares_chunk(&self, other: &Self) -> bool {
        let (one, two) = (self.bytes.as_ptr() as usize, other.bytes.as_ptr() as usize);
        !self.joined && self.pinned == other.pinned && two > one && two - one < self.pinned
    }
}

impl ByteQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { pieces: VecDeque::new(), len: 0, fresh: 0 }
    }

    /// Bytes in the queue.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the queue has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Pieces in the queue.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Appends a piece that is part of a chunk of `pinned` bytes; an empty one leaves no trace.
    pub fn push(&mut self, bytes: Bytes, pinned: usize) {
        if bytes.is_empty() {
            return;
        }
        self.len += bytes.len();
        self.fresh += 1;
        self.pieces.push_back(Piece { bytes, pinned, joined: false });
        if self.fresh >= MOST_FRESH {
            self.compact();
        }
    }

    /// Takes up to `max` bytes (one at least) off the front, never more than one piece; `None` when
    /// empty.
    pub fn pop(&mut self, max: usize) -> Option<Bytes> {
        let max = max.max(1);
        let front = self.pieces.front_mut()?;
        let bytes = if front.bytes.len() > max {
            front.bytes.split_to(max)
        } else {
            let piece = self.pieces.pop_front()?;
            self.fresh = self.fresh.min(self.pieces.len());
            piece.bytes
        };
        self.len -= bytes.len();
        Some(bytes)
    }

    /// Discards everything and says how many bytes that were.
    pub fn clear(&mut self) -> usize {
        self.pieces = VecDeque::new();
        self.fresh = 0;
        core::mem::take(&mut self.len)
    }

    /// Frees the chunks that small pieces of the last turn pin, by copying those pieces together.
    pub fn compact(&mut self) {
        let fresh = core::mem::take(&mut self.fresh).min(self.pieces.len());
        if fresh == 0 {
            return;
        }
        let recent = self.pieces.split_off(self.pieces.len() - fresh);
        let mut joined = BytesMut::new();
        let mut rest = recent.into_iter().peekable();
        while let Some(first) = rest.next() {
            // What keeps a chunk alive counts together: pieces that fill half of it do not waste it.
            let mut group = VecDeque::from([first]);
            while let Some(next) =
                rest.next_if(|next| group.front().is_some_and(|first| first.shares_chunk(next)))
            {
                group.push_back(next);
            }
            let held: usize = group.iter().map(|piece| piece.bytes.len()).sum();
            let pinned = group.front().map_or(0, |first| first.pinned);
            for piece in group {
                if piece.bytes.len() < SMALL || held.saturating_mul(2) < pinned {
                    joined.extend_from_slice(&piece.bytes);
                    continue;
                }
                self.settle(&mut joined);
                self.pieces.push_back(piece);
            }
        }
        self.settle(&mut joined);
    }

    /// Puts joined bytes at the back: into the joined piece that is there, if it can grow.
    fn settle(&mut self, joined: &mut BytesMut) {
        if joined.is_empty() {
            return;
        }
        let bytes = joined.split();
        if let Some(last) = self.pieces.back_mut()
            && last.joined
            && last.bytes.len() + bytes.len() <= JOINED
            && let Ok(mut grown) =
                core::mem::take(&mut last.bytes).try_into_mut().map_err(|kept| last.bytes = kept)
        {
            grown.extend_from_slice(&bytes);
            last.bytes = grown.freeze();
            last.pinned = last.bytes.len();
            return;
        }
        let bytes = bytes.freeze();
        self.pieces.push_back(Piece { pinned: bytes.len(), bytes, joined: true });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_and_at_most_one_piece_at_a_time() {
        let mut queue = ByteQueue::new();
        queue.push(Bytes::from_static(b"abc"), 3);
        queue.push(Bytes::new(), 10);
        queue.push(Bytes::from_static(b"de"), 2);
        assert_eq!(queue.len(), 5);
        assert_eq!(queue.pop(2).unwrap(), "ab");
        assert_eq!(queue.pop(9).unwrap(), "c");
        assert_eq!(queue.pop(9).unwrap(), "de");
        assert_eq!(queue.pop(9), None);
        assert!(queue.is_empty());
    }

    #[test]
    fn compacting_joins_small_pieces_and_leaves_large_ones() {
        let chunk = Bytes::from(std::vec![7; 1000]);
        let mut queue = ByteQueue::new();
        queue.push(chunk.slice(0..10), 1000);
        queue.compact();
        queue.push(chunk.slice(10..20), 1000);
        queue.push(chunk.slice(20..900), 1000);
        queue.push(chunk.slice(900..901), 1000);
        queue.compact();
        assert_eq!(queue.len(), 901);
        let sizes: std::vec::Vec<usize> =
            core::iter::from_fn(|| queue.pop(usize::MAX)).map(|b| b.len()).collect();
        assert_eq!(sizes, [20, 880, 1]);
    }

    #[test]
    fn pieces_that_fill_their_chunk_together_stay_where_they_are() {
        let chunk = Bytes::from(std::vec![7; 4000]);
        let pieces = [chunk.slice(0..1000), chunk.slice(1000..1900), chunk.slice(2000..2600)];
        let mut queue = ByteQueue::new();
        for piece in &pieces {
            queue.push(piece.clone(), 4000);
        }
        queue.compact();
        for piece in &pieces {
            assert_eq!(queue.pop(usize::MAX).unwrap().as_ptr(), piece.as_ptr());
        }
        queue.push(pieces[0].clone(), 4000);
        queue.compact();
        assert_ne!(queue.pop(usize::MAX).unwrap().as_ptr(), pieces[0].as_ptr());
    }
}
