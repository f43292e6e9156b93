//! A simulator: two machines, a link that misbehaves as told, and time that jumps.
//!
//! A [`Pair`] drives two machines (or a machine and a [`Script`]) over two [`Pipe`]s. A pipe cuts
//! what it carries into any pieces, takes and delivers it slowly, holds no more than it has room
//! for, and breaks at any byte: an end, a reset, or silence. Time goes from one thing that happens
//! to the next, so an hour costs nothing. Everything comes from one seed: [`seeds`] runs a test
//! with many of them and names the one that fails.
//!
//! Nothing here knows a wire. A byte machine works as it is; a message machine needs [`Freight`]
//! for its message, and [`Outgoing`].
//!
//! `conformance/examples/simulate.rs` shows how to test code of one's own with it.

mod clock;
mod freight;
mod pair;
mod pipe;
mod rng;
mod script;
#[cfg(test)]
mod tests;
mod trace;

pub use clock::Clock;
pub use freight::{Freight, Outgoing};
pub use pair::{Pair, Stuck, Why};
pub use pipe::{Chunks, Fault, Pipe, Shape};
pub use rng::{Failed, Rng, seeds};
pub use script::Script;
pub use trace::{End, Trace, What};
