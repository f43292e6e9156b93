//! Seeds for the bodies of the multiplexers.

use serde_json::Value;

use super::super::seeds::Seed;
use crate::notation;
use crate::vectors::Suite;

/// The targets of a wire: bytes, operations, pair.
const WIRES: [(&str, [&str; 3]); 2] = [
    ("smux", ["smux_bytes", "smux_ops", "smux_pair"]),
    ("yamux", ["yamux_bytes", "yamux_ops", "yamux_pair"]),
];

/// The seeds of every wire. A frame or a reject is one as it stands; of a session, what one end
/// wrote. Operations feed the same bytes between calls; pairs are written here.
pub(crate) fn seeds(suite: &Suite) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (wire, targets) in WIRES {
        for file in suite.files.iter().filter(|file| file.wire == wire) {
            for (number, case) in file.cases.iter().flatten().enumerate() {
                let name = format!("{}-{}", file.name.trim_end_matches(".json"), case.name);
                for (side, pieces) in pieces(&case.value).into_iter().enumerate() {
                    seeds.extend(of(targets, &format!("{name}-{side}"), number, side, &pieces));
                }
            }
        }
        seeds.extend((0..6).map(|number| pair(targets, number)));
    }
    seeds
}

/// The bytes of a case, by the side that takes them (server, client), in the pieces in which they
/// were written.
fn pieces(case: &Value) -> [Vec<Vec<u8>>; 2] {
    let bytes = |value: &Value| {
        let noted = value.get("hex").or_else(|| value.get("parts"))?;
        notation::bytes(noted).ok()
    };
    let mut by_side = [Vec::new(), Vec::new()];
    let [server, client] = &mut by_side;
    for step in case.get("steps").and_then(Value::as_array).into_iter().flatten() {
        let to = if step.get("from").and_then(Value::as_str) == Some("server") {
            &mut *client
        } else {
            &mut *server
        };
        to.extend(bytes(step));
    }
    for setup in case.get("setup").and_then(Value::as_array).into_iter().flatten() {
        server.extend(notation::bytes(setup).ok());
    }
    server.extend(bytes(case));
    by_side
}

fn of(
    [bytes, ops, _]: [&'static str; 3],
    name: &str,
    number: usize,
    side: usize,
    pieces: &[Vec<u8>],
) -> Vec<Seed> {
    if pieces.is_empty() {
        return Vec::new();
    }
    let how = u8::from(side == 1) << 1;
    let cut = u8::try_from(number % 251).unwrap_or_default();
    let all = Seed {
        target: bytes,
        name: name.to_owned(),
        input: [&[how, cut], pieces.concat().as_slice()].concat(),
    };
    // Open, feed, accept, read, write, send, finish: the calls of most sessions.
    let mut calls = vec![how, 11];
    for piece in pieces {
        for part in piece.chunks(255) {
            calls.extend([10, u8::try_from(part.len()).unwrap_or(u8::MAX)]);
            calls.extend(part);
        }
        calls.extend([13, 21, 100, 24, 3, 16, 18]);
    }
    calls.extend([27, 16, 19, 255, 16]);
    vec![all, Seed { target: ops, name: name.to_owned(), input: calls }]
}

/// Two machines: a mixture of operations that differs by number.
fn pair([_, _, target]: [&'static str; 3], number: u8) -> Seed {
    let mut state = u32::from(number) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut input = vec![number & 63, 0, 0, 24, 0, 255, 255];
    for _ in 0..60 {
        input.extend([next(), next() % 8, next(), next()]);
    }
    Seed { target, name: format!("written-{number}"), input }
}
