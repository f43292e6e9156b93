//! Many futures in one task: each is polled only when it was woken.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

type Member<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A set of futures, and the results of those that are ready, in the order of their ends.
///
/// Dropping it drops them all.
pub(super) struct Crowd<'a, T> {
    members: Vec<Option<Member<'a, T>>>,
    seats: Vec<Arc<Seat>>,
    free: Vec<usize>,
    woken: Arc<Woken>,
}

/// Who was woken, by number, and whom to tell.
#[derive(Default)]
struct Woken(Mutex<(VecDeque<usize>, Option<Waker>)>);

impl Woken {
    fn lock(&self) -> MutexGuard<'_, (VecDeque<usize>, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the set. It outlives its futures: one that is woken late wakes whoever came after it.
struct Seat {
    number: usize,
    queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for Seat {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut state = self.woken.lock();
        state.0.push_back(self.number);
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<'a, T> Crowd<'a, T> {
    pub(super) fn new() -> Self {
        Self {
            members: Vec::new(),
            seats: Vec::new(),
            free: Vec::new(),
            woken: Arc::new(Woken::default()),
        }
    }

    /// How many have not ended.
    pub(super) fn len(&self) -> usize {
        self.members.len() - self.free.len()
    }

    /// Takes one more in. It begins with the next [`next`](Self::next).
    pub(super) fn push(&mut self, future: impl Future<Output = T> + Send + 'a) {
        let number = self.free.pop().unwrap_or_else(|| {
            let number = self.members.len();
            self.members.push(None);
            let seat =
                Seat { number, queued: AtomicBool::new(false), woken: Arc::clone(&self.woken) };
            self.seats.push(Arc::new(seat));
            number
        });
        if let (Some(place), Some(seat)) = (self.members.get_mut(number), self.seats.get(number)) {
            *place = Some(Box::pin(future));
            seat.wake_by_ref();
        }
    }

    /// The result of the next that ends; `None` when there is nobody left. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if self.len() == 0 {
            return Poll::Ready(None);
        }
        // One that wakes itself again and again must not keep everybody else waiting.
        for _ in 0..=self.members.len() {
            let mut state = self.woken.lock();
            let Some(number) = state.0.pop_front() else {
                match &mut state.1 {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                return Poll::Pending;
            };
            drop(state);
            let (Some(place), Some(seat)) = (self.members.get_mut(number), self.seats.get(number))
            else {
                continue;
            };
            // Before the poll: what wakes it from now on asks for another.
            seat.queued.store(false, Ordering::Release);
            let Some(member) = place else { continue };
            let waker = Waker::from(Arc::clone(seat));
            if let Poll::Ready(result) = member.as_mut().poll(&mut Context::from_waker(&waker)) {
                *place = None;
                self.free.push(number);
                return Poll::Ready(Some(result));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<T>(crowd: &mut Crowd<'_, T>) -> Poll<Option<T>> {
        crowd.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn results_come_in_the_order_of_their_ends() {
        let mut crowd = Crowd::new();
        for turns in [3, 1, 2_u32] {
            let mut left = turns;
            crowd.push(poll_fn(move |cx| {
                left -= 1;
                cx.waker().wake_by_ref();
                if left == 0 { Poll::Ready(turns) } else { Poll::Pending }
            }));
        }
        let mut ended = Vec::new();
        loop {
            match poll(&mut crowd) {
                Poll::Ready(Some(turns)) => ended.push(turns),
                Poll::Ready(None) => break,
                Poll::Pending => {}
            }
        }
        assert_eq!(ended, [1, 2, 3]);
        assert_eq!(crowd.len(), 0);
    }

    #[test]
    fn only_who_was_woken_is_polled() {
        let polls = Arc::new(Mutex::new(Vec::new()));
        let mut crowd = Crowd::<()>::new();
        let wakers = Arc::new(Mutex::new(Vec::new()));
        for number in 0..3 {
            let (polls, wakers) = (Arc::clone(&polls), Arc::clone(&wakers));
            crowd.push(poll_fn(move |cx| {
                polls.lock().unwrap().push(number);
                wakers.lock().unwrap().push(cx.waker().clone());
                Poll::Pending
            }));
        }
        assert!(poll(&mut crowd).is_pending());
        assert_eq!(*polls.lock().unwrap(), [0, 1, 2]);
        wakers.lock().unwrap()[1].wake_by_ref();
        wakers.lock().unwrap()[1].wake_by_ref();
        assert!(poll(&mut crowd).is_pending());
        assert_eq!(*polls.lock().unwrap(), [0, 1, 2, 1]);
    }

    #[test]
    fn a_seat_is_used_again_and_its_old_wakers_harm_nobody() {
        let kept = Arc::new(Mutex::new(None));
        let mut crowd = Crowd::new();
        let to = Arc::clone(&kept);
        crowd.push(poll_fn(move |cx| {
            *to.lock().unwrap() = Some(cx.waker().clone());
            Poll::Ready(1)
        }));
        assert_eq!(poll(&mut crowd), Poll::Ready(Some(1)));
        crowd.push(poll_fn(|_| Poll::Ready(2)));
        kept.lock().unwrap().take().unwrap().wake();
        assert_eq!(poll(&mut crowd), Poll::Ready(Some(2)));
        assert_eq!(poll(&mut crowd), Poll::Ready(None));
    }
}
