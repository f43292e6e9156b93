//! How a command ended: one type for every wire that runs commands.

use alloc::string::String;
use core::fmt;

use crate::CloseReason;

/// How a command ended, as far as its wire can tell.
///
/// Only `Exited` with code 0 is a success, and only [`success`](Self::success) says so: there is
/// no conversion into a number, so that a lost link cannot be read as exit code 0 by accident.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum ExitStatus {
    /// The far side reported an exit code.
    Exited {
        /// The code as reported. On wires that fold signals into codes, 128+n means signal n.
        code: i64,
        /// The far side's text, empty unless it had something to say (a start failure, mostly).
        text: String,
        /// False when the link ended badly *after* the code had arrived.
        clean: bool,
    },
    /// The command was ended by this signal, and the wire says so.
    Signaled(i32),
    /// The command is over, and the wire carries no code.
    Ended,
    /// The link or the agent was lost before an end was reported; the command may still run.
    Lost(CloseReason),
}

impl ExitStatus {
    /// Whether the command is known to have ended with code 0.
    #[must_use]
    pub const fn success(&self) -> bool {
        matches!(self, Self::Exited { code: 0, .. })
    }

    /// The reported exit code, if one was reported.
    #[must_use]
    pub const fn code(&self) -> Option<i64> {
        match self {
            Self::Exited { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { code, text, .. } if text.is_empty() => write!(f, "exit code {code}"),
            Self::Exited { code, text, .. } => write!(f, "exit code {code}: {text}"),
            Self::Signaled(signal) => write!(f, "ended by signal {signal}"),
            Self::Ended => f.write_str("ended"),
            Self::Lost(reason) => write!(f, "lost: {reason}"),
        }
    }
}
