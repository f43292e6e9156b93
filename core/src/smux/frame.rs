//! Frames and their eight-byte heads: `docs/protocols/smux.md` section 2.

use core::fmt;

use super::ConfigError;
use super::violation::Violation;
use crate::fixed::FixedFrame;
use crate::{Payload, Segment};

/// The length of a head in bytes.
pub(super) const HEAD: usize = 8;

/// The length of a window update's payload in bytes.
pub(super) const UPDATE: usize = 8;

/// The largest payload of one frame in bytes.
pub(super) const LARGEST: usize = 65_535;

/// A version of the wire; the two do not understand each other (section 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// Without windows: an unread stream stops the whole connection.
    #[default]
    One,
    /// With a window for each stream.
    Two,
}

impl Version {
    /// The version of this number.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Version`] for anything but 1 and 2.
    pub const fn new(number: u8) -> Result<Self, ConfigError> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err(ConfigError::Version),
        }
    }

    /// The version's number, which is the first byte of every frame.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "UPPERCASE")
)]
pub enum Command {
    /// 0: a new stream.
    Syn,
    /// 1: the sender's direction of a stream is over.
    Fin,
    /// 2: bytes of a stream.
    Psh,
    /// 3: a sign of life; belongs to no stream and is not answered.
    Nop,
    /// 4: how much of a stream was read, and the window (version 2).
    Upd,
}

impl Command {
    /// The command of this number; `None` when there is none.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Syn),
            1 => Some(Self::Fin),
            2 => Some(Self::Psh),
            3 => Some(Self::Nop),
            4 => Some(Self::Upd),
            _ => None,
        }
    }

    /// The command's number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Syn => 0,
            Self::Fin => 1,
            Self::Psh => 2,
            Self::Nop => 3,
            Self::Upd => 4,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syn => "SYN",
            Self::Fin => "FIN",
            Self::Psh => "PSH",
            Self::Nop => "NOP",
            Self::Upd => "UPD",
        })
    }
}

/// The eight bytes in front of every payload, all of them little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The version.
    pub version: Version,
    /// What the frame is for.
    pub command: Command,
    /// Payload bytes behind the head.
    pub length: u16,
    /// The stream; 0 where the frame belongs to none.
    pub stream: u32,
}

impl Head {
    /// Reads and checks a head; the checks and their order are those of section 10.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks.
    #[inline]
    pub fn parse(bytes: [u8; HEAD], expected: Option<Version>) -> Result<Self, Violation> {
        let [version, command, short, long, s0, s1, s2, s3] = bytes;
        let length = u16::from_le_bytes([short, long]);
        let found = version;
        let version = match Version::new(found) {
            Ok(version) if expected.is_none_or(|expected| expected == version) => version,
            _ => return Err(Violation::Version { expected, found }),
        };
        let Some(command) = Command::new(command) else {
            return Err(Violation::Command { found: command });
        };
        let fits = match command {
            Command::Psh => true,
            Command::Syn | Command::Fin | Command::Nop => length == 0,
            Command::Upd if version == Version::One => return Err(Violation::UpdateInVersion1),
            Command::Upd => usize::from(length) == UPDATE,
        };
        if !fits {
            return Err(Violation::Length { command, found: length });
        }
        Ok(Self { version, command, length, stream: u32::from_le_bytes([s0, s1, s2, s3]) })
    }

    /// The head's bytes.
    #[must_use]
    #[inline]
    pub const fn to_bytes(self) -> [u8; HEAD] {
        let [short, long] = self.length.to_le_bytes();
        let [s0, s1, s2, s3] = self.stream.to_le_bytes();
        [self.version.number(), self.command.number(), short, long, s0, s1, s2, s3]
    }
}

/// What a window update says: the reader's count modulo 2^32, and the window from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// Bytes that its sender has read from the stream, from its beginning, modulo 2^32.
    pub consumed: u32,
    /// Bytes that may be on their way beyond those.
    pub window: u32,
}

