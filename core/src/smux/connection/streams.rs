//! How streams come and go: `docs/protocols/smux.md` sections 4 and 5.

use super::{Connection, Current};
use crate::Instant;
use crate::mux::parts::{Kind, List, Slot, Stream};
use crate::mux::{LocalEnd, MuxStats, StreamEnd, StreamStats};
use crate::smux::config::PassiveClose;
use crate::smux::frame::Version;
use crate::smux::state::{Mark, State};

impl Connection {
    /// Counts a stream that was just put into the table.
    pub(super) fn enter(&mut self, slot: Slot, mark: Mark) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        stream.state.set(Mark::Open);
        stream.state.set(mark);
        if self.config.version == Version::Two {
            self.flows.begin(slot);
            self.stats.granted += u64::from(self.flows.granted(slot));
        }
        self.peers += usize::from(mark == Mark::PeersShare);
        self.stats.streams += 1;
        self.charge_table();
    }

    /// A stream leaves the table of ids: both directions are over, or this side has finished it and
    /// nobody holds its key. What is unread stays with the key.
    pub(super) fn leave(&mut self, slot: Slot) {
        self.no_longer_open(slot);
        self.fade_out(slot);
        self.skip_rest(slot);
        let Some(stream) = self.streams.get_mut(slot) else { return };
        self.peers -= usize::from(stream.state.clear(Mark::PeersShare));
        if stream.unread() == 0 {
            // Nothing more is read, so nothing more is announced.
            stream.state.clear(Mark::UpdateDue);
        }
        self.streams.release(slot);
        self.add_grace();
        self.charge_table();
    }

    /// What is still to come of a frame of this stream is not for who takes its place.
    fn skip_rest(&mut self, slot: Slot) {
        if let Some(Current::Data { slot: of, left } | Current::Collected { slot: of, left, .. }) =
            &self.frame
            && *of == slot
        {
            self.input.skip(*left as u64);
            self.frame = None;
        }
    }

    /// A stream no longer counts as open, and its window is nobody's.
    fn no_longer_open(&mut self, slot: Slot) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        if !stream.state.clear(Mark::Open) {
            return;
        }
        self.stats.streams = self.stats.streams.saturating_sub(1);
        let granted = u64::from(self.flows.granted(slot));
        self.stats.granted = self.stats.granted.saturating_sub(granted);
        if let Some(flow) = self.flows.get_mut(slot) {
            flow.window.end(&mut self.tuner);
        }
    }

    /// This side has finished a stream and forgotten it. What the peer still sends is dropped; the
    /// id is kept for a while, so that an honest peer that has not read the end yet is not taken for
    /// one that floods.
    pub(super) fn fade(&mut self, slot: Slot) {
        self.no_longer_open(slot);
        let Some(stream) = self.streams.get_mut(slot) else { return };
        self.peers -= usize::from(stream.state.clear(Mark::PeersShare));
        if self.streams.push(List::Closing, slot, Kind::Timer) {
            self.fading += 1;
        }
        while self.fading > self.config.limits.streams.min(MOST_FADING)
            && let Some(oldest) = self.streams.front(List::Closing)
        {
            self.leave(oldest);
        }
    }

    /// Whether a stream is one of those that only the peer has not finished.
    pub(super) fn is_fading(&self, slot: Slot) -> bool {
        self.streams.is_linked(slot, Kind::Timer)
    }

    fn fade_out(&mut self, slot: Slot) {
        if self.is_fading(slot) {
            self.streams.unlink(slot, Kind::Timer);
            self.fading = self.fading.saturating_sub(1);
        }
    }

    /// This side ends a stream: FIN is all that the wire has to say so.
    pub(super) fn end_stream(&mut self, now: Instant, slot: Slot, why: LocalEnd) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        if stream.state.local_end().is_some() {
            return;
        }
        stream.state.end(why);
        self.stats.reset += 1;
        self.give_up(slot);
        self.lanes.clear(now, &mut self.streams, slot);
        self.ask_fin(slot);
        self.streams.tell_readable(slot);
        self.streams.tell_writable(slot);
        if self.streams.get(slot).is_some_and(Stream::is_waiting) {
            // Nobody has seen it, and nobody needs to.
            self.streams.forget(slot);
        }
    }

    /// Nobody wants what the peer sends on a stream any more; what came is dropped.
    pub(super) fn give_up(&mut self, slot: Slot) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        stream.state.set(Mark::Deaf);
        stream.state.clear(Mark::UpdateDue);
        if let Some(Current::Collected { slot: of, left, .. }) = &self.frame
            && *of == slot
        {
            self.frame = Some(Current::Data { slot, left: *left });
        }
        self.inbox.clear(&mut self.streams, slot);
    }

    /// FIN is to leave behind what is queued, unless it was asked for before.
    pub(super) fn ask_fin(&mut self, slot: Slot) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        if stream.state.set(Mark::FinAsked) || !stream.state.has(Mark::FinSent) {
            self.lanes.make_ready(&mut self.streams, slot);
        }
    }

    /// Why nothing more can be read from a stream of which nothing is unread.
    pub(super) fn end_of_reading(&self, state: &State) -> Option<StreamEnd> {
        if let Some(why) = state.local_end() {
            return Some(StreamEnd::Local(why));
        }
        if state.has(Mark::FinReceived) {
            return Some(StreamEnd::Finished);
        }
        self.read_over().cloned().map(StreamEnd::Connection)
    }

    /// Why nothing more can be written to a stream.
    pub(super) fn end_of_writing(&self, slot: Slot, state: &State) -> Option<StreamEnd> {
        if let Some(why) = state.local_end() {
            return Some(StreamEnd::Local(why));
        }
        if state.has(Mark::PeerGone) {
            return Some(StreamEnd::Reset);
        }
        if state.has(Mark::FinAsked) {
            return Some(StreamEnd::Finished);
        }
        if let Some(reason) = self.write_over() {
            return Some(StreamEnd::Connection(reason.clone()));
        }
        if self.has_windows() && self.flows.credit(slot).is_none() {
            // While the claim stands (`Overclaim::FailWrites`).
            return Some(StreamEnd::Local(LocalEnd::Violation));
        }
        match self.config.passive_close {
            PassiveClose::HalfOpen => None,
            PassiveClose::Strict => state.has(Mark::FinReceived).then_some(StreamEnd::Reset),
        }
    }

    /// Tells everybody who waits to read, or to write, to look again. The one walk over the streams:
    /// once at most, when the one direction of the link ends before the other.
    pub(super) fn tell_all(&mut self) {
        let (mut found, mut slot) = (0, 0);
        while found < self.streams.len() {
            if self.streams.get(Slot(slot)).is_some() {
                found += 1;
                self.streams.tell_readable(Slot(slot));
                self.streams.tell_writable(Slot(slot));
            }
            slot += 1;
        }
        self.events.tell_acceptable(&mut self.streams);
    }

    pub(super) fn counters(&self) -> MuxStats {
        MuxStats {
            waiting: self.streams.waiting(),
            queued_in: self.inbox.unread(),
            queued_out: self.lanes.unsent(),
            memory: self.inbox.budget.used().saturating_add(self.lanes.unsent()),
            round_trip: self.tuner.round_trip.last(),
            ..self.stats
        }
    }

    pub(super) fn stream_counters(&self, slot: Slot) -> Option<StreamStats> {
        let stream = self.streams.get(slot)?;
        let (receive_window, send_window) = match self.config.version {
            Version::One => (None, None),
            Version::Two => {
                let left = self.flows.credit(slot).unwrap_or(0);
                (Some(u64::from(self.flows.granted(slot))), Some(left as u64))
            }
        };
        Some(StreamStats {
            id: stream.id(),
            ours: stream.is_ours(),
            queued_in: stream.unread(),
            queued_out: stream.unsent(),
            receive_window,
            send_window,
        })
    }
}

/// The most streams that are kept only because their peers have not finished.
const MOST_FADING: usize = 4_096;
