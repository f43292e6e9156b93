//! What the user wants: `docs/protocols/wormhole.md` sections 4 and 8.

use bytes::Bytes;

use super::{Connection, Control, DATA_CHUNK};
use crate::mux::parts::{Phase, Pressure, Slot};
use crate::mux::{
    Abilities, Finished, LocalEnd, Mux, MuxStats, OpenRefusal, Opened, Pinged, Received, Reserved,
    Sent, Side, StreamEnd, StreamKey, StreamStats,
};
use crate::wormhole::Closing;
use crate::wormhole::stream::{OwnEnd, PeerEnd};
use crate::{CloseReason, Instant};

impl Connection {
    /// Why the connection takes nothing more to send, if so.
    fn unwritable(&self) -> Option<CloseReason> {
        if let Some(reason) = self.life.closed() {
            return Some(reason.clone());
        }
        if let Some((reason, _)) = &self.mute {
            return Some(reason.clone());
        }
        matches!(self.life.phase(), Phase::Closing).then_some(CloseReason::Local)
    }

    fn write_end_of(&self, slot: Slot) -> Option<StreamEnd> {
        let state = &self.streams.get(slot)?.state;
        state.write_end(&self.config, self.errors.get(&slot.0), self.unwritable().as_ref())
    }

    fn read_end_of(&self, slot: Slot) -> Option<StreamEnd> {
        let state = &self.streams.get(slot)?.state;
        state.read_end(&self.config, self.errors.get(&slot.0), self.life.closed())
    }

    /// Closes a stream that this side holds, behind what is queued: CLOSE where the peer has not
    /// closed it before (section 4.1).
    fn shut(&mut self, now: Instant, slot: Slot, how: OwnEnd) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let peer_open = stream.state.peer == PeerEnd::Open;
        stream.state.close_due = peer_open;
        self.let_go(slot, how);
        self.lanes.stop_writing(now, &mut self.streams, slot);
        if peer_open {
            self.lanes.make_ready(&mut self.streams, slot);
            self.line_up(slot, 1);
        } else if self.streams.get(slot).is_some_and(|stream| stream.unsent() == 0) {
            self.sent_close(slot);
        }
        self.streams.tell_readable(slot);
        self.streams.tell_writable(slot);
    }

    fn is_held(&self, slot: Slot) -> bool {
        self.streams.get(slot).is_some_and(|stream| stream.state.is_live())
    }
}

