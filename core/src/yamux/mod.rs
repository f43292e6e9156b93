//! yamux: many streams over one byte transport, with a window for each.
//!
//! The rules stand in `docs/protocols/yamux.md`; section numbers in this module's comments are that
//! page's.

mod commands;
mod config;
mod connection;
mod frame;
mod marks;
#[cfg(feature = "serde")]
mod notation;
mod pings;
mod presets;
mod receive;
mod state;
mod transmit;
mod used;
mod violation;

pub use config::{
    Acks, Config, ConfigError, CreditOverflow, DeadStreams, Farewell, ForeignIds, LateData,
    LateUpdates, LifeSigns, OpenCredits, OpenTimeout, Opens, ReusedIds, TinyCredit, UnknownPayload,
    WindowGrowth,
};
pub use connection::Connection;
pub use frame::{EncodeError, Flags, Frame, FrameType, Head};
pub use violation::Violation;

/// What every stream may send in each direction before it is granted more (section 5).
pub const INITIAL_WINDOW: u32 = 262_144;
