//! Frames that arrive: `docs/protocols/smux.md` sections 5, 6, 7, 10 and 12.

use bytes::BytesMut;

use super::{Connection, Control, Current};
use crate::mux::LocalEnd;
use crate::mux::Side;
use crate::mux::parts::{List, Pressure, Slot};
use crate::smux::config::{
    AfterViolation, Delivery, FullBacklog, FullBuffer, LateData, Overclaim, Overrun, PeerGone,
    PeerIds, UnreadAtEnd, UselessFrames,
};
use crate::smux::frame::{Command, Head, Update, Version};
use crate::smux::state::{Flow, Mark, State};
use crate::{CloseReason, Flood, Instant, Violation};

/// Frames for streams that are gone which an honest peer may send for each stream that ends: a
/// second FIN, and window updates for what its application still reads.
const GRACE: u32 = 16;

/// The most of them that are saved up.
const MOST_GRACE: u32 = 100_000;

impl Connection {
    /// Looks at what is here, frame by frame, as far as it may.
    pub(super) fn take_in(&mut self, now: Instant) {
        while self.read_over().is_none() && self.may_take_in() {
            let went_on = match self.frame.take() {
                None => self.take_head(now),
                Some(frame) => self.take_payload(now, frame),
            };
            if !went_on {
                break;
            }
        }
        if self.read_over().is_some() {
            return;
        }
        let partial = self.frame.is_some() || self.input.is_mid();
        self.clocks.note_partial(now, partial);
        if self.input.pending() == 0
            && let Some(reason) = self.last_input.take()
        {
            self.end(match reason {
                CloseReason::Eof { .. } => CloseReason::Eof { mid_frame: partial },
                other => other,
            });
        }
    }

    /// Whether the next frame may be looked at now (section 6; limits on replies and on streams that
    /// wait).
    pub(super) fn may_take_in(&self) -> bool {
        let stalled = self.frame.is_none() && self.is_bucket_empty();
        // Where nothing can be sent any more, answers that wait hold nothing up.
        let choked = self.lanes.is_choked() && self.mute.is_none();
        !stalled && !choked && !self.is_backlog_stalled()
    }

    /// Whether unread bytes have used up the connection's buffer. Where the windows of version 2
    /// are kept to, the budget is the limit.
    pub(super) fn is_bucket_empty(&self) -> bool {
        let counts = match self.config.version {
            Version::One => true,
            Version::Two => self.config.overrun == Overrun::Ignore,
        };
        counts && self.inbox.unread() >= self.config.max_receive_buffer
    }

    /// Whether a stream too many waits for accept (`FullBacklog`, section 5).
    fn is_backlog_stalled(&self) -> bool {
        match self.config.full_backlog {
            FullBacklog::Refuse => false,
            FullBacklog::Wait => self.streams.waiting() > self.config.limits.backlog,
        }
    }

    /// The end of input, or its failure: what is here is still looked at.
    pub(super) fn input_ends(&mut self, now: Instant, failure: Option<CloseReason>) {
        self.clocks.start(now);
        if self.life.closed().is_some() || self.last_input.is_some() {
            return;
        }
        let reason = failure.unwrap_or(CloseReason::Eof { mid_frame: false });
        // What could not be sent tells more than the end that follows it.
        self.last_input = Some(self.mute.clone().unwrap_or(reason));
        if let Some(reason) = self.lingers.take() {
            return self.end(reason);
        }
        self.take_in(now);
    }

    fn take_head(&mut self, now: Instant) -> bool {
        let Some(bytes) = self.input.head() else { return false };
        let head = match Head::parse(bytes, Some(self.config.version)) {
            Ok(head) => head,
            Err(rule) => {
                self.clocks.hear();
                self.break_rule(CloseReason::Violation(Violation::Smux(rule)));
                return false;
            }
        };
        self.clocks.hear();
        self.stats.frames_in += 1;
        match head.command {
            Command::Syn => self.syn(now, head.stream),
            Command::Fin => self.fin(now, head.stream),
            Command::Nop => self.nop(now),
            Command::Psh => self.psh(now, head),
            Command::Upd => self.frame = Some(Current::Update { id: head.stream }),
        }
        true
    }

    /// The peer broke a rule (section 10).
    fn break_rule(&mut self, reason: CloseReason) {
        match self.config.after_violation {
            AfterViolation::End => self.end(reason),
            AfterViolation::Linger => {
                self.input.clear();
                self.frame = None;
                self.lingers = Some(reason);
                self.tell_all();
            }
        }
    }

    /// A frame without effect.
    fn useless(&mut self, now: Instant, kind: Flood) {
        self.stats.useless += u64::from(kind != Flood::RefusedOpens);
        let metered = match self.config.useless_frames {
            UselessFrames::Metered => true,
            UselessFrames::Free => false,
        };
        if metered && let Err(reason) = self.guards.count(now, kind) {
            self.end(reason);
        }
    }

