//! One HTTP exchange on one stream, for its opener and for the agent:
//! `docs/protocols/agent-tunnel.md` sections 6 and 12.
//!
//! [`Caller`] and [`Callee`] read and write heads and judge what comes; the bytes of bodies go
//! through them as they are and are never copied. Neither knows a stream: whoever drives one hands
//! in what it read and how it ended, writes what it is given, and resets the stream behind a fault.

mod callee;
mod caller;
mod fault;
mod head;
mod pieces;
mod rules;

pub use callee::{Callee, CalleeEvent};
pub use caller::{Caller, CallerEvent};
pub use fault::{Fault, Misuse};
pub use head::{BodyLen, Head, ResponseHead};
pub use rules::filter_hop_by_hop;

pub use super::End;

/// Whose rules a stream follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The original's: one value for each header, a body of known length, no end of the opener's
    /// direction.
    Original,
    /// Ours, where both ends agreed on it: all headers, bodies of any length, upgrades, and each
    /// direction ends with its FIN.
    Own,
}

/// What an agent makes of a negative `body_len` in the original's dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NegativeLength {
    /// It is refused with 400.
    #[default]
    Refuse,
    /// There is no body, as in the original.
    NoBody,
}

/// Settings of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The longest request body that an agent takes, in bytes; nothing is reserved for it. 64 GiB.
    pub max_request: u64,
    /// The longest response body that an opener takes, in bytes. No limit.
    pub max_response: u64,
    /// Negative lengths of request bodies.
    pub negative_length: NegativeLength,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_request: 64 << 30,
            max_response: u64::MAX,
            negative_length: NegativeLength::default(),
        }
    }
}

impl Config {
    /// The original's behaviour in every setting where Trunkline's differs.
    #[must_use]
    pub fn reference() -> Self {
        Self {
            max_request: i64::MAX.cast_unsigned(),
            negative_length: NegativeLength::NoBody,
            ..Self::default()
        }
    }
}
