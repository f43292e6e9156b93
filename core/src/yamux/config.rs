//! Settings of a connection: `docs/protocols/yamux.md` section 12.

use core::fmt;
use core::time::Duration;

use super::INITIAL_WINDOW;
use crate::Limits;

/// The largest payload that may ever be sent in one frame: the crate yamux refuses more (9.1).
pub(super) const LARGEST_FRAME: u32 = 1 << 20;

/// Whether receive windows grow with the link (section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowGrowth {
    /// They do, up to [`Limits::window`] and within the connection's memory; the round trip is
    /// measured with pings of the machine's own.
    #[default]
    Tuned,
    /// They stay as they are, as in the original.
    Fixed,
}

/// When a stream that this side opens is announced (section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opens {
    /// At the end of the turn at the latest, on the first data where some was written by then.
    #[default]
    Merged,
    /// In a window update of its own, before anything else, as in the original.
    Apart,
    /// On the first frame that there is to send anyway, as the crate yamux does it.
    Lazy,
}

/// When a stream of the peer is acknowledged (section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acks {
    /// When it is accepted.
    #[default]
    OnAccept,
    /// When it is accepted, but not when the peer has finished it by then, as in the original: its
    /// opener then sees nothing but the end.
    OnAcceptUnlessFinished,
    /// As soon as it is opened: a slow application cannot run into the opener's timeout.
    OnOpen,
    /// On the first frame that there is to send anyway, as the crate yamux does it.
    Lazy,
}

/// What becomes of a stream that a peer opens under id 0 or an id that is this side's to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForeignIds {
    /// It ends the connection.
    #[default]
    Refuse,
    /// It is a stream like others, as in the original, until an own one takes its place.
    Accept,
}

/// What becomes of a stream that a peer opens under an id that it has used before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReusedIds {
    /// It ends the connection. Ids may come in any order, but each of them once.
    #[default]
    Refuse,
    /// It is a new stream, as in the original.
    Accept,
}

/// What becomes of a stream that its opener resets before it is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadStreams {
    /// Nobody sees it.
    #[default]
    Drop,
    /// It is accepted, and reports the reset, as in the original.
    Surface,
}

/// What becomes of credit that adds up to more than a window can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreditOverflow {
    /// It ends the connection.
    #[default]
    Refuse,
    /// The sum wraps, as in the original.
    Wrap,
}

/// What becomes of data behind the end of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LateData {
    /// The stream is reset.
    #[default]
    Reset,
    /// It is delivered behind the end, as in the original.
    Deliver,
}

/// Whether credit is still given for a stream that the peer has finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LateUpdates {
    /// Nobody could use it.
    #[default]
    Omit,
    /// It is, as in the original.
    Send,
}

/// What returns the credit that an own stream takes until it is acknowledged (section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenCredits {
    /// The first of its acknowledgement, its end by the peer, or its own: once for each stream.
    #[default]
    Exact,
    /// Any acknowledgement, also one that has no stream waiting, and the whole end, as in the
    /// original.
    Loose,
}

/// How much data for a stream that is not there is skipped at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownPayload {
    /// As much as the largest window that was ever granted; more ends the connection.
    #[default]
    Bounded,
    /// Any amount, as in the original.
    Any,
}

/// What is done with a few bytes of credit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TinyCredit {
    /// They wait until there is credit for the whole write, or 1 KiB of it, or for 20 ms.
    #[default]
    Gather,
    /// They are used at once, as in the original, in as many frames as the peer likes.
    Use,
}

/// What counts as a sign of life while a keep-alive waits for its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LifeSigns {
    /// Anything that arrives: an answer may stand behind megabytes of data.
    #[default]
    AnyInput,
    /// Only the answer, as in the original.
    Answers,
}

/// How a connection ends that the peer has to be blamed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Farewell {
    /// A go-away frame says so.
    #[default]
    GoAway,
    /// Without a word: the original's go-away never reaches the wire.
    Silent,
}

/// What ends when a stream is not acknowledged in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenTimeout {
    /// The connection, as in the original.
    #[default]
    Connection,
    /// The stream: it is reset, and reports [`LocalEnd::Timeout`](crate::mux::LocalEnd::Timeout).
    Stream,
}

