//! The promises and the faults, for every multiplexer: each law is a test of each wire.

mod ends;
mod faults;
mod laws;
mod wires;
