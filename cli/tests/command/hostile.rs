//! The rows of section 15 that reach the real processes, each under its name: a peer that is out
//! for harm, at `trunkline agent` and at `trunkline exec` and `paths`. Memory is the process's own,
//! as the system counts it.

use std::fs;
use std::io::{ErrorKind, Write as _, pipe};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::crafted::{Crafted, bytes_of, data, eof, exec_frame, frames_of};
use crate::job::{Ended, Job, LONG, run, run_with, shell, trunkline};
use crate::marker::Marker;

const MIB: usize = 1 << 20;

/// What a process may take for itself beside what it holds, unoptimised and on any machine.
const OWN: usize = 40 * MIB;

/// The most memory that a process has had at any time.
fn peak(pid: Pid) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it lives");
    let number = line.trim().strip_suffix(" kB").expect("kilobytes");
    number.parse::<usize>().unwrap() * 1_024
}

/// A frame that brings this key, up to its value.
fn up_to(start: &[u8], length: u64) -> Vec<u8> {
    [start, &length.to_be_bytes()].concat()
}

/// An agent whose command runs and says so.
fn running(argv: &[&str]) -> Job {
    let mut job = Job::start_fed(&mut trunkline(["agent", "--log-level", "9"]));
    job.feed(&bytes_of(&[exec_frame(argv)]));
    job.out.until("ready");
    job
}

/// What an agent answers to these bytes, log records apart, and what it ends with.
fn answers(input: &[u8]) -> (Option<i32>, Vec<Value>, Vec<Value>) {
    let ended = run_with(&mut trunkline(["agent"]), input);
    assert_eq!(ended.err, "");
    let (logs, rest) = frames_of(&ended.out).into_iter().partition(|frame| frame["t"] == 7);
    (ended.code, rest, logs)
}

/// 255, and one line that is fit for a terminal and holds this text.
#[track_caller]
fn is_refused(ended: &Ended, text: &str) {
    assert_eq!(ended.code, Some(255), "{ended:?}");
    assert!(ended.line().contains(text), "{text:?} is not in {ended:?}");
    is_harmless(&ended.err);
}

#[track_caller]
fn is_harmless(text: &str) {
    let bad = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(bad, None, "{text:?}");
}

const CLAIMS: [&[u8]; 5] = [
    b"\xa1\x61d\x5b",
    b"\xa1\x61e\x7b",
    b"\xa1\x61z\x9b",
    b"\xa1\x61z\xbb",
    b"\xa1\x61x\xa1\x63env\x9b",
];

