//! The rules a peer can break: `docs/protocols/smux.md` sections 2 and 10.

use core::fmt;

use super::frame::{Command, Version};

/// Which rule of the wire the peer's bytes broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The version byte is not the one that this side was configured with (section 10).
    Version {
        /// What this side speaks; `None` where the first frame was to tell it.
        expected: Option<Version>,
        /// What the frame said.
        found: u8,
    },
    /// A command that the wire does not have (section 2).
    Command {
        /// Its number.
        found: u8,
    },
    /// A window update in version 1, which has none (section 2).
    UpdateInVersion1,
    /// A frame whose length its command does not allow: 8 for UPD, 0 for SYN, FIN and NOP
    /// (section 10).
    Length {
        /// The command.
        command: Command,
        /// The length.
        found: u16,
    },
}

impl Violation {
    /// The class of the violation: version, command or length.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::Command { .. } | Self::UpdateInVersion1 => "command",
            Self::Length { .. } => "length",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { expected: Some(expected), found } => {
                write!(f, "a frame of version {found} where version {expected} is spoken")
            }
            Self::Version { expected: None, found } => {
                write!(f, "a frame of version {found}, which does not exist")
            }
            Self::Command { found } => write!(f, "unknown command {found}"),
            Self::UpdateInVersion1 => f.write_str("a window update, which version 1 does not have"),
            Self::Length { command, found } => {
                write!(f, "{command} with a length of {found}")
            }
        }
    }
}

impl core::error::Error for Violation {}
