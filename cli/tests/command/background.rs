//! What a command leaves running behind it.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::job::{Job, LONG, exec, exec_sh, run};
use crate::marker::Marker;

#[test]
fn one_that_holds_an_output_delays_the_end() {
    for (held, out, err) in [("", "early\nlate\n", ""), (" >&2", "early\n", "late\n")] {
        let start = Instant::now();
        let script = format!("(sleep 0.5; echo late{held}) & echo early; exit 3");
        run(&mut exec_sh(&script)).is(3, out, err);
        assert!(start.elapsed() >= Duration::from_millis(500));
    }
}

#[test]
fn one_that_holds_no_output_survives_and_delays_nothing() {
    let marker = Marker::new();
    let script = "sleep $0 </dev/null >/dev/null 2>&1 & echo $!; exit 3";
    let mut job = Job::start(&mut exec(["sh", "-c", script, marker.text()]));
    let pid = Pid::from_raw(job.out.line().parse().unwrap()).unwrap();
    assert_eq!(job.wait().code(), Some(3));
    assert!(job.out.ends_within(LONG) && job.err.ends_within(LONG));
    assert_eq!(test_kill_process(pid), Ok(()));
    assert_eq!(marker.all(), [pid]);
    kill_process(pid, Signal::KILL).unwrap();
    marker.gone();
}

/// Only a stdin that nobody reads any more is left: that is nothing to wait for.
#[test]
fn one_that_holds_only_stdin_delays_nothing() {
    let marker = Marker::new();
    let script = "exec 5<&0; sleep $0 <&5 >/dev/null 2>&1 & echo started; exit 3";
    let mut job = Job::start_fed(&mut exec(["sh", "-c", script, marker.text()]));
    assert_eq!(job.out.line(), "started");
    assert_eq!(job.wait().code(), Some(3));
    drop(job);
    // The value kills it.
    assert_eq!(marker.all().len(), 1);
}

#[test]
fn signals_still_reach_it_while_it_holds_an_output() {
    // It is ready when the command itself has gone, and somebody else is its parent.
    let script = "sh -c 'trap \"echo told; exit\" TERM
        while grep -q \"^PPid:[[:space:]]*$1\\$\" /proc/$$/status; do :; done
        echo ready; while :; do sleep 0.02; done 2>/dev/null' sh $$ &
        exit 7";
    let job = Job::start(&mut exec_sh(script));
    assert_eq!(job.out.line(), "ready");
    job.signal(Signal::TERM);
    job.end().is(7, "ready\ntold\n", "");
}

#[test]
fn outputs_written_after_the_commands_own_end_arrive_whole() {
    let script = "(sleep 0.1; seq 1 50000) & exit 0";
    let ended = run(&mut exec_sh(script));
    assert!(ended.text().lines().map(|line| line.parse().unwrap_or(0)).eq(1..=50_000));
    assert_eq!(ended.code, Some(0));
}

#[test]
fn full_pipes_at_the_end_lose_nothing() {
    // The command is gone long before its last bytes are read.
    for _ in 0..5 {
        let ended = run(&mut exec_sh("seq 1 10000; seq 1 10000 >&2"));
        assert_eq!((ended.code, ended.out.len(), ended.err.len()), (Some(0), 48_894, 48_894));
    }
}
