//! Our wires: the one place of this benchmark that knows how each machine is made.

use std::hint::black_box;

use trunkline_core::mux::{Mux, Side};
use trunkline_core::{Limits, smux, wormhole, yamux};

/// Streams at once, in a crowd.
const MANY: usize = 20_000;

/// Our wires, by the names that subjects have: `trunkline yamux`, `trunkline yamux owned`, and the
/// same with `@smol` behind it.
pub const WIRES: [&str; 4] = ["yamux", "smux v1", "smux v2", "wormhole"];

/// Something to do with a wire's machines, whichever it is.
pub trait Use {
    /// What comes of it.
    type Output;

    /// Does it; `make` gives a new machine.
    fn with<M>(self, make: impl Fn(Side) -> M + Copy + Send + 'static) -> Self::Output
    where
        M: Mux + Send + 'static;
}

/// Does something with the wire of that name; `None` when there is no such wire. In a crowd the
/// limits let 20,000 streams be.
pub fn with_wire<U: Use>(wire: &str, crowded: bool, user: U) -> Option<U::Output> {
    let limits = move || {
        let mut limits = Limits::default();
        if crowded {
            (limits.streams, limits.backlog, limits.opens_waiting) = (MANY, MANY, MANY);
            limits.connection_memory *= 4;
        }
        limits
    };
    match wire {
        "yamux" => Some(user.with(move |side| {
            let mut config = yamux::Config::default();
            config.limits = limits();
            yamux::Connection::new(side, config).expect("settings that agree")
        })),
        "smux v1" | "smux v2" => {
            let version = if wire == "smux v1" { smux::Version::One } else { smux::Version::Two };
            Some(user.with(move |side| {
                let mut config = smux::Config::default();
                (config.limits, config.version) = (limits(), version);
                smux::Connection::new(side, config).expect("settings that agree")
            }))
        }
        "wormhole" => Some(user.with(move |side| {
            let mut config = wormhole::Config::default();
            config.limits = limits();
            wormhole::Connection::new(side, config).expect("settings that agree")
        })),
        _ => None,
    }
}

/// Encodes and decodes so many heads of data frames of a wire; `None` when there is no such wire.
#[must_use]
pub fn heads(wire: &str, times: u32) -> Option<u32> {
    let length = black_box(64);
    Some(match wire {
        "yamux" => each(times, |stream| {
            let (kind, flags) = (yamux::FrameType::Data, yamux::Flags::NONE);
            let head = yamux::Head { kind, flags, stream, length };
            yamux::Head::parse(&black_box(head.to_bytes())).map_or(0, |head| head.stream)
        }),
        "smux v1" | "smux v2" => each(times, |stream| {
            let (version, command) = (smux::Version::One, smux::Command::Psh);
            let head = smux::Head { version, command, length: length as u16, stream };
            smux::Head::parse(black_box(head.to_bytes()), Some(version))
                .map_or(0, |head| head.stream)
        }),
        "wormhole" => each(times, |stream| {
            let head = wormhole::Head { kind: wormhole::FrameType::DATA, stream, length };
            wormhole::Head::parse(black_box(head.to_bytes()), 1 << 20).map_or(0, |head| head.stream)
        }),
        _ => return None,
    })
}

fn each(times: u32, of: impl Fn(u32) -> u32) -> u32 {
    (0..times).fold(0, |sum: u32, stream| sum.wrapping_add(of(stream)))
}
