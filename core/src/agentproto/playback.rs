//! Reads a recording, a damaged one as far as it is whole: `docs/protocols/agentproto.md`
//! section 12.

use bytes::Bytes;
use core::fmt;

use super::config::Config;
use super::decoder::Decoder;
use super::record::Record;
use super::violation::Violation;

/// What a record puts around its frame, at most: a frame as long as one may be is still read.
const AROUND: usize = 64;

/// A record, and where in its file it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placed {
    /// Offset of its first byte.
    pub offset: u64,
    /// How many bytes it takes.
    pub length: u64,
    /// The record.
    pub record: Record,
}

/// Why nothing more can be read of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// The file ends in the middle of a record.
    Truncated {
        /// Offset of the record that is not whole.
        offset: u64,
        /// Bytes of it that are there.
        left: usize,
    },
    /// What comes next is no record.
    Broken {
        /// Offset of its first byte.
        offset: u64,
        /// What is wrong with it.
        violation: Violation,
    },
}

impl Damage {
    /// Offset of the first byte that belongs to no whole record.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        match self {
            Self::Truncated { offset, .. } | Self::Broken { offset, .. } => *offset,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { offset, left } => write!(
                f,
                "ends in the middle of a record that begins at offset {offset} ({left} bytes of it)"
            ),
            Self::Broken { offset, violation } => {
                write!(f, "is damaged at offset {offset}: {violation}")
            }
        }
    }
}

impl core::error::Error for Damage {}

/// Turns the pushed bytes of a recording into its records.
///
/// Push what was read, of any size and cut anywhere, and pull records until there is none; say when
/// the file has ended. A file that is cut or damaged gives every record that is whole, and then says
/// where and why it is not. Limits and costs are those of frames: total work is linear, and what is
/// announced allocates nothing.
#[derive(Debug)]
pub struct Playback {
    decoder: Decoder<Record>,
    ended: bool,
}

impl Playback {
    /// A reader at the start of a file. Of the settings the limits and the acceptance matter.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut config = config.clone();
        config.limits.frame = config.limits.frame.saturating_add(AROUND);
        // The record and its body stand around the frame.
        config.limits.depth = config.limits.depth.saturating_add(2);
        Self { decoder: Decoder::new(&config), ended: false }
    }

    /// Takes in what was read next. Ignored after a damage, and after the end.
    pub fn push(&mut self, bytes: Bytes) {
        if !self.ended {
            self.decoder.push(bytes);
        }
    }

    /// The file has ended.
    pub const fn finish(&mut self) {
        self.ended = true;
    }

    /// The next whole record; `None` when more must be pushed first or, behind the end, when all
    /// were given.
    ///
    /// # Errors
    ///
    /// Where the file is damaged; for good, every later call says the same.
    pub fn poll(&mut self) -> Result<Option<Placed>, Damage> {
        let offset = self.decoder.position();
        match self.decoder.poll() {
            Ok(Some(record)) => {
                let length = self.decoder.position().saturating_sub(offset);
                Ok(Some(Placed { offset, length, record }))
            }
            Ok(None) if self.ended && self.decoder.buffered() > 0 => {
                Err(Damage::Truncated { offset, left: self.decoder.buffered() })
            }
            Ok(None) => Ok(None),
            Err(violation) => Err(Damage::Broken { offset, violation }),
        }
    }

    /// Offset of what is read next.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.decoder.position()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Direction, Frame, Recorder, data_segment, encode};
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn file() -> Vec<u8> {
        let recorder = Recorder::default();
        let frame = |frame| recorder.frame(1, Direction::SENT, 0, encode(&frame).unwrap());
        let records =
            [frame(Frame::data(0, vec![7; 100])), frame(Frame::eof(0)), recorder.footer(9)];
        records.iter().flat_map(|record| record.slices().concat()).collect()
    }

    fn read(bytes: &[u8], piece: usize) -> (Vec<Placed>, Option<Damage>) {
        let mut playback = Playback::new(&Config::default());
        let mut records = Vec::new();
        let mut pieces = bytes.chunks(piece);
        loop {
            match playback.poll() {
                Ok(Some(placed)) => records.push(placed),
                Err(damage) => {
                    playback.push(Bytes::from_static(b"\xa1\x64type\x09"));
                    assert_eq!(playback.poll(), Err(damage.clone()), "for good");
                    return (records, Some(damage));
                }
                Ok(None) => match pieces.next() {
                    Some(piece) => playback.push(Bytes::copy_from_slice(piece)),
                    None if playback.ended => return (records, None),
                    None => playback.finish(),
                },
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_gives_the_whole_records_and_says_where_the_rest_begins() {
        let file = file();
        let (records, damage) = read(&file, 1_000);
        assert_eq!((records.len(), damage), (3, None));
        // An interpreter takes minutes for every one of them.
        let stride = if cfg!(miri) { 41 } else { 1 };
        for cut in (0..file.len()).step_by(stride) {
            let part = file.get(..cut).unwrap();
            let whole = records.iter().take_while(|r| r.offset + r.length <= cut as u64);
            let whole: Vec<Placed> = whole.cloned().collect();
            let offset = whole.last().map_or(0, |last| last.offset + last.length);
            let left = cut - usize::try_from(offset).unwrap();
            let damage = (left > 0).then_some(Damage::Truncated { offset, left });
            for piece in [1, 7, 1_000] {
                assert_eq!(read(part, piece), (whole.clone(), damage.clone()), "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_record_is_told_with_its_place() {
        let mut file = file();
        let whole = file.len() as u64;
        file.extend(b"\xffrest");
        let (records, damage) = read(&file, 13);
        assert_eq!((records.len(), damage.map(|damage| damage.offset())), (3, Some(whole)));
    }

    #[test]
    fn the_record_of_the_longest_frame_is_read() {
        let mut config = Config::default();
        config.limits.frame = 1_000;
        let room = config.limits.frame - data_segment(7, vec![0; 900].into()).len() + 900;
        let longest = data_segment(7, vec![0; room].into());
        assert_eq!(longest.len(), config.limits.frame);
        let record = Recorder::default().frame(i64::MIN, Direction(255), u32::MAX, longest);
        let mut playback = Playback::new(&config);
        playback.push(record.slices().concat().into());
        assert!(playback.poll().unwrap().is_some());
    }
}
