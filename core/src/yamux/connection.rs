//! One connection: what it holds, its clocks and its end.

use alloc::collections::VecDeque;
use bytes::Bytes;
use core::time::Duration;

use super::marks::FrameMarks;
use super::pings::{By, Pings};
use super::receive::{Body, Late};
use super::state::{Over, State};
use super::transmit::Control;
use super::used::UsedIds;
use super::{Config, ConfigError, Farewell, Head, LifeSigns, OpenTimeout, WindowGrowth};
use crate::mux::parts::{
    Events, Guards, Inbox, Input, Kind, Lanes, Life, List, Phase, Slot, Streams, Tuner, WindowRule,
    earliest,
};
use crate::mux::{MuxEvent, MuxStats, Side, StreamKey};
use crate::{CloseReason, Direction, Instant, Machine, Segment, TimeoutKind, Violation};

/// A yamux connection, either side of it: a [`Machine`] and a [`Mux`](crate::mux::Mux).
///
/// `docs/protocols/yamux.md` says what it does; [`Config`] where the original differs.
#[derive(Debug)]
pub struct Connection {
    pub(super) side: Side,
    pub(super) config: Config,
    pub(super) streams: Streams<State>,
    pub(super) input: Input<{ Head::LEN }>,
    /// The data frame whose payload is not complete.
    pub(super) body: Option<Body>,
    pub(super) inbox: Inbox,
    pub(super) marks: FrameMarks,
    pub(super) lanes: Lanes<Control>,
    pub(super) events: Events,
    pub(super) guards: Guards,
    pub(super) life: Life,
    pub(super) tuner: Tuner,
    pub(super) pings: Pings,
    /// Ids that the peer has used.
    pub(super) used: UsedIds,
    /// The next id that this side gives out; `None` when all were.
    pub(super) next_id: Option<u32>,
    /// Own streams whose id is taken.
    pub(super) ours: usize,
    /// Own streams that the peer has not acknowledged.
    pub(super) unacknowledged: usize,
    /// The peer wants no more streams.
    pub(super) gone_away: bool,
    /// This side takes no more streams.
    pub(super) refusing: bool,
    pub(super) late: Late,
    /// Writers that have waited for more than a tiny credit, and until when.
    pub(super) patient: VecDeque<(StreamKey, Instant)>,
    /// What the peer may send at the moment, over all streams.
    pub(super) granted: u64,
    /// The largest window that a stream has had.
    pub(super) largest: u32,
    pub(super) counters: MuxStats,
    /// The code of the go-away that is left to send after the end.
    pub(super) farewell: Option<u32>,
    /// The latest time that was told.
    pub(super) clock: Instant,
    pub(super) last_input: Instant,
    /// Input has ended; what is here is still looked at.
    eof: Option<CloseReason>,
    /// Output has failed: nothing leaves any more.
    pub(super) cut: Option<CloseReason>,
    /// Memory of tables that is charged to the budget.
    charged: usize,
}

impl Connection {
    /// A connection at its start, over a transport that carries nothing yet.
    ///
    /// # Errors
    ///
    /// When the settings make no sense; see [`Config::verify`].
    pub fn new(side: Side, config: Config) -> Result<Self, ConfigError> {
        config.verify()?;
        let first = match side {
            Side::Client => 1,
            Side::Server => 2,
        };
        let next_id = config.first_id.unwrap_or(first);
        if next_id % 2 != first % 2 {
            return Err(ConfigError::FirstId);
        }
        let limits = &config.limits;
        let largest = u32::try_from(limits.window).unwrap_or(u32::MAX).max(config.window);
        let grows = config.growth == WindowGrowth::Tuned;
        let rule = WindowRule { grows, ..WindowRule::new(config.window, largest) };
        Ok(Self {
            side,
            streams: Streams::new(config.hash_seed),
            input: Input::new(),
            body: None,
            inbox: Inbox::new(limits.connection_memory),
            marks: FrameMarks::new(config.frame_marks),
            lanes: Lanes::new(limits.send_queue, limits.replies)
                .with_frames_of(config.frame_size as usize),
            events: Events::default(),
            guards: Guards::new(limits),
            life: Life::new(some_time(config.write_timeout)),
            tuner: Tuner::new(rule, limits.connection_memory / 2),
            pings: Pings::new(config.keep_alive),
            used: UsedIds::new(),
            next_id: Some(next_id),
            ours: 0,
            unacknowledged: 0,
            gone_away: false,
            refusing: false,
            late: Late::default(),
            patient: VecDeque::new(),
            granted: 0,
            largest: config.window,
            counters: MuxStats::default(),
            farewell: None,
            clock: Instant::ORIGIN,
            last_input: Instant::ORIGIN,
            eof: None,
            cut: None,
            charged: 0,
            config,
        })
    }

