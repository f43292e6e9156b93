//! The session of one `trunkline fs`, and what is said when something fails in it.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::process::ExitCode;

use trunkline_core::agentproto::escape;
use trunkline_tokio::{FileError, FileFault, Files, OpenOptions, Recording, SessionError};

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
    /// The files.
    pub(crate) files: Files,
    command: &'static str,
    failed: Cell<bool>,
}

impl Session {
    /// Starts what leads to the agent.
    pub(crate) fn open(
        via: &Via,
        recording: Option<Recording>,
        command: &'static str,
    ) -> Result<Self, Failure> {
        let agent = crate::exec::recorded_agent(via, recording)?;
        let files = agent.files().map_err(|error| {
            Failure::local(format!("cannot start what leads to the agent: {error}"))
        })?;
        Ok(Self { files, command, failed: Cell::new(false) })
    }

    /// Makes a file that is to be there, whatever is in it.
    pub(crate) async fn create(&self, path: &str) -> io::Result<()> {
        let touch = OpenOptions::new().write(true).create(true);
        self.files.open_with(path, &touch).await?.close().await
    }

    /// Tells that something could not be done for a file; the command goes on unless the agent
    /// itself is lost.
    pub(crate) fn failed(&self, path: &str, error: &io::Error) -> Result<(), Stop> {
        let session = error.get_ref().and_then(|source| source.downcast_ref::<SessionError>());
        // A request that nobody could send, such as one with a path of 16 MiB, ends nothing.
        if session.is_some_and(|session| !matches!(session, SessionError::Misuse(_))) {
            let (command, path) = (self.command, shown(path));
            let line = format!("fs {command}: {path}: the agent was lost: {error}");
            return Err(Failure::local(line).into());
        }
        self.complain(format_args!("{}: {}", shown(path), reason(error)));
        Ok(())
    }

    /// The result of something, or `None` when it failed and that was told.
    pub(crate) fn check<T>(&self, path: &str, result: io::Result<T>) -> Result<Option<T>, Stop> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => self.failed(path, &error).map(|()| None),
        }
    }

    /// Tells what went wrong in words of our own; the exit code will be 1.
    pub(crate) fn complain(&self, what: impl fmt::Display) {
        say(format_args!("fs {}: {what}", self.command));
        self.fail();
    }

    /// The exit code will be 1, for something that was told already.
    pub(crate) fn fail(&self) {
        self.failed.set(true);
    }

    /// The session is over, and the error says with which file.
    pub(crate) fn over(&self, error: &io::Error) -> Failure {
        Failure::local(format!("fs {}: the agent was lost: {error}", self.command))
    }

    /// Bad usage that shows only while the command runs.
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

/// Why it was not done, in the words of this system where the agent means the same.
fn reason(error: &io::Error) -> String {
    let Some(refused) = FileError::of(error) else { return error.to_string() };
    match refused.fault {
        FileFault::EmptyResult => return "the agent answered with an empty result".to_string(),
        FileFault::TimedOut => return "the agent did not answer in time".to_string(),
        _ => {}
    }
    let ours = refused.os_error().map(|error| without_number(&error.to_string()));
    let words = words(refused);
    match ours {
        Some(ours) if words.is_empty() || ends_with(words, &ours) => ours,
        _ if words.is_empty() => "the agent gave no reason".to_string(),
        _ => escape(words).to_string(),
    }
}

/// The agent's words behind the verb and the paths that they mostly begin with.
fn words(refused: &FileError) -> &str {
    let path = if refused.new_path.is_empty() { &refused.path } else { &refused.new_path };
    let begins = |(at, text): (usize, &str)| refused.message.get(at + text.len()..);
    let path = format!("{path}: ");
    refused.message.match_indices(&path).next().and_then(begins).unwrap_or(&refused.message)
}

/// Whether that is all the words say, possibly behind the part of the path that is concerned.
fn ends_with(words: &str, ours: &str) -> bool {
    let end = words.rsplit_once(": ").map_or(words, |(_, end)| end);
    end.eq_ignore_ascii_case(ours)
}

fn without_number(text: &str) -> String {
    text.rsplit_once(" (os error ").map_or(text, |(text, _)| text).to_string()
}

/// The number of the error at the agent, if it is one of the agent's.
pub(crate) fn errno(error: &io::Error) -> u32 {
    FileError::of(error).map_or(0, |refused| refused.errno)
}
