//! Settings of a connection: `docs/protocols/smux.md` section 3, and the deviations of section 14.

use core::fmt;
use core::time::Duration;

use super::frame::{LARGEST, Version};
use crate::Limits;

/// The largest number that the original counts in; windows and buffers stay below it.
const MOST: usize = 0x7fff_ffff;

/// What becomes of writes behind the peer's FIN (section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PassiveClose {
    /// They are sent: each direction ends for itself.
    #[default]
    HalfOpen,
    /// They are refused, as releases 1.5.28 to 1.5.53 of the original do.
    Strict,
}

/// What becomes of unread bytes when both directions have ended (section 5, hazard 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnreadAtEnd {
    /// They stay readable, then comes the end.
    #[default]
    Keep,
    /// They are gone, as in the original.
    Drop,
}

/// What becomes of the connection when the peer breaks a rule (section 10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterViolation {
    /// It is over.
    #[default]
    End,
    /// Nothing more is read; streams can be opened and written to until somebody closes it, as in
    /// the original.
    Linger,
}

/// Which ids a peer may open streams under (section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerIds {
    /// Any that is not in use, as in the original. A stream of this side never takes the place of
    /// one that lives.
    #[default]
    Any,
    /// Only those of the peer's parity; others are refused with FIN.
    Parity,
}

/// Whether giving up a stream whose direction was finished already sends a second FIN (section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecondFin {
    /// One FIN is enough.
    #[default]
    Never,
    /// It does, as in the original, while the peer has not finished.
    Sent,
}

/// By what a writer learns that the peer has let go of a stream (hazard 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerGone {
    /// By a second FIN: who has half-closes sends one when a stream that it had finished is closed.
    /// Writing then ends with [`StreamEnd::Reset`](crate::mux::StreamEnd), and what was queued is
    /// dropped here instead of there.
    #[default]
    SecondFin,
    /// By nothing, as in the original: a writer without credit waits for the connection's end.
    Nothing,
}

/// How windows of version 2 are chosen (section 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowSize {
    /// They begin with what every peer assumes, 256 KiB, and grow with the link.
    #[default]
    Grown,
    /// Always [`Config::max_stream_buffer`], as in the original.
    Fixed,
}

/// What becomes of a stream of version 2 whose peer sends more than its window (section 12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overrun {
    /// It is ended by this side.
    #[default]
    EndStream,
    /// Nothing: the connection's buffer alone bounds it, as in the original.
    Ignore,
}

/// What becomes of a stream whose peer claims to have read what was never sent, and of a claim to
/// have read less than before (section 12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overclaim {
    /// It is ended by this side at once; a claim that goes back is ignored.
    #[default]
    EndStream,
    /// Any claim is taken, and writes fail while one stands that is too high, as in the original.
    FailWrites,
}

/// What becomes of the connection of version 1 when unread bytes have used up its buffer
/// (section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FullBuffer {
    /// Nothing more is read until somebody reads, as in the original: one unread stream holds up
    /// all others.
    #[default]
    Wait,
    /// The stream with the most unread bytes is ended by this side, so that the others go on.
    EndLongest,
}

/// What becomes of a SYN beyond the limits on streams (section 5, section 12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FullBacklog {
    /// It is refused with FIN.
    #[default]
    Refuse,
    /// Nothing more is read until a stream is accepted, as in the original.
    Wait,
}

/// In what pieces payload is handed on (section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// As it arrives, also parts of a frame that is not whole.
    #[default]
    Pieces,
    /// Whole frames, one read never crossing two, as in the original; what was sent of a frame that
    /// never became whole is lost.
    Frames,
}

/// How window updates are counted where the count passes 2^32 (section 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateCount {
    /// In 64 bits, of which the low 32 are sent.
    #[default]
    Whole,
    /// In 32 bits, as in the original: the update is left out where the count becomes exactly 0, and
    /// one more is sent where it becomes exactly what was read.
    Wrapped,
}

/// What becomes of data behind the peer's FIN (section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LateData {
    /// Dropped and counted: an end is an end.
    #[default]
    Drop,
    /// Delivered, also behind the end if it was told already, as in the original.
    Deliver,
}

/// Whether frames that cost the peer nothing are counted (section 12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UselessFrames {
    /// Against [`Limits::useless_burst`] and [`Limits::useless_rate`].
    #[default]
    Metered,
    /// No, as in the original.
    Free,
}

