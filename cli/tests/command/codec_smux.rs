//! `trunkline decode` and `trunkline encode` with `--wire smux`.

use serde_json::{Value, json};

use crate::codec::{bytes, cases_of};
use crate::job::{Ended, run_with, trunkline};

fn decode(options: &[&str], bytes: &[u8]) -> Ended {
    run_with(trunkline(["decode", "--wire", "smux"]).args(options), bytes)
}

fn encode(text: &str) -> Ended {
    run_with(&mut trunkline(["encode", "--wire", "smux"]), text.as_bytes())
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn golden() -> Vec<(Value, Vec<u8>)> {
    let cases = cases_of("smux", "frames.json").into_iter();
    // Cases of several frames have a list in `decoded`, and are held by the vectors' runner.
    let single = cases.filter(|case| case["decoded"].get("frames").is_none());
    single.map(|mut case| (case["decoded"].take(), bytes(&case["hex"]))).collect()
}

#[test]
fn golden_frames_make_the_round_trip() {
    let golden = golden();
    assert!(golden.len() >= 30);
    let all: Vec<u8> = golden.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    let decoded = decode(&[], &all);
    assert_eq!((decoded.code, decoded.err.as_str()), (Some(0), ""));
    let (lines, mut offset) = (lines(&decoded), 0);
    assert_eq!(lines.len(), golden.len());
    for (line, (expected, frame)) in lines.iter().zip(&golden) {
        assert_eq!((&line["offset"], &line["length"]), (&json!(offset), &json!(frame.len())));
        for key in ["version", "cmd", "stream", "length", "consumed", "window"] {
            assert_eq!(line["frame"].get(key), expected.get(key), "{key} of {expected}");
        }
        if let Some(payload) = expected.get("payload") {
            assert_eq!(bytes(&line["frame"]["payload"]), bytes(payload), "{expected}");
        }
        offset += frame.len();
    }
    let encoded = encode(decoded.text());
    assert_eq!((encoded.code, encoded.err.as_str()), (Some(0), ""));
    assert!(encoded.out == all, "the bytes differ");
}

#[test]
fn frames_can_be_typed_without_their_length() {
    let typed = r#"{"version":1,"cmd":"PSH","stream":3,"payload":"6869"}
        {"version":2,"cmd":"UPD","stream":5,"consumed":5,"window":65536} {"version":1,"cmd":"NOP","stream":0}"#;
    let encoded = encode(typed);
    assert_eq!(encoded.code, Some(0), "{encoded:?}");
    let meant = b"\x01\x02\x02\0\x03\0\0\0hi\x02\x04\x08\0\x05\0\0\0\x05\0\0\0\0\0\x01\0\x01\x03\0\0\0\0\0\0";
    assert_eq!(encoded.out, meant);
}

#[test]
fn what_cannot_be_a_frame_is_a_line_with_its_number() {
    for bad in [
        r#"{}"#,
        r#"[1,0]"#,
        r#"{"version":3,"cmd":"SYN","stream":3}"#,
        r#"{"version":1,"cmd":"XYZ","stream":3}"#,
        r#"{"version":1,"cmd":"SYN","stream":3,"length":1}"#,
        r#"{"version":1,"cmd":"SYN","stream":3,"payload":"00"}"#,
        r#"{"version":1,"cmd":"UPD","stream":3,"consumed":0,"window":0}"#,
        r#"{"version":2,"cmd":"UPD","stream":3,"consumed":0}"#,
        r#"{"version":1,"cmd":"PSH","stream":3,"payload":"0"}"#,
        r#"{"version":1,"cmd":"PSH","stream":4294967296}"#,
        r#"{"version":1,"cmd":"PSH","stream":3,"payload":{"repeat":{"hex":"00","count":65536}}}"#,
        r#"{"version":1,"cmd":"NOP","stream":0,"more":1}"#,
    ] {
        let first = r#"{"version":1,"cmd":"NOP","stream":0}"#;
        let ended = encode(&format!("{first}\n{bad}"));
        assert_eq!((ended.code, ended.out.len()), (Some(1), 8), "{bad}: {ended:?}");
        assert!(ended.line().contains("frame 2"), "{bad}: {ended:?}");
    }
}

#[test]
fn a_stream_that_breaks_off_or_is_none_says_where() {
    let first = b"\x01\x02\x02\0\x03\0\0\0ab";
    for cut in 1..10 {
        let ended = decode(&["--json"], &[first, &first[..cut]].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let end = json!({"end": "truncated", "offset": 10, "left": cut});
        assert_eq!(lines(&ended)[1], end);
    }
    for (bad, kind) in [
        (&b"\x03\0\0\0\0\0\0\0"[..], "version"),
        (b"\x01\x05\0\0\0\0\0\0", "command"),
        (b"\x01\x04\x08\0\0\0\0\0", "command"),
        (b"\x01\x01\x01\0\0\0\0\0", "length"),
    ] {
        let ended = decode(&["--json"], &[first, bad].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let last = &lines(&ended)[1];
        assert_eq!((&last["kind"], &last["offset"]), (&json!(kind), &json!(10)));
        assert!(ended.line().contains("offset 10"), "{ended:?}");
    }
}
