//! Command lines that make no sense, and those that look as if.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::job::{exec, run, trunkline};

#[test]
fn bad_usage_is_2_and_runs_nothing() {
    let lines: [&[&str]; 24] = [
        &[],
        &["no-such-command"],
        &["exec"],
        &["exec", "--"],
        &["exec", "--no-such-flag", "--", "echo", "ran"],
        &["exec", "", "ran"],
        &["exec", "--env", "A=1", "--", ""],
        &["exec", "--env", "NOVALUE", "--", "echo", "ran"],
        &["exec", "--env", "=x", "--", "echo", "ran"],
        &["exec", "--env", "-u=x", "--", "echo", "ran"],
        &["exec", "--env"],
        &["exec", "--cwd"],
        &["exec", "--via"],
        &["exec", "--fd"],
        &["exec", "--answer-timeout", "soon", "--", "echo", "ran"],
        &["exec", "--answer-timeout", "-1", "--", "echo", "ran"],
        &["exec", "--answer-timeout", "18446744073709551616", "--", "echo", "ran"],
        &["exec", "--cwd", "/", "--cwd", "/", "--", "echo", "ran"],
        &["agent", "argument"],
        &["agent", "--hangup-after", "x"],
        &["decode"],
        &["decode", "--wire", "nothing"],
        &["encode", "--wire", "agentproto", "one", "two"],
        &["completions", "no-such-shell"],
    ];
    let wrong = lines.iter().filter_map(|line| {
        let ended = run(&mut trunkline(line.iter().copied()));
        let right = ended.code == Some(2) && ended.out.is_empty() && !ended.err.is_empty();
        (!right).then_some((line, ended))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn arguments_that_are_not_utf_8_are_refused_in_a_line() {
    let bad = OsStr::from_bytes(b"caf\xe9\n\x1b[2J");
    let mut program = trunkline(["exec", "--"]);
    let mut argument = exec(["echo", "ran"]);
    for (command, what) in [(program.arg(bad), "command"), (argument.arg(bad), "argument 2")] {
        let ended = run(command);
        assert_eq!((ended.code, ended.text()), (Some(2), ""), "{ended:?}");
        assert!(ended.line().contains("UTF-8") && ended.line().contains(what), "{ended:?}");
        assert!(!ended.line().contains('\x1b'), "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    }
}

#[test]
fn options_that_are_not_utf_8_are_refused() {
    for option in ["--cwd", "--env", "--env-keep", "--env-remove"] {
        let mut command = trunkline(["exec", option]);
        command.arg(OsStr::from_bytes(b"A=\xff")).args(["--", "echo", "ran"]);
        let ended = run(&mut command);
        assert_eq!((ended.code, ended.text()), (Some(2), ""), "{option}: {ended:?}");
        assert!(ended.err.contains("UTF-8"), "{option}: {ended:?}");
    }
}

#[test]
fn what_follows_the_command_is_the_commands() {
    run(&mut trunkline(["exec", "echo", "--help", "-v", "-n", "--", "--fd", "x"])).is(
        0,
        "--help -v -n -- --fd x\n",
        "",
    );
    run(&mut exec(["echo", "--", "", "a b", "*", "$HOME", "'\"\\", "ünï"])).is(
        0,
        "--  a b * $HOME '\"\\ ünï\n",
        "",
    );
    run(&mut exec(["printf", "%s|", "a\nb", "\t", "\u{1}"])).is(0, "a\nb|\t|\u{1}|", "");
    run(&mut exec(["-v"])).is(
        127,
        "",
        "trunkline: exec: \"-v\": executable file not found in $PATH\n",
    );
}

#[test]
fn more_arguments_than_the_wire_carries_are_refused() {
    let ended = run(exec(["echo"]).args(vec!["a"; 131_072]));
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.text(), "");
    assert!(ended.line().contains("131072"), "{ended:?}");
    // Nothing was wrong with what leads to the agent.
    assert!(!ended.line().contains("leads to the agent"), "{ended:?}");
    let ended = run(exec(["echo"]).args(vec!["a"; 131_071]));
    assert_eq!((ended.code, ended.out.len()), (Some(0), 2 * 131_071), "{}", ended.err);
}

#[test]
fn the_agent_can_come_from_the_environment() {
    let command = |via: &str| {
        let mut command = exec(["echo", "ran"]);
        command.env("TRUNKLINE_VIA", via);
        command
    };
    let ended = run(&mut command("echo Banner"));
    assert_eq!((ended.code, ended.line().contains("Banner")), (Some(255), true), "{ended:?}");
    let ended = run(&mut command(&format!("{} agent", crate::job::PROGRAM)));
    ended.is(0, "ran\n", "");
    let mut both = trunkline(["exec", "--via", "echo Option", "--", "echo"]);
    let ended = run(both.env("TRUNKLINE_VIA", "echo Variable"));
    assert!(ended.line().contains("Option"), "{ended:?}");
}

/// An empty variable is what `TRUNKLINE_VIA= trunkline ..` and `unset`-less scripts leave.
#[test]
fn an_empty_variable_is_none() {
    run(exec(["echo", "ran"]).env("TRUNKLINE_VIA", "")).is(0, "ran\n", "");
}
