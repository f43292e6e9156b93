//! Records of a session recording: `docs/protocols/agentproto.md` section 12.

use alloc::boxed::Box;
use alloc::string::String;

#[cfg(feature = "serde")]
use super::frame::is_zero;
use super::frame::{ExecRequest, Frame};

/// The type of a record; any number can stand in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct RecordType(pub u8);

impl RecordType {
    /// Who recorded what, once at the start.
    pub const HEADER: Self = Self(1);
    /// A command begins.
    pub const COMMAND_START: Self = Self(2);
    /// A frame was sent or received.
    pub const FRAME: Self = Self(3);
    /// A command has ended.
    pub const COMMAND_END: Self = Self(4);
    /// The recording was closed in order.
    pub const FOOTER: Self = Self(5);
}

/// The direction of a recorded frame; any number can stand in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Direction(pub u8);

impl Direction {
    /// Sent by the local side.
    pub const SENT: Self = Self(1);
    /// Received by the local side.
    pub const RECEIVED: Self = Self(2);
}

/// One record. By intent exactly one body is present; none is enforced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Record {
    /// `type`: which body to look at.
    #[cfg_attr(feature = "serde", serde(rename = "type"))]
    pub kind: RecordType,
    /// `frame`: body of a frame record.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub frame: Option<Box<RecordedFrame>>,
    /// `footer`: body of the footer.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub footer: Option<Box<SessionFooter>>,
    /// `header`: body of the header.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub header: Option<Box<SessionHeader>>,
    /// `cmd_end`: body of a command's end.
    #[cfg_attr(feature = "serde", serde(rename = "cmd_end", skip_serializing_if = "is_zero"))]
    pub command_end: Option<Box<CommandEnd>>,
    /// `cmd_start`: body of a command's start.
    #[cfg_attr(feature = "serde", serde(rename = "cmd_start", skip_serializing_if = "is_zero"))]
    pub command_start: Option<Box<CommandStart>>,
}

/// A frame as it was sent or received. Times are nanoseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct RecordedFrame {
    /// `ts`: when.
    #[cfg_attr(feature = "serde", serde(rename = "ts"))]
    pub time: i64,
    /// `dir`: which way.
    #[cfg_attr(feature = "serde", serde(rename = "dir"))]
    pub direction: Direction,
    /// `seq`: of which command.
    pub seq: u32,
    /// The frame itself.
    pub frame: Frame,
}

/// Who recorded what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct SessionHeader {
    /// Version of the recording program.
    pub version: String,
    /// Process number of the recording program.
    pub local_pid: i64,
    /// Path of the agent.
    pub agent_path: String,
    /// Name of the local user.
    pub local_user: String,
    /// When the recording began, in nanoseconds since 1970.
    pub start_time: i64,
    /// Address of the backend.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub backend_addr: String,
    /// Name of the backend, such as `ssh` or `docker`.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub backend_type: String,
}

/// A command begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct CommandStart {
    /// Number of the command, from 0.
    pub seq: u32,
    /// The command.
    pub exec: ExecRequest,
    /// When, in nanoseconds since 1970.
    pub start_time: i64,
}

/// A command has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct CommandEnd {
    /// Number of the command.
    pub seq: u32,
    /// When, in nanoseconds since 1970.
    pub end_time: i64,
    /// Its exit code; -1 when none arrived.
    pub exit_code: i64,
}

/// The recording was closed in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct SessionFooter {
    /// When, in nanoseconds since 1970.
    pub end_time: i64,
    /// How many commands were recorded.
    pub command_count: u32,
}