    /// Notes the time; the first one starts the clocks.
    #[inline]
    pub(super) fn note(&mut self, now: Instant) {
        self.clock = self.clock.max(now);
        if !self.pings.keep_alive.runs() && self.pings.unanswered_since().is_none() {
            self.pings.keep_alive.start(now);
        }
    }

    /// Call it at the end of whatever may have queued something to send.
    #[inline]
    pub(super) fn settle(&mut self, now: Instant) {
        self.life.queued(now, || self.lanes.has_output(&self.streams));
    }

    /// Ends the connection, once, for `reason`. A peer that is to be blamed is told (section 8).
    pub(super) fn end(&mut self, reason: CloseReason) {
        if !self.life.end(reason.clone()) {
            return;
        }
        let code = match &reason {
            CloseReason::Violation(Violation::Flood(_)) => Some(2),
            CloseReason::Violation(_) => Some(1),
            _ => None,
        };
        if self.config.farewell == Farewell::GoAway && self.cut.is_none() {
            self.farewell = code;
        }
        self.input.clear();
        self.body = None;
        self.events.tell_closed(reason);
    }

    /// Ends the connection if input has ended and all of it was looked at.
    pub(super) fn end_of_input(&mut self) {
        if self.input.pending() > 0 {
            return;
        }
        let mid_frame = self.body.is_some() || self.input.is_mid();
        let reason = match (&self.cut, &self.eof) {
            (_, None) => return,
            (Some(cut), _) => cut.clone(),
            (None, Some(CloseReason::Eof { .. })) => CloseReason::Eof { mid_frame },
            (None, Some(failed)) => failed.clone(),
        };
        self.end(reason);
    }

    /// Charges what the tables hold now.
    pub(super) fn charge_tables(&mut self) {
        let now = self.streams.memory() + self.used.memory();
        if now != self.charged {
            self.inbox.budget.release(self.charged);
            self.inbox.budget.charge(now);
            self.charged = now;
        }
    }

    /// When a keep-alive has waited too long for its answer.
    fn keep_alive_deadline(&self) -> Option<Instant> {
        let asked = self.pings.unanswered_since()?;
        let since = match self.config.life_signs {
            LifeSigns::AnyInput => asked.max(self.last_input),
            LifeSigns::Answers => asked,
        };
        some_time(self.config.write_timeout).map(|most| since + most)
    }

    /// When the rest of a frame has taken too long.
    fn stall_deadline(&self) -> Option<Instant> {
        let begun = self.body.is_some() || self.input.is_mid();
        let watched = begun && self.config.keep_alive.is_some();
        some_time(self.config.stall_timeout).filter(|_| watched).map(|most| self.last_input + most)
    }

    /// When the first stream of a list of timers is due.
    fn timer(&self, list: List) -> Option<Instant> {
        let slot = self.streams.front(list)?;
        self.streams.get(slot).map(|stream| stream.state.deadline.at(self.clock))
    }

    fn expired(&mut self, now: Instant, list: List) -> Option<Slot> {
        self.timer(list).filter(|at| *at <= now)?;
        self.streams.pop(list)
    }

    fn handle_stream_timers(&mut self, now: Instant) {
        while let Some(slot) = self.expired(now, List::Opening) {
            match self.config.open_timeout_ends {
                OpenTimeout::Connection => {
                    return self.end(CloseReason::Timeout(TimeoutKind::Open));
                }
                OpenTimeout::Stream => self.reset_stream(now, slot, Over::Timeout),
            }
        }
        while let Some(slot) = self.expired(now, List::Closing) {
            self.reset_stream(now, slot, Over::Timeout);
        }
    }
}

