//! Floods, and sides that do not do their part: memory stays where it was, and nothing is left.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde_json::json;

use crate::crafted::{Crafted, bytes_of};
use crate::interop::{PAIRS, peer};
use crate::job::{Job, eventually, exec_sh, run, run_with, trunkline};
use crate::marker::{Marker, stat};

/// What any process of ours may ever take: the program itself, what may be queued, and some air.
const ROOM: usize = 48 << 10;

/// The most memory that a process has had resident so far, in KiB; `None` when it is gone.
fn peak(pid: Pid) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[track_caller]
fn has_stayed_small(what: &str, pid: Pid) {
    let peak = peak(pid).expect("it runs");
    eprintln!("{what}: {peak} KiB at most");
    assert!(peak < ROOM, "{what} took {peak} KiB");
}

fn process(line: &str) -> Pid {
    Pid::from_raw(line.parse().expect("a number")).expect("a process")
}

/// Waits until a count has stopped for a while, and gives it.
fn stopped(count: &AtomicUsize) -> usize {
    let mut last = usize::MAX;
    eventually("it comes to a stop", || {
        let now = count.load(Ordering::SeqCst);
        let stands = now > 0 && now == last;
        last = now;
        thread::sleep(Duration::from_millis(300));
        stands && count.load(Ordering::SeqCst) == now
    });
    last
}

#[test]
fn a_flood_of_log_records_takes_no_memory() {
    let via = format!("{} agent -chatter 200000", peer());
    let script = "echo out; read line; echo $line; exit 3";
    let mut job = Job::start_fed(&mut trunkline(["exec", "--via", &via, "--", "sh", "-c", script]));
    assert_eq!(job.out.line(), "out");
    has_stayed_small("the local side", job.pid());
    job.feed(b"in\n");
    job.end().is(3, "out\nin\n", "");
}

/// A flood that does not end is no reason not to: the user can leave, and memory does not grow.
#[test]
fn an_endless_flood_of_log_records_can_be_left() {
    let record = json!({"t": 7, "l": {"lvl": 0, "msg": "x".repeat(40)}});
    let flood = Crafted::bytes(&bytes_of(&[record]).repeat(200_000));
    let line = format!("while {}; do :; done", flood.says());
    let mut job = Job::start(&mut trunkline(["-v", "exec", "--via", &line, "--", "true"]));
    // As many as come at once.
    job.err.lines(1_000);
    eventually("it gives up", || {
        has_stayed_small("the local side", job.pid());
        job.signal(Signal::INT);
        thread::sleep(Duration::from_millis(100));
        job.is_over()
    });
    let ended = job.end();
    assert_eq!(ended.code, Some(255));
    assert!(ended.line().contains("interrupted twice"), "{:?}", ended.lines());
}

#[test]
fn a_command_that_never_reads_its_stdin_takes_no_memory() {
    for pair in PAIRS {
        let marker = Marker::new();
        let script = "echo $PPID; exec sleep $0";
        let mut job = Job::start_fed(&mut pair.exec(&[], &["sh", "-c", script, marker.text()]));
        let agent = process(&job.out.line());
        let mut stdin = job.stdin.take().expect("a pipe");
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        thread::spawn(move || {
            while stdin.write_all(&[7; 32 << 10]).is_ok() {
                count.fetch_add(32 << 10, Ordering::SeqCst);
            }
        });
        let taken = stopped(&taken);
        eprintln!("{pair:?}: {taken} bytes taken");
        assert!(taken < 8 << 20, "{taken} bytes of stdin are queued somewhere");
        has_stayed_small("the local side", job.pid());
        has_stayed_small("the agent", agent);
    }
}

#[test]
fn a_caller_that_never_reads_takes_no_memory() {
    for pair in PAIRS {
        let (mut stdout, theirs) = io::pipe().expect("a pipe");
        let script = "echo $PPID >&2; exec yes";
        let mut command = pair.exec(&[], &["sh", "-c", script]);
        let job = Job::start_as_is(command.stdout(theirs).stderr(Stdio::piped()));
        drop(command);
        let agent = process(&job.err.line());
        // Everybody has done what can be done when the agent does nothing any more.
        let work = || stat(agent).map(|(_, used)| used);
        let mut last = None;
        eventually("nothing moves", || {
            let before = std::mem::replace(&mut last, work());
            thread::sleep(Duration::from_millis(300));
            before.is_some() && before == last && work() == last
        });
        has_stayed_small("the local side", job.pid());
        has_stayed_small("the agent", agent);
        // It was only held up: what comes now is whole, and more than was queued.
        let mut bytes = vec![0; 64 << 20];
        stdout.read_exact(&mut bytes).expect("it goes on");
        assert!(bytes == b"y\n".repeat(bytes.len() / 2));
        has_stayed_small("the local side", job.pid());
        has_stayed_small("the agent", agent);
        job.signal(Signal::TERM);
        let reading = thread::spawn(move || io::copy(&mut stdout, &mut io::sink()));
        assert_eq!(job.end().code, Some(143), "{pair:?}");
        reading.join().expect("no panic").expect("a pipe");
    }
}

#[test]
fn a_hundred_commands_one_after_the_other_leave_nothing() {
    let marker = Marker::new();
    for number in 0..100 {
        let script = format!(": {}; cat; echo {number}; exit {number}", marker.text());
        let input = format!("input {number}\n");
        let ended = run_with(&mut exec_sh(&script), input.as_bytes());
        ended.is(number, &format!("{input}{number}\n"), "");
    }
    marker.gone();
}

#[test]
fn fifty_commands_at_once_keep_to_themselves_and_leave_nothing() {
    let marker = Marker::new();
    thread::scope(|scope| {
        for number in 0..50 {
            let marker = &marker;
            scope.spawn(move || {
                let pair = PAIRS[number % 2];
                let script = format!("seq {number} 20000; exit {number}");
                let ended = run(&mut pair.exec(&[], &["sh", "-c", &script, marker.text()]));
                assert_eq!(ended.code, i32::try_from(number).ok(), "{pair:?}: {}", ended.err);
                let lines = ended.text().lines().map(|line| line.parse().unwrap_or(0));
                assert!(lines.eq(number..=20_000), "{pair:?} {number}");
            });
        }
    });
    marker.gone();
}

#[test]
fn a_gibibyte_of_output_takes_no_memory() {
    for pair in PAIRS {
        let (mut stdout, theirs) = io::pipe().expect("a pipe");
        let script = "echo $PPID >&2; head -c 1073741824 /dev/zero; read line; exit 8";
        let mut command = pair.exec(&[], &["sh", "-c", script]);
        command.stdin(Stdio::piped()).stdout(theirs).stderr(Stdio::piped());
        let job = Job::start_as_is(&mut command);
        drop(command);
        let agent = process(&job.err.line());
        let (mut left, mut buffer, zeros) = (1 << 30, vec![1; 256 << 10], vec![0; 256 << 10]);
        while left > 0 {
            let length = stdout.read(&mut buffer).expect("a pipe");
            assert!(length > 0, "{left} bytes are missing");
            assert!(buffer[..length] == zeros[..length]);
            left -= length;
        }
        has_stayed_small("the local side", job.pid());
        has_stayed_small("the agent", agent);
        assert_eq!(job.end().code, Some(8));
    }
}
