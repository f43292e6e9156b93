//! Frames that are a head of a fixed length and a payload that the head measures.
//!
//! The three multiplexing wires have such frames. Their machines hand payload on as it arrives and
//! never wait for a whole frame; [`FrameDecoder`] is for whoever wants to look at whole ones.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Buf as _, Bytes};
use core::error::Error;

use crate::{Payload, Segment};

/// A frame that is a head of a fixed length and a payload that the head measures.
pub trait FixedFrame: Sized {
    /// The head's length in bytes.
    const HEAD: usize;
    /// Which rules of the wire a frame can break.
    type Violation: Error + Clone;
    /// Why a frame has no bytes.
    type EncodeError: Error;

    /// Reads a head of [`HEAD`](Self::HEAD) bytes; gives the frame without its payload, and how
    /// many bytes of payload follow.
    ///
    /// # Errors
    ///
    /// When the head breaks a rule, or announces more than `most` bytes of payload.
    fn parse_head(head: &[u8], most: usize) -> Result<(Self, usize), Self::Violation>;

    /// Puts the payload into the frame; called for every frame, also with an empty one.
    ///
    /// # Errors
    ///
    /// When the payload is not what a frame of this type carries.
    fn take_payload(&mut self, payload: Payload) -> Result<(), Self::Violation>;

    /// The frame, ready to be sent.
    ///
    /// # Errors
    ///
    /// When what the frame says cannot stand in one.
    fn encode(&self) -> Result<Segment, Self::EncodeError>;

    /// The class of a violation, in a word or two.
    fn kind(violation: &Self::Violation) -> &'static str;
}

/// Turns a byte stream, cut anywhere, into whole frames.
///
/// Work is linear in the bytes, and memory grows with what arrived, never with what a head
/// announced. Payloads are slices of the chunks that were pushed.
#[derive(Debug)]
pub struct FrameDecoder<F: FixedFrame> {
    chunks: VecDeque<Bytes>,
    /// The head of a frame whose payload is not whole, and the bytes that are missing of it.
    begun: Option<(F, usize)>,
    head: Vec<u8>,
    payload: Payload,
    /// Bytes taken of the frame that is not whole.
    taken: usize,
    most: usize,
    position: u64,
    broken: Option<F::Violation>,
}

impl<F: FixedFrame> FrameDecoder<F> {
    /// A decoder at the beginning of a stream, which takes payloads of up to `most` bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            begun: None,
            head: Vec::with_capacity(F::HEAD),
            payload: Payload::new(),
            taken: 0,
            most,
            position: 0,
            broken: None,
        }
    }

    /// Hands in what arrived.
    pub fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.chunks.push_back(bytes);
        }
    }

    /// The next whole frame; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// The rule that was broken, from then on at every call: nothing behind it can be read.
    pub fn poll(&mut self) -> Result<Option<F>, F::Violation> {
        if let Some(violation) = &self.broken {
            return Err(violation.clone());
        }
        self.frame().inspect_err(|violation| self.broken = Some(violation.clone()))
    }

    /// Where the frame begins that is not whole, or is wrong, or comes next.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes of a frame that is not whole are there; without meaning after an error.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.taken + self.chunks.iter().map(Bytes::len).sum::<usize>()
    }

    fn frame(&mut self) -> Result<Option<F>, F::Violation> {
        let (mut frame, mut missing) = match self.begun.take() {
            Some(begun) => begun,
            None => {
                while self.head.len() < F::HEAD {
                    let Some(piece) = self.take(F::HEAD - self.head.len()) else {
                        return Ok(None);
                    };
                    self.head.extend_from_slice(&piece);
                }
                let parsed = F::parse_head(&self.head, self.most)?;
                self.head.clear();
                parsed
            }
        };
        while missing > 0 {
            let Some(piece) = self.take(missing) else {
                self.begun = Some((frame, missing));
                return Ok(None);
            };
            missing -= piece.len();
            self.payload.push(piece);
        }
        frame.take_payload(core::mem::take(&mut self.payload))?;
        self.position = self.position.saturating_add(self.taken as u64);
        self.taken = 0;
        Ok(Some(frame))
    }

    /// Up to `most` bytes of the first chunk.
    fn take(&mut self, most: usize) -> Option<Bytes> {
        let front = self.chunks.front_mut()?;
        let piece = front.split_to(most.min(front.len()));
        if !front.has_remaining() {
            self.chunks.pop_front();
        }
        self.taken += piece.len();
        Some(piece)
    }
}
