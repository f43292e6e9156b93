//! How an agent is reached.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::process::Command;
use std::sync::Arc;

use trunkline_core::agentproto::{Config, PathEntry, PathQuery};

use crate::over::{ask, open, start};
use crate::via::{launch, shell};
use crate::{Exec, ExecOptions, Files, Recording, Runtime};

/// How to reach an agent: a command line whose stdin and stdout lead to one.
///
/// One agent process serves one session, so this is a connector, not a connection: each command and
/// each query starts the command line anew. What it prints to stderr goes to the caller's. It stays
/// in the caller's process group. Cloning is cheap.
pub struct Agent<R> {
    make: Arc<dyn Fn() -> Command + Send + Sync>,
    config: Config,
    recording: Option<Recording>,
    runtime: PhantomData<fn() -> R>,
}

impl<R: Runtime> Agent<R> {
    /// An agent behind a shell command line, such as `ssh host trunkline agent`.
    ///
    /// The line is run by `/bin/sh`, with SIGINT and SIGQUIT ignored below it: Ctrl-C on a terminal
    /// is the remote command's business.
    #[must_use]
    pub fn via(line: impl AsRef<OsStr>) -> Self {
        let line = line.as_ref().to_owned();
        Self::from_fn(move || shell(&line))
    }

    /// An agent behind a program and its arguments, without a shell.
    #[must_use]
    pub fn command(
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let (program, args) =
            (program.into(), args.into_iter().map(Into::into).collect::<Vec<OsString>>());
        Self::from_fn(move || {
            let mut command = Command::new(&program);
            command.args(&args);
            command
        })
    }

    fn from_fn(make: impl Fn() -> Command + Send + Sync + 'static) -> Self {
        Self {
            make: Arc::new(make),
            config: Config::default(),
            recording: None,
            runtime: PhantomData,
        }
    }

    /// The same agent with other limits and settings for its queries and files.
    #[must_use]
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The same agent, with all its sessions recorded, unless a command's options say where else.
    #[must_use]
    pub fn with_recording(mut self, recording: Recording) -> Self {
        self.recording = Some(recording);
        self
    }

    /// Starts a command on the agent. Call it from within the runtime.
    ///
    /// # Errors
    ///
    /// When the command line that leads to the agent cannot be started, or no agent could take the
    /// request. That the agent is not there, or not one, shows when the command is waited for.
    pub fn exec(&self, options: impl Into<ExecOptions>) -> io::Result<Exec<R>> {
        let (launched, io) = launch::<R::Ready>((self.make)())?;
        let mut options = options.into();
        options.recording = options.recording.or_else(|| self.recording.clone());
        start(options, Some(launched), io)
    }

    /// Lists the programs in the agent's PATH, or in the directories given.
    ///
    /// Cancel safe in that nothing is lost: dropping the future ends the query and its process.
    ///
    /// # Errors
    ///
    /// When the agent could not be started, could not answer in its own words, or was lost.
    pub async fn paths(&self, query: PathQuery) -> io::Result<Vec<PathEntry>> {
        let (launched, io) = launch::<R::Ready>((self.make)())?;
        let recording = self.recording.clone();
        ask::<R>(query, self.config.clone(), recording, Some(launched), io).await
    }

    /// Uses the agent's files: starts one session for them. Call it from within the runtime.
    ///
    /// # Errors
    ///
    /// When the command line that leads to the agent cannot be started. That the agent is not there,
    /// or not one, shows with the first request.
    pub fn files(&self) -> io::Result<Files<R>> {
        let (launched, io) = launch::<R::Ready>((self.make)())?;
        Ok(open(self.config.clone(), self.recording.clone(), Some(launched), io))
    }
}

impl<R> Clone for Agent<R> {
    fn clone(&self) -> Self {
        Self {
            make: Arc::clone(&self.make),
            config: self.config.clone(),
            recording: self.recording.clone(),
            runtime: PhantomData,
        }
    }
}

impl<R> fmt::Debug for Agent<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("command", &(self.make)()).finish_non_exhaustive()
    }
}
