//! Descriptors that block, behind a thread: files, and what a reactor cannot wait for.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rustix::buffer::spare_capacity;

/// Size of one read, and of one buffer of a write.
const CHUNK: usize = crate::buffers::READ;

/// Buffers that wait between the thread and its user.
const MOST: usize = 4;

#[derive(Debug, Default)]
struct State {
    full: VecDeque<Vec<u8>>,
    empty: Vec<Vec<u8>>,
    /// The thread has ended: in order, or with this error.
    ended: Option<io::Result<()>>,
    /// The user is gone.
    abandoned: bool,
    /// The thread holds a buffer that is not written yet.
    busy: bool,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks the thread until `ready` or the user is gone.
    fn wait(&self, ready: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waits = |state: &mut State| !state.abandoned && !ready(state);
        self.changed.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something and wakes the user.
    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// One direction of a descriptor that blocks.
#[derive(Debug)]
pub(crate) struct ThreadIo(Arc<Shared>);

impl ThreadIo {
    pub(crate) fn reader(fd: OwnedFd) -> Self {
        Self::start("trunkline-read", move |shared| read_all(shared, &fd))
    }

    pub(crate) fn writer(fd: OwnedFd) -> Self {
        Self::start("trunkline-write", move |shared| write_all(shared, &fd))
    }

    fn start(name: &str, run: impl FnOnce(&Shared) -> io::Result<()> + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = Arc::clone(&shared);
        let spawned = std::thread::Builder::new().name(name.into()).spawn(move || {
            let ended = run(&thread);
            thread.update(|state| state.ended = Some(ended));
        });
        if let Err(error) = spawned {
            shared.lock().ended = Some(Err(error));
        }
        Self(shared)
    }

    pub(crate) fn poll_read(&self, cx: &Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        let Some(front) = state.full.front_mut() else {
            return match state.ended.take() {
                Some(Ok(())) => {
                    state.ended = Some(Ok(()));
                    Poll::Ready(Ok(0))
                }
                Some(Err(error)) => {
                    state.ended = Some(Ok(()));
                    Poll::Ready(Err(error))
                }
                None => {
                    state.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        };
        let traded = buf.is_empty() && front.len() <= buf.capacity();
        let count = if traded {
            // The full buffer for the empty one: no copy.
            std::mem::swap(buf, front);
            buf.len()
        } else {
            let count = front.len().min(buf.capacity() - buf.len());
            buf.extend(front.drain(..count));
            count
        };
        if (traded || front.is_empty())
            && let Some(emptied) = state.full.pop_front()
        {
            state.empty.push(emptied);
        }
        drop(state);
        self.0.changed.notify_one();
        Poll::Ready(Ok(count))
    }

    pub(crate) fn poll_write(
        &self,
        cx: &Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if let Some(ended) = &mut state.ended {
            let error = std::mem::replace(ended, Ok(())).err();
            return Poll::Ready(Err(error.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())));
        }
        if state.full.len() >= MOST {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut buffer = state.empty.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK));
        for slice in bufs {
            let room = buffer.capacity().min(CHUNK) - buffer.len();
            buffer.extend_from_slice(slice.get(..room).unwrap_or(slice));
        }
        let count = buffer.len();
        state.full.push_back(buffer);
        drop(state);
        self.0.changed.notify_one();
        Poll::Ready(Ok(count))
    }

    pub(crate) fn poll_flush(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if let Some(ended) = &mut state.ended {
            return Poll::Ready(std::mem::replace(ended, Ok(())));
        }
        if state.full.is_empty() && !state.busy {
            return Poll::Ready(Ok(()));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for ThreadIo {
    fn drop(&mut self) {
        self.0.lock().abandoned = true;
        self.0.changed.notify_one();
    }
}

fn read_all(shared: &Shared, fd: &OwnedFd) -> io::Result<()> {
    loop {
        let mut state = shared.wait(|state| state.full.len() < MOST);
        if state.abandoned {
            return Ok(());
        }
        let mut buffer =
            state.empty.pop().filter(|buffer| buffer.capacity() >= CHUNK).unwrap_or_default();
        drop(state);
        buffer.reserve_exact(CHUNK);
        match rustix::io::retry_on_intr(|| rustix::io::read(fd, spare_capacity(&mut buffer)))? {
            0 => return Ok(()),
            _ => shared.update(|state| state.full.push_back(buffer)),
        }
    }
}

fn write_all(shared: &Shared, fd: &OwnedFd) -> io::Result<()> {
    loop {
        let mut state = shared.wait(|state| !state.full.is_empty());
        // What was taken is written even when the user is gone.
        let Some(mut buffer) = state.full.pop_front() else { return Ok(()) };
        state.busy = true;
        drop(state);
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            let count = rustix::io::retry_on_intr(|| rustix::io::write(fd, rest))?;
            rest = rest.get(count..).unwrap_or_default();
        }
        buffer.clear();
        shared.update(|state| {
            state.busy = false;
            state.empty.push(buffer);
        });
    }
}
