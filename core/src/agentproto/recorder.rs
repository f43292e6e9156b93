//! Writes a recording: `docs/protocols/agentproto.md` section 12.

use alloc::boxed::Box;

use super::config::Config;
use super::decoder::{Decoder, Item as _};
use super::encode::{EncodeError, encode_any, head_bytes};
use super::frame::{ExecRequest, Frame};
use super::record::{
    CommandEnd, CommandStart, Direction, Record, RecordType, SessionFooter, SessionHeader,
};
use super::redaction::Redaction;
use crate::Segment;

/// What stands before the frame in its record takes at most 47 bytes.
const PREFIX: usize = 48;

/// The bytes of one record, on their way into a file.
///
/// The record of a frame is a few bytes and then the frame as it was on the wire, whose payload is
/// shared with it and never copied.
#[derive(Clone, Debug)]
pub struct RecordBytes {
    prefix: [u8; PREFIX],
    prefix_len: u8,
    rest: Segment,
}

impl RecordBytes {
    fn whole(record: &Record) -> Result<Self, EncodeError> {
        let rest = Segment::whole(record.to_bytes()?.into());
        Ok(Self { prefix: [0; PREFIX], prefix_len: 0, rest })
    }

    /// The record's parts, in order; any of them may be empty.
    #[must_use]
    pub fn slices(&self) -> [&[u8]; 4] {
        let prefix = self.prefix.get(..usize::from(self.prefix_len)).unwrap_or_default();
        let [head, body, tail] = self.rest.slices();
        [prefix, head, body, tail]
    }

    /// The record's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.prefix_len) + self.rest.len()
    }

    /// Whether there are no bytes at all, which no record is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&mut self, bytes: &[u8]) {
        let from = usize::from(self.prefix_len);
        if let Some(room) = self.prefix.get_mut(from..from + bytes.len()) {
            room.copy_from_slice(bytes);
            self.prefix_len = self.prefix_len.saturating_add(bytes.len() as u8);
        }
    }

    fn push_number(&mut self, number: i64) {
        let (major, argument) = match u64::try_from(number) {
            Ok(number) => (0, number),
            Err(_) => (1, !(number as u64)),
        };
        let (bytes, len) = head_bytes(major, argument);
        self.push(bytes.get(..len).unwrap_or_default());
    }
}

/// Turns what happens at a local side into the records of a recording, in the reference's encoding.
///
/// It writes nothing itself: every call gives the bytes of a record, which belong into the file in
/// the order of the calls. It knows no clock: every time is nanoseconds since 1970 and the caller's.
/// Commands that run at once are told apart by the numbers that
/// [`command_start`](Self::command_start) hands out.
///
/// ```
/// use trunkline_core::agentproto::{Direction, ExecRequest, Frame, Recorder, Redaction, encode};
///
/// # fn main() -> Result<(), trunkline_core::agentproto::EncodeError> {
/// let mut recorder = Recorder::new(Redaction::default());
/// let mut file = Vec::new();
/// let (seq, record) = recorder.command_start(1_000, &ExecRequest::default());
/// file.extend(record?.slices().concat());
/// let record = recorder.frame(2_000, Direction::RECEIVED, seq, encode(&Frame::exit(0, ""))?);
/// file.extend(record.slices().concat());
/// file.extend(recorder.command_end(3_000, seq, Some(0)).slices().concat());
/// file.extend(recorder.footer(4_000).slices().concat());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    redaction: Redaction,
    commands: u32,
}

impl Recorder {
    /// A recorder at the start of a file, which keeps back what the redaction says.
    #[must_use]
    pub const fn new(redaction: Redaction) -> Self {
        Self { redaction, commands: 0 }
    }

    /// The header, which belongs to the front of the file, once.
    #[must_use]
    pub fn header(&self, header: SessionHeader) -> RecordBytes {
        let header = Some(Box::new(header));
        plain(&Record { kind: RecordType::HEADER, header, ..Record::default() })
    }

    /// A command begins: its number, counted from 0 whatever becomes of the record, and the record.
    ///
    /// # Errors
    ///
    /// When one of the command's lists is longer than any reader takes.
    pub fn command_start(
        &mut self,
        time: i64,
        exec: &ExecRequest,
    ) -> (u32, Result<RecordBytes, EncodeError>) {
        let seq = self.commands;
        self.commands = self.commands.wrapping_add(1);
        let mut start = CommandStart { seq, exec: exec.clone(), start_time: time };
        self.redaction.exec(&mut start.exec);
        let command_start = Some(Box::new(start));
        let kind = RecordType::COMMAND_START;
        (seq, RecordBytes::whole(&Record { kind, command_start, ..Record::default() }))
    }

