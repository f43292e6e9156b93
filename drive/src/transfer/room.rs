//! A bound on bytes that are under way, shared by everything that moves them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// So many bytes, handed out in the order of asking.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    most: usize,
}

#[derive(Debug)]
struct State {
    left: usize,
    asked: u64,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    bytes: usize,
    waker: Waker,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The waker of the first in the queue, if it may go now.
    fn next(&self) -> Option<Waker> {
        self.waiting.front().filter(|first| first.bytes <= self.left).map(|w| w.waker.clone())
    }
}

impl Room {
    pub(super) fn new(most: usize) -> Self {
        let state = State { left: most, asked: 0, waiting: VecDeque::new() };
        Self(Arc::new(Shared { state: Mutex::new(state), most }))
    }

    /// Waits for so many bytes. Who asks for more than there will ever be gets all there is.
    ///
    /// Cancel safe: whoever stops waiting loses only its place.
    pub(super) async fn take(&self, bytes: usize) -> Permit {
        let bytes = bytes.min(self.0.most);
        let mut place = Place { room: &self.0, ticket: None };
        poll_fn(|cx| place.poll(cx, bytes)).await;
        place.ticket = None;
        Permit { room: Arc::clone(&self.0), bytes }
    }
}

/// A place in the queue, left when it is dropped.
struct Place<'a> {
    room: &'a Shared,
    ticket: Option<u64>,
}

impl Place<'_> {
    fn poll(&mut self, cx: &Context<'_>, bytes: usize) -> Poll<()> {
        let mut state = self.room.lock();
        let first = match self.ticket {
            None => state.waiting.is_empty(),
            Some(ticket) => state.waiting.front().is_some_and(|first| first.ticket == ticket),
        };
        if first && bytes <= state.left {
            state.left -= bytes;
            if self.ticket.is_some() {
                state.waiting.pop_front();
            }
            let next = state.next();
            drop(state);
            if let Some(waker) = next {
                waker.wake();
            }
            return Poll::Ready(());
        }
        match self.ticket {
            None => {
                state.asked += 1;
                let ticket = state.asked;
                state.waiting.push_back(Waiting { ticket, bytes, waker: cx.waker().clone() });
                self.ticket = Some(ticket);
            }
            Some(ticket) => {
                let mine = state.waiting.iter_mut().find(|waiting| waiting.ticket == ticket);
                if let Some(mine) = mine {
                    mine.waker.clone_from(cx.waker());
                }
            }
        }
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut state = self.room.lock();
        state.waiting.retain(|waiting| waiting.ticket != ticket);
        let next = state.next();
        drop(state);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

/// Bytes that were handed out, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    room: Arc<Shared>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.room.lock();
        state.left += self.bytes;
        let next = state.next();
        drop(state);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn room_is_given_in_the_order_of_asking() {
        let room = Room::new(10);
        let cx = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(eight) = pin!(room.take(8)).poll(cx) else { panic!("there is room") };
        let mut four = pin!(room.take(4));
        assert!(four.as_mut().poll(cx).is_pending());
        // There is room for it, but somebody waits already.
        let mut one = pin!(room.take(1));
        assert!(one.as_mut().poll(cx).is_pending());
        drop(eight);
        assert!(one.as_mut().poll(cx).is_pending());
        assert!(four.as_mut().poll(cx).is_ready());
        assert!(one.as_mut().poll(cx).is_ready());
    }

    #[test]
    fn whoever_stops_waiting_holds_nobody_up() {
        let room = Room::new(10);
        let cx = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(_eight) = pin!(room.take(8)).poll(cx) else { panic!("there is room") };
        let mut one = Box::pin(room.take(1));
        {
            let mut four = pin!(room.take(4));
            assert!(four.as_mut().poll(cx).is_pending());
            assert!(one.as_mut().poll(cx).is_pending());
        }
        assert!(one.as_mut().poll(cx).is_ready());
    }

    #[test]
    fn who_wants_more_than_there_is_gets_all() {
        let room = Room::new(10);
        let cx = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(all) = pin!(room.take(1_000)).poll(cx) else { panic!("there is room") };
        assert!(pin!(room.take(1)).poll(cx).is_pending());
        drop(all);
        assert!(pin!(room.take(10)).poll(cx).is_ready());
    }
}
