//! What the user does with streams: `docs/protocols/smux.md` sections 4, 5 and 7.

use bytes::Bytes;

use super::Connection;
use crate::Instant;
use crate::mux::parts::{Pressure, Slot};
use crate::mux::{Finished, LocalEnd, OpenRefusal, Opened, Received, Sent, StreamKey};
use crate::smux::config::{SecondFin, UpdateCount, WindowSize};
use crate::smux::frame::Version;
use crate::smux::state::{Mark, State};

impl Connection {
    pub(super) fn open_stream(&mut self, now: Instant) -> Opened {
        if !self.life.is_open() || self.mute.is_some() {
            return Opened::Refused(OpenRefusal::Closed);
        }
        if self.inbox.pressure() >= Pressure::NoStreams {
            return Opened::Refused(OpenRefusal::Budget);
        }
        loop {
            self.last_id = self.last_id.and_then(|last| last.checked_add(2));
            let Some(id) = self.last_id else {
                return Opened::Refused(OpenRefusal::IdsExhausted);
            };
            if let Some(slot) = self.streams.find(id).filter(|slot| self.is_fading(*slot)) {
                self.leave(slot);
            }
            // A peer may have taken an id of this side's parity: it keeps it.
            let Some(slot) = self.streams.insert(id, true, State::default()) else { continue };
            self.enter(slot, Mark::SynDue);
            self.want_control(slot);
            self.stats.opened += 1;
            self.life.queued(now, || true);
            return Opened::Stream(self.streams.key(slot));
        }
    }

    pub(super) fn accept_stream(&mut self, now: Instant) -> Option<StreamKey> {
        self.clocks.start(now);
        let slot = if self.life.hands_out() { self.streams.accept() } else { None };
        let Some(slot) = slot else {
            self.events.block_accept();
            return None;
        };
        let key = self.streams.key(slot);
        self.resume(now);
        Some(key)
    }

    pub(super) fn read_stream(&mut self, now: Instant, key: StreamKey, max: usize) -> Received {
        self.clocks.start(now);
        let Some(slot) = self.streams.named(key) else { return Received::Unknown };
        if max == 0 {
            return match self.streams.get(slot).and_then(|s| self.end_of_reading(&s.state)) {
                Some(end) if self.streams.get(slot).is_some_and(|s| s.unread() == 0) => {
                    Received::End(end)
                }
                _ => Received::Data(Bytes::new()),
            };
        }
        let Some(taken) = self.inbox.pop(&mut self.streams, slot, max) else {
            let end = self.streams.get(slot).and_then(|s| self.end_of_reading(&s.state));
            return match end {
                Some(end) => Received::End(end),
                None => {
                    self.streams.block_read(slot);
                    Received::Blocked
                }
            };
        };
        self.note_read(now, slot, &taken);
        self.resume(now);
        Received::Data(taken.bytes)
    }

    /// Bytes were read: the peer may be owed a window update (section 7).
    fn note_read(&mut self, now: Instant, slot: Slot, taken: &crate::mux::parts::Taken) {
        if self.config.version == Version::One {
            return;
        }
        let can_send = self.write_over().is_none();
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let bound = stream.is_bound();
        let first = stream.state.set(Mark::WasRead);
        let ended = stream.state.has(Mark::FinReceived);
        let len = u32::try_from(taken.bytes.len()).unwrap_or(u32::MAX);
        stream.state.read = stream.state.read.wrapping_add(len);
        let read = stream.state.read;
        let Some(flow) = self.flows.get_mut(slot) else { return };
        let (first, silent) = match self.config.update_count {
            UpdateCount::Whole => (first, false),
            UpdateCount::Wrapped => (read == len, read == 0),
        };
        if !bound && self.config.window_size == WindowSize::Grown {
            // Its window has ended and must not grow any more.
            return;
        }
        let grown = flow.window.read(now, &mut self.tuner, taken).is_some();
        let due = match self.config.window_size {
            // Behind the peer's end it has no use for a window.
            WindowSize::Grown => grown && bound && !ended,
            WindowSize::Fixed => grown || first,
        };
        if due && silent {
            flow.window.announce(now, &mut self.tuner, slot, taken.unread);
        } else if due && can_send {
            stream.state.set(Mark::UpdateDue);
            self.want_control(slot);
            self.life.queued(now, || true);
        }
    }

