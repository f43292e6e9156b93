//! The entries of a directory as a stream.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;

use futures_core::Stream;
use trunkline_core::agentproto::{DirEntry, Stat};

use super::requests::Asking;

/// The entries of a directory, one by one; a [`Stream`] of attributes.
///
/// The wire has no paging: the whole listing comes with one answer, and its first entry with it. An
/// error is the last thing that comes.
#[derive(Debug)]
#[must_use = "nothing is asked before it is polled"]
pub struct ReadDir(State);

#[derive(Debug)]
enum State {
    Asking(Box<Asking>),
    Entries(vec::IntoIter<DirEntry>),
}

impl ReadDir {
    pub(super) fn new(asking: Asking) -> Self {
        Self(State::Asking(Box::new(asking)))
    }

    /// The next entry; `None` behind the last.
    ///
    /// Cancel safe: nothing is lost.
    ///
    /// # Errors
    ///
    /// Why the directory could not be read; nothing comes behind that.
    pub async fn next_entry(&mut self) -> io::Result<Option<Stat>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await.transpose()
    }
}

impl Stream for ReadDir {
    type Item = io::Result<Stat>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let State::Asking(asking) = &mut self.0 {
            let answer = ready!(Pin::new(&mut **asking).poll(cx));
            let (entries, error) = match answer {
                Ok(response) => (response.entries, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            self.0 = State::Entries(entries.into_iter());
            if let Some(error) = error {
                return Poll::Ready(Some(Err(error)));
            }
        }
        Poll::Ready(match &mut self.0 {
            State::Entries(entries) => entries.next().map(|entry| Ok(entry.stat)),
            State::Asking(_) => None,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            State::Asking(_) => (0, None),
            State::Entries(entries) => entries.size_hint(),
        }
    }
}
