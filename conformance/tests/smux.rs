//! The vectors of smux hold, and the runner notices when they do not.

use std::path::Path;

use serde_json::{Value, json};
use trunkline_conformance::report::Verdict;
use trunkline_conformance::vectors::{File, Suite};
use trunkline_conformance::{registry, run};

fn file(name: &str) -> File {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let suite = Suite::load(&vectors, &["smux".into()]).unwrap();
    suite.files.into_iter().find(|file| file.name == name).unwrap()
}

/// Every case of the file passes but `skipped`, and there are at least as many as there were.
fn holds(name: &str, known: usize, skipped: usize) {
    let report = run(&Suite { files: vec![file(name)] });
    let mut text = Vec::new();
    report.write_text(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let totals = report.totals();
    assert_eq!((totals.failed, totals.skipped), (0, skipped), "{text}");
    assert!(totals.passed >= known, "{text}");
}

#[test]
fn frames_hold() {
    holds("frames.json", 34, 0);
}

#[test]
fn rejects_hold() {
    holds("rejects.json", 38, 0);
}

#[test]
fn transcripts_hold() {
    // The order of the original's send queue is for reading only.
    holds("transcripts.json", 17, 1);
}

/// Runs the case `name` of a file with some places in it changed, by JSON pointer.
fn doctored(file_name: &str, name: &str, changes: &[(&str, Value)]) -> Verdict {
    let cases = file(file_name).cases.unwrap();
    let mut case = cases.into_iter().find(|case| case.name == name).unwrap().value;
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match case.pointer_mut(parent).unwrap() {
            Value::Object(map) => drop(map.insert(key.into(), value.clone())),
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
            other => panic!("{other}"),
        }
    }
    registry::runner("smux", file_name).unwrap()(&case)
}

#[test]
fn a_doctored_frame_is_noticed() {
    let fails = |pointer, value: Value| {
        let verdict = doctored("frames.json", "v2-upd-first-read", &[(pointer, value)]);
        assert!(matches!(verdict, Verdict::Fail(_)), "{pointer}: {verdict:?}");
    };
    fails("/hex", json!("02040800030000000500000000000200"));
    fails("/hex", json!("020408000300000005000000000001"));
    fails("/decoded/consumed", json!(6));
    fails("/decoded/length", json!(9));
    fails("/decoded/stream", json!(5));
    fails("/decoded/zz", json!(5));
    let swapped = doctored("frames.json", "v1-fin", &[("/hex", json!("0101030000000000"))]);
    assert!(matches!(swapped, Verdict::Fail(_)), "{swapped:?}");
    let text = doctored("frames.json", "v1-psh-text", &[("/decoded/payload", json!("68"))]);
    assert!(matches!(text, Verdict::Fail(_)), "{text:?}");
}

#[test]
fn a_doctored_reject_is_noticed() {
    for (name, pointer, value) in [
        ("fin-with-payload", "/expect/consumed", json!(17)),
        ("fin-with-payload", "/expect/session_error", json!("EOF")),
        ("fin-with-payload", "/expect/accepted", json!([])),
        ("clean-eof", "/expect/accepted/0/read", json!("6162")),
        ("clean-eof", "/expect/accepted/0/end", json!("unexpected EOF")),
        ("fin-unknown-stream", "/expect/session_error", json!("EOF")),
        ("upd-window-zero", "/expect/then_write/written", json!(4)),
        ("write-after-peer-fin", "/expect/sent", json!([])),
        ("receive-buffer-exhausted", "/expect/consumed", json!(44)),
        ("config-version-0", "/expect/config_error", json!("no")),
        ("version-3", "/hex", json!("01000000030000000100000065000000")),
    ] {
        let verdict = doctored("rejects.json", name, &[(pointer, value.clone())]);
        assert!(matches!(verdict, Verdict::Fail(_)), "{name} {pointer} {value}: {verdict:?}");
    }
    for (pointer, value) in [
        ("/kind", json!("odd")),
        ("/config/mood", json!(1)),
        ("/expect/mood", json!(1)),
        ("/before", json!(["sing"])),
    ] {
        let verdict = doctored("rejects.json", "clean-eof", &[(pointer, value)]);
        assert!(matches!(verdict, Verdict::NotRun(_)), "{pointer}: {verdict:?}");
    }
}

#[test]
fn a_doctored_transcript_is_noticed() {
    for (name, pointer, value) in [
        ("v1-open-echo-close", "/steps/0/hex", json!("0100000005000000")),
        ("v1-open-echo-close", "/steps/3/observe", json!("got \"hell\"")),
        ("v1-open-echo-close", "/steps/6/hex", json!("")),
        ("v1-open-echo-close", "/steps/9/observe", json!("client has 1 streams, server has 1")),
        ("v1-keepalive", "/steps/1/hex", json!("")),
        ("v1-keepalive-timeout", "/steps/2/observe", json!("client session closed: false")),
        ("v1-half-close", "/steps/11/observe", json!("ok")),
        ("v1-closewrite-then-close", "/steps/4/hex", json!("")),
        ("v1-id-overflow", "/steps/2/observe", json!("stream 1")),
        ("v2-upd-threshold", "/steps/5/hex", json!("02040800030000001400000040000000")),
        ("v2-window-stall-and-resume", "/steps/4/observe", json!("blocked after 99")),
        ("v2-initial-window", "/config/client_max_frame_size", json!(32_767)),
    ] {
        let verdict = doctored("transcripts.json", name, &[(pointer, value.clone())]);
        assert!(matches!(verdict, Verdict::Fail(_)), "{name} {pointer} {value}: {verdict:?}");
    }
    for (pointer, value) in
        [("/steps/0/do", json!("sing")), ("/steps/0/from", json!("x")), ("/config/x", json!(1))]
    {
        let verdict = doctored("transcripts.json", "v1-server-opens", &[(pointer, value)]);
        assert!(matches!(verdict, Verdict::NotRun(_)), "{pointer}: {verdict:?}");
    }
}
