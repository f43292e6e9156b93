//! The machine: `docs/protocols/wormhole.md`, all of it but the pool.

mod commands;
mod credit;
mod output;
mod receive;

use alloc::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::early::Early;
use super::ids::Ids;
use super::late::Late;
use super::pings::{Due, Pings};
use super::stream::State;
use super::{Config, ConfigError, DATA_CHUNK, EarlyFrames, HEAD_SIZE, RemoteError};
use crate::mux::parts::{
    Events, Guards, Inbox, Input, Lanes, Life, List, Phase, Pressure, Slot, Streams, Tuner,
    WindowRule, earliest,
};
use crate::mux::{MuxEvent, MuxStats, Side};
use crate::{CloseReason, Direction, Flood, Instant, Machine, Segment, TimeoutKind};
use credit::Counting;
use receive::Body;

/// Frames that are not in a stream's turn.
#[derive(Clone, Copy, Debug)]
enum Control {
    /// HANDSHAKE.
    Open(u32),
    /// WINDOW_UPDATE, only where each is counted as the original does.
    Grant(u32, u32),
    Ping(u32),
    Pong(u32),
    /// ERROR: a stream is refused.
    Refused(u32),
    /// ERROR: a stream brought more than is held.
    TooMuch(u32),
}

/// One end of a wormhole connection: a [`Machine`] and a [`Mux`](crate::mux::Mux).
///
/// Both ends start with their own [`Config`], and nothing is negotiated. Timers start with the first
/// call that has a time. Streams cannot be half closed: [`finish`](crate::mux::Mux::finish) ends both
/// directions. Dropping a connection tells the peer nothing; it sees what the transport does.
///
/// # Example
///
/// ```
/// use bytes::Bytes;
/// use trunkline_core::mux::{Mux, Opened, Received, Side};
/// use trunkline_core::wormhole::{Config, Connection};
/// use trunkline_core::{Instant, Machine};
///
/// let now = Instant::ORIGIN;
/// let mut client = Connection::new(Side::Client, Config::default()).unwrap();
/// let mut server = Connection::new(Side::Server, Config::default()).unwrap();
/// let Opened::Stream(stream) = client.open(now) else { panic!() };
/// client.write(now, stream, &mut Bytes::from_static(b"hello"));
/// while let Some(segment) = client.poll_transmit(now) {
///     server.handle_input(now, segment.into_bytes()); // a transport, in earnest
/// }
/// let stream = server.accept(now).unwrap();
/// assert_eq!(server.read(now, stream, 64), Received::Data(Bytes::from_static(b"hello")));
/// ```
#[derive(Debug)]
pub struct Connection {
    side: Side,
    config: Config,
    streams: Streams<State>,
    inbox: Inbox,
    lanes: Lanes<Control>,
    events: Events,
    tuner: Tuner,
    input: Input<HEAD_SIZE>,
    body: Body,
    guards: Guards,
    life: Life,
    ids: Ids,
    early: Early,
    late: Late,
    pings: Pings,
    counting: Counting,
    /// The stream that was read last, where that may call for a grant.
    unsettled: Option<Slot>,
    /// The most unread bytes of a stream, as configured.
    recv_limit: usize,
    /// The stall guard's next tick, the streams that it looks at in this one, and those of the next.
    tick: Option<Instant>,
    watched: (List, List),
    /// What peers may still send, over all streams.
    granted: u64,
    /// What streams said with ERROR, by slot.
    errors: BTreeMap<u32, RemoteError>,
    /// Turns in the order of the writes, only in [`FrameOrder::Written`](super::FrameOrder).
    written: VecDeque<Slot>,
    /// Streams that this side holds: all, and those of the peer.
    live: usize,
    live_peers: usize,
    /// Memory of the stream table that the budget knows of.
    table: usize,
    /// An `accept` waits.
    accepting: bool,
    /// Further streams of the peer are refused.
    gone_away: bool,
    /// Nothing more arrives.
    eof: bool,
    /// Nothing more leaves: the reason, and how long what the peer sent may still arrive.
    mute: Option<(CloseReason, Instant)>,
    counts: MuxStats,
}

