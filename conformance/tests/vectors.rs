//! The vectors hold, and the runner notices when they do not.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trunkline_conformance::agentproto::recordings;
use trunkline_conformance::report::{Report, Verdict};
use trunkline_conformance::vectors::{Case, File, Suite};
use trunkline_conformance::{registry, run};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn file(name: &str) -> File {
    let suite = Suite::load(&vectors(), &["agentproto".into()]).unwrap();
    suite.files.into_iter().find(|file| file.name == name).unwrap()
}

/// Every case of the file passes, and there are at least as many as there were.
fn holds(name: &str, known: usize) {
    let report = run(&Suite { files: vec![file(name)] });
    let mut text = Vec::new();
    report.write_text(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let totals = report.totals();
    assert_eq!((totals.failed, totals.skipped), (0, 0), "{text}");
    assert!(totals.passed >= known, "{text}");
}

#[test]
fn frames_hold() {
    holds("frames.json", 162);
}

#[test]
fn lenient_encodings_hold() {
    holds("lenient.json", 64);
}

#[test]
fn rejects_hold() {
    holds("rejects.json", 85);
}

#[test]
fn recordings_hold() {
    holds("recordings.json", 11);
}

#[test]
fn the_recorder_writes_the_golden_recordings() {
    let cases = file("recordings.json").cases.unwrap();
    let recorded = |case: &Case| recordings::recorded(&case.value).unwrap().is_some();
    let written: Vec<_> =
        cases.iter().filter(|case| recorded(case)).map(|case| case.name.as_str()).collect();
    // Cut, damaged and odd ones aside, which no recorder writes.
    let names = [
        "empty_file",
        "header_and_footer_only",
        "one_cat_command",
        "two_commands",
        "interleaved_commands",
        "connection_lost_no_footer",
        "file_op_frames",
    ];
    assert_eq!(written, names);
}

#[test]
fn modes_hold() {
    holds("modes.json", 31);
}

#[test]
fn the_environment_filter_holds() {
    holds("envfilter.json", 30);
}

#[test]
fn transcripts_hold() {
    holds("transcripts.json", 30);
}

#[test]
fn every_file_of_a_built_wire_has_a_runner_and_the_others_are_not_run() {
    let suite = Suite::load(&vectors(), &[]).unwrap();
    for file in &suite.files {
        let runner = registry::runner(&file.wire, &file.name);
        assert_eq!(runner.is_some(), registry::is_built(&file.wire), "{}/{}", file.wire, file.name);
    }
    let others = suite.files.into_iter().filter(|file| !registry::is_built(&file.wire)).collect();
    let totals = run(&Suite { files: others }).totals();
    assert_eq!((totals.passed, totals.failed), (0, 0));
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Pass,
    Fail,
    NotRun,
}

use Expected::{Fail, NotRun, Pass};

/// Runs the case `name` of a file with some of its fields changed; null takes a field away.
fn doctored(file_name: &str, name: &str, changes: Value) -> Verdict {
    let cases = file(file_name).cases.unwrap();
    let mut case = cases.into_iter().find(|case| case.name == name).unwrap().value;
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            case.as_object_mut().unwrap().remove(key);
        } else {
            case[key] = value.clone();
        }
    }
    registry::runner("agentproto", file_name).unwrap()(&case)
}

fn verdicts(file_name: &str, name: &str, doctors: Vec<(Value, Expected)>) {
    for (changes, expected) in doctors {
        let verdict = doctored(file_name, name, changes.clone());
        let seen = match verdict {
            Verdict::Pass => Pass,
            Verdict::Fail(_) => Fail,
            Verdict::NotRun(_) => NotRun,
        };
        assert_eq!(seen, expected, "{name} with {changes}: {verdict:?}");
    }
}