/// Settings of a [`Connection`](super::Connection).
///
/// Both ends must be configured alike in `version` and `keep_alive`: the wire negotiates nothing.
/// `Default` is what Trunkline requires; [`reference`](Self::reference) behaves like the original
/// wherever the two differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Sizes, counts and rates that a peer cannot exceed.
    pub limits: Limits,
    /// Keys the table of streams, so that a peer cannot choose ids that collide; any random number.
    /// 0, the default: the bindings draw one for each connection ([`Mux::seed`](crate::mux::Mux::seed)).
    pub hash_seed: u64,
    /// The version spoken. 1, which is what AWS speaks.
    pub version: Version,
    /// Whether signs of life are sent and expected. The peer must do the same: one that sends none
    /// and is idle is taken for dead. On.
    pub keep_alive: bool,
    /// How often a sign of life is sent. 10 s.
    pub keep_alive_interval: Duration,
    /// How often it is checked that something arrived: a dead peer is noticed after one to two of
    /// these. 30 s.
    pub keep_alive_timeout: Duration,
    /// The largest payload of a frame sent, in bytes; up to 65,535 are taken in. 32 KiB.
    pub max_frame_size: usize,
    /// Unread bytes of all streams together before nothing more is read, in bytes. 4 MiB.
    pub max_receive_buffer: usize,
    /// The window of a stream in bytes (version 2). 64 KiB; beyond that it grows unless
    /// [`WindowSize::Fixed`] says otherwise.
    pub max_stream_buffer: usize,
    /// How long the transport may take nothing of what waits to be sent. `None`, the default: for
    /// ever, because a peer of version 1 that does not read is no dead peer.
    pub write_timeout: Option<Duration>,
    /// How long a frame that was begun may take to become whole. `None`, the default: as long as the
    /// keep-alive allows.
    pub frame_timeout: Option<Duration>,
    /// Where the counter of this side's ids begins; the first id is two more. `None`, the default:
    /// at 1 (client) and 0 (server). For tests of ids that run out.
    pub id_base: Option<u32>,
    /// Writes behind the peer's FIN.
    pub passive_close: PassiveClose,
    /// Unread bytes at the end of both directions.
    pub unread_at_end: UnreadAtEnd,
    /// The connection after a violation.
    pub after_violation: AfterViolation,
    /// Ids of the peer's streams.
    pub peer_ids: PeerIds,
    /// FIN behind FIN.
    pub second_fin: SecondFin,
    /// By what a writer learns that nobody reads.
    pub peer_gone: PeerGone,
    /// Windows of version 2.
    pub window_size: WindowSize,
    /// Data beyond the window.
    pub overrun: Overrun,
    /// Updates beyond what was sent.
    pub overclaim: Overclaim,
    /// Unread bytes beyond the buffer (version 1).
    pub full_buffer: FullBuffer,
    /// Streams beyond the limits.
    pub full_backlog: FullBacklog,
    /// Data behind FIN.
    pub late_data: LateData,
    /// Pieces of payload.
    pub delivery: Delivery,
    /// Counting of updates.
    pub update_count: UpdateCount,
    /// Frames without effect.
    pub useless_frames: UselessFrames,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            hash_seed: 0,
            version: Version::One,
            keep_alive: true,
            keep_alive_interval: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(30),
            max_frame_size: 32_768,
            max_receive_buffer: 4 << 20,
            max_stream_buffer: 64 << 10,
            write_timeout: None,
            frame_timeout: None,
            id_base: None,
            passive_close: PassiveClose::default(),
            unread_at_end: UnreadAtEnd::default(),
            after_violation: AfterViolation::default(),
            peer_ids: PeerIds::default(),
            second_fin: SecondFin::default(),
            peer_gone: PeerGone::default(),
            window_size: WindowSize::default(),
            overrun: Overrun::default(),
            overclaim: Overclaim::default(),
            full_buffer: FullBuffer::default(),
            full_backlog: FullBacklog::default(),
            late_data: LateData::default(),
            delivery: Delivery::default(),
            update_count: UpdateCount::default(),
            useless_frames: UselessFrames::default(),
        }
    }
}

impl Config {
    /// The original's behaviour (release 1.5.57) in every setting where Trunkline's differs.
    ///
    /// The limits that the original has are its own (1,024 streams waiting for accept, 1,024 frames
    /// waiting to be sent); it has none on streams.
    #[must_use]
    pub fn reference() -> Self {
        let limits = Limits {
            backlog: 1_024,
            streams: usize::MAX,
            // 1,024 frames.
            send_queue: 64 << 20,
            ..Limits::default()
        };
        Self {
            limits,
            unread_at_end: UnreadAtEnd::Drop,
            after_violation: AfterViolation::Linger,
            second_fin: SecondFin::Sent,
            peer_gone: PeerGone::Nothing,
            window_size: WindowSize::Fixed,
            overrun: Overrun::Ignore,
            overclaim: Overclaim::FailWrites,
            full_backlog: FullBacklog::Wait,
            late_data: LateData::Deliver,
            delivery: Delivery::Frames,
            update_count: UpdateCount::Wrapped,
            useless_frames: UselessFrames::Free,
            ..Self::default()
        }
    }

