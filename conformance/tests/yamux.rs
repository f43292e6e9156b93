//! The vectors of yamux hold, and the runner notices when they do not.

use std::path::Path;

use serde_json::{Value, json};
use trunkline_conformance::report::Verdict;
use trunkline_conformance::vectors::{File, Suite};
use trunkline_conformance::{run, yamux};

fn file(name: &str) -> File {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let suite = Suite::load(&vectors, &["yamux".into()]).unwrap();
    suite.files.into_iter().find(|file| file.name == name).unwrap()
}

fn case(file_name: &str, name: &str) -> Value {
    let cases = file(file_name).cases.unwrap();
    cases.into_iter().find(|case| case.name == name).unwrap().value
}

/// Every case of the file passes but so many that are for reading only.
fn holds(name: &str, known: usize, read_only: usize) {
    let report = run(&Suite { files: vec![file(name)] });
    let mut text = Vec::new();
    report.write_text(&mut text).unwrap();
    let totals = report.totals();
    let text = String::from_utf8(text).unwrap();
    assert_eq!((totals.failed, totals.skipped), (0, read_only), "{text}");
    assert!(totals.passed >= known, "{text}");
}

#[test]
fn frames_hold() {
    holds("frames.json", 50, 0);
}

#[test]
fn rejects_hold_by_default_and_as_in_the_original() {
    holds("rejects.json", 43, 0);
}

#[test]
fn transcripts_hold_from_either_end() {
    holds("transcripts.json", 28, 1);
}

/// The case fails once `change` was made to it, and passes without.
#[track_caller]
fn fails(run: fn(&Value) -> Verdict, mut case: Value, change: impl FnOnce(&mut Value)) {
    assert_eq!(run(&case), Verdict::Pass);
    change(&mut case);
    assert!(matches!(run(&case), Verdict::Fail(_)), "{:?}", run(&case));
}

#[test]
fn another_frame_is_noticed() {
    for (key, value) in [
        ("stream_id", json!(2)),
        ("length", json!(6)),
        ("flags", json!(1)),
        ("payload_hex", json!("68656c6c70")),
        ("go_text", json!("Vsn:0")),
    ] {
        let hello = case("frames.json", "data-hello-client-stream");
        fails(yamux::frames::run, hello, |case| case["decoded"][key] = value);
    }
}

#[test]
fn another_reaction_is_noticed() {
    let run = yamux::rejects::run;
    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        fails(run, case("rejects.json", name), |case| change(case));
    };
    changed("data-for-unknown-stream", &|case| case["hashicorp"]["sent"] = json!([]));
    changed("syn-and-fin", &|case| case["hashicorp"]["accepted_streams"] = json!(0));
    changed("syn-and-fin", &|case| {
        case["hashicorp"]["api"] = json!(["accepted stream 1: Read -> n=4 \"hell\""]);
    });
    changed("goaway-1", &|case| case["hashicorp"]["error"] = json!("unexpected flag"));
    changed("window-update-overflow", &|case| case["hashicorp"]["session_open"] = json!(false));
    changed("fin-twice", &|case| case["required"] = json!("reset that stream"));
    changed("ack-twice-on-local-open", &|case| case["config"] = json!({"local_streams_open": 0}));
    changed("unknown-flag-bits", &|case| case["hex"] = json!("000100000000000100000010"));
}

#[test]
fn another_session_is_noticed() {
    let run = yamux::transcripts::run;
    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        fails(run, case("transcripts.json", name), |case| change(case));
    };
    let echo = "echo-client-closes-first";
    changed(echo, &|case| case["steps"][0]["hex"] = json!("000100010000000300000000"));
    changed(echo, &|case| case["steps"][4]["hex"] = json!("000000040000000100000000"));
    changed(echo, &|case| drop(case["steps"].as_array_mut().unwrap().remove(1)));
    changed(echo, &|case| case["outcome"][0] = json!("server.stream(1).Read -> 5 bytes \"help!\""));
    changed(echo, &|case| {
        case["outcome"][4] = json!("end: client session open=true streams=1");
    });
    changed("backlog-exceeded-rst", &|case| case["config"] = json!({"keepalive": false}));
    changed("ping-both-directions", &|case| {
        case["steps"][1]["hex"] = json!("000200020000000000000001");
    });
    changed("stream-open-timeout-kills-session", &|case| {
        let end = "end: client session open=false streams=1 error=\"recv window exceeded\"";
        case["outcome"][0] = json!(end);
    });
}

#[test]
fn what_the_runner_does_not_understand_is_not_run() {
    let not_run = |run: fn(&Value) -> Verdict, case: Value| {
        assert!(matches!(run(&case), Verdict::NotRun(_)), "{:?}", run(&case));
    };
    let mut unknown = case("rejects.json", "fin-twice");
    unknown["required"] = json!("do something new");
    not_run(yamux::rejects::run, unknown);
    let mut unknown = case("rejects.json", "fin-twice");
    unknown["config"] = json!({"unheard_of": 1});
    not_run(yamux::rejects::run, unknown);
    let mut unknown = case("transcripts.json", "open-accept");
    unknown["config"]["unheard_of"] = json!(1);
    not_run(yamux::transcripts::run, unknown);
    let mut unknown = case("transcripts.json", "open-accept");
    unknown["steps"][0]["cause"] = json!("client.Juggle()");
    not_run(yamux::transcripts::run, unknown);
    let mut unknown = case("transcripts.json", "open-accept");
    unknown["outcome"] = json!(["client.stream(1).Juggle()", "end: client session open=true"]);
    not_run(yamux::transcripts::run, unknown);
    let mut unknown = case("frames.json", "data-empty");
    unknown["decoded"]["colour"] = json!("red");
    not_run(yamux::frames::run, unknown);
}