#[test]
fn a_doctored_frame_is_noticed() {
    // {"t": 5, "c": 42}
    let doctors = vec![
        (json!({}), Pass),
        (json!({"note": "changed"}), Pass),
        (json!({"hex": "a26163182b617405"}), Fail),
        (json!({"hex": "a26163182a617406"}), Fail),
        (json!({"hex": "a26163182a61740500", "len": 9}), Fail),
        (json!({"hex": "a26163182a617405a1617405", "len": 12}), Fail),
        (json!({"hex": "a26163182a6174", "len": 7}), Fail),
        (json!({"hex": "a2617405616318 2a"}), NotRun),
        (json!({"hex": "a26174056163182a"}), Fail),
        (json!({"hex": "a26174056163182a", "decode_only": true}), Pass),
        (json!({"len": 9}), Fail),
        (json!({"decoded": {"t": 5, "c": 43}}), Fail),
        (json!({"decoded": {"t": 5}}), Fail),
        (json!({"decoded": {"t": 5, "c": 42, "e": ""}}), Fail),
        (json!({"decoded": {"t": 5, "c": 42, "zz": 1}}), Fail),
        (json!({"decoded": {"t": 5, "c": "42"}}), Fail),
        (json!({"decoded": null}), NotRun),
        (json!({"hex": null}), NotRun),
        (json!({"hex": 7}), NotRun),
        (json!({"hex": "a2616", "len": 2}), NotRun),
        (json!({"len": "8"}), NotRun),
    ];
    verdicts("frames.json", "exit_42", doctors);
}

#[test]
fn null_and_empty_lists_are_told_apart() {
    let exec = |argv: Value, env: Value| json!({"decoded": {"t": 1, "x": {"path": "/bin/env", "argv": argv, "env": env, "cwd": "/"}}});
    let doctors = vec![
        (exec(Value::Null, json!([])), Pass),
        (exec(Value::Null, Value::Null), Fail),
        (exec(json!([]), json!([])), Fail),
        (json!({"decoded": {"t": 1, "x": {"path": "/bin/env", "env": [], "cwd": "/"}}}), Fail),
    ];
    verdicts("frames.json", "exec_null_argv_empty_env", doctors);
}

#[test]
fn bytes_are_compared_in_any_notation() {
    let data = |d: Value| json!({"decoded": {"t": 2, "s": 1, "d": d}});
    let doctors = vec![
        (data(json!({"hex": "68656c6c6f20776f726c64"})), Pass),
        (
            data(
                json!({"parts": [{"hex": "6865"}, {"repeat": {"hex": "6C", "count": 2}}, "6f20776f726c64"]}),
            ),
            Pass,
        ),
        (data(json!({"hex": "68656c6c6f20776f726c65"})), Fail),
        (data(json!({"hex": "68656c6c6f20776f726c6"})), NotRun),
    ];
    verdicts("frames.json", "data_stdout", doctors);
}

#[test]
fn a_doctored_lenient_case_is_noticed() {
    let doctors = vec![
        (json!({}), Pass),
        (json!({"reencoded": "a1617406"}), Fail),
        (json!({"reencoded": "bf617405ff"}), Fail),
        (json!({"decoded": {"t": 6}}), Fail),
        (json!({"tier": "quirk"}), Fail),
        (json!({"tier": "odd"}), NotRun),
        (json!({"target": "record"}), Fail),
        (json!({"target": "scroll"}), NotRun),
        (json!({"reencoded": null}), NotRun),
        (json!({"hex": "a1617405"}), Pass),
        (json!({"hex": "a1617420"}), Fail),
    ];
    verdicts("lenient.json", "indefinite_map", doctors);
    verdicts(
        "lenient.json",
        "key_upper_case",
        vec![(json!({}), Pass), (json!({"tier": "format"}), Fail)],
    );
    verdicts(
        "lenient.json",
        "record_old_header",
        vec![(json!({}), Pass), (json!({"target": "frame"}), Fail)],
    );
}