/// A time of zero is none.
pub(super) fn some_time(time: Option<Duration>) -> Option<Duration> {
    time.filter(|time| !time.is_zero())
}

impl Machine for Connection {
    type Input = Bytes;
    type Output = Segment;
    type Event = MuxEvent;

    fn handle_input(&mut self, now: Instant, input: Bytes) {
        self.note(now);
        if self.life.phase() == Phase::Over || self.eof.is_some() {
            return;
        }
        self.last_input = now;
        self.inbox.next_turn(&mut self.streams);
        self.input.push(input);
        self.take_in(now);
        self.settle(now);
    }

    fn handle_eof(&mut self, now: Instant) {
        self.note(now);
        if self.eof.is_none() {
            self.eof = Some(CloseReason::Eof { mid_frame: false });
        }
        self.end_of_input();
    }

    fn handle_failure(&mut self, now: Instant, direction: Direction, os_error: Option<i32>) {
        self.note(now);
        let reason = CloseReason::Transport { os_error };
        match direction {
            Direction::Read => {
                self.eof.get_or_insert(reason);
                self.end_of_input();
            }
            Direction::Write => {
                self.cut.get_or_insert(reason);
                // What the peer sent before it went may still come, but not for ever.
                self.life.cut(now, self.config.limits.close_drain);
                self.take_in(now);
            }
        }
    }

    fn handle_lost(&mut self, now: Instant, reason: CloseReason) {
        self.note(now);
        self.eof.get_or_insert(reason);
        self.end_of_input();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.note(now);
        if self.life.phase() == Phase::Over {
            return;
        }
        if let Some(reason) = self.life.expired(now) {
            return self.end(self.cut.clone().unwrap_or(reason));
        }
        let late = [self.keep_alive_deadline(), self.stall_deadline()];
        if earliest(late).is_some_and(|at| at <= now) {
            return self.end(CloseReason::Timeout(TimeoutKind::KeepAlive));
        }
        if self.pings.keep_alive.fires(now)
            && let Some(value) = self.pings.ask(now, By::KeepAlive)
        {
            self.lanes.push_control(Control::Ping(value));
        }
        self.handle_stream_timers(now);
        self.handle_patience(now);
        self.lanes.handle_timeout(now, &mut self.streams);
        self.settle(now);
    }

    fn wants_input(&self) -> bool {
        self.life.phase() != Phase::Over
            && self.eof.is_none()
            && !self.is_choked()
            && self.input.pending() == 0
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Segment> {
        self.note(now);
        if self.life.phase() == Phase::Over {
            return self.farewell();
        }
        if self.cut.is_some() {
            return None;
        }
        let choked = self.is_choked();
        let segment = self.next_segment(now);
        let more = self.lanes.has_output(&self.streams);
        self.life.transmitted(now, segment.is_some(), more);
        if segment.is_some() {
            self.counters.frames_out += 1;
            if choked {
                self.take_in(now);
            }
        } else if self.life.phase() == Phase::Closing {
            self.end(CloseReason::Local);
        }
        segment
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.life.phase() == Phase::Over {
            return None;
        }
        earliest([
            self.life.poll_timeout(),
            self.keep_alive_deadline(),
            self.stall_deadline(),
            self.pings.keep_alive.poll_timeout(),
            self.timer(List::Opening),
            self.timer(List::Closing),
            self.patient.front().map(|(_, until)| *until),
            self.lanes.poll_timeout(),
        ])
    }

    fn poll_event(&mut self) -> Option<MuxEvent> {
        self.events.poll(&mut self.streams)
    }

    fn closed(&self) -> Option<&CloseReason> {
        self.life.closed()
    }
}

impl Connection {
    /// Starts the open or close timer of a stream, which stands in no list of timers.
    pub(super) fn start_timer(
        &mut self,
        now: Instant,
        slot: Slot,
        list: List,
        time: Option<Duration>,
    ) {
        let Some(time) = some_time(time) else { return };
        if let Some(stream) = self.streams.get_mut(slot) {
            stream.state.deadline = super::state::Tick::after(now, time);
            self.streams.push(list, slot, Kind::Timer);
        }
    }

    /// Whether reading has to stop until replies have left.
    pub(super) const fn is_choked(&self) -> bool {
        self.lanes.is_choked() && self.cut.is_none()
    }
}
