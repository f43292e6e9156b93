//! Queues of streams that have nothing queued, kept so that messages allocate nothing.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// The most queues that are kept: as many streams can have something queued at a time, again and
/// again, without an allocation.
const MOST: usize = 256;

/// The most pieces that one of them has room for, and all of them together: that bounds the memory
/// that is kept.
const MOST_EACH: usize = 64;
const MOST_PIECES: usize = 1 << 10;

/// A queue that can be kept.
pub(super) trait Queue: Default {
    /// Pieces that it has memory for.
    fn capacity(&self) -> usize;
}

/// Empty queues of one kind.
#[derive(Debug)]
pub(super) struct Spares<Q> {
    // Boxes on purpose: what moves between here and a stream is a pointer.
    #[allow(clippy::vec_box)]
    queues: Vec<Box<Q>>,
    pieces: usize,
}

impl<Q: Queue> Spares<Q> {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self { queues: Vec::new(), pieces: 0 }
    }

    /// An empty queue.
    #[inline]
    pub(super) fn take(&mut self) -> Box<Q> {
        let Some(queue) = self.queues.pop() else { return Box::default() };
        self.pieces = self.pieces.saturating_sub(queue.capacity());
        queue
    }

    /// Keeps an empty queue, where there is room for it.
    #[inline]
    pub(super) fn keep(&mut self, queue: Box<Q>) {
        let pieces = self.pieces + queue.capacity();
        let roomy = queue.capacity() > MOST_EACH || pieces > MOST_PIECES;
        if self.queues.len() < MOST && !roomy {
            self.pieces = pieces;
            self.queues.push(queue);
        }
    }

    /// Memory of the list itself, in bytes.
    pub(super) const fn memory(&self) -> usize {
        self.queues.capacity() * size_of::<Box<Q>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Roomy(usize);

    impl Queue for Roomy {
        fn capacity(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn what_is_kept_comes_back_and_is_bounded_in_number_and_room() {
        let mut spares = Spares::new();
        (0..2 * MOST).for_each(|_| spares.keep(Box::new(Roomy(1))));
        assert_eq!((spares.queues.len(), spares.pieces), (MOST, MOST));
        assert_eq!(spares.take().0, 1);
        spares.keep(Box::new(Roomy(MOST_EACH + 1)));
        assert_eq!(spares.queues.len(), MOST - 1, "too roomy");
        (1..MOST).for_each(|_| assert_eq!(spares.take().0, 1));
        assert_eq!((spares.take().0, spares.pieces), (0, 0), "a new one");
    }
}
