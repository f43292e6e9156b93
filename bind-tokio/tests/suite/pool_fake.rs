//! A connection that does as a test says, and a way to dial it.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::rt::{Pool, PoolConfig, Pooled};

#[derive(Debug, Default)]
struct State {
    dead: bool,
    closed: bool,
    /// Closing it waits for [`Fake::let_close`].
    slow_close: bool,
    streams: usize,
    /// How many opens wait before they succeed or fail, so that they take a poll or more.
    slow_opens: usize,
    /// The next opens fail, and whether the connection dies of it.
    fails: Vec<bool>,
    wakers: Vec<Waker>,
}

/// A connection without a wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

/// A stream of one; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct FakeStream(Fake);

impl Drop for FakeStream {
    fn drop(&mut self) {
        self.0.lock().streams -= 1;
    }
}

impl FakeStream {
    pub(crate) fn connection(&self) -> &Fake {
        &self.0
    }
}

impl Fake {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn die(&self) {
        self.lock().dead = true;
    }

    /// The next opens fail; with each, whether the connection dies of it.
    pub(crate) fn fail(&self, fails: &[bool]) {
        self.lock().fails = fails.to_vec();
    }

    pub(crate) fn open_slowly(&self, polls: usize) {
        self.lock().slow_opens = polls;
    }

    pub(crate) fn close_slowly(&self) {
        self.lock().slow_close = true;
    }

    pub(crate) fn let_close(&self) {
        let mut state = self.lock();
        state.slow_close = false;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether it was closed in order.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How many handles of it there are.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

impl Pooled for Fake {
    type Stream = FakeStream;

    async fn open(&self) -> io::Result<FakeStream> {
        let mut polls = self.lock().slow_opens;
        poll_fn(|cx| {
            if polls == 0 {
                return Poll::Ready(());
            }
            polls -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let mut state = self.lock();
        let fails = (!state.fails.is_empty()).then(|| state.fails.remove(0));
        state.dead |= fails == Some(true);
        if state.dead || fails.is_some() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        state.streams += 1;
        Ok(FakeStream(self.clone()))
    }

    fn streams(&self) -> usize {
        self.lock().streams
    }

    fn is_usable(&self) -> bool {
        let state = self.lock();
        !state.dead && !state.closed
    }

    async fn close(&self) {
        poll_fn(|cx| {
            let mut state = self.lock();
            state.closed = true;
            if !state.slow_close {
                return Poll::Ready(());
            }
            state.wakers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Polls the future again and again, woken or not.
pub(crate) async fn restless<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            cx.waker().wake_by_ref();
        }
        polled
    })
    .await
}

/// How one dial ends.
#[derive(Clone, Debug)]
pub(crate) enum Ends {
    With(Fake),
    Failing(io::ErrorKind),
    Panicking,
}

#[derive(Debug, Default)]
struct Dials {
    begun: usize,
    dropped: usize,
    /// How all that are not named below end, at once.
    all: Option<Ends>,
    ends: BTreeMap<usize, Ends>,
    wakers: Vec<Waker>,
}

/// Makes connections when the test says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialler(Arc<Mutex<Dials>>);

/// Notes that a dial's future was dropped, at its end or before.
struct Dialling(Dialler);

impl Drop for Dialling {
    fn drop(&mut self) {
        self.0.lock().dropped += 1;
    }
}

impl Dialler {
    /// One whose dials all end so, at once.
    pub(crate) fn with(ends: Ends) -> Self {
        let dialler = Self::default();
        dialler.lock().all = Some(ends);
        dialler
    }

    fn lock(&self) -> MutexGuard<'_, Dials> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the n-th dial, from 0 on, begun or not.
    pub(crate) fn end(&self, number: usize, ends: Ends) {
        let mut dials = self.lock();
        dials.ends.insert(number, ends);
        let wakers = std::mem::take(&mut dials.wakers);
        drop(dials);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// How many were begun.
    pub(crate) fn begun(&self) -> usize {
        self.lock().begun
    }

    /// How many are under way.
    pub(crate) fn under_way(&self) -> usize {
        let dials = self.lock();
        dials.begun - dials.dropped
    }

    pub(crate) fn dial(&self) -> impl Future<Output = io::Result<Fake>> + Send + use<> {
        let mut dials = self.lock();
        let number = dials.begun;
        dials.begun += 1;
        drop(dials);
        let dialling = Dialling(self.clone());
        async move {
            let ends = poll_fn(|cx| {
                let mut dials = dialling.0.lock();
                let ends = dials.ends.remove(&number).or_else(|| dials.all.clone());
                if ends.is_none() {
                    dials.wakers.push(cx.waker().clone());
                }
                ends.map_or(Poll::Pending, Poll::Ready)
            });
            match ends.await {
                Ends::With(fake) => Ok(fake),
                Ends::Failing(kind) => Err(kind.into()),
                Ends::Panicking => panic!("a dial that panics, as the test wants it"),
            }
        }
    }

    /// A pool over it, which waits for its dials however long a test takes.
    pub(crate) fn pool(&self, change: impl FnOnce(&mut PoolConfig)) -> Pool<Fake> {
        let mut config = PoolConfig::default();
        config.connect_timeout = None;
        change(&mut config);
        let dialler = self.clone();
        Pool::new(config, move || dialler.dial())
    }
}
