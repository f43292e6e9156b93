//! See `trunkline_conformance::fuzz::wormhole_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| trunkline_conformance::fuzz::wormhole_frame(input));
