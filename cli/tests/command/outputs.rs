//! stdout and stderr, whatever they are, and what else uses them.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::job::{Job, LONG, PROGRAM, eventually, exec, exec_sh, run, shell, within};
use crate::temp::Temp;

#[test]
fn they_stay_apart() {
    let all: Vec<u8> = (0..=255).collect();
    let ended = crate::job::run_with(&mut exec_sh("cat >&2; echo out"), b"err\n");
    ended.is(0, "out\n", "err\n");
    let mut job = Job::start_fed(&mut exec_sh("tee /dev/fd/2"));
    job.feed(&all);
    job.stdin = None;
    job.wait();
    assert_eq!((job.out.rest(), job.err.rest()), (all.clone(), all));
}

#[test]
fn order_within_a_stream_is_kept() {
    let numbers =
        |text: &str| -> Vec<u32> { text.lines().map(|line| line.parse().unwrap_or(0)).collect() };
    let ended = run(&mut exec_sh("seq 1 100000 >&2 & seq 1 200000; wait"));
    assert_eq!(ended.code, Some(0));
    assert!(numbers(ended.text()).into_iter().eq(1..=200_000));
    assert!(numbers(&ended.err).into_iter().eq(1..=100_000));
}

#[test]
fn a_regular_file_is_appended_to_and_shared_with_others() {
    let temp = Temp::new();
    let path = temp.write("out", "before\n");
    let file = OpenOptions::new().append(true).open(&path).unwrap();
    let script =
        r#"echo one; "$T" exec -- seq 1 3; "$T" exec -- sh -c 'echo err >&2' 2>&1; echo two"#;
    let mut job = Job::start_as_is(shell(script).stdout(file));
    assert_eq!(job.wait().code(), Some(0));
    assert_eq!(temp.read("out"), "before\none\n1\n2\n3\nerr\ntwo\n");
}

