//! What arrives, and what it does: `docs/protocols/wormhole.md` sections 3 and 4.

use bytes::{Bytes, BytesMut};

use super::{Connection, Control};
use crate::mux::StreamKey;
use crate::mux::parts::{Pressure, Slot, Window};
use crate::wormhole::stream::{OwnEnd, PeerEnd, State};
use crate::wormhole::{FrameType, HEAD_SIZE, Head, LateData, LateError, RemoteError, Violation};
use crate::{CloseReason, Flood, Instant};

/// The most bytes that are kept of an ERROR's message.
const MESSAGE: usize = 1024;

/// The payload that is being taken in; what is not looked at is skipped by the input itself.
#[derive(Debug)]
pub(super) enum Body {
    /// None: a head comes next.
    None,
    /// DATA of a stream.
    Data { stream: StreamKey, left: usize },
    /// DATA of a stream that is not open yet.
    Early { id: u32, left: usize },
    /// The number of a frame, and what follows it.
    Number { head: Head, rest: u64 },
    /// The message of an ERROR.
    Message { stream: StreamKey, code: u32, text: BytesMut, left: usize, rest: u64 },
}

impl Connection {
    /// Takes in as much as is there and may be taken.
    pub(super) fn process(&mut self, now: Instant) {
        while self.life.closed().is_none() && !self.lanes.is_choked() && self.step(now) {}
        let done = self.input.pending() == 0 && !self.lanes.is_choked();
        if self.eof && done && self.life.closed().is_none() {
            self.ended(now);
        }
    }

    /// One frame's head, or a piece of its payload; false when more bytes are needed.
    fn step(&mut self, now: Instant) -> bool {
        match core::mem::replace(&mut self.body, Body::None) {
            Body::None => match self.input.head() {
                Some(bytes) => self.head(now, bytes),
                None => return false,
            },
            Body::Data { stream, left } => {
                let Some((bytes, chunk)) = self.input.payload(left) else {
                    self.body = Body::Data { stream, left };
                    return false;
                };
                let left = left.saturating_sub(bytes.len());
                if left > 0 {
                    self.body = Body::Data { stream, left };
                }
                self.deliver(now, stream, bytes, chunk);
            }
            Body::Early { id, left } => {
                let Some((bytes, _)) = self.input.payload(left) else {
                    self.body = Body::Early { id, left };
                    return false;
                };
                self.early.push(now, id, &bytes);
                let left = left.saturating_sub(bytes.len());
                if left > 0 {
                    self.body = Body::Early { id, left };
                }
            }
            Body::Number { head, rest } => {
                let Some(number) = self.input.short::<4>() else {
                    self.body = Body::Number { head, rest };
                    return false;
                };
                self.number(now, head, u32::from_be_bytes(number), rest);
            }
            Body::Message { stream, code, mut text, left, rest } => {
                if left > 0 {
                    let Some((bytes, _)) = self.input.payload(left) else {
                        self.body = Body::Message { stream, code, text, left, rest };
                        return false;
                    };
                    text.extend_from_slice(&bytes);
                    let left = left.saturating_sub(bytes.len());
                    self.body = Body::Message { stream, code, text, left, rest };
                    return true;
                }
                self.input.skip(rest);
                let message = text.freeze();
                self.on_error(now, stream, RemoteError { code, message });
            }
        }
        true
    }

    /// The peer's direction has ended, and all of it has been looked at.
    fn ended(&mut self, _: Instant) {
        let mid_frame = !matches!(self.body, Body::None) || self.input.is_mid();
        if let Some((reason, _)) = &self.mute {
            let reason = reason.clone();
            return self.end(reason);
        }
        if self.life.is_open() {
            self.end(CloseReason::Eof { mid_frame });
        }
    }

    /// A whole head has come. Nothing of it has an effect before all of it is checked (section 3).
    fn head(&mut self, now: Instant, bytes: [u8; HEAD_SIZE]) {
        let head = match Head::parse(bytes, self.config.frame_size) {
            Ok(head) => head,
            Err(violation) => return self.violated(violation),
        };
        self.counts.frames_in = self.counts.frames_in.saturating_add(1);
        let slot = self.streams.find(head.stream);
        match (head.kind, slot) {
            (FrameType::DATA, Some(slot)) => self.on_data(now, head, slot),
            (FrameType::DATA, None) => self.on_unknown_data(now, head),
            (FrameType::CLOSE, slot) => {
                self.input.skip(head.length.into());
                match slot {
                    Some(slot) => self.on_close(now, slot),
                    None => self.on_unknown_close(now, head.stream),
                }
            }
            (FrameType::HANDSHAKE, slot) => {
                self.input.skip(head.length.into());
                self.on_handshake(now, head.stream, slot);
            }
            (FrameType::WINDOW_UPDATE | FrameType::ERROR, None) => {
                // Not looked at: short ones pass too.
                self.input.skip(head.length.into());
                self.on_unknown(now, head.stream);
            }
            // PING and PONG of any id, and the two of streams that are known.
            _ => self.on_number(head),
        }
    }

