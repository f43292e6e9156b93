//! What both machines of this wire consist of.

use alloc::collections::VecDeque;
use bytes::Bytes;

use super::config::Config;
use super::decoder::Decoder;
use super::frame::Frame;
use super::inbox::{Inbox, Taken};
use super::outbox::Outbox;
use super::violation::{FirstBytes, Violation};
use crate::{CloseReason, Instant};

/// Counters of a session, readable at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames received.
    pub frames_received: u64,
    /// Frames sent.
    pub frames_sent: u64,
    /// Payload bytes of streams received and delivered to a queue.
    pub bytes_received: u64,
    /// Frames that were dropped: of no meaning here, or for a stream unknown, ended or given up.
    pub frames_dropped: u64,
    /// Answers that nobody waited for.
    pub responses_dropped: u64,
    /// The id of the last of them.
    pub last_dropped_response: Option<u32>,
    /// Log records dropped by the rate limit.
    pub logs_dropped: u64,
    /// How often unread bytes have stopped the link.
    pub stalls: u64,
    /// The stream whose unread bytes stop the link at the moment.
    pub stalled: Option<u32>,
    /// Bytes that wait to be read.
    pub queued_in: usize,
    /// Bytes that wait to be sent, with what keeping them costs.
    pub queued_out: usize,
    /// Control frames, signals among them, that wait to be sent.
    pub control_queued: usize,
}

/// What the decoder has to offer.
pub(super) enum Next {
    Frame(Frame),
    /// Nothing may be taken at the moment.
    Held,
    /// Nothing is there; the reason if nothing will ever be.
    Nothing(Option<CloseReason>),
    Failed(Violation),
}

/// Decoder, queues and counters of one session.
#[derive(Debug)]
pub(super) struct Link<E> {
    pub(super) config: Config,
    pub(super) decoder: Decoder<Frame>,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    events: VecDeque<E>,
    /// Memory that the events waiting take, and those taken since there last were none.
    events_cost: usize,
    pub(super) first: FirstBytes,
    pub(super) closed: Option<CloseReason>,
    pub(super) now: Instant,
    pub(super) stats: Stats,
    /// The input has ended, though not everything of it may have been decoded.
    ended: Option<CloseReason>,
    /// Everything that arrived has been decoded.
    drained: bool,
    /// The transport takes nothing more, for this reason.
    mute: Option<CloseReason>,
}

impl<E> Link<E> {
    pub(super) fn new(config: Config) -> Self {
        Self {
            decoder: Decoder::new(&config),
            inbox: Inbox::new(&config),
            outbox: Outbox::new(&config),
            config,
            events: VecDeque::new(),
            events_cost: 0,
            first: FirstBytes::of(&[]),
            closed: None,
            now: Instant::ORIGIN,
            stats: Stats::default(),
            ended: None,
            drained: true,
            mute: None,
        }
    }

    /// Takes in what arrived; a new turn begins.
    pub(super) fn input(&mut self, now: Instant, bytes: Bytes) {
        self.now = now;
        self.inbox.compact();
        if self.closed.is_none() && self.ended.is_none() {
            self.first.extend(&bytes);
            self.decoder.push(bytes);
            self.drained = false;
        }
    }

    /// The input has ended: in order, or because the transport failed.
    pub(super) fn end_input(&mut self, now: Instant, failure: Option<CloseReason>) {
        self.now = now;
        self.drained = false;
        self.ended.get_or_insert(failure.unwrap_or(CloseReason::Eof { mid_frame: false }));
    }

    /// Whether nothing may be decoded at the moment: somebody must read, or take events, first.
    pub(super) fn is_held(&self) -> bool {
        let limits = &self.config.limits;
        self.inbox.is_stalled()
            || self.events.len() >= limits.events.max(1)
            || self.events_cost >= limits.session_queue.max(1)
    }

    /// Raises an event that says little.
    pub(super) fn tell(&mut self, event: E) {
        self.events.push_back(event);
    }

    /// Raises an event that keeps what the last frame held.
    pub(super) fn hand_over(&mut self, event: E) {
        self.events_cost = self.events_cost.saturating_add(self.decoder.cost());
        self.events.push_back(event);
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn pop_event(&mut self) -> Option<E> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events_cost = 0;
        }
        event
    }

    /// Whether the driver should read more: what arrived before has been decoded, and there is room.
    pub(super) fn wants_input(&self) -> bool {
        self.is_open() && self.drained && !self.is_held()
    }

    /// Whether input can still matter.
    pub(super) const fn is_open(&self) -> bool {
        self.closed.is_none() && self.ended.is_none()
    }

    /// How the input ended, if it has.
    pub(super) const fn how_input_ended(&self) -> Option<&CloseReason> {
        self.ended.as_ref()
    }

    /// Whether the transport takes nothing more.
    pub(super) const fn is_mute(&self) -> bool {
        self.mute.is_some()
    }

    /// Why the transport takes nothing more, if it does not.
    pub(super) const fn mute_reason(&self) -> Option<&CloseReason> {
        self.mute.as_ref()
    }

    /// Whether everything that arrived has been decoded, its end included.
    pub(super) const fn is_drained(&self) -> bool {
        self.drained
    }

    /// The next frame, if it is a DATA frame in its usual form: the shortcut past
    /// [`next`](Self::next), which gives whatever this does not.
    #[inline]
    pub(super) fn next_data(&mut self) -> Option<(u32, Bytes)> {
        if self.is_held() {
            return None;
        }
        let data = self.decoder.poll_data()?;
        self.stats.frames_received += 1;
        Some(data)
    }

    pub(super) fn next(&mut self) -> Next {
        if self.is_held() {
            return Next::Held;
        }
        match self.decoder.poll() {
            Ok(Some(frame)) => {
                self.stats.frames_received += 1;
                Next::Frame(frame)
            }
            Ok(None) => {
                self.drained = true;
                Next::Nothing(self.ended.clone().map(|reason| match reason {
                    CloseReason::Eof { .. } => {
                        CloseReason::Eof { mid_frame: self.decoder.buffered() > 0 }
                    }
                    reason => reason,
                }))
            }
            Err(violation) => Next::Failed(violation),
        }
    }

    /// Queues what a DATA frame brought; says whether the reader should be told.
    #[inline]
    pub(super) fn data(&mut self, stream: u32, pieces: impl IntoIterator<Item = Bytes>) -> bool {
        let was_stalled = self.inbox.is_stalled();
        let (taken, count) = self.inbox.data(stream, pieces, self.decoder.pinned());
        self.stats.bytes_received += count as u64;
        if !was_stalled && self.inbox.is_stalled() {
            self.stats.stalls += 1;
        }
        self.note(taken)
    }

    /// Counts what was dropped; says whether the reader should be told.
    pub(super) fn note(&mut self, taken: Taken) -> bool {
        if taken == Taken::Dropped {
            self.stats.frames_dropped += 1;
        }
        taken == Taken::Announce
    }

    pub(super) fn transmit(&mut self) -> Option<crate::Segment> {
        let segment = self.outbox.poll();
        if self.is_mute() {
            return None;
        }
        self.stats.frames_sent += u64::from(segment.is_some());
        segment
    }

    /// The transport takes nothing more: what is queued goes nowhere.
    pub(super) fn mute(&mut self, os_error: Option<i32>) {
        self.mute = Some(CloseReason::Transport { os_error });
        self.outbox.clear();
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            stalled: self.inbox.stalled(),
            queued_in: self.inbox.queued(),
            queued_out: self.outbox.queued(),
            control_queued: self.outbox.control_len(),
            ..self.stats
        }
    }
}
