//! The runtimes under which subjects run.

use std::future::Future;

/// A runtime, as far as scenarios need one.
pub trait Runtime: Copy + Send + Sync + 'static {
    /// Runs a future on so many threads, until it ends.
    fn block_on<F>(threads: usize, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Runs a future beside everything else; gives what waits for its end.
    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Runs a future beside everything else, for as long as it takes.
    fn detach(future: impl Future<Output = ()> + Send + 'static);
}

/// tokio: `current_thread` on one thread, `multi_thread` on more.
#[derive(Clone, Copy, Debug)]
pub struct Tokio;

impl Runtime for Tokio {
    fn block_on<F>(threads: usize, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let mut builder = match threads {
            1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        if threads > 1 {
            builder.worker_threads(threads);
        }
        let runtime = builder.enable_all().build().expect("a runtime");
        runtime.block_on(async { tokio::spawn(future).await.expect("no panic") })
    }

    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = tokio::spawn(future);
        async { task.await.expect("no panic") }
    }

    fn detach(future: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(future);
    }
}

/// tokio on one thread, whose clock stands still: what is counted under it never differs.
#[derive(Clone, Copy, Debug)]
pub struct Still;

impl Runtime for Still {
    fn block_on<F>(_: usize, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async { tokio::spawn(future).await.expect("no panic") })
    }

    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Tokio::spawn(future)
    }

    fn detach(future: impl Future<Output = ()> + Send + 'static) {
        Tokio::detach(future);
    }
}

/// smol: its global executor, which runs on one thread unless `SMOL_THREADS` says otherwise, as the
/// tasks of our connections do.
#[derive(Clone, Copy, Debug)]
pub struct Smol;

impl Runtime for Smol {
    fn block_on<F>(_: usize, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // This thread only waits: it takes neither tasks nor readiness from the executor's.
        smol::future::block_on(smol::spawn(future))
    }

    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        smol::spawn(future)
    }

    fn detach(future: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(future).detach();
    }
}
