//! A queue between tasks for what a subject accepts: adapters must not cost what they measure.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// A queue with any number of takers, one of which is woken for each thing put in.
#[derive(Debug)]
pub struct Queue<T>(Arc<Mutex<Inner<T>>>);

#[derive(Debug)]
struct Inner<T> {
    things: VecDeque<T>,
    takers: VecDeque<Waker>,
    over: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let inner = Inner { things: VecDeque::new(), takers: VecDeque::new(), over: false };
        Self(Arc::new(Mutex::new(inner)))
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send> Queue<T> {
    /// Puts something in.
    pub fn put(&self, thing: T) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.things.push_back(thing);
        let taker = inner.takers.pop_front();
        drop(inner);
        if let Some(taker) = taker {
            taker.wake();
        }
    }

    /// Says that nothing more comes.
    pub fn end(&self) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.over = true;
        let takers = std::mem::take(&mut inner.takers);
        drop(inner);
        takers.into_iter().for_each(Waker::wake);
    }

    /// Takes the oldest thing, when there is one.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` when nothing is left and nothing more comes.
    pub async fn take(&self) -> io::Result<T> {
        poll_fn(|cx| {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match inner.things.pop_front() {
                Some(thing) => Poll::Ready(Ok(thing)),
                None if inner.over => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                None => {
                    inner.takers.push_back(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
