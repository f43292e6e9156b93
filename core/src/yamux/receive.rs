//! What arrives: `docs/protocols/yamux.md` section 8. A head is judged as a whole before it changes
//! anything, and before a byte of its payload is looked at.

use super::connection::Connection;
use super::pings::By;
use super::state::{Marks, Over, State};
use super::transmit::Control;
use super::{
    Acks, CreditOverflow, DeadStreams, Flags, ForeignIds, FrameType, Head, INITIAL_WINDOW,
    LateData, OpenCredits, ReusedIds, TinyCredit, UnknownPayload, Violation,
};
use crate::mux::Side;
use crate::mux::parts::{Kind, List, Phase, Pressure, Slot, Window};
use crate::{CloseReason, Flood, Instant};

/// A data frame whose payload is not complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    pub(super) slot: Slot,
    /// Bytes that are still to come.
    pub(super) left: u32,
    /// The stream ends behind them.
    fin: bool,
}

/// What may still come for streams that are gone, because their peer had no way to know.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Late {
    frames: u32,
    bytes: u64,
}

/// Late frames that every stream may have: an update, an acknowledgement, an end, a reset.
const LATE_FRAMES: u32 = 4;

/// The most late frames that are foreseen.
const MOST_LATE: u32 = 1 << 16;

/// Payload beyond what was foreseen that counts as one frame without effect.
const USELESS_PAYLOAD: u64 = 16 << 10;

type Verdict<T = ()> = Result<T, CloseReason>;

impl Connection {
    /// Looks at all that arrived, as far as it may be looked at.
    pub(super) fn take_in(&mut self, now: Instant) {
        if let Err(reason) = self.frames(now) {
            self.end(reason);
        }
        self.end_of_input();
    }

    fn frames(&mut self, now: Instant) -> Verdict {
        while self.life.phase() != Phase::Over {
            if let Some(body) = self.body {
                let Some((bytes, chunk)) = self.input.payload(body.left as usize) else { break };
                let left = body.left.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                self.body = (left > 0).then_some(Body { left, ..body });
                self.counters.bytes_in += bytes.len() as u64;
                self.inbox.push(now, &mut self.streams, body.slot, bytes, chunk);
                self.streams.tell_readable(body.slot);
                if left == 0 && body.fin {
                    self.peer_finished(body.slot);
                }
                self.relieve(now)?;
                continue;
            }
            if self.is_choked() {
                break;
            }
            let Some(head) = self.input.head() else { break };
            self.counters.frames_in += 1;
            let head = Head::parse(&head).map_err(broken)?;
            match head.kind {
                FrameType::Data | FrameType::WindowUpdate => self.stream_frame(now, head)?,
                FrameType::Ping => self.ping_frame(now, head)?,
                FrameType::GoAway => self.go_away_frame(now, head)?,
            }
        }
        Ok(())
    }

    fn stream_frame(&mut self, now: Instant, head: Head) -> Verdict {
        let slot = if head.flags.has(Flags::SYN) {
            self.syn(now, head)?
        } else {
            self.streams.find(head.stream)
        };
        let Some(slot) = slot else { return self.unknown(now, head) };
        if !head.flags.has(Flags::SYN) {
            self.judge(slot, head)?;
        }
        let acknowledged = head.flags.has(Flags::ACK) && self.acknowledged(slot);
        if head.flags.has(Flags::RST) {
            self.input.skip(u64::from(head.payload_len()));
            return self.peer_reset(now, slot);
        }
        if self.config.late_data == LateData::Reset
            && head.payload_len() > 0
            && self.streams.get(slot).is_some_and(|stream| stream.state.has(Marks::FIN_SEEN))
        {
            self.input.skip(u64::from(head.length));
            self.reset_stream(now, slot, Over::Violation);
            return Ok(());
        }
        let fin = head.flags.has(Flags::FIN);
        match head.kind {
            FrameType::Data if head.length > 0 => self.data(now, slot, head.length, fin),
            FrameType::Data => {}
            _ => self.credit(now, slot, head.length),
        }
        if fin && head.payload_len() == 0 {
            self.peer_finished(slot);
        }
        let effect = acknowledged || fin || head.length > 0 || head.flags.has(Flags::SYN);
        if effect { Ok(()) } else { self.useless(now) }
    }

