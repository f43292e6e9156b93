//! What leaves, and in which order: `docs/protocols/wormhole.md` section 6.

use super::{Connection, Control, DATA_CHUNK};
use crate::mux::parts::{Kind, List, Slot};
use crate::wormhole::frame::{number_segment, segment};
use crate::wormhole::{FrameOrder, FrameType, Head, RemoteError};
use crate::{Instant, Segment};

/// What the original says when it refuses a stream.
const REFUSED: &[u8] = b"\0\0\x01\xf7accept queue full";

/// What is said to a peer that sent too much on a stream.
const TOO_MUCH: &[u8] = b"\0\0\x01\x9dreceive limit exceeded";

impl Connection {
    /// The next frame: control frames first, then grants, then every stream in its turn.
    pub(super) fn next_segment(&mut self, now: Instant) -> Option<Segment> {
        if let Some(frame) = self.lanes.pop_control() {
            return Some(self.control(now, frame));
        }
        while let Some(slot) = self.streams.pop(List::Control) {
            let Some(stream) = self.streams.get_mut(slot) else { continue };
            let due = core::mem::take(&mut stream.state.due);
            if due > 0 {
                return Some(number_segment(FrameType::WINDOW_UPDATE, stream.id(), due));
            }
        }
        self.next_turn(now)
    }

    fn control(&mut self, now: Instant, frame: Control) -> Segment {
        match frame {
            Control::Open(id) => head(FrameType::HANDSHAKE, id),
            Control::Grant(id, more) => number_segment(FrameType::WINDOW_UPDATE, id, more),
            Control::Ping(number) => {
                self.pings.sent(now, number);
                number_segment(FrameType::PING, 0, number)
            }
            Control::Pong(number) => number_segment(FrameType::PONG, 0, number),
            Control::Refused(id) => error(id, REFUSED),
            Control::TooMuch(id) => error(id, TOO_MUCH),
        }
    }

    fn next_turn(&mut self, now: Instant) -> Option<Segment> {
        loop {
            let slot = self.whose_turn()?;
            let payload = self.lanes.take(now, &mut self.streams, slot, DATA_CHUNK);
            let Some(stream) = self.streams.get(slot) else { continue };
            let (id, unsent, state) = (stream.id(), stream.unsent(), &stream.state);
            let (live, close_due) = (state.is_live(), state.close_due);
            if unsent > 0 || payload.is_some() && close_due {
                self.lanes.make_ready(&mut self.streams, slot);
            } else if !live {
                self.sent_close(slot);
            }
            if let Some(payload) = payload {
                let length = payload.len();
                self.counts.bytes_out = self.counts.bytes_out.saturating_add(wide(length));
                let length = u32::try_from(length).unwrap_or(0);
                return Some(segment(Head { kind: FrameType::DATA, stream: id, length }, payload));
            }
            if close_due && unsent == 0 {
                return Some(head(FrameType::CLOSE, id));
            }
        }
    }

    /// Whose frame comes next. The one place that looks at
    /// [`Config::frame_order`](crate::wormhole::Config).
    fn whose_turn(&mut self) -> Option<Slot> {
        match self.config.frame_order {
            FrameOrder::Fair => self.lanes.next_turn(&mut self.streams),
            FrameOrder::Written => {
                let Some(slot) = self.written.pop_front() else {
                    return self.lanes.next_turn(&mut self.streams);
                };
                self.streams.unlink(slot, Kind::Turn);
                Some(slot)
            }
        }
    }

    /// Notes that a stream has `frames` more frames to send.
    pub(super) fn line_up(&mut self, slot: Slot, frames: usize) {
        if self.config.frame_order == FrameOrder::Written {
            self.written.extend(core::iter::repeat_n(slot, frames));
        }
    }

    /// Nothing more is sent on a stream: its id is free.
    pub(super) fn sent_close(&mut self, slot: Slot) {
        if let Some(stream) = self.streams.get_mut(slot) {
            stream.state.close_due = false;
            self.streams.release(slot);
        }
    }

    /// The head of a DATA frame whose `len` bytes the caller sends.
    pub(super) fn data_head(&mut self, id: u32, len: usize) -> Segment {
        self.counts.frames_out = self.counts.frames_out.saturating_add(1);
        self.counts.bytes_out = self.counts.bytes_out.saturating_add(wide(len));
        let length = u32::try_from(len).unwrap_or(0);
        segment(Head { kind: FrameType::DATA, stream: id, length }, bytes::Bytes::new())
    }
}

fn head(kind: FrameType, stream: u32) -> Segment {
    segment(Head { kind, stream, length: 0 }, bytes::Bytes::new())
}

fn error(stream: u32, payload: &'static [u8]) -> Segment {
    let length = u32::try_from(payload.len()).unwrap_or(0);
    segment(Head { kind: FrameType::ERROR, stream, length }, bytes::Bytes::from_static(payload))
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

const _: () = assert!(RemoteError::REFUSED == 0x1f7 && RemoteError::TOO_MUCH == 0x19d);
