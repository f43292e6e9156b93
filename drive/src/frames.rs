//! Frames whose payload stands in a caller's slices.

use std::io::IoSlice;

use trunkline_core::Segment;
use trunkline_core::mux::Reserved;

/// Most frames of one write.
pub(crate) const MOST_FRAMES: usize = 4;

/// Most bytes of payload of one write: others want their turn.
const MOST_BYTES: usize = 64 << 10;

/// Frames that were reserved one after the other for one write of a caller: their heads, and how
/// much of the payload stands behind each.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    heads: [Option<Segment>; MOST_FRAMES],
    lens: [usize; MOST_FRAMES],
    count: usize,
    payload: usize,
    bytes: usize,
}

impl Frames {
    /// As many frames for up to `total` bytes as `reserve` gives.
    pub(crate) fn reserve(
        total: usize,
        mut reserve: impl FnMut(usize) -> Option<Reserved>,
    ) -> Self {
        let mut frames = Self::default();
        let total = total.min(MOST_BYTES);
        let slots = frames.heads.iter_mut().zip(&mut frames.lens);
        for (head, len) in slots {
            let left = total - frames.payload;
            let Some(reserved) = (left > 0).then(|| reserve(left)).flatten() else { break };
            frames.bytes += reserved.head.len() + reserved.len;
            frames.payload += reserved.len.min(left);
            (*head, *len) = (Some(reserved.head), reserved.len);
            frames.count += 1;
        }
        frames
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the caller that are in them.
    pub(crate) const fn payload(&self) -> usize {
        self.payload
    }

    /// Bytes in all.
    pub(crate) const fn len(&self) -> usize {
        self.bytes
    }

    /// Every part of them in the order of the wire; `bufs` holds the payload at its front.
    pub(crate) fn each<'a>(&'a self, bufs: &'a [IoSlice<'_>], mut take: impl FnMut(&'a [u8])) {
        let mut bufs = bufs.iter();
        let mut rest: &'a [u8] = &[];
        for (head, len) in self.heads.iter().flatten().zip(self.lens) {
            for part in head.slices() {
                if !part.is_empty() {
                    take(part);
                }
            }
            let mut left = len;
            while left > 0 {
                if rest.is_empty() {
                    let Some(buf) = bufs.next() else { return };
                    rest = buf;
                    continue;
                }
                let (part, behind) = rest.split_at(left.min(rest.len()));
                take(part);
                left -= part.len();
                rest = behind;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn reserved(head: u8, len: usize) -> Reserved {
        let head = Segment::new(&[head; 2], Bytes::new(), &[]).unwrap();
        Reserved { head, len }
    }

    #[test]
    fn payload_of_several_slices_stands_behind_each_head() {
        let bufs = [IoSlice::new(b"abc"), IoSlice::new(b""), IoSlice::new(b"defg")];
        let mut head = b'0';
        let frames = Frames::reserve(7, |left| {
            head += 1;
            Some(reserved(head, left.min(2)))
        });
        assert_eq!((frames.payload(), frames.len()), (7, 15));
        let mut wire = Vec::new();
        frames.each(&bufs, |part| wire.extend_from_slice(part));
        assert_eq!(wire, b"11ab22cd33ef44g");
    }

    #[test]
    fn what_is_not_reserved_is_not_taken() {
        let mut credit = 5;
        let frames = Frames::reserve(100, |left| {
            let len = left.min(3).min(credit);
            credit -= len;
            (len > 0).then(|| reserved(b'h', len))
        });
        assert_eq!((frames.payload(), frames.count), (5, 2));
        assert!(Frames::reserve(100, |_| None).is_empty());
        let most = Frames::reserve(usize::MAX, |left| Some(reserved(b'h', left)));
        assert_eq!((most.payload(), most.count), (MOST_BYTES, 1));
    }
}