impl Update {
    /// Reads the payload of an UPD frame.
    #[must_use]
    #[inline]
    pub const fn parse(bytes: [u8; UPDATE]) -> Self {
        let [c0, c1, c2, c3, w0, w1, w2, w3] = bytes;
        Self {
            consumed: u32::from_le_bytes([c0, c1, c2, c3]),
            window: u32::from_le_bytes([w0, w1, w2, w3]),
        }
    }

    /// The payload's bytes.
    #[must_use]
    #[inline]
    pub const fn to_bytes(self) -> [u8; UPDATE] {
        let [c0, c1, c2, c3] = self.consumed.to_le_bytes();
        let [w0, w1, w2, w3] = self.window.to_le_bytes();
        [c0, c1, c2, c3, w0, w1, w2, w3]
    }
}

/// One whole frame, for tools and tests; a connection never holds one.
///
/// In JSON (feature `serde`) it looks as in the golden vectors: `{"version":1,"cmd":"SYN",
/// "stream":3,"length":0}`, with `payload` for PSH and `consumed` and `window` for UPD. `length` may
/// be left out, and must be right where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "super::notation::Noted", try_from = "super::notation::Noted")
)]
pub struct Frame {
    /// The version.
    pub version: Version,
    /// The stream; 0 where the frame belongs to none.
    pub stream: u32,
    /// What the frame says.
    pub body: Body,
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A new stream.
    Syn,
    /// The end of the sender's direction.
    Fin,
    /// Bytes of the stream, at most 65,535.
    Psh(Payload),
    /// A sign of life.
    Nop,
    /// A window update; version 2 alone has it.
    Upd(Update),
}

impl Frame {
    /// What the frame is for.
    #[must_use]
    pub const fn command(&self) -> Command {
        match self.body {
            Body::Syn => Command::Syn,
            Body::Fin => Command::Fin,
            Body::Psh(_) => Command::Psh,
            Body::Nop => Command::Nop,
            Body::Upd(_) => Command::Upd,
        }
    }
}

impl FixedFrame for Frame {
    const HEAD: usize = HEAD;
    type Violation = Violation;
    type EncodeError = EncodeError;

    /// Takes either version: the frames tell which is spoken. No length is refused, as none can be
    /// more than 65,535.
    fn parse_head(head: &[u8], _most: usize) -> Result<(Self, usize), Violation> {
        let mut bytes = [0; HEAD];
        bytes.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
        let head = Head::parse(bytes, None)?;
        let body = match head.command {
            Command::Syn => Body::Syn,
            Command::Fin => Body::Fin,
            Command::Nop => Body::Nop,
            Command::Psh => Body::Psh(Payload::new()),
            Command::Upd => Body::Upd(Update { consumed: 0, window: 0 }),
        };
        let frame = Self { version: head.version, stream: head.stream, body };
        Ok((frame, usize::from(head.length)))
    }

    fn take_payload(&mut self, taken: Payload) -> Result<(), Violation> {
        match &mut self.body {
            Body::Psh(payload) => *payload = taken,
            Body::Upd(update) => {
                let mut bytes = [0; UPDATE];
                bytes.iter_mut().zip(taken.into_bytes()).for_each(|(to, byte)| *to = byte);
                *update = Update::parse(bytes);
            }
            Body::Syn | Body::Fin | Body::Nop => {}
        }
        Ok(())
    }

    /// The frame, ready to be sent. A payload in several pieces is joined.
    fn encode(&self) -> Result<Segment, EncodeError> {
        let length = match &self.body {
            Body::Psh(payload) => {
                u16::try_from(payload.len()).map_err(|_| EncodeError::TooLong(payload.len()))?
            }
            Body::Upd(_) if self.version == Version::One => {
                return Err(EncodeError::UpdateInVersion1);
            }
            Body::Upd(_) => 8,
            Body::Syn | Body::Fin | Body::Nop => 0,
        };
        let head =
            Head { version: self.version, command: self.command(), length, stream: self.stream };
        Ok(match &self.body {
            Body::Psh(payload) => data_segment(head, payload.clone().into_bytes()),
            Body::Upd(update) => update_segment(head.version, head.stream, *update),
            Body::Syn | Body::Fin | Body::Nop => bare_segment(head),
        })
    }

