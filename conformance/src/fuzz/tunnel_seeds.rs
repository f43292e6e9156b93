//! Seeds for the bodies of the agent tunnel.

use serde_json::Value;
use trunkline_core::tunnel::{
    OwnForward, OwnRequest, OwnResponse, OwnTerminal, StreamType, encode_header,
};

use super::seeds::Seed;
use crate::notation;
use crate::vectors::Suite;

/// A header or metadata is a seed as it stands; of a session, what either end wrote, which is also
/// what a caller or callee is fed; what is our own is written here.
pub(super) fn seeds(suite: &Suite) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for file in suite.files.iter().filter(|file| file.wire == "agent-tunnel") {
        for case in file.cases.iter().flatten() {
            let name = format!("{}-{}", file.name.trim_end_matches(".json"), case.name);
            match file.name.as_str() {
                "transcripts.json" => seeds.extend(session(&name, &case.value)),
                _ => seeds.extend(bytes(&case.value).into_iter().flat_map(|it| single(&name, &it))),
            }
        }
    }
    seeds.extend(written());
    seeds
}

fn bytes(case: &Value) -> Option<Vec<u8>> {
    let noted = case.get("parts").or_else(|| case.get("hex"))?;
    notation::bytes(noted).ok()
}

fn seed(target: &'static str, name: &str, pieces: &[&[u8]]) -> Seed {
    Seed { target, name: name.to_owned(), input: pieces.concat() }
}

/// The kind of metadata that a case is about, as a body takes it.
fn single(name: &str, bytes: &[u8]) -> Vec<Seed> {
    let kind = u8::from(name.contains("response"));
    let text = if bytes.first().is_some_and(|first| *first < 9) { bytes.get(5..) } else { None };
    vec![
        seed("tunnel_header", name, &[&[0, 3], bytes]),
        seed("tunnel_meta", name, &[&[kind], text.unwrap_or(bytes)]),
        seed("tunnel_http", name, &[&[if kind == 1 { 0 } else { 4 }, 6, 0], bytes]),
    ]
}

/// What one end of a session wrote, in the pieces in which it did; and that of its first stream.
fn session(name: &str, case: &Value) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (number, from) in ["client", "server"].into_iter().enumerate() {
        let steps = case.get("steps").and_then(Value::as_array).into_iter().flatten();
        let own = steps.filter(|step| {
            let says =
                |key: &str, value: &str| step.get(key).and_then(Value::as_str) == Some(value);
            says("from", from) && says("ws", "binary")
        });
        let pieces: Vec<Vec<u8>> = own.filter_map(bytes).filter(|it| !it.is_empty()).collect();
        if pieces.is_empty() {
            continue;
        }
        let name = format!("{name}-{from}");
        let side = u8::try_from(number).unwrap_or_default();
        seeds.push(seed("carrier", &name, &[&[side, 24], &pieces.concat()]));
        // Feed, accept, read, send: the calls of most sessions.
        let mut calls = vec![side, 1];
        for piece in &pieces {
            for part in piece.chunks(250) {
                calls.extend([0, 200, u8::try_from(part.len()).unwrap_or_default()]);
                calls.extend(part);
            }
            calls.extend([14, 21, 100, 25, 16, 20]);
        }
        calls.extend([28, 16, 17, 255, 18, 16, 19, 0, 16]);
        seeds.push(Seed { target: "carrier", name: format!("{name}-calls"), input: calls });
        // Behind each head of twelve bytes stands its payload.
        let payloads: Vec<&[u8]> =
            pieces.iter().filter(|it| it.len() != 12).map(Vec::as_slice).collect();
        let role = if from == "client" { 0 } else { 4 };
        seeds.push(seed("tunnel_http", &name, &[&[role, 40, 0], &payloads.concat()]));
    }
    seeds
}

/// Metadata of our own kinds, and exchanges between our own ends.
fn written() -> Vec<Seed> {
    let cookie = || ("Set-Cookie".to_owned(), "a=1; b".into());
    let headers = vec![cookie(), cookie(), ("X-Bytes".to_owned(), b"\xe4\xff".to_vec().into())];
    let request = OwnRequest {
        method: "POST".into(),
        path: "/a?b=c".into(),
        headers: headers.clone(),
        body_len: -1,
    };
    let response = OwnResponse { status: 101, headers };
    let command = Some(vec!["sh".to_owned(), "-c".to_owned(), "a \u{e4} <b>".to_owned()]);
    let terminal = OwnTerminal { term: "xterm".into(), cols: 120, rows: 40, command };
    let forward = OwnForward { host: "localhost".into(), port: 22 };
    let texts = [
        ("request", 2, request.to_json()),
        ("response", 3, response.to_json()),
        ("terminal", 4, terminal.to_json()),
        ("forward", 5, forward.to_json()),
    ];
    let mut seeds: Vec<Seed> = texts
        .iter()
        .map(|(name, kind, text)| seed("tunnel_meta", &format!("own-{name}"), &[&[*kind], text]))
        .collect();
    for (name, kind, text) in texts.iter().take(2) {
        let header = encode_header(StreamType::OWN_HTTP, text).unwrap_or_default();
        let how = if *kind == 2 { 5 } else { 1 };
        let name = format!("own-{name}");
        seeds.push(seed("tunnel_http", &name, &[&[how, 9, 36], &header, b"a body"]));
    }
    for number in 0..12_u8 {
        let mut state = u32::from(number) + 1;
        let mut input = vec![8 | number & 3, number.wrapping_mul(37), number];
        input.extend((0..120).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Texts out of letters.
            (state >> 24) as u8 & 0x6f
        }));
        seeds.push(Seed { target: "tunnel_http", name: format!("pair-{number}"), input });
    }
    seeds
}
