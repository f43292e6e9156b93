//! The ten bytes in front of every payload: `docs/protocols/wormhole.md` sections 2 and 3.

use core::fmt;

use super::{HEAD_SIZE, VERSION, Violation};

/// The type of a frame (section 2.1); any byte can stand on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct FrameType(pub u8);

impl FrameType {
    /// Bytes of a stream; the only type that counts against a window.
    pub const DATA: Self = Self(1);
    /// More credit for the sender of a stream's DATA.
    pub const WINDOW_UPDATE: Self = Self(2);
    /// A question for a sign of life.
    pub const PING: Self = Self(3);
    /// Its answer.
    pub const PONG: Self = Self(4);
    /// The sender is done with the stream, in both directions.
    pub const CLOSE: Self = Self(5);
    /// Opens a stream.
    pub const HANDSHAKE: Self = Self(6);
    /// A stream is refused or has failed.
    pub const ERROR: Self = Self(7);

    /// Whether the wire has such a type: 1 to 7.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        matches!(self.0, 1..=7)
    }

    /// The type's name; `None` where the wire has no such type.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::DATA => "DATA",
            Self::WINDOW_UPDATE => "WINDOW_UPDATE",
            Self::PING => "PING",
            Self::PONG => "PONG",
            Self::CLOSE => "CLOSE",
            Self::HANDSHAKE => "HANDSHAKE",
            Self::ERROR => "ERROR",
            Self(_) => return None,
        })
    }
}

impl fmt::Display for FrameType {
    /// The name, or `UNKNOWN(n)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "UNKNOWN({})", self.0),
        }
    }
}

/// A frame's head: everything but its payload.
///
/// [`parse`](Self::parse) is the one place where the rules of section 3 are checked, in their
/// order; [`to_bytes`](Self::to_bytes) checks nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The type.
    pub kind: FrameType,
    /// The stream's id; 0 is the connection itself.
    pub stream: u32,
    /// How many bytes of payload follow.
    pub length: u32,
}

impl Head {
    /// Reads a head, and refuses it when its payload would have more than `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`Violation::Version`], then [`Violation::FrameType`], then [`Violation::PayloadTooLarge`]:
    /// the first that holds.
    #[inline]
    pub fn parse(bytes: [u8; HEAD_SIZE], limit: usize) -> Result<Self, Violation> {
        let [version, kind, s0, s1, s2, s3, l0, l1, l2, l3] = bytes;
        let head = Self {
            kind: FrameType(kind),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        };
        if version != VERSION {
            return Err(Violation::Version { found: version });
        }
        if !head.kind.is_valid() {
            return Err(Violation::FrameType { found: kind });
        }
        match usize::try_from(head.length) {
            Ok(length) if length <= limit => Ok(head),
            _ => Err(Violation::PayloadTooLarge { length: head.length.into(), limit }),
        }
    }

    /// The head's bytes.
    #[must_use]
    #[inline]
    pub const fn to_bytes(self) -> [u8; HEAD_SIZE] {
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [VERSION, self.kind.0, s0, s1, s2, s3, l0, l1, l2, l3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    #[test]
    fn a_head_reads_as_it_was_written() {
        let head = Head { kind: FrameType::ERROR, stream: 0x0102_0304, length: 7 };
        assert_eq!(head.to_bytes(), [1, 7, 1, 2, 3, 4, 0, 0, 0, 7]);
        assert_eq!(Head::parse(head.to_bytes(), 7), Ok(head));
    }

    #[test]
    fn the_version_is_checked_before_the_type_and_the_type_before_the_length() {
        let bad = |bytes| Head::parse(bytes, 4).unwrap_err();
        let long = [0xff; 4];
        let bytes = |version, kind| {
            let mut bytes = [0, 0, 0, 0, 0, 1, long[0], long[1], long[2], long[3]];
            (bytes[0], bytes[1]) = (version, kind);
            bytes
        };
        assert_eq!(bad(bytes(7, 99)), Violation::Version { found: 7 });
        assert_eq!(bad(bytes(1, 99)), Violation::FrameType { found: 99 });
        let expected = Violation::PayloadTooLarge { length: u32::MAX.into(), limit: 4 };
        assert_eq!(bad(bytes(1, 5)), expected);
    }

    #[test]
    fn types_have_the_names_of_the_page() {
        assert_eq!(FrameType(4).to_string(), "PONG");
        assert_eq!(FrameType(0).to_string(), "UNKNOWN(0)");
        assert_eq!(FrameType(99).to_string(), "UNKNOWN(99)");
        assert_eq!((0..=u8::MAX).filter(|kind| FrameType(*kind).is_valid()).count(), 7);
    }
}
