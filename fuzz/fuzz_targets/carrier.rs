//! See `trunkline_conformance::fuzz::carrier`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| trunkline_conformance::fuzz::carrier(input));
