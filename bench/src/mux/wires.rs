//! Our wires: the one place of this benchmark that knows how each machine is made.

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
