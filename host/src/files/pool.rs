//! Buffers that files are read into, used again once what was read is gone.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// The most free buffers that are kept.
const KEPT: usize = 8;

/// The smallest buffer: what is smaller costs no page faults worth saving.
const SMALLEST: usize = 64 << 10;

/// Free buffers, shared by all who read.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Pool {
    /// A buffer with room for `room` bytes at least, none of them filled.
    pub(super) fn take(&self, room: usize) -> Buffer {
        let size = room.max(SMALLEST).next_power_of_two();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        // The one used last is still in the cache.
        let kept =
            free.iter().rposition(|bytes| bytes.len() == size).map(|at| free.swap_remove(at));
        drop(free);
        Buffer { bytes: kept.unwrap_or_else(|| vec![0; size]), filled: 0, pool: self.clone() }
    }
}

/// A buffer that goes back to its pool when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Always the whole buffer, so that nothing has to be cleared before it is read into.
    bytes: Vec<u8>,
    filled: usize,
    pool: Pool,
}

impl Buffer {
    /// The room behind what is filled, up to `end` in all.
    pub(super) fn room(&mut self, end: usize) -> &mut [u8] {
        self.bytes.get_mut(self.filled..end).unwrap_or_default()
    }

    /// Takes `count` more bytes as filled.
    pub(super) fn fill(&mut self, count: usize) {
        self.filled = self.filled.saturating_add(count).min(self.bytes.len());
    }

    /// How many bytes are filled.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// What is filled. A little is copied, so that it does not hold on to a large buffer; else the
    /// buffer comes back when the bytes are dropped.
    pub(super) fn freeze(self) -> Bytes {
        if self.filled < self.bytes.len() / 4 {
            return Bytes::copy_from_slice(self.as_ref());
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pool: &Pool, room: usize, count: usize) -> Bytes {
        let mut buffer = pool.take(room);
        buffer.room(count).fill(7);
        buffer.fill(count);
        buffer.freeze()
    }

    #[test]
    fn a_buffer_is_used_again_once_its_bytes_are_gone() {
        let pool = Pool::default();
        let first = read(&pool, 512 << 10, 512 << 10);
        let at = first.as_ptr();
        assert_ne!(read(&pool, 512 << 10, 512 << 10).as_ptr(), at);
        drop(first);
        assert_eq!(read(&pool, 512 << 10, 300 << 10).as_ptr(), at);
    }

    #[test]
    fn a_few_bytes_hold_no_buffer() {
        let pool = Pool::default();
        let few = read(&pool, 1 << 20, 4 << 10);
        assert_eq!((few.len(), pool.free.lock().unwrap().len()), (4 << 10, 1));
        assert!(few.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn only_some_free_buffers_are_kept() {
        let pool = Pool::default();
        let all: Vec<Buffer> = (0..3 * KEPT).map(|_| pool.take(1)).collect();
        drop(all);
        assert_eq!(pool.free.lock().unwrap().len(), KEPT);
    }
}