    /// A frame for a stream that is not in the table.
    fn absent(&mut self, now: Instant) {
        if self.grace > 0 {
            self.grace -= 1;
            self.stats.useless += 1;
        } else {
            self.useless(now, Flood::Useless);
        }
    }

    /// A stream has left the table.
    pub(super) fn add_grace(&mut self) {
        self.grace = self.grace.saturating_add(GRACE).min(MOST_GRACE);
    }

    fn nop(&mut self, now: Instant) {
        // One that keeps to any sensible interval stays below the rate.
        if self.config.useless_frames == UselessFrames::Metered
            && let Err(reason) = self.guards.count(now, Flood::Pings)
        {
            self.end(reason);
        }
    }

    fn syn(&mut self, now: Instant, id: u32) {
        match self.streams.find(id) {
            // The peer has given up this one, or it would not use its id again.
            Some(slot) if self.is_fading(slot) => self.leave(slot),
            Some(_) => return self.useless(now, Flood::Useless),
            None => {}
        }
        if !self.is_welcome(id) {
            self.stats.refused += 1;
            if self.mute.is_none() {
                self.lanes.push_reply(Control::Refuse(id));
            }
            if !self.gone_away {
                self.useless(now, Flood::RefusedOpens);
            }
            return;
        }
        let Some(slot) = self.streams.insert(id, false, State::default()) else { return };
        self.enter(slot, Mark::PeersShare);
        self.stats.received += 1;
        self.streams.await_accept(slot);
        self.events.tell_acceptable(&mut self.streams);
    }

    /// Whether a stream of the peer may begin (sections 4, 5 and 12).
    fn is_welcome(&self, id: u32) -> bool {
        let limits = &self.config.limits;
        let own = id % 2 == u32::from(self.side == Side::Client);
        let fits = match self.config.full_backlog {
            FullBacklog::Refuse => self.streams.waiting() < limits.backlog,
            FullBacklog::Wait => true,
        };
        let parity = match self.config.peer_ids {
            PeerIds::Any => true,
            PeerIds::Parity => !own,
        };
        fits && parity
            && !self.gone_away
            && self.life.is_open()
            && self.peers < limits.streams
            && self.inbox.pressure() < Pressure::NoStreams
    }

    fn fin(&mut self, now: Instant, id: u32) {
        let Some(slot) = self.streams.find(id) else { return self.absent(now) };
        let Some(stream) = self.streams.get_mut(slot) else { return };
        if !stream.state.set(Mark::FinReceived) {
            self.peer_let_go(now, slot);
            return self.absent(now);
        }
        if stream.state.is_over() {
            match self.config.unread_at_end {
                UnreadAtEnd::Keep => {}
                UnreadAtEnd::Drop => drop(self.inbox.clear(&mut self.streams, slot)),
            }
            self.leave(slot);
        }
        self.streams.tell_readable(slot);
        if self.config.passive_close == crate::smux::PassiveClose::Strict {
            self.streams.tell_writable(slot);
        }
    }

    /// A second FIN came: what is written to the stream is dropped by the peer (hazard 11).
    fn peer_let_go(&mut self, now: Instant, slot: Slot) {
        match self.config.peer_gone {
            PeerGone::SecondFin => {}
            PeerGone::Nothing => return,
        }
        let Some(stream) = self.streams.get_mut(slot) else { return };
        if !stream.state.set(Mark::PeerGone) {
            return;
        }
        let ends = stream.state.has(Mark::FinAsked) && !stream.state.has(Mark::FinSent);
        self.lanes.clear(now, &mut self.streams, slot);
        if ends {
            self.lanes.make_ready(&mut self.streams, slot);
        }
        self.streams.tell_writable(slot);
    }

    /// The head of a data frame: all of it is judged before any of it is kept.
    fn psh(&mut self, now: Instant, head: Head) {
        let len = usize::from(head.length);
        if len == 0 {
            return self.useless(now, Flood::Useless);
        }
        let Some(slot) = self.streams.find(head.stream) else {
            self.input.skip(len as u64);
            return self.absent(now);
        };
        if !self.wants(slot) {
            self.stats.useless += 1;
            return self.input.skip(len as u64);
        }
        if !self.fits_window(now, slot, u32::from(head.length)) {
            self.input.skip(len as u64);
            return self.end_stream(now, slot, LocalEnd::TooMuch);
        }
        self.frame = Some(match self.config.delivery {
            Delivery::Pieces => Current::Data { slot, left: len },
            Delivery::Frames => Current::Collected { slot, left: len, bytes: BytesMut::new() },
        });
    }

    /// Whether anybody may still read what comes for a stream.
    fn wants(&self, slot: Slot) -> bool {
        let Some(stream) = self.streams.get(slot) else { return false };
        let late = match self.config.late_data {
            LateData::Drop => stream.state.has(Mark::FinReceived),
            LateData::Deliver => false,
        };
        !late && !stream.state.has(Mark::Deaf)
    }

