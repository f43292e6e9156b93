//! What the user wants of a connection: `docs/protocols/yamux.md` sections 4 to 7.

use bytes::Bytes;
use core::time::Duration;

use super::connection::Connection;
use super::pings::By;
use super::state::{Marks, Over, State};
use super::transmit::Control;
use super::{Acks, Flags, FrameType, Head, INITIAL_WINDOW, LateUpdates, Opens, TinyCredit};
use crate::mux::parts::{Kind, List, Phase, Pressure, Slot, Taken, Window};
use crate::mux::{
    Abilities, Finished, LocalEnd, Mux, MuxStats, OpenRefusal, Opened, Pinged, Received, Reserved,
    Sent, Side, StreamEnd, StreamKey, StreamStats,
};
use crate::{CloseReason, Instant, Segment};

/// Credit that is worth a frame, whatever is left to write.
const WORTH: usize = 1 << 10;

/// How long a writer waits for credit that is worth a frame.
const PATIENCE: Duration = Duration::from_millis(20);

impl Mux for Connection {
    fn abilities(&self) -> Abilities {
        Abilities {
            name: "yamux",
            half_close: true,
            reset: true,
            ping: true,
            go_away: true,
            windows: true,
        }
    }

    fn side(&self) -> Side {
        self.side
    }

    fn seed(&mut self, seed: u64) {
        self.streams.seed(seed);
    }

    fn wants_output(&self) -> bool {
        match self.life.phase() {
            Phase::Over => self.farewell.is_some(),
            Phase::Closing => true,
            Phase::Open => self.cut.is_none() && self.lanes.has_output(&self.streams),
        }
    }

    fn open(&mut self, now: Instant) -> Opened {
        self.note(now);
        if !self.life.is_open() {
            return Opened::Refused(OpenRefusal::Closed);
        }
        if self.gone_away {
            return Opened::Refused(OpenRefusal::GoneAway);
        }
        if self.unacknowledged >= self.config.limits.opens_waiting {
            self.events.block_open();
            return Opened::Blocked;
        }
        let Some(id) = self.next_id else {
            return Opened::Refused(OpenRefusal::IdsExhausted);
        };
        if Pressure::of(&self.inbox.budget, &self.config.limits) >= Pressure::NoStreams {
            return Opened::Refused(OpenRefusal::Budget);
        }
        // The original gives out no id within two of the last.
        self.next_id = id.checked_add(2).filter(|next| *next <= u32::MAX - 2);
        match self.open_stream(now, id) {
            Some(slot) => Opened::Stream(self.streams.key(slot)),
            None => Opened::Refused(OpenRefusal::Budget),
        }
    }

    fn accept(&mut self, now: Instant) -> Option<StreamKey> {
        self.note(now);
        let slot = if self.life.hands_out() { self.streams.accept() } else { None };
        let Some(slot) = slot else {
            self.events.block_accept();
            return None;
        };
        self.acknowledge(slot);
        self.settle(now);
        Some(self.streams.key(slot))
    }

    fn read(&mut self, now: Instant, stream: StreamKey, max: usize) -> Received {
        self.note(now);
        let Some(slot) = self.streams.named(stream) else { return Received::Unknown };
        if let Some(end) = self.over(slot) {
            return Received::End(end);
        }
        if max == 0 && self.streams.get(slot).is_some_and(|stream| stream.unread() > 0) {
            return Received::Data(Bytes::new());
        }
        if let Some(taken) = self.take_unread(slot, max) {
            self.credit_peer(now, slot, &taken);
            return Received::Data(taken.bytes);
        }
        if let Some(end) = self.read_end(stream) {
            return Received::End(end);
        }
        self.streams.block_read(slot);
        Received::Blocked
    }

    fn drain(&mut self, stream: StreamKey, max: usize) -> Option<Bytes> {
        let slot = self.streams.named(stream)?;
        let ended = self.over(slot).is_some() || self.life.phase() == Phase::Over;
        if !ended {
            return None;
        }
        self.take_unread(slot, max).map(|taken| taken.bytes)
    }

    fn frame_left(&self, stream: StreamKey) -> Option<usize> {
        if !self.config.frame_marks {
            return None;
        }
        self.marks.left(self.streams.named(stream)?)
    }

