//! Users and hosts for the machines of a wire, as plain code for simulations.
//!
//! The machines are the real ones; what stands above them here does what a caller and a command do,
//! writes everything down in [`Ledger`](crate::laws::Ledger)s and compares.

pub mod agentproto;
pub mod mux;