    /// Whether the peer keeps to the window that it was given (section 12).
    fn fits_window(&mut self, now: Instant, slot: Slot, len: u32) -> bool {
        if self.config.version == Version::One {
            return true;
        }
        let Some(Flow { window, .. }) = self.flows.get_mut(slot) else { return false };
        let before = window.granted();
        let fits = match self.config.overrun {
            Overrun::EndStream => len <= before,
            Overrun::Ignore => true,
        };
        if fits {
            window.receive_any(now, &mut self.tuner, slot, len);
            let less = u64::from(before.saturating_sub(window.granted()));
            self.stats.granted = self.stats.granted.saturating_sub(less);
        }
        fits
    }

    fn take_payload(&mut self, now: Instant, frame: Current) -> bool {
        match frame {
            Current::Data { slot, left } => {
                let Some((bytes, chunk)) = self.input.payload(left) else {
                    self.frame = Some(Current::Data { slot, left });
                    return false;
                };
                let left = left - bytes.len();
                if left > 0 {
                    self.frame = Some(Current::Data { slot, left });
                }
                self.deliver(now, slot, bytes, chunk);
                true
            }
            Current::Collected { slot, left, mut bytes } => {
                let Some((piece, chunk)) = self.input.payload(left) else {
                    self.frame = Some(Current::Collected { slot, left, bytes });
                    return false;
                };
                let left = left - piece.len();
                if left == 0 && bytes.is_empty() {
                    self.deliver(now, slot, piece, chunk);
                    return true;
                }
                bytes.extend_from_slice(&piece);
                if left > 0 {
                    self.frame = Some(Current::Collected { slot, left, bytes });
                } else {
                    let chunk = bytes.len();
                    self.deliver(now, slot, bytes.freeze(), chunk);
                }
                true
            }
            Current::Update { id } => match self.input.short() {
                Some(bytes) => {
                    self.upd(now, id, Update::parse(bytes));
                    true
                }
                None => {
                    self.frame = Some(frame);
                    false
                }
            },
        }
    }

    fn deliver(&mut self, now: Instant, slot: Slot, bytes: bytes::Bytes, chunk: usize) {
        // The stream may have been given up since its frame began.
        if self.streams.get(slot).is_none_or(|stream| stream.state.has(Mark::Deaf)) {
            return;
        }
        self.stats.bytes_in += bytes.len() as u64;
        self.inbox.push(now, &mut self.streams, slot, bytes, chunk);
        self.streams.tell_readable(slot);
        self.make_room(now);
    }

    /// Gives up streams while memory, or the buffer of version 1, is short.
    fn make_room(&mut self, now: Instant) {
        while self.inbox.pressure() == Pressure::Reset {
            let Some(slot) = self.inbox.longest(&mut self.streams) else {
                return self.end(CloseReason::Violation(Violation::Flood(Flood::Memory)));
            };
            self.end_stream(now, slot, LocalEnd::TooMuch);
        }
        match self.config.full_buffer {
            FullBuffer::Wait => {}
            FullBuffer::EndLongest => {
                while self.is_bucket_empty()
                    && let Some(slot) = self.inbox.longest(&mut self.streams)
                {
                    self.end_stream(now, slot, LocalEnd::TooMuch);
                }
            }
        }
    }

    fn upd(&mut self, now: Instant, id: u32, update: Update) {
        let Some(slot) = self.streams.find(id) else { return self.absent(now) };
        let Some(Flow { credit, .. }) = self.flows.get_mut(slot) else { return };
        let enforced = match self.config.overclaim {
            Overclaim::EndStream => true,
            Overclaim::FailWrites => false,
        };
        if enforced && credit.is_overclaimed(update) {
            return self.end_stream(now, slot, LocalEnd::Violation);
        }
        let (known, back) = (credit.is_known(update), enforced && credit.goes_back(update));
        let before = credit.left();
        if !back {
            credit.update(update);
        }
        // Whoever waits for room in the queue waits for that, and not for this.
        if before.is_none_or(|left| left == 0) && credit.left() != before {
            self.streams.tell_writable(slot);
        }
        if known || back {
            self.useless(now, Flood::Useless);
        }
    }

    /// A new turn: what the last one brought and nobody has read yet is joined, so that it does not
    /// keep whole chunks in memory. Frames that are to stay whole are left alone.
    pub(super) fn begin_turn(&mut self) {
        match self.config.delivery {
            Delivery::Pieces => self.inbox.next_turn(&mut self.streams),
            Delivery::Frames => self.inbox.next_turn_whole(&mut self.streams),
        }
    }

    /// After anything that may let frames in that wait: looks at them.
    pub(super) fn resume(&mut self, now: Instant) {
        if self.input.pending() > 0 || self.last_input.is_some() {
            self.take_in(now);
        }
    }

    /// Streams with a control frame due stand in one list, whatever is due.
    pub(super) fn want_control(&mut self, slot: Slot) {
        self.streams.push(List::Control, slot, crate::mux::parts::Kind::Control);
    }
}
