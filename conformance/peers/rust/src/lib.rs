//! What the Rust peers of the multiplexers share: the command line, the bytes and the scenarios that
//! `conformance/peers/README.md` describes, over any implementation that is a [`Session`].
//!
//! The programs are in `src/bin`, one for each implementation; the matrix that runs them against each
//! other and against the peers in Go is `src/bin/matrix.rs`.

#![forbid(unsafe_code)]

mod compat;
pub mod matrix;
mod options;
mod ours;
mod pattern;
mod plays;
mod run;
mod session;
mod streams;

pub use compat::TokioStream;
pub use options::{About, Options, Role, Scenario, WireName, options};
pub use ours::{Ours, machine};
pub use plays::play;
pub use run::{Run, Trouble};
pub use session::{Session, ended};
