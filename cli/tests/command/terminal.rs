//! On a terminal, made by `script` of util-linux.

use std::process::Stdio;
use std::time::Duration;

use crate::job::{Job, clean};

/// Runs a shell line on a terminal of its own, `$T` being the program.
pub(crate) fn on_terminal(line: &str) -> Job {
    let mut command = clean("script");
    command.args(["-qec", line, "/dev/null"]).env("T", crate::job::PROGRAM).env("SHELL", "/bin/sh");
    let probe = clean("script").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(probe.is_ok(), "script is missing: `cargo xtask test` installs it");
    Job::start_fed(&mut command)
}

#[test]
fn input_typed_on_a_terminal_arrives_and_ends() {
    let mut job = on_terminal(r#"stty -echo; echo ready; "$T" exec -- cat; echo "code $?""#);
    job.out.until("ready");
    job.feed(b"typed\n\x04");
    job.out.until("code 0");
    let ended = job.end();
    assert_eq!(ended.text().replace('\r', ""), "ready\ntyped\ncode 0\n");
}

#[test]
fn the_command_has_pipes_and_the_terminal_stays_usable() {
    let line =
        r#"stty -echo; "$T" exec -- sh -c 'test -t 0 || test -t 1 || echo pipes'; echo ready; cat"#;
    let mut job = on_terminal(line);
    job.out.until("ready");
    // With O_NONBLOCK left on, cat would fail.
    job.feed(b"still here\n");
    job.out.until("still here");
    job.feed(b"\x04");
    assert_eq!(job.end().code, Some(0));
}

#[test]
fn ctrl_c_reaches_the_command_and_not_what_leads_to_it() {
    let command = r#"trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.02; done 2>/dev/null"#;
    for via in ["", r#"--via "$T agent""#, r#"--via "$T agent; true""#] {
        let line = format!(r#"trap : INT; "$T" exec {via} -- sh -c "{command}"; echo "code $?""#);
        let mut job = on_terminal(&line);
        job.out.until("ready\r\n");
        job.feed(b"\x03");
        job.out.until("code 9");
        let text = String::from_utf8(job.out.so_far()).unwrap();
        assert!(text.contains("interrupted"), "{text}");
        drop(job);
    }
}

#[test]
fn a_second_ctrl_c_gives_up() {
    let line = r#"trap : INT; "$T" exec -- sh -c "trap '' INT; echo ready; while :; do sleep 0.02; done 2>/dev/null"; echo "code $?""#;
    let mut job = on_terminal(line);
    job.out.until("ready\r\n");
    // On a busy machine two may be seen as one.
    crate::job::eventually("it gives up", || {
        job.feed(b"\x03");
        std::thread::sleep(Duration::from_millis(50));
        String::from_utf8(job.out.so_far()).unwrap().contains("code 255")
    });
    assert_eq!(job.end().code, Some(0));
}
