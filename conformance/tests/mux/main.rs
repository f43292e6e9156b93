//! The promises and the faults, for every multiplexer: each law is a test of each wire.

mod faults;
mod laws;
mod wires;
