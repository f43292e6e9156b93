//! Tokio as a runtime of the handles.

use std::future::Future;
use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::coop::poll_proceed;
use trunkline_core::agentproto::{PathEntry, PathQuery};
use trunkline_drive::{Clock, ExecOptions, Runtime};

use crate::files::File;
#[cfg(unix)]
use crate::io::FdReady;
use crate::io::{TimerSleep, TransportIo, clock};
use crate::mux::Stream;
use crate::streams::{Duplex, Reader, Writer};

/// Tokio, as far as the handles need a runtime.
#[derive(Debug)]
pub struct Tokio;

impl Runtime for Tokio {
    type Sleep = TimerSleep;
    #[cfg(unix)]
    type Ready = FdReady;
    type Reader = Reader;
    type Writer = Writer;
    type Duplex = Duplex;
    type File = File;
    type Stream = Stream;

    fn clock() -> Clock {
        clock()
    }

    fn poll_within<T>(
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let budget = ready!(poll_proceed(cx));
        let polled = poll(cx);
        if polled.is_ready() {
            budget.made_progress();
        }
        polled
    }

    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(future));
    }
}

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
    trunkline_drive::exec_over(TransportIo::new(transport), options)
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
    trunkline_drive::paths_over::<Tokio>(TransportIo::new(transport), query).await
}