    /// Whether a frame for a stream that lives breaks a rule.
    fn judge(&self, slot: Slot, head: Head) -> Verdict {
        let Some(stream) = self.streams.get(slot) else { return Ok(()) };
        let id = head.stream;
        let left = stream.state.window.granted();
        if head.flags.has(Flags::FIN) && stream.state.has(Marks::FIN_SEEN) {
            return Err(broken(Violation::SecondFin(id)));
        }
        match head.kind {
            FrameType::Data if head.length > left => {
                Err(broken(Violation::Window { stream: id, length: head.length, left }))
            }
            FrameType::WindowUpdate => self.judge_credit(stream.state.credit, head),
            _ => Ok(()),
        }
    }

    fn judge_credit(&self, credit: u32, head: Head) -> Verdict {
        let fits = credit.checked_add(head.length).is_some();
        if fits || self.config.credit_overflow == CreditOverflow::Wrap {
            return Ok(());
        }
        Err(broken(Violation::Credit { stream: head.stream, delta: head.length }))
    }

    /// A frame that opens a stream: the stream, or `None` when there is none of it.
    fn syn(&mut self, now: Instant, head: Head) -> Verdict<Option<Slot>> {
        let id = head.stream;
        if self.streams.find(id).is_some() {
            return Err(broken(Violation::DuplicateStream(id)));
        }
        if head.flags.has(Flags::RST) && self.config.dead_streams == DeadStreams::Drop {
            return Ok(None);
        }
        let theirs = match self.side {
            Side::Client => id.is_multiple_of(2) && id != 0,
            Side::Server => !id.is_multiple_of(2),
        };
        if !theirs && self.config.foreign_ids == ForeignIds::Refuse {
            return Err(broken(Violation::ForeignId(id)));
        }
        if self.config.reused_ids == ReusedIds::Refuse && theirs {
            if self.used.contains(id) {
                return Err(broken(Violation::ReusedId(id)));
            }
            self.used.insert(id);
            self.charge_tables();
        }
        match head.kind {
            FrameType::Data if head.length > INITIAL_WINDOW => {
                let left = INITIAL_WINDOW;
                return Err(broken(Violation::Window { stream: id, length: head.length, left }));
            }
            FrameType::WindowUpdate => self.judge_credit(INITIAL_WINDOW, head)?,
            _ => {}
        }
        let full = self.streams.bound().saturating_sub(self.ours) >= self.config.limits.streams
            || Pressure::of(&self.inbox.budget, &self.config.limits) >= Pressure::NoStreams;
        if full || self.refusing || self.streams.waiting() >= self.config.limits.backlog {
            self.counters.refused += 1;
            self.lanes.push_reply(Control::Reset(id));
            self.late.frames = self.late.frames.saturating_add(LATE_FRAMES).min(MOST_LATE);
            self.late.bytes = self.late.bytes.saturating_add(u64::from(INITIAL_WINDOW));
            self.guards.count(now, Flood::RefusedOpens)?;
            return Ok(None);
        }
        Ok(self.admit(id))
    }

    fn admit(&mut self, id: u32) -> Option<Slot> {
        let window = Window::new(self.tuner.rule.initial).begun(INITIAL_WINDOW);
        let mut state = State { window, credit: INITIAL_WINDOW, ..State::default() };
        if self.config.acks == Acks::OnOpen {
            state.set(Marks::ACK_DUE);
            state.grant = state.window.grant_first();
        }
        self.granted = self.granted.saturating_add(u64::from(state.window.granted()));
        let slot = self.streams.insert(id, false, state)?;
        self.charge_tables();
        self.counters.received += 1;
        if self.config.acks == Acks::OnOpen {
            self.streams.push(List::Control, slot, Kind::Control);
        }
        self.streams.await_accept(slot);
        self.events.tell_acceptable(&mut self.streams);
        Some(slot)
    }

    /// The peer accepted an own stream: true when that was news.
    fn acknowledged(&mut self, slot: Slot) -> bool {
        let Some(stream) = self.streams.get_mut(slot) else { return false };
        let news = stream.state.has(Marks::COUNTED);
        if news {
            let ends = stream.state.has(Marks::FIN);
            if !ends {
                self.streams.unlink(slot, Kind::Timer);
            }
            self.uncount(slot);
        } else if self.config.open_credits == OpenCredits::Loose {
            self.unacknowledged = self.unacknowledged.saturating_sub(1);
            self.events.tell_openable(&mut self.streams);
        }
        news
    }

