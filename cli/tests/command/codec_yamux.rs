//! `trunkline decode` and `trunkline encode` with `--wire yamux`.

use serde_json::{Value, json};

use crate::codec::{bytes, cases_of};
use crate::job::{Ended, run_with, trunkline};

fn decode(options: &[&str], bytes: &[u8]) -> Ended {
    run_with(trunkline(["decode", "--wire", "yamux"]).args(options), bytes)
}

fn encode(text: &str) -> Ended {
    run_with(&mut trunkline(["encode", "--wire", "yamux"]), text.as_bytes())
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn golden() -> Vec<(Value, Vec<u8>)> {
    let cases = cases_of("yamux", "frames.json").into_iter().map(|mut case| {
        let bytes = bytes(case.get("hex").or_else(|| case.get("parts")).expect("bytes"));
        (case["decoded"].take(), bytes)
    });
    cases.collect()
}

#[test]
fn golden_frames_make_the_round_trip() {
    let golden = golden();
    assert!(golden.len() >= 50);
    let all: Vec<u8> = golden.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    let decoded = decode(&[], &all);
    assert_eq!((decoded.code, decoded.err.as_str()), (Some(0), ""));
    let (lines, mut offset) = (lines(&decoded), 0);
    assert_eq!(lines.len(), golden.len());
    for (line, (expected, bytes)) in lines.iter().zip(&golden) {
        assert_eq!((&line["offset"], &line["length"]), (&json!(offset), &json!(bytes.len())));
        for key in ["version", "type", "type_name", "flags", "flag_names", "stream_id", "length"] {
            assert_eq!(line["frame"][key], expected[key], "{key} of {expected}");
        }
        if let Some(payload) = expected.get("payload_hex") {
            assert_eq!(&line["frame"]["payload_hex"], payload);
        }
        offset += bytes.len();
    }
    let encoded = encode(decoded.text());
    assert_eq!((encoded.code, encoded.err.as_str()), (Some(0), ""));
    assert!(encoded.out == all, "the bytes differ");
}

#[test]
fn a_frame_can_be_typed_with_names_alone() {
    let typed = r#"{"type_name":"Data","flag_names":["SYN","FIN"],"stream_id":5,"payload_hex":"6f6e6365"}
        {"type":2,"flags":1,"length":7}"#;
    let encoded = encode(typed);
    assert_eq!(encoded.code, Some(0), "{encoded:?}");
    assert_eq!(encoded.out, b"\0\0\0\x05\0\0\0\x05\0\0\0\x04once\0\x02\0\x01\0\0\0\0\0\0\0\x07");
}

#[test]
fn what_cannot_be_a_frame_is_a_line_with_its_number() {
    for bad in [
        r#"{}"#,
        r#"[0,1]"#,
        r#"{"type":4}"#,
        r#"{"type":0,"version":1}"#,
        r#"{"type":0,"type_name":"Ping"}"#,
        r#"{"type":1,"flags":1,"flag_names":["ACK"]}"#,
        r#"{"type":1,"flag_names":["XYZ"]}"#,
        r#"{"type":1,"payload_hex":"00"}"#,
        r#"{"type":0,"length":2,"payload_hex":"00"}"#,
        r#"{"type":0,"length":4294967296}"#,
        r#"{"type":0,"more":1}"#,
    ] {
        let ended = encode(&format!("{{\"type\":3}}\n{bad}"));
        assert_eq!((ended.code, ended.out.len()), (Some(1), 12), "{bad}: {ended:?}");
        assert!(ended.line().contains("frame 2"), "{bad}: {ended:?}");
    }
}

#[test]
fn a_stream_that_breaks_off_or_is_none_says_where() {
    let first = b"\0\0\0\0\0\0\0\x01\0\0\0\x02ab";
    for cut in 1..14 {
        let ended = decode(&["--json"], &[first, &first[..cut]].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let end = json!({"end": "truncated", "offset": 14, "left": cut});
        assert_eq!(lines(&ended)[1], end);
    }
    for (bad, kind) in [
        (&b"\x01\0\0\0\0\0\0\0\0\0\0\0"[..], "version"),
        (b"\0\x04\0\0\0\0\0\0\0\0\0\0", "type"),
        (b"\0\0\0\0\0\0\0\x01\xff\xff\xff\xff", "limit"),
    ] {
        let ended = decode(&["--json"], &[first, bad].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let last = &lines(&ended)[1];
        assert_eq!((&last["kind"], &last["offset"]), (&json!(kind), &json!(14)));
        assert!(ended.line().contains("offset 14"), "{ended:?}");
    }
}

#[test]
fn acceptance_is_for_agentproto_alone() {
    let ended = decode(&["--accept", "format"], b"");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.line().contains("--accept"), "{ended:?}");
}
