//! The wires, as what the laws need of them.

use trunkline_core::mux::{Mux, Side};
use trunkline_core::{Limits, smux, wormhole, yamux};

/// A wire, or a version of one.
pub(crate) trait Wire {
    type Mux: Mux;
    /// Its settings, as they are unless changed, with these limits.
    fn make(side: Side, limits: Limits) -> Self::Mux;
    /// Its settings as the original has them, with these limits.
    fn reference(side: Side, limits: Limits) -> Self::Mux;
}

pub(crate) struct Yamux;
pub(crate) struct Wormhole;
pub(crate) struct Smux1;
pub(crate) struct Smux2;

impl Wire for Yamux {
    type Mux = yamux::Connection;

    fn make(side: Side, limits: Limits) -> Self::Mux {
        let mut config = yamux::Config::default();
        config.limits = limits;
        yamux::Connection::new(side, config).unwrap()
    }

    fn reference(side: Side, limits: Limits) -> Self::Mux {
        let mut config = yamux::Config::reference();
        let send_queue = config.limits.send_queue;
        config.limits = limits;
        config.limits.send_queue = send_queue;
        yamux::Connection::new(side, config).unwrap()
    }
}

impl Wire for Wormhole {
    type Mux = wormhole::Connection;

    fn make(side: Side, limits: Limits) -> Self::Mux {
        let mut config = wormhole::Config::default();
        config.limits = limits;
        wormhole::Connection::new(side, config).unwrap()
    }

    fn reference(side: Side, limits: Limits) -> Self::Mux {
        let mut config = wormhole::Config::reference();
        config.limits = limits;
        wormhole::Connection::new(side, config).unwrap()
    }
}

fn smux(side: Side, limits: Limits, mut config: smux::Config, two: bool) -> smux::Connection {
    config.limits = limits;
    config.version = if two { smux::Version::Two } else { smux::Version::One };
    smux::Connection::new(side, config).unwrap()
}

impl Wire for Smux1 {
    type Mux = smux::Connection;

    fn make(side: Side, limits: Limits) -> Self::Mux {
        smux(side, limits, smux::Config::default(), false)
    }

    fn reference(side: Side, limits: Limits) -> Self::Mux {
        smux(side, limits, smux::Config::reference(), false)
    }
}

impl Wire for Smux2 {
    type Mux = smux::Connection;

    fn make(side: Side, limits: Limits) -> Self::Mux {
        smux(side, limits, smux::Config::default(), true)
    }

    fn reference(side: Side, limits: Limits) -> Self::Mux {
        smux(side, limits, smux::Config::reference(), true)
    }
}

/// Makes a test of each law for each wire: `each_wire! { law_one, law_two }`, where a law is
/// `fn law_one<W: Wire>()`.
macro_rules! each_wire {
    ($($law:ident),* $(,)?) => {
        each_wire!(@ yamux Yamux $($law)*);
        each_wire!(@ wormhole Wormhole $($law)*);
        each_wire!(@ smux_1 Smux1 $($law)*);
        each_wire!(@ smux_2 Smux2 $($law)*);
    };
    (@ $name:ident $wire:ident $($law:ident)*) => {
        mod $name {
            $(
                #[test]
                fn $law() {
                    super::$law::<crate::wires::$wire>();
                }
            )*
        }
    };
}

pub(crate) use each_wire;
