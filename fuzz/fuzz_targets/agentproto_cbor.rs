//! See `trunkline_conformance::fuzz::agentproto_cbor`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| trunkline_conformance::fuzz::agentproto_cbor(input));
