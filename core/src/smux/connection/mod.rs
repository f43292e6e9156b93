//! The machine: both sides of a connection, in either version.

mod input;
mod keep_alive;
mod output;
mod streams;
mod user;

use bytes::{Bytes, BytesMut};

use super::config::{Config, ConfigError, WindowSize};
use super::frame::Version;
use super::state::{Flows, INITIAL_WINDOW, State};
use crate::mux::parts::{
    Events, Guards, Inbox, Input, Lanes, Life, Slot, Streams, Tuner, Window, WindowRule, earliest,
};
use crate::mux::{
    Abilities, Finished, LocalEnd, Mux, MuxEvent, MuxStats, Opened, Pinged, Received, Reserved,
    Sent, Side, StreamEnd, StreamKey, StreamStats,
};
use crate::{CloseReason, Direction, Instant, Machine, Segment};

/// One smux connection, either side of it, over any byte transport.
///
/// Nothing is sent at its start and nothing at its end: the wire has no farewell. What a user can do
/// stands in [`Mux`]; [`Abilities`] says what this wire cannot: there is no reset (it looks like an
/// orderly end to the peer), no ping and no go-away, and version 1 has no windows, so that one
/// unread stream stops all others (section 6, [`FullBuffer`](super::FullBuffer)).
#[derive(Debug)]
pub struct Connection {
    config: Config,
    side: Side,
    /// The counter of section 4; `None` once the ids are used up.
    last_id: Option<u32>,
    streams: Streams<State>,
    inbox: Inbox,
    lanes: Lanes<Control>,
    events: Events,
    guards: Guards,
    life: Life,
    input: Input<8>,
    tuner: Tuner,
    flows: Flows,
    /// The frame whose payload is being read.
    frame: Option<Current>,
    /// No input follows what is here: the reason for which the connection then ends.
    last_input: Option<CloseReason>,
    /// Nothing more leaves: the transport cannot be written to.
    mute: Option<CloseReason>,
    /// Nothing more is read, and the connection goes on (`AfterViolation::Linger`).
    lingers: Option<CloseReason>,
    clocks: keep_alive::Clocks,
    /// The user wants no more streams of the peer.
    gone_away: bool,
    /// Frames for streams that are gone which honest peers send: each ended stream allows some.
    grace: u32,
    /// Streams that the peer has in the table.
    peers: usize,
    /// Streams that are finished on this side and forgotten, and whose peer has not finished.
    fading: usize,
    stats: MuxStats,
}

/// A control frame that belongs to no stream in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    /// A sign of life.
    Nop,
    /// A stream of this id is refused.
    Refuse(u32),
}

/// A frame whose head was read, and whose payload was not, or not all of it.
#[derive(Debug)]
enum Current {
    /// Payload for a stream, of which so much is missing.
    Data { slot: Slot, left: usize },
    /// The same, collected until it is whole (`Delivery::Frames`).
    Collected { slot: Slot, left: usize, bytes: BytesMut },
    /// A window update for this id.
    Update { id: u32 },
}

impl Connection {
    /// A connection at its beginning.
    ///
    /// # Errors
    ///
    /// What [`Config::check`] finds.
    pub fn new(side: Side, config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let limits = &config.limits;
        let base = match side {
            Side::Client => 1,
            Side::Server => 0,
        };
        Ok(Self {
            side,
            last_id: Some(config.id_base.unwrap_or(base)),
            streams: Streams::new(config.hash_seed),
            inbox: Inbox::new(limits.connection_memory),
            lanes: Lanes::new(limits.send_queue, limits.replies)
                .with_frames_of(config.max_frame_size),
            events: Events::default(),
            guards: Guards::new(limits),
            life: Life::new(config.write_timeout),
            input: Input::new(),
            tuner: Tuner::new(window_rule(&config), limits.connection_memory / 2),
            flows: Flows::new(window_rule(&config).initial),
            frame: None,
            last_input: None,
            mute: None,
            lingers: None,
            clocks: keep_alive::Clocks::new(&config),
            gone_away: false,
            grace: 0,
            peers: 0,
            fading: 0,
            stats: MuxStats::default(),
            config,
        })
    }

    /// Why nothing more comes from the peer, once that is so: what [`closed`](Machine::closed) says,
    /// or with [`AfterViolation::Linger`](super::AfterViolation) the rule that the peer broke while
    /// streams can still be written to.
    #[must_use]
    pub fn input_end(&self) -> Option<&CloseReason> {
        self.read_over()
    }

    /// Whether windows are spoken of at all.
    fn has_windows(&self) -> bool {
        self.config.version == Version::Two
    }

    /// Ends the connection, once; what waits to be sent is dropped, what waits to be read stays.
    fn end(&mut self, reason: CloseReason) {
        if self.life.end(reason.clone()) {
            self.input.clear();
            self.frame = None;
            self.clocks.stop();
            self.events.tell_closed(reason);
        }
    }

    /// Why nothing more comes from the peer, if so: the end of the connection, or of its input.
    fn read_over(&self) -> Option<&CloseReason> {
        self.life.closed().or(self.lingers.as_ref())
    }

    /// Why nothing more can be sent, if so.
    fn write_over(&self) -> Option<&CloseReason> {
        self.life.closed().or(self.mute.as_ref())
    }

