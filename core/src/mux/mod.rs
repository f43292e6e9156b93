//! What the multiplexers share: one small trait, [`Mux`], and the values it speaks in.
//!
//! A multiplexer carries many [streams](StreamKey) over one byte transport. Three wires do so:
//! `wormhole`, `yamux` and `smux`; each is a `Connection` of its own, because most of what they do
//! differs, and all of them are a [`Mux`], because what a user wants of them does not.
//!
//! # How streams are named
//!
//! A [`StreamKey`] is a slot and a generation. Ids of the wire come back after a stream is gone; a
//! key never does, so a handle that outlives its stream reads its own end and nobody else's bytes.
//! A key is good from [`Opened::Stream`] or [`Mux::accept`] until [`Mux::forget`].
//!
//! # Who waits, and what for
//!
//! Commands never wait. Where one answers `Blocked`, an event says once when to try again:
//!
//! | command | answer | event |
//! |---|---|---|
//! | [`accept`](Mux::accept) | `None` | [`MuxEvent::Acceptable`] |
//! | [`open`](Mux::open) | [`Opened::Blocked`] | [`MuxEvent::Openable`] |
//! | [`read`](Mux::read) | [`Received::Blocked`] | [`MuxEvent::Readable`] |
//! | [`write`](Mux::write) | [`Sent::Blocked`] | [`MuxEvent::Writable`] |
//! | [`watch`](Mux::watch) | `None` | [`MuxEvent::Writable`] |
//!
//! An event is told again only after the command has answered `Blocked` again, so at most two wait
//! per stream, whatever the peer does. Room in the connection's queue is granted in the order in
//! which writes were blocked.
//!
//! # Ends, and the bytes before them
//!
//! What arrived before an end can be had, unless this side threw it away; an end says whether it
//! was all. The same on every wire:
//!
//! | the end | reading gives | writing gives |
//! |---|---|---|
//! | the peer's `finish` | what came, then [`StreamEnd::Finished`] | goes on; or [`StreamEnd::Reset`] |
//! | the peer's reset | [`StreamEnd::Reset`] at once; [`drain`](Mux::drain) has what came | `Reset` |
//! | the peer's error (wormhole) | what came before it, then [`StreamEnd::Remote`] | `Remote` |
//! | own [`finish`](Mux::finish) | goes on; or what came, then [`LocalEnd::Asked`] | `Finished` |
//! | own [`reset`](Mux::reset) | [`LocalEnd::Asked`]; what came is gone | `Asked` |
//! | a limit, or a rule of the stream | [`StreamEnd::Local`]; what came may be gone | `Local` |
//! | the connection is over | what came, then [`StreamEnd::Connection`] | `Connection` |
//!
//! The second of two answers is that of a wire without [half-closes](Abilities::half_close): its end
//! ends both directions, and who writes behind the peer's is read by nobody. An end that came first
//! stays: behind the peer's `finish` reading gives `Finished` whatever ends later, but for a reset.
//! For writing `Finished` is this side's own end and nothing else.
//!
//! Streams that the peer opened before the connection ended can be [accepted](Mux::accept) behind
//! its end, and read as all others; but not once this side has closed it, and not on wormhole, where
//! the answer behind the end is the end. What nobody has read counts against the budget also then,
//! and is freed with the key or the machine.

mod events;
mod guards;
mod ids;
mod inbox;
mod input;
mod lanes;
mod life;
mod lists;
pub(crate) mod parts;
mod receivequeue;
mod roundtrip;
mod sendqueue;
mod spares;
mod streams;
#[cfg(test)]
mod tests;
mod tuner;
mod window;

use core::time::Duration;

use bytes::Bytes;

use crate::{CloseReason, Instant, Machine, Segment};

/// Which end of a connection a machine is; it decides the ids that the end gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end that dialled.
    Client,
    /// The end that was dialled.
    Server,
}

/// Names one stream of one connection, for ever.
///
/// Meaningless to any other connection: there it names nothing, or another stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl StreamKey {
    /// The stream's slot: small, dense, and given again once the stream is forgotten. For tables
    /// beside the machine; compare the whole key to know that a slot is still the same stream's.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.slot
    }
}

