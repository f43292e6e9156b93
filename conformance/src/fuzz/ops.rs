//! Operations out of the bytes of an input.

use arbitrary::Unstructured;
use bytes::Bytes;

/// The most operations that one input makes: what more there is says nothing new.
const MOST: usize = 3_000;

/// What is left of an input; where nothing is left, every operand is zero.
pub(super) struct Ops<'a> {
    left: Unstructured<'a>,
    taken: usize,
    /// What [`pattern`](Self::pattern) gives next.
    next: u8,
}

impl<'a> Ops<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { left: Unstructured::new(input), taken: 0, next: 0 }
    }

    /// The number of the next operation; `None` at the end.
    pub(super) fn next(&mut self) -> Option<u8> {
        self.taken += 1;
        (!self.left.is_empty() && self.taken < MOST).then(|| self.byte())
    }

    /// A byte.
    pub(super) fn byte(&mut self) -> u8 {
        self.left.arbitrary().unwrap_or_default()
    }

    /// A number of 16 bits.
    pub(super) fn short(&mut self) -> u16 {
        self.left.arbitrary().unwrap_or_default()
    }

    /// A size, mostly small: a byte below 200 is itself, others stand for up to 14 KiB.
    pub(super) fn size(&mut self) -> usize {
        match usize::from(self.byte()) {
            size @ 0..200 => size,
            size => (size - 199) << 8,
        }
    }

    /// A stream's number: mostly one that a command has.
    pub(super) fn stream(&mut self) -> u32 {
        match self.byte() {
            stream @ 0..=6 => u32::from(stream),
            stream @ 250.. => u32::MAX - u32::from(stream),
            stream => u32::from(stream % 5),
        }
    }

    /// Bytes of the input: a length in one byte, then as many.
    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.left.len());
        self.left.bytes(length).unwrap_or_default()
    }

    /// So many bytes that count up, from where the last ones ended: what is lost, doubled or put in
    /// another order shows.
    pub(super) fn pattern(&mut self, size: usize) -> Bytes {
        let bytes: Vec<u8> = (0..size)
            .map(|_| {
                self.next = self.next.wrapping_add(1);
                self.next
            })
            .collect();
        bytes.into()
    }

    /// A short text.
    pub(super) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}