    fn kind(violation: &Violation) -> &'static str {
        violation.kind()
    }
}

/// A frame of a head and a payload of the length that the head says.
#[inline]
pub(super) fn data_segment(head: Head, payload: bytes::Bytes) -> Segment {
    let mut segment = Segment::whole(payload);
    put(&mut segment, &head.to_bytes());
    segment
}

/// A frame of nothing but a head.
pub(super) fn bare_segment(head: Head) -> Segment {
    data_segment(head, bytes::Bytes::new())
}

/// A window update.
pub(super) fn update_segment(version: Version, stream: u32, update: Update) -> Segment {
    let head = Head { version, command: Command::Upd, length: 8, stream };
    let mut bytes = [0; HEAD + UPDATE];
    let (front, back) = bytes.split_at_mut(HEAD);
    front.copy_from_slice(&head.to_bytes());
    back.copy_from_slice(&update.to_bytes());
    let mut segment = Segment::whole(bytes::Bytes::new());
    put(&mut segment, &bytes);
    segment
}

/// Writes the head of a segment in place; `bytes` is 8 or 16 long, which fits.
#[inline]
fn put(segment: &mut Segment, bytes: &[u8]) {
    segment.frame(|_, head, _| match head.get_mut(..bytes.len()) {
        Some(to) => {
            to.copy_from_slice(bytes);
            (bytes.len() as u8, 0)
        }
        None => (0, 0),
    });
}

/// Why a frame cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// A payload of more than 65,535 bytes; it is this long.
    TooLong(usize),
    /// A window update in version 1.
    UpdateInVersion1,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(length) => {
                write!(f, "a payload of {length} bytes, of which a frame takes {LARGEST}")
            }
            Self::UpdateInVersion1 => f.write_str("version 1 has no UPD"),
        }
    }
}

impl core::error::Error for EncodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(hex: [u8; 8]) -> Result<Head, Violation> {
        Head::parse(hex, Some(Version::One))
    }

    #[test]
    fn length_comes_before_the_stream_and_both_are_little_endian() {
        let seen = head([1, 2, 5, 0, 3, 1, 0, 0]).unwrap();
        let meant = Head { version: Version::One, command: Command::Psh, length: 5, stream: 0x103 };
        assert_eq!(seen, meant);
        assert_eq!(meant.to_bytes(), [1, 2, 5, 0, 3, 1, 0, 0]);
    }

    #[test]
    fn the_version_is_looked_at_first_then_the_command_then_the_length() {
        let version = Violation::Version { expected: Some(Version::One), found: 9 };
        assert_eq!(head([9, 9, 1, 0, 0, 0, 0, 0]), Err(version));
        assert_eq!(head([1, 9, 1, 0, 0, 0, 0, 0]), Err(Violation::Command { found: 9 }));
        let length = Violation::Length { command: Command::Fin, found: 256 };
        assert_eq!(head([1, 1, 0, 1, 0, 0, 0, 0]), Err(length));
        assert_eq!(head([1, 4, 9, 0, 0, 0, 0, 0]), Err(Violation::UpdateInVersion1));
        let found = Head::parse([2, 4, 9, 0, 0, 0, 0, 0], None);
        assert_eq!(found, Err(Violation::Length { command: Command::Upd, found: 9 }));
    }

    #[test]
    fn frames_that_the_wire_cannot_carry_are_refused() {
        let mut frame = Frame {
            version: Version::One,
            stream: 3,
            body: Body::Psh(std::vec![0; 65_536].into()),
        };
        assert_eq!(frame.encode().unwrap_err(), EncodeError::TooLong(65_536));
        frame.body = Body::Upd(Update { consumed: 0, window: 0 });
        assert_eq!(frame.encode().unwrap_err(), EncodeError::UpdateInVersion1);
    }
}