/// What a wire can do beyond opening, reading, writing and closing streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abilities {
    /// The wire's name, as `--wire` takes it.
    pub name: &'static str,
    /// One direction of a stream can end while the other goes on. Where it cannot,
    /// [`finish`](Mux::finish) ends both.
    pub half_close: bool,
    /// A stream can be ended by force so that the peer can tell it from an orderly end. Where it
    /// cannot, [`reset`](Mux::reset) looks to the peer like an orderly end.
    pub reset: bool,
    /// A round trip can be measured on demand.
    pub ping: bool,
    /// The peer can be told to open no more streams.
    pub go_away: bool,
    /// Each stream has a window of its own, so that an unread one delays nobody.
    pub windows: bool,
}

/// A multiplexer: many streams over one byte transport.
///
/// Every method takes a bounded time that does not grow with the number of streams. Misuse (a key
/// that names nothing, a write behind `finish`) is an answer, never a panic.
pub trait Mux: Machine<Input = Bytes, Output = Segment, Event = MuxEvent> {
    /// What this wire can do, as configured.
    fn abilities(&self) -> Abilities;

    /// Which end this is.
    fn side(&self) -> Side;

    /// Gives the machine its randomness, before the first byte and the first stream: peers choose
    /// ids, and must not be able to choose such as collide in a table. A `hash_seed` other than 0 in
    /// the wire's `Config` is kept, and a call that comes too late changes nothing. The bindings
    /// call it with a random number of their own for each connection.
    fn seed(&mut self, seed: u64);

    /// Whether [`poll_transmit`](Machine::poll_transmit) has something to give now. A driver asks
    /// after a command, to know whether anybody must look; a yes that is wrong costs a look, a no
    /// that is wrong leaves a frame behind.
    fn wants_output(&self) -> bool {
        true
    }

    /// Opens a stream; it can be written to at once. Nothing leaves before the next
    /// [`poll_transmit`](Machine::poll_transmit), so data written until then may travel along.
    fn open(&mut self, now: Instant) -> Opened;

    /// The next stream that the peer opened, in order of arrival; `None` when there is none. Those
    /// that waited when the connection ended are given behind its end, and then none for ever; behind
    /// [`close`](Self::close) and [`abort`](Self::abort), and on wormhole behind any end, there is
    /// none.
    fn accept(&mut self, now: Instant) -> Option<StreamKey>;

    /// Takes up to `max` received bytes of a stream without copying them (at least one where there
    /// are any and `max` is not 0); never joins two pieces. What is taken is credited to the peer.
    fn read(&mut self, now: Instant, stream: StreamKey, max: usize) -> Received;

    /// Takes bytes that a stream which has ended badly still held when it ended. A reset is reported
    /// by [`read`](Self::read) at once; whoever wants what came before it asks here.
    fn drain(&mut self, stream: StreamKey, max: usize) -> Option<Bytes>;

    /// Bytes of the data frame at the head of what is unread that are still to be read, counted from
    /// the read position, whether they have arrived or not. `None` where nothing is unread, and where
    /// the wire does not keep the boundaries of its frames (yamux does, by
    /// [`Config::frame_marks`](crate::yamux::Config::frame_marks); then [`read`](Self::read) never
    /// goes beyond one).
    fn frame_left(&self, stream: StreamKey) -> Option<usize> {
        let _ = stream;
        None
    }

    /// Queues the front of `data` without copying it, as much as credit and queue allow, and takes
    /// that much off `data`. What is queued will be sent: it is within the peer's window. Bytes of
    /// two calls never share a frame. An empty `data` is `Accepted(0)` on a stream that can be
    /// written to, and sends nothing.
    fn write(&mut self, now: Instant, stream: StreamKey, data: &mut Bytes) -> Sent;

