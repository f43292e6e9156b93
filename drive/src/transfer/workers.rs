//! A few threads for local file work, which blocks.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

type Job = Box<dyn FnOnce() + Send>;

/// Threads that run what blocks. They are started as needed and end with the last handle.
#[derive(Clone)]
pub(super) struct Workers(Arc<Handle>);

struct Handle(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    most: usize,
    over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // Whoever waits is told by what the job held; the thread goes on.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
            } else if state.over {
                return;
            } else {
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.over = true;
        // Nobody waits for their results any more.
        state.jobs.clear();
        drop(state);
        self.0.changed.notify_all();
    }
}

/// What a job gave, and who waits for it.
enum Slot<T> {
    Empty(Option<Waker>),
    Full(T),
    /// The job was dropped, or panicked.
    Lost,
}

/// Fills the slot, also when the job never ends well.
struct Giver<T>(Arc<Mutex<Slot<T>>>);

impl<T> Giver<T> {
    fn put(&self, value: Slot<T>) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Slot::Empty(waker) = &mut *slot {
            let waker = waker.take();
            *slot = value;
            drop(slot);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        self.put(Slot::Lost);
    }
}

impl Workers {
    /// At most so many threads.
    pub(super) fn new(most: usize) -> Self {
        let shared = Arc::new(Shared::default());
        shared.lock().most = most;
        Self(Arc::new(Handle(shared)))
    }

    /// Runs a job on one of the threads; dropping the future does not stop a job that has begun.
    ///
    /// # Errors
    ///
    /// When no thread can be started, or the job panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let slot = Arc::new(Mutex::new(Slot::Empty(None)));
        let giver = Giver(Arc::clone(&slot));
        self.start(Box::new(move || giver.put(Slot::Full(job()))))?;
        poll_fn(|cx| {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            match std::mem::replace(&mut *slot, Slot::Lost) {
                Slot::Full(value) => Poll::Ready(Ok(value)),
                Slot::Lost => Poll::Ready(Err(io::Error::other("a worker thread was lost"))),
                Slot::Empty(_) => {
                    *slot = Slot::Empty(Some(cx.waker().clone()));
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn start(&self, job: Job) -> io::Result<()> {
        let shared = &self.0.0;
        let mut state = shared.lock();
        state.jobs.push_back(job);
        if state.jobs.len() > state.idle && state.threads < state.most {
            state.threads += 1;
            let first = state.threads == 1;
            drop(state);
            let thread = Arc::clone(shared);
            let spawned = std::thread::Builder::new()
                .name("trunkline-files".into())
                .spawn(move || thread.work());
            if let Err(error) = spawned {
                let mut state = shared.lock();
                state.threads -= 1;
                if first {
                    state.jobs.clear();
                    return Err(error);
                }
            }
            return Ok(());
        }
        drop(state);
        shared.changed.notify_one();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Wake};
    use std::thread::{self, Thread};

    use super::*;

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => return value,
                Poll::Pending => thread::park(),
            }
        }
    }

    #[test]
    fn jobs_run_beside_each_other_up_to_the_bound() {
        let workers = Workers::new(2);
        let (to, from) = mpsc::sync_channel::<()>(1);
        let held = workers.run(move || from.recv().is_ok());
        let mut held = pin!(held);
        assert!(held.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        // The other thread goes on.
        for number in 0..10 {
            assert_eq!(wait(workers.run(move || number)).unwrap(), number);
        }
        to.send(()).unwrap();
        assert!(wait(held).unwrap());
    }

    #[test]
    fn a_job_that_panics_is_an_error_and_not_a_hang() {
        let workers = Workers::new(1);
        let lost = wait(workers.run(|| panic!("on purpose")));
        assert!(lost.is_err());
        assert_eq!(wait(workers.run(|| 7)).unwrap(), 7);
    }

    #[test]
    fn the_threads_end_with_the_last_handle() {
        let workers = Workers::new(2);
        wait(workers.run(|| ())).unwrap();
        let shared = Arc::downgrade(&workers.0.0);
        drop(workers);
        // The threads hold the only references left.
        let start = std::time::Instant::now();
        while shared.upgrade().is_some() {
            assert!(start.elapsed().as_secs() < 20, "a thread stays");
            thread::yield_now();
        }
    }
}
