//! See `trunkline_conformance::fuzz::yamux_bytes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| trunkline_conformance::fuzz::yamux_bytes(input));
