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
    /// Its settings, and a few ids left to be given out.
    fn at_the_last_ids(side: Side) -> Self::Mux;
}

/// An id near the last of a side whose first one is odd, or even.
fn late_id(side: Side, odd: Side) -> u32 {
    u32::MAX - if side == odd { 8 } else { 9 }
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

    fn at_the_last_ids(side: Side) -> Self::Mux {
        let mut config = yamux::Config::default();
        config.first_id = Some(late_id(side, Side::Client));
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

    fn at_the_last_ids(side: Side) -> Self::Mux {
        let mut config = wormhole::Config::default();
        config.first_id = Some(late_id(side, Side::Client));
        wormhole::Connection::new(side, config).unwrap()
    }
}

fn smux(side: Side, limits: Limits, mut config: smux::Config, two: bool) -> smux::Connection {
    config.limits = limits;
    config.version = if two { smux::Version::Two } else { smux::Version::One };
    smux::Connection::new(side, config).unwrap()
}

fn late_smux(side: Side, two: bool) -> smux::Connection {
    let mut config = smux::Config::default();
    config.id_base = Some(late_id(side, Side::Client));
    smux(side, Limits::default(), config, two)
}

impl Wire for Smux1 {
    type Mux = smux::Connection;

    fn make(side: Side, limits: Limits) -> Self::Mux {
        smux(side, limits, smux::Config::default(), false)
    }

    fn reference(side: Side, limits: Limits) -> Self::Mux {
        smux(side, limits, smux::Config::reference(), false)
    }

    fn at_the_last_ids(side: Side) -> Self::Mux {
        late_smux(side, false)
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

    fn at_the_last_ids(side: Side) -> Self::Mux {
        late_smux(side, true)
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
