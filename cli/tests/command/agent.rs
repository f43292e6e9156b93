//! `trunkline agent` without the local side: bytes in, bytes out.

use serde_json::{Value, json};

use crate::crafted::{bytes_of, data, eof, exec_frame, frames_of};
use crate::job::{Job, run, run_with, shell, trunkline};

/// What an agent answers, and what it ends with; its stderr must stay empty.
fn answers(input: &[u8]) -> (Option<i32>, Vec<Value>) {
    let ended = run_with(&mut trunkline(["agent"]), input);
    assert_eq!(ended.err, "");
    (ended.code, frames_of(&ended.out))
}

/// The frames that are no log records, and all messages of those.
fn apart(frames: Vec<Value>) -> (Vec<Value>, Vec<String>) {
    let (logs, rest): (Vec<_>, Vec<_>) = frames.into_iter().partition(|frame| frame["t"] == 7);
    let messages = logs.iter().map(|log| log["l"]["msg"].as_str().unwrap().to_owned()).collect();
    (rest, messages)
}

#[test]
fn a_pipeline_of_three() {
    let script = r#"printf '%s' "$F" | "$T" encode --wire agentproto | "$T" agent | "$T" decode --wire agentproto"#;
    let frames = [exec_frame(&["sh", "-c", "cat; echo err >&2; exit 3"]), data(0, "in"), eof(0)];
    let text: String = frames.iter().map(Value::to_string).collect();
    let ended = run(shell(script).env("F", text));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    let lines = ended.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (frames, logs) = apart(lines.map(|mut line| line["frame"].take()).collect());
    assert_eq!(frames.len(), 5);
    for frame in [data(1, "in"), data(2, "err\n"), eof(1), eof(2)] {
        assert!(frames.contains(&frame), "{frame} is not in {frames:?}");
    }
    assert_eq!(frames.last(), Some(&json!({"t": 5, "c": 3})));
    assert_eq!(logs, ["building command", "child started", "child exited"]);
}

#[test]
fn the_end_of_its_input_is_the_end_of_stdin() {
    let (code, frames) = answers(&bytes_of(&[exec_frame(&["cat"]), data(0, "x")]));
    let (frames, _) = apart(frames);
    assert_eq!((code, frames.last()), (Some(0), Some(&json!({"t": 5}))));
    assert!(frames.contains(&data(1, "x")), "{frames:?}");
}

#[test]
fn a_path_query_is_answered() {
    let query = json!({"t": 9, "q": {"paths": ["/no/such/dir"]}});
    let (code, frames) = answers(&bytes_of(&[query]));
    let (frames, _) = apart(frames);
    assert_eq!((code, frames), (Some(0), vec![json!({"t": 10, "i": {"entries": null}})]));
    // It does not wait for its input to end.
    let mut job = Job::start_fed(&mut trunkline(["agent"]));
    job.feed(&bytes_of(&[json!({"t": 9, "q": {}})]));
    assert_eq!(job.wait().code(), Some(0));
}

#[test]
fn a_first_frame_it_can_make_nothing_of_is_refused() {
    let config = json!({"t": 8, "cfg": {"env_keep": null, "env_remove": null}});
    let firsts = [
        vec![json!({"t": 5})],
        vec![json!({"t": 0})],
        vec![json!({"t": 99})],
        vec![json!({"t": 1})],
        vec![json!({"t": 8})],
        vec![config.clone(), config],
        vec![data(0, "x")],
    ];
    for first in firsts {
        let mut frames = first.clone();
        frames.push(exec_frame(&["echo", "ran"]));
        let (code, frames) = answers(&bytes_of(&frames));
        let (frames, logs) = apart(frames);
        assert_eq!((code, frames), (Some(127), vec![]), "{first:?}");
        assert_eq!(logs.last().unwrap(), "expected exec, path-query or file-op frame", "{first:?}");
    }
}

#[test]
fn an_input_that_is_none_is_refused() {
    let exec = bytes_of(&[exec_frame(&["echo", "ran"])]);
    for input in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"\xff", &exec[..exec.len() - 1]] {
        let (code, frames) = answers(input);
        let (frames, logs) = apart(frames);
        assert_eq!((code, frames), (Some(127), vec![]));
        assert_eq!(logs, ["reading initial frame failed"]);
    }
    // With nobody to tell it is the same.
    assert_eq!(run(&mut shell(r#""$T" agent <&- >&-"#)).code, Some(127));
}

#[test]
fn nonsense_in_the_middle_is_an_end_of_input() {
    let mut input = bytes_of(&[exec_frame(&["sh", "-c", "cat; exit 3"]), data(0, "before")]);
    input.extend(b"garbage");
    let (code, frames) = answers(&input);
    let (frames, logs) = apart(frames);
    assert_eq!((code, frames.last()), (Some(0), Some(&json!({"t": 5, "c": 3}))));
    assert!(frames.contains(&data(1, "before")), "{frames:?}");
    assert!(logs.contains(&"mux read loop ended with error".to_owned()), "{logs:?}");
}

#[test]
fn a_command_that_cannot_be_started_is_told_on_the_wire() {
    let (code, frames) = answers(&bytes_of(&[exec_frame(&["/no/such/program"])]));
    let (frames, _) = apart(frames);
    let exit =
        json!({"t": 5, "c": 127, "e": "fork/exec /no/such/program: no such file or directory"});
    assert_eq!((code, frames), (Some(0), vec![exit]));
    let fds =
        json!({"t": 1, "x": {"path": "true", "argv": null, "env": null, "cwd": "", "fds": [1]}});
    let (code, frames) = answers(&bytes_of(&[fds]));
    let (frames, _) = apart(frames);
    assert_eq!((code, &frames[0]["c"]), (Some(127), &json!(127)), "{frames:?}");
}

#[test]
fn it_waits_for_its_input_to_end_after_the_exit() {
    let mut job = Job::start_fed(&mut trunkline(["agent", "--log-level", "9"]));
    job.feed(&bytes_of(&[exec_frame(&["true"])]));
    let exit = bytes_of(&[json!({"t": 5})]);
    crate::job::eventually("the exit", || job.out.so_far().ends_with(&exit));
    assert!(!job.is_over());
    assert_eq!(job.end().code, Some(0));
}

#[test]
fn log_records_can_be_kept_back_or_redacted() {
    let input = bytes_of(&[exec_frame(&["echo", "secret"]), eof(0)]);
    let logs = |options: &[&str]| {
        let ended = run_with(trunkline(["agent"]).args(options), &input);
        frames_of(&ended.out).into_iter().filter(|frame| frame["t"] == 7).collect::<Vec<_>>()
    };
    assert!(logs(&[])[0]["l"]["a"].to_string().contains("secret"));
    assert!(!Value::Array(logs(&["--redact"])).to_string().contains("secret"));
    assert_eq!(logs(&["--log-level", "-4"]).len(), 1);
    assert_eq!(logs(&["--log-level", "0"]).len(), 0);
}

#[test]
fn a_caller_that_stops_reading_hangs_the_command_up() {
    let marker = crate::marker::Marker::new();
    let script = r#""$T" encode --wire agentproto <"$F" | { cat; exec sleep 3; } | "$T" agent --hangup-after 1 | head -c 1 >/dev/null"#;
    let temp = crate::temp::Temp::new();
    let frame = exec_frame(&["sh", "-c", "yes $0", marker.text()]);
    let file = temp.write("frame", frame.to_string());
    assert_eq!(run(shell(script).env("F", file)).code, Some(0));
    marker.gone();
}
