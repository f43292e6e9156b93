//! The vectors of the agent tunnel hold, and the runner notices when they do not.

use std::path::Path;

use serde_json::{Value, json};
use trunkline_conformance::agent_tunnel::{headers, rejects, transcripts};
use trunkline_conformance::report::Verdict;
use trunkline_conformance::run;
use trunkline_conformance::vectors::{File, Suite};

fn file(name: &str) -> File {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let suite = Suite::load(&vectors, &["agent-tunnel".into()]).unwrap();
    suite.files.into_iter().find(|file| file.name == name).unwrap()
}

fn case(file_name: &str, name: &str) -> Value {
    let cases = file(file_name).cases.unwrap();
    cases.into_iter().find(|case| case.name == name).unwrap().value
}

/// Every case of the file passes.
fn holds(name: &str, known: usize) {
    let report = run(&Suite { files: vec![file(name)] });
    let mut text = Vec::new();
    report.write_text(&mut text).unwrap();
    let totals = report.totals();
    let text = String::from_utf8(text).unwrap();
    assert_eq!((totals.failed, totals.skipped), (0, 0), "{text}");
    assert!(totals.passed >= known, "{text}");
}

#[test]
fn headers_hold() {
    holds("headers.json", 34);
}

#[test]
fn rejects_hold_by_default_and_as_in_the_original() {
    holds("rejects.json", 42);
}

#[test]
fn transcripts_hold_from_either_end() {
    holds("transcripts.json", 17);
}

/// The case fails once `change` was made to it, and passes without.
#[track_caller]
fn fails(run: fn(&Value) -> Verdict, mut case: Value, change: impl FnOnce(&mut Value)) {
    assert_eq!(run(&case), Verdict::Pass);
    change(&mut case);
    assert!(matches!(run(&case), Verdict::Fail(_)), "{:?}", run(&case));
}

#[test]
fn another_header_is_noticed() {
    for (key, value) in [
        ("type", json!(2)),
        ("type_name", json!("control")),
        ("metadata_len", json!(54)),
        ("metadata_text", json!("{}")),
    ] {
        let minimal = case("headers.json", "request-get-minimal");
        fails(headers::run, minimal, |case| case["decoded"][key] = value);
    }
    for name in ["request-get-minimal", "request-invalid-utf8"] {
        fails(headers::run, case("headers.json", name), |case| {
            case["decoded"]["value"]["request"]["method"] = json!("PUT");
        });
    }
    fails(headers::run, case("headers.json", "response-nil-headers"), |case| {
        case["decoded"]["value"]["response"]["headers"] = json!({});
    });
}

#[test]
fn another_reaction_is_noticed() {
    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        fails(rejects::run, case("rejects.json", name), |case| change(case));
    };
    changed("header-1-byte", &|case| case["go"]["error"] = json!("read stream header: EOF"));
    changed("header-type-0", &|case| case["required"] = json!("error"));
    changed("request-array", &|case| case["required"] = json!("accept"));
    changed("request-missing-fields", &|case| case["go"]["value"]["path"] = json!("/"));
    changed("response-status-missing", &|case| case["go"]["value"]["status"] = json!(200));
    changed("server-http-type-from-agent", &|case| case["go"]["tunnel"] = json!("closed"));
    changed("server-control-not-json", &|case| case["go"]["on_agent_info"] = json!("not JSON"));
    changed("server-control-600000-bytes", &|case| case["go"]["on_agent_info_bytes"] = json!(6));
    changed("server-control-never-finished", &|case| case["go"]["agent_reads"] = json!("EOF"));
    changed("agent-body-len-max-int64", &|case| case["required"] = json!("refuse with 502"));
}

#[test]
fn another_session_is_noticed() {
    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        fails(transcripts::run, case("transcripts.json", name), |case| change(case));
    };
    let role = |case: &mut Value, role: &str| case["roles"] = json!([role]);
    let get = "http-get";
    // A request and a response whose JSON is not what the original's encoder makes.
    changed(get, &|case| {
        let text = case["steps"][4]["hex"].as_str().unwrap();
        case["steps"][4]["hex"] = json!(text.replace("70617468", "50617468"));
    });
    changed(get, &|case| {
        role(case, "client");
        let text = case["steps"][9]["hex"].as_str().unwrap();
        case["steps"][9]["hex"] = json!(text.replacen("7b22", "7b09", 1));
    });
    changed(get, &|case| case["steps"][0]["hex"] = json!("000100010000000400000000"));
    changed(get, &|case| drop(case["steps"].as_array_mut().unwrap().remove(1)));
    changed(get, &|case| {
        let line = "OpenHTTPStream -> status 200 headers map[]; body 13 bytes err=<nil>";
        case["outcome"] = json!([line]);
    });
    // The head and the payload of a frame in one message.
    changed(get, &|case| {
        role(case, "client");
        let steps = case["steps"].as_array_mut().unwrap();
        let payload = steps.remove(7);
        let joined = [&steps[6]["hex"], &payload["hex"]].map(|hex| hex.as_str().unwrap()).concat();
        steps[6]["hex"] = json!(joined);
    });
    changed("agent-absolute-path-refused", &|case| {
        role(case, "client");
        let text = case["steps"][5]["hex"].as_str().unwrap();
        case["steps"][5]["hex"] = json!(text.replace("2f2f6576", "2f786576"));
    });
    changed("agentsdk-bad-metadata-json", &|case| {
        case["config"]["agent"] = json!("internal/agent");
    });
    changed("ws-ping-and-tunnel-close", &|case| case["steps"][0]["hex"] = json!("32"));
    changed("ws-ping-and-tunnel-close", &|case| {
        role(case, "client");
        case["steps"][1]["hex"] = json!("30");
    });
    changed("terminal-stream", &|case| {
        role(case, "client");
        case["outcome"][2] = json!("agent terminal read \"\\x00ls -a\\r\"");
    });
    changed("agent-body-shorter-than-declared", &|case| {
        role(case, "server");
        case["outcome"][0] = json!("server reads 0 bytes \"\" then err=<nil>");
    });
}

