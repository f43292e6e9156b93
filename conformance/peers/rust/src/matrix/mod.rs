//! The matrix: every implementation against ours, in both roles, through every scenario.
//!
//! A [`Program`] is whatever speaks the command line of `conformance/peers/README.md`; a [`Pair`] is two
//! of them, the wire and what they play; what comes out is a [`Verdict`].

mod expect;
mod go;
mod pair;
mod program;
mod table;

pub use expect::{Expect, expected};
pub use pair::{Pair, Verdict};
pub use program::{Program, foreign, ours};
pub use table::{Plan, Row, rows, table};

use crate::Scenario;

/// How much the scenarios move.
#[derive(Clone, Copy, Debug)]
pub struct Amounts {
    /// Bytes in each direction of `bulk`.
    pub bulk: u64,
    /// Streams of `short`.
    pub short: u64,
    /// Streams of each side of `echo`. With more than 24 what is to be echoed no longer fits smux's
    /// buffer, which all streams share: then both sides may wait for each other for ever.
    pub echo: u64,
    /// Bytes in each direction of `half-close`, and at most of a link that is cut.
    pub some: u64,
    /// Pings, or keep-alive frames.
    pub pings: u64,
    /// The keep-alive interval where frames of it are counted, in milliseconds; 0 for the default.
    pub interval_ms: u64,
    /// Seconds after which a program gives up.
    pub timeout: u64,
}

impl Amounts {
    /// As issue and documents have them: 1 GiB both ways, 10,000 streams, everything at its default.
    pub const FULL: Self = Self {
        bulk: 1 << 30,
        short: 10_000,
        echo: 16,
        some: 8 << 20,
        pings: 3,
        interval_ms: 0,
        timeout: 300,
    };

    /// For the test command.
    pub const REDUCED: Self = Self {
        bulk: 64 << 20,
        short: 1_000,
        echo: 16,
        some: 2 << 20,
        pings: 3,
        interval_ms: 100,
        timeout: 120,
    };

    /// For peers among themselves, where the instrument is tested and nothing else.
    pub const SMALL: Self = Self { bulk: 4 << 20, short: 200, echo: 8, ..Self::REDUCED };
}

/// What a column of the matrix is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Play {
    /// Both sides play it.
    Both(Scenario),
    /// The peer dies at a moment that the seed chooses, and our side lives on.
    TheyDie,
    /// The other way round.
    WeDie,
}

impl Play {
    /// Every column, in order.
    pub const ALL: [Self; 8] = [
        Self::Both(Scenario::Echo),
        Self::Both(Scenario::Bulk),
        Self::Both(Scenario::Short),
        Self::Both(Scenario::HalfClose),
        Self::Both(Scenario::Ping),
        Self::Both(Scenario::GoAway),
        Self::TheyDie,
        Self::WeDie,
    ];

    /// The head of the column.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Both(scenario) => scenario.name(),
            Self::TheyDie => "they die",
            Self::WeDie => "we die",
        }
    }
}
