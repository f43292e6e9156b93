//! Frames that wait to be sent: control first, then every stream in turn.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

use super::config::Config;
use super::encode::{EncodeError, data_segment, encode};
use super::frame::Frame;
use crate::{Budget, ByteQueue, Segment};

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Write {
    /// So many bytes, from the front, were taken; offer the rest again after `Writable`.
    Accepted(usize),
    /// No room at the moment: wait for the `Writable` event.
    Blocked,
    /// The stream was finished or given up, or the session is over.
    Closed,
    /// There is no such stream.
    Unknown,
}

/// Control frames that may leave one after the other while a stream waits for its turn.
const CONTROL_RUN: usize = 32;

/// What a queued piece costs beside its bytes.
const PIECE: usize = 64;

#[derive(Debug, Default)]
struct Lane {
    queue: ByteQueue,
    finished: bool,
    /// The EOF has been handed out, or the reader is gone.
    over: bool,
    /// A writer was refused and waits.
    blocked: bool,
    /// Stands in the round.
    ready: bool,
}

impl Lane {
    fn held(&self) -> usize {
        self.queue.len() + self.queue.pieces() * PIECE
    }
}

/// Everything that waits to be sent.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Control frames, each with the id of the request that it is, or 0.
    control: VecDeque<(u32, Segment)>,
    control_bytes: usize,
    /// The request that left last and was not asked for yet.
    left: Option<u32>,
    lanes: BTreeMap<u32, Lane>,
    /// Lanes with something to send, in order of turn.
    round: VecDeque<u32>,
    /// What leaves when nothing else is left.
    last: Option<Segment>,
    /// Control frames that have left since a stream had its turn.
    control_run: usize,
    /// Lanes whose writer was refused and waits.
    blocked: usize,
    /// No stream takes anything more.
    shut: bool,
    budget: Budget,
    stream_limit: usize,
    data_chunk: usize,
}

