//! `trunkline decode` and `trunkline encode`.

use std::fs;
use std::io::Write as _;

use serde_json::{Value, json};

use crate::crafted::{bytes_of, data};
use crate::job::{Ended, Job, run, run_with, shell, trunkline};
use crate::temp::Temp;

fn decode(options: &[&str], bytes: &[u8]) -> Ended {
    run_with(trunkline(["decode", "--wire", "agentproto"]).args(options), bytes)
}

fn encode(text: &str) -> Ended {
    run_with(&mut trunkline(["encode", "--wire", "agentproto"]), text.as_bytes())
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The golden cases of a file.
pub(crate) fn cases(file: &str) -> Vec<Value> {
    cases_of("agentproto", file)
}

/// The golden cases of a file of any wire.
pub(crate) fn cases_of(wire: &str, file: &str) -> Vec<Value> {
    let path = format!("{}/../conformance/vectors/{wire}/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    match file["cases"].take() {
        Value::Array(cases) => cases,
        other => panic!("no cases: {other}"),
    }
}

/// Bytes in the notation of the vectors.
pub(crate) fn bytes(notation: &Value) -> Vec<u8> {
    match notation {
        Value::String(hex) => {
            let digit =
                |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            hex.as_bytes().chunks(2).map(digit).collect()
        }
        Value::Array(parts) => parts.iter().flat_map(bytes).collect(),
        map if map.get("repeat").is_some() => {
            let repeat = &map["repeat"];
            let count = repeat["count"].as_u64().unwrap().try_into().unwrap();
            bytes(&repeat["hex"]).repeat(count)
        }
        map => bytes(map.get("hex").or_else(|| map.get("parts")).unwrap()),
    }
}

/// The same value with every byte string written as plain hex.
pub(crate) fn plain(value: &Value) -> Value {
    let is_bytes = |map: &serde_json::Map<String, Value>| {
        map.len() == 1 && ["hex", "repeat", "parts"].iter().any(|key| map.contains_key(*key))
    };
    match value {
        Value::Object(map) if is_bytes(map) => {
            let hex: String = bytes(value).iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        }
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        Value::Array(list) => list.iter().map(plain).collect(),
        other => other.clone(),
    }
}

/// All golden frames at once: bytes to JSON and back, and the JSON is the vectors'.
#[test]
fn golden_frames_make_the_round_trip() {
    let cases = cases("frames.json");
    assert!(cases.len() > 100);
    // A vector's limits may be beyond those of a frame that is taken in.
    let taken = |case: &&Value| bytes(&case["hex"]).len() < 16 << 20;
    let frames = cases.iter().filter(|case| case["decoded"].get("t").is_some()).filter(taken);
    let frames: Vec<_> = frames.collect();
    let whole: Vec<Vec<u8>> = frames.iter().map(|case| bytes(&case["hex"])).collect();
    let all = whole.concat();

    let decoded = decode(&["--accept", "canonical"], &all);
    assert_eq!((decoded.code, decoded.err.as_str()), (Some(0), ""));
    let (decoded_lines, mut offset) = (lines(&decoded), 0);
    assert_eq!(decoded_lines.len(), frames.len());
    for ((line, case), bytes) in decoded_lines.iter().zip(&frames).zip(&whole) {
        let expected =
            json!({"offset": offset, "length": bytes.len(), "frame": plain(&case["decoded"])});
        assert!(line == &expected, "{}: {line:.400} and not {expected:.400}", case["name"]);
        offset += bytes.len();
    }

    let encoded = encode(decoded.text());
    assert_eq!((encoded.code, encoded.err.as_str()), (Some(0), ""));
    assert!(encoded.out == all, "the bytes differ");
    // The vectors' own JSON, with its notation of long byte strings.
    let text: String = frames.iter().map(|case| format!("{}\n", case["decoded"])).collect();
    let encoded = encode(&text);
    assert_eq!((encoded.code, encoded.err.as_str()), (Some(0), ""));
    assert!(encoded.out == all, "the bytes differ");
}

#[test]
fn a_file_and_stdin_are_the_same() {
    let temp = Temp::new();
    let file = temp.write("frames", bytes_of(&[data(1, "x"), json!({"t": 5})]));
    let of_file = run(&mut trunkline(["decode", "--wire", "agentproto", &file]));
    let dash = run_with(
        &mut trunkline(["decode", "--wire", "agentproto", "-"]),
        &fs::read(&file).unwrap(),
    );
    assert_eq!((of_file.code, of_file.text()), (Some(0), dash.text()));
    let json = temp.write("json", of_file.out);
    let back = run(&mut trunkline(["encode", "--wire", "agentproto", &json]));
    assert_eq!((back.code, back.out), (Some(0), fs::read(&file).unwrap()));
    for command in ["decode", "encode"] {
        for (file, text) in [("/no/such/file", "No such file"), (temp.text(), "directory")] {
            let ended = run(&mut trunkline([command, "--wire", "agentproto", file]));
            assert_eq!((ended.code, ended.text()), (Some(1), ""), "{ended:?}");
            assert!(ended.line().contains(text), "{ended:?}");
        }
    }
}

#[test]
fn a_stream_that_ends_early_says_where() {
    let first = bytes_of(&[data(1, "first")]);
    let whole = bytes_of(&[data(1, "first"), data(2, "second")]);
    for cut in first.len() + 1..whole.len() {
        let ended = decode(&["--json"], &whole[..cut]);
        assert_eq!((ended.code, lines(&ended).len()), (Some(1), 2), "{ended:?}");
        let line = ended.line();
        assert!(line.contains(&format!("offset {}", first.len())), "{line}");
        assert!(line.contains("middle of a frame"), "{line}");
        let end = json!({"end": "truncated", "offset": first.len(), "left": cut - first.len()});
        assert_eq!(lines(&ended)[1], end);
    }
}

#[test]
fn garbage_says_where_and_why() {
    let first = bytes_of(&[data(1, "first")]);
    for garbage in [&b"Welcome"[..], b"\xff", b"\xa1\x61t\x61x", b"\xa1\x61t\x19\x01\0", b"\0"] {
        for options in [&[][..], &["--json"]] {
            let ended = decode(options, &[&first, garbage, &first].concat());
            assert_eq!(ended.code, Some(1), "{ended:?}");
            assert!(ended.line().contains(&format!("offset {}", first.len())), "{ended:?}");
            let lines = lines(&ended);
            assert_eq!(lines[0]["frame"], data(1, "first"));
            assert_eq!(lines.len(), 1 + options.len());
            if let Some(last) = lines.get(1) {
                assert_eq!(
                    (&last["end"], &last["offset"]),
                    (&json!("violation"), &json!(first.len()))
                );
                assert!(ended.line().contains(last["error"].as_str().unwrap()), "{ended:?}");
            }
        }
    }
    let ended = decode(&[], b"Welcome to the machine\r\n");
    assert!(ended.line().contains("Welcome to the machine\\r\\n"), "{ended:?}");
}

#[test]
fn a_violation_is_told_in_whole_words() {
    // Tag 24 around an integer, where a frame should be.
    let ended = decode(&[], b"\xd8\x18\x01");
    assert!(!ended.line().contains("item. "), "{ended:?}");
}

#[test]
fn every_golden_reject_is_refused_at_its_place() {
    let first = bytes_of(&[data(1, "first")]);
    let short = |case: &&Value| case["target"] == "frame" && bytes(&case["hex"]).len() < 1 << 20;
    for case in cases("rejects.json").iter().filter(short) {
        let ended = decode(&[], &[first.clone(), bytes(&case["hex"])].concat());
        assert_eq!(ended.code, Some(1), "{}: {ended:?}", case["name"]);
        assert!(ended.line().contains("offset "), "{}: {ended:?}", case["name"]);
        assert!(!ended.out.is_empty(), "{}: {ended:?}", case["name"]);
    }
}

#[test]
fn a_clean_end_is_said_too() {
    let bytes = bytes_of(&[data(1, "x"), json!({"t": 5, "c": 3})]);
    let ended = decode(&["--json"], &bytes);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert_eq!(lines(&ended)[2], json!({"end": "clean", "offset": bytes.len()}));
    decode(&["--json"], b"").is(0, "{\"end\":\"clean\",\"offset\":0}\n", "");
    decode(&[], b"").is(0, "", "");
    // All of it is what encode takes.
    assert_eq!(encode(ended.text()).out, bytes);
}

#[test]
fn acceptance_can_be_stricter() {
    let code = |accept: &str, bytes: &[u8]| decode(&["--accept", accept], bytes).code;
    // A long head; a key in another case.
    for (bytes, format) in [(&b"\xa1\x61t\x18\x05"[..], 0), (b"\xa1\x61T\x05", 1)] {
        assert_eq!(code("lenient", bytes), Some(0));
        assert_eq!(code("format", bytes), Some(format));
        assert_eq!(code("canonical", bytes), Some(1));
    }
}

#[test]
fn frames_are_printed_as_they_come() {
    let mut job = Job::start_fed(&mut trunkline(["decode", "--wire", "agentproto"]));
    let frame = bytes_of(&[data(1, "x")]);
    for count in 1..=3 {
        job.feed(&frame);
        assert_eq!(job.out.lines(count).len(), count);
    }
    // Half a frame is not one.
    job.feed(&frame[..4]);
    job.feed(&frame[4..]);
    assert_eq!(job.out.lines(4).len(), 4);
    assert_eq!(job.end().code, Some(0));
}

/// A crafted agent is typed by hand: what is entered is to be sent.
#[test]
fn frames_are_encoded_as_they_come() {
    let mut job = Job::start_fed(&mut trunkline(["encode", "--wire", "agentproto"]));
    job.feed(b"{\"t\":5}\n");
    let came =
        crate::job::within(std::time::Duration::from_secs(3), || job.out.so_far().len() == 4);
    assert!(came, "nothing was sent before the end of the input");
    assert_eq!(job.end().out, b"\xa1\x61t\x05");
}

/// What is wrong in itself, and what is no frame.
const BAD: [&str; 28] = [
    "{",
    "}",
    "nonsense",
    r#"{"t":5"#,
    r#""text""#,
    "7",
    "null",
    "true",
    "[]",
    "[5]",
    r#"{"t":"x"}"#,
    r#"{"t":-1}"#,
    r#"{"t":256}"#,
    r#"{"t":5.5}"#,
    r#"{"t":99999999999999999999}"#,
    r#"{"t":5,"unknown":1}"#,
    r#"{"t":5,"T":5}"#,
    r#"{"t":2,"d":{"hex":"0"}}"#,
    r#"{"t":2,"d":{"hex":"zz"}}"#,
    r#"{"t":2,"d":{}}"#,
    r#"{"t":2,"d":7}"#,
    r#"{"t":1,"x":{"path":7}}"#,
    r#"{"t":1,"x":{"unknown":7}}"#,
    r#"{"t":1,"x":[]}"#,
    r#"{"t":2,"s":4294967296}"#,
    r#"{"frame":7}"#,
    r#"{"t":5,"end":1}"#,
    r#"{"frame":{"t":5},"end":"clean"}"#,
];

#[test]
fn bad_json_is_a_line_with_the_number_of_the_frame() {
    let good = "{\"t\":5}\n{\"offset\":4,\"length\":4,\"frame\":{\"t\":5}}\n";
    let taken = |bad: &&&str| encode(&format!("{good}{bad}")).code != Some(1);
    let taken: Vec<_> = BAD.iter().filter(taken).collect();
    assert!(taken.is_empty(), "taken for frames: {taken:#?}");
    for bad in BAD {
        let ended = encode(&format!("{good}{bad}"));
        assert!(ended.line().contains("frame 3"), "{bad}: {ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{bad}: {ended:?}");
        assert_eq!(ended.out, b"\xa1\x61t\x05\xa1\x61t\x05", "{bad}: {ended:?}");
    }
}

#[test]
fn input_that_is_no_json_at_all_is_a_line() {
    let ended = encode("{\"t\":5}}");
    assert_eq!((ended.code, ended.line().contains("frame 2")), (Some(1), true), "{ended:?}");
    let ended = run_with(&mut trunkline(["encode", "--wire", "agentproto"]), b"{\"t\":5}\n\xff");
    assert_eq!((ended.code, ended.line().contains("frame 2")), (Some(1), true), "{ended:?}");
    let deep = "[".repeat(100_000);
    let ended = encode(&deep);
    assert_eq!((ended.code, ended.line().contains("frame 1")), (Some(1), true), "{ended:?}");
}

/// A few characters must not ask for gigabytes.
#[test]
fn a_huge_repeat_is_refused() {
    for count in ["268435457", "99999999999", "18446744073709551615"] {
        let frame = format!(r#"{{"t":2,"d":{{"repeat":{{"hex":"00","count":{count}}}}}}}"#);
        let ended = encode(&frame);
        assert_eq!((ended.code, ended.out.len()), (Some(1), 0), "{count}: {:?}", ended.err);
        assert!(ended.line().contains("frame 1"), "{count}: {:?}", ended.err);
    }
    let nested =
        r#"{"t":2,"d":{"repeat":{"hex":{"repeat":{"hex":"00","count":100000}},"count":100000}}}"#;
    assert_eq!(encode(nested).code, Some(1));
    let nothing = r#"{"t":2,"d":{"repeat":{"hex":"","count":18446744073709551615}}}"#;
    assert_eq!(encode(nothing).out, b"\xa1\x61t\x02");
}

#[test]
fn outputs_that_cannot_be_written_are_told_and_those_not_wanted_are_not() {
    let temp = Temp::new();
    let frames: String = (0..20_000).map(|_| "{\"t\":5}\n").collect();
    let json = temp.write("json", &frames);
    let bytes = temp.write("bytes", encode(&frames).out);
    for (command, file) in [("encode", json), ("decode", bytes)] {
        let script = |to: &str| {
            format!(r#"{{ "$T" {command} --wire agentproto {file}; echo $? >&2; }} {to}"#)
        };
        let ended = run(&mut shell(&script("| head -c 1 | cat >/dev/null")));
        assert_eq!(ended.err, "0\n", "{command}");
        let ended = run(&mut shell(&script(">/dev/full")));
        assert!(ended.line().contains("No space left on device"), "{ended:?}");
        assert!(!ended.err.ends_with("\n0\n"), "{ended:?}");
    }
}

#[test]
fn a_recorded_session_can_be_looked_at() {
    let temp = Temp::new();
    // `tee` writes to its own output first: that is the file, so that it holds what was passed on.
    let script = r#"exec "$T" exec --via \
        "tee /dev/fd/3 3>&1 >$D/to | \"$T\" agent | tee /dev/fd/3 3>&1 >$D/from" -- \
        sh -c 'cat; exit 5'"#;
    let mut job = Job::start_fed(shell(script).env("D", temp.path()));
    job.stdin.as_mut().unwrap().write_all(b"input").unwrap();
    job.end().is(5, "input", "");
    let frames = |name: &str| {
        let ended = run(&mut trunkline(["decode", "--wire", "agentproto", &temp.file(name)]));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        lines(&ended).into_iter().map(|mut line| line["frame"].take()).collect::<Vec<_>>()
    };
    let (to, from) = (frames("to"), frames("from"));
    assert_eq!(
        (&to[0]["t"], &to[1], to.last()),
        (&json!(1), &data(0, "input"), Some(&json!({"t": 3})))
    );
    let no_logs: Vec<_> = from.iter().filter(|frame| frame["t"] != 7).collect();
    assert_eq!((no_logs[0], no_logs.last()), (&data(1, "input"), Some(&&json!({"t": 5, "c": 5}))));
}
