//! Commands, queries and files over a transport, whoever brought it.

use std::io;

use trunkline_core::agentproto::{Config, PathEntry, PathQuery};

use crate::command::Running;
use crate::via::Launched;
use crate::{Exec, ExecOptions, Files, Io, Recording, Runtime, SessionError};

/// Starts a command over a transport of one's own. Call it from within the runtime.
///
/// # Errors
///
/// When no agent could take the request.
pub fn exec_over<R: Runtime>(
    io: impl Io + 'static,
    options: impl Into<ExecOptions>,
) -> io::Result<Exec<R>> {
    start(options.into(), None, io)
}

/// Lists an agent's programs over a transport of one's own.
///
/// # Errors
///
/// When the agent could not answer, in its own words, or was lost.
pub async fn paths_over<R: Runtime>(
    io: impl Io + 'static,
    query: PathQuery,
) -> io::Result<Vec<PathEntry>> {
    ask::<R>(query, Config::default(), None, None, io).await
}

/// Uses an agent's files over a transport of one's own. Call it from within the runtime.
///
/// Nothing is sent before the first request, so whether an agent is there shows with that.
pub fn files_over<R: Runtime>(io: impl Io + 'static, config: Config) -> Files<R> {
    open(config, None, None, io)
}

pub(crate) fn open<R: Runtime>(
    config: Config,
    recording: Option<Recording>,
    launched: Option<Launched>,
    io: impl Io + 'static,
) -> Files<R> {
    let (session, driver) =
        crate::session::files(config, recording, io, R::Sleep::default(), R::clock());
    session.keep(launched);
    R::spawn(driver);
    Files::new(session)
}

pub(crate) fn start<R: Runtime>(
    options: ExecOptions,
    launched: Option<Launched>,
    io: impl Io + 'static,
) -> io::Result<Exec<R>> {
    let clock = R::clock();
    let streams = options.request.fds.clone();
    let (session, driver) =
        crate::exec(options, io, R::Sleep::default(), clock).map_err(SessionError::Misuse)?;
    R::spawn(driver);
    Ok(Exec::new(Running::new(session, launched, R::Sleep::default(), clock), &streams))
}

pub(crate) async fn ask<R: Runtime>(
    query: PathQuery,
    config: Config,
    recording: Option<Recording>,
    launched: Option<Launched>,
    io: impl Io + 'static,
) -> io::Result<Vec<PathEntry>> {
    let clock = R::clock();
    let (session, driver) = crate::paths(query, config, recording, io, R::Sleep::default(), clock)
        .map_err(SessionError::Misuse)?;
    R::spawn(driver);
    Running::new(session, launched, R::Sleep::default(), clock).paths().await
}