    /// Checks the rules of section 3, in the original's order.
    ///
    /// # Errors
    ///
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rules = [
            (self.keep_alive && self.keep_alive_interval.is_zero(), ConfigError::Interval),
            (
                self.keep_alive && self.keep_alive_timeout < self.keep_alive_interval,
                ConfigError::Timeout,
            ),
            (self.max_frame_size == 0, ConfigError::NoFrame),
            (self.max_frame_size > LARGEST, ConfigError::LargeFrame),
            (self.max_receive_buffer == 0, ConfigError::NoReceiveBuffer),
            (self.max_receive_buffer > MOST, ConfigError::LargeReceiveBuffer),
            (self.max_stream_buffer == 0, ConfigError::NoStreamBuffer),
            (self.max_stream_buffer > self.max_receive_buffer, ConfigError::StreamOverReceive),
            (self.max_stream_buffer > MOST, ConfigError::LargeStreamBuffer),
        ];
        rules.into_iter().find(|(broken, _)| *broken).map_or(Ok(()), |(_, error)| Err(error))
    }
}

/// Which rule a configuration breaks (section 3); `Display` is the original's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A version other than 1 and 2.
    Version,
    /// Keep-alive is on and its interval is zero.
    Interval,
    /// Keep-alive is on and its timeout is shorter than its interval.
    Timeout,
    /// `max_frame_size` is 0.
    NoFrame,
    /// `max_frame_size` is more than 65,535.
    LargeFrame,
    /// `max_receive_buffer` is 0.
    NoReceiveBuffer,
    /// `max_receive_buffer` is more than 2,147,483,647.
    LargeReceiveBuffer,
    /// `max_stream_buffer` is 0.
    NoStreamBuffer,
    /// `max_stream_buffer` is more than `max_receive_buffer`.
    StreamOverReceive,
    /// `max_stream_buffer` is more than 2,147,483,647.
    LargeStreamBuffer,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "unsupported protocol version",
            Self::Interval => "keep-alive interval must be positive",
            Self::Timeout => "keep-alive timeout must be larger than keep-alive interval",
            Self::NoFrame => "max frame size must be positive",
            Self::LargeFrame => "max frame size must not be larger than 65535",
            Self::NoReceiveBuffer => "max receive buffer must be positive",
            Self::LargeReceiveBuffer => "max receive buffer cannot be larger than 2147483647",
            Self::NoStreamBuffer => "max stream buffer must be positive",
            Self::StreamOverReceive => {
                "max stream buffer must not be larger than max receive buffer"
            }
            Self::LargeStreamBuffer => "max stream buffer cannot be larger than 2147483647",
        })
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    fn error(change: impl FnOnce(&mut Config)) -> std::string::String {
        let mut config = Config::default();
        change(&mut config);
        config.check().map_or_else(|error| error.to_string(), |()| "fine".to_string())
    }

    #[test]
    fn each_rule_is_told_in_the_words_of_the_original() {
        assert_eq!(Version::new(3).unwrap_err().to_string(), "unsupported protocol version");
        for (told, expected) in [
            (error(|_| {}), "fine"),
            (
                error(|c| c.keep_alive_interval = Duration::ZERO),
                "keep-alive interval must be positive",
            ),
            (
                error(|c| c.keep_alive_timeout = Duration::from_secs(9)),
                "keep-alive timeout must be larger than keep-alive interval",
            ),
            (error(|c| c.keep_alive_timeout = Duration::from_secs(10)), "fine"),
            (error(|c| c.max_frame_size = 0), "max frame size must be positive"),
            (error(|c| c.max_frame_size = 65_536), "max frame size must not be larger than 65535"),
            (error(|c| c.max_frame_size = 65_535), "fine"),
            (error(|c| c.max_receive_buffer = 0), "max receive buffer must be positive"),
            (
                error(|c| c.max_receive_buffer = 1 << 31),
                "max receive buffer cannot be larger than 2147483647",
            ),
            (error(|c| c.max_stream_buffer = 0), "max stream buffer must be positive"),
            (
                error(|c| c.max_stream_buffer = (4 << 20) + 1),
                "max stream buffer must not be larger than max receive buffer",
            ),
            (error(|c| c.max_stream_buffer = 4 << 20), "fine"),
        ] {
            assert_eq!(told, expected);
        }
        let off = |c: &mut Config| {
            (c.keep_alive, c.keep_alive_interval) = (false, Duration::ZERO);
            c.keep_alive_timeout = Duration::ZERO;
        };
        assert_eq!(error(off), "fine");
    }
}