#[test]
fn a_doctored_reject_is_noticed() {
    let doctors = vec![
        (json!({}), Pass),
        (json!({"hex": "a1617405"}), Fail),
        (json!({"hex": "a16174"}), Fail),
        (json!({"expect": "incomplete"}), Fail),
        (json!({"expect": "limit"}), Fail),
        (json!({"expect": "incomplete_or_error"}), Pass),
        (json!({"expect": "applause"}), NotRun),
        (json!({"kind": "type"}), Fail),
        (json!({"kind": "mood"}), NotRun),
        (json!({"expect": null}), NotRun),
        (json!({"target": "scroll"}), NotRun),
        (json!({"frames_before": [{"t": 5}]}), Fail),
        (json!({"frames_before": [{"t": 5}], "hex": "a1617405a16174190100"}), Pass),
        (json!({"frames_before": [{"t": 6}], "hex": "a1617405a16174190100"}), Fail),
        (json!({"hex": "a1617405a16174190100"}), Fail),
    ];
    verdicts("rejects.json", "type_256", doctors);
    let doctors = vec![
        (json!({}), Pass),
        (json!({"hex": "a1617405"}), Fail),
        (json!({"hex": "a1617405a1", "frames_before": [{"t": 5}]}), Pass),
        (json!({"expect": "error", "kind": "malformed"}), Fail),
        (json!({"expect": "limit"}), Fail),
    ];
    verdicts("rejects.json", "truncated_in_key", doctors);
    let doctors = vec![(json!({}), Pass), (json!({"hex": "a261740261645a0000ffff"}), Fail)];
    verdicts("rejects.json", "length_bomb_4GiB", doctors);
}

#[test]
fn another_kind_is_taken_only_where_an_item_can_be_no_frame_from_its_first_byte() {
    // The head of a list of 2^32 elements.
    let doctors = vec![
        (json!({}), Pass),
        (json!({"kind": "malformed"}), Pass),
        (json!({"kind": "type"}), Pass),
        (json!({"kind": "range"}), Fail),
        (json!({"expect": "limit"}), Pass),
        (json!({"expect": "incomplete"}), Pass),
        // Tagged, or in a frame, it is no such item.
        (json!({"hex": "c69b0000000100000000"}), Pass),
        (json!({"hex": "c69b0000000100000000", "kind": "malformed"}), Fail),
        (json!({"hex": "c69b0000000100000000", "kind": "type"}), Fail),
        (json!({"hex": "a16174f5"}), Fail),
    ];
    verdicts("rejects.json", "array_bomb_2pow32", doctors);
}

#[test]
fn a_doctored_recording_is_noticed() {
    let footer = json!({"type": 5, "footer": {"end_time": 1_700_000_000_000_000_005_i64, "command_count": 0}});
    let doctors = vec![
        (json!({}), Pass),
        (json!({"decoded": [footer]}), Fail),
        (json!({"error": "unexpected EOF", "error_kind": "incomplete"}), Fail),
        (json!({"error": "unexpected EOF"}), NotRun),
        (json!({"len": 1}), Fail),
        (json!({"decoded": null}), NotRun),
    ];
    verdicts("recordings.json", "header_and_footer_only", doctors);
    let doctors = vec![
        (json!({}), Pass),
        (json!({"error_kind": "malformed"}), Fail),
        (json!({"error": null, "error_kind": null}), Fail),
    ];
    verdicts("recordings.json", "cut_inside_a_record", doctors);
    let doctors = vec![(json!({}), Pass), (json!({"error_kind": "type"}), Fail)];
    verdicts("recordings.json", "corrupt_record_midway", doctors);
    let doctors = vec![(json!({}), Pass), (json!({"roundtrip": true}), Fail)];
    verdicts("recordings.json", "old_header_with_ssh_fields", doctors);
}

#[test]
fn doctored_modes_and_environments_are_noticed() {
    let doctors = vec![
        (json!({}), Pass),
        (json!({"m": 421}), Fail),
        (json!({"m": null}), NotRun),
        (json!({"kind": "scroll"}), NotRun),
        (json!({"st_mode": 1_u64 << 32}), NotRun),
    ];
    verdicts("modes.json", "stat_100644", doctors);
    verdicts("modes.json", "request_644", vec![(json!({}), Pass), (json!({"bits": 511}), Fail)]);
    let doctors = vec![
        (json!({}), Pass),
        (json!({"out": []}), Fail),
        (json!({"out": ["HOME=/h", "HOME=/h"]}), Fail),
        (json!({"keep": ["PATH"]}), Fail),
        (json!({"out": null}), NotRun),
        (json!({"env": "HOME=/h"}), NotRun),
    ];
    verdicts("envfilter.json", "keep_exact", doctors);
}

#[test]
fn an_empty_report_counts_nothing() {
    let totals = Report::default().totals();
    assert_eq!((totals.passed, totals.failed, totals.skipped), (0, 0, 0));
}
