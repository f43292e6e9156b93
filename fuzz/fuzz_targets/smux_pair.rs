//! See `trunkline_conformance::fuzz::smux_pair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| trunkline_conformance::fuzz::smux_pair(input));
