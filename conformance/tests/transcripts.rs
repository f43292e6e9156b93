//! A doctored session is noticed, at whichever end it was doctored.

use std::path::Path;

use serde_json::{Value, json};
use trunkline_conformance::agentproto::transcripts::run;
use trunkline_conformance::report::Verdict;
use trunkline_conformance::vectors::Suite;

/// The recorded session of this name.
fn session(name: &str) -> Value {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let suite = Suite::load(&vectors, &["agentproto".into()]).unwrap();
    let file = suite.files.into_iter().find(|file| file.name == "transcripts.json").unwrap();
    file.cases.unwrap().into_iter().find(|case| case.name == name).unwrap().value
}

/// The session fails once `change` was made to it, and passes without.
#[track_caller]
fn fails(name: &str, change: impl FnOnce(&mut Value)) {
    let mut case = session(name);
    assert_eq!(run(&case), Verdict::Pass);
    change(&mut case);
    assert!(matches!(run(&case), Verdict::Fail(_)), "{:?}", run(&case));
}

const CAT: &str = "exec_cat_stdin_eof_exit";

#[test]
fn bytes_that_our_end_does_not_write_are_noticed() {
    // The local EOF of stream 0 becomes one of stream 1; the agent's becomes one of stream 5.
    fails(CAT, |case| case["steps"][7]["hex"] = json!("a2617301617403"));
    fails(CAT, |case| case["steps"][8]["hex"] = json!("a2617305617403"));
    fails("path_query_nothing_found", |case| case["steps"][2]["hex"] = json!("a161740a"));
    fails("fileop_errors", |case| case["steps"][1]["hex"] = json!("a261740c63667270a162696401"));
}

#[test]
fn frames_too_many_or_too_few_are_noticed() {
    fails(CAT, |case| drop(case["steps"].as_array_mut().unwrap().remove(10)));
    fails(CAT, |case| {
        let steps = case["steps"].as_array_mut().unwrap();
        let log = steps[1].clone();
        steps.insert(1, log);
    });
    fails("refused_config_without_payload", |case| {
        drop(case["steps"].as_array_mut().unwrap().remove(1));
    });
}

#[test]
fn another_log_record_is_noticed_and_other_values_in_it_are_not() {
    let mut case = session(CAT);
    case["steps"][1]["decoded"]["l"]["a"][0] = json!("path=/elsewhere");
    assert_eq!(run(&case), Verdict::Pass);
    for (key, value) in
        [("msg", json!("something else")), ("lvl", json!(0)), ("a", json!(["other=1"]))]
    {
        fails(CAT, |case| case["steps"][1]["decoded"]["l"][key] = value);
    }
}

#[test]
fn another_outcome_is_noticed() {
    fails(CAT, |case| case["expect"]["exit_code"] = json!(1));
    fails(CAT, |case| case["expect"]["exit_code"] = json!(null));
    fails(CAT, |case| case["expect"]["streams"]["1"] = json!({"hex": "00"}));
    fails(CAT, |case| case["expect"]["streams"]["2"] = json!({"hex": "00"}));
    fails(CAT, |case| case["expect"]["eof_set"] = json!([1]));
    fails(CAT, |case| case["expect"]["logs"] = json!(4));
    fails(CAT, |case| case["agent_status"] = json!(127));
    fails("exec_start_failure", |case| case["expect"]["exit_error"] = json!("no"));
    fails("client_responses_out_of_order", |case| case["expect"]["results"]["1"] = json!("/two"));
    fails("client_responses_out_of_order", |case| {
        case["expect"]["dropped_responses"] = json!([98]);
    });
    fails("client_cancel_then_late_response", |case| case["expect"]["leaked_handles"] = json!([6]));
    fails("client_path_query_error", |case| case["expect"]["error"] = json!("agent error: other"));
    fails("client_connection_lost", |case| case["expect"]["loop_error"] = json!("unexpected EOF"));
    fails("client_connection_lost", |case| case["expect"]["loop_result"] = json!(0));
    fails("fileop_read", |case| case["expect"]["file_responses"] = json!(11));
}

#[test]
fn what_the_replay_does_not_understand_is_not_run() {
    let mut case = session("client_connection_lost");
    case["expect"]["loop_error"] = json!("something new");
    assert!(matches!(run(&case), Verdict::NotRun(_)));
    let mut case = session(CAT);
    case["steps"][3]["decoded"] = json!({"t": 99});
    assert!(matches!(run(&case), Verdict::NotRun(_)));
}
