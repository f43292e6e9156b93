//! Why a machine is over.

use alloc::string::String;
use core::fmt;

use crate::{agentproto, carrier, smux, wormhole, yamux};

/// Why a machine is over. Sticky once set, and reported by exactly one `Closed` event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side ended it: `close` or `abort` was called.
    Local,
    /// The peer's direction ended without the wire's own farewell.
    Eof {
        /// Whether a frame was begun and never finished: certain loss.
        mid_frame: bool,
    },
    /// The peer ended it in the wire's own way.
    Peer {
        /// The wire's code (exit code, error code), 0 where it has none.
        code: i64,
        /// The peer's text, unescaped: escape it before showing it.
        text: String,
    },
    /// A deadline passed.
    Timeout(TimeoutKind),
    /// The transport failed under the machine.
    Transport {
        /// The operating system's error number, where there is one.
        os_error: Option<i32>,
    },
    /// The peer broke a rule of the wire.
    Violation(Violation),
}

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// The peer's first frame did not come in time.
    Handshake,
    /// An orderly close did not drain in time.
    Close,
    /// The peer gave no sign of life.
    KeepAlive,
    /// The transport took nothing of what waited to be sent.
    Write,
    /// The peer did not acknowledge a stream in time.
    Open,
}

/// Which wire's rule was broken, and which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A rule of [`agentproto`].
    Agentproto(agentproto::Violation),
    /// A rule of [`yamux`].
    Yamux(yamux::Violation),
    /// A rule of [`wormhole`].
    Wormhole(wormhole::Violation),
    /// A rule of [`smux`].
    Smux(smux::Violation),
    /// A rule of [`carrier`]: messages in which a byte wire travels.
    Carrier(carrier::Violation),
    /// No rule of a wire, but a limit of this side: the peer floods it.
    Flood(Flood),
}

/// Which limit a peer passed so far that the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flood {
    /// Frames that cost the peer nothing and have no effect.
    Useless,
    /// Opens that had to be refused.
    RefusedOpens,
    /// Streams ended by force before anybody took them.
    Resets,
    /// Pings.
    Pings,
    /// Memory: nothing was left to give up.
    Memory,
}

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Useless => "the other side floods the link with frames without effect",
            Self::RefusedOpens => "the other side floods the link with streams beyond the limit",
            Self::Resets => "the other side floods the link with streams that it resets",
            Self::Pings => "the other side floods the link with pings",
            Self::Memory => "the other side takes more memory than the connection may have",
        })
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("closed by this side"),
            Self::Eof { mid_frame: false } => f.write_str("the other side's output ended"),
            Self::Eof { mid_frame: true } => {
                f.write_str("the other side's output ended in the middle of a frame")
            }
            Self::Peer { code, text } if text.is_empty() => {
                write!(f, "ended by the other side with code {code}")
            }
            Self::Peer { code, text } => {
                write!(f, "ended by the other side with code {code}: {}", agentproto::escape(text))
            }
            Self::Timeout(TimeoutKind::Handshake) => f.write_str("no answer in time"),
            Self::Timeout(TimeoutKind::Close) => f.write_str("did not close in time"),
            Self::Timeout(TimeoutKind::KeepAlive) => f.write_str("no sign of life in time"),
            Self::Timeout(TimeoutKind::Write) => f.write_str("nothing could be sent in time"),
            Self::Timeout(TimeoutKind::Open) => {
                f.write_str("a stream was not acknowledged in time")
            }
            Self::Transport { os_error: Some(number) } => {
                write!(f, "the link failed (os error {number})")
            }
            Self::Transport { os_error: None } => f.write_str("the link failed"),
            Self::Violation(Violation::Agentproto(rule)) => write!(f, "{rule}"),
            Self::Violation(Violation::Yamux(rule)) => write!(f, "{rule}"),
            Self::Violation(Violation::Wormhole(rule)) => write!(f, "{rule}"),
            Self::Violation(Violation::Smux(rule)) => write!(f, "{rule}"),
            Self::Violation(Violation::Carrier(rule)) => write!(f, "{rule}"),
            Self::Violation(Violation::Flood(flood)) => write!(f, "{flood}"),
        }
    }
}

impl core::error::Error for CloseReason {}
