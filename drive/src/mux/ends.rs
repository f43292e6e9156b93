//! Who waits for the end of which stream, apart from its reader and its writer.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use trunkline_core::mux::{Mux, StreamEnd, StreamKey};

use super::state::State;
use super::wakes::Wakes;
use crate::Io;

/// A place among those that wait; none before the first wait.
#[derive(Debug, Default)]
pub(super) struct EndPlace(Option<u64>);

/// Tasks that wait for the ends of streams, any number for each. Nothing for who does not.
#[derive(Debug, Default)]
pub(super) struct Ends {
    next: u64,
    waiting: BTreeMap<(StreamKey, u64), Waker>,
}

impl Ends {
    /// Waits in its place.
    pub(super) fn wait(&mut self, stream: StreamKey, place: &mut EndPlace, waker: &Waker) {
        let ticket = *place.0.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        let known = self.waiting.entry((stream, ticket)).or_insert_with(|| waker.clone());
        known.clone_from(waker);
    }

    /// Whether anybody waits for this stream's end.
    pub(super) fn waits_for(&self, stream: StreamKey) -> bool {
        !self.waiting.is_empty() && self.of(stream).is_some()
    }

    /// Tells everybody who waits for this stream's end.
    pub(super) fn tell(&mut self, stream: StreamKey, wakes: &mut Wakes) {
        while let Some(key) = self.of(stream) {
            wakes.push(self.waiting.remove(&key));
        }
    }

    /// Tells everybody.
    pub(super) fn tell_all(&mut self, wakes: &mut Wakes) {
        for waker in std::mem::take(&mut self.waiting).into_values() {
            wakes.push(Some(waker));
        }
    }

    /// Goes away; what it leaves is to be dropped outside of the lock.
    pub(super) fn leave(&mut self, stream: StreamKey, place: &mut EndPlace) -> Option<Waker> {
        self.waiting.remove(&(stream, place.0.take()?))
    }

    fn of(&self, stream: StreamKey) -> Option<(StreamKey, u64)> {
        self.waiting.range((stream, 0)..=(stream, u64::MAX)).next().map(|(key, _)| *key)
    }
}

impl<M: Mux, I: Io> State<M, I> {
    /// Ready once nothing can be written to the stream any more.
    pub(super) fn poll_end(
        &mut self,
        cx: &Context<'_>,
        stream: StreamKey,
        place: &mut EndPlace,
    ) -> Poll<StreamEnd> {
        let end = self.machine.watch(stream);
        if end.is_none() {
            self.ends.wait(stream, place, cx.waker());
        }
        end.map_or(Poll::Pending, Poll::Ready)
    }
}
