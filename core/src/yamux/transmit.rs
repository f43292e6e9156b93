//! What leaves, and in which order: `docs/protocols/yamux.md` sections 3 and 5.

use bytes::Bytes;

use super::connection::Connection;
use super::state::Marks;
use super::{Flags, FrameType, Head, LateUpdates};
use crate::mux::parts::{Kind, List, Slot};
use crate::{Instant, Segment};

/// A frame that is not part of a stream's data.
#[derive(Clone, Copy, Debug)]
pub(super) enum Control {
    /// Asks for a sign of life.
    Ping(u32),
    /// Gives one.
    Pong(u32),
    /// No more streams.
    GoAway(u32),
    /// Ends a stream by force, or refuses it.
    Reset(u32),
}

impl Control {
    const fn head(self) -> Head {
        match self {
            Self::Ping(length) => {
                Head { kind: FrameType::Ping, flags: Flags::SYN, stream: 0, length }
            }
            Self::Pong(length) => {
                Head { kind: FrameType::Ping, flags: Flags::ACK, stream: 0, length }
            }
            Self::GoAway(length) => {
                Head { kind: FrameType::GoAway, flags: Flags::NONE, stream: 0, length }
            }
            Self::Reset(stream) => {
                Head { kind: FrameType::WindowUpdate, flags: Flags::RST, stream, length: 0 }
            }
        }
    }
}

impl Connection {
    /// The next frame: control of the connection, then of streams, then data, each stream in turn.
    pub(super) fn next_segment(&mut self, now: Instant) -> Option<Segment> {
        if let Some(control) = self.lanes.pop_control() {
            if let Control::Ping(value) = control {
                self.pings.left(now, value);
            }
            return segment(control.head(), Bytes::new());
        }
        while let Some(slot) = self.streams.pop(List::Control) {
            if let Some(head) = self.update(slot) {
                return segment(head, Bytes::new());
            }
        }
        while let Some(slot) = self.lanes.next_turn(&mut self.streams) {
            if let Some(frame) = self.turn(now, slot) {
                return Some(frame);
            }
        }
        None
    }

    /// The last frame of a connection that is over, if there is one.
    pub(super) fn farewell(&mut self) -> Option<Segment> {
        let code = self.farewell.take()?;
        self.counters.frames_out += 1;
        segment(Control::GoAway(code).head(), Bytes::new())
    }

    /// A stream's window update, with the flags that are due; `None` when there is nothing to say.
    fn update(&mut self, slot: Slot) -> Option<Head> {
        let omit = self.config.late_updates == LateUpdates::Omit;
        let stream = self.streams.get_mut(slot).filter(|stream| stream.is_bound())?;
        let id = stream.id();
        let state = &mut stream.state;
        let flags = opening_flags(state.take(Marks::SYN_DUE), state.take(Marks::ACK_DUE));
        let mut length = core::mem::take(&mut state.grant);
        if omit && state.has(Marks::FIN_SEEN) {
            length = 0;
        }
        let said = length > 0 || flags != Flags::NONE;
        said.then_some(Head { kind: FrameType::WindowUpdate, flags, stream: id, length })
    }

    /// One frame of a stream whose turn it is.
    fn turn(&mut self, now: Instant, slot: Slot) -> Option<Segment> {
        let stream = self.streams.get_mut(slot)?;
        let (id, unsent) = (stream.id(), stream.unsent());
        let ends = stream.state.has(Marks::FIN_DUE);
        // A data frame has no place for credit, and there may be no data.
        if stream.state.has(Marks::SYN_DUE) && (stream.state.grant > 0 || unsent == 0) {
            if unsent > 0 || ends {
                self.lanes.make_ready(&mut self.streams, slot);
            }
            self.streams.unlink(slot, Kind::Control);
            return self.update(slot).and_then(|head| segment(head, Bytes::new()));
        }
        let flags = opening_flags(
            stream.state.take(Marks::SYN_DUE),
            unsent + usize::from(ends) > 0 && stream.state.take(Marks::ACK_DUE),
        );
        let most = self.config.frame_size as usize;
        if let Some(payload) = self.lanes.take(now, &mut self.streams, slot, most) {
            if payload.len() < unsent || ends {
                self.lanes.make_ready(&mut self.streams, slot);
            }
            self.counters.bytes_out += payload.len() as u64;
            let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            return segment(Head { kind: FrameType::Data, flags, stream: id, length }, payload);
        }
        if !ends {
            return None;
        }
        self.fin_left(now, slot);
        // Never on the last data frame: the original's reader may see the end before the data (9).
        let flags = flags | Flags::FIN;
        let head = Head { kind: FrameType::WindowUpdate, flags, stream: id, length: 0 };
        segment(head, Bytes::new())
    }

    /// The stream's end has left.
    fn fin_left(&mut self, now: Instant, slot: Slot) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        stream.state.take(Marks::FIN_DUE);
        stream.state.set(Marks::FIN_SENT);
        if stream.state.has(Marks::FIN_SEEN) {
            self.release(slot);
        } else {
            let time = self.config.close_timeout;
            self.start_timer(now, slot, List::Closing, time);
        }
    }
}

/// The flags of a stream's first frame in a direction.
fn opening_flags(syn: bool, ack: bool) -> Flags {
    let syn = if syn { Flags::SYN } else { Flags::NONE };
    let ack = if ack { Flags::ACK } else { Flags::NONE };
    syn | ack
}

fn segment(head: Head, payload: Bytes) -> Option<Segment> {
    let mut segment = Segment::whole(payload);
    segment.frame(|_, to, _| {
        for (to, from) in to.iter_mut().zip(head.to_bytes()) {
            *to = from;
        }
        (Head::LEN as u8, 0)
    });
    Some(segment)
}
