//! One wire frame on its way out.

use bytes::{Bytes, BytesMut};

/// Exactly one wire frame on its way out: an inline head, a shared body, an inline tail.
///
/// Head and tail hold what the codec writes around a payload, the body is the caller's own bytes
/// and is never copied. [`slices`](Self::slices) gives the three parts for a vectored write. A
/// frame that carries no payload of its own may stand wholly in the body.
///
/// One segment is one frame: transports that keep frame boundaries rely on it.
#[derive(Clone)]
pub struct Segment {
    head: [u8; Self::HEAD],
    head_len: u8,
    tail_len: u8,
    tail: [u8; Self::TAIL],
    body: Bytes,
}

impl Segment {
    /// Bytes that fit before the body.
    pub const HEAD: usize = 24;
    /// Bytes that fit after the body (CBOR writes keys after the payload).
    pub const TAIL: usize = 40;

    /// A frame that stands wholly in `body`.
    #[must_use]
    #[inline]
    pub const fn whole(body: Bytes) -> Self {
        Self { head: [0; Self::HEAD], head_len: 0, tail_len: 0, tail: [0; Self::TAIL], body }
    }

    /// A frame made of `head`, `body` and `tail`, or `None` when head or tail are too long.
    #[must_use]
    pub fn new(head: &[u8], body: Bytes, tail: &[u8]) -> Option<Self> {
        let mut segment = Self::whole(body);
        segment.head.get_mut(..head.len())?.copy_from_slice(head);
        segment.tail.get_mut(..tail.len())?.copy_from_slice(tail);
        segment.head_len = u8::try_from(head.len()).ok()?;
        segment.tail_len = u8::try_from(tail.len()).ok()?;
        Some(segment)
    }

    /// Writes head and tail in place, by a function that says how many bytes of each count.
    #[inline]
    pub(crate) fn frame(
        &mut self,
        write: impl FnOnce(&Bytes, &mut [u8; Self::HEAD], &mut [u8; Self::TAIL]) -> (u8, u8),
    ) {
        (self.head_len, self.tail_len) = write(&self.body, &mut self.head, &mut self.tail);
    }

    /// The frame's three parts, in order; any of them may be empty.
    #[must_use]
    pub fn slices(&self) -> [&[u8]; 3] {
        [
            self.head.get(..usize::from(self.head_len)).unwrap_or_default(),
            &self.body,
            self.tail.get(..usize::from(self.tail_len)).unwrap_or_default(),
        ]
    }

    /// The parts by value; only head and tail are copied.
    pub(crate) fn into_parts(self) -> [Bytes; 3] {
        let [head, _, tail] = self.slices();
        let (head, tail) = (Bytes::copy_from_slice(head), Bytes::copy_from_slice(tail));
        [head, self.body, tail]
    }

    /// The frame's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.head_len) + self.body.len() + usize::from(self.tail_len)
    }

    /// Whether the frame has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole frame in one piece; copies unless it stands wholly in its body.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.head_len == 0 && self.tail_len == 0 {
            return self.body;
        }
        let mut whole = BytesMut::with_capacity(self.len());
        for part in self.slices() {
            whole.extend_from_slice(part);
        }
        whole.freeze()
    }
}

impl core::fmt::Debug for Segment {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Segment").field("len", &self.len()).finish_non_exhaustive()
    }
}
