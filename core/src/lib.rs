//! Sans-IO state machines for the wires by which people reach a remote agent.
//!
//! Every protocol here is a [`Machine`]: a plain value driven with `&mut self`. Bytes go in with
//! the time; events, bytes and a deadline come out. Nothing in this crate reads a clock, does I/O,
//! spawns, locks or waits, so the same code runs under any runtime, in a simulator under virtual
//! time, and on targets without an operating system (`no_std`, with `alloc`).
//!
//! The wires: [`agentproto`] (CBOR frames: run commands on a remote agent). More follow; what they
//! share stands beside them in this crate's root.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod agentproto;
pub mod carrier;
mod close;
mod exit;
pub mod fixed;
mod limits;
mod machine;
mod message;
pub mod mux;
#[cfg(feature = "serde")]
mod notation;
mod payload;
pub mod pool;
mod queue;
mod segment;
pub mod smux;
mod time;
pub mod tunnel;
pub mod wormhole;
pub mod yamux;

pub use close::{CloseReason, Flood, TimeoutKind, Violation};
pub use exit::ExitStatus;
pub use limits::{Budget, Limits, Meter};
pub use machine::{Direction, Machine};
pub use message::{CloseFrame, Message};
pub use payload::Payload;
pub use queue::ByteQueue;
pub use segment::Segment;
pub use time::Instant;
