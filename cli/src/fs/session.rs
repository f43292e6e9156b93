//! The session of one `trunkline fs`, and what is said when something fails in it.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::process::ExitCode;

use trunkline_core::agentproto::escape;
use trunkline_tokio::{Agent, SessionError};

use crate::args::Via;
use crate::report::{BAD_INPUT, Failure, say};

/// Why a command ends before it is through.
pub(crate) enum Stop {
    /// With a line, and a code.
    Failed(Failure),
    /// Nobody reads the output any more, and nobody wants to know.
    Deaf,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A session with an agent's files, for one command.
pub(crate) struct Session {
    /// The way to the agent, until sessions of files are here.
    pub(crate) agent: Agent,
    command: &'static str,
    failed: Cell<bool>,
}

impl Session {
    /// Starts what leads to the agent.
    pub(crate) fn open(via: &Via, command: &'static str) -> Result<Self, Failure> {
        Ok(Self { agent: crate::exec::agent(via)?, command, failed: Cell::new(false) })
    }

    /// Tells that something could not be done for a file; the command goes on unless the agent
    /// itself is lost.
    pub(crate) fn failed(&self, path: &str, error: &io::Error) -> Result<(), Stop> {
        if error.get_ref().is_some_and(|source| source.is::<SessionError>()) {
            return Err(self.lost(error).into());
        }
        self.complain(format_args!("{}: {}", shown(path), reason(error)));
        Ok(())
    }

    /// Tells what went wrong in words of our own; the exit code will be 1.
    pub(crate) fn complain(&self, what: impl fmt::Display) {
        say(format_args!("fs {}: {what}", self.command));
        self.failed.set(true);
    }

    /// The session is over and the command was not.
    pub(crate) fn lost(&self, error: &io::Error) -> Failure {
        Failure::local(format!("fs {}: the agent was lost: {error}", self.command))
    }

    /// A command line that makes no sense.
    pub(crate) fn usage(&self, what: impl fmt::Display) -> Failure {
        Failure::usage(format!("fs {}: {what}", self.command))
    }

    /// What the command ends with when nothing stopped it.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(if self.failed.get() { BAD_INPUT } else { 0 })
    }
}

/// A path in a message: harmless, and there even when it is empty.
pub(crate) fn shown(path: &str) -> String {
    if path.is_empty() { "''".to_string() } else { escape(path).to_string() }
}

/// Why the agent did not do it.
fn reason(error: &io::Error) -> String {
    error.to_string()
}
