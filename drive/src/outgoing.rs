//! Frames on their way into a transport.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::BytesMut;
use trunkline_core::Segment;

use crate::Io;

/// Frames below this size are put together, so that a burst of them is one slice of one write.
const SMALL: usize = 1_024;

/// Most frames that wait here; what to send next is the machine's to decide as late as possible.
const MOST_SEGMENTS: usize = 64;

/// Most bytes that wait here.
const MOST_BYTES: usize = 256 << 10;

/// Most slices of one write; systems take at least 1,024.
const MOST_SLICES: usize = 3 * MOST_SEGMENTS;

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
        let mut slices = [IoSlice::new(&[]); MOST_SLICES];
        let mut count = 0;
        let mut skip = self.sent;
        'fill: for segment in &self.segments {
            for part in segment.slices() {
                let skipped = skip.min(part.len());
                skip -= skipped;
                if let Some(rest) = part.get(skipped..).filter(|rest| !rest.is_empty()) {
                    let Some(slot) = slices.get_mut(count) else { break 'fill };
                    *slot = IoSlice::new(rest);
                    count += 1;
                }
            }
        }
        let filled = slices.get(..count).unwrap_or_default();
        let written = std::task::ready!(io.poll_write(cx, filled))?;
        if written == 0 {
            // Trying again would spin.
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        self.bytes -= written;
        self.sent += written;
        while let Some(first) = self.segments.front().filter(|first| first.len() <= self.sent) {
            self.sent -= first.len();
            self.segments.pop_front();
        }
    }
}
