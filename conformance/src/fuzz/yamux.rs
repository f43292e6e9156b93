//! The wire yamux, for the bodies that all multiplexers share.

use trunkline_core::mux::Side;
use trunkline_core::yamux::{Acks, Config, Connection, Flags, FrameType, Head, Opens};

use super::mux::{self, Wire};
use super::ops::Ops;

/// Any bytes. The first byte chooses side and settings, the second the cuts.
pub fn yamux_bytes(input: &[u8]) {
    mux::bytes::<Yamux>(input);
}

/// Any operations. The first byte chooses side and settings.
pub fn yamux_ops(input: &[u8]) {
    mux::ops::<Yamux>(input);
}

/// Two machines against a model. The first byte chooses the settings, but for the small limits,
/// under which streams are refused and given up.
pub fn yamux_pair(input: &[u8]) {
    let mut input = input.to_vec();
    if let Some(how) = input.first_mut() {
        *how &= !SMALL;
    }
    mux::pair::<Yamux>(&input);
}

/// The bit of the first byte that makes limits small.
const SMALL: u8 = 16;

struct Yamux;

impl Wire for Yamux {
    type Machine = Connection;

    fn machine(side: Side, how: u8) -> Connection {
        let mut config = if how & 1 == 0 { Config::default() } else { Config::reference() };
        if how & 8 != 0 {
            config.opens = Opens::Lazy;
            config.acks = Acks::Lazy;
        }
        if how & SMALL != 0 {
            config.limits.connection_memory = 200_000;
            config.limits.send_queue = 3_000;
            config.limits.replies = 2;
            config.limits.backlog = 3;
            config.limits.opens_waiting = 2;
            config.frame_size = 700;
        }
        if how & 32 != 0 {
            config.window = 400_000;
            config.acks = Acks::OnOpen;
        }
        match Connection::new(side, config) {
            Ok(machine) => machine,
            Err(_) => std::process::abort(),
        }
    }

    fn frame(ops: &mut Ops<'_>) -> Vec<u8> {
        const KINDS: [FrameType; 8] = [
            FrameType::Data,
            FrameType::Data,
            FrameType::Data,
            FrameType::WindowUpdate,
            FrameType::WindowUpdate,
            FrameType::WindowUpdate,
            FrameType::Ping,
            FrameType::GoAway,
        ];
        const FLAGS: [u16; 16] = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 4, 4, 8, 5, 3, 9];
        let what = ops.byte();
        let kind = KINDS.get(usize::from(what % 8)).copied().unwrap_or(FrameType::Data);
        let flags = FLAGS.get(usize::from(what / 8 % 16)).copied().unwrap_or_default();
        let stream = ops.stream();
        let length = match kind {
            FrameType::Data => ops.size() as u32,
            FrameType::WindowUpdate => (ops.size() as u32).pow(2),
            // A go-away that ends everything comes rarely.
            FrameType::GoAway if what < 200 => 0,
            _ => u32::from(ops.byte()),
        };
        let head = Head { kind, flags: Flags(flags), stream, length };
        let mut frame = head.to_bytes().to_vec();
        frame.extend(ops.pattern(head.payload_len() as usize));
        frame
    }
}
