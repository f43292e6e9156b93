//! Frames whose payload stands in a caller's slices.

use std::io::IoSlice;

use trunkline_core::mux::Reserved;

/// Most frames of one write.
pub(crate) const MOST_FRAMES: usize = 4;

/// Room for a head; those of the wires here have 12 bytes at most.
const HEAD: usize = 16;

/// Most bytes of payload of one write: others want their turn.
const MOST_BYTES: usize = 64 << 10;

#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    head: [u8; HEAD],
    head_len: u8,
    len: usize,
}

/// Frames that were reserved one after the other for one write of a caller: their heads, and how
/// much of the payload stands behind each.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    frames: [Frame; MOST_FRAMES],
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
        while frames.count < MOST_FRAMES && frames.payload < total {
            let Some(reserved) = reserve(total - frames.payload) else { break };
            frames.push(&reserved);
        }
        frames
    }

    fn push(&mut self, reserved: &Reserved) {
        let Some(frame) = self.frames.get_mut(self.count) else { return };
        for part in reserved.head.slices() {
            let at = usize::from(frame.head_len);
            if let Some(room) = frame.head.get_mut(at..at + part.len()) {
                room.copy_from_slice(part);
                frame.head_len += part.len() as u8;
            }
        }
        debug_assert_eq!(usize::from(frame.head_len), reserved.head.len());
        frame.len = reserved.len;
        self.bytes += usize::from(frame.head_len) + frame.len;
        self.payload += frame.len;
        self.count += 1;
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
        for frame in self.frames.iter().take(self.count) {
            take(frame.head.get(..usize::from(frame.head_len)).unwrap_or_default());
            let mut left = frame.len;
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
    use trunkline_core::Segment;

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
