//! Agents as processes, and the agent's side.

use std::io;
use std::os::fd::AsFd as _;

use tokio::io::{AsyncRead, AsyncWrite};
use trunkline_drive::{Serve, ServeOptions};

use crate::exec::Tokio;
use crate::io::{FdIo, FdReady, TimerSleep, TransportIo, clock};

/// How to reach an agent: a command line whose stdin and stdout lead to one.
///
/// See [`trunkline_drive::Agent`] for its methods.
pub type Agent = trunkline_drive::Agent<Tokio>;

/// Serves one session as an agent over a transport; says what the process should exit with.
///
/// Dropping the future kills a command that still runs, its whole group.
pub fn serve<T>(transport: T, options: ServeOptions) -> Serve<TransportIo<T>, FdReady, TimerSleep>
where
    T: AsyncRead + AsyncWrite + Send + Unpin,
{
    Serve::new(options, TransportIo::new(transport), TimerSleep::default(), clock())
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