#[test]
fn the_null_device_and_a_closed_one() {
    let mut job = Job::start_as_is(exec_sh("seq 1 100000; exit 3").stdout(Stdio::null()));
    assert_eq!(job.wait().code(), Some(3));
    run(&mut shell(r#""$T" exec -- sh -c 'echo out; echo err >&2; exit 3' >&-"#))
        .is(3, "", "err\n");
    run(&mut shell(r#""$T" exec -- sh -c 'echo out; echo err >&2; exit 3' 2>&-"#))
        .is(3, "out\n", "");
}

#[test]
fn a_full_device_is_never_success() {
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    for script in ["echo out", "seq 1 1000000", "echo out; exec >&-; exit 0"] {
        let ended = run(shell(r#"exec "$T" exec -- sh -c "$S" >/dev/full"#).env("S", script));
        assert_ne!(ended.code, Some(0), "{script}: {ended:?}");
        assert!(ended.line().contains("No space left on device"), "{ended:?}");
    }
    let mut job =
        Job::start_as_is(exec_sh("echo err >&2").stdout(Stdio::null()).stderr(Stdio::from(full())));
    assert!(job.wait().code() != Some(0), "for stderr as well");
    // What never writes does not care.
    let mut job = Job::start_as_is(exec(["true"]).stdout(Stdio::from(full())));
    assert_eq!(job.wait().code(), Some(0));
}

#[test]
fn a_file_that_cannot_grow_is_never_success() {
    let temp = Temp::new();
    // A block is 512 bytes; the limit's signal is ignored, so that the write fails.
    let script = r#"trap '' XFSZ; ulimit -f 4; exec "$T" exec -- seq 1 100000 >"$OUT""#;
    let ended = run(shell(script).env("OUT", temp.file("out")));
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert!(ended.line().contains("File too large"), "{ended:?}");
}

#[test]
fn one_that_is_not_open_for_writing_is_told() {
    let ended = run(&mut shell(r#"exec "$T" exec -- true >&0"#));
    assert_eq!((ended.code, ended.line().contains("stdout")), (Some(255), true), "{ended:?}");
}

#[test]
fn a_reader_that_goes_away_ends_the_command() {
    let ended = run(&mut shell(r#"{ "$T" exec -- yes; echo "$?" >&2; } | head -c 1"#));
    ended.is(0, "y", "141\n");
    // A socket and stderr are no different.
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut job = Job::start_as_is(exec(["yes"]).stdout(OwnedFd::from(theirs)));
    ours.read_exact(&mut [0; 2]).unwrap();
    drop(ours);
    assert_eq!(job.wait().code(), Some(141));
    let ended =
        run(&mut shell(r#"{ "$T" exec -- sh -c 'yes >&2' 2>&1; echo "$?" >&2; } | head -c 1"#));
    ended.is(0, "y", "141\n");
}

#[test]
fn signals_pass_while_nobody_reads() {
    let temp = Temp::new();
    let (read, write) = std::io::pipe().unwrap();
    let script = "trap 'echo got it >$0/told; exit 5' USR1; yes & echo ready >$0/ready; wait";
    let mut command = exec(["sh", "-c", script, temp.text()]);
    let mut job = Job::start_as_is(command.stdout(write).stderr(Stdio::piped()));
    drop(command);
    let there = |name: &str| std::fs::exists(temp.file(name)).unwrap();
    eventually("the command runs", || there("ready"));
    // Full: 1 MiB would be the most a pipe holds here.
    eventually("the output is stuck", || rustix::io::ioctl_fionread(&read).unwrap() >= 64 << 10);
    job.signal(Signal::USR1);
    eventually("the signal arrives", || there("told"));
    assert_eq!(temp.read("told"), "got it\n");
    job.signal(Signal::TERM);
    let mut rest = Vec::new();
    { read }.read_to_end(&mut rest).unwrap();
    assert!(rest.chunks(2).all(|line| line == b"y\n" || line == b"y"), "nothing but its bytes");
    assert_eq!(job.wait().code(), Some(5));
}

/// As Python, Rust and many a server do: such a command would see its writes fail, and end.
#[test]
fn a_reader_that_goes_away_ends_a_command_that_ignores_sigpipe() {
    let script = "trap '' PIPE; while echo y; do :; done 2>/dev/null";
    for mut command in [exec_sh(script), exec([PROGRAM, "exec", "--", "yes"])] {
        let (mut read, write) = std::io::pipe().unwrap();
        let mut job = Job::start_as_is(command.stdout(write));
        command.stdout(Stdio::null());
        read.read_exact(&mut [0; 2]).unwrap();
        drop(read);
        assert!(within(LONG, || job.is_over()), "it writes to nobody for ever");
    }
}

/// What was on its way when the reader went says nothing about what the command does now.
#[test]
fn a_command_that_cleans_up_after_its_reader_is_left_to_it() {
    let temp = Temp::new();
    let script = "trap 'sleep 3; echo cleaned >$0/told; exit 5' PIPE
        while :; do echo y; done 2>/dev/null";
    let (mut read, write) = std::io::pipe().unwrap();
    let mut command = exec(["sh", "-c", script, temp.text()]);
    let mut job = Job::start_as_is(command.stdout(write).stderr(Stdio::piped()));
    drop(command);
    read.read_exact(&mut [0; 2]).unwrap();
    // Much is on its way.
    eventually("the output is stuck", || rustix::io::ioctl_fionread(&read).unwrap() >= 64 << 10);
    drop(read);
    assert_eq!((job.wait().code(), job.err.rest()), (Some(5), vec![]));
    assert_eq!(temp.read("told"), "cleaned\n");
}

#[test]
fn an_unread_stderr_does_not_hold_stdout_up() {
    let (read, write) = std::io::pipe().unwrap();
    let mut command = exec_sh("head -c 1000000 /dev/zero >&2; echo out; exit 3");
    let mut job = Job::start_as_is(command.stdout(Stdio::piped()).stderr(write));
    drop(command);
    assert_eq!(job.out.line(), "out");
    let mut errors = Vec::new();
    { read }.read_to_end(&mut errors).unwrap();
    assert_eq!((errors.len(), job.wait().code()), (1_000_000, Some(3)));
}

/// What a socket shared with the program says, and how the program ended.
fn over_socket(command: &mut Command, both: bool) -> (String, Option<i32>) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(LONG)).unwrap();
    if both {
        command.stderr(OwnedFd::from(theirs.try_clone().unwrap()));
    }
    let mut job = Job::start_as_is(command.stdout(OwnedFd::from(theirs)));
    // The command's own copies are ends too.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    (text, job.wait().code())
}

/// Node starts its children with sockets for pipes, and inetd servers have nothing else.
#[test]
fn a_shared_socket_is_left_open_for_others() {
    let script = r#""$T" exec -- echo first; echo second"#;
    assert_eq!(over_socket(&mut shell(script), false), ("first\nsecond\n".into(), Some(0)));
}

#[test]
fn stdout_and_stderr_on_one_socket_end_apart() {
    let mut command = exec_sh("echo out; exec >&-; sleep 0.2; echo err >&2; exit 3");
    assert_eq!(over_socket(&mut command, true), ("out\nerr\n".into(), Some(3)));
}

#[test]
fn the_end_of_one_output_is_passed_on_while_the_command_runs() {
    let script = "echo out; exec >&-; read line; echo $line >&2";
    let mut job = Job::start_fed(&mut exec_sh(script));
    assert!(job.out.ends_within(Duration::from_secs(3)), "stdout stays open");
    assert!(!job.is_over());
    job.feed(b"err\n");
    job.end().is(0, "out\n", "err\n");
}

#[test]
fn a_slow_start_loses_nothing() {
    // Everything is written before anybody reads.
    let (read, write) = std::io::pipe().unwrap();
    let mut command = exec(["seq", "1", "300000"]);
    let mut job = Job::start_as_is(command.stdout(write));
    drop(command);
    let stuck = || rustix::io::ioctl_fionread(&read).unwrap() >= 64 << 10;
    eventually("the output is stuck", stuck);
    let mut text = String::new();
    { read }.read_to_string(&mut text).unwrap();
    assert!(text.lines().map(|line| line.parse().unwrap_or(0)).eq(1..=300_000));
    assert_eq!(job.wait().code(), Some(0));
}
