//! Many requests under way at once, whose results come in the order of asking.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// So many are under way: as many as a session has in flight.
pub(crate) const WIDTH: usize = 64;

/// Futures made from items and polled together, [`WIDTH`] at most. Dropping it drops them.
pub(crate) struct Pipeline<I, S, F: Future> {
    items: I,
    start: S,
    slots: VecDeque<Slot<F>>,
}

enum Slot<F: Future> {
    Running(Pin<Box<F>>),
    Done(F::Output),
}

/// Starts a future for each item, as earlier ones come to their end.
pub(crate) fn pipeline<I, S, F>(items: I, start: S) -> Pipeline<I::IntoIter, S, F>
where
    I: IntoIterator,
    S: FnMut(I::Item) -> F,
    F: Future,
{
    Pipeline { items: items.into_iter(), start, slots: VecDeque::new() }
}

impl<I, S, F> Pipeline<I, S, F>
where
    I: Iterator,
    S: FnMut(I::Item) -> F,
    F: Future,
{
    /// The result of the next item; `None` behind the last. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<F::Output> {
        while self.slots.len() < WIDTH
            && let Some(item) = self.items.next()
        {
            self.slots.push_back(Slot::Running(Box::pin((self.start)(item))));
        }
        if self.slots.is_empty() {
            return None;
        }
        poll_fn(|cx| {
            for slot in &mut self.slots {
                if let Slot::Running(future) = slot
                    && let Poll::Ready(value) = future.as_mut().poll(cx)
                {
                    *slot = Slot::Done(value);
                }
            }
            match self.slots.pop_front() {
                Some(Slot::Done(value)) => Poll::Ready(Some(value)),
                Some(running) => {
                    self.slots.push_front(running);
                    Poll::Pending
                }
                None => Poll::Ready(None),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn results_come_in_the_order_of_asking_whatever_ends_first() {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel()).unzip();
        for (number, sender) in senders.into_iter().enumerate().rev() {
            sender.send(number).expect("somebody waits");
        }
        let mut results = pipeline(receivers, |receiver| async { receiver.await.expect("sent") });
        for number in 0..3 {
            assert_eq!(results.next().await, Some(number));
        }
        assert_eq!(results.next().await, None);
    }

    #[tokio::test]
    async fn no_more_are_started_than_may_be_under_way() {
        let started = Cell::new(0);
        let mut results = pipeline(0..1_000, |number| {
            started.set(started.get() + 1);
            async move { number }
        });
        assert_eq!(results.next().await, Some(0));
        assert_eq!(started.get(), WIDTH);
        while results.next().await.is_some() {}
        assert_eq!(started.get(), 1_000);
    }
}