/// Settings of a [`Connection`](super::Connection).
///
/// `Default` is what Trunkline requires; [`reference`](Self::reference) behaves like the original
/// wherever the two differ. The original's `AcceptBacklog` is [`Limits::backlog`] and
/// [`Limits::opens_waiting`]; a time of zero means the same as none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Sizes and counts that a peer cannot exceed.
    pub limits: Limits,
    /// Random, so that a peer cannot choose ids whose places in a table collide. 0, the default:
    /// the bindings draw one for each connection ([`Mux::seed`](crate::mux::Mux::seed)).
    pub hash_seed: u64,
    /// Time between pings that ask whether the peer lives (`KeepAliveInterval`). 30 s; `None`:
    /// never.
    pub keep_alive: Option<Duration>,
    /// How long the transport may take nothing, and how long a keep-alive waits for its answer
    /// (`ConnectionWriteTimeout`). 10 s; `None`: for ever.
    pub write_timeout: Option<Duration>,
    /// How long the rest of a frame may take to come, where there are keep-alives. 60 s.
    pub stall_timeout: Option<Duration>,
    /// The receive window of a stream at its start, in bytes (`MaxStreamWindowSize`). 262,144 and
    /// no less.
    pub window: u32,
    /// How long the peer may take to acknowledge a stream (`StreamOpenTimeout`). 75 s.
    pub open_timeout: Option<Duration>,
    /// How long a stream that this side finished may wait for the peer's end
    /// (`StreamCloseTimeout`); then it is reset. 5 minutes.
    pub close_timeout: Option<Duration>,
    /// The largest payload of one frame sent, in bytes. 16 KiB; 1 MiB at most.
    pub frame_size: u32,
    /// The first id that this side gives out; of its own parity. `None`: 1 for a client, 2 for a
    /// server.
    pub first_id: Option<u32>,
    /// Growth of receive windows.
    pub growth: WindowGrowth,
    /// Announcement of own streams.
    pub opens: Opens,
    /// Acknowledgement of the peer's streams.
    pub acks: Acks,
    /// Streams under ids of the wrong side.
    pub foreign_ids: ForeignIds,
    /// Streams under ids that were used.
    pub reused_ids: ReusedIds,
    /// Streams reset before they were accepted.
    pub dead_streams: DeadStreams,
    /// Credit beyond the largest window.
    pub credit_overflow: CreditOverflow,
    /// Data behind the end.
    pub late_data: LateData,
    /// Credit behind the end.
    pub late_updates: LateUpdates,
    /// Credits of opens.
    pub open_credits: OpenCredits,
    /// Data for streams that are not there.
    pub unknown_payload: UnknownPayload,
    /// Tiny credits.
    pub tiny_credit: TinyCredit,
    /// Signs of life.
    pub life_signs: LifeSigns,
    /// The last word to a peer that broke a rule.
    pub farewell: Farewell,
    /// What a stream that is not acknowledged in time takes with it.
    pub open_timeout_ends: OpenTimeout,
    /// Whether the boundaries of data frames are kept for the reader
    /// ([`Mux::frame_left`](crate::mux::Mux::frame_left)); a read then never goes beyond one. For
    /// messages that are nothing but frames. False: it costs memory, within the budget, for every
    /// frame that is unread.
    pub frame_marks: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Twice the burst of other wires: the original takes 2,000 empty frames in a row.
            limits: Limits { useless_burst: 2_000, ..Limits::default() },
            hash_seed: 0,
            keep_alive: Some(Duration::from_secs(30)),
            write_timeout: Some(Duration::from_secs(10)),
            stall_timeout: Some(Duration::from_secs(60)),
            window: INITIAL_WINDOW,
            open_timeout: Some(Duration::from_secs(75)),
            close_timeout: Some(Duration::from_secs(300)),
            frame_size: 16 << 10,
            first_id: None,
            growth: WindowGrowth::default(),
            opens: Opens::default(),
            acks: Acks::default(),
            foreign_ids: ForeignIds::default(),
            reused_ids: ReusedIds::default(),
            dead_streams: DeadStreams::default(),
            credit_overflow: CreditOverflow::default(),
            late_data: LateData::default(),
            late_updates: LateUpdates::default(),
            open_credits: OpenCredits::default(),
            unknown_payload: UnknownPayload::default(),
            tiny_credit: TinyCredit::default(),
            life_signs: LifeSigns::default(),
            farewell: Farewell::default(),
            open_timeout_ends: OpenTimeout::default(),
            frame_marks: false,
        }
    }
}

impl Config {
    /// The original's behaviour in every setting where Trunkline's differs.
    ///
    /// Limits stay Trunkline's, but for the send queue, which holds the large frames that the
    /// original makes; frames stay below what the crate yamux takes.
    #[must_use]
    pub fn reference() -> Self {
        Self {
            limits: Limits { send_queue: 8 << 20, ..Self::default().limits },
            stall_timeout: None,
            frame_size: LARGEST_FRAME,
            growth: WindowGrowth::Fixed,
            opens: Opens::Apart,
            acks: Acks::OnAcceptUnlessFinished,
            foreign_ids: ForeignIds::Accept,
            reused_ids: ReusedIds::Accept,
            dead_streams: DeadStreams::Surface,
            credit_overflow: CreditOverflow::Wrap,
            late_data: LateData::Deliver,
            late_updates: LateUpdates::Send,
            open_credits: OpenCredits::Loose,
            unknown_payload: UnknownPayload::Any,
            tiny_credit: TinyCredit::Use,
            life_signs: LifeSigns::Answers,
            farewell: Farewell::Silent,
            ..Self::default()
        }
    }

    /// Whether the settings make sense together, in the order in which the original looks.
    ///
    /// # Errors
    ///
    /// The first that does not.
    pub fn verify(&self) -> Result<(), ConfigError> {
        if self.limits.backlog == 0 || self.limits.opens_waiting == 0 {
            Err(ConfigError::Backlog)
        } else if self.keep_alive == Some(Duration::ZERO) {
            Err(ConfigError::KeepAlive)
        } else if self.window < INITIAL_WINDOW {
            Err(ConfigError::Window)
        } else if !(1..=LARGEST_FRAME).contains(&self.frame_size) {
            Err(ConfigError::FrameSize)
        } else if self.first_id.is_some_and(|id| !(1..=u32::MAX - 2).contains(&id)) {
            Err(ConfigError::FirstId)
        } else {
            Ok(())
        }
    }
}

/// Why settings are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// [`Limits::backlog`] or [`Limits::opens_waiting`] is 0.
    Backlog,
    /// [`Config::keep_alive`] is a time of 0.
    KeepAlive,
    /// [`Config::window`] is below 262,144.
    Window,
    /// [`Config::frame_size`] is 0 or above 1 MiB.
    FrameSize,
    /// [`Config::first_id`] is 0, beyond 4,294,967,293, or of the other side's parity.
    FirstId,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The first three in the original's words.
        f.write_str(match self {
            Self::Backlog => "backlog must be positive",
            Self::KeepAlive => "keep-alive interval must be positive",
            Self::Window => "MaxStreamWindowSize must be larger than 262144",
            Self::FrameSize => "frame_size must be from 1 to 1048576",
            Self::FirstId => "first_id must be one that this side may give out",
        })
    }
}

impl core::error::Error for ConfigError {}
