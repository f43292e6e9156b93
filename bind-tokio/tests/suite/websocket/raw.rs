//! A WebSocket peer that speaks frame by frame, and what the tests here share.

use std::time::Duration;

use trunkline_core::yamux;

use crate::cases::wire::{End, Line, wire};
use crate::rt::{self, Connection, Side, WebSocketLimits, carrier};

pub(super) const BINARY: u8 = 2;
pub(super) const TEXT: u8 = 1;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// A yamux machine as they are here.
pub(super) fn machine(side: Side) -> yamux::Connection {
    let mut config = yamux::Config::default();
    config.hash_seed = 1;
    yamux::Connection::new(side, config).unwrap()
}

/// A carrier that says nothing by itself.
pub(super) fn quiet() -> carrier::Config {
    let mut config = carrier::Config::default();
    config.pings = None;
    config
}

/// A carrier that asks for signs of life.
pub(super) fn pinging(interval: Duration, timeout: Duration) -> carrier::Config {
    let mut config = carrier::Config::default();
    config.pings = Some(carrier::Pings { interval, timeout });
    config
}

/// A frame of one whole message, as a server sends it.
pub(super) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(length as u8),
        length @ 126..0x1_0000 => {
            frame.push(126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

/// The payload of a close.
pub(super) fn close(code: u16, text: &str) -> Vec<u8> {
    [&code.to_be_bytes(), text.as_bytes()].concat()
}

/// The server's end of a WebSocket, by hand.
pub(super) struct Peer {
    pub(super) wire: rt::Over<End>,
}

impl Peer {
    /// Our connection as a client, and this as its server.
    pub(super) async fn new(config: carrier::Config) -> (Connection, Self, Line) {
        Self::behind(256 << 10, config).await
    }

    /// The same over a wire that holds so many bytes each way.
    pub(super) async fn behind(
        capacity: usize,
        config: carrier::Config,
    ) -> (Connection, Self, Line) {
        let (local, remote, line) = wire(capacity);
        let limits = WebSocketLimits::default();
        let websocket = rt::accept_upgraded(rt::Over(local), Side::Client, limits).await;
        let connection = rt::websocket_over(websocket, machine(Side::Client), config);
        (connection, Self { wire: rt::Over(remote) }, line)
    }

    pub(super) async fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.bytes(&frame(opcode, payload)).await;
    }

    pub(super) async fn bytes(&mut self, bytes: &[u8]) {
        rt::write_all(&mut self.wire, bytes).await.unwrap();
    }

    /// Answers a close; a client that waited for long enough has hung up before.
    pub(super) async fn answer_close(&mut self) {
        let _ = rt::write_all(&mut self.wire, &frame(CLOSE, &close(1000, ""))).await;
    }

    /// The next message of the client; it must be one frame, masked.
    pub(super) async fn next(&mut self) -> (u8, Vec<u8>) {
        let head = rt::read_exact(&mut self.wire, 2).await.unwrap();
        assert_eq!(head[0] & 0xf0, 0x80, "one frame, without extensions");
        assert_eq!(head[1] & 0x80, 0x80, "masked");
        let length = match head[1] & 0x7f {
            126 => number(&rt::read_exact(&mut self.wire, 2).await.unwrap()),
            127 => number(&rt::read_exact(&mut self.wire, 8).await.unwrap()),
            length => usize::from(length),
        };
        let mask = rt::read_exact(&mut self.wire, 4).await.unwrap();
        let mut payload = rt::read_exact(&mut self.wire, length).await.unwrap();
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        (head[0] & 0x0f, payload)
    }

    /// The next message of that kind; others are passed over.
    pub(super) async fn next_of(&mut self, opcode: u8) -> Vec<u8> {
        loop {
            let (found, payload) = self.next().await;
            if found == opcode {
                return payload;
            }
            assert_ne!(found, CLOSE, "{payload:?}");
        }
    }

    /// Waits until the client has hung up.
    pub(super) async fn gone(&mut self) {
        while rt::read(&mut self.wire, &mut [0; 1_000]).await.is_ok_and(|count| count > 0) {}
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}
