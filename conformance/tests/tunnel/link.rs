//! Messages on a byte link: a multiplexer inside messages, as one more multiplexer over bytes, so
//! that every law holds over it too.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use trunkline_core::carrier::{self, OverMessages};
use trunkline_core::mux::{
    Abilities, Finished, Mux, MuxEvent, MuxStats, Opened, Pinged, Received, Reserved, Sent, Side,
    StreamEnd, StreamKey, StreamStats,
};
use trunkline_core::yamux::{Config, Connection};
use trunkline_core::{CloseFrame, CloseReason, Direction, Instant, Machine, Message, Segment};

/// yamux in messages, each of which stands on the link behind its kind and its length.
pub(crate) struct Linked {
    inner: OverMessages<Connection>,
    input: BytesMut,
    /// It was told that it is over; kept until the closes are exchanged.
    over: bool,
}

impl Linked {
    pub(crate) fn new(side: Side, config: Config, carrier: carrier::Config) -> Self {
        let machine = Connection::new(side, config).unwrap();
        Self { inner: OverMessages::new(machine, carrier), input: BytesMut::new(), over: false }
    }

    fn mux(&self) -> &Connection {
        self.inner.machine()
    }

    fn mux_mut(&mut self) -> &mut Connection {
        self.inner.machine_mut()
    }
}

fn encode(message: Message) -> Bytes {
    let (kind, payload) = match message {
        Message::Binary(bytes) => (2, bytes),
        Message::Ping(bytes) => (9, bytes),
        Message::Pong(bytes) => (10, bytes),
        Message::Close(frame) => {
            let code = frame.map_or(1000, |frame| frame.code);
            (8, Bytes::copy_from_slice(&code.to_be_bytes()))
        }
        other => panic!("nobody sends {other:?}"),
    };
    let mut bytes = BytesMut::new();
    bytes.put_u8(kind);
    bytes.put_u32(payload.len().try_into().unwrap());
    bytes.extend_from_slice(&payload);
    bytes.freeze()
}

fn decode(input: &mut BytesMut) -> Option<Message> {
    let length = u32::from_be_bytes(input.get(1..5)?.try_into().ok()?) as usize;
    if input.len() < 5 + length {
        return None;
    }
    let kind = input.get_u8();
    input.advance(4);
    let payload = input.split_to(length).freeze();
    Some(match kind {
        2 => Message::Binary(payload),
        9 => Message::Ping(payload),
        10 => Message::Pong(payload),
        _ => {
            let code = u16::from_be_bytes(payload.as_ref().try_into().unwrap());
            Message::Close(Some(CloseFrame { code, reason: String::new() }))
        }
    })
}

impl Machine for Linked {
    type Input = Bytes;
    type Output = Segment;
    type Event = MuxEvent;

    fn handle_input(&mut self, now: Instant, input: Bytes) {
        self.input.extend_from_slice(&input);
        while let Some(message) = decode(&mut self.input) {
            self.inner.handle_input(now, message);
        }
    }

    fn handle_eof(&mut self, now: Instant) {
        self.inner.handle_eof(now);
    }

    fn handle_failure(&mut self, now: Instant, direction: Direction, os_error: Option<i32>) {
        self.inner.handle_failure(now, direction, os_error);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.inner.handle_timeout(now);
    }

    fn wants_input(&self) -> bool {
        self.inner.wants_input()
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Segment> {
        self.inner.poll_transmit(now).map(|message| Segment::whole(encode(message)))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
    }

    fn poll_event(&mut self) -> Option<MuxEvent> {
        match self.inner.poll_event() {
            Some(MuxEvent::Closed(_)) => self.over = true,
            Some(event) => return Some(event),
            None => {}
        }
        let reason = self.inner.closed().filter(|_| self.over)?.clone();
        self.over = false;
        Some(MuxEvent::Closed(reason))
    }

    fn closed(&self) -> Option<&CloseReason> {
        self.inner.closed()
    }
}

impl Mux for Linked {
    fn abilities(&self) -> Abilities {
        self.mux().abilities()
    }

    fn side(&self) -> Side {
        self.mux().side()
    }

    fn seed(&mut self, seed: u64) {
        self.mux_mut().seed(seed);
    }

    fn open(&mut self, now: Instant) -> Opened {
        self.mux_mut().open(now)
    }

    fn accept(&mut self, now: Instant) -> Option<StreamKey> {
        self.mux_mut().accept(now)
    }

    fn read(&mut self, now: Instant, stream: StreamKey, max: usize) -> Received {
        self.mux_mut().read(now, stream, max)
    }

    fn drain(&mut self, stream: StreamKey, max: usize) -> Option<Bytes> {
        self.mux_mut().drain(stream, max)
    }

    fn frame_left(&self, stream: StreamKey) -> Option<usize> {
        self.mux().frame_left(stream)
    }

    fn write(&mut self, now: Instant, stream: StreamKey, data: &mut Bytes) -> Sent {
        self.mux_mut().write(now, stream, data)
    }

    fn reserve(&mut self, _: Instant, _: StreamKey, _: usize) -> Option<Reserved> {
        // A head alone is no message.
        None
    }

    fn finish(&mut self, now: Instant, stream: StreamKey) -> Finished {
        self.mux_mut().finish(now, stream)
    }

    fn reset(&mut self, now: Instant, stream: StreamKey) {
        self.mux_mut().reset(now, stream);
    }

    fn forget(&mut self, now: Instant, stream: StreamKey) {
        self.mux_mut().forget(now, stream);
    }

    fn read_end(&self, stream: StreamKey) -> Option<StreamEnd> {
        self.mux().read_end(stream)
    }

    fn write_end(&self, stream: StreamKey) -> Option<StreamEnd> {
        self.mux().write_end(stream)
    }

    fn watch(&mut self, stream: StreamKey) -> Option<StreamEnd> {
        self.mux_mut().watch(stream)
    }

    fn ping(&mut self, now: Instant) -> Pinged {
        self.mux_mut().ping(now)
    }

    fn go_away(&mut self, now: Instant) {
        self.mux_mut().go_away(now);
    }

    fn close(&mut self, now: Instant) {
        self.mux_mut().close(now);
    }

    fn abort(&mut self, now: Instant) {
        self.mux_mut().abort(now);
    }

    fn stats(&self) -> MuxStats {
        self.mux().stats()
    }

    fn stream_stats(&self, stream: StreamKey) -> Option<StreamStats> {
        self.mux().stream_stats(stream)
    }
}
