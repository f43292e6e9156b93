//! CBOR frames between a local side and a remote agent: run commands, list programs, use files.
//!
//! The rules stand in `docs/protocols/agentproto.md`; section numbers in this module's comments
//! are that page's. Two machines speak the wire: [`Local`], the side that wants something, and
//! [`Agent`], the side that does it. Below them [`Decoder`] turns bytes into [`Frame`]s (or into
//! the [`Record`]s of a recording) and [`encode`] turns frames into [`Segment`](crate::Segment)s.

mod agent;
mod calls;
mod config;
mod data;
mod decoder;
mod encode;
mod escape;
mod fileop;
mod files;
mod frame;
mod inbox;
mod input;
mod link;
mod local;
mod log;
mod mode;
mod numbers;
mod outbox;
mod playback;
mod record;
mod recorder;
mod redaction;
mod scan;
mod tap;
mod verify;
mod violation;
mod wire;

pub use agent::{Agent, AgentEvent};
pub use config::{
    Acceptance, Config, LateData, LateHandle, LogArguments, LostInput, OpNumbers, SignalNumbers,
};
pub use data::DataView;
pub use decoder::{Decoder, Item};
pub use encode::{EncodeError, data_segment, encode};
pub use escape::{Escaped, escape};
pub use fileop::{DirEntry, FileOp, FileRequest, FileResponse, Stat, Statfs};
pub use files::{AheadRead, FileServer, Job, Piece, RangePlan, ReadAhead, Stalled, WriteBehind};
pub use frame::{
    AgentConfig, ExecRequest, Frame, FrameType, LogRecord, PathEntry, PathInfo, PathQuery,
};
pub use inbox::Read;
pub use link::Stats;
pub use local::{Local, LocalEvent, Misuse};
pub use log::Level;
pub use mode::{mode_bits, mode_from_unix};
pub use outbox::Write;
pub use playback::{Damage, Placed, Playback};
pub use record::{
    CommandEnd, CommandStart, Direction, Record, RecordType, RecordedFrame, SessionFooter,
    SessionHeader,
};
pub use recorder::{RecordBytes, Recorder};
pub use redaction::Redaction;
pub use tap::Tapped;
pub use verify::{Finding, Verifier};
pub use violation::{FirstBytes, Malformed, Violation};

/// The largest payload of one DATA frame that a sender makes (section 1).
pub const DATA_CHUNK: usize = 32_768;
