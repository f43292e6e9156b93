//! Settings of the two machines.

use core::time::Duration;

use super::DATA_CHUNK;
use crate::Limits;

/// Which encodings a decoder takes (section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acceptance {
    /// Everything the original takes: tiers F and Q.
    #[default]
    Lenient,
    /// Tier F only: other legal encodings of the same data, none of the original's coercions.
    Format,
    /// Only the one canonical encoding of section 2, without unknown keys.
    Canonical,
}

/// What becomes of DATA for a stream whose EOF has come (section 10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LateData {
    /// Dropped and counted: an end is an end.
    #[default]
    Drop,
    /// Delivered after the end, as the original does, which keeps no state of a stream.
    Deliver,
}

/// What becomes of a handle that an agent opens for a request already cancelled (section 10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LateHandle {
    /// Closed by a request of the machine's own.
    #[default]
    Close,
    /// Left open at the agent until the session ends, as the original does.
    Leak,
}

/// What an agent does when its input ends before the command has (hazard H8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostInput {
    /// Every input stream ends; after `grace` the group gets SIGHUP, after another SIGKILL.
    HangUp {
        /// Time to the hang-up, and from there to the kill.
        grace: Duration,
    },
    /// Every input stream ends; the command may run as long as it likes.
    EndStreams,
    /// Nothing at all: the command waits for input for ever, as in the original.
    Ignore,
}

/// Which signal numbers an agent hands to its host (section 15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignalNumbers {
    /// 0 to 64; anything else is answered with a log record and not delivered.
    #[default]
    Known,
    /// Any, as in the original: the host's system refuses what it does not know.
    Any,
}

/// Whether it is made sure that both sides number file operations alike (hazard H2).
///
/// Version 1.3 gave new meanings to the numbers above 7, and nothing on the wire tells the versions
/// apart: a mode change sent to an agent of 1.2 empties the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpNumbers {
    /// A local side asks for operation 16, which 1.2 did not have, and sends requests above 7 once
    /// that is answered; an agent refuses a first request that only a client of 1.2 sends.
    #[default]
    Verified,
    /// Nothing is asked or refused, as in the original's machinery: both are of 1.3, or the caller
    /// has made sure.
    Assumed,
}

/// Whether an agent's log record of a command shows its arguments (hazard H24).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogArguments {
    /// As the original does: the caller knows them anyway.
    #[default]
    Show,
    /// Only how many there are.
    Redact,
}

/// Settings of [`Local`](super::Local), [`Agent`](super::Agent) and [`Decoder`](super::Decoder).
///
/// `Default` is what Trunkline requires; [`reference`](Self::reference) behaves like the original
/// wherever the two differ, and is meant for replaying the original's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Sizes and counts a peer cannot exceed.
    pub limits: Limits,
    /// Which encodings are taken.
    pub acceptance: Acceptance,
    /// The largest payload of a DATA frame sent. The original sends at most 32,768 bytes.
    pub data_chunk: usize,
    /// DATA after EOF of the same stream.
    pub late_data: LateData,
    /// Handles opened for cancelled requests.
    pub late_handle: LateHandle,
    /// End of an agent's input before its command has ended.
    pub lost_input: LostInput,
    /// Signals that an agent's host is asked to deliver.
    pub signal_numbers: SignalNumbers,
    /// Numbers of file operations.
    pub op_numbers: OpNumbers,
    /// Arguments in an agent's log records.
    pub log_arguments: LogArguments,
    /// How long a local side waits for an agent's first frame. `None`, the default: for ever.
    pub answer_timeout: Option<Duration>,
    /// How long an agent whose input has ended waits for its host to answer the next of the file
    /// requests that it still has: a file system may hang for ever. 30 s; `None`: for ever.
    pub last_answers: Option<Duration>,
    /// How long a local side waits for the answer to a file request while the agent says nothing at
    /// all, and a tenth of how long it waits while other answers come, and for Fsync and Close in any
    /// case. `None`: for ever. 60 seconds.
    ///
    /// Where [`answer_timeout`](Self::answer_timeout) is set, all this counts from the agent's first
    /// frame on: until then that one alone says how long the session waits.
    pub request_timeout: Option<Duration>,
    /// The lowest level of its own log records that an agent sends. -8: everything.
    pub log_level: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            acceptance: Acceptance::default(),
            data_chunk: DATA_CHUNK,
            late_data: LateData::default(),
            late_handle: LateHandle::default(),
            lost_input: LostInput::HangUp { grace: Duration::from_secs(5) },
            signal_numbers: SignalNumbers::default(),
            op_numbers: OpNumbers::default(),
            log_arguments: LogArguments::default(),
            answer_timeout: None,
            last_answers: Some(Duration::from_secs(30)),
            request_timeout: Some(Duration::from_secs(60)),
            log_level: super::Level::TRACE.0,
        }
    }
}

impl Config {
    /// The original's behaviour in every setting where Trunkline's differs.
    ///
    /// Limits stay Trunkline's: the original has hardly any, and no recorded session needs more.
    #[must_use]
    pub fn reference() -> Self {
        Self {
            late_data: LateData::Deliver,
            late_handle: LateHandle::Leak,
            lost_input: LostInput::Ignore,
            signal_numbers: SignalNumbers::Any,
            op_numbers: OpNumbers::Assumed,
            last_answers: None,
            request_timeout: None,
            ..Self::default()
        }
    }
}