/// What the originals do to messages on terminals: two that came together are one read.
#[test]
fn messages_that_merged_in_one_read_are_told_as_one() {
    let mut merged = case("transcripts.json", "terminal-stream");
    let lines = merged["outcome"].as_array_mut().unwrap();
    let second = lines.remove(2).as_str().unwrap().replace("agent terminal read \"", "");
    let first = lines[1].as_str().unwrap().trim_end_matches('"').to_owned();
    lines[1] = json!(first.clone() + &second);
    assert_eq!(transcripts::run(&merged), Verdict::Pass);
    // But not one and a half.
    merged["outcome"][1] = json!(first + "\\x00ls\"");
    assert!(matches!(transcripts::run(&merged), Verdict::Fail(_)));
}

/// A request whose body is longer than the window: credit decides what leaves when, at either end.
#[test]
fn a_large_upload_waits_for_credit() {
    let frame = |kind: u8, flags: u8, length: usize| {
        format!("00{kind:02x}00{flags:02x}00000002{length:08x}")
    };
    let meta = r#"{"method":"POST","path":"/up","headers":null,"body_len":300000}"#;
    let answer = r#"{"status":200,"headers":{}}"#;
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let first = 262_144 - 5 - meta.len();
    let head = |text: &str| format!("01{:08x}", text.len());
    let cause = "server: OpenHTTPStream(POST /up, 300000 body bytes)";
    let body = |count: usize| json!([{"repeat": {"hex": "55", "count": count}}]);
    let server = |hex: Value| json!({"from": "server", "ws": "binary", "hex": hex});
    let client = |hex: Value| json!({"from": "client", "ws": "binary", "hex": hex});
    let mut steps = vec![
        json!({"from": "server", "ws": "binary", "hex": frame(1, 1, 0), "cause": cause}),
        client(json!(frame(1, 2, 0))),
        server(json!(frame(0, 0, 5))),
        server(json!(head(meta))),
        server(json!(frame(0, 0, meta.len()))),
        server(json!(hex(meta))),
        server(json!(frame(0, 0, first))),
        server(body(first)),
        client(json!(frame(1, 0, 200_000))),
        server(json!(frame(0, 0, 300_000 - first))),
        server(body(300_000 - first)),
        client(json!(frame(0, 0, 5))),
        client(json!(head(answer))),
        client(json!(frame(0, 0, answer.len()))),
        client(json!(hex(answer))),
        client(json!(frame(1, 4, 0))),
        server(json!(frame(1, 4, 0))),
    ];
    let session = |steps: &[Value]| {
        json!({
            "config": {"agent": "agentsdk"},
            "steps": steps,
            "outcome": ["OpenHTTPStream -> status 200 headers map[]; body 0 bytes \"\" err=<nil>"],
            "roles": ["server", "client"],
        })
    };
    assert_eq!(transcripts::run(&session(&steps)), Verdict::Pass);
    // Less credit than what is left.
    steps[8] = client(json!(frame(1, 0, 10)));
    let verdict = transcripts::run(&session(&steps));
    assert!(matches!(&verdict, Verdict::Fail(why) if why.starts_with("as server")), "{verdict:?}");
}

/// A stream that breaks off in its header is refused, and so is a document that is too long.
#[test]
fn streams_that_no_server_takes_are_refused() {
    let base = || case("rejects.json", "server-unknown-type-from-agent");
    for hex in ["0300", "030000000a7b", "0300100001"] {
        let mut torn = base();
        torn["hex"] = json!(hex);
        assert_eq!(rejects::run(&torn), Verdict::Pass, "{hex}");
    }
    let mut long = case("rejects.json", "server-control-600000-bytes");
    long["parts"][1]["repeat"]["count"] = json!((1 << 20) + 1);
    long["go"]["on_agent_info_bytes"] = json!((1 << 20) + 1);
    assert_eq!(rejects::run(&long), Verdict::Pass);
}

#[test]
fn what_the_runner_does_not_understand_is_not_run() {
    let not_run = |run: fn(&Value) -> Verdict, file: &str, name: &str, path: &str, value: Value| {
        let mut case = case(file, name);
        *case.pointer_mut(path).unwrap() = value;
        assert!(matches!(run(&case), Verdict::NotRun(_)), "{:?}", run(&case));
    };
    not_run(headers::run, "headers.json", "unknown-type-0", "/decoded", json!({"colour": 1}));
    let file = "rejects.json";
    for name in ["request-empty", "server-control-not-json", "agent-body-len-max-int64"] {
        not_run(rejects::run, file, name, "/required", json!("do something new"));
    }
    not_run(rejects::run, file, "request-empty", "/target", json!("a cat"));
    let (run, file) = (transcripts::run, "transcripts.json");
    not_run(run, file, "http-get", "/steps/0/cause", json!("server: Juggle()"));
    not_run(run, file, "http-get", "/steps/1/ws", json!("smoke"));
    not_run(run, file, "http-get", "/outcome/1", json!("it worked"));
    not_run(run, file, "agent-empty-metadata", "/config/agent", json!("another one"));
    not_run(run, file, "http-get", "/roles", json!([]));
}
