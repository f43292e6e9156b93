//! What a local side keeps of its frames for a recorder: `docs/protocols/agentproto.md` section 12.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use bytes::Bytes;

use super::encode::{data_segment, encode_any};
use super::frame::Frame;
use super::local::Local;
use super::record::Direction;
use crate::{Instant, Segment};

/// Bytes that are kept before nothing more is taken in.
const MOST_BYTES: usize = 256 << 10;

/// What keeping a frame costs beside its bytes.
const COST: usize = 128;

/// A frame that a local side sent or received.
#[derive(Clone, Debug)]
pub struct Tapped {
    /// When; never before the frame that was taken before it.
    pub at: Instant,
    /// Which way.
    pub direction: Direction,
    /// The frame, canonically encoded; its payload is shared, not copied.
    pub frame: Segment,
}

/// Frames sent and received, in order, until somebody takes them.
#[derive(Debug)]
pub(super) struct Tap {
    kept: VecDeque<Tapped>,
    bytes: usize,
    most: usize,
    last: Instant,
}

impl Tap {
    /// Nothing is taken in from so many bytes on, or from the usual number if that is fewer.
    fn new(most: usize) -> Self {
        Self { kept: VecDeque::new(), bytes: 0, most: most.min(MOST_BYTES), last: Instant::ORIGIN }
    }

    #[cold]
    pub(super) fn sent(&mut self, now: Instant, segment: &Segment) {
        self.keep(now, Direction::SENT, segment.clone());
    }

    #[cold]
    pub(super) fn received(&mut self, now: Instant, frame: &Frame) {
        self.keep(now, Direction::RECEIVED, encode_any(frame));
    }

    #[cold]
    pub(super) fn received_data(&mut self, now: Instant, stream: u32, data: &Bytes) {
        self.keep(now, Direction::RECEIVED, data_segment(stream, data.clone()));
    }

    fn keep(&mut self, now: Instant, direction: Direction, frame: Segment) {
        self.last = self.last.max(now);
        self.bytes += frame.len() + COST;
        self.kept.push_back(Tapped { at: self.last, direction, frame });
    }

    /// Whether nothing more should be taken in until what is kept was taken.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.most && !self.kept.is_empty()
    }

    pub(super) fn poll(&mut self) -> Option<Tapped> {
        let tapped = self.kept.pop_front()?;
        self.bytes = self.bytes.saturating_sub(tapped.frame.len() + COST);
        Some(tapped)
    }
}

/// What a recorder needs.
impl Local {
    /// The exit code that the agent has reported, once it has.
    #[must_use]
    pub const fn exit_code(&self) -> Option<i64> {
        self.exit
    }

    /// Whether anything waits to be sent.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        !self.link.outbox.is_empty()
    }

    /// From now on keeps every frame sent and received, in order, for
    /// [`poll_tapped`](Self::poll_tapped).
    ///
    /// Whoever asks for it must take what is kept: from 256 KiB on, or from what a session may queue
    /// (`Limits::session_queue`) if that is less, nothing more is taken in.
    pub fn tap(&mut self) {
        let most = self.link.config.limits.session_queue;
        self.tap.get_or_insert_with(|| Box::new(Tap::new(most)));
    }

    /// Keeps no frames any more, and forgets those that were kept.
    pub fn untap(&mut self) {
        self.tap = None;
    }

    /// The next frame that was sent or received, if frames are kept.
    pub fn poll_tapped(&mut self) -> Option<Tapped> {
        self.tap.as_mut()?.poll()
    }

    /// Whether kept frames must be taken first.
    #[inline]
    pub(super) fn tap_is_full(&self) -> bool {
        self.tap.as_ref().is_some_and(|tap| tap.is_full())
    }
}
