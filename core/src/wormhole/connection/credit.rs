//! Credit that this side grants, and what it holds: `docs/protocols/wormhole.md` section 5.

use super::{Connection, Control};
use crate::mux::parts::{Kind, List, Pressure, Slot, Taken};
use crate::wormhole::stream::OwnEnd;
use crate::wormhole::{Config, Credit, Excess, LateWrites, Violation};
use crate::{CloseReason, Flood, Instant};

/// Ticks of the stall guard in the time that it waits.
const TICKS: u8 = 4;

/// Data came since the last tick.
const HEARD: u8 = u8::MAX;

/// Streams looked at in one call.
const AT_ONCE: usize = 256;

/// A DATA frame from here on is a sign of a transfer that a larger window may help.
const LARGE: usize = 16 << 10;

/// How credit is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counting {
    /// The page's r as a stream begins.
    pub(super) first: u32,
    /// Windows may grow.
    pub(super) grows: bool,
    /// As the original does it.
    original: bool,
}

impl Counting {
    /// The one place that looks at [`Config::credit`].
    pub(super) fn of(config: &Config) -> Self {
        match config.credit {
            Credit::Exact => {
                let largest = u64::try_from(config.limits.window).unwrap_or(u64::MAX);
                Self { first: 0, grows: largest > config.window.into(), original: false }
            }
            Credit::Reference => Self { first: config.window, grows: false, original: true },
        }
    }
}

impl Connection {
    /// DATA of `length` bytes begins: false when there is no room for it, and the stream or the
    /// connection has ended of it. The one place that looks at [`Config::excess`].
    pub(super) fn receive(&mut self, now: Instant, slot: Slot, length: usize) -> bool {
        let Some(stream) = self.streams.get_mut(slot) else { return false };
        let (id, unread, window) = (stream.id(), stream.unread(), &mut stream.state.window);
        stream.state.quiet = HEARD;
        let before = window.granted();
        let len = u32::try_from(length).unwrap_or(u32::MAX);
        let granted = len <= before;
        window.receive_any(now, &mut self.tuner, slot, len);
        self.granted = self.granted.saturating_sub(before.abs_diff(window.granted()).into());
        let total = unread.saturating_add(length);
        let grown = usize::try_from(window.size().saturating_add(self.config.window));
        let limit = self.recv_limit.max(grown.unwrap_or(usize::MAX));
        let room = match self.config.excess {
            Excess::ResetStream => total <= limit,
            Excess::Strict => granted && total <= limit,
            Excess::EndConnection if total > self.recv_limit => {
                let full = Violation::ReadBufferFull { stream: id };
                self.end(CloseReason::Violation(crate::Violation::Wormhole(full)));
                return false;
            }
            Excess::EndConnection => true,
        };
        if !room {
            self.fail(now, slot);
        }
        room
    }

    /// The user read.
    pub(super) fn credit(&mut self, now: Instant, slot: Slot, taken: &Taken) {
        let length = taken.bytes.len();
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let state = &mut stream.state;
        if self.counting.original {
            state.due = state.due.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
            self.unsettled = Some(slot);
            return;
        }
        if !state.is_open() {
            return;
        }
        if state.window.read(now, &mut self.tuner, taken).is_some() {
            self.unsettled = Some(slot);
        } else if taken.unread == 0 && !self.streams.is_linked(slot, Kind::Timer) {
            self.watch(now, slot);
        }
    }

    /// Grants what was read, where that is enough by now. Reads of a stream that follow each other
    /// count as one: so the original counts (section 5.2), and so it does not matter in which pieces
    /// data came.
    pub(super) fn settle(&mut self, now: Instant) {
        let Some(slot) = self.unsettled.take() else { return };
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let id = stream.id();
        let state = &mut stream.state;
        if !self.counting.original {
            if state.is_open() {
                let more = state.window.grant(now, &mut self.tuner, slot);
                state.due = state.due.saturating_add(more);
                self.granted = self.granted.saturating_add(more.into());
                self.streams.push(List::Control, slot, Kind::Control);
            }
        } else if state.due >= self.config.window / 2 {
            let due = core::mem::take(&mut state.due);
            state.window.grant_more(due);
            self.granted = self.granted.saturating_add(due.into());
            self.lanes.push_control(Control::Grant(id, due));
        }
    }

    /// Lets the stall guard look at a stream that has been read to its end.
    fn watch(&mut self, now: Instant, slot: Slot) {
        if self.config.stall_guard.is_zero() {
            return;
        }
        if let Some(stream) = self.streams.get_mut(slot) {
            stream.state.quiet = 0;
        }
        // The next tick may come at once: who joins now is looked at in the one behind it.
        let list = if self.tick.is_some() { self.watched.1 } else { self.watched.0 };
        self.streams.push(list, slot, Kind::Timer);
        self.tick.get_or_insert(now + self.config.stall_guard / u32::from(TICKS));
    }

