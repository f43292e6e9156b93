//! What was handed in and not looked at yet.

use alloc::collections::VecDeque;

use bytes::Bytes;

/// Pieces in the order in which they came; one alone needs no memory.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    front: Bytes,
    rest: VecDeque<Bytes>,
}

impl Pieces {
    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if self.front.is_empty() {
            self.front = bytes;
        } else {
            self.rest.push_back(bytes);
        }
    }

    /// The first piece, which is empty only where nothing is left.
    pub(super) fn front(&mut self) -> &mut Bytes {
        if self.front.is_empty()
            && let Some(next) = self.rest.pop_front()
        {
            self.front = next;
        }
        &mut self.front
    }

    /// Takes up to `max` bytes of the first piece; `None` where nothing is left.
    pub(super) fn take(&mut self, max: u64) -> Option<Bytes> {
        let front = self.front();
        let len = usize::try_from(max).unwrap_or(usize::MAX).min(front.len());
        (len > 0).then(|| front.split_to(len))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.rest.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
