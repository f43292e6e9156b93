//! Extra descriptors, and that there are no others.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::job::{Job, LONG, PROGRAM, clean, run, shell};
use crate::temp::Temp;

/// Runs `$T exec OPTIONS -- sh -c SCRIPT` with redirections of the caller's shell.
fn with(options: &str, script: &str, redirections: &str) -> std::process::Command {
    let mut command =
        shell(&format!(r#"exec "$T" exec {options} -- sh -c "$SCRIPT" {redirections}"#));
    command.env("SCRIPT", script);
    command
}

#[test]
fn files_are_read_and_written() {
    let temp = Temp::new();
    let all: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    temp.write("in", &all);
    let redirections = "3<\"$DIR/in\" 4>\"$DIR/out\"";
    let mut command = with("--fd 3 --fd 4", "cat <&3 >&4; echo done", redirections);
    run(command.env("DIR", temp.path())).is(0, "done\n", "");
    assert!(fs::read(temp.file("out")).unwrap() == all);
}

#[test]
fn pipes_carry_both_ways_and_end() {
    // stdin of the caller's shell is 5, and its stdout 6.
    let mut command = with("--fd 5 --fd 6", "cat <&5 >&6; echo over >&6", "5<&0 6>&1 0</dev/null");
    let mut job = Job::start_fed(&mut command);
    job.feed(b"one\n");
    assert_eq!(job.out.line(), "one");
    job.feed(b"two\n");
    job.end().is(0, "one\ntwo\nover\n", "");
}

#[test]
fn the_end_of_one_reaches_the_caller_while_the_command_runs() {
    let script = "echo hi >&5; exec 5>&-; read line; echo $line >&2";
    let mut job = Job::start_fed(&mut with("--fd 5", script, "5>&1 >/dev/null"));
    assert!(job.out.ends_within(LONG), "descriptor 5 stays open");
    assert!(!job.is_over());
    job.feed(b"still here\n");
    job.end().is(0, "hi\n", "still here\n");
}

#[test]
fn a_socket_carries_both_ways_at_once() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(LONG)).unwrap();
    let script = "while read line <&9; do echo got $line >&9; done; echo end of input >&9";
    let mut command = with("--fd 9", script, "9<&0 0</dev/null");
    let job = Job::start(command.stdin(OwnedFd::from(theirs)));
    drop(command);
    ours.write_all(b"one\n").unwrap();
    let mut answer = [0; 8];
    ours.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"got one\n");
    ours.write_all(b"two\n").unwrap();
    // Half of it ends; the other half goes on (hazard H7).
    ours.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    ours.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "got two\nend of input\n");
    job.end().is(0, "", "");
}

#[test]
fn several_keep_their_numbers() {
    let temp = Temp::new();
    for number in [3, 10, 77, 255] {
        temp.write(&number.to_string(), format!("this is {number}\n"));
    }
    // A plain shell redirects single digits only.
    let outer = "exec \"$T\" exec --fd 3 --fd 10 --fd 77 --fd 255 -- \
                 bash -c 'for n in 255 3 77 10; do cat <&$n; done' 3<3 10<10 77<77 255<255";
    let ended = run(clean("bash").args(["-c", outer]).env("T", PROGRAM).current_dir(temp.path()));
    ended.is(0, "this is 255\nthis is 3\nthis is 77\nthis is 10\n", "");
}

#[test]
fn one_that_is_not_open_is_bad_usage() {
    for number in ["3", "7", "200", "255"] {
        let ended = run(&mut with(&format!("--fd {number}"), "echo never", ""));
        assert_eq!((ended.code, ended.text()), (Some(2), ""), "{ended:?}");
        assert!(ended.line().contains(&format!("--fd {number}")), "{ended:?}");
    }
    for number in ["0", "1", "2", "256", "-3", "x", "", "4294967299"] {
        let ended = run(&mut with(&format!("--fd '{number}'"), "echo never", ""));
        assert_eq!((ended.code, ended.text()), (Some(2), ""), "{ended:?}");
    }
    let ended = run(&mut with("--fd 3 --fd 3", "echo never", "3</dev/null"));
    assert_eq!((ended.code, ended.text()), (Some(2), ""), "{ended:?}");
}

#[test]
fn the_null_device_and_a_full_one() {
    run(&mut with("--fd 4", "cat <&4; echo x >&4; exit 3", "4<>/dev/null")).is(3, "", "");
    let ended = run(&mut with("--fd 4", "echo x >&4; exec 4>&-; exit 0", "4>/dev/full"));
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert!(ended.line().contains("No space left on device"), "{ended:?}");
}

#[test]
fn a_command_that_reads_one_no_more_does_not_hang() {
    let script = "head -c 5 <&5; exec 5<&-; exit 4";
    let mut job = Job::start_fed(&mut with("--fd 5", script, "5<&0 0</dev/null"));
    job.feed(b"12345678");
    job.end().is(4, "12345", "");
}

#[test]
fn the_command_has_no_descriptor_but_its_own() {
    // Another process lists them, and the colon keeps the shell from becoming that process.
    let script = "ls /proc/$$/fd; :";
    let open = |options: &str, redirections: &str| {
        let ended = run(&mut with(options, script, redirections));
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        let mut numbers: Vec<u32> = ended.text().lines().map(|n| n.parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    };
    // Held by the shell, and so by everything below it that does not close them.
    assert_eq!(open("", "5</dev/null 6>/dev/null 9<&0"), [0, 1, 2]);
    assert_eq!(open("--fd 6", "5</dev/null 6>/dev/null 9<&0"), [0, 1, 2, 6]);
    assert_eq!(open("--env A=1", "5</dev/null"), [0, 1, 2]);
}

#[test]
fn what_leads_to_the_agent_does_not_hold_passed_ones() {
    // It would keep the caller from ever seeing their end.
    let list = "ls -l /proc/$$/fd/5 >&2 2>/dev/null; exec $T agent";
    let temp = Temp::new();
    let path = temp.write("passed", "");
    let mut command = with(&format!("--fd 5 --via '{list}'"), "true", &format!("5>{path}"));
    run(&mut command).is(0, "", "");
}