    /// The stall guard (section 5.4): what was read of a stream that has been silent for long enough
    /// is granted, however little.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.tick.is_none_or(|at| at > now) {
            return;
        }
        for _ in 0..AT_ONCE {
            let Some(slot) = self.streams.pop(self.watched.0) else {
                let (seen, next) = self.watched;
                self.watched = (next, seen);
                let more = !self.streams.is_empty(next);
                self.tick = more.then(|| now + self.config.stall_guard / u32::from(TICKS));
                return;
            };
            self.look_at(slot);
        }
    }

    fn look_at(&mut self, slot: Slot) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let (unread, state) = (stream.unread(), &mut stream.state);
        let free = state.window.owed();
        if unread > 0 || free == 0 || !state.is_open() {
            return;
        }
        state.quiet = if state.quiet == HEARD { 0 } else { state.quiet.saturating_add(1) };
        if state.quiet < TICKS {
            self.streams.push(self.watched.1, slot, Kind::Timer);
            return;
        }
        state.due = state.due.saturating_add(state.window.grant_first());
        self.granted = self.granted.saturating_add(free.into());
        self.streams.push(List::Control, slot, Kind::Control);
    }

    /// Measures the round trip while large frames arrive, so that windows can follow it.
    pub(super) fn measure(&mut self, now: Instant, length: usize) {
        if self.counting.grows
            && length >= LARGE
            && let Some(number) = self.pings.measure(now)
        {
            self.lanes.push_control(Control::Ping(number));
        }
    }

    /// Fails a stream whose peer sent too much: ERROR, and its id is free at once.
    pub(super) fn fail(&mut self, now: Instant, slot: Slot) {
        let Some(id) = self.streams.get(slot).map(|stream| stream.id()) else { return };
        self.lanes.clear(now, &mut self.streams, slot);
        self.let_go(slot, OwnEnd::TooMuch);
        self.sent_close(slot);
        self.lanes.push_reply(Control::TooMuch(id));
        self.streams.tell_readable(slot);
        self.streams.tell_writable(slot);
    }

    /// Memory is short: the longest unread streams are given up, and where there are none the
    /// connection is.
    pub(super) fn relieve(&mut self, now: Instant) {
        while self.pressure() == Pressure::Reset {
            let Some(slot) = self.inbox.longest(&mut self.streams) else {
                let flood = crate::Violation::Flood(Flood::Memory);
                return self.end(CloseReason::Violation(flood));
            };
            if self.streams.get(slot).is_some_and(|stream| stream.state.is_live()) {
                self.fail(now, slot);
            } else if let Some(stream) = self.streams.get_mut(slot) {
                // It was over, but not read: its reader must not take what is left for all.
                stream.state.own = OwnEnd::TooMuch;
            }
            self.inbox.clear(&mut self.streams, slot);
        }
    }

    /// This side is done with a stream: it does not count any more, and what the peer may still send
    /// is dropped.
    pub(super) fn let_go(&mut self, slot: Slot, how: OwnEnd) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let ours = stream.is_ours();
        let state = &mut stream.state;
        let open = state.is_open();
        state.own = how;
        self.live = self.live.saturating_sub(1);
        self.live_peers = self.live_peers.saturating_sub(usize::from(!ours));
        if how != OwnEnd::Finished {
            self.counts.reset = self.counts.reset.saturating_add(1);
        }
        if open {
            self.stop_granting(slot);
        }
    }

    /// The peer has ended a stream. It grants and takes nothing any more.
    pub(super) fn peer_ended(&mut self, now: Instant, slot: Slot) {
        self.stop_granting(slot);
        if self.drops_late_writes() {
            self.lanes.clear(now, &mut self.streams, slot);
            self.streams.tell_writable(slot);
        }
        self.streams.tell_readable(slot);
    }

    /// Either side has ended a stream: what the peer could still send may come late.
    fn stop_granting(&mut self, slot: Slot) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let window = &mut stream.state.window;
        self.late.ended(window.granted().into());
        self.granted = self.granted.saturating_sub(window.granted().into());
        window.end(&mut self.tuner);
        if !self.counting.original {
            stream.state.due = 0;
            self.streams.unlink(slot, Kind::Control);
            self.streams.unlink(slot, Kind::Timer);
        }
    }

    /// Whether what is queued for a stream goes when the peer has ended it (section 4).
    pub(super) fn drops_late_writes(&self) -> bool {
        self.config.late_writes == LateWrites::Fail
    }
}
