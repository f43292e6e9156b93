//! smux, versions 1 and 2: streams over one byte connection, with heads of eight bytes.
//!
//! The rules stand in `docs/protocols/smux.md`; section numbers in this module's comments are that
//! page's. [`Connection`] speaks the wire in either role; a [`Frame`] is for whoever looks at whole
//! frames, with [`FrameDecoder`](crate::fixed::FrameDecoder).

mod config;
mod connection;
mod frame;
#[cfg(feature = "serde")]
mod notation;
mod state;
mod violation;

pub use config::{
    AfterViolation, Config, ConfigError, Delivery, FullBacklog, FullBuffer, LateData, Overclaim,
    Overrun, PassiveClose, PeerGone, PeerIds, SecondFin, UnreadAtEnd, UpdateCount, UselessFrames,
    WindowSize,
};
pub use connection::Connection;
pub use frame::{Body, Command, EncodeError, Frame, Head, Update, Version};
pub use violation::Violation;