#[test]
fn announced_length_of_exabytes() {
    for start in CLAIMS {
        let claim = up_to(start, 1 << 60);
        // Under a limit of address space no process could even reserve what is announced.
        let limited = |line: &str| {
            let crafted = Crafted::bytes(&claim);
            let script = format!("ulimit -v 1000000; {line}");
            run(shell(&script).env("VIA", crafted.via()).env("SAYS", crafted.says()))
        };
        is_refused(&limited(r#"exec "$T" exec --via "$VIA" -- true"#), "more than");
        let ended = limited(r#"exec "$T" paths --via "$VIA""#);
        assert_eq!((ended.code, ended.lines().len()), (Some(255), 1), "{ended:?}");
        let agent = limited(r#"sh -c "$SAYS" | "$T" agent"#);
        assert_eq!((agent.code, agent.err.as_str()), (Some(127), ""));
    }
    // An agent whose command runs goes on, and shows what the claim has cost.
    for start in CLAIMS {
        let mut job = running(&["sh", "-c", "echo ready; cat; echo over; sleep 60"]);
        let before = peak(job.pid());
        // Nobody waits for more: the command sees the end of its input at once.
        job.feed(&up_to(start, 1 << 60));
        job.out.until("over");
        let grown = peak(job.pid()) - before;
        assert!(grown < 4 * MIB, "{grown} bytes for a claim");
    }
}

#[test]
fn endless_indefinite_string() {
    // From an agent to `exec`: a text that has no end and stays just below the limit of a frame.
    let chunk = [&b"\x79\xff\xff"[..], &[b'x'; 65_535]].concat();
    let (marker, part) = (Marker::new(), [&b"\xa2\x61e\x7f"[..], &chunk.repeat(200)].concat());
    let crafted = Crafted::bytes(&part);
    let via = format!("{}; echo said >&2; exec sleep {}", crafted.says(), marker.text());
    let job =
        Job::start(&mut trunkline(["exec", "--answer-timeout", "0", "--via", &via, "--", "true"]));
    job.err.until("said");
    let most = peak(job.pid());
    assert!(most < 2 * part.len() + OWN, "{most} bytes for {}", part.len());
    drop(job);
    // And beyond it.
    let endless = [&b"\xa2\x61e\x7f"[..], &chunk.repeat(300)].concat();
    is_refused(&Crafted::bytes(&endless).exec(), "more than 16777216 bytes");
    // From a caller to an agent whose command runs.
    let mut job = running(&["sh", "-c", "echo ready; cat; echo over"]);
    let before = peak(job.pid());
    job.stdin.as_mut().unwrap().write_all(&endless).unwrap();
    job.out.until("over");
    let grown = peak(job.pid()) - before;
    assert!(grown < 3 * 16 * MIB, "{grown} bytes");
    assert_eq!(job.end().code, Some(0));
}

#[test]
fn deep_nesting_and_tag_chains() {
    for nest in [&b"\x81"[..], b"\xc1", b"\xa1\x60"] {
        let bytes = [&b"\xa1\x61z"[..], &nest.repeat(1_000_000)].concat();
        is_refused(&Crafted::bytes(&bytes).exec(), "deeper than 32 levels");
        let (code, frames, logs) = answers(&bytes);
        assert_eq!((code, frames), (Some(127), vec![]));
        assert!(logs[0].to_string().contains("deeper than 32 levels"), "{logs:?}");
    }
}

#[test]
fn huge_element_counts() {
    let argv = |count: usize| {
        let list = [&b"\x9a"[..], &u32::to_be_bytes(count as u32), &vec![0x60; count]].concat();
        [&b"\xa2\x61t\x01\x61x\xa2\x64path\x64true\x64argv"[..], &list].concat()
    };
    let (code, frames, _) = answers(&argv(131_073));
    assert_eq!((code, frames), (Some(127), vec![]));
    // As many as the wire takes are taken.
    let (code, frames, _) = answers(&argv(131_072));
    assert_eq!((code, frames.last()), (Some(0), Some(&json!({"t": 5}))), "{frames:?}");
}

#[test]
fn slow_drip_of_one_frame() {
    let mut job = Job::start_fed(&mut trunkline(["agent", "--log-level", "9"]));
    for byte in bytes_of(&[exec_frame(&["echo", "dripped"]), eof(0)]) {
        job.feed(&[byte]);
    }
    let ended = job.end();
    assert!(frames_of(&ended.out).contains(&data(1, "dripped\n")), "{ended:?}");
}

fn with_fds(fds: &Value) -> Value {
    json!({"t": 1, "x": {"path": "echo", "argv": ["echo", "ran"], "env": null, "cwd": "", "fds": fds}})
}

#[test]
fn fds_0_to_2() {
    for fds in [json!([0]), json!([1]), json!([2]), json!([3, 2])] {
        let (code, frames, _) = answers(&bytes_of(&[with_fds(&fds)]));
        assert_eq!(
            (code, frames.len(), &frames[0]["c"]),
            (Some(127), 1, &json!(127)),
            "{frames:?}"
        );
        assert!(frames[0]["e"].to_string().contains("descriptors must be 3 to 255"), "{frames:?}");
    }
}

#[test]
fn fds_huge() {
    let many: Vec<u32> = (3..=67).collect();
    for fds in
        [json!([256]), json!([u32::MAX]), json!([3, 1_u32 << 31]), json!([4, 4]), json!(many)]
    {
        let (code, frames, _) = answers(&bytes_of(&[with_fds(&fds)]));
        assert_eq!(
            (code, frames.len(), &frames[0]["c"]),
            (Some(127), 1, &json!(127)),
            "{frames:?}"
        );
    }
    let (code, frames, _) = answers(&bytes_of(&[with_fds(&json!([255, 3, 77])), eof(0)]));
    assert_eq!((code, frames.contains(&data(1, "ran\n"))), (Some(0), true), "{frames:?}");
}

#[test]
fn signal_numbers_out_of_range() {
    let mut job = Job::start_fed(&mut trunkline(["agent", "--log-level", "4"]));
    let script = "trap 'echo got one' HUP INT QUIT USR1 USR2 TERM; echo ready; cat; echo unharmed";
    job.feed(&bytes_of(&[exec_frame(&["sh", "-c", script])]));
    job.out.until("ready");
    // Numbers whose low bits are those of real signals, and those that mean "everybody" to kill(2).
    let numbers = [-1, -9, -15, 65, 128, 1 << 31, (1 << 32) + 9, i64::MIN, i64::MAX];
    let mut frames: Vec<Value> = numbers.iter().map(|n| json!({"t": 4, "sig": n})).collect();
    frames.extend([json!({"t": 4}), eof(0)]);
    job.feed(&bytes_of(&frames));
    job.out.until("unharmed");
    let answers = frames_of(&job.end().out);
    let refused = answers.iter().filter(|frame| frame["l"]["lvl"] == 4);
    assert_eq!(refused.count(), numbers.len(), "{answers:?}");
    assert!(!answers.contains(&data(1, "got one\n")), "{answers:?}");
    assert_eq!(answers.last(), Some(&json!({"t": 5})));
}

#[test]
fn signal_floods() {
    // A caller that sends signals for ever and reads none of the records about them: the agent
    // stops to listen, and no more than pipes and buffers hold is ever taken.
    let (_unread, output) = pipe().unwrap();
    let mut job = Job::start_as_is(trunkline(["agent"]).stdin(Stdio::piped()).stdout(output));
    job.feed(&bytes_of(&[exec_frame(&["sleep", "60"])]));
    let mut stdin = job.stdin.take().unwrap();
    fcntl_setfl(&stdin, OFlags::NONBLOCK).unwrap();
    let flood = bytes_of(&[json!({"t": 4}), json!({"t": 4, "sig": -1})]).repeat(10_000);
    let (mut taken, mut refused) = (0, Instant::now());
    while refused.elapsed() < Duration::from_secs(1) && taken < 64 * MIB {
        match stdin.write(&flood) {
            Ok(count) => (taken, refused) = (taken + count, Instant::now()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                thread::yield_now();
            }
        }
    }
    assert!(taken < 8 * MIB, "{taken} bytes of signals are taken");
    let most = peak(job.pid());
    assert!(most < OWN, "{most} bytes");
}

#[test]
fn data_for_unregistered_or_closed_streams() {
    let flood =
        bytes_of(&[data(77, "x"), data(1 << 30, "x"), eof(99), data(1, ""), json!({"t": 0})]);
    let flood = flood.repeat(100_000);
    let mut job = running(&["sh", "-c", "echo ready; cat; echo over"]);
    let before = peak(job.pid());
    job.stdin.as_mut().unwrap().write_all(&flood).unwrap();
    job.feed(&bytes_of(&[eof(0), data(0, "late")]));
    job.out.until("over");
    let grown = peak(job.pid()) - before;
    assert!(grown < 4 * MIB, "{grown} bytes");
    let rest = bytes_of(&[data(1, "out"), json!({"t": 5, "c": 3})]);
    Crafted::bytes(&[flood, rest].concat()).exec().is(3, "out", "");
}

fn log(level: i64, message: &str) -> Value {
    json!({"t": 7, "l": {"lvl": level, "msg": message}})
}

#[test]
fn log_floods() {
    let records = bytes_of(&[log(8, "flood"), log(i64::MIN, "x"), log(i64::MAX, "y")]);
    let end = bytes_of(&[data(1, "out"), json!({"t": 5, "c": 6})]);
    let crafted = Crafted::bytes(&[records.repeat(100_000), end].concat());
    let via = format!("{}; echo said >&2; exec cat >/dev/null", crafted.says());
    let ended = run(&mut trunkline(["exec", "--via", &via, "--", "true"]));
    assert_eq!((ended.code, ended.text()), (Some(6), "out"));
    let lines = ended.err.lines().count();
    assert!(lines <= 1_000 + 100 * LONG.as_secs() as usize, "{lines} lines of 300,000");
}

/// Whatever a peer can make `exec` and `paths` say.
#[test]
fn giant_or_binary_log_text() {
    let bad = "\u{1b}[31m\u{1b}]0;title\u{7}\r\u{8}\u{9b}1m\u{202e}\nforged: line\u{0}";
    let giant = format!("{bad}{}", "x".repeat(15 * MIB));
    let attributes =
        json!({"t": 7, "l": {"lvl": 8, "msg": bad, "a": [format!("{bad}={bad}"), bad]}});
    for text in [bad, &giant] {
        let frames = [log(8, text), attributes.clone(), json!({"t": 5, "c": 127, "e": text})];
        let ended = Crafted::frames(&frames).exec();
        assert_eq!(ended.code, Some(127));
        is_harmless(&ended.err);
        assert!(!ended.err.lines().any(|line| line.starts_with("forged")), "{:.2000}", ended.err);
        assert!(ended.err.len() < 100_000, "{} bytes", ended.err.len());
        let crafted = Crafted::frames(&[json!({"t": 6, "e": text})]);
        let ended = run(&mut trunkline(["paths", "--via", &crafted.via()]));
        is_harmless(&ended.err);
        assert!(ended.code != Some(0) && ended.err.len() < 100_000, "{} bytes", ended.err.len());
    }
    let entry = json!({"name": bad, "path": bad, "mode": 493, "size": 1});
    let crafted = Crafted::frames(&[json!({"t": 10, "i": {"entries": [entry]}})]);
    let ended = run(&mut trunkline(["paths", "--via", &crafted.via()]));
    is_harmless(ended.text());
    assert_eq!((ended.code, ended.text().lines().count()), (Some(0), 1), "{ended:?}");
}

#[test]
fn lying_exit_then_more_data() {
    let mut lie =
        bytes_of(&[data(1, "out"), json!({"t": 5}), data(1, "more"), json!({"t": 5, "c": 9})]);
    lie.extend(b"\xff garbage");
    lie.extend(bytes_of(&[data(1, &"x".repeat(1 << 16))]).repeat(100));
    Crafted::bytes(&lie).exec().is(0, "out", "");
}

#[test]
fn second_exec_or_config_later() {
    let config = json!({"t": 8, "cfg": {"env_keep": null, "env_remove": null}});
    let input = bytes_of(&[
        exec_frame(&["sh", "-c", "echo first; cat"]),
        exec_frame(&["echo", "second"]),
        config,
        json!({"t": 9, "q": {}}),
        json!({"t": 11, "fop": {"id": 1, "op": 12, "p": "/tmp/x"}}),
        data(0, "in"),
        eof(0),
    ]);
    let (code, frames, _) = answers(&input);
    let outputs: Vec<_> = frames.iter().filter(|frame| frame["t"] == 2).cloned().collect();
    let text: String = outputs.iter().map(|frame| frame["d"]["hex"].as_str().unwrap()).collect();
    assert_eq!((code, text.as_str()), (Some(0), "66697273740a696e"), "first, in");
    assert_eq!(frames.iter().filter(|frame| frame["t"] == 5).count(), 1);
    assert!(frames.iter().all(|frame| [2, 3, 5].map(Value::from).contains(&frame["t"])));
}

#[test]
fn exit_from_local_to_agent() {
    let mut job = running(&["sh", "-c", "echo ready; cat; echo ended; exit 4"]);
    job.feed(&bytes_of(&[data(0, "in"), json!({"t": 5, "c": 1}), data(0, "more")]));
    job.out.until("ended");
    let frames = frames_of(&job.end().out);
    assert!(frames.contains(&json!({"t": 5, "c": 4})), "{frames:?}");
    assert!(!frames.contains(&data(1, "more")), "{frames:?}");
}

#[test]
fn regex_bombs_in_config() {
    let bombs = [
        "/(a*)*(a*)*(a*)*b/",
        "/((((a{1,100}){1,100}){1,100}){1,100}){1,100}/",
        "/(x+x+)+y/",
        "/.*.*.*.*.*.*.*.*=/",
        "/(?:a|aa|aaa)*$/",
    ];
    let patterns: Vec<String> = (0..4_000).map(|n| bombs[n % bombs.len()].to_owned()).collect();
    let name = "a".repeat(10_000);
    let exec = json!({"t": 1, "x": {"path": "env", "argv": ["env"], "cwd": "",
        "env": [format!("{name}x=1"), "KEPT=1"]}});
    let keep = [vec!["KEPT".to_owned()], patterns.clone(), vec!["/(/".into()]].concat();
    let config = json!({"t": 8, "cfg": {"env_keep": keep, "env_remove": ["/(a*)*(a*)*b/"]}});
    let mut job = Job::start_fed(&mut trunkline(["agent", "--log-level", "9"]));
    job.feed(&bytes_of(&[config, exec, eof(0)]));
    job.out.until("KEPT=1");
    let most = peak(job.pid());
    assert!(most < OWN + 32 * MIB, "{most} bytes");
    let _ = job.end();
}

#[test]
fn environment_injection() {
    let env =
        ["LD_PRELOAD=/tmp/evil.so", "PATH=/tmp", "KEPT=1", "GCONV_PATH=/tmp", "=x", "no sign"];
    let exec = json!({"t": 1, "x": {"path": "env", "argv": ["env"], "cwd": "", "env": env}});
    let config = json!({"t": 8, "cfg": {"env_keep": ["KEPT"], "env_remove": null}});
    let (_, frames, _) = answers(&bytes_of(&[config, exec, eof(0)]));
    assert!(frames.contains(&data(1, "KEPT=1\n")), "and nothing else: {frames:?}");
}

#[test]
fn secrets() {
    let exec = json!({"t": 1, "x": {"path": "true", "argv": ["true", "hunter2"], "cwd": "",
        "env": ["TOKEN=hunter2"]}});
    let ended = run_with(&mut trunkline(["agent", "--redact"]), &bytes_of(&[exec, eof(0)]));
    assert!(!String::from_utf8_lossy(&ended.out).contains("hunter2"), "{ended:?}");
}

/// Hazard H2: the first request of a client of version 1.2 is its question for the directory.
#[test]
fn a_client_of_1_2_is_refused() {
    let old = |id: u32, op: u8| json!({"t": 11, "fop": {"id": id, "op": op}});
    let (code, frames, logs) = answers(&bytes_of(&[old(1, 15), old(2, 14)]));
    assert_eq!((code, frames.len()), (Some(127), 1), "{frames:?}");
    assert_eq!((&frames[0]["frp"]["id"], &frames[0]["frp"]["er"]), (&json!(1), &json!(38)));
    assert!(frames[0]["frp"]["em"].to_string().contains("version 1.2"), "{frames:?}");
    assert_eq!(logs.len(), 1, "{logs:?}");
}
