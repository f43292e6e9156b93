//! The rules of the carrier that a peer can break: `docs/protocols/agent-tunnel.md` sections 2, 11.

use core::fmt;

/// Which rule of the carrier the peer broke. All of them end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A frame against the rules of WebSocket itself, as its library tells: unmasked, with reserved
    /// bits, out of order.
    Protocol,
    /// A text message, where only binary ones are taken.
    Text,
    /// A message larger than may be.
    TooLarge {
        /// Its length in bytes.
        length: usize,
        /// The most allowed.
        limit: usize,
    },
    /// A ping or pong with more than 125 bytes.
    Control {
        /// Its length in bytes.
        length: usize,
    },
    /// A close with a code that may not stand in one.
    CloseCode(u16),
}

impl Violation {
    /// The code of the close that answers it.
    #[must_use]
    pub const fn close_code(&self) -> u16 {
        match self {
            Self::Text => 1003,
            Self::TooLarge { .. } => 1009,
            Self::Protocol | Self::Control { .. } | Self::CloseCode(_) => 1002,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol => f.write_str("a frame against the rules of WebSocket"),
            Self::Text => f.write_str("a text message, where only binary ones are taken"),
            Self::TooLarge { length, limit } => {
                write!(f, "a message of {length} bytes, more than {limit}")
            }
            Self::Control { length } => write!(f, "a ping or pong of {length} bytes"),
            Self::CloseCode(code) => write!(f, "a close with the code {code}"),
        }
    }
}

impl core::error::Error for Violation {}
