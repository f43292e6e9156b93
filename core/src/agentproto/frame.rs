//! Frames and the messages inside them: `docs/protocols/agentproto.md` sections 4 and 5.
//!
//! Fields stand in wire order (shorter key first, ties by byte value). A list that is an `Option`
//! keeps the wire's three-way distinction: absent and null are `None`, an empty list is
//! `Some(vec![])`. In JSON (feature `serde`) every type looks as in the golden vectors: keyed by
//! wire key, zero values left out where the wire leaves them out.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::fileop::{FileRequest, FileResponse};
use crate::Payload;

/// Whether a value is its type's zero value, which the wire leaves out.
#[cfg(feature = "serde")]
pub(super) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The type of a frame (`t`); any number can stand on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct FrameType(pub u8);

impl FrameType {
    /// Run a command (local to agent).
    pub const EXEC: Self = Self(1);
    /// Bytes of a stream (both ways).
    pub const DATA: Self = Self(2);
    /// The end of a stream (both ways).
    pub const EOF: Self = Self(3);
    /// A signal for the command's process group (local to agent).
    pub const SIGNAL: Self = Self(4);
    /// The command's exit code; the session's last frame (agent to local).
    pub const EXIT: Self = Self(5);
    /// A failure in words (agent to local); only a PATH query looks at it.
    pub const ERROR: Self = Self(6);
    /// A log record (agent to local).
    pub const LOG: Self = Self(7);
    /// The agent's configuration (local to agent, first of all).
    pub const CONFIG: Self = Self(8);
    /// A PATH query (local to agent).
    pub const PATH_QUERY: Self = Self(9);
    /// The answer to a PATH query (agent to local).
    pub const PATH_INFO: Self = Self(10);
    /// A file request (local to agent).
    pub const FILE_REQUEST: Self = Self(11);
    /// The answer to a file request (agent to local).
    pub const FILE_RESPONSE: Self = Self(12);
}

/// One frame. Its type decides which other fields matter; all of them are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Frame {
    /// `c`: exit code.
    #[cfg_attr(feature = "serde", serde(rename = "c", skip_serializing_if = "is_zero"))]
    pub code: i64,
    /// `d`: payload.
    #[cfg_attr(feature = "serde", serde(rename = "d", skip_serializing_if = "is_zero"))]
    pub data: Payload,
    /// `e`: error text.
    #[cfg_attr(feature = "serde", serde(rename = "e", skip_serializing_if = "is_zero"))]
    pub error: String,
    /// `i`: result of a PATH query.
    #[cfg_attr(feature = "serde", serde(rename = "i", skip_serializing_if = "is_zero"))]
    pub path_info: Option<Box<PathInfo>>,
    /// `l`: log record.
    #[cfg_attr(feature = "serde", serde(rename = "l", skip_serializing_if = "is_zero"))]
    pub log: Option<Box<LogRecord>>,
    /// `q`: PATH query.
    #[cfg_attr(feature = "serde", serde(rename = "q", skip_serializing_if = "is_zero"))]
    pub path_query: Option<Box<PathQuery>>,
    /// `s`: stream number: 0 stdin, 1 stdout, 2 stderr, 3 and up extra descriptors.
    #[cfg_attr(feature = "serde", serde(rename = "s", skip_serializing_if = "is_zero"))]
    pub stream: u32,
    /// `t`: frame type.
    #[cfg_attr(feature = "serde", serde(rename = "t"))]
    pub kind: FrameType,
    /// `x`: command.
    #[cfg_attr(feature = "serde", serde(rename = "x", skip_serializing_if = "is_zero"))]
    pub exec: Option<Box<ExecRequest>>,
    /// `cfg`: agent configuration.
    #[cfg_attr(feature = "serde", serde(rename = "cfg", skip_serializing_if = "is_zero"))]
    pub config: Option<Box<AgentConfig>>,
    /// `fop`: file request.
    #[cfg_attr(feature = "serde", serde(rename = "fop", skip_serializing_if = "is_zero"))]
    pub file_request: Option<Box<FileRequest>>,
    /// `frp`: file response.
    #[cfg_attr(feature = "serde", serde(rename = "frp", skip_serializing_if = "is_zero"))]
    pub file_response: Option<Box<FileResponse>>,
    /// `sig`: signal number.
    #[cfg_attr(feature = "serde", serde(rename = "sig", skip_serializing_if = "is_zero"))]
    pub signal: i64,
}

