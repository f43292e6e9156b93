//! The promises and the faults, for every multiplexer: each law is a test of each wire.

mod amounts;
mod ends;
mod faults;
mod laws;
mod model;
mod wires;
