//! See `trunkline_conformance::fuzz::agentproto_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| trunkline_conformance::fuzz::agentproto_files(input));
