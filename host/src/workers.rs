//! Threads for work that blocks: started when there is work, gone when there is none.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(5);

/// One piece of work.
type Work = Box<dyn FnOnce() + Send>;

/// A bounded number of threads that do pieces of work, the first come first.
///
/// A thread is started when there is work and none is idle, and ends when it has had none for five
/// seconds. Who wants to know of an end lets the work itself say so.
///
/// Dropping it waits for nothing: idle threads end at once, the others once all work that was handed
/// in is done. Threads that are stuck in a dead file system stay until the process ends; they do not
/// keep it.
pub struct Workers(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    most: usize,
    name: &'static str,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    threads: usize,
    idle: usize,
    /// No work will come any more.
    closed: bool,
}

impl Workers {
    /// At most so many threads, at least one, under this name; none is started yet.
    #[must_use]
    pub fn new(name: &'static str, most: usize) -> Self {
        let (state, work) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Shared { state, work, most: most.max(1), name }))
    }

    /// Has this done by one of the threads, once one is free.
    ///
    /// When the system gives no thread and there is none yet, it is done here and now: late is better
    /// than never. A panic ends the piece of work and not its thread.
    pub fn run(&self, work: impl FnOnce() + Send + 'static) {
        let shared = &self.0;
        let mut state = shared.lock();
        state.queue.push_back(Box::new(work));
        if state.idle >= state.queue.len() {
            drop(state);
            return shared.work.notify_one();
        }
        if state.threads == shared.most {
            return;
        }
        state.threads += 1;
        drop(state);
        let thread = Arc::clone(shared);
        if Builder::new().name(shared.name.into()).spawn(move || thread.serve()).is_err() {
            let mut state = shared.lock();
            state.threads -= 1;
            let left = if state.threads == 0 { state.queue.pop_front() } else { None };
            drop(state);
            if let Some(work) = left {
                work();
            }
        }
    }

    /// Threads that there are at the moment.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.0.lock().threads
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does all its life.
    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.queue.pop_front() {
                drop(state);
                // Told on stderr by the panic itself.
                let _ = catch_unwind(AssertUnwindSafe(work));
                state = self.lock();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (woken, waited) =
                self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.work.notify_all();
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("most", &self.0.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::sync_channel;
    use std::time::Instant;

    use super::*;

    /// Long enough for a machine that is busy.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn so_many_run_at_once_and_no_more() {
        let workers = Workers::new("test", 3);
        let (started, starts) = sync_channel(32);
        let gate = Arc::new(Barrier::new(4));
        for n in 0..5 {
            let (started, gate) = (started.clone(), Arc::clone(&gate));
            workers.run(move || {
                started.send(n).unwrap();
                if n < 3 {
                    gate.wait();
                }
            });
        }
        let mut first: Vec<_> = (0..3).map(|_| starts.recv_timeout(PATIENCE).unwrap()).collect();
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2]);
        assert_eq!(workers.threads(), 3);
        assert!(starts.try_recv().is_err(), "a fourth thread");
        gate.wait();
        let mut rest: Vec<_> = (0..2).map(|_| starts.recv_timeout(PATIENCE).unwrap()).collect();
        rest.sort_unstable();
        assert_eq!(rest, [3, 4]);
    }

    #[test]
    fn one_thread_does_what_comes_one_after_the_other() {
        let workers = Workers::new("test", 8);
        assert_eq!(workers.threads(), 0);
        let (done, ends) = sync_channel(32);
        for n in 0..20 {
            let done = done.clone();
            workers.run(move || done.send((n, std::thread::current().id())).unwrap());
            let end = ends.recv_timeout(PATIENCE).unwrap();
            assert_eq!(end.0, n);
            // It looks for more work before anybody can give it any.
            let since = Instant::now();
            while workers.0.lock().idle == 0 {
                assert!(since.elapsed() < PATIENCE, "it never waits");
                std::thread::yield_now();
            }
        }
        assert_eq!(workers.threads(), 1);
    }

    #[test]
    fn a_panic_ends_the_work_and_not_the_thread() {
        let workers = Workers::new("test", 1);
        workers.run(|| panic!("on purpose"));
        let (done, end) = sync_channel(32);
        workers.run(move || done.send(()).unwrap());
        end.recv_timeout(PATIENCE).unwrap();
    }

    #[test]
    fn what_was_handed_in_is_done_though_the_workers_are_dropped() {
        let workers = Workers::new("test", 1);
        let (done, ends) = sync_channel(32);
        let gate = Arc::new(Barrier::new(2));
        let wait = Arc::clone(&gate);
        workers.run(move || {
            wait.wait();
        });
        for n in 0..3 {
            let done = done.clone();
            workers.run(move || done.send(n).unwrap());
        }
        let shared = Arc::downgrade(&workers.0);
        drop(workers);
        gate.wait();
        let all: Vec<_> = (0..3).map(|_| ends.recv_timeout(PATIENCE).unwrap()).collect();
        assert_eq!(all, [0, 1, 2]);
        let since = Instant::now();
        while shared.strong_count() > 0 {
            assert!(since.elapsed() < PATIENCE, "a thread stays");
            std::thread::yield_now();
        }
    }
}
