//! Bytes into whole frames: `docs/protocols/wormhole.md` section 3.

use alloc::collections::VecDeque;

use bytes::{Buf as _, Bytes};

use super::{Frame, HEAD_SIZE, Head, MAX_PAYLOAD, VERSION, Violation};
use crate::Payload;

/// Turns bytes, cut anywhere, into frames.
///
/// Payloads are slices of what was pushed, never copied. What is held is what was pushed: nothing is
/// reserved for what a head announces. After an error nothing more is decoded.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    chunks: VecDeque<Bytes>,
    buffered: usize,
    position: u64,
    /// A head whose payload is not complete.
    head: Option<Head>,
    failed: Option<Violation>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(MAX_PAYLOAD)
    }
}

impl Decoder {
    /// A decoder that takes payloads of up to `limit` bytes; 0 means none at all.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, chunks: VecDeque::new(), buffered: 0, position: 0, head: None, failed: None }
    }

    /// Adds what arrived.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() && self.failed.is_none() {
            self.buffered = self.buffered.saturating_add(chunk.len());
            self.chunks.push_back(chunk);
        }
    }

    /// The next whole frame; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// The rule that the bytes break; the same one ever after.
    pub fn poll(&mut self) -> Result<Option<Frame>, Violation> {
        if let Some(violation) = &self.failed {
            return Err(violation.clone());
        }
        let frame = self.step();
        if let Err(violation) = &frame {
            self.failed = Some(violation.clone());
        }
        frame
    }

    /// Whether the bytes may end here.
    ///
    /// # Errors
    ///
    /// [`Violation::UnexpectedEof`] in the middle of a frame, also when only its payload is missing;
    /// or the error that ended decoding before.
    pub fn finish(&self) -> Result<(), Violation> {
        match &self.failed {
            Some(violation) => Err(violation.clone()),
            None if self.buffered() > 0 => Err(Violation::UnexpectedEof),
            None => Ok(()),
        }
    }

    /// Where the next frame begins, in bytes from the start.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes of the next frame are there.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        let head = if self.head.is_some() { HEAD_SIZE } else { 0 };
        self.buffered.saturating_add(head)
    }

    fn step(&mut self) -> Result<Option<Frame>, Violation> {
        let head = match self.head {
            Some(head) => head,
            None if self.buffered < HEAD_SIZE => return Ok(None),
            None => {
                let head = Head::parse(self.take_head(), self.limit)?;
                *self.head.insert(head)
            }
        };
        // Within the limit, which is a `usize`.
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        if self.buffered < length {
            return Ok(None);
        }
        self.head = None;
        let size = HEAD_SIZE.saturating_add(length);
        self.position = self.position.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
        let payload = self.take_payload(length);
        Ok(Some(Frame { version: VERSION, kind: head.kind, stream: head.stream, payload }))
    }

    fn take_head(&mut self) -> [u8; HEAD_SIZE] {
        let mut bytes = [0; HEAD_SIZE];
        for byte in &mut bytes {
            let Some(front) = self.chunks.front_mut() else { break };
            *byte = front.get_u8();
            self.buffered = self.buffered.saturating_sub(1);
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
        bytes
    }

    fn take_payload(&mut self, mut length: usize) -> Payload {
        let mut payload = Payload::new();
        while length > 0
            && let Some(front) = self.chunks.front_mut()
        {
            let piece = front.split_to(length.min(front.len()));
            if front.is_empty() {
                self.chunks.pop_front();
            }
            length = length.saturating_sub(piece.len());
            self.buffered = self.buffered.saturating_sub(piece.len());
            payload.push(piece);
        }
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn frames_come_out_the_same_however_the_bytes_are_cut() {
        let frames =
            [Frame::open(1), Frame::data(1, b"hello".to_vec()), Frame::ping(3), Frame::close(1)];
        let bytes: Vec<u8> =
            frames.iter().flat_map(|frame| frame.encode().unwrap().into_bytes()).collect();
        for size in 1..=bytes.len() {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in bytes.chunks(size) {
                decoder.push(Bytes::copy_from_slice(piece));
                while let Some(frame) = decoder.poll().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames, "cut into pieces of {size}");
            assert_eq!(decoder.finish(), Ok(()));
            assert_eq!(decoder.position(), bytes.len() as u64);
        }
    }

    #[test]
    fn an_end_inside_a_frame_is_unexpected_even_when_only_its_payload_is_missing() {
        for bytes in [&[9][..], &[1, 1, 0, 0, 0, 1, 0, 0, 0, 5], &[9; 9]] {
            let mut decoder = Decoder::default();
            decoder.push(Bytes::copy_from_slice(bytes));
            assert_eq!(decoder.poll(), Ok(None));
            assert_eq!(decoder.finish(), Err(Violation::UnexpectedEof));
            assert_eq!(decoder.buffered(), bytes.len());
        }
    }

    #[test]
    fn an_error_stays() {
        let mut decoder = Decoder::default();
        decoder.push(Bytes::from_static(&[0; 10]));
        let violation = decoder.poll().unwrap_err();
        decoder.push(Frame::open(1).encode().unwrap().into_bytes());
        assert_eq!(decoder.poll(), Err(violation.clone()));
        assert_eq!(decoder.finish(), Err(violation));
    }
}
