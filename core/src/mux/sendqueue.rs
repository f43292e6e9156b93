//! What one stream has written and not sent.

use alloc::collections::VecDeque;
use bytes::Bytes;

use super::spares::Queue;

/// Written pieces of one stream, in order, with the boundaries of the writes kept.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    pieces: VecDeque<Bytes>,
    len: usize,
}

impl SendQueue {
    /// Bytes that wait.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends what one write brought; an empty one leaves no trace.
    #[inline]
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.len += bytes.len();
            self.pieces.push_back(bytes);
        }
    }

    /// Takes the payload of the next frame: up to `most` bytes of the first write (one at least),
    /// never of two. The flag tells whether the write ends with them.
    #[inline]
    pub(crate) fn take(&mut self, most: usize) -> Option<(Bytes, bool)> {
        let front = self.pieces.front_mut()?;
        let most = most.max(1);
        let (bytes, whole) = if front.len() > most {
            (front.split_to(most), false)
        } else {
            (self.pieces.pop_front()?, true)
        };
        self.len = self.len.saturating_sub(bytes.len());
        Some((bytes, whole))
    }

    /// Drops everything; says how many bytes and how many pieces that were.
    pub(crate) fn clear(&mut self) -> (usize, usize) {
        let pieces = self.pieces.len();
        self.pieces.clear();
        (core::mem::take(&mut self.len), pieces)
    }
}

impl Queue for SendQueue {
    fn capacity(&self) -> usize {
        self.pieces.capacity()
    }
}
