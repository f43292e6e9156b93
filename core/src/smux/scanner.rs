//! Heads and payloads out of bytes that arrive in any pieces.

use alloc::collections::VecDeque;

use bytes::{Buf as _, Bytes};

use super::frame::{HEAD, Head, Version};
use super::violation::Violation;

/// Cuts a stream of bytes into heads and slices of payload, none of which is copied.
///
/// After a head its payload must be taken, all of it, before the next head shows.
#[derive(Debug)]
pub(super) struct Scanner {
    /// What arrived and was not looked at; none of them empty.
    chunks: VecDeque<Chunk>,
    /// Bytes in `chunks`.
    waiting: usize,
    /// The head that is being read, and how much of it there is.
    head: [u8; HEAD],
    have: usize,
    /// Payload bytes of the current frame that were not taken.
    missing: usize,
    /// Bytes taken from the stream's beginning.
    position: u64,
}

/// A chunk, and how long it was when it came.
#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    pinned: usize,
}

impl Scanner {
    pub(super) const fn new() -> Self {
        Self {
            chunks: VecDeque::new(),
            waiting: 0,
            head: [0; HEAD],
            have: 0,
            missing: 0,
            position: 0,
        }
    }

    /// Appends what arrived.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.waiting = self.waiting.saturating_add(bytes.len());
            self.chunks.push_back(Chunk { pinned: bytes.len(), bytes });
        }
    }

    /// The next head, once its eight bytes are there and the payload before it was taken.
    #[inline]
    pub(super) fn head(&mut self, version: Option<Version>) -> Option<Result<Head, Violation>> {
        if self.missing > 0 {
            return None;
        }
        let bytes = match self.chunks.front_mut() {
            // The usual case: all of it lies in the current chunk.
            Some(chunk) if self.have == 0 && chunk.bytes.len() > HEAD => {
                let mut head = [0; HEAD];
                chunk.bytes.copy_to_slice(&mut head);
                self.waiting -= HEAD;
                self.position += HEAD as u64;
                head
            }
            _ => self.pieced_head()?,
        };
        let head = Head::parse(bytes, version);
        self.missing = head.map_or(0, |head| usize::from(head.length));
        Some(head)
    }

    /// A head that may lie in several chunks.
    #[cold]
    fn pieced_head(&mut self) -> Option<[u8; HEAD]> {
        while self.have < HEAD {
            let piece = self.take(HEAD - self.have)?;
            let to = self.head.iter_mut().skip(self.have);
            to.zip(&piece).for_each(|(to, byte)| *to = *byte);
            self.have += piece.len();
        }
        self.have = 0;
        Some(self.head)
    }

    /// A slice of the current frame's payload, up to `max` bytes; `None` when none is there, or none
    /// is missing.
    #[inline]
    pub(super) fn payload(&mut self, max: usize) -> Option<Bytes> {
        let max = self.missing.min(max);
        if max == 0 {
            return None;
        }
        let piece = self.take(max)?;
        self.missing -= piece.len();
        Some(piece)
    }

    /// Takes up to `max` bytes, one at least, off the first chunk.
    #[inline]
    fn take(&mut self, max: usize) -> Option<Bytes> {
        let chunk = self.chunks.front_mut()?;
        let piece = if chunk.bytes.len() > max {
            chunk.bytes.split_to(max)
        } else {
            self.chunks.pop_front()?.bytes
        };
        self.waiting = self.waiting.saturating_sub(piece.len());
        self.position = self.position.saturating_add(piece.len() as u64);
        Some(piece)
    }

    /// How long the chunk was that the next byte lies in.
    pub(super) fn pinned(&self) -> usize {
        self.chunks.front().map_or(0, |chunk| chunk.pinned)
    }

    /// Payload bytes of the current frame that were not taken.
    pub(super) const fn missing(&self) -> usize {
        self.missing
    }

    /// Bytes that were pushed and not taken.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Bytes taken so far.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Whether a frame was begun and is not whole.
    pub(super) const fn mid_frame(&self) -> bool {
        self.have > 0 || self.missing > 0
    }

    /// Drops everything that waits.
    pub(super) fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.waiting = 0;
    }
}