    fn write(&mut self, now: Instant, stream: StreamKey, data: &mut Bytes) -> Sent {
        self.note(now);
        let Some(slot) = self.streams.named(stream) else { return Sent::Unknown };
        if !self.may_write(slot)
            && let Some(end) = self.write_end(stream)
        {
            return Sent::End(end);
        }
        if data.is_empty() {
            return Sent::Accepted(0);
        }
        let credit = self.usable_credit(now, slot, data.len());
        let taken = self.lanes.write(now, &mut self.streams, slot, data, credit);
        if taken == 0 {
            return Sent::Blocked;
        }
        if let Some(stream) = self.streams.get_mut(slot) {
            let state = &mut stream.state;
            state.credit = state.credit.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
            state.wanted = 0;
            state.take(Marks::TRICKLE);
        }
        self.settle(now);
        Sent::Accepted(taken)
    }

    fn reserve(&mut self, now: Instant, stream: StreamKey, len: usize) -> Option<Reserved> {
        self.note(now);
        let slot = self.streams.named(stream)?;
        if !self.may_write(slot) || len == 0 || !self.lanes.is_idle(&self.streams) {
            return None;
        }
        let gathers = self.config.tiny_credit == TinyCredit::Gather;
        let stream = self.streams.get_mut(slot)?;
        let id = stream.id();
        let state = &mut stream.state;
        if (state.credit as usize) < if gathers { len.min(WORTH) } else { 1 } || state.grant > 0 {
            return None;
        }
        let length = u32::try_from(len).unwrap_or(u32::MAX);
        let length = length.min(state.credit).min(self.config.frame_size);
        let syn = if state.take(Marks::SYN_DUE) { Flags::SYN } else { Flags::NONE };
        let ack = if state.take(Marks::ACK_DUE) { Flags::ACK } else { Flags::NONE };
        state.credit = state.credit.saturating_sub(length);
        self.counters.frames_out += 1;
        self.counters.bytes_out += u64::from(length);
        let head = Head { kind: FrameType::Data, flags: syn | ack, stream: id, length };
        let head = Segment::new(&head.to_bytes(), Bytes::new(), &[])?;
        Some(Reserved { head, len: length as usize })
    }

    fn finish(&mut self, now: Instant, stream: StreamKey) -> Finished {
        self.note(now);
        let Some(slot) = self.streams.named(stream) else { return Finished::Unknown };
        if self.write_end(stream).is_some() {
            return Finished::Already;
        }
        self.finish_stream(now, slot);
        self.settle(now);
        Finished::Queued
    }

    fn reset(&mut self, now: Instant, stream: StreamKey) {
        self.note(now);
        if let Some(slot) = self.streams.named(stream)
            && self.life.phase() != Phase::Over
            && self.streams.get(slot).is_some_and(|stream| stream.is_bound())
        {
            self.reset_stream(now, slot, Over::Asked);
            self.settle(now);
        }
    }

    fn forget(&mut self, now: Instant, stream: StreamKey) {
        self.note(now);
        let Some(slot) = self.streams.named(stream) else { return };
        let Some(stream) = self.streams.get(slot) else { return };
        let (unread, ended) = (stream.unread(), stream.state.has(Marks::FIN_SEEN));
        let finished = stream.state.has(Marks::FIN);
        let midway = self.body.is_some_and(|body| body.slot == slot);
        if self.life.phase() == Phase::Over {
            // Nothing more leaves, so there is nothing to wait for.
            self.lanes.clear(now, &mut self.streams, slot);
            self.release(slot);
        } else if stream.is_bound() {
            if unread > 0 || midway || !(ended || finished) {
                self.reset_stream(now, slot, Over::Asked);
            } else if !finished {
                self.finish_stream(now, slot);
            }
        }
        self.lanes.stop_writing(now, &mut self.streams, slot);
        self.inbox.clear(&mut self.streams, slot);
        self.marks.forget(&mut self.inbox.budget, slot);
        self.streams.forget(slot);
        self.settle(now);
    }

    fn read_end(&self, stream: StreamKey) -> Option<StreamEnd> {
        let slot = self.streams.named(stream)?;
        if let Some(end) = self.over(slot) {
            return Some(end);
        }
        let stream = self.streams.get(slot)?;
        if stream.unread() > 0 {
            return None;
        }
        if stream.state.has(Marks::FIN_SEEN) {
            return Some(StreamEnd::Finished);
        }
        self.life.closed().cloned().map(StreamEnd::Connection)
    }

    fn write_end(&self, stream: StreamKey) -> Option<StreamEnd> {
        let slot = self.streams.named(stream)?;
        if let Some(end) = self.over(slot) {
            return Some(end);
        }
        if self.streams.get(slot)?.state.has(Marks::FIN) {
            return Some(StreamEnd::Finished);
        }
        let reason = match (self.life.closed(), &self.cut, self.life.phase()) {
            (Some(reason), _, _) | (None, Some(reason), _) => reason.clone(),
            (None, None, Phase::Closing) => CloseReason::Local,
            (None, None, _) => return None,
        };
        Some(StreamEnd::Connection(reason))
    }

