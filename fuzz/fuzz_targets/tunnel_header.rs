//! See `trunkline_conformance::fuzz::tunnel_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| trunkline_conformance::fuzz::tunnel_header(input));
