//! The machine of smux: life of a stream, windows, keep-alive, hazards, hostile peers.
//!
//! Frames of the peer are written by hand from `docs/protocols/smux.md`, apart from core's encoder.

mod bounds;
mod hazards;
mod hostile;
mod life;
mod time;
mod windows;

use std::time::Duration;

use bytes::Bytes;
use trunkline_core::fixed::FrameDecoder;
use trunkline_core::mux::{MuxEvent, Opened, Received, Sent, Side, StreamEnd, StreamKey};
use trunkline_core::smux::{Body, Config, Connection, Frame, Version};
use trunkline_core::{Instant, Machine as _};

pub(crate) use trunkline_core::mux::Mux;

pub(crate) const START: Instant = Instant::from_millis(1_000);

/// So many milliseconds after [`START`].
pub(crate) fn at(millis: u64) -> Instant {
    START + Duration::from_millis(millis)
}

pub(crate) fn version(version: Version) -> Config {
    let mut config = Config::default();
    config.version = version;
    config.keep_alive = false;
    config
}

pub(crate) fn v1() -> Config {
    version(Version::One)
}

pub(crate) fn v2() -> Config {
    version(Version::Two)
}

pub(crate) fn server(config: Config) -> Connection {
    Connection::new(Side::Server, config).unwrap()
}

pub(crate) fn client(config: Config) -> Connection {
    Connection::new(Side::Client, config).unwrap()
}

/// A frame's bytes: version, command, stream and payload.
pub(crate) fn raw(version: u8, command: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![version, command];
    bytes.extend(u16::try_from(payload.len()).unwrap().to_le_bytes());
    bytes.extend(stream.to_le_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) fn syn(version: u8, stream: u32) -> Vec<u8> {
    raw(version, 0, stream, b"")
}

pub(crate) fn fin(version: u8, stream: u32) -> Vec<u8> {
    raw(version, 1, stream, b"")
}

pub(crate) fn psh(version: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    raw(version, 2, stream, payload)
}

pub(crate) fn nop(version: u8) -> Vec<u8> {
    raw(version, 3, 0, b"")
}

pub(crate) fn upd(stream: u32, consumed: u32, window: u32) -> Vec<u8> {
    raw(2, 4, stream, &[consumed.to_le_bytes(), window.to_le_bytes()].concat())
}

/// Hands bytes in, as one chunk.
pub(crate) fn feed(machine: &mut Connection, bytes: impl Into<Vec<u8>>) {
    feed_at(machine, START, bytes);
}

pub(crate) fn feed_at(machine: &mut Connection, now: Instant, bytes: impl Into<Vec<u8>>) {
    machine.handle_input(now, Bytes::from(bytes.into()));
}

/// All that the machine sends now, as bytes.
pub(crate) fn bytes_at(machine: &mut Connection, now: Instant) -> Vec<u8> {
    std::iter::from_fn(|| machine.poll_transmit(now)).flat_map(|s| s.slices().concat()).collect()
}

pub(crate) fn sent(machine: &mut Connection) -> Vec<u8> {
    bytes_at(machine, START)
}

/// The frames that the machine sends now, told in a few words.
pub(crate) fn told(machine: &mut Connection) -> Vec<String> {
    frames_of(&sent(machine))
}

/// Frames in a few words: `SYN 3`, `PSH 3 "abc"`, `UPD 3 5/65536`.
pub(crate) fn frames_of(bytes: &[u8]) -> Vec<String> {
    let mut decoder = FrameDecoder::<Frame>::new(0);
    decoder.push(Bytes::copy_from_slice(bytes));
    let frames = std::iter::from_fn(|| decoder.poll().unwrap()).collect::<Vec<_>>();
    assert_eq!(decoder.buffered(), 0, "whole frames only");
    let told = |frame: Frame| match frame.body {
        Body::Syn => format!("SYN {}", frame.stream),
        Body::Fin => format!("FIN {}", frame.stream),
        Body::Nop => "NOP".to_owned(),
        Body::Psh(payload) if payload.len() <= 40 => {
            let bytes = payload.into_bytes();
            format!("PSH {} {:?}", frame.stream, String::from_utf8_lossy(&bytes))
        }
        Body::Psh(payload) => format!("PSH {} {} bytes", frame.stream, payload.len()),
        Body::Upd(update) => format!("UPD {} {}/{}", frame.stream, update.consumed, update.window),
    };
    frames.into_iter().map(told).collect()
}

pub(crate) fn opened(machine: &mut Connection) -> StreamKey {
    match machine.open(START) {
        Opened::Stream(key) => key,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn accepted(machine: &mut Connection) -> StreamKey {
    machine.accept(START).expect("a stream waits")
}

pub(crate) fn write(machine: &mut Connection, key: StreamKey, bytes: &[u8]) -> Sent {
    machine.write(START, key, &mut Bytes::copy_from_slice(bytes))
}

/// Everything that can be read now, and the end if it is there.
pub(crate) fn all(machine: &mut Connection, key: StreamKey) -> (Vec<u8>, Option<StreamEnd>) {
    let mut bytes = Vec::new();
    loop {
        match machine.read(START, key, usize::MAX) {
            Received::Data(piece) => bytes.extend_from_slice(&piece),
            Received::Blocked => return (bytes, None),
            Received::End(end) => return (bytes, Some(end)),
            Received::Unknown => panic!("the key names nothing"),
        }
    }
}

pub(crate) fn events(machine: &mut Connection) -> Vec<MuxEvent> {
    std::iter::from_fn(|| machine.poll_event()).collect()
}