    fn watch(&mut self, stream: StreamKey) -> Option<StreamEnd> {
        let Some(slot) = self.streams.named(stream) else {
            return Some(StreamEnd::Local(LocalEnd::Asked));
        };
        let end = self.write_end(stream);
        if end.is_none() {
            self.streams.watch(slot);
        }
        end
    }

    fn ping(&mut self, now: Instant) -> Pinged {
        self.note(now);
        if !self.life.is_open() {
            return Pinged::Closed;
        }
        let Some(value) = self.pings.ask(now, By::User) else { return Pinged::Blocked };
        self.lanes.push_control(Control::Ping(value));
        self.settle(now);
        Pinged::Number(value)
    }

    fn go_away(&mut self, now: Instant) {
        self.note(now);
        if self.life.is_open() && !core::mem::replace(&mut self.refusing, true) {
            self.lanes.push_control(Control::GoAway(0));
            self.settle(now);
        }
    }

    fn close(&mut self, now: Instant) {
        self.note(now);
        if self.life.close(now, self.config.limits.close_drain) {
            self.refusing = true;
            self.events.tell_acceptable(&mut self.streams);
            self.events.tell_openable(&mut self.streams);
            if self.cut.is_some() || !self.lanes.has_output(&self.streams) {
                self.end(CloseReason::Local);
            }
        }
    }

    fn abort(&mut self, now: Instant) {
        self.note(now);
        self.end(CloseReason::Local);
    }

    fn stats(&self) -> MuxStats {
        MuxStats {
            streams: self.streams.bound(),
            waiting: self.streams.waiting(),
            queued_in: self.inbox.unread(),
            queued_out: self.lanes.unsent(),
            memory: self.inbox.budget.used() + self.lanes.unsent(),
            granted: self.granted,
            ..self.counters
        }
    }

    fn stream_stats(&self, stream: StreamKey) -> Option<StreamStats> {
        let stream = self.streams.get(self.streams.named(stream)?)?;
        Some(StreamStats {
            id: stream.id(),
            ours: stream.is_ours(),
            queued_in: stream.unread(),
            queued_out: stream.unsent(),
            receive_window: Some(u64::from(stream.state.window.granted())),
            send_window: Some(u64::from(stream.state.credit)),
        })
    }
}

impl Connection {
    /// Takes unread bytes, and none beyond the frame at the front where frames are marked.
    #[inline]
    fn take_unread(&mut self, slot: Slot, max: usize) -> Option<Taken> {
        let max = self.marks.left(slot).map_or(max, |left| left.min(max));
        let taken = self.inbox.pop(&mut self.streams, slot, max)?;
        self.marks.read(&mut self.inbox.budget, slot, taken.bytes.len());
        Some(taken)
    }

    fn open_stream(&mut self, now: Instant, id: u32) -> Option<Slot> {
        // Only where foreign ids are accepted (section 8) can one be in the way; it loses its place,
        // as in the original: its reader waits on, and nothing more leaves under what was its id.
        if let Some(other) = self.streams.find(id) {
            if let Some(stream) = self.streams.get_mut(other) {
                stream.state.set(Marks::FIN_SENT);
            }
            self.lanes.clear(now, &mut self.streams, other);
            self.streams.tell_writable(other);
            self.release(other);
        }
        let mut state = State { credit: INITIAL_WINDOW, ..State::default() };
        state.window = Window::new(self.tuner.rule.initial).begun(INITIAL_WINDOW);
        state.grant = state.window.grant_first();
        state.set(Marks::SYN_DUE);
        state.set(Marks::COUNTED);
        self.granted = self.granted.saturating_add(u64::from(state.window.granted()));
        let slot = self.streams.insert(id, true, state)?;
        self.ours += 1;
        self.unacknowledged += 1;
        self.counters.opened += 1;
        self.charge_tables();
        let time = self.config.open_timeout;
        self.start_timer(now, slot, List::Opening, time);
        match self.config.opens {
            Opens::Merged => self.lanes.make_ready(&mut self.streams, slot),
            Opens::Apart => {
                self.streams.push(List::Control, slot, Kind::Control);
            }
            Opens::Lazy => {}
        }
        self.settle(now);
        Some(slot)
    }

