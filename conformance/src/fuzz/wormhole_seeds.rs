//! Inputs to start fuzzing wormhole from, made out of the golden vectors.

use serde_json::Value;

use super::seeds::Seed;
use crate::notation;
use crate::vectors::Suite;

/// The longest input of a session made of one case: every byte is tried in pieces of its own.
const LONGEST: usize = 300;

/// Operations of `wormhole_session`: the first that is one.
const FEED: u8 = 0;
const OPEN: u8 = 7;
const ACCEPT: u8 = 8;
const READ: u8 = 9;
const WRITE: u8 = 11;
const FINISH: u8 = 13;
const TRANSMIT: u8 = 17;
const EVENTS: u8 = 19;
const WAIT: u8 = 20;

/// The seeds of wormhole's targets.
///
/// A frame of the vectors is a seed of the codec's target as it stands; a transcript becomes what
/// one end does and is fed; what two ends do among themselves is written here.
pub(super) fn seeds(suite: &Suite) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for file in suite.files.iter().filter(|file| file.wire == "wormhole") {
        for (number, case) in file.cases.iter().flatten().enumerate() {
            let name = format!("{}-{}", file.name.trim_end_matches(".json"), case.name);
            let seed = |target, input| Seed { target, name: name.clone(), input };
            if let Some(bytes) = case.value.get("hex").and_then(|hex| notation::bytes(hex).ok()) {
                let cut = u8::try_from(number * 4 % 251).unwrap_or_default();
                seeds.push(seed("wormhole_frame", [&[0, cut][..], &bytes].concat()));
                if bytes.len() > LONGEST {
                    continue;
                }
                let server = u8::from(case.value.get("role").is_none_or(|role| role == "server"));
                let fed = [&[server][..], &feed(&bytes), &[ACCEPT, TRANSMIT, 7, EVENTS]].concat();
                seeds.push(seed("wormhole_session", fed));
            }
            for (side, role) in [(0, "client"), (1, "server")] {
                if let Some(session) = session(&case.value, side, role) {
                    seeds.push(seed("wormhole_session", session));
                }
            }
        }
    }
    let pair = [
        // Settings; open, write, send, arrive, accept, read, at either end, and a close.
        vec![
            0, 0, 2, 0, 100, 8, 7, 137, 7, 250, 129, 133, 0, 200, 130, 0, 60, 136, 7, 9, 7, 250, 5,
            0, 200,
        ],
        vec![
            0x21, 0, 2, 0, 230, 2, 0, 230, 8, 7, 137, 7, 220, 129, 133, 0, 210, 136, 7, 9, 7, 3,
            11, 255, 255,
        ],
        vec![
            0x54, 0, 128, 2, 0, 90, 130, 0, 90, 8, 7, 136, 7, 9, 7, 5, 137, 7, 5, 7, 0, 135, 0, 8,
            7, 136, 7,
        ],
        vec![
            0xc8, 0, 0, 2, 0, 255, 2, 1, 255, 7, 0, 8, 7, 137, 7, 255, 129, 129, 133, 0, 255, 133,
            1, 255,
        ],
    ];
    let names = ["one", "windows", "crossing", "written"];
    seeds.extend(names.into_iter().zip(pair).map(|(name, input)| Seed {
        target: "wormhole_pair",
        name: name.to_owned(),
        input,
    }));
    seeds
}

/// Feeds bytes, as many as one operation takes at a time.
fn feed(bytes: &[u8]) -> Vec<u8> {
    let pieces =
        bytes.chunks(255).filter_map(|piece| Some((u8::try_from(piece.len()).ok()?, piece)));
    pieces.flat_map(|(length, piece)| [&[FEED, length][..], piece].concat()).collect()
}

/// What one end of a transcript does, and is fed.
fn session(case: &Value, side: u8, role: &str) -> Option<Vec<u8>> {
    let steps = case.get("steps")?.as_array()?;
    let mut input = vec![side | 2];
    let mut known: Vec<u64> = Vec::new();
    let none = Vec::new();
    for step in steps {
        for op in step.get("ops").and_then(Value::as_array).unwrap_or(&none) {
            if op.get("op").and_then(Value::as_str) == Some("advance") {
                input.extend([WAIT, 1, 1]);
            }
            if op.get("at").and_then(Value::as_str) == Some(role) {
                operation(op, &mut known, &mut input);
            }
        }
        if step.get("from").and_then(Value::as_str) != Some(role) {
            input.extend(feed(&notation::bytes(step.get("hex")?).ok()?));
        }
        input.extend([TRANSMIT, 7, EVENTS]);
    }
    Some(input)
}

fn operation(op: &Value, known: &mut Vec<u64>, input: &mut Vec<u8>) {
    let id = op.get("stream").and_then(Value::as_u64).unwrap_or_default();
    let index = known.iter().position(|known| *known == id).unwrap_or_default();
    let index = u8::try_from(index).unwrap_or_default();
    match op.get("op").and_then(Value::as_str).unwrap_or_default() {
        "open" => {
            known.push(id);
            input.push(OPEN);
        }
        "accept" | "accept_start" => {
            known.push(id);
            input.push(ACCEPT);
        }
        "read" => input.extend([READ, index, 255]),
        "write" | "write_start" => input.extend([WRITE, index, 100]),
        "close" => input.extend([FINISH, index]),
        _ => {}
    }
}
