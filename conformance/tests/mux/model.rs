//! Operations at random on two machines, against the model that fuzzing uses: what each stream must
//! see, however bytes are cut, streams are ended and the connection is closed, lost or left.
//!
//! Streams are opened, accepted, written, read, finished, reset and forgotten, pings and go-aways
//! sent, time passes, and bytes are handed over in any portions. Each operation is a few bytes, so
//! that what fails shrinks, and is a seed for the fuzz target of the same name.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use trunkline_conformance::fuzz::TARGETS;

/// Operations that a connection does not end of.
fn usual() -> impl Strategy<Value = Vec<u8>> {
    // The number's lowest bit is the side; the rest says what is done.
    let number = prop_oneof![
        2 => 0..4_u8,
        2 => 4..6_u8,
        5 => 6..12_u8,
        3 => 12..16_u8,
        2 => 16..24_u8,
        8 => 26..32_u8,
    ];
    (number, 0..6_u8, any::<u8>(), any::<u8>())
        .prop_map(|(number, stream, one, two)| vec![number, stream, one, two])
}

/// Those that streams are forgotten of, or the connection ends.
fn ending() -> impl Strategy<Value = Vec<u8>> {
    let how = prop_oneof![
        8 => Just(0_u8),
        1 => Just(64),
        3 => Just(70),
        1 => Just(80),
        1 => Just(82),
    ];
    (24..26_u8, 0..6_u8, how).prop_map(|(number, stream, how)| vec![number, stream, how])
}

fn play() -> impl Strategy<Value = Vec<u8>> {
    let op = prop_oneof![30 => usual(), 1 => ending()];
    let ops = prop::collection::vec(op, 1..160);
    (any::<u8>(), ops).prop_map(|(how, ops)| [vec![how], ops.concat()].concat())
}

fn hold(target: &str, version: u8) {
    let known = TARGETS.iter().find(|known| known.name == target).unwrap();
    // More than these, others with every run: `PROPTEST_CASES`. What is new every time is looked for
    // by the fuzz target; here the same is tried whenever nobody asks for more.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let settings = ProptestConfig {
        cases: cases.unwrap_or(200),
        failure_persistence: None,
        ..Default::default()
    };
    let mut runner = match cases {
        None => {
            TestRunner::new_with_rng(settings, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        }
        Some(_) => TestRunner::new(settings),
    };
    let outcome = runner.run(&play(), |mut input| {
        input[0] = input[0] & !8 | version;
        (known.run)(&input);
        Ok(())
    });
    if let Err(broken) = outcome {
        panic!("{target}: {broken}");
    }
}

#[test]
fn two_ends_of_yamux_do_what_the_model_says_whatever_is_done_to_them() {
    hold("yamux_pair", 0);
    hold("yamux_pair", 8);
}

#[test]
fn two_ends_of_smux_1_do_what_the_model_says_whatever_is_done_to_them() {
    hold("smux_pair", 0);
}

#[test]
fn two_ends_of_smux_2_do_what_the_model_says_whatever_is_done_to_them() {
    hold("smux_pair", 8);
}

#[test]
fn two_ends_of_wormhole_do_what_the_model_says_whatever_is_done_to_them() {
    hold("wormhole_pair", 0);
}