    /// For a driver that can write a caller's slice through at once: the head of a frame that holds
    /// the next `len` bytes of the stream, or fewer. The caller must send the head and that many
    /// bytes next, before anything that `poll_transmit` gives later.
    ///
    /// `None` whenever anything waits to be sent before it, or nothing can be sent now: then use
    /// [`write`](Self::write).
    fn reserve(&mut self, now: Instant, stream: StreamKey, len: usize) -> Option<Reserved>;

    /// Ends this side's direction behind everything written. On a wire without
    /// [`half_close`](Abilities::half_close) it ends the whole stream: what came can still be read,
    /// and what comes after it is dropped. A second call does nothing.
    fn finish(&mut self, now: Instant, stream: StreamKey) -> Finished;

    /// Ends both directions at once; what was queued and not sent, and received and not read, is
    /// gone. Harmless where the stream is over.
    fn reset(&mut self, now: Instant, stream: StreamKey);

    /// Lets go of a key: nobody will read or write it any more. A stream that is not over is
    /// finished behind what was written when nothing was lost by it (all that the peer sent was read
    /// to its end), and reset otherwise, where the wire can. One whose direction was finished before,
    /// and of which nothing is unread, waits for the peer's end where ends of directions differ; data
    /// that comes for it instead resets it. The key names nothing from now on.
    fn forget(&mut self, now: Instant, stream: StreamKey);

    /// Whether and why a stream is over for reading; `None` while bytes may come or wait.
    fn read_end(&self, stream: StreamKey) -> Option<StreamEnd>;

    /// Whether and why a stream is over for writing; `None` while it can be written to.
    fn write_end(&self, stream: StreamKey) -> Option<StreamEnd>;

    /// As [`write_end`](Self::write_end), for who waits for it: where that is `None`,
    /// [`MuxEvent::Writable`] follows once it is not, or before, or when the connection is over; then
    /// ask again. A key that names nothing is over, by [`LocalEnd::Asked`].
    fn watch(&mut self, stream: StreamKey) -> Option<StreamEnd>;

    /// Asks the peer for a sign of life; the answer is a [`MuxEvent::Pong`] with the same number.
    fn ping(&mut self, now: Instant) -> Pinged;

    /// Tells the peer to open no more streams, where the wire can; those that live go on, and
    /// further ones of the peer are refused on every wire.
    fn go_away(&mut self, now: Instant);

    /// Ends the connection in order: no stream is opened or accepted any more, what is queued is
    /// sent, then it is over. After [`Limits::close_drain`](crate::Limits) it is over all the same.
    fn close(&mut self, now: Instant);

    /// Ends the connection at once; what is queued is dropped.
    fn abort(&mut self, now: Instant);

    /// The connection's counters, at any time, also after its end.
    fn stats(&self) -> MuxStats;

    /// One stream's counters; `None` once it is forgotten.
    fn stream_stats(&self, stream: StreamKey) -> Option<StreamStats>;
}

/// What became of [`Mux::open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is open.
    Stream(StreamKey),
    /// As many own opens wait for the peer as may; [`MuxEvent::Openable`] follows.
    Blocked,
    /// No stream can be opened on this connection any more (or, for `Budget`, now).
    Refused(OpenRefusal),
}

/// Why no stream can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenRefusal {
    /// The connection is over, or closing.
    Closed,
    /// The peer wants no more streams.
    GoneAway,
    /// All ids of this side are used up.
    IdsExhausted,
    /// The connection's budget has no room for one more; ended streams make room.
    Budget,
}

/// What [`Mux::read`] brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Bytes, a part of what the transport brought.
    Data(Bytes),
    /// None are there; [`MuxEvent::Readable`] follows.
    Blocked,
    /// None will come. Only [`StreamEnd::Finished`] means that all came.
    End(StreamEnd),
    /// The key names nothing.
    Unknown,
}

/// What became of [`Mux::write`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// So many bytes were queued.
    Accepted(usize),
    /// No window or no room; [`MuxEvent::Writable`] follows.
    Blocked,
    /// Nothing can be sent any more.
    End(StreamEnd),
    /// The key names nothing.
    Unknown,
}