    /// Gives back the credit that an open took, if it has it still.
    pub(super) fn uncount(&mut self, slot: Slot) {
        let counted = |state: &mut State| state.take(Marks::COUNTED);
        if self.streams.get_mut(slot).is_some_and(|stream| counted(&mut stream.state)) {
            self.unacknowledged = self.unacknowledged.saturating_sub(1);
            self.events.tell_openable(&mut self.streams);
        }
    }

    /// A data frame begins, which the stream's window holds.
    fn data(&mut self, now: Instant, slot: Slot, length: u32, fin: bool) {
        if let Some(stream) = self.streams.get_mut(slot)
            && stream.state.window.receive(now, &mut self.tuner, slot, length)
        {
            self.granted = self.granted.saturating_sub(u64::from(length));
            self.body = Some(Body { slot, left: length, fin });
            self.marks.begin(&mut self.inbox.budget, slot, length);
        }
        // Nobody reads it, and the peer should know: it was finished and forgotten.
        if self.streams.get(slot).is_some_and(|stream| !stream.is_named()) {
            self.reset_stream(now, slot, Over::Asked);
        }
    }

    /// The peer grants credit, of which it was judged that it fits.
    fn credit(&mut self, now: Instant, slot: Slot, delta: u32) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let state = &mut stream.state;
        state.credit = state.credit.wrapping_add(delta);
        let (credit, wanted) = (state.credit, u32::from(state.wanted));
        if credit == 0 || delta == 0 || self.streams.is_linked(slot, Kind::Write) {
            return;
        }
        if credit >= wanted || self.config.tiny_credit == TinyCredit::Use {
            self.streams.tell_writable(slot);
        } else {
            self.begin_patience(now, slot);
        }
    }

    /// The peer's end of a stream is here, with everything before it.
    fn peer_finished(&mut self, slot: Slot) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        stream.state.set(Marks::FIN_SEEN);
        let sent = stream.state.has(Marks::FIN_SENT);
        self.streams.unlink(slot, Kind::Timer);
        if self.config.open_credits == OpenCredits::Exact {
            self.uncount(slot);
        }
        self.streams.tell_readable(slot);
        if sent {
            self.release(slot);
        }
    }

    fn peer_reset(&mut self, now: Instant, slot: Slot) -> Verdict {
        let waited = self.streams.get(slot).is_some_and(|stream| stream.is_waiting());
        self.counters.reset += 1;
        if let Some(stream) = self.streams.get_mut(slot) {
            stream.state.over = Over::ResetByPeer;
        }
        self.lanes.clear(now, &mut self.streams, slot);
        self.streams.tell_readable(slot);
        self.streams.tell_writable(slot);
        self.release(slot);
        if !waited {
            return Ok(());
        }
        if self.config.dead_streams == DeadStreams::Drop {
            self.inbox.clear(&mut self.streams, slot);
            self.marks.forget(&mut self.inbox.budget, slot);
            self.streams.forget(slot);
        }
        self.guards.count(now, Flood::Resets)
    }

    /// Ends a stream by force from this side; what it has received is gone too.
    pub(super) fn reset_stream(&mut self, now: Instant, slot: Slot, over: Over) {
        self.inbox.clear(&mut self.streams, slot);
        self.marks.forget(&mut self.inbox.budget, slot);
        let Some(stream) = self.streams.get_mut(slot) else { return };
        if stream.state.over != Over::Not {
            return;
        }
        stream.state.over = over;
        let (id, ours, bound) = (stream.id(), stream.is_ours(), stream.is_bound());
        let (known, waited) = (!stream.state.has(Marks::SYN_DUE), stream.is_waiting());
        let granted = stream.state.window.granted();
        self.lanes.clear(now, &mut self.streams, slot);
        self.streams.tell_readable(slot);
        self.streams.tell_writable(slot);
        if bound {
            self.counters.reset += 1;
            self.late.bytes = self.late.bytes.saturating_add(u64::from(granted));
            match (known, ours) {
                (false, _) => {}
                (true, true) => self.lanes.push_control(Control::Reset(id)),
                (true, false) => self.lanes.push_reply(Control::Reset(id)),
            }
            self.release(slot);
        }
        if waited {
            self.streams.forget(slot);
        }
    }

    /// Frees the id of a stream that is over for the wire.
    pub(super) fn release(&mut self, slot: Slot) {
        self.uncount(slot);
        let Some(stream) = self.streams.get_mut(slot).filter(|stream| stream.is_bound()) else {
            return;
        };
        stream.state.window.end(&mut self.tuner);
        let granted = u64::from(stream.state.window.granted());
        let (ours, named) = (stream.is_ours(), stream.is_named());
        self.granted = self.granted.saturating_sub(granted);
        self.ours = self.ours.saturating_sub(usize::from(ours));
        self.late.frames = self.late.frames.saturating_add(LATE_FRAMES).min(MOST_LATE);
        if let Some(body) = self.body.filter(|body| body.slot == slot) {
            self.body = None;
            self.input.skip(u64::from(body.left));
        }
        self.streams.unlink(slot, Kind::Timer);
        self.streams.unlink(slot, Kind::Control);
        if !named {
            self.inbox.clear(&mut self.streams, slot);
        }
        self.streams.release(slot);
    }

    /// A frame for a stream that is not there.
    fn unknown(&mut self, now: Instant, head: Head) -> Verdict {
        let length = head.payload_len();
        if length > self.largest.max(INITIAL_WINDOW)
            && self.config.unknown_payload == UnknownPayload::Bounded
        {
            return Err(broken(Violation::UnknownPayload { stream: head.stream, length }));
        }
        self.input.skip(u64::from(length));
        if length > 0 && u64::from(length) <= self.late.bytes {
            self.late.bytes = self.late.bytes.saturating_sub(u64::from(length));
            self.counters.useless += 1;
            return Ok(());
        }
        if length == 0 && self.late.frames > 0 {
            self.late.frames = self.late.frames.saturating_sub(1);
            self.counters.useless += 1;
            return Ok(());
        }
        let bounded = self.config.unknown_payload == UnknownPayload::Bounded;
        for _ in 0..if bounded { u64::from(length) / USELESS_PAYLOAD } else { 0 } {
            self.guards.count(now, Flood::Useless)?;
        }
        self.useless(now)
    }

    /// A frame that cost the peer nothing and has no effect.
    fn useless(&mut self, now: Instant) -> Verdict {
        self.counters.useless += 1;
        self.guards.count(now, Flood::Useless)
    }

    fn ping_frame(&mut self, now: Instant, head: Head) -> Verdict {
        if head.flags.has(Flags::SYN) {
            if self.cut.is_none() {
                self.lanes.push_reply(Control::Pong(head.length));
            }
            return self.guards.count(now, Flood::Pings);
        }
        let answered = match head.flags.has(Flags::ACK) {
            true => self.pings.answered(now, head.length),
            false => None,
        };
        let Some((by, took)) = answered else { return self.useless(now) };
        self.counters.pongs += 1;
        self.counters.round_trip = Some(took);
        self.tuner.round_trip.sample(now, took);
        if by == By::User {
            self.events.tell_pong(&mut self.streams, head.length, took);
        }
        Ok(())
    }

    fn go_away_frame(&mut self, now: Instant, head: Head) -> Verdict {
        let text = match head.length {
            0 if self.gone_away => return self.useless(now),
            0 => {
                self.gone_away = true;
                self.events.tell_gone_away(&mut self.streams);
                self.events.tell_openable(&mut self.streams);
                return Ok(());
            }
            1 => "yamux protocol error",
            2 => "remote yamux internal error",
            _ => "unexpected go away received",
        };
        Err(CloseReason::Peer { code: i64::from(head.length), text: text.into() })
    }

    /// Gives up what is unread for longest while memory is short; the connection where that is
    /// nothing.
    fn relieve(&mut self, now: Instant) -> Verdict {
        while Pressure::of(&self.inbox.budget, &self.config.limits) == Pressure::Reset {
            let Some(slot) = self.inbox.longest(&mut self.streams) else {
                return Err(CloseReason::Violation(crate::Violation::Flood(Flood::Memory)));
            };
            self.reset_stream(now, slot, Over::TooMuch);
        }
        Ok(())
    }
}

fn broken(violation: Violation) -> CloseReason {
    CloseReason::Violation(crate::Violation::Yamux(violation))
}