    /// A stream of the peer was accepted: the acknowledgement is due as the settings say.
    fn acknowledge(&mut self, slot: Slot) {
        let acks = self.config.acks;
        let Some(stream) = self.streams.get_mut(slot).filter(|stream| stream.is_bound()) else {
            return;
        };
        let state = &mut stream.state;
        let silent = match acks {
            Acks::OnAccept | Acks::Lazy => false,
            Acks::OnAcceptUnlessFinished => state.has(Marks::FIN_SEEN),
            Acks::OnOpen => true,
        };
        let free = state.window.owed();
        if !silent {
            state.set(Marks::ACK_DUE);
        } else if free < state.window.size() / 2 || free == 0 {
            return;
        }
        let more = state.window.grant_first();
        state.grant = state.grant.saturating_add(more);
        self.granted = self.granted.saturating_add(u64::from(more));
        if acks != Acks::Lazy || more > 0 {
            self.streams.push(List::Control, slot, Kind::Control);
        }
    }

    /// The user took bytes: the peer gets credit for them when enough has gathered.
    fn credit_peer(&mut self, now: Instant, slot: Slot, taken: &Taken) {
        let omit = self.config.late_updates == LateUpdates::Omit;
        let Some(stream) = self.streams.get_mut(slot).filter(|stream| stream.is_bound()) else {
            return;
        };
        if omit && stream.state.has(Marks::FIN_SEEN) {
            return;
        }
        let window = &mut stream.state.window;
        let due = window.read(now, &mut self.tuner, taken);
        if self.tuner.take_probe()
            && let Some(value) = self.pings.ask(now, By::Probe)
        {
            self.lanes.push_control(Control::Ping(value));
            self.life.queued(now, || true);
        }
        if due.is_none() {
            return;
        }
        let more = window.grant(now, &mut self.tuner, slot);
        self.largest = self.largest.max(window.size());
        stream.state.grant = stream.state.grant.saturating_add(more);
        self.granted = self.granted.saturating_add(u64::from(more));
        self.streams.push(List::Control, slot, Kind::Control);
        self.settle(now);
    }

    /// How much of its credit a stream may use for a write of `len` bytes now (section 11, tiny
    /// credits).
    fn usable_credit(&mut self, now: Instant, slot: Slot, len: usize) -> usize {
        let Some(stream) = self.streams.get_mut(slot) else { return 0 };
        let worth = len.min(WORTH);
        let state = &mut stream.state;
        let credit = state.credit as usize;
        let gathers = self.config.tiny_credit == TinyCredit::Gather;
        if credit >= worth || !gathers && credit > 0 || credit > 0 && state.has(Marks::TRICKLE) {
            return credit;
        }
        state.wanted = if gathers { worth as u16 } else { 0 };
        // It waits for credit and not for room, which others may have.
        self.lanes.stop_writing(now, &mut self.streams, slot);
        if credit > 0 {
            self.begin_patience(now, slot);
        }
        0
    }

    /// A writer waits for credit that is worth a frame, but not for long.
    pub(super) fn begin_patience(&mut self, now: Instant, slot: Slot) {
        let key = self.streams.key(slot);
        if let Some(stream) = self.streams.get_mut(slot)
            && !stream.state.has(Marks::PATIENT)
        {
            stream.state.set(Marks::PATIENT);
            self.patient.push_back((key, now + PATIENCE));
        }
    }

    /// Lets writers use tiny credits that have waited long enough.
    pub(super) fn handle_patience(&mut self, now: Instant) {
        while self.patient.front().is_some_and(|(_, until)| *until <= now) {
            let Some((key, _)) = self.patient.pop_front() else { break };
            let Some(slot) = self.streams.named(key) else { continue };
            let linked = self.streams.is_linked(slot, Kind::Write);
            let Some(stream) = self.streams.get_mut(slot) else { continue };
            stream.state.take(Marks::PATIENT);
            if stream.state.credit > 0 && !linked {
                stream.state.set(Marks::TRICKLE);
                self.streams.tell_writable(slot);
            }
        }
    }

    fn finish_stream(&mut self, now: Instant, slot: Slot) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        stream.state.set(Marks::FIN_DUE);
        self.streams.unlink(slot, Kind::Timer);
        self.lanes.stop_writing(now, &mut self.streams, slot);
        self.lanes.make_ready(&mut self.streams, slot);
        self.streams.tell_writable(slot);
    }

    /// Whether [`write_end`](Mux::write_end) has nothing to say: asked before every frame.
    #[inline]
    fn may_write(&self, slot: Slot) -> bool {
        self.life.is_open()
            && self.cut.is_none()
            && self.streams.get(slot).is_some_and(|stream| {
                stream.state.over == Over::Not && !stream.state.has(Marks::FIN)
            })
    }

    /// Why both directions of a stream ended at once, if they did.
    #[inline]
    fn over(&self, slot: Slot) -> Option<StreamEnd> {
        self.streams.get(slot).and_then(|stream| stream.state.over.end())
    }
}