/// A frame of which the caller sends the payload itself; see [`Mux::reserve`].
#[derive(Debug)]
#[must_use = "the frame is counted as sent"]
pub struct Reserved {
    /// The frame's head.
    pub head: Segment,
    /// How many bytes of the caller belong behind it.
    pub len: usize,
}

/// What became of [`Mux::finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The end goes out behind what was written.
    Queued,
    /// The direction had ended already.
    Already,
    /// The key names nothing.
    Unknown,
}

/// What became of [`Mux::ping`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinged {
    /// It goes out; the answer carries this number.
    Number(u32),
    /// As many wait for their answers as may.
    Blocked,
    /// The wire has no pings.
    Unsupported,
    /// The connection is over.
    Closed,
}

/// Why a stream, or one direction of it, is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEnd {
    /// The end of the direction was sent in order, by whoever writes it: everything came.
    Finished,
    /// The peer ended the stream by force; for writing also: it has ended the stream, and reads
    /// nothing more of it.
    Reset,
    /// The peer refused or failed the stream with a code and a text (wormhole).
    Remote {
        /// The peer's code.
        code: u32,
        /// The peer's text, cut at 1 KiB; unescaped bytes, not always UTF-8.
        text: Bytes,
    },
    /// This side ended it: `reset`, or a limit that the peer's data passed.
    Local(LocalEnd),
    /// The connection is over, and the stream was not: bytes may be missing.
    Connection(CloseReason),
}

/// Why this side ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalEnd {
    /// The user said so.
    Asked,
    /// The peer sent more than it was granted, or more than the budget holds.
    TooMuch,
    /// The peer broke a rule on this stream.
    Violation,
    /// The peer did not accept or end it in time.
    Timeout,
}

/// What a multiplexer tells its user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MuxEvent {
    /// A stream waits for [`Mux::accept`].
    Acceptable,
    /// A stream can be opened again.
    Openable,
    /// Bytes, or the end, can be read.
    Readable(StreamKey),
    /// The stream can be written to again, or its end for writing is there.
    Writable(StreamKey),
    /// The peer answered a ping.
    Pong {
        /// The number that [`Mux::ping`] gave.
        number: u32,
        /// How long it took.
        round_trip: Duration,
    },
    /// The peer wants no more streams.
    GoneAway,
    /// The connection is over; the last event.
    Closed(CloseReason),
}

/// The counters of a connection, from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MuxStats {
    /// Streams that are open at the moment: opened or accepted or waiting for accept, and not over
    /// on both sides.
    pub streams: usize,
    /// Streams that wait for accept at the moment.
    pub waiting: usize,
    /// Streams that this side opened.
    pub opened: u64,
    /// Streams that the peer opened and that were not refused.
    pub received: u64,
    /// Streams of the peer that were refused.
    pub refused: u64,
    /// Streams that ended by force, from either side.
    pub reset: u64,
    /// Payload bytes received.
    pub bytes_in: u64,
    /// Payload bytes sent.
    pub bytes_out: u64,
    /// Frames received, of every type.
    pub frames_in: u64,
    /// Frames sent, of every type.
    pub frames_out: u64,
    /// Frames received that had no effect, such as data for a stream that is gone.
    pub useless: u64,
    /// Received bytes that nobody has read yet.
    pub queued_in: usize,
    /// Written bytes that have not been sent yet.
    pub queued_out: usize,
    /// Memory counted against the budget at the moment, in bytes.
    pub memory: usize,
    /// What the peer may send at the moment, over all streams, in bytes.
    pub granted: u64,
    /// The last round trip that was measured.
    pub round_trip: Option<Duration>,
    /// Pings answered by the peer.
    pub pongs: u64,
}

/// The counters of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStats {
    /// The stream's id on the wire.
    pub id: u32,
    /// Whether this side opened it.
    pub ours: bool,
    /// Received bytes that nobody has read yet.
    pub queued_in: usize,
    /// Written bytes that have not been sent yet.
    pub queued_out: usize,
    /// What the peer may still send, in bytes; `None` on a wire without windows.
    pub receive_window: Option<u64>,
    /// What this side may still send, in bytes; `None` on a wire without windows.
    pub send_window: Option<u64>,
}
