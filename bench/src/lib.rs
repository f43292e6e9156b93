//! The instrument for multiplexers: what each of them is asked to do, over which transport and
//! under which runtime, and what of it is counted.
//!
//! The program beside this library compares; the programs under `bench/peers` and `bench/go` run
//! the same scenarios with the multiplexers of others, whose dependencies stay out of everything
//! else. `docs/benchmarks.md` says what each figure means.
#![deny(unsafe_code)]

pub mod allocator;
pub mod mux;
