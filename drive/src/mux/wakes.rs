//! Wake-ups that are made once the lock is released.

use std::task::Waker;

/// Wakers kept without an allocation.
const FEW: usize = 4;

/// Wakers of tasks that are to be woken once the lock is released.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    few: [Option<Waker>; FEW],
    count: usize,
    more: Vec<Waker>,
}

impl Wakes {
    pub(super) const fn new() -> Self {
        Self { few: [const { None }; FEW], count: 0, more: Vec::new() }
    }

    pub(super) fn push(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        match self.few.get_mut(self.count) {
            Some(slot) => *slot = Some(waker),
            None => self.more.push(waker),
        }
        self.count += 1;
    }

    /// How many are to be woken.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Wakes them all, in the order in which they came; must not be called under a lock.
    pub(super) fn wake(&mut self) {
        if std::mem::take(&mut self.count) == 0 {
            return;
        }
        for waker in self.few.iter_mut().filter_map(Option::take) {
            waker.wake();
        }
        // Its room is kept for the next turn.
        for waker in self.more.drain(..) {
            waker.wake();
        }
    }
}