    fn violated(&mut self, violation: Violation) {
        self.end(CloseReason::Violation(crate::Violation::Wormhole(violation)));
    }

    fn on_number(&mut self, head: Head) {
        match head.length.checked_sub(4) {
            Some(rest) => self.body = Body::Number { head, rest: rest.into() },
            None => {
                let length = usize::try_from(head.length).unwrap_or(0);
                self.violated(Violation::PayloadTooShort { kind: head.kind, length });
            }
        }
    }

    /// A frame whose payload begins with a number.
    fn number(&mut self, now: Instant, head: Head, number: u32, rest: u64) {
        if head.kind == FrameType::ERROR {
            // Looked up again: the number may have come in another piece of input than the head.
            let Some(slot) = self.streams.find(head.stream) else {
                self.input.skip(rest);
                return self.on_unknown(now, head.stream);
            };
            let left = MESSAGE.min(usize::try_from(rest).unwrap_or(MESSAGE));
            let rest = rest.saturating_sub(u64::try_from(left).unwrap_or(rest));
            let stream = self.streams.key(slot);
            let text = BytesMut::new();
            self.body = Body::Message { stream, code: number, text, left, rest };
            return;
        }
        self.input.skip(rest);
        match head.kind {
            FrameType::PING => {
                self.lanes.push_reply(Control::Pong(number));
                self.meter(now, Flood::Pings);
            }
            FrameType::PONG => self.on_pong(now, number),
            _ => match self.streams.find(head.stream) {
                Some(slot) => self.on_window_update(now, slot, number),
                None => self.on_unknown(now, head.stream),
            },
        }
    }

    fn on_pong(&mut self, now: Instant, number: u32) {
        let Some(answer) = self.pings.answer(now, number) else { return self.useless(now) };
        self.counts.pongs = self.counts.pongs.saturating_add(1);
        self.tuner.round_trip.sample(now, answer.round_trip);
        if answer.by_user {
            self.events.tell_pong(&mut self.streams, number, answer.round_trip);
        }
    }

    /// HANDSHAKE: a stream of the peer (sections 2.2 and 8).
    fn on_handshake(&mut self, now: Instant, id: u32, slot: Option<Slot>) {
        if !self.ids.may_open(id) {
            return self.violated(Violation::InvalidStreamId { stream: id });
        }
        if slot.is_some() {
            return self.violated(Violation::StreamExists { stream: id });
        }
        self.ids.opened(id);
        let held = self.early.take(id);
        // A stream that lacks a part of its beginning is no stream.
        let whole = held.as_ref().is_none_or(|held| !held.torn);
        let Some(slot) = whole.then(|| self.admit(id)).flatten() else {
            self.counts.refused = self.counts.refused.saturating_add(1);
            self.lanes.push_reply(Control::Refused(id));
            self.late.ended(self.config.window.into());
            return self.meter(now, Flood::RefusedOpens);
        };
        self.counts.received = self.counts.received.saturating_add(1);
        self.streams.await_accept(slot);
        self.accepting = false;
        self.events.tell_acceptable(&mut self.streams);
        if let Some(held) = held {
            let stream = self.streams.key(slot);
            let (size, room) = (held.data.len(), held.data.capacity());
            if size > 0 && self.receive(now, slot, size) {
                self.deliver(now, stream, held.data.into(), room);
            }
            if held.closed {
                self.on_close(now, slot);
            }
        }
    }

    /// Makes a stream of the peer, where there is room for it.
    fn admit(&mut self, id: u32) -> Option<Slot> {
        let limits = &self.config.limits;
        let backlog = match limits.backlog {
            // Like the original's: a stream is taken while somebody waits for it.
            0 => usize::from(self.accepting),
            backlog => backlog,
        };
        let room = self.streams.waiting() < backlog
            && self.live_peers < limits.streams
            && self.pressure() < Pressure::NoStreams
            && self.life.is_open()
            && !self.gone_away;
        let slot = if room { self.streams.insert(id, false, self.fresh()) } else { None }?;
        self.live += 1;
        self.live_peers += 1;
        self.granted = self.granted.saturating_add(self.config.window.into());
        self.charge_table();
        Some(slot)
    }

    /// A stream as it begins, on either side.
    pub(super) fn fresh(&self) -> State {
        State {
            credit: self.config.window.into(),
            window: Window::new(self.tuner.rule.initial),
            due: self.counting.first,
            ..State::default()
        }
    }

    /// DATA for a stream that is known (section 4).
    fn on_data(&mut self, now: Instant, head: Head, slot: Slot) {
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        let Some(stream) = self.streams.get(slot) else { return };
        let taken = match (stream.state.own, stream.state.peer) {
            _ if length == 0 => return self.useless(now),
            (OwnEnd::Open, PeerEnd::Open) => true,
            (OwnEnd::Open, _) => self.config.late_data == LateData::Deliver,
            _ => false,
        };
        if !taken {
            self.input.skip(head.length.into());
            self.late_data(now, head);
        } else if self.receive(now, slot, length) {
            self.measure(now, length);
            self.body = Body::Data { stream: self.streams.key(slot), left: length };
        } else if self.life.closed().is_none() {
            self.input.skip(head.length.into());
        }
    }

