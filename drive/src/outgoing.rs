//! Frames on their way into a transport.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::BytesMut;
use trunkline_core::Segment;

use crate::Io;
use crate::frames::{Frames, MOST_FRAMES};

/// Frames below this size are put together, so that a burst of them is one slice of one write.
const SMALL: usize = 1_024;

/// Most frames that wait here; what to send next is the machine's to decide as late as possible.
const MOST_SEGMENTS: usize = 64;

/// Most bytes that wait here.
const MOST_BYTES: usize = 256 << 10;

/// Most slices of one write; systems take at least 1,024.
const MOST_SLICES: usize = 3 * MOST_SEGMENTS;

/// Frames for which fewer slices are made.
const FEW: usize = 5;

/// Most slices of a caller that go into one write.
pub(crate) const MOST_PARTS: usize = 16;

/// Frames handed out by a machine and not yet taken by the transport.
#[derive(Debug)]
pub(crate) struct Outgoing {
    segments: VecDeque<Segment>,
    /// Small frames at the back, not yet a segment.
    small: BytesMut,
    bytes: usize,
    /// Bytes of the first segment that have left.
    sent: usize,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self { segments: VecDeque::new(), small: BytesMut::new(), bytes: 0, sent: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(crate) fn has_room(&self) -> bool {
        self.segments.len() < MOST_SEGMENTS && self.bytes < MOST_BYTES
    }

    pub(crate) fn push(&mut self, segment: Segment) {
        self.bytes += segment.len();
        if segment.len() < SMALL {
            for part in segment.slices() {
                self.small.extend_from_slice(part);
            }
            return;
        }
        self.settle();
        self.segments.push_back(segment);
    }

    fn settle(&mut self) {
        if !self.small.is_empty() {
            self.segments.push_back(Segment::whole(self.small.split().freeze()));
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Writes as much as the transport takes in one call.
    pub(crate) fn poll_write(
        &mut self,
        io: &mut impl Io,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.settle();
        let written = if self.segments.len() <= FEW {
            let mut slices = [IoSlice::new(&[]); 3 * FEW];
            let count = self.gather(&mut slices);
            io.poll_write(cx, slices.get(..count).unwrap_or_default())
        } else {
            let mut slices = [IoSlice::new(&[]); MOST_SLICES];
            let count = self.gather(&mut slices);
            io.poll_write(cx, slices.get(..count).unwrap_or_default())
        };
        let written = std::task::ready!(written)?;
        if written == 0 {
            // Trying again would spin.
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(()))
    }

    /// Puts what waits into slices, as far as they suffice, and says how many it took.
    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let mut skip = self.sent;
        for segment in &self.segments {
            for part in segment.slices() {
                let skipped = skip.min(part.len());
                skip -= skipped;
                if let Some(rest) = part.get(skipped..).filter(|rest| !rest.is_empty()) {
                    let Some(slot) = slices.get_mut(count) else { return count };
                    *slot = IoSlice::new(rest);
                    count += 1;
                }
            }
        }
        count
    }

    /// Whether so few frames wait that [`poll_through`](Self::poll_through) can be called.
    pub(crate) fn may_write_through(&self) -> bool {
        self.segments.len() < FEW
    }

    /// Puts frames of a caller behind what waits, with a copy of their payload, which stands at the
    /// front of `bufs`.
    pub(crate) fn stage(&mut self, frames: &Frames, bufs: &[IoSlice<'_>]) {
        self.bytes += frames.len();
        frames.each(bufs, |part| self.small.extend_from_slice(part));
    }

    /// Writes what waits, and behind it frames whose payload stands at the front of a caller's
    /// slices, in one call; what the transport did not take of these is kept as a copy.
    ///
    /// The frames are taken whatever happens.
    pub(crate) fn poll_through(
        &mut self,
        io: &mut impl Io,
        cx: &mut Context<'_>,
        frames: &Frames,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<()>> {
        self.settle();
        let mut slices = [IoSlice::new(&[]); 3 * FEW + 2 * MOST_FRAMES + MOST_PARTS];
        let mut count = self.gather(&mut slices);
        frames.each(bufs, |part| {
            if let Some(slot) = slices.get_mut(count) {
                *slot = IoSlice::new(part);
                count += 1;
            }
        });
        let before = self.bytes;
        let result = io.poll_write(cx, slices.get(..count).unwrap_or_default());
        let written = match &result {
            Poll::Ready(Ok(written)) => *written,
            _ => 0,
        };
        self.advance(written.min(before));
        let mut skip = written.saturating_sub(before);
        if skip < frames.len() {
            self.bytes += frames.len() - skip;
            frames.each(bufs, |part| {
                let skipped = skip.min(part.len());
                skip -= skipped;
                self.small.extend_from_slice(part.get(skipped..).unwrap_or_default());
            });
            self.settle();
        }
        match result {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            result => result.map_ok(|_| ()),
        }
    }

    fn advance(&mut self, written: usize) {
        let written = written.min(self.bytes);
        self.bytes -= written;
        self.sent += written;
        while let Some(first) = self.segments.front().filter(|first| first.len() <= self.sent) {
            self.sent -= first.len();
            self.segments.pop_front();
        }
    }
}
