//! See `trunkline_conformance::fuzz::smux_bytes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| trunkline_conformance::fuzz::smux_bytes(input));
