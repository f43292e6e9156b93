//! Tokio as a runtime of the handles, and the agent's side.

use std::future::Future;
use std::io;
use std::os::fd::AsFd as _;

use tokio::io::{AsyncRead, AsyncWrite};
use trunkline_core::agentproto::{PathEntry, PathQuery};
use trunkline_drive::{Clock, ExecOptions, Runtime, Serve, ServeOptions};

use crate::io::{FdIo, FdReady, TimerSleep, TransportIo, clock};
use crate::streams::{Duplex, Reader, Writer};

/// Tokio, as far as the handles need a runtime.
#[derive(Debug)]
pub struct Tokio;

impl Runtime for Tokio {
    type Sleep = TimerSleep;
    type Ready = FdReady;
    type Reader = Reader;
    type Writer = Writer;
    type Duplex = Duplex;

    fn clock() -> Clock {
        clock()
    }

    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(future));
    }
}

/// How to reach an agent: a command line whose stdin and stdout lead to one.
///
/// See [`trunkline_drive::Agent`] for its methods.
pub type Agent = trunkline_drive::Agent<Tokio>;

/// A command that runs on an agent.
///
/// See [`trunkline_drive::Exec`] for its methods.
pub type Exec = trunkline_drive::Exec<Tokio>;

/// Starts a command over a transport of one's own. Call it from within the runtime.
///
/// # Errors
///
/// When no agent could take the request.
pub fn exec_over<T>(transport: T, options: impl Into<ExecOptions>) -> io::Result<Exec>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    trunkline_drive::exec_over(TransportIo(transport), options)
}

/// Lists an agent's programs over a transport of one's own.
///
/// # Errors
///
/// When the agent could not answer, in its own words, or was lost.
pub async fn paths_over<T>(transport: T, query: PathQuery) -> io::Result<Vec<PathEntry>>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    trunkline_drive::paths_over::<Tokio>(TransportIo(transport), query).await
}

/// Serves one session as an agent over a transport; says what the process should exit with.
///
/// Dropping the future kills a command that still runs, its whole group.
pub fn serve<T>(transport: T, options: ServeOptions) -> Serve<TransportIo<T>, FdReady, TimerSleep>
where
    T: AsyncRead + AsyncWrite + Send + Unpin,
{
    Serve::new(options, TransportIo(transport), TimerSleep::default(), clock())
}

/// Serves one session as an agent over this process's stdin and stdout.
///
/// # Errors
///
/// When they are not open, or the reactor refuses them.
pub fn serve_stdio(
    options: ServeOptions,
) -> io::Result<Serve<trunkline_drive::Duplex<FdIo, FdIo>, FdReady, TimerSleep>> {
    let stdin = FdIo::reader(io::stdin().as_fd())?;
    let stdout = FdIo::writer(io::stdout().as_fd())?;
    let transport = trunkline_drive::Duplex::new(stdin, stdout);
    Ok(Serve::new(options, transport, TimerSleep::default(), clock()))
}
