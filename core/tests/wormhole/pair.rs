//! Two ways to drive a machine: against frames made by hand, and against another machine.

use bytes::Bytes;
use trunkline_core::mux::{Mux, MuxEvent, Opened, Received, Sent, Side, StreamEnd, StreamKey};
use trunkline_core::wormhole::{Config, Connection, Decoder, Frame, FrameType, MAX_PAYLOAD};
use trunkline_core::{CloseReason, Instant, Machine};

/// One machine and its time.
pub(crate) struct End {
    pub(crate) machine: Connection,
    pub(crate) now: Instant,
}

/// Settings without keep-alive, so that nothing is sent that a test did not cause.
pub(crate) fn quiet() -> Config {
    let mut config = Config::default();
    config.keep_alive_interval = core::time::Duration::ZERO;
    config
}

impl End {
    pub(crate) fn new(side: Side, config: Config) -> Self {
        let machine = Connection::new(side, config).unwrap();
        Self { machine, now: Instant::from_millis(1_000) }
    }

    /// A server without keep-alive.
    pub(crate) fn server() -> Self {
        Self::new(Side::Server, quiet())
    }

    /// A client without keep-alive.
    pub(crate) fn client() -> Self {
        Self::new(Side::Client, quiet())
    }

    pub(crate) fn feed(&mut self, frame: &Frame) {
        let bytes = frame.encode().unwrap().into_bytes();
        self.machine.handle_input(self.now, bytes);
    }

    /// All that the machine has to send.
    pub(crate) fn frames(&mut self) -> Vec<Frame> {
        let mut decoder = Decoder::new(MAX_PAYLOAD);
        while let Some(segment) = self.machine.poll_transmit(self.now) {
            decoder.push(segment.into_bytes());
        }
        let mut frames = Vec::new();
        while let Some(frame) = decoder.poll().unwrap() {
            frames.push(frame);
        }
        assert_eq!(decoder.buffered(), 0, "half a frame was written");
        frames
    }

    /// All that the machine has to send, in short: type and id.
    pub(crate) fn sent(&mut self) -> Vec<(FrameType, u32)> {
        self.frames().iter().map(|frame| (frame.kind, frame.stream)).collect()
    }

    pub(crate) fn open(&mut self) -> StreamKey {
        match self.machine.open(self.now) {
            Opened::Stream(key) => key,
            other => panic!("not opened: {other:?}"),
        }
    }

    pub(crate) fn accept(&mut self) -> Option<StreamKey> {
        self.machine.accept(self.now)
    }

    /// A stream that the peer opened, accepted.
    pub(crate) fn opened_by_peer(&mut self, id: u32) -> StreamKey {
        self.feed(&Frame::open(id));
        self.accept().expect("a stream to accept")
    }

    pub(crate) fn read(&mut self, key: StreamKey) -> Received {
        self.machine.read(self.now, key, usize::MAX)
    }

    /// Everything that can be read, and the end if it is there.
    pub(crate) fn read_all(&mut self, key: StreamKey) -> (Vec<u8>, Option<StreamEnd>) {
        let mut all = Vec::new();
        loop {
            match self.read(key) {
                Received::Data(bytes) => all.extend_from_slice(&bytes),
                Received::Blocked => return (all, None),
                Received::End(end) => return (all, Some(end)),
                Received::Unknown => panic!("the key names nothing"),
            }
        }
    }

    pub(crate) fn write(&mut self, key: StreamKey, bytes: &[u8]) -> Sent {
        self.machine.write(self.now, key, &mut Bytes::copy_from_slice(bytes))
    }

    pub(crate) fn finish(&mut self, key: StreamKey) {
        self.machine.finish(self.now, key);
    }

    pub(crate) fn events(&mut self) -> Vec<MuxEvent> {
        core::iter::from_fn(|| self.machine.poll_event()).collect()
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.machine.closed().cloned()
    }

    /// Time passes, through every deadline on the way.
    pub(crate) fn advance(&mut self, millis: u64) {
        let until = Instant::from_nanos(self.now.as_nanos() + millis * 1_000_000);
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
        }
        self.now = until;
    }

    pub(crate) fn useless(&self) -> u64 {
        self.machine.stats().useless
    }
}

/// Moves everything both ways until nothing moves.
pub(crate) fn exchange(one: &mut End, two: &mut End) {
    loop {
        let mut moved = false;
        while let Some(segment) = one.machine.poll_transmit(one.now) {
            two.machine.handle_input(two.now, segment.into_bytes());
            moved = true;
        }
        while let Some(segment) = two.machine.poll_transmit(two.now) {
            one.machine.handle_input(one.now, segment.into_bytes());
            moved = true;
        }
        if !moved {
            return;
        }
    }
}
