//! Tasks that wait for the same thing, served in the order of asking.

use std::collections::VecDeque;
use std::task::Waker;

use super::wakes::Wakes;

/// A place in a line; none before the first wait.
#[derive(Debug, Default)]
pub(super) struct Place(Option<u64>);

impl Place {
    /// Whether it is in the line.
    pub(super) const fn waits(&self) -> bool {
        self.0.is_some()
    }
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    /// `None` once it was told to look.
    waker: Option<Waker>,
}

/// Tasks that wait, oldest first.
///
/// Whoever is told to look and does not (its future was dropped) passes that on when it leaves, so
/// no wake-up is lost with a future.
#[derive(Debug, Default)]
pub(super) struct Line {
    next: u64,
    waiting: VecDeque<Waiting>,
}

impl Line {
    /// Whether somebody else comes first.
    pub(super) fn must_wait(&self, place: &Place) -> bool {
        self.waiting.front().is_some_and(|first| place.0 != Some(first.ticket))
    }

    /// Waits in its place, at the back when it has none yet.
    pub(super) fn wait(&mut self, place: &mut Place, waker: &Waker) {
        if let Some(index) = self.index(place) {
            if let Some(waiting) = self.waiting.get_mut(index) {
                match &mut waiting.waker {
                    Some(known) => known.clone_from(waker),
                    none => *none = Some(waker.clone()),
                }
            }
            return;
        }
        let ticket = self.next;
        self.next += 1;
        place.0 = Some(ticket);
        self.waiting.push_back(Waiting { ticket, waker: Some(waker.clone()) });
    }

    /// Tells the first to look.
    pub(super) fn tell(&mut self, wakes: &mut Wakes) {
        wakes.push(self.waiting.front_mut().and_then(|first| first.waker.take()));
    }

    /// Tells as many to look as there is something for, in their order. One after the other they
    /// would each pass it on, and what they then write would leave in as many turns.
    pub(super) fn tell_some(&mut self, count: usize, wakes: &mut Wakes) {
        for waiting in self.waiting.iter_mut().take(count) {
            wakes.push(waiting.waker.take());
        }
    }

    /// Tells everybody to look.
    pub(super) fn tell_all(&mut self, wakes: &mut Wakes) {
        self.tell_some(usize::MAX, wakes);
    }

    /// Leaves the line; who was told to look passes that on.
    pub(super) fn leave(&mut self, place: &mut Place, wakes: &mut Wakes) {
        let told = self.index(place).and_then(|index| self.waiting.remove(index));
        place.0 = None;
        if told.is_some_and(|waiting| waiting.waker.is_none()) {
            self.tell(wakes);
        }
    }

    fn index(&self, place: &Place) -> Option<usize> {
        let ticket = place.0?;
        self.waiting.binary_search_by_key(&ticket, |waiting| waiting.ticket).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn waiter() -> (Arc<Count>, Waker, Place) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), count.into(), Place::default())
    }

    fn woken(call: impl FnOnce(&mut Wakes)) {
        let mut wakes = Wakes::new();
        call(&mut wakes);
        wakes.wake();
    }

    #[test]
    fn the_oldest_is_told_first() {
        let mut line = Line::default();
        let (one, one_waker, mut first) = waiter();
        let (two, two_waker, mut second) = waiter();
        line.wait(&mut first, &one_waker);
        line.wait(&mut second, &two_waker);
        assert!(!line.must_wait(&first) && line.must_wait(&second));
        woken(|wakes| line.tell(wakes));
        woken(|wakes| line.tell(wakes));
        assert_eq!((one.0.load(Ordering::Relaxed), two.0.load(Ordering::Relaxed)), (1, 0));
        // It looked in vain and keeps its place.
        line.wait(&mut first, &one_waker);
        woken(|wakes| line.tell(wakes));
        assert_eq!((one.0.load(Ordering::Relaxed), two.0.load(Ordering::Relaxed)), (2, 0));
    }

    #[test]
    fn as_many_are_told_as_there_is_something_for() {
        let mut line = Line::default();
        let mut waiters: Vec<_> = (0..3).map(|_| waiter()).collect();
        for (_, waker, place) in &mut waiters {
            line.wait(place, waker);
        }
        woken(|wakes| line.tell_some(2, wakes));
        woken(|wakes| line.tell_some(2, wakes));
        let told = waiters.iter().map(|(count, ..)| count.0.load(Ordering::Relaxed));
        assert_eq!(told.collect::<Vec<_>>(), [1, 1, 0]);
    }

    #[test]
    fn who_leaves_after_being_told_tells_the_next() {
        let mut line = Line::default();
        let (_, one_waker, mut first) = waiter();
        let (two, two_waker, mut second) = waiter();
        line.wait(&mut first, &one_waker);
        line.wait(&mut second, &two_waker);
        woken(|wakes| line.tell(wakes));
        woken(|wakes| line.leave(&mut first, wakes));
        assert_eq!(two.0.load(Ordering::Relaxed), 1);
        assert!(!line.must_wait(&second) && !first.waits());
    }

    #[test]
    fn who_leaves_without_being_told_tells_nobody() {
        let mut line = Line::default();
        let (_, one_waker, mut first) = waiter();
        let (two, two_waker, mut second) = waiter();
        line.wait(&mut first, &one_waker);
        line.wait(&mut second, &two_waker);
        woken(|wakes| line.leave(&mut first, wakes));
        assert_eq!(two.0.load(Ordering::Relaxed), 0);
        woken(|wakes| line.tell(wakes));
        assert_eq!(two.0.load(Ordering::Relaxed), 1);
    }
}