impl Frame {
    /// An otherwise empty frame of type `kind`.
    #[must_use]
    pub fn of(kind: FrameType) -> Self {
        Self { kind, ..Self::default() }
    }

    /// Bytes of a stream.
    #[must_use]
    pub fn data(stream: u32, data: impl Into<Payload>) -> Self {
        Self { stream, data: data.into(), ..Self::of(FrameType::DATA) }
    }

    /// The end of a stream.
    #[must_use]
    pub fn eof(stream: u32) -> Self {
        Self { stream, ..Self::of(FrameType::EOF) }
    }

    /// A command to run.
    #[must_use]
    pub fn exec(exec: ExecRequest) -> Self {
        Self { exec: Some(Box::new(exec)), ..Self::of(FrameType::EXEC) }
    }

    /// The agent's configuration.
    #[must_use]
    pub fn config(config: AgentConfig) -> Self {
        Self { config: Some(Box::new(config)), ..Self::of(FrameType::CONFIG) }
    }

    /// A signal for the command.
    #[must_use]
    pub fn signal(signal: i64) -> Self {
        Self { signal, ..Self::of(FrameType::SIGNAL) }
    }

    /// The command's end.
    #[must_use]
    pub fn exit(code: i64, error: impl Into<String>) -> Self {
        Self { code, error: error.into(), ..Self::of(FrameType::EXIT) }
    }

    /// A log record.
    #[must_use]
    pub fn log(log: LogRecord) -> Self {
        Self { log: Some(Box::new(log)), ..Self::of(FrameType::LOG) }
    }

    /// A PATH query.
    #[must_use]
    pub fn path_query(query: PathQuery) -> Self {
        Self { path_query: Some(Box::new(query)), ..Self::of(FrameType::PATH_QUERY) }
    }

    /// The answer to a PATH query.
    #[must_use]
    pub fn path_info(info: PathInfo) -> Self {
        Self { path_info: Some(Box::new(info)), ..Self::of(FrameType::PATH_INFO) }
    }

    /// A file request.
    #[must_use]
    pub fn file_request(request: FileRequest) -> Self {
        Self { file_request: Some(Box::new(request)), ..Self::of(FrameType::FILE_REQUEST) }
    }

    /// The answer to a file request.
    #[must_use]
    pub fn file_response(response: FileResponse) -> Self {
        Self { file_response: Some(Box::new(response)), ..Self::of(FrameType::FILE_RESPONSE) }
    }
}

/// A command to run (`x`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct ExecRequest {
    /// Working directory; empty: the agent's own.
    pub cwd: String,
    /// Environment as `NAME=value`. `None`: the agent's own; `Some` of nothing: an empty one.
    pub env: Option<Vec<String>>,
    /// Extra descriptors, 3 and up, each bridged as the stream of that number.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub fds: Vec<u32>,
    /// Arguments. The first is thrown away by every agent: the child sees `path` in its place.
    pub argv: Option<Vec<String>>,
    /// Program. Without a slash it is looked up in the agent's PATH, not in that of `env`.
    pub path: String,
}

/// The agent's configuration (`cfg`): which of the command's environment passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct AgentConfig {
    /// Patterns of names to keep.
    pub env_keep: Option<Vec<String>>,
    /// Patterns of names to drop; stronger than `env_keep`.
    pub env_remove: Option<Vec<String>>,
}

/// A log record (`l`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct LogRecord {
    /// Attributes as `key=value`.
    #[cfg_attr(feature = "serde", serde(rename = "a", skip_serializing_if = "is_zero"))]
    pub attributes: Vec<String>,
    /// Level: -8 trace, -4 debug, 0 info, 4 warn, 8 error; any other number is legal.
    #[cfg_attr(feature = "serde", serde(rename = "lvl"))]
    pub level: i64,
    /// Message.
    #[cfg_attr(feature = "serde", serde(rename = "msg"))]
    pub message: String,
}

/// A PATH query (`q`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct PathQuery {
    /// Directories to look in, in order; none: the agent's own PATH.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub paths: Vec<String>,
}

/// The answer to a PATH query (`i`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct PathInfo {
    /// What was found; `None` when nothing was.
    pub entries: Option<Vec<PathEntry>>,
}

/// One executable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct PathEntry {
    /// Permission bits only (0 to 0o777).
    pub mode: u32,
    /// File name.
    pub name: String,
    /// Directory and name.
    pub path: String,
    /// Size in bytes.
    pub size: i64,
    /// Modification time in nanoseconds since 1970.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub mtime: i64,
}
