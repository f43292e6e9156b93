//! Hazards that only a peer of its own can show: docs/protocols/agentproto.md, section 14.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::interop::{PAIRS, Pair, peer};
use crate::job::{Job, PROGRAM, clean, eventually, run, trunkline};
use crate::marker::{Marker, stat};

/// Our side, and a Go agent with these flags.
fn exec_on(flags: &str, options: &[&str], command: &[&str]) -> std::process::Command {
    let mut exec = trunkline(["exec", "--via", &format!("{} agent {flags}", peer())]);
    exec.args(options).arg("--").args(command);
    exec
}

fn process(line: &str) -> Pid {
    Pid::from_raw(line.parse().expect("a number")).expect("a process")
}

/// Whether a process has ended, reaped or not.
fn is_over(pid: Pid) -> bool {
    stat(pid).is_none_or(|(state, _)| state == 'Z')
}

/// H9: what somebody in the background still writes belongs to the command.
#[test]
fn an_exit_comes_when_nobody_holds_an_output_any_more() {
    for pair in PAIRS {
        let begun = Instant::now();
        let script = "(sleep 0.5; echo late) & echo early; exit 3";
        run(&mut pair.exec(&[], &["sh", "-c", script])).is(3, "early\nlate\n", "");
        assert!(begun.elapsed() >= Duration::from_millis(500), "{pair:?}");
    }
}

/// H9: an output that ended long before the Exit was passed on when it ended.
#[test]
fn the_end_of_stdout_is_not_delayed_by_whoever_holds_stderr() {
    for pair in PAIRS {
        let script = "echo out; exec >&-; read line; echo $line >&2; exit 2";
        let mut job = Job::start_fed(&mut pair.exec(&[], &["sh", "-c", script]));
        assert_eq!(job.out.rest(), b"out\n", "{pair:?}");
        assert!(!job.is_over());
        job.feed(b"go\n");
        job.end().is(2, "", "go\n");
    }
}

/// H10: each side could wait for the other. Ours leaves, and then the agent does by itself.
#[test]
fn both_sides_leave_after_the_exit() {
    for pair in PAIRS {
        let ended = run(&mut pair.exec(&["-v"], &["sh", "-c", "echo $PPID"]));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        // This is told of an agent that had to be ended.
        assert!(!ended.err.contains("ended badly"), "{ended:?}");
        let agent = process(ended.text().trim_end());
        eventually("the agent ends", || is_over(agent));
    }
}

/// H10: an agent waits behind a start that failed, too.
#[test]
fn both_sides_leave_after_a_start_that_failed() {
    for pair in PAIRS {
        let ended = run(&mut pair.exec(&["-v"], &["/no/such/program"]));
        assert_eq!(ended.code, Some(127), "{ended:?}");
        assert!(!ended.err.contains("ended badly"), "{ended:?}");
    }
}

/// H11: frames behind the Exit, and even what is none, change nothing any more.
#[test]
fn what_follows_the_exit_is_not_looked_at() {
    for code in [0, 7] {
        let script = format!("echo out; echo err >&2; exit {code}");
        let mut exec = exec_on("-after-exit", &[], &["sh", "-c", &script]);
        run(&mut exec).is(code, "out\n", "err\n");
    }
    let mut exec = exec_on("-after-exit", &[], &["/no/such/program"]);
    assert_eq!(run(&mut exec).code, Some(127));
}

/// H6: the agent stands still behind a stdin that nobody reads, and so do signals behind it. The user
/// can leave all the same.
#[test]
fn a_second_interrupt_leaves_an_agent_that_stands_still() {
    let marker = Marker::new();
    let script = "echo ready; exec sleep $0";
    let mut job = Job::start_fed(&mut exec_on("", &[], &["sh", "-c", script, marker.text()]));
    assert_eq!(job.out.line(), "ready");
    let mut stdin = job.stdin.take().expect("a pipe");
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    thread::spawn(move || {
        while stdin.write_all(&[0; 4096]).is_ok() {
            count.fetch_add(4096, Ordering::SeqCst);
        }
    });
    eventually("nothing more is taken", || {
        let before = taken.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(100));
        before > 70_000 && taken.load(Ordering::SeqCst) == before
    });
    // What is queued for a stream is bounded, so that this does not grow without end.
    assert!(taken.load(Ordering::SeqCst) < 4 << 20, "{taken:?} bytes are queued");
    eventually("it gives up", || {
        job.signal(Signal::INT);
        thread::sleep(Duration::from_millis(100));
        job.is_over()
    });
    let ended = job.end();
    assert_eq!(ended.code, Some(255), "{ended:?}");
    assert!(ended.line().contains("interrupted twice"), "{ended:?}");
}

/// H6: our agent parks what the command does not read; a signal goes past it.
#[test]
fn a_signal_from_a_go_runner_passes_a_stdin_that_nobody_reads() {
    let script =
        "trap 'echo TERM; exit 4' TERM; echo ready; while :; do sleep 0.02; done 2>/dev/null";
    let mut job = Job::start_fed(&mut Pair::GoAsks.exec(&[], &["sh", "-c", script]));
    assert_eq!(job.out.line(), "ready");
    // More than a pipe holds, less than our agent parks.
    job.feed(&[0; 300_000]);
    job.signal(Signal::TERM);
    job.end().is(4, "ready\nTERM\n", "");
}

/// H8: a runner that was killed leaves nothing behind at our agent.
#[test]
fn a_killed_go_runner_hangs_the_command_up() {
    let marker = Marker::new();
    let mut local = clean(peer());
    local.args(["run", PROGRAM, "agent", "--hangup-after", "1", "--"]);
    local.args(["sh", "-c", "echo ready; sleep $0", marker.text()]);
    let job = Job::start_fed(&mut local);
    assert_eq!(job.out.line(), "ready");
    marker.sleeps();
    job.signal(Signal::KILL);
    marker.gone();
}

/// H8: a Go agent that was killed is a loss, although its command runs on and holds nothing of ours.
#[test]
fn a_killed_go_agent_does_not_hang_us() {
    let marker = Marker::new();
    let script = "echo $PPID; exec sleep $0";
    let job = Job::start_fed(&mut exec_on("", &[], &["sh", "-c", script, marker.text()]));
    kill_process(process(&job.out.line()), Signal::KILL).expect("it runs");
    let ended = job.end();
    assert_eq!(ended.code, Some(255), "{ended:?}");
    assert!(ended.line().contains("lost"), "{ended:?}");
}

/// H24: an agent that talks more than it works delays nothing, and its talk is metered.
#[test]
fn ten_thousand_log_records_of_a_go_agent_delay_nothing() {
    let mut exec = exec_on("-chatter 10000", &[], &["sh", "-c", "cat; exit 6"]);
    run(&mut exec).is(6, "", "");
    let ended = run(&mut exec_on("-chatter 10000", &["-v"], &["sh", "-c", "echo out; exit 6"]));
    assert_eq!((ended.code, ended.text()), (Some(6), "out\n"));
    let shown = ended.err.matches("chatter").count();
    assert!((1_000..9_000).contains(&shown), "{shown} records are shown");
}
