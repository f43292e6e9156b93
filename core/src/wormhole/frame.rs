//! Frames as values: `docs/protocols/wormhole.md` section 2.

use core::fmt;

use bytes::{Buf as _, Bytes};

use super::{Decoder, FrameType, HEAD_SIZE, Head, MAX_PAYLOAD, RemoteError, VERSION, Violation};
use crate::fixed::FixedFrame;
use crate::{Payload, Segment};

/// One frame, with whatever its head says: [`validate`](Self::validate) tells whether it may be
/// sent. Cloning shares the payload's memory, which nobody can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The version; 1 wherever the wire is spoken.
    pub version: u8,
    /// The type.
    pub kind: FrameType,
    /// The stream's id; 0 is the connection itself.
    pub stream: u32,
    /// The payload.
    pub payload: Payload,
}

impl Frame {
    /// A frame of any type.
    #[must_use]
    pub fn new(kind: FrameType, stream: u32, payload: impl Into<Payload>) -> Self {
        Self { version: VERSION, kind, stream, payload: payload.into() }
    }

    /// Bytes of a stream.
    #[must_use]
    pub fn data(stream: u32, payload: impl Into<Payload>) -> Self {
        Self::new(FrameType::DATA, stream, payload)
    }

    /// Credit of `increment` more bytes.
    #[must_use]
    pub fn window_update(stream: u32, increment: u32) -> Self {
        Self::new(FrameType::WINDOW_UPDATE, stream, increment.to_be_bytes().to_vec())
    }

    /// A question for a sign of life, with id 0.
    #[must_use]
    pub fn ping(number: u32) -> Self {
        Self::new(FrameType::PING, 0, number.to_be_bytes().to_vec())
    }

    /// Its answer, with id 0.
    #[must_use]
    pub fn pong(number: u32) -> Self {
        Self::new(FrameType::PONG, 0, number.to_be_bytes().to_vec())
    }

    /// The sender is done with a stream.
    #[must_use]
    pub fn close(stream: u32) -> Self {
        Self::new(FrameType::CLOSE, stream, Payload::new())
    }

    /// The original's HANDSHAKE with a payload and id 0, which nothing sends (section 2.1).
    #[must_use]
    pub fn handshake(payload: impl Into<Payload>) -> Self {
        Self::new(FrameType::HANDSHAKE, 0, payload)
    }

    /// Opens a stream.
    #[must_use]
    pub fn open(stream: u32) -> Self {
        Self::new(FrameType::HANDSHAKE, stream, Payload::new())
    }

    /// A stream is refused or has failed.
    #[must_use]
    pub fn error(stream: u32, code: u32, message: &[u8]) -> Self {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(message);
        Self::new(FrameType::ERROR, stream, payload)
    }

    /// The payload's length in bytes: what the head says.
    #[must_use]
    pub fn length(&self) -> usize {
        self.payload.len()
    }

    /// The length of head and payload in bytes.
    #[must_use]
    pub fn total_size(&self) -> usize {
        HEAD_SIZE.saturating_add(self.length())
    }

    /// Whether the frame is for the connection itself: its id is 0.
    #[must_use]
    pub const fn is_connection_level(&self) -> bool {
        self.stream == 0
    }

    /// Whether the frame may be sent (section 3); its id is never checked.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks: version, type, or more than [`MAX_PAYLOAD`] bytes.
    pub fn validate(&self) -> Result<(), Violation> {
        if self.version != VERSION {
            return Err(Violation::Version { found: self.version });
        }
        if !self.kind.is_valid() {
            return Err(Violation::FrameType { found: self.kind.0 });
        }
        let length = self.length();
        if length > MAX_PAYLOAD {
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            return Err(Violation::PayloadTooLarge { length, limit: MAX_PAYLOAD });
        }
        Ok(())
    }

