//! What a link carries: bytes, or messages that stay whole.

use bytes::{Bytes, BytesMut};
use trunkline_core::Segment;

/// What a link carries: [`Bytes`] for byte machines, a message type for message machines.
///
/// This and [`Outgoing`] are all that a wire must bring to be simulated. Bytes are cut and joined
/// at will; a message sets [`CUTS`](Self::CUTS) to false and arrives as it was sent.
pub trait Freight: Sized {
    /// Whether it may be cut into pieces and joined with what follows.
    const CUTS: bool;

    /// How many bytes of a link it takes.
    fn size(&self) -> usize;

    /// Takes the first `most` bytes off. Called only where it may be cut.
    #[must_use]
    fn cut(&mut self, most: usize) -> Self;

    /// Makes one piece of several. Called only where they may be joined, with two at least.
    #[must_use]
    fn join(pieces: Vec<Self>) -> Self;
}

impl Freight for Bytes {
    const CUTS: bool = true;

    fn size(&self) -> usize {
        self.len()
    }

    fn cut(&mut self, most: usize) -> Self {
        self.split_to(most.min(self.len()))
    }

    fn join(pieces: Vec<Self>) -> Self {
        let mut whole = BytesMut::with_capacity(pieces.iter().map(Self::len).sum());
        for piece in pieces {
            whole.extend_from_slice(&piece);
        }
        whole.freeze()
    }
}

/// What leaves a machine, as the link takes it.
pub trait Outgoing {
    /// What the link takes.
    type Freight: Freight;

    /// Makes it what the link takes.
    fn load(self) -> Self::Freight;
}

impl Outgoing for Segment {
    type Freight = Bytes;

    fn load(self) -> Bytes {
        self.into_bytes()
    }
}
