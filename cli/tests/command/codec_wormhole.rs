//! `trunkline decode` and `trunkline encode` with `--wire wormhole`.

use serde_json::{Value, json};

use crate::codec::{bytes, cases_of};
use crate::job::{Ended, run_with, trunkline};

fn decode(options: &[&str], bytes: &[u8]) -> Ended {
    run_with(trunkline(["decode", "--wire", "wormhole"]).args(options), bytes)
}

fn encode(text: &str) -> Ended {
    run_with(&mut trunkline(["encode", "--wire", "wormhole"]), text.as_bytes())
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The golden frames of bearable size, one by one, with their bytes.
fn golden() -> Vec<(Vec<Value>, Vec<u8>)> {
    let cases = cases_of("wormhole", "frames.json").into_iter().map(|mut case| {
        let frames = match case["decoded"]["frames"].take() {
            Value::Array(frames) => frames,
            _ => vec![case["decoded"].take()],
        };
        (frames, bytes(&case["hex"]))
    });
    cases.filter(|(_, bytes)| bytes.len() < 1 << 20).collect()
}

#[test]
fn golden_frames_make_the_round_trip() {
    let golden = golden();
    assert!(golden.len() >= 55);
    let all: Vec<u8> = golden.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    let expected: Vec<&Value> = golden.iter().flat_map(|(frames, _)| frames).collect();
    let decoded = decode(&[], &all);
    assert_eq!((decoded.code, decoded.err.as_str()), (Some(0), ""));
    let (lines, mut offset) = (lines(&decoded), 0);
    assert_eq!(lines.len(), expected.len());
    for (line, expected) in lines.iter().zip(expected) {
        let size = &expected["total_size"];
        assert_eq!((&line["offset"], &line["length"]), (&json!(offset), size));
        for key in ["version", "type", "type_name", "stream_id", "length"] {
            assert_eq!(line["frame"][key], expected[key], "{key} of {expected}");
        }
        for key in ["increment", "ping_id", "code"] {
            assert_eq!(line["frame"].get(key), expected.get(key), "{key} of {expected}");
        }
        if let Some(message) = expected.get("message") {
            assert_eq!(&line["frame"]["message"], message);
        }
        assert_eq!(bytes(&line["frame"]["payload"]), bytes(&expected["payload"]));
        offset += size.as_u64().unwrap();
    }
    let encoded = encode(decoded.text());
    assert_eq!((encoded.code, encoded.err.as_str()), (Some(0), ""));
    assert!(encoded.out == all, "the bytes differ");
}

#[test]
fn a_frame_can_be_typed_with_names_alone() {
    let typed = r#"{"type_name":"HANDSHAKE","stream_id":1}
        {"type_name":"ERROR","stream_id":1,"code":503,"message":"no"}
        {"type":3,"ping_id":7}"#;
    let encoded = encode(typed);
    assert_eq!(encoded.code, Some(0), "{encoded:?}");
    let open = b"\x01\x06\0\0\0\x01\0\0\0\0";
    let error = b"\x01\x07\0\0\0\x01\0\0\0\x06\0\0\x01\xf7no";
    let ping = b"\x01\x03\0\0\0\0\0\0\0\x04\0\0\0\x07";
    assert_eq!(encoded.out, [&open[..], error, ping].concat());
}

#[test]
fn what_cannot_be_a_frame_is_a_line_with_its_number() {
    for bad in [
        r#"{}"#,
        r#"[1,1]"#,
        r#"{"type":8}"#,
        r#"{"type":1,"version":2}"#,
        r#"{"type":1,"type_name":"PING"}"#,
        r#"{"type_name":"PUNG"}"#,
        r#"{"type":1,"length":2,"payload":"00"}"#,
        r#"{"type":2,"increment":1,"payload":"00000002"}"#,
        r#"{"type":1,"increment":1}"#,
        r#"{"type":5,"stream_id":4294967296}"#,
        r#"{"type":5,"more":1}"#,
    ] {
        let ended = encode(&format!("{{\"type\":5}}\n{bad}"));
        assert_eq!((ended.code, ended.out.len()), (Some(1), 10), "{bad}: {ended:?}");
        assert!(ended.line().contains("frame 2"), "{bad}: {ended:?}");
    }
}

#[test]
fn a_stream_that_breaks_off_or_is_none_says_where() {
    let first = b"\x01\x01\0\0\0\x01\0\0\0\x02ab";
    for cut in 1..12 {
        let ended = decode(&["--json"], &[first, &first[..cut]].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let end = json!({"end": "truncated", "offset": 12, "left": cut});
        assert_eq!(lines(&ended)[1], end);
    }
    for (bad, kind) in [
        (&b"GET / HTTP/1.1"[..], "version"),
        (b"\x01\x08\0\0\0\0\0\0\0\0", "type"),
        (b"\x01\x01\0\0\0\x01\x01\0\0\x01", "limit"),
    ] {
        let ended = decode(&["--json"], &[first, bad].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let last = &lines(&ended)[1];
        assert_eq!((&last["kind"], &last["offset"]), (&json!(kind), &json!(12)));
        assert!(ended.line().contains("offset 12"), "{ended:?}");
    }
}
