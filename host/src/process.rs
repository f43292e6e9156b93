//! The agent's command: `docs/protocols/agentproto.md` section 6, step 5 and on.
//!
//! [`spawn`] builds and starts it, [`Child`] holds it, [`Signaller`] reaches it from anywhere.

mod attach;
mod child;
mod environment;
mod lookup;
mod spawn;
pub(crate) mod tree;

use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::io;

use trunkline_core::agentproto::ExecRequest;

use crate::errno::error_text;

pub use attach::attach;
pub use child::{Child, Exit, Signaller};
pub use spawn::spawn;
pub(crate) use spawn::start;

/// A command to start, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Launch<'a> {
    /// What to run. Its `env` is not looked at: [`Launch::env`] decides.
    pub request: &'a ExecRequest,
    /// The environment, `None` for this process's own. What [`crate::envfilter::filter`] let
    /// through goes here.
    pub env: Option<Vec<String>>,
    /// Where a path without a slash is looked for, `None` for this process's own PATH.
    pub search_path: Option<&'a OsStr>,
    /// Whom the command runs as.
    pub user: User,
    /// Which extra descriptors are acceptable.
    pub fd_limits: FdLimits,
}

impl<'a> Launch<'a> {
    /// A launch of `request` with its own environment and the defaults for everything else.
    #[must_use]
    pub fn new(request: &'a ExecRequest) -> Self {
        Self {
            request,
            env: request.env.clone(),
            search_path: None,
            user: User::default(),
            fd_limits: FdLimits::default(),
        }
    }
}

/// Whom a command runs as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum User {
    /// Whoever called `sudo`, when this process runs under it: `SUDO_UID` and `SUDO_GID` of its
    /// environment, the group falling back to the user's number. Else as [`User::Own`]. A
    /// `SUDO_UID` that is no number fails the launch rather than leave the command privileged.
    #[default]
    Sudo,
    /// The same as this process.
    Own,
    /// A user and a group by number, without supplementary groups.
    Ids {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

/// Which extra descriptors a command may ask for: `docs/protocols/agentproto.md` section 15.
///
/// Numbers below 3 and repeated ones are refused whatever the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FdLimits {
    /// The highest number. Default 255.
    pub highest: u32,
    /// How many. Default 64.
    pub count: usize,
}

impl Default for FdLimits {
    fn default() -> Self {
        Self { highest: 255, count: 64 }
    }
}

/// Why a command did not start. All become exit code 127 with [`SpawnError::text`] on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpawnError {
    /// How far it came.
    pub stage: SpawnStage,
    /// The reason in words. It may quote the request: escape it before showing it.
    pub text: String,
    /// The system's error number, where the system refused.
    pub os_error: Option<i32>,
}

/// How far a command came before it failed: `docs/protocols/agentproto.md` section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnStage {
    /// It could not be built (step 5): the agent itself then ends with status 127.
    Build,
    /// It was built and could not be started (step 6): the agent itself ends with status 0.
    Start,
}

impl SpawnError {
    fn refused(stage: SpawnStage, text: impl Into<String>) -> Self {
        Self { stage, text: text.into(), os_error: None }
    }

    fn failed(stage: SpawnStage, what: &str, error: &io::Error) -> Self {
        let text = format!("{what}: {}", error_text(error));
        Self { stage, text, os_error: error.raw_os_error() }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for SpawnError {}