impl Mux for Connection {
    fn abilities(&self) -> Abilities {
        Abilities {
            name: "wormhole",
            half_close: false,
            reset: false,
            ping: true,
            go_away: false,
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
        self.lanes.has_output(&self.streams)
            || self.unsettled.is_some()
            || matches!(self.life.phase(), Phase::Closing)
    }

    fn open(&mut self, now: Instant) -> Opened {
        if self.unwritable().is_some() {
            return Opened::Refused(OpenRefusal::Closed);
        }
        if self.pressure() >= Pressure::NoStreams {
            return Opened::Refused(OpenRefusal::Budget);
        }
        self.settle(now);
        self.pings.start(now);
        loop {
            let Some(id) = self.ids.give() else {
                return Opened::Refused(OpenRefusal::IdsExhausted);
            };
            // An id of ours can be taken only where a peer may use any.
            let Some(slot) = self.streams.insert(id, true, self.fresh()) else { continue };
            self.live += 1;
            self.granted = self.granted.saturating_add(self.config.window.into());
            self.counts.opened = self.counts.opened.saturating_add(1);
            self.lanes.push_control(Control::Open(id));
            self.charge_table();
            return Opened::Stream(self.streams.key(slot));
        }
    }

    fn accept(&mut self, _: Instant) -> Option<StreamKey> {
        // Behind the end of the connection there is nothing, whatever waited (section 8).
        let slot = if self.life.is_open() { self.streams.accept() } else { None };
        match slot {
            Some(slot) => Some(self.streams.key(slot)),
            None => {
                self.accepting = true;
                self.events.block_accept();
                None
            }
        }
    }

    /// What is buffered comes first, also on a stream that has failed and on a connection that is
    /// over: the end follows it (section 4).
    fn read(&mut self, now: Instant, stream: StreamKey, max: usize) -> Received {
        let Some(slot) = self.streams.named(stream) else { return Received::Unknown };
        if max == 0 && self.streams.get(slot).is_some_and(|stream| stream.unread() > 0) {
            return Received::Data(Bytes::new());
        }
        if self.unsettled.is_some_and(|unsettled| unsettled != slot) {
            self.settle(now);
        }
        if let Some(taken) = self.inbox.pop(&mut self.streams, slot, max) {
            if self.life.closed().is_none() {
                self.credit(now, slot, &taken);
            }
            return Received::Data(taken.bytes);
        }
        match self.read_end_of(slot) {
            Some(end) => Received::End(end),
            None => {
                self.streams.block_read(slot);
                Received::Blocked
            }
        }
    }

    fn drain(&mut self, stream: StreamKey, max: usize) -> Option<Bytes> {
        let slot = self.streams.named(stream)?;
        self.read_end_of(slot)?;
        self.inbox.pop(&mut self.streams, slot, max).map(|taken| taken.bytes)
    }

    fn write(&mut self, now: Instant, stream: StreamKey, data: &mut Bytes) -> Sent {
        let Some(slot) = self.streams.named(stream) else { return Sent::Unknown };
        if let Some(end) = self.write_end_of(slot) {
            return Sent::End(end);
        }
        if data.is_empty() {
            return Sent::Accepted(0);
        }
        let Some(stream) = self.streams.get(slot) else { return Sent::Unknown };
        let credit = usize::try_from(stream.state.credit).unwrap_or(usize::MAX);
        let taken = self.lanes.write(now, &mut self.streams, slot, data, credit);
        if taken == 0 {
            return Sent::Blocked;
        }
        if let Some(stream) = self.streams.get_mut(slot) {
            let wide = u64::try_from(taken).unwrap_or(u64::MAX);
            stream.state.credit = stream.state.credit.saturating_sub(wide);
        }
        self.line_up(slot, taken.div_ceil(DATA_CHUNK));
        Sent::Accepted(taken)
    }

    fn reserve(&mut self, now: Instant, stream: StreamKey, len: usize) -> Option<Reserved> {
        let slot = self.streams.named(stream)?;
        self.settle(now);
        if !self.lanes.is_idle(&self.streams) || self.write_end_of(slot).is_some() {
            return None;
        }
        self.pings.start(now);
        let stream = self.streams.get_mut(slot)?;
        let credit = usize::try_from(stream.state.credit).unwrap_or(usize::MAX);
        let len = len.min(credit).min(DATA_CHUNK);
        if len == 0 {
            return None;
        }
        let wide = u64::try_from(len).unwrap_or(u64::MAX);
        stream.state.credit = stream.state.credit.saturating_sub(wide);
        let id = stream.id();
        Some(Reserved { head: self.data_head(id, len), len })
    }

    /// Sends CLOSE behind everything written, unless the peer has closed the stream before. Both
    /// directions end: what is buffered can still be read.
    fn finish(&mut self, now: Instant, stream: StreamKey) -> Finished {
        let Some(slot) = self.streams.named(stream) else { return Finished::Unknown };
        if !self.is_held(slot) {
            return Finished::Already;
        }
        self.shut(now, slot, OwnEnd::Finished);
        Finished::Queued
    }

    /// Sends CLOSE at once: the peer cannot tell it from [`finish`](Mux::finish).
    fn reset(&mut self, now: Instant, stream: StreamKey) {
        let Some(slot) = self.streams.named(stream) else { return };
        self.inbox.clear(&mut self.streams, slot);
        if self.is_held(slot) {
            self.lanes.clear(now, &mut self.streams, slot);
            self.shut(now, slot, OwnEnd::Reset);
        }
    }

    /// Finishes a stream that is not over: the wire has no other end.
    fn forget(&mut self, now: Instant, stream: StreamKey) {
        self.settle(now);
        let Some(slot) = self.streams.named(stream) else { return };
        if self.is_held(slot) {
            self.shut(now, slot, OwnEnd::Finished);
        }
        self.inbox.clear(&mut self.streams, slot);
        self.errors.remove(&slot.0);
        if self.life.closed().is_some() {
            // What was never sent goes with it.
            if let Some(stream) = self.streams.get_mut(slot) {
                stream.outgoing = None;
            }
            self.streams.release(slot);
        }
        self.streams.forget(slot);
    }

    fn read_end(&self, stream: StreamKey) -> Option<StreamEnd> {
        let slot = self.streams.named(stream)?;
        let unread = self.streams.get(slot).is_some_and(|stream| stream.unread() > 0);
        if unread { None } else { self.read_end_of(slot) }
    }

    fn write_end(&self, stream: StreamKey) -> Option<StreamEnd> {
        self.write_end_of(self.streams.named(stream)?)
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
        if self.unwritable().is_some() {
            return Pinged::Closed;
        }
        self.pings.start(now);
        match self.pings.ask() {
            Some(number) => {
                self.settle(now);
                self.lanes.push_control(Control::Ping(number));
                Pinged::Number(number)
            }
            None => Pinged::Blocked,
        }
    }

    /// The wire cannot tell the peer; its further streams are refused.
    fn go_away(&mut self, _: Instant) {
        self.gone_away = true;
    }

    fn close(&mut self, now: Instant) {
        match self.config.closing {
            Closing::Flush => {
                if self.life.close(now, self.config.limits.close_drain) {
                    self.finish_close();
                }
            }
            Closing::Discard => self.end(CloseReason::Local),
        }
    }

    fn abort(&mut self, _: Instant) {
        self.end(CloseReason::Local);
    }

    fn stats(&self) -> MuxStats {
        MuxStats {
            streams: self.live,
            waiting: self.streams.waiting(),
            queued_in: self.inbox.unread(),
            queued_out: if self.life.closed().is_some() { 0 } else { self.lanes.unsent() },
            memory: self.inbox.budget.used(),
            granted: self.granted,
            round_trip: self.tuner.round_trip.last(),
            ..self.counts
        }
    }

    fn stream_stats(&self, stream: StreamKey) -> Option<StreamStats> {
        let stream = self.streams.get(self.streams.named(stream)?)?;
        Some(StreamStats {
            id: stream.id(),
            ours: stream.is_ours(),
            queued_in: stream.unread(),
            queued_out: stream.unsent(),
            receive_window: Some(stream.state.window.granted().into()),
            send_window: Some(stream.state.credit),
        })
    }
}