    /// DATA for a stream that is not: too late, or too early (section 6.3).
    fn on_unknown_data(&mut self, now: Instant, head: Head) {
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        if length > 0 && self.ids.is_new(head.stream) && self.early.admits(now, head.stream, length)
        {
            self.body = Body::Early { id: head.stream, left: length };
            return;
        }
        self.input.skip(head.length.into());
        self.late_data(now, head);
    }

    /// DATA that nobody will read: only what the peer had no credit for counts against it.
    fn late_data(&mut self, now: Instant, head: Head) {
        if self.late.data(head.length.into()) {
            self.counts.useless = self.counts.useless.saturating_add(1);
        } else {
            self.useless(now);
        }
    }

    /// Another frame that comes too late: only more of them than can have been under way count
    /// against the peer.
    fn late_frame(&mut self, now: Instant) {
        if self.late.frame() {
            self.counts.useless = self.counts.useless.saturating_add(1);
        } else {
            self.useless(now);
        }
    }

    /// A piece of DATA goes to its reader, unless the stream has ended since the head came.
    fn deliver(&mut self, now: Instant, stream: StreamKey, bytes: Bytes, chunk: usize) {
        let Some(slot) = self.streams.named(stream) else { return };
        let live = self.streams.get(slot).is_some_and(|stream| stream.state.is_live());
        if !live {
            return;
        }
        let length = u64::try_from(bytes.len()).unwrap_or(0);
        self.counts.bytes_in = self.counts.bytes_in.saturating_add(length);
        self.inbox.push(now, &mut self.streams, slot, bytes, chunk);
        self.streams.tell_readable(slot);
        if self.pressure() == Pressure::Reset {
            self.relieve(now);
        }
    }

    fn on_window_update(&mut self, now: Instant, slot: Slot, increment: u32) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let state = &mut stream.state;
        let writes = state.write_end(&self.config, None, None).is_none();
        if !writes {
            return self.late_frame(now);
        }
        if increment == 0 {
            return self.useless(now);
        }
        let before = state.credit;
        state.credit = before.saturating_add(increment.into());
        if before == 0 {
            self.streams.tell_writable(slot);
        }
    }

    /// CLOSE for a stream that is known (section 4).
    fn on_close(&mut self, now: Instant, slot: Slot) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        match (stream.state.own, stream.state.peer) {
            (OwnEnd::Open, PeerEnd::Open) => {
                // A stream that nobody accepted and that brought nothing cost the peer nothing.
                let cycled = stream.is_waiting() && stream.unread() == 0;
                stream.state.peer = PeerEnd::Closed;
                self.peer_ended(now, slot);
                if cycled {
                    self.meter(now, Flood::Resets);
                }
            }
            (OwnEnd::Open, _) => self.useless(now),
            _ => self.crossed(now, slot),
        }
    }

    /// ERROR for a stream that is known, with the whole of its message.
    fn on_error(&mut self, now: Instant, stream: StreamKey, error: RemoteError) {
        let Some(slot) = self.streams.named(stream) else {
            return self.late_frame(now);
        };
        let Some(stream) = self.streams.get_mut(slot) else { return };
        match (stream.state.own, stream.state.peer) {
            (OwnEnd::Open, PeerEnd::Open) => {
                stream.state.peer = PeerEnd::Failed;
                self.counts.reset = self.counts.reset.saturating_add(1);
                self.errors.insert(slot.0, error);
                self.peer_ended(now, slot);
            }
            (OwnEnd::Open, _) if self.config.late_error == LateError::Replace => {
                stream.state.peer = PeerEnd::Failed;
                self.errors.insert(slot.0, error);
                self.streams.tell_readable(slot);
            }
            (OwnEnd::Open, _) => self.useless(now),
            _ => self.crossed(now, slot),
        }
    }

    /// CLOSE or ERROR for a stream that this side has closed too. Its own CLOSE, and what stands
    /// before it, is of no use to the peer any more.
    fn crossed(&mut self, now: Instant, slot: Slot) {
        self.late_frame(now);
        if self.drops_late_writes() {
            self.lanes.clear(now, &mut self.streams, slot);
            self.sent_close(slot);
        }
    }

    /// CLOSE for a stream that is not: too late, or too early.
    fn on_unknown_close(&mut self, now: Instant, id: u32) {
        if !(self.ids.is_new(id) && self.early.close(now, id)) {
            self.on_unknown(now, id);
        }
    }

    /// Another frame for a stream that is not.
    fn on_unknown(&mut self, now: Instant, id: u32) {
        if self.ids.was_used(id) { self.late_frame(now) } else { self.useless(now) }
    }
}
