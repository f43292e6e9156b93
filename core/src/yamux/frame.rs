//! Frames and their bytes: `docs/protocols/yamux.md` section 2.

use core::fmt;
use core::ops::BitOr;

use super::Violation;
use crate::fixed::FixedFrame;
use crate::{Payload, Segment};

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameType {
    /// Payload of a stream; the only frame that has any.
    Data = 0,
    /// Credit for a stream, or flags alone.
    WindowUpdate = 1,
    /// A sign of life that is asked for, or given.
    Ping = 2,
    /// The sender wants no more streams, or reports why it ends the connection.
    GoAway = 3,
}

impl FrameType {
    /// The type of that number.
    #[must_use]
    #[inline]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Data,
            1 => Self::WindowUpdate,
            2 => Self::Ping,
            3 => Self::GoAway,
            _ => return None,
        })
    }

    /// The type's name, as the golden vectors write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "Data",
            Self::WindowUpdate => "WindowUpdate",
            Self::Ping => "Ping",
            Self::GoAway => "GoAway",
        }
    }
}

/// The flags of a frame: a set of bits, of which four have a meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u16);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Opens the stream; on a ping: asks.
    pub const SYN: Self = Self(1);
    /// Accepts the stream; on a ping: answers.
    pub const ACK: Self = Self(2);
    /// The sender will send no more data.
    pub const FIN: Self = Self(4);
    /// Ends the stream at once, in both directions.
    pub const RST: Self = Self(8);

    /// The flags that have a meaning, with their names.
    pub const NAMED: [(Self, &'static str); 4] =
        [(Self::SYN, "SYN"), (Self::ACK, "ACK"), (Self::FIN, "FIN"), (Self::RST, "RST")];

    /// Whether all of `other` are set.
    #[must_use]
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The 12 bytes in front of every frame, and all of most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Head {
    /// What the frame is.
    pub kind: FrameType,
    /// Its flags, unknown ones included.
    pub flags: Flags,
    /// The stream; 0 for pings and go-aways.
    pub stream: u32,
    /// Data: bytes of payload. Window update: credit. Ping: its value. Go-away: the code.
    pub length: u32,
}

impl Head {
    /// A head's length in bytes.
    pub const LEN: usize = 12;

    /// Reads a head.
    ///
    /// # Errors
    ///
    /// [`Violation::Version`], then [`Violation::FrameType`].
    #[inline]
    pub const fn parse(bytes: &[u8; Self::LEN]) -> Result<Self, Violation> {
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = *bytes;
        if version != 0 {
            return Err(Violation::Version(version));
        }
        let Some(kind) = FrameType::from_number(kind) else {
            return Err(Violation::FrameType(kind));
        };
        Ok(Self {
            kind,
            flags: Flags(u16::from_be_bytes([f0, f1])),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }

    /// The head's bytes.
    #[must_use]
    #[inline]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        let [f0, f1] = self.flags.0.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [0, self.kind as u8, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3]
    }

    /// How many bytes of payload follow.
    #[must_use]
    #[inline]
    pub const fn payload_len(self) -> u32 {
        match self.kind {
            FrameType::Data => self.length,
            FrameType::WindowUpdate | FrameType::Ping | FrameType::GoAway => 0,
        }
    }
}

/// A whole frame, for looking at and for making by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its head.
    pub head: Head,
    /// What follows the head.
    pub payload: Payload,
}

impl Frame {
    /// A data frame.
    #[must_use]
    pub fn data(stream: u32, flags: Flags, payload: Payload) -> Self {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        Self { head: Head { kind: FrameType::Data, flags, stream, length }, payload }
    }
}

impl FixedFrame for Frame {
    const HEAD: usize = Head::LEN;
    type Violation = Violation;
    type EncodeError = EncodeError;

    fn parse_head(head: &[u8], most: usize) -> Result<(Self, usize), Violation> {
        let mut bytes = [0; Head::LEN];
        for (to, from) in bytes.iter_mut().zip(head) {
            *to = *from;
        }
        let head = Head::parse(&bytes)?;
        let length = head.payload_len();
        match usize::try_from(length) {
            Ok(payload) if payload <= most => Ok((Self { head, payload: Payload::new() }, payload)),
            _ => Err(Violation::FrameSize { length, limit: most }),
        }
    }

    fn take_payload(&mut self, payload: Payload) -> Result<(), Violation> {
        self.payload = payload;
        Ok(())
    }

    /// The frame, ready to be sent. A payload in several pieces is joined.
    fn encode(&self) -> Result<Segment, EncodeError> {
        if u32::try_from(self.payload.len()) != Ok(self.head.payload_len()) {
            return Err(EncodeError);
        }
        let body = self.payload.clone().into_bytes();
        Segment::new(&self.head.to_bytes(), body, &[]).ok_or(EncodeError)
    }

    fn kind(violation: &Violation) -> &'static str {
        violation.kind()
    }
}

/// A frame whose head announces another payload than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError;

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the length does not fit the payload")
    }
}

impl core::error::Error for EncodeError {}
