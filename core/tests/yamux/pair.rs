//! Two ways to drive a machine: against frames made by hand, and against another machine.

use bytes::Bytes;
use trunkline_core::fixed::{FixedFrame as _, FrameDecoder};
use trunkline_core::mux::{Mux, MuxEvent, Opened, Received, Sent, Side, StreamEnd, StreamKey};
use trunkline_core::yamux::{Config, Connection, Flags, Frame, FrameType, Head};
use trunkline_core::{Instant, Machine};

/// One machine, its time, and what it has written.
pub(crate) struct End {
    pub(crate) machine: Connection,
    pub(crate) now: Instant,
}

/// A head from its four fields.
pub(crate) fn head(kind: FrameType, flags: Flags, stream: u32, length: u32) -> Head {
    Head { kind, flags, stream, length }
}

/// A window update.
pub(crate) fn update(flags: Flags, stream: u32, delta: u32) -> Vec<u8> {
    head(FrameType::WindowUpdate, flags, stream, delta).to_bytes().to_vec()
}

/// A data frame.
pub(crate) fn data(flags: Flags, stream: u32, payload: &[u8]) -> Vec<u8> {
    let frame = Frame::data(stream, flags, Bytes::copy_from_slice(payload).into());
    frame.encode().unwrap().into_bytes().to_vec()
}

/// A ping or its answer.
pub(crate) fn ping(flags: Flags, value: u32) -> Vec<u8> {
    head(FrameType::Ping, flags, 0, value).to_bytes().to_vec()
}

/// A go-away.
pub(crate) fn go_away(code: u32) -> Vec<u8> {
    head(FrameType::GoAway, Flags::NONE, 0, code).to_bytes().to_vec()
}

impl End {
    pub(crate) fn new(side: Side, config: Config) -> Self {
        let machine = Connection::new(side, config).unwrap();
        Self { machine, now: Instant::from_millis(1_000) }
    }

    /// A server with default settings.
    pub(crate) fn server() -> Self {
        Self::new(Side::Server, Config::default())
    }

    /// A client with default settings.
    pub(crate) fn client() -> Self {
        Self::new(Side::Client, Config::default())
    }

    pub(crate) fn feed(&mut self, bytes: impl AsRef<[u8]>) {
        self.machine.handle_input(self.now, Bytes::copy_from_slice(bytes.as_ref()));
    }

    /// All that the machine has to send, as bytes.
    pub(crate) fn sent(&mut self) -> Vec<u8> {
        let mut sent = Vec::new();
        while let Some(segment) = self.machine.poll_transmit(self.now) {
            sent.extend(segment.slices().concat());
        }
        sent
    }

    /// All that the machine has to send, as frames.
    pub(crate) fn frames(&mut self) -> Vec<Frame> {
        let mut decoder = FrameDecoder::<Frame>::new(1 << 24);
        decoder.push(self.sent().into());
        let mut frames = Vec::new();
        while let Some(frame) = decoder.poll().unwrap() {
            frames.push(frame);
        }
        frames
    }

    /// The heads of all that the machine has to send.
    pub(crate) fn heads(&mut self) -> Vec<Head> {
        self.frames().into_iter().map(|frame| frame.head).collect()
    }

    pub(crate) fn events(&mut self) -> Vec<MuxEvent> {
        std::iter::from_fn(|| self.machine.poll_event()).collect()
    }

    pub(crate) fn open(&mut self) -> StreamKey {
        match self.machine.open(self.now) {
            Opened::Stream(key) => key,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn accept(&mut self) -> StreamKey {
        self.machine.accept(self.now).expect("a stream")
    }

    pub(crate) fn write(&mut self, stream: StreamKey, bytes: &[u8]) -> Sent {
        self.machine.write(self.now, stream, &mut Bytes::copy_from_slice(bytes))
    }

    pub(crate) fn read(&mut self, stream: StreamKey, max: usize) -> Received {
        self.machine.read(self.now, stream, max)
    }

    /// Everything that can be read, joined, and what stopped it.
    pub(crate) fn read_all(&mut self, stream: StreamKey) -> (Vec<u8>, Option<StreamEnd>) {
        let mut all = Vec::new();
        loop {
            match self.read(stream, usize::MAX) {
                Received::Data(bytes) => all.extend(bytes),
                Received::Blocked => return (all, None),
                Received::End(end) => return (all, Some(end)),
                Received::Unknown => panic!("unknown"),
            }
        }
    }

    pub(crate) fn finish(&mut self, stream: StreamKey) {
        self.machine.finish(self.now, stream);
    }

    /// Moves the clock through every deadline up to `millis` from now.
    pub(crate) fn advance(&mut self, millis: u64) {
        let until = self.now + core::time::Duration::from_millis(millis);
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            if self.machine.poll_timeout() == Some(at) {
                panic!("a deadline that does not pass: {at:?}");
            }
        }
        self.now = until;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.machine.closed().is_some()
    }
}

/// Two machines, back to back.
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
}

impl Pair {
    pub(crate) fn new(client: Config, server: Config) -> Self {
        Self { client: End::new(Side::Client, client), server: End::new(Side::Server, server) }
    }

    /// Carries bytes both ways until both have nothing more to say.
    pub(crate) fn run(&mut self) {
        loop {
            let (up, down) = (self.client.sent(), self.server.sent());
            if up.is_empty() && down.is_empty() {
                return;
            }
            if !up.is_empty() {
                self.server.feed(up);
            }
            if !down.is_empty() {
                self.client.feed(down);
            }
        }
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::new(Config::default(), Config::default())
    }
}