    /// A frame of a command was sent or received; `frame` is the one frame's canonical encoding, as
    /// [`encode`](super::encode) gives it.
    ///
    /// Nothing is copied but what redaction replaces. Under redaction, what is no frame is recorded
    /// as one of type 0.
    #[must_use]
    pub fn frame(&self, time: i64, direction: Direction, seq: u32, frame: Segment) -> RecordBytes {
        let rest = if self.redaction.is_none() { frame } else { self.redacted(&frame) };
        let mut record = RecordBytes { prefix: [0; PREFIX], prefix_len: 0, rest };
        // {type: 3, frame: {ts: .., dir: .., seq: .., frame: ..}}
        record.push(b"\xa2\x64type\x03\x65frame\xa4\x62ts");
        record.push_number(time);
        record.push(b"\x63dir");
        record.push_number(direction.0.into());
        record.push(b"\x63seq");
        record.push_number(seq.into());
        record.push(b"\x65frame");
        record
    }

    fn redacted(&self, segment: &Segment) -> Segment {
        let mut config = Config::default();
        config.limits.frame = segment.len();
        config.limits.frame_memory = usize::MAX;
        config.limits.elements = usize::MAX;
        let mut decoder = Decoder::<Frame>::new(&config);
        for part in segment.clone().into_parts() {
            decoder.push(part);
        }
        // What cannot be looked into is not shown.
        let mut frame = decoder.poll().ok().flatten().unwrap_or_default();
        self.redaction.frame(&mut frame);
        encode_any(&frame)
    }

    /// A command has ended; without an Exit from the agent the code is `None`, recorded as -1.
    #[must_use]
    pub fn command_end(&self, time: i64, seq: u32, exit_code: Option<i64>) -> RecordBytes {
        let exit_code = exit_code.unwrap_or(-1);
        let command_end = Some(Box::new(CommandEnd { seq, end_time: time, exit_code }));
        plain(&Record { kind: RecordType::COMMAND_END, command_end, ..Record::default() })
    }

    /// The footer, which belongs to the end of the file and counts the commands.
    #[must_use]
    pub fn footer(&self, time: i64) -> RecordBytes {
        let footer = SessionFooter { end_time: time, command_count: self.commands };
        let footer = Some(Box::new(footer));
        plain(&Record { kind: RecordType::FOOTER, footer, ..Record::default() })
    }
}

/// A record without lists, which always encodes.
fn plain(record: &Record) -> RecordBytes {
    RecordBytes::whole(record).unwrap_or_else(|_| RecordBytes {
        prefix: [0; PREFIX],
        prefix_len: 0,
        rest: Segment::whole(bytes::Bytes::new()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::record::RecordedFrame;
    use super::*;

    #[test]
    fn the_record_of_a_frame_is_what_the_tables_write_at_every_width() {
        let recorder = Recorder::default();
        let frame = Frame::data(300, alloc::vec![7; 5_000]);
        for time in [0, 23, 24, 255, 256, 65_536, 1_700_000_000_000_000_000, -1, i64::MIN] {
            for (direction, seq) in [(1, 0), (2, 23), (24, 24), (200, 65_536), (255, u32::MAX)] {
                let direction = Direction(direction);
                let bytes = recorder.frame(time, direction, seq, encode_any(&frame));
                let body = RecordedFrame { time, direction, seq, frame: frame.clone() };
                let frame = Some(Box::new(body));
                let record = Record { kind: RecordType::FRAME, frame, ..Record::default() };
                assert_eq!(bytes.slices().concat(), record.to_bytes().unwrap());
                assert_eq!(bytes.len(), bytes.slices().concat().len());
            }
        }
    }

    #[test]
    fn a_payload_is_shared_with_its_frame() {
        let payload = bytes::Bytes::from(alloc::vec![7; 5_000]);
        let segment = super::super::data_segment(1, payload.clone());
        let record = Recorder::default().frame(0, Direction::RECEIVED, 0, segment);
        assert!(core::ptr::eq(record.slices()[2], &*payload));
    }

    #[test]
    fn numbers_count_even_where_a_start_cannot_be_recorded() {
        let mut recorder = Recorder::default();
        let argv = Some(alloc::vec![alloc::string::String::new(); 131_073]);
        let long = ExecRequest { argv, ..ExecRequest::default() };
        let (seq, record) = recorder.command_start(0, &long);
        assert!(seq == 0 && record.is_err());
        assert_eq!(recorder.command_start(0, &ExecRequest::default()).0, 1);
        let footer = recorder.footer(0).slices().concat();
        assert!(footer.ends_with(b"command_count\x02"));
    }

    #[test]
    fn bytes_that_are_no_frame_do_not_pass_a_redaction() {
        let segment = Segment::whole(bytes::Bytes::from_static(b"\x46SECRET"));
        let record = Recorder::new(Redaction::ALL).frame(0, Direction::SENT, 0, segment);
        assert!(record.slices().concat().ends_with(b"\x65frame\xa1\x61t\x00"));
    }
}