    pub(super) fn write_stream(&mut self, now: Instant, key: StreamKey, data: &mut Bytes) -> Sent {
        self.clocks.start(now);
        let Some(slot) = self.streams.named(key) else { return Sent::Unknown };
        let Some(stream) = self.streams.get(slot) else { return Sent::Unknown };
        if let Some(end) = self.end_of_writing(slot, &stream.state) {
            return Sent::End(end);
        }
        if data.is_empty() {
            return Sent::Accepted(0);
        }
        let credit = match self.config.version {
            Version::One => usize::MAX,
            Version::Two => self.flows.credit(slot).unwrap_or(0),
        };
        match self.lanes.write(now, &mut self.streams, slot, data, credit) {
            0 => Sent::Blocked,
            taken => {
                if let Some(flow) = self.flows.get_mut(slot) {
                    flow.credit.use_up(taken);
                }
                self.life.queued(now, || true);
                Sent::Accepted(taken)
            }
        }
    }

    pub(super) fn finish_stream(&mut self, now: Instant, key: StreamKey) -> Finished {
        let Some(slot) = self.streams.named(key) else { return Finished::Unknown };
        let Some(stream) = self.streams.get_mut(slot) else { return Finished::Unknown };
        if stream.state.has(Mark::FinAsked) || stream.state.local_end().is_some() {
            return Finished::Already;
        }
        if self.write_over().is_some() {
            return Finished::Already;
        }
        self.lanes.stop_writing(now, &mut self.streams, slot);
        self.ask_fin(slot);
        self.streams.tell_writable(slot);
        self.life.queued(now, || true);
        Finished::Queued
    }

    pub(super) fn reset_stream(&mut self, now: Instant, key: StreamKey) {
        let Some(slot) = self.streams.named(key) else { return };
        let over = self.streams.get(slot).is_none_or(|stream| stream.state.is_over());
        if over {
            // Nothing is left to end; what is unread goes.
            self.give_up(slot);
        } else {
            self.end_stream(now, slot, LocalEnd::Asked);
            self.life.queued(now, || true);
        }
        self.resume(now);
    }

    pub(super) fn forget_stream(&mut self, now: Instant, key: StreamKey) {
        let Some(slot) = self.streams.named(key) else { return };
        let Some(stream) = self.streams.get(slot) else { return };
        let (bound, sent) = (stream.is_bound(), stream.state.has(Mark::FinSent));
        self.give_up(slot);
        if bound && self.write_over().is_none() {
            if !sent {
                self.ask_fin(slot);
            } else if self.wants_second_fin() {
                if let Some(stream) = self.streams.get_mut(slot) {
                    stream.state.set(Mark::SecondFin);
                }
                self.lanes.make_ready(&mut self.streams, slot);
            } else {
                self.fade(slot);
            }
            self.life.queued(now, || self.lanes.has_output(&self.streams));
        }
        self.lanes.stop_writing(now, &mut self.streams, slot);
        self.streams.forget(slot);
        if bound && self.write_over().is_some() {
            // Nothing more can leave: there is nothing to wait for.
            self.lanes.clear(now, &mut self.streams, slot);
            self.leave(slot);
        }
        self.charge_table();
        self.resume(now);
    }

    /// Whether a stream that was finished and is now given up says so again (section 5).
    fn wants_second_fin(&self) -> bool {
        match self.config.second_fin {
            SecondFin::Never => false,
            SecondFin::Sent => true,
        }
    }
}
