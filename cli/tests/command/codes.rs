//! What the program exits with, and what it says about it.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::crafted::{Crafted, bytes_of, data};
use crate::job::{exec, exec_sh, run, trunkline};
use crate::temp::Temp;

#[test]
fn the_commands_own() {
    for code in [0, 1, 2, 42, 125, 126, 127, 128, 255] {
        run(&mut exec_sh(&format!("exit {code}"))).is(code, "", "");
    }
}

#[test]
fn a_signal_is_128_and_its_number() {
    for (name, code) in [("HUP", 129), ("KILL", 137), ("USR1", 138), ("PIPE", 141), ("TERM", 143)] {
        run(&mut exec_sh(&format!("echo before; kill -{name} $$"))).is(code, "before\n", "");
    }
}

#[test]
fn one_that_cannot_be_started_is_127_and_a_line() {
    let temp = Temp::new();
    let plain = temp.write("plain", "#!/bin/sh\n");
    let script = temp.write("script", "#!/no/such/interpreter\n");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    for (command, text) in [
        ("/no/such/program", "no such file or directory"),
        ("no-such-program", "executable file not found in $PATH"),
        (temp.text(), "permission denied"),
        (plain.as_str(), "permission denied"),
        (script.as_str(), "no such file or directory"),
        ("/etc/passwd/x", "not a directory"),
    ] {
        let ended = run(&mut exec([command, "argument"]));
        assert_eq!((ended.code, ended.text()), (Some(127), ""), "{command}");
        assert!(ended.line().contains(text) && ended.line().contains(command), "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    }
}

#[test]
fn a_number_that_is_no_exit_code_is_255_and_a_line() {
    for code in [256, -1, 512, 1 << 32, i64::MAX, i64::MIN] {
        let ended = Crafted::frames(&[data(1, "out"), json!({"t": 5, "c": code})]).exec();
        assert_eq!((ended.code, ended.text()), (Some(255), "out"), "{code}");
        assert!(ended.line().contains(&code.to_string()), "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    }
    Crafted::frames(&[json!({"t": 5, "c": 255})]).exec().is(255, "", "");
}

#[test]
fn the_agents_text_is_shown_and_is_harmless() {
    let frame = |text: &str| Crafted::frames(&[json!({"t": 5, "c": 127, "e": text})]);
    frame("fork/exec /x: no").exec().is(127, "", "trunkline: fork/exec /x: no\n");
    let ended = frame("a\x1b[2Jb\r\nc\u{202e}d\u{9b}31m").exec();
    assert_eq!(ended.code, Some(127));
    assert!(!ended.line().contains(['\x1b', '\r', '\u{202e}', '\u{9b}']), "{ended:?}");
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    // A text is no reason for another code.
    let ended = Crafted::frames(&[json!({"t": 5, "e": "by the way"})]).exec();
    ended.is(0, "", "trunkline: by the way\n");
}

#[test]
fn what_follows_the_exit_is_not_looked_at() {
    let mut bytes =
        bytes_of(&[data(1, "a"), json!({"t": 5, "c": 3}), data(1, "b"), json!({"t": 5})]);
    bytes.extend(b"garbage");
    Crafted::bytes(&bytes).exec().is(3, "a", "");
}

#[test]
fn streams_without_an_end_do_not_hold_the_exit_up() {
    let frames = [data(1, "out"), data(2, "err"), json!({"t": 5, "c": 7})];
    Crafted::frames(&frames).exec().is(7, "out", "err");
}

#[test]
fn how_the_agent_ends_after_the_exit_does_not_matter() {
    let crafted = Crafted::frames(&[json!({"t": 5, "c": 3})]);
    for after in ["exit 0", "exit 1", "kill -KILL $$", "exec cat >/dev/null"] {
        let via = format!("{}; {after}", crafted.says());
        run(&mut trunkline(["exec", "--via", &via, "--", "true"])).is(3, "", "");
    }
}
