//! The files of an agent.

mod copy;
mod dir;
mod error;
mod file;
mod ops;
mod options;
pub(crate) mod requests;
mod stream;

use std::fmt;
use std::io;
use std::marker::PhantomData;

use trunkline_core::agentproto::{FileRequest, FileResponse, FirstBytes, Stats};

pub use dir::ReadDir;
pub use error::{FileError, FileFault};
pub use file::File;
pub use options::{FlagNumbers, OpenOptions};

use crate::command::Running;
use crate::{Runtime, Session};
use requests::Asking;

/// The files of an agent: one session, which any number of tasks may use at the same time.
///
/// Cloning is cheap, and all clones share the session. Up to 64 requests of all of them together are
/// in flight ([`limit_in_flight`](Self::limit_in_flight)); others wait for room in order of asking.
/// The session ends when the last clone is dropped; the process that led to the agent is then asked
/// to end.
///
/// Paths belong to the agent: absolute, or relative to its working directory. Errors that the agent
/// reports have a [`FileError`] as their source, those of a session that is over a
/// [`SessionError`](crate::SessionError).
///
/// Every future here is cancel safe in that dropping it gives its request up: what was not sent is
/// not sent, and what a late answer opened is closed. A request that was sent is performed all the
/// same.
pub struct Files<R> {
    session: Session,
    runtime: PhantomData<fn() -> R>,
}

impl<R: Runtime> Files<R> {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, runtime: PhantomData }
    }

    /// Makes one request of any kind and waits for its answer. The request's `id` is ignored.
    ///
    /// # Errors
    ///
    /// When the agent answers with an error or not in time (the source is a [`FileError`]), when no
    /// agent could take the request, or when the session is over.
    pub async fn request(&self, request: FileRequest) -> io::Result<FileResponse> {
        Asking::new(&self.session, request, "").await
    }

    /// The same for a request on a handle: errors tell the path that it was opened by.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn request_on(&self, opened: &str, request: FileRequest) -> io::Result<FileResponse> {
        Asking::new(&self.session, request, opened).await
    }

    /// Closes a handle that [`request`](Self::request) opened, without waiting for the answer.
    ///
    /// Nothing happens once the session is over: its agent closes all.
    pub fn close_handle(&self, handle: u32) {
        self.session.shared().command(|state| requests::close(state, handle));
    }

    /// Changes how many requests of all clones together may be in flight: at least 1, and never more
    /// than the session's limits allow.
    pub fn limit_in_flight(&self, count: usize) {
        let next = self.session.shared().look(|state| state.waiters.requests.set_limit(count));
        for waker in next {
            waker.wake();
        }
    }

    /// Ends the session in order, for all clones: requests that were made are still sent, and their
    /// answers are lost. Waits until the process that led to the agent has ended, if there is one.
    ///
    /// Cancel safe: the session is over after the first poll.
    pub async fn close(&self) {
        self.session.shared().command(|state| state.machine.close());
        Running::of(self.session.share(), R::Sleep::default(), R::clock()).agent_end().await;
    }

    /// Ends the session now, for all clones; what was not sent is discarded.
    pub fn abort(&self) {
        self.session.abort();
    }

    /// The first bytes that came from the agent's side, which tell what is there when it is no agent.
    #[must_use]
    pub fn began_with(&self) -> FirstBytes {
        self.session.began_with()
    }

    /// Counters of the session.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.session.stats()
    }
}

impl<R> Clone for Files<R> {
    fn clone(&self) -> Self {
        Self { session: self.session.share(), runtime: PhantomData }
    }
}

impl<R> fmt::Debug for Files<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("stats", &self.session.stats()).finish_non_exhaustive()
    }
}
