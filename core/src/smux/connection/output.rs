//! Frames that leave: `docs/protocols/smux.md` sections 7 and 9.

use super::{Connection, Control};
use crate::mux::parts::{List, Phase, Slot};
use crate::mux::{Reserved, StreamKey};
use crate::smux::config::WindowSize;
use crate::smux::frame::{Command, Head, Update, bare_segment, data_segment, update_segment};
use crate::smux::state::Mark;
use crate::{CloseReason, Instant, Segment};

impl Connection {
    /// The next frame: control first, then every stream with data in turn, a frame each.
    pub(super) fn transmit(&mut self, now: Instant) -> Option<Segment> {
        if self.write_over().is_some() {
            return None;
        }
        let segment = self.next_frame(now);
        match &segment {
            Some(_) => {
                self.stats.frames_out += 1;
                let waits = self.lanes.has_output(&self.streams);
                self.life.transmitted(now, true, waits);
            }
            None => {
                self.life.transmitted(now, false, false);
                self.end_if_drained();
            }
        }
        segment
    }

    fn next_frame(&mut self, now: Instant) -> Option<Segment> {
        if let Some(control) = self.lanes.pop_control() {
            let (command, stream) = match control {
                Control::Nop => {
                    self.clocks.nop_queued = false;
                    (Command::Nop, 0)
                }
                Control::Refuse(id) => (Command::Fin, id),
            };
            // A reply less may let frames in that wait.
            self.resume(now);
            return Some(self.bare(command, stream));
        }
        while let Some(slot) = self.streams.pop(List::Control) {
            if let Some(segment) = self.control_frame(now, slot) {
                return Some(segment);
            }
        }
        while let Some(slot) = self.lanes.next_turn(&mut self.streams) {
            if let Some(segment) = self.data_frame(now, slot) {
                return Some(segment);
            }
        }
        None
    }

    /// SYN, or a window update; both where both are due, one after the other.
    fn control_frame(&mut self, now: Instant, slot: Slot) -> Option<Segment> {
        let version = self.config.version;
        let fixed = u32::try_from(self.config.max_stream_buffer).unwrap_or(u32::MAX);
        let stream = self.streams.get_mut(slot)?;
        let (id, unread) = (stream.id(), stream.unread());
        if stream.state.clear(Mark::SynDue) {
            if stream.state.has(Mark::UpdateDue) {
                self.want_control(slot);
            }
            return Some(self.bare(Command::Syn, id));
        }
        if !stream.state.clear(Mark::UpdateDue) {
            return None;
        }
        let open = stream.state.has(Mark::Open);
        let consumed = stream.state.read;
        let flow = self.flows.get_mut(slot)?;
        let before = flow.window.granted();
        let window = match self.config.window_size {
            WindowSize::Fixed => {
                flow.window.announce(now, &mut self.tuner, slot, unread);
                fixed
            }
            WindowSize::Grown => {
                // What was read since the update became due travels along, and what was granted
                // before stays granted: it is on its way already.
                flow.window.grant(now, &mut self.tuner, slot);
                let unread = u32::try_from(unread).unwrap_or(u32::MAX);
                flow.window.granted().saturating_add(unread).min(0x7fff_ffff)
            }
        };
        let more = flow.window.granted().saturating_sub(before);
        self.stats.granted += if open { u64::from(more) } else { 0 };
        Some(update_segment(version, id, Update { consumed, window }))
    }

    /// The next data frame of a stream, or its FIN.
    fn data_frame(&mut self, now: Instant, slot: Slot) -> Option<Segment> {
        let most = self.config.max_frame_size;
        let payload = self.lanes.take(now, &mut self.streams, slot, most);
        let stream = self.streams.get_mut(slot)?;
        let id = stream.id();
        let more = stream.unsent() > 0;
        if let Some(payload) = payload {
            let fin = stream.state.has(Mark::FinAsked) && !stream.state.has(Mark::FinSent);
            if more || fin {
                self.lanes.make_ready(&mut self.streams, slot);
            }
            self.stats.bytes_out += payload.len() as u64;
            return Some(data_segment(self.data_head(id, payload.len()), payload));
        }
        let first = stream.state.has(Mark::FinAsked) && stream.state.set(Mark::FinSent);
        let again = stream.state.clear(Mark::SecondFin);
        if !first && !again {
            return None;
        }
        if stream.state.is_over() {
            self.leave(slot);
        } else if !stream.is_named() {
            self.fade(slot);
        }
        Some(self.bare(Command::Fin, id))
    }

    /// The head for a frame that a driver writes from a caller's own slice.
    pub(super) fn reserve_frame(
        &mut self,
        now: Instant,
        key: StreamKey,
        len: usize,
    ) -> Option<Reserved> {
        if len == 0 || !self.lanes.is_idle(&self.streams) {
            return None;
        }
        let slot = self.streams.named(key)?;
        let stream = self.streams.get(slot)?;
        if self.end_of_writing(slot, &stream.state).is_some() {
            return None;
        }
        let credit = if self.has_windows() { self.flows.credit(slot)? } else { usize::MAX };
        let len = len.min(self.config.max_frame_size).min(credit);
        if len == 0 {
            return None;
        }
        let stream = self.streams.get_mut(slot)?;
        let id = stream.id();
        if let Some(flow) = self.flows.get_mut(slot) {
            flow.credit.use_up(len);
        }
        self.stats.bytes_out += len as u64;
        self.stats.frames_out += 1;
        self.life.transmitted(now, true, false);
        let head = data_segment(self.data_head(id, len), bytes::Bytes::new());
        Some(Reserved { head, len })
    }

    /// Nothing more leaves, though something may still arrive (`Machine::handle_failure`).
    pub(super) fn output_fails(&mut self, now: Instant, reason: CloseReason) {
        if self.write_over().is_some() {
            return;
        }
        self.mute = Some(reason.clone());
        self.tell_all();
        match (self.life.phase(), &self.last_input) {
            (Phase::Closing, _) => self.end(reason),
            (_, Some(_)) => {
                self.last_input = Some(reason);
                self.take_in(now);
            }
            // Answers that waited hold nothing up any more.
            _ => self.resume(now),
        }
    }

    /// Whether `poll_transmit` has something to give, or something to do.
    pub(super) fn has_output(&self) -> bool {
        self.write_over().is_none()
            && (self.lanes.has_output(&self.streams) || self.life.phase() == Phase::Closing)
    }

    /// An orderly close is over once nothing waits to be sent.
    pub(super) fn end_if_drained(&mut self) {
        if self.life.phase() == Phase::Closing
            && (self.mute.is_some() || !self.lanes.has_output(&self.streams))
        {
            self.end(CloseReason::Local);
        }
    }

    fn bare(&self, command: Command, stream: u32) -> Segment {
        bare_segment(Head { version: self.config.version, command, length: 0, stream })
    }

    fn data_head(&self, stream: u32, len: usize) -> Head {
        let length = u16::try_from(len).unwrap_or(u16::MAX);
        Head { version: self.config.version, command: Command::Psh, length, stream }
    }
}