    /// Charges what the table takes to the budget, when it may have changed.
    fn charge_table(&mut self) {
        let tables = self.streams.memory() + self.flows.memory() + self.lanes.memory();
        self.inbox.set_bookkeeping(tables);
    }
}

/// How the windows of section 7 begin and grow; below 2^31, where they would count as negative.
fn window_rule(config: &Config) -> WindowRule {
    let stream = u32::try_from(config.max_stream_buffer).unwrap_or(INITIAL_WINDOW);
    let largest = u32::try_from(config.limits.window).unwrap_or(u32::MAX).min(Window::LARGEST);
    match config.window_size {
        WindowSize::Grown => WindowRule::new(stream.max(INITIAL_WINDOW), largest).without_pings(),
        WindowSize::Fixed => WindowRule::new(stream, stream).without_pings().fixed(),
    }
}

impl Machine for Connection {
    type Input = Bytes;
    type Output = Segment;
    type Event = MuxEvent;

    fn handle_input(&mut self, now: Instant, input: Bytes) {
        self.clocks.start(now);
        if self.read_over().is_some() || self.last_input.is_some() {
            return;
        }
        self.begin_turn();
        self.input.push(input);
        self.take_in(now);
    }

    fn handle_eof(&mut self, now: Instant) {
        self.input_ends(now, None);
    }

    fn handle_failure(&mut self, now: Instant, direction: Direction, os_error: Option<i32>) {
        let reason = CloseReason::Transport { os_error };
        match direction {
            Direction::Read => self.input_ends(now, Some(reason)),
            Direction::Write => self.output_fails(now, reason),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.clocks.start(now);
        self.lanes.handle_timeout(now, &mut self.streams);
        if let Some(reason) = self.life.expired(now) {
            return self.end(reason);
        }
        self.handle_clocks(now);
    }

    fn wants_input(&self) -> bool {
        self.life.closed().is_none()
            && self.lingers.is_none()
            && self.last_input.is_none()
            && self.may_take_in()
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Segment> {
        self.clocks.start(now);
        self.transmit(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.life.closed().is_some() {
            return None;
        }
        let clocks = self.clocks.poll_timeout();
        earliest([self.lanes.poll_timeout(), self.life.poll_timeout(), clocks])
    }

    fn poll_event(&mut self) -> Option<MuxEvent> {
        self.events.poll(&mut self.streams)
    }

    fn closed(&self) -> Option<&CloseReason> {
        self.life.closed()
    }
}

impl Mux for Connection {
    fn abilities(&self) -> Abilities {
        Abilities {
            name: "smux",
            half_close: true,
            reset: false,
            ping: false,
            go_away: false,
            windows: self.has_windows(),
        }
    }

    fn side(&self) -> Side {
        self.side
    }

    fn seed(&mut self, seed: u64) {
        self.streams.seed(seed);
    }

    fn wants_output(&self) -> bool {
        self.has_output()
    }

    fn open(&mut self, now: Instant) -> Opened {
        self.clocks.start(now);
        self.open_stream(now)
    }

    fn accept(&mut self, now: Instant) -> Option<StreamKey> {
        self.accept_stream(now)
    }

    fn read(&mut self, now: Instant, stream: StreamKey, max: usize) -> Received {
        self.read_stream(now, stream, max)
    }

    fn drain(&mut self, _stream: StreamKey, _max: usize) -> Option<Bytes> {
        // The peer cannot end a stream by force on this wire, and reads behind the end of a
        // connection bring what is there: nothing is ever left behind.
        None
    }

    fn write(&mut self, now: Instant, stream: StreamKey, data: &mut Bytes) -> Sent {
        self.write_stream(now, stream, data)
    }

    fn reserve(&mut self, now: Instant, stream: StreamKey, len: usize) -> Option<Reserved> {
        self.reserve_frame(now, stream, len)
    }

    fn finish(&mut self, now: Instant, stream: StreamKey) -> Finished {
        self.finish_stream(now, stream)
    }

    fn reset(&mut self, now: Instant, stream: StreamKey) {
        self.reset_stream(now, stream);
    }

    fn forget(&mut self, now: Instant, stream: StreamKey) {
        self.forget_stream(now, stream);
    }

    fn read_end(&self, stream: StreamKey) -> Option<StreamEnd> {
        let stream = self.streams.get(self.streams.named(stream)?)?;
        if stream.unread() > 0 { None } else { self.end_of_reading(&stream.state) }
    }

    fn write_end(&self, stream: StreamKey) -> Option<StreamEnd> {
        let slot = self.streams.named(stream)?;
        self.end_of_writing(slot, &self.streams.get(slot)?.state)
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

    fn ping(&mut self, _now: Instant) -> Pinged {
        if self.life.closed().is_some() { Pinged::Closed } else { Pinged::Unsupported }
    }

    fn go_away(&mut self, _now: Instant) {
        self.gone_away = true;
    }

    fn close(&mut self, now: Instant) {
        self.clocks.start(now);
        if self.life.close(now, self.config.limits.close_drain) {
            self.end_if_drained();
        }
    }

    fn abort(&mut self, _now: Instant) {
        self.end(CloseReason::Local);
    }

    fn stats(&self) -> MuxStats {
        self.counters()
    }

    fn stream_stats(&self, stream: StreamKey) -> Option<StreamStats> {
        self.stream_counters(self.streams.named(stream)?)
    }
}
