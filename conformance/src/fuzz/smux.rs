//! The wire smux, for the bodies that all multiplexers share.

use trunkline_core::mux::Side;
use trunkline_core::smux::{
    Config, Connection, FullBuffer, LateData, PassiveClose, PeerIds, UnreadAtEnd, Version,
};

use super::mux::{self, Wire};
use super::ops::Ops;

/// Any bytes. The first byte chooses side and settings, the second the cuts.
pub fn smux_bytes(input: &[u8]) {
    mux::bytes::<Smux>(input);
}

/// Any operations. The first byte chooses side and settings.
pub fn smux_ops(input: &[u8]) {
    mux::ops::<Smux>(input);
}

/// Two machines against a model. The first byte chooses the settings: those under which a stream
/// may be refused or given up are left out, because this wire says both with an orderly end.
pub fn smux_pair(input: &[u8]) {
    if let [how, rest @ ..] = input {
        mux::pair::<Smux>(&[&[how & 31], rest].concat());
    }
}

struct Smux;

impl Wire for Smux {
    type Machine = Connection;

    fn machine(side: Side, how: u8) -> Connection {
        let mut config = if how & 1 == 0 { Config::default() } else { Config::reference() };
        // The model wants to see all that was sent.
        config.unread_at_end = UnreadAtEnd::Keep;
        config.late_data = LateData::Drop;
        if how & 8 != 0 {
            config.version = Version::Two;
        }
        if how & 16 != 0 {
            config.limits.send_queue = 3_000;
            config.limits.replies = 2;
            config.max_frame_size = 700;
            config.max_receive_buffer = 20_000;
            config.max_stream_buffer = 10_000;
        }
        if how & 128 != 0 {
            config.limits.connection_memory = 200_000;
            config.limits.backlog = 3;
            config.limits.streams = 5;
        } else {
            // A stream that finds no room is refused with an orderly end.
            (config.limits.backlog, config.limits.streams) = (100_000, 100_000);
        }
        if how & 32 != 0 {
            config.full_buffer = FullBuffer::EndLongest;
            config.peer_ids = PeerIds::Parity;
        }
        if how & 64 != 0 {
            config.passive_close = PassiveClose::Strict;
        }
        match Connection::new(side, config) {
            Ok(machine) => machine,
            Err(_) => std::process::abort(),
        }
    }

    fn frame(ops: &mut Ops<'_>) -> Vec<u8> {
        const COMMANDS: [u8; 16] = [2, 2, 2, 2, 2, 2, 0, 0, 0, 1, 1, 4, 4, 4, 3, 9];
        let what = ops.byte();
        let command = COMMANDS.get(usize::from(what % 16)).copied().unwrap_or(2);
        // The wrong version, and the wrong length, end everything: rarely.
        let version = if what < 128 { 1 } else { 2 };
        let stream = ops.stream();
        let payload = match command {
            2 => {
                let size = ops.size();
                ops.pattern(size).to_vec()
            }
            4 => {
                let (consumed, window) = (ops.size() as u32, (ops.size() as u32).pow(2));
                [consumed.to_le_bytes(), window.to_le_bytes()].concat()
            }
            _ if ops.byte() == 255 => vec![0],
            _ => Vec::new(),
        };
        let length = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_le_bytes();
        let mut frame = vec![version, command];
        frame.extend(length);
        frame.extend(stream.to_le_bytes());
        frame.extend(payload);
        frame
    }
}