    /// The frame's bytes; a payload in one piece is not copied.
    ///
    /// # Errors
    ///
    /// As [`validate`](Self::validate).
    pub fn encode(&self) -> Result<Segment, Violation> {
        self.validate()?;
        // Validated: it fits.
        let length = u32::try_from(self.length()).unwrap_or(u32::MAX);
        let head = Head { kind: self.kind, stream: self.stream, length };
        Ok(segment(head, self.payload.clone().into_bytes()))
    }

    /// Takes the first frame off `bytes`, with a limit of [`MAX_PAYLOAD`]; `None` when there are no
    /// bytes. A [`Decoder`] does it for a stream of them.
    ///
    /// # Errors
    ///
    /// The rule that the bytes break; [`Violation::UnexpectedEof`] when they end in the middle of the
    /// frame.
    pub fn decode(bytes: &mut Bytes) -> Result<Option<Self>, Violation> {
        let mut decoder = Decoder::new(MAX_PAYLOAD);
        decoder.push(bytes.clone());
        match decoder.poll()? {
            Some(frame) => {
                bytes.advance(frame.total_size());
                Ok(Some(frame))
            }
            None if bytes.is_empty() => Ok(None),
            None => Err(Violation::UnexpectedEof),
        }
    }

    /// The increment of a WINDOW_UPDATE; bytes behind it are ignored.
    ///
    /// # Errors
    ///
    /// [`Violation::WrongFrameType`], then [`Violation::PayloadTooShort`].
    pub fn increment(&self) -> Result<u32, Violation> {
        self.number(FrameType::WINDOW_UPDATE)
    }

    /// The number of a PING; bytes behind it are ignored.
    ///
    /// # Errors
    ///
    /// As [`increment`](Self::increment).
    pub fn ping_id(&self) -> Result<u32, Violation> {
        self.number(FrameType::PING)
    }

    /// The number of a PONG; bytes behind it are ignored.
    ///
    /// # Errors
    ///
    /// As [`increment`](Self::increment).
    pub fn pong_id(&self) -> Result<u32, Violation> {
        self.number(FrameType::PONG)
    }

    /// What an ERROR says.
    ///
    /// # Errors
    ///
    /// As [`increment`](Self::increment).
    pub fn remote_error(&self) -> Result<RemoteError, Violation> {
        let code = self.number(FrameType::ERROR)?;
        let mut message = self.payload.clone().into_bytes();
        Ok(RemoteError { code, message: message.split_off(4.min(message.len())) })
    }

    fn number(&self, expected: FrameType) -> Result<u32, Violation> {
        if self.kind != expected {
            return Err(Violation::WrongFrameType { expected, found: self.kind });
        }
        let mut bytes = self.payload.pieces().flat_map(|piece| piece.iter().copied());
        let mut next = || bytes.next();
        match (next(), next(), next(), next()) {
            (Some(a), Some(b), Some(c), Some(d)) => Ok(u32::from_be_bytes([a, b, c, d])),
            _ => Err(Violation::PayloadTooShort { kind: expected, length: self.length() }),
        }
    }
}

impl FixedFrame for Frame {
    const HEAD: usize = HEAD_SIZE;
    type Violation = Violation;
    type EncodeError = Violation;

    fn parse_head(head: &[u8], most: usize) -> Result<(Self, usize), Violation> {
        let head = head.first_chunk().ok_or(Violation::UnexpectedEof)?;
        let Head { kind, stream, length } = Head::parse(*head, most)?;
        // Within the limit, which is a `usize`.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok((Self::new(kind, stream, Payload::new()), length))
    }

    fn take_payload(&mut self, payload: Payload) -> Result<(), Violation> {
        self.payload = payload;
        Ok(())
    }

    fn encode(&self) -> Result<Segment, Violation> {
        self.encode()
    }

    fn kind(violation: &Violation) -> &'static str {
        violation.kind().name()
    }
}

/// A frame on its way out: a head, and a payload that is not copied.
#[inline]
pub(super) fn segment(head: Head, payload: Bytes) -> Segment {
    let mut segment = Segment::whole(payload);
    segment.frame(|_, to, _| {
        write(to, &head.to_bytes());
        // Ten.
        (HEAD_SIZE as u8, 0)
    });
    segment
}

