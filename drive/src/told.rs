//! One value that a thread tells a future.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    told: bool,
    waker: Option<Waker>,
}

/// A place for one value, written once by a thread and taken once by a future.
#[derive(Debug)]
pub(crate) struct Told<T>(Arc<Mutex<State<T>>>);

impl<T> Told<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { value: None, told: false, waker: None })))
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self, value: T) {
        let mut state = self.lock();
        state.value = Some(value);
        state.told = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the value was told, taken or not.
    pub(crate) fn is_told(&self) -> bool {
        self.lock().told
    }

    /// Ready with the value, once.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<T> {
        let mut state = self.lock();
        match state.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Clone for Told<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
