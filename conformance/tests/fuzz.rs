//! The bodies of the fuzz targets over every seed, under any toolchain.

use std::collections::BTreeMap;
use std::path::Path;

use trunkline_conformance::fuzz::TARGETS;
use trunkline_conformance::fuzz::seeds::{Seed, seeds};
use trunkline_conformance::vectors::Suite;

fn all() -> Vec<Seed> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    seeds(&Suite::load(&vectors, &[]).unwrap())
}

fn hold(target: &str) {
    let target = TARGETS.iter().find(|known| known.name == target).unwrap();
    let seeds = all().into_iter().filter(|seed| seed.target == target.name).collect::<Vec<_>>();
    assert!(!seeds.is_empty());
    for seed in seeds {
        let mut input = seed.input;
        // Under every setting that the first byte chooses, and cut anywhere.
        for how in 0..8 {
            input[0] = how;
            (target.run)(&input);
        }
        for length in (0..input.len()).step_by(1 + input.len() / 10) {
            (target.run)(&input[..length]);
        }
        // Some bytes with another value: the neighbourhood in which fuzzing begins.
        for at in (0..input.len()).step_by(1 + input.len() / 40) {
            input[at] = !input[at];
            (target.run)(&input);
            input[at] = !input[at];
        }
    }
}

/// Inputs that fuzzing found to break something once, by target; in hexadecimal.
const FOUND: [(&str, &str); 3] = [
    // An abort behind a close is no orderly end: the model's mistake.
    (
        "smux_pair",
        "080000000004000400000003000000000000000000000046001800001900460000000000000000060000\
         6600001173190050",
    ),
    // What could be held of a stream before its HANDSHAKE hung on the pieces it came in.
    (
        "wormhole_session",
        "ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd8dd0400dddddd\
         dddddddd4949494965666768f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1\
         f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1696afcf607ed1c\
         0711fe130017010243440002434411071300000000000000000000000000000000000000000000000000\
         000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
         000000000000000000000000000000000000000000000000000000000000000000000049494949494949\
         494949494949494949494949494949494949494949494949d6d6d6d6d60b000000d6e0d6d6d6d6d6d6d6\
         d6000bb80a01010000000101000001081113",
    ),
    // A stream whose id the peer had opened before (foreign ids accepted) kept what was unsent.
    (
        "yamux_ops",
        "ffbdffffffffff002b1fff0c0a0b00020001000200020b0a0c000100fdffffff0200000001000000000d\
         15641803020000000010120a0c000100040000000100000000f3ea9bde03001b101b0d13f0f0f0f0f0f0\
         f0f0f0f0121b1013f0f0100f0f0f0f0f0f12f0f0f002001effffff0000f0f06df0ff0013ffff1010",
    ),
];

#[test]
fn what_fuzzing_found_stays_mended() {
    for (target, input) in FOUND {
        let target = TARGETS.iter().find(|known| known.name == target).unwrap();
        let digits: Vec<u8> =
            input.bytes().filter_map(|c| char::from(c).to_digit(16)).map(|d| d as u8).collect();
        let input: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        (target.run)(&input);
    }
}

/// Operations of an agent that serves files: requests, ends of jobs, polls, time.
fn file_session(state: &mut u64) -> Vec<u8> {
    let mut byte = || {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 56) as u8
    };
    let mut input = vec![byte() & 31, 2 | byte() & 1];
    for _ in 0..byte() {
        match byte() {
            // A frame with a request: kind, operation, size, id, read size, path, handle, offset.
            0..140 => {
                let op = [1, 3, 4, 5, 5, 6, 9, 24, byte()][usize::from(byte() % 9)];
                input.extend([
                    60,
                    170,
                    op,
                    byte() % 100,
                    byte(),
                    byte(),
                    byte(),
                    byte(),
                    byte(),
                    0,
                ]);
            }
            // The end of a job: set aside or not, which, and the answer's shape and size.
            140..210 => input.extend([195, byte(), byte(), byte(), byte()]),
            210..235 => input.extend([250]),
            235..250 => input.extend([130]),
            250..252 => input.extend([235, byte()]),
            _ => input.extend([225, byte(), byte()]),
        }
    }
    input
}

#[test]
fn agents_that_serve_files_hold() {
    let target = TARGETS.iter().find(|target| target.name == "agentproto_agent").unwrap();
    let mut state = 1;
    for _ in 0..if cfg!(miri) { 3 } else { 1_000 } {
        (target.run)(&file_session(&mut state));
    }
}

macro_rules! hold {
    ($($test:ident $target:literal)*) => {$(
        #[test]
        fn $test() {
            hold($target);
        }
    )*};
}

hold! {
    frames_hold "agentproto_frame"
    records_hold "agentproto_record"
    cbor_holds "agentproto_cbor"
    local_sides_hold "agentproto_local"
    agents_hold "agentproto_agent"
    pairs_hold "agentproto_pair"
    served_directories_hold "agentproto_files"
    bytes_of_smux_hold "smux_bytes"
    operations_of_smux_hold "smux_ops"
    pairs_of_smux_hold "smux_pair"
    bytes_of_yamux_hold "yamux_bytes"
    operations_of_yamux_hold "yamux_ops"
    pairs_of_yamux_hold "yamux_pair"
    wormhole_frames_hold "wormhole_frame"
    wormhole_sessions_hold "wormhole_session"
    wormhole_pairs_hold "wormhole_pair"
    carriers_hold "carrier"
    tunnel_headers_hold "tunnel_header"
    tunnel_exchanges_hold "tunnel_http"
    tunnel_metadata_holds "tunnel_meta"
}

#[test]
fn every_target_has_seeds_and_every_transcript_is_one() {
    let mut counts = BTreeMap::new();
    for seed in all() {
        *counts.entry(seed.target).or_insert(0) += 1;
    }
    for target in TARGETS {
        assert!(counts.contains_key(target.name), "{}", target.name);
    }
    assert_eq!(counts.len(), TARGETS.len(), "{counts:?}");
    assert!(counts["agentproto_frame"] > 250 && counts["agentproto_local"] > 25, "{counts:?}");
}

/// A target that is not built would be forgotten by everyone.
#[test]
fn every_target_is_a_line_in_the_fuzz_workspace() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let files = std::fs::read_dir(fuzz.join("fuzz_targets")).unwrap().count();
    assert_eq!((manifest.matches("[[bin]]").count(), files), (TARGETS.len(), TARGETS.len()));
    for target in TARGETS {
        let path = fuzz.join(format!("fuzz_targets/{}.rs", target.name));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("fuzz::{}(", target.name)), "{}", target.name);
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{}", target.name);
    }
}
