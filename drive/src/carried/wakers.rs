//! Who is woken when a WebSocket takes more.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// The writer, and a reader that has a ping or a close to send: a WebSocket has one place for a
/// waker of its writing direction, and neither may take it from the other.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    writer: Mutex<Option<Waker>>,
    reader: Mutex<Option<Waker>>,
}

impl Wakers {
    /// For the writer, before it polls.
    pub(super) fn writer(&self, waker: &Waker) {
        put(&self.writer, waker);
    }

    /// For a reader that sends, before it polls. It is woken once.
    pub(super) fn reader(&self, waker: &Waker) {
        put(&self.reader, waker);
    }
}

fn put(slot: &Mutex<Option<Waker>>, waker: &Waker) {
    match &mut *slot.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(known) => known.clone_from(waker),
        none => *none = Some(waker.clone()),
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        for waker in [writer, reader].into_iter().flatten() {
            waker.wake();
        }
    }
}
