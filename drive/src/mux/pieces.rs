//! Pieces of a stream, on their way from the lock to whoever reads.

use bytes::Bytes;

/// Pieces that one read gathers.
const PIECES: usize = 8;

/// Pieces of a stream, taken out under the lock and copied outside of it.
#[derive(Debug)]
pub(super) struct Pieces {
    // Empty places are cheaper to make and to drop than empty pieces.
    pieces: [Option<Bytes>; PIECES],
    count: usize,
}

impl Pieces {
    pub(super) const fn new() -> Self {
        Self { pieces: [const { None }; PIECES], count: 0 }
    }

    /// Takes one more; says whether there is room for another.
    pub(super) fn push(&mut self, bytes: Bytes) -> bool {
        if let Some(slot) = self.pieces.get_mut(self.count) {
            *slot = Some(bytes);
            self.count += 1;
        }
        self.count < PIECES
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter().take(self.count).flatten()
    }
}