/// A frame on its way out whose payload is one number, all of it inline.
pub(super) fn number_segment(kind: FrameType, stream: u32, number: u32) -> Segment {
    let head = Head { kind, stream, length: 4 };
    let mut segment = Segment::whole(Bytes::new());
    segment.frame(|_, to, tail| {
        write(to, &head.to_bytes());
        write(tail, &number.to_be_bytes());
        (HEAD_SIZE as u8, 4)
    });
    segment
}

#[inline]
fn write<const N: usize, const M: usize>(to: &mut [u8; N], bytes: &[u8; M]) {
    if let Some(to) = to.first_chunk_mut::<M>() {
        *to = *bytes;
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, kind, stream, .. } = self;
        write!(
            f,
            "Frame{{Version:{version}, Type:{kind}, StreamID:{stream}, Length:{}}}",
            self.length()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    #[test]
    fn constructors_set_the_ids_that_the_page_names() {
        for frame in [Frame::ping(7), Frame::pong(7), Frame::handshake(Payload::new())] {
            assert!(frame.is_connection_level(), "{frame}");
        }
        assert_eq!(Frame::open(3).stream, 3);
        assert_eq!(
            Frame::data(3, b"abc".to_vec()).to_string(),
            "Frame{Version:1, Type:DATA, StreamID:3, Length:3}"
        );
        assert_eq!(Frame::data(3, b"abc".to_vec()).total_size(), 13);
    }

    #[test]
    fn a_number_is_read_across_the_pieces_of_a_payload() {
        let mut frame = Frame::new(FrameType::ERROR, 1, b"\0\0".to_vec());
        assert!(frame.remote_error().is_err());
        frame.payload.push(Bytes::from_static(b"\x01\xf7fu"));
        frame.payload.push(Bytes::from_static(b"ll"));
        let error = frame.remote_error().unwrap();
        assert_eq!((error.code, error.message), (503, Bytes::from_static(b"full")));
    }

    #[test]
    fn nothing_is_encoded_that_may_not_be_sent() {
        let mut frame = Frame::close(1);
        frame.version = 9;
        assert_eq!(frame.encode().unwrap_err(), Violation::Version { found: 9 });
        frame = Frame::new(FrameType(8), 1, Payload::new());
        assert_eq!(frame.encode().unwrap_err(), Violation::FrameType { found: 8 });
        frame = Frame::data(1, std::vec![0; MAX_PAYLOAD]);
        assert!(frame.encode().is_ok());
        frame.payload.push(Bytes::from_static(b"1"));
        let length = MAX_PAYLOAD as u64 + 1;
        let expected = Violation::PayloadTooLarge { length, limit: MAX_PAYLOAD };
        assert_eq!(frame.encode().unwrap_err(), expected);
    }

    #[test]
    fn one_frame_is_taken_off_at_a_time() {
        let mut bytes = Frame::open(1).encode().unwrap().into_bytes().to_vec();
        bytes.extend_from_slice(&Frame::data(1, b"hello".to_vec()).encode().unwrap().into_bytes());
        let mut bytes = Bytes::from(bytes);
        assert_eq!(Frame::decode(&mut bytes), Ok(Some(Frame::open(1))));
        for cut in 1..bytes.len() {
            let mut cut = bytes.slice(..cut);
            assert_eq!(Frame::decode(&mut cut), Err(Violation::UnexpectedEof));
        }
        assert_eq!(Frame::decode(&mut bytes), Ok(Some(Frame::data(1, b"hello".to_vec()))));
        assert_eq!(Frame::decode(&mut bytes), Ok(None));
        let mut nine = Bytes::from_static(&[9; 9]);
        assert_eq!(Frame::decode(&mut nine), Err(Violation::UnexpectedEof));
    }

    #[test]
    fn a_number_alone_stands_inline() {
        let segment = number_segment(FrameType::PONG, 0, 0x0102_0304);
        assert_eq!(segment.into_bytes(), Frame::pong(0x0102_0304).encode().unwrap().into_bytes());
    }
}
