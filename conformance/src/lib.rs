//! What an implementation of Trunkline's wires must do, as data and as code that checks it.
//!
//! The golden vectors in `conformance/vectors` record what the original implementations wrote and
//! took. [`vectors`] loads a folder of them, [`run`](run()) gives every case to the function that
//! [`registry`] names for its file, and [`report`] tells the outcome to people and to programs.
//!
//! A case passes only when everything it says was checked. One that the runner cannot read or
//! cannot map to a check is not run, with a reason, and never counted as passed; one that panics
//! has failed.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod agent_tunnel;
pub mod agentproto;
pub mod case;
pub mod diff;
pub mod fuzz;
pub mod guard;
pub mod laws;
pub mod model;
pub mod notation;
pub mod registry;
pub mod report;
mod run;
pub mod sim;
pub mod smux;
pub mod vectors;
pub mod wormhole;
pub mod yamux;

pub use run::run;