impl Connection {
    /// A connection that has sent and received nothing.
    ///
    /// # Errors
    ///
    /// When no connection could live with `config` (section 5.4).
    pub fn new(side: Side, config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let largest = u32::try_from(config.limits.window).unwrap_or(u32::MAX);
        let counting = Counting::of(&config);
        let rule = WindowRule { grows: counting.grows, ..WindowRule::new(config.window, largest) };
        let hold = (config.early_frames == EarlyFrames::Hold).then_some(config.early_hold);
        let limits = &config.limits;
        Ok(Self {
            side,
            streams: Streams::new(config.hash_seed),
            inbox: Inbox::new(limits.connection_memory),
            lanes: Lanes::new(limits.send_queue, limits.replies).with_frames_of(DATA_CHUNK),
            events: Events::default(),
            tuner: Tuner::new(rule, limits.connection_memory / 2),
            input: Input::new(),
            body: Body::None,
            guards: Guards::new(limits),
            life: Life::new(None),
            ids: Ids::new(side, &config),
            early: Early::new(hold),
            late: Late::default(),
            pings: Pings::new(&config),
            counting,
            unsettled: None,
            recv_limit: config.effective_recv_limit(),
            tick: None,
            watched: (List::Opening, List::Closing),
            granted: 0,
            errors: BTreeMap::new(),
            written: VecDeque::new(),
            live: 0,
            live_peers: 0,
            table: 0,
            accepting: false,
            gone_away: false,
            eof: false,
            mute: None,
            counts: MuxStats::default(),
            config,
        })
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Ends the connection, once: nothing more is sent, and whoever waits is told.
    fn end(&mut self, reason: CloseReason) {
        if !self.life.end(reason.clone()) {
            return;
        }
        while self.lanes.pop_control().is_some() {}
        self.written.clear();
        self.input.clear();
        self.body = Body::None;
        self.early = Early::new(None);
        self.tick = None;
        self.unsettled = None;
        self.events.tell_closed(reason);
    }

    /// Counts a frame without effect; too many of them end the connection.
    fn useless(&mut self, now: Instant) {
        self.counts.useless = self.counts.useless.saturating_add(1);
        self.meter(now, Flood::Useless);
    }

    fn meter(&mut self, now: Instant, flood: Flood) {
        if let Err(reason) = self.guards.count(now, flood) {
            self.end(reason);
        }
    }

    /// Tells the budget what the stream table takes.
    fn charge_table(&mut self) {
        let table = self.streams.memory();
        let before = core::mem::replace(&mut self.table, table);
        self.inbox.budget.release(before);
        self.inbox.budget.charge(table);
    }

    fn pressure(&self) -> Pressure {
        Pressure::of(&self.inbox.budget, &self.config.limits)
    }

    /// An orderly close is done once nothing waits any more.
    fn finish_close(&mut self) {
        let closing = matches!(self.life.phase(), Phase::Closing);
        if closing && !self.lanes.has_output(&self.streams) {
            self.end(CloseReason::Local);
        }
    }
}

impl Machine for Connection {
    type Input = Bytes;
    type Output = Segment;
    type Event = MuxEvent;

    fn handle_input(&mut self, now: Instant, input: Bytes) {
        if self.life.closed().is_some() || self.eof {
            return;
        }
        self.settle(now);
        self.pings.start(now);
        self.inbox.next_turn(&mut self.streams);
        self.input.push(input);
        self.process(now);
    }

    fn handle_eof(&mut self, now: Instant) {
        if self.life.closed().is_none() {
            self.eof = true;
            self.process(now);
        }
    }

    /// A failed read ends the connection. After a failed write what the peer sent is still taken
    /// in, for [`Limits::close_drain`](crate::Limits) at most.
    fn handle_failure(&mut self, now: Instant, direction: Direction, os_error: Option<i32>) {
        let reason = CloseReason::Transport { os_error };
        match (direction, &self.mute) {
            (Direction::Write, None) if !self.eof && self.life.closed().is_none() => {
                self.mute = Some((reason, now + self.config.limits.close_drain));
            }
            (Direction::Write, Some(_)) => {}
            (_, Some((reason, _))) => self.end(reason.clone()),
            (_, None) => self.end(reason),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.life.closed().is_some() {
            return;
        }
        if let Some((reason, until)) = &self.mute
            && *until <= now
        {
            return self.end(reason.clone());
        }
        if let Some(reason) = self.life.expired(now) {
            return self.end(reason);
        }
        match self.pings.handle_timeout(now) {
            Due::Nothing => {}
            Due::Ask(number) => self.lanes.push_control(Control::Ping(number)),
            Due::Dead => return self.end(CloseReason::Timeout(TimeoutKind::KeepAlive)),
        }
        for _ in 0..self.early.expire(now) {
            self.useless(now);
        }
        self.lanes.handle_timeout(now, &mut self.streams);
        self.tick(now);
    }

    fn wants_input(&self) -> bool {
        self.life.closed().is_none() && !self.lanes.is_choked() && self.input.pending() == 0
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Segment> {
        if self.life.closed().is_some() || self.mute.is_some() {
            return None;
        }
        self.settle(now);
        self.pings.start(now);
        let choked = self.lanes.is_choked();
        let segment = self.next_segment(now);
        if segment.is_none() {
            self.finish_close();
        } else {
            self.counts.frames_out = self.counts.frames_out.saturating_add(1);
        }
        if choked && !self.lanes.is_choked() && (self.eof || self.input.pending() > 0) {
            self.process(now);
        }
        segment
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.life.closed().is_some() {
            return None;
        }
        earliest([
            self.life.poll_timeout(),
            self.pings.poll_timeout(),
            self.early.poll_timeout(),
            self.lanes.poll_timeout(),
            self.tick,
            self.mute.as_ref().map(|(_, until)| *until),
        ])
    }

    fn poll_event(&mut self) -> Option<MuxEvent> {
        self.events.poll(&mut self.streams)
    }

    fn closed(&self) -> Option<&CloseReason> {
        self.life.closed()
    }
}
