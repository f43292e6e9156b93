//! A few chunks on their way into a transport, in one write.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};

use crate::Io;

/// Chunks put into one write.
const GATHER: usize = 16;

/// Chunks that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Chunks(VecDeque<Bytes>);

impl Chunks {
    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.0.push_back(chunk);
    }

    pub(crate) fn has_room(&self) -> bool {
        self.0.len() < GATHER
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(all(unix, feature = "host"))]
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Writes as much as the transport takes in one call; taking nothing is an error.
    pub(crate) fn poll_write(
        &mut self,
        io: &mut impl Io,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); GATHER];
        let filled =
            slices.iter_mut().zip(&self.0).map(|(slot, chunk)| *slot = IoSlice::new(chunk)).count();
        let count = std::task::ready!(io.poll_write(cx, slices.get(..filled).unwrap_or_default()))?;
        if count == 0 {
            // Trying again would spin.
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.consume(count);
        Poll::Ready(Ok(count))
    }

    fn consume(&mut self, mut count: usize) {
        while let Some(first) = self.0.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.0.pop_front();
        }
    }
}
