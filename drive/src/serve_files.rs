//! The agent's files: requests to workers, and what became of them back to the session.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use trunkline_core::agentproto::{Agent, FileRequest, FileResponse, FileServer, Job};
use trunkline_core::{Instant, Limits, Machine as _};
use trunkline_host::Workers;
use trunkline_host::files::{FileSystem, Opened, Outcome as Performed};

/// EIO, the number for a request whose worker has failed.
const EIO: u32 = 5;

/// How long a request may take before another is performed beside it, beyond the usual number.
const SLOW: Duration = Duration::from_secs(1);

/// What performs requests: the file system, or a test's stand-in for a slow one.
pub(crate) trait Perform: Send + Sync + 'static {
    /// An open file; dropping the last of it closes it.
    type File: Send + Sync + 'static;

    /// Performs one request, in the time that it takes.
    fn perform(
        &self,
        request: &FileRequest,
        file: Option<&Self::File>,
    ) -> (FileResponse, Option<Self::File>);
}

impl Perform for FileSystem {
    type File = Opened;

    fn perform(
        &self,
        request: &FileRequest,
        file: Option<&Opened>,
    ) -> (FileResponse, Option<Opened>) {
        let Performed { response, opened } = Self::perform(self, request, file);
        (response, opened)
    }
}

/// The files of one session.
///
/// Dropping it waits for nothing: what runs is done, and every file is closed by a worker.
pub(crate) struct FileService<P: Perform> {
    server: FileServer<Arc<P::File>>,
    workers: Workers,
    system: Arc<P>,
    outcomes: Arc<Outcomes<P::File>>,
    /// When each job began that runs and was not found slow yet.
    began: BTreeMap<u64, Instant>,
}

impl<P: Perform> FileService<P> {
    /// Serves with so many workers at once.
    pub(crate) fn new(system: Arc<P>, limits: &Limits, workers: usize) -> Self {
        Self {
            server: FileServer::new(limits, workers),
            // The server bounds them; beside slow ones, as many as there may be requests.
            workers: Workers::new("trunkline-files", workers.max(limits.in_flight)),
            system,
            outcomes: Arc::default(),
            began: BTreeMap::new(),
        }
    }

    pub(crate) fn request(&mut self, request: FileRequest) {
        self.server.request(request);
    }

    /// Takes in what was done, hands out what can be, and answers; says whether anything happened.
    pub(crate) fn step(&mut self, cx: &Context<'_>, now: Instant, agent: &mut Agent) -> bool {
        let mut moved = false;
        for (job, response, file) in self.outcomes.take(cx) {
            self.began.remove(&job);
            self.server.done(job, response, file.map(Arc::new));
            moved = true;
        }
        // Answers that nobody takes must not become more and more.
        while (agent.takes_answers() || agent.closed().is_some())
            && let Some(job) = self.server.poll_job()
        {
            self.began.insert(job.id, now);
            self.start(job);
            moved = true;
        }
        while let Some(response) = self.server.poll_response() {
            agent.respond(response);
            moved = true;
        }
        moved
    }

    fn start(&self, job: Job<Arc<P::File>>) {
        let Job { id, request, handle } = job;
        let system = Arc::clone(&self.system);
        let report = Report { job: id, outcomes: Arc::clone(&self.outcomes), done: None };
        self.workers.run(move || {
            let mut report = report;
            let done = system.perform(&request, handle.as_deref());
            // Before the report: what comes after it may be the Close, which must be the last.
            drop(handle);
            drop(request);
            report.done = Some(done);
        });
    }

    /// When the oldest of what runs will have taken too long.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.began.first_key_value().map(|(_, began)| *began + SLOW)
    }

    /// Lets others run beside what takes too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(oldest) = self.began.first_entry().filter(|job| *job.get() + SLOW <= now) {
            self.server.set_aside(oldest.remove_entry().0);
        }
    }

    /// The session is over: every file is closed, whatever else runs.
    pub(crate) fn close_all(&mut self) {
        for job in std::mem::take(&mut self.began).into_keys() {
            self.server.set_aside(job);
        }
        self.server.close_all();
    }

    /// Whether nothing runs and nothing is left to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.server.is_idle()
    }
}

impl<P: Perform> Drop for FileService<P> {
    fn drop(&mut self) {
        self.outcomes.forget();
        for file in self.server.take_files() {
            // Closing can take its time.
            self.workers.run(move || drop(file));
        }
    }
}

impl<P: Perform> fmt::Debug for FileService<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileService")
            .field("handles", &self.server.handles())
            .finish_non_exhaustive()
    }
}

/// What became of one job.
type Outcome<F> = (u64, FileResponse, Option<F>);

/// Where workers leave what became of their jobs.
struct Outcomes<F>(Mutex<Left<F>>);

struct Left<F> {
    outcomes: Vec<Outcome<F>>,
    waker: Option<Waker>,
    /// Nobody will look any more.
    forgotten: bool,
}

impl<F> Outcomes<F> {
    fn lock(&self) -> MutexGuard<'_, Left<F>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, outcome: Outcome<F>) {
        let mut left = self.lock();
        if left.forgotten {
            // What was opened is closed here, and not under the lock.
            return drop(left);
        }
        left.outcomes.push(outcome);
        let waker = left.waker.take();
        drop(left);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What was left; when there is more, the task is woken.
    fn take(&self, cx: &Context<'_>) -> Vec<Outcome<F>> {
        let mut left = self.lock();
        match &mut left.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        std::mem::take(&mut left.outcomes)
    }

    fn forget(&self) {
        let mut left = self.lock();
        left.forgotten = true;
        let (outcomes, waker) = (std::mem::take(&mut left.outcomes), left.waker.take());
        drop(left);
        drop((outcomes, waker));
    }
}

impl<F> Default for Outcomes<F> {
    fn default() -> Self {
        Self(Mutex::new(Left { outcomes: Vec::new(), waker: None, forgotten: false }))
    }
}

/// Leaves what became of a job when it is dropped, so that a panic leaves something too.
struct Report<F> {
    job: u64,
    outcomes: Arc<Outcomes<F>>,
    done: Option<(FileResponse, Option<F>)>,
}

impl<F> Drop for Report<F> {
    fn drop(&mut self) {
        let (response, file) = self.done.take().unwrap_or_else(|| {
            let message = "the agent failed at this request".to_string();
            (FileResponse { errno: EIO, message, ..FileResponse::default() }, None)
        });
        self.outcomes.leave((self.job, response, file));
    }
}

#[cfg(test)]
mod tests;