impl Outbox {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            control: VecDeque::new(),
            control_bytes: 0,
            left: None,
            lanes: BTreeMap::new(),
            round: VecDeque::new(),
            last: None,
            control_run: 0,
            blocked: 0,
            shut: false,
            // Less would hold nothing at all.
            budget: Budget::new(config.limits.session_queue.max(2 * PIECE)),
            stream_limit: config.limits.stream_queue.max(2 * PIECE),
            data_chunk: config.data_chunk.max(1),
        }
    }

    pub(super) fn open(&mut self, stream: u32) {
        self.lanes.entry(stream).or_default();
    }

    /// Queues a control frame, which leaves before any stream's bytes.
    pub(super) fn control(&mut self, frame: &Frame) -> Result<(), EncodeError> {
        self.push(encode(frame)?);
        Ok(())
    }

    /// The same for a frame already encoded.
    pub(super) fn push(&mut self, segment: Segment) {
        self.push_request(0, segment);
    }

    /// The same for a request; [`left`](Self::left) tells when it leaves.
    pub(super) fn push_request(&mut self, id: u32, segment: Segment) {
        self.control_bytes += segment.len();
        self.control.push_back((id, segment));
    }

    /// The request that the last frame handed out was.
    pub(super) const fn left(&mut self) -> Option<u32> {
        self.left.take()
    }

    fn pop_control(&mut self) -> Option<Segment> {
        let (id, segment) = self.control.pop_front()?;
        self.left = (id != 0).then_some(id);
        self.control_bytes -= segment.len();
        Some(segment)
    }

    /// Queues the session's last frame, which leaves behind everything else.
    pub(super) fn last(&mut self, frame: &Frame) {
        // A frame without lists always encodes.
        self.last = encode(frame).ok();
    }

    /// Control frames that wait.
    pub(super) fn control_len(&self) -> usize {
        self.control.len()
    }

    /// Whether nothing at all waits to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.round.is_empty() && self.last.is_none()
    }

    /// Bytes of control frames that wait.
    pub(super) const fn control_bytes(&self) -> usize {
        self.control_bytes
    }

    /// Bytes that wait, with what keeping them costs.
    pub(super) const fn queued(&self) -> usize {
        self.budget.used() + self.control_bytes
    }

    /// How many bytes a write to this stream would take.
    pub(super) fn room(&self, stream: u32) -> usize {
        let lane =
            self.lanes.get(&stream).filter(|lane| !lane.finished && !lane.over && !self.shut);
        let room = lane.map_or(0, |lane| self.stream_limit.saturating_sub(lane.held()));
        room.min(self.budget.left()).saturating_sub(PIECE)
    }

    pub(super) fn write(&mut self, stream: u32, data: &Bytes) -> Write {
        let room = self.room(stream);
        let Some(lane) = self.lanes.get_mut(&stream) else { return Write::Unknown };
        if lane.finished || lane.over || self.shut {
            return Write::Closed;
        }
        let accepted = data.len().min(room);
        if accepted < data.len() && !core::mem::replace(&mut lane.blocked, true) {
            self.blocked += 1;
        }
        if accepted == 0 {
            return if data.is_empty() { Write::Accepted(0) } else { Write::Blocked };
        }
        lane.queue.push(data.slice(..accepted), accepted);
        self.budget.charge(accepted + PIECE);
        make_ready(&mut self.round, stream, lane);
        Write::Accepted(accepted)
    }

    /// Ends a stream behind what is queued of it; false when there is no such open stream.
    pub(super) fn finish(&mut self, stream: u32) -> bool {
        if self.shut {
            return false;
        }
        let Some(lane) = self.lanes.get_mut(&stream).filter(|lane| !lane.finished && !lane.over)
        else {
            return false;
        };
        lane.finished = true;
        make_ready(&mut self.round, stream, lane);
        true
    }

    /// The next frame to send.
    pub(super) fn poll(&mut self) -> Option<Segment> {
        // Control goes first, but a flood of it does not keep streams from their turn.
        if (self.control_run < CONTROL_RUN || self.round.is_empty())
            && let Some(segment) = self.pop_control()
        {
            self.control_run += 1;
            return Some(segment);
        }
        self.control_run = 0;
        while let Some(stream) = self.round.pop_front() {
            let Some(lane) = self.lanes.get_mut(&stream) else { continue };
            lane.ready = false;
            let before = lane.held();
            let Some(data) = lane.queue.pop(self.data_chunk) else {
                if lane.finished && !core::mem::replace(&mut lane.over, true) {
                    return encode(&Frame::eof(stream)).ok();
                }
                continue;
            };
            self.budget.release(before - lane.held());
            if lane.finished || !lane.queue.is_empty() {
                make_ready(&mut self.round, stream, lane);
            }
            return Some(data_segment(stream, data));
        }
        self.pop_control().or_else(|| self.last.take())
    }

    /// Takes nothing more for any stream; what is queued still leaves.
    pub(super) const fn shut(&mut self) {
        self.shut = true;
    }

    /// Streams whose writer was refused and may try again: half of the room is back.
    pub(super) fn writable(&mut self) -> Vec<u32> {
        if self.blocked == 0 {
            return Vec::new();
        }
        let blocked = &mut self.blocked;
        let (limit, session) = (self.stream_limit, self.budget.left() >= self.budget.used());
        let open = self
            .lanes
            .iter_mut()
            .filter(|(_, lane)| lane.blocked && session && lane.held() <= limit / 2);
        open.map(|(stream, lane)| {
            lane.blocked = false;
            *blocked = blocked.saturating_sub(1);
            *stream
        })
        .collect()
    }

    /// Whether every stream's end has been asked for.
    pub(super) fn all_finished(&self) -> bool {
        self.lanes.values().all(|lane| lane.finished || lane.over)
    }

    /// Discards everything; later writes are refused.
    pub(super) fn clear(&mut self) {
        self.control = VecDeque::new();
        self.control_bytes = 0;
        self.round = VecDeque::new();
        self.last = None;
        for lane in self.lanes.values_mut() {
            lane.queue.clear();
            lane.over = true;
        }
        self.budget = Budget::new(self.budget.used() + self.budget.left());
    }
}

fn make_ready(round: &mut VecDeque<u32>, stream: u32, lane: &mut Lane) {
    if !core::mem::replace(&mut lane.ready, true) {
        round.push_back(stream);
    }
}
