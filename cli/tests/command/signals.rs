//! Signals to the program, and its own sudden end.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::job::{Job, PROGRAM, eventually, exec, exec_sh, shell, trunkline, within};
use crate::marker::{Marker, stat};
use crate::temp::Temp;

/// A script that says `ready`, and then the names of the signals that come.
fn names(signals: &str) -> String {
    format!(
        "for s in {signals}; do trap \"echo $s\" $s; done; echo ready; while :; do sleep 0.02; done 2>/dev/null"
    )
}

const ALL: [(&str, Signal); 7] = [
    ("TERM", Signal::TERM),
    ("HUP", Signal::HUP),
    ("QUIT", Signal::QUIT),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("WINCH", Signal::WINCH),
    ("INT", Signal::INT),
];

#[test]
fn seven_of_them_reach_the_command() {
    let script = names("TERM HUP QUIT USR1 USR2 WINCH INT");
    let job = Job::start(&mut exec_sh(&script));
    let mut expected = vec!["ready"];
    job.out.line();
    for (name, signal) in ALL {
        job.signal(signal);
        expected.push(name);
        assert_eq!(job.out.lines(expected.len()), expected);
    }
    // It ends by the two interrupts that follow, which is told elsewhere.
    drop(job);
}

#[test]
fn they_reach_the_commands_whole_group() {
    let script = "trap 'wait; echo outer; exit 6' TERM
        sh -c 'trap \"echo inner; exit\" TERM; echo ready; while :; do sleep 0.02; done 2>/dev/null' &
        wait";
    let job = Job::start(&mut exec_sh(script));
    job.out.line();
    job.signal(Signal::TERM);
    job.end().is(6, "ready\ninner\nouter\n", "");
}

#[test]
fn one_that_kills_the_command_is_its_exit_code() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::QUIT, 131)] {
        let job = Job::start(&mut exec_sh("ulimit -c 0; echo ready; exec sleep 60"));
        job.out.line();
        job.signal(signal);
        job.end().is(code, "ready\n", "");
    }
}

/// Nobody is there yet to whom it could be passed on.
#[test]
fn one_that_asks_for_the_end_is_obeyed_while_no_agent_has_answered() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let marker = Marker::new();
        let line = format!("sleep {}", marker.text());
        let job = Job::start(&mut trunkline(["exec", "--via", &line, "--", "true"]));
        marker.sleeps();
        job.signal(signal);
        let ended = job.end();
        assert_eq!(ended.code, Some(255), "{ended:?}");
        assert!(ended.line().contains("before the agent had said anything"), "{ended:?}");
        marker.gone();
    }
}

/// The wire has no flow control: beyond all queues a signal has to wait, and the user is told.
#[test]
fn one_that_is_stuck_behind_unread_stdin_is_told() {
    let script = "trap 'echo TERM; exit 9' TERM; echo ready; while [ ! -e \"$0\" ]; do sleep 0.02; done; cat >/dev/null";
    let folder = Temp::new();
    let mut command = exec_sh(script);
    command.arg(folder.file("read"));
    let mut job = Job::start_fed(&mut command);
    job.out.line();
    let mut stdin = job.stdin.take().unwrap();
    let writer = thread::spawn(move || {
        let _ = stdin.write_all(&vec![0; 64 << 20]);
    });
    assert!(!within(Duration::from_secs(2), || writer.is_finished()), "it was taken whole");
    job.signal(Signal::TERM);
    job.err.until("the signal waits");
    folder.write("read", b"");
    let ended = job.end();
    assert_eq!((ended.code, ended.text()), (Some(9), "ready\nTERM\n"), "{ended:?}");
    writer.join().unwrap();
}

/// More unread stdin than a pipe holds, less than the queues (hazard H6).
#[test]
fn they_overtake_unread_stdin() {
    let mut job = Job::start_fed(&mut exec_sh(&names("USR1 TERM")));
    job.out.line();
    job.feed(&vec![b'x'; 700 << 10]);
    job.signal(Signal::USR1);
    assert_eq!(job.out.lines(2)[1], "USR1");
    job.signal(Signal::TERM);
    assert_eq!(job.out.lines(3)[2], "TERM");
    drop(job);
}

#[test]
fn a_burst_is_not_lost() {
    let job = Job::start(&mut exec_sh(&names("TERM HUP QUIT USR1 USR2 WINCH")));
    job.out.line();
    for (_, signal) in &ALL[..6] {
        job.signal(*signal);
    }
    let mut came = job.out.lines(7).split_off(1);
    came.sort();
    assert_eq!(came, ["HUP", "QUIT", "TERM", "USR1", "USR2", "WINCH"]);
}

#[test]
fn a_second_interrupt_within_a_second_gives_up() {
    let marker = Marker::new();
    let script = "trap '' INT TERM; echo ready; while :; do sleep 0.02; done 2>/dev/null";
    let job = Job::start(&mut exec(["sh", "-c", script, marker.text()]));
    job.out.line();
    let ended = interrupt_until_over(job);
    assert_eq!((ended.code, ended.text()), (Some(255), "ready\n"));
    assert!(ended.line().contains("interrupted"), "{ended:?}");
    marker.gone();
}

/// Interrupts again and again: two that come too fast count as one.
fn interrupt_until_over(mut job: Job) -> crate::job::Ended {
    eventually("it gives up", || {
        if !job.is_over() {
            job.signal(Signal::INT);
            thread::sleep(Duration::from_millis(50));
        }
        job.is_over()
    });
    job.end()
}

#[test]
fn two_interrupts_a_while_apart_are_both_passed_on() {
    let job = Job::start(&mut exec_sh(
        "trap 'echo INT' INT; echo ready; while :; do sleep 0.02; done 2>/dev/null",
    ));
    job.out.line();
    for count in 2..=3 {
        job.signal(Signal::INT);
        assert_eq!(job.out.lines(count)[count - 1], "INT");
        // Nothing announces that a second is over.
        thread::sleep(Duration::from_millis(1_100));
    }
}

#[test]
fn giving_up_does_not_wait_for_a_silent_agent() {
    let marker = Marker::new();
    let line = format!("sleep {}", marker.text());
    let job = Job::start(&mut trunkline(["exec", "--via", &line, "--", "true"]));
    marker.sleeps();
    // The handlers may be a moment away, and a kill is no give-up.
    eventually("it takes interrupts", || catches_interrupts(&job));
    let ended = interrupt_until_over(job);
    assert_eq!((ended.code, ended.lines().len()), (Some(255), 1), "{ended:?}");
    marker.gone();
}

fn catches_interrupts(job: &Job) -> bool {
    let status = format!("/proc/{}/status", job.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(status).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & 1 << (Signal::INT.as_raw() - 1) != 0)
}

#[test]
fn giving_up_does_not_wait_for_stuck_streams() {
    let marker = Marker::new();
    let (read, write) = std::io::pipe().unwrap();
    let script = "trap '' INT TERM; yes $0";
    let mut command = exec(["sh", "-c", script, marker.text()]);
    let mut job = Job::start_as_is(command.stdout(write).stderr(std::process::Stdio::piped()));
    drop(command);
    eventually("the output is stuck", || rustix::io::ioctl_fionread(&read).unwrap() >= 64 << 10);
    eventually("it gives up", || {
        if !job.is_over() {
            job.signal(Signal::INT);
            thread::sleep(Duration::from_millis(50));
        }
        job.is_over()
    });
    assert_eq!(job.wait().code(), Some(255));
    marker.gone();
}

/// More stdin than all queues hold: the link is stuck, and the signal with it. Giving up is not.
#[test]
fn giving_up_does_not_wait_for_a_command_that_never_reads() {
    let marker = Marker::new();
    let mut job =
        Job::start_fed(&mut exec(["sh", "-c", "echo ready; exec sleep $0", marker.text()]));
    job.out.line();
    flood(&mut job, 32 << 20);
    assert_eq!(interrupt_until_over(job).code, Some(255));
    marker.gone();
}

/// Writes to its stdin, in a thread, and waits until all is taken or nothing more is.
fn flood(job: &mut Job, size: usize) {
    let mut stdin = job.stdin.take().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    thread::spawn(move || {
        // It fails when the program ends.
        while count.load(Ordering::SeqCst) < size && stdin.write_all(&[0; 4096]).is_ok() {
            count.fetch_add(4096, Ordering::SeqCst);
        }
        // Its end must not come before the test's.
        std::mem::forget(stdin);
    });
    eventually("nothing more is taken", || {
        let before = taken.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(100));
        before == size || before > 1 << 20 && taken.load(Ordering::SeqCst) == before
    });
}

/// `timeout`, `systemctl stop` and a closing terminal signal everybody at once.
#[test]
fn one_to_the_whole_group_is_the_same_signal_to_the_command() {
    let script = "trap 'echo TERM; exit 5' TERM; trap 'echo HUP; exit 6' HUP; echo ready
        while :; do sleep 0.02; done 2>/dev/null";
    let job = Job::start(&mut exec_sh(script));
    job.out.line();
    job.signal_group(Signal::TERM);
    job.end().is(5, "ready\nTERM\n", "");
}

/// Nothing on the way may die of it, from the first moment on.
#[test]
fn an_early_interrupt_of_the_whole_group_does_not_lose_the_agent() {
    for delay in 0..16 {
        let mut job =
            Job::start(&mut exec_sh("trap 'exit 9' INT; while :; do sleep 0.02; done 2>/dev/null"));
        eventually("it takes interrupts", || catches_interrupts(&job));
        thread::sleep(Duration::from_micros(300 * delay));
        job.signal_group(Signal::INT);
        // The shell may not have had its trap yet: then it dies of the signal, or never sees it.
        if within(Duration::from_millis(300), || job.is_over()) {
            let ended = job.end();
            assert!(matches!(ended.code, Some(9 | 130)), "{delay}: {ended:?}");
        } else {
            job.signal(Signal::TERM);
            assert_eq!(job.end().code, Some(143));
        }
    }
}

/// What `nohup` and background jobs are told to ignore is not for the command either.
#[test]
fn ignored_ones_are_not_passed_on() {
    for (name, signal) in [("HUP", Signal::HUP), ("INT", Signal::INT)] {
        let job = Job::start(&mut ignoring(name));
        job.out.line();
        job.signal(signal);
        job.signal(Signal::USR1);
        job.end().is(4, "ready\nUSR1\n", "");
    }
}

/// A terminal that closes tells everybody, the agent started here as well.
#[test]
fn ignored_ones_are_not_taken_by_the_agent_either() {
    for (name, signal) in [("HUP", Signal::HUP), ("INT", Signal::INT)] {
        let job = Job::start(&mut ignoring(name));
        job.out.line();
        job.signal_group(signal);
        // A second one would find the agent at work on the first.
        thread::sleep(Duration::from_millis(100));
        job.signal(Signal::USR1);
        job.end().is(4, "ready\nUSR1\n", "");
    }
}

/// The program started to ignore a signal, with a command that ends at USR1.
fn ignoring(name: &str) -> std::process::Command {
    shell(&format!(
        "trap '' {name}; exec \"$T\" exec -- sh -c 'trap \"echo USR1; exit 4\" USR1; echo ready
         while :; do sleep 0.02; done 2>/dev/null'"
    ))
}

#[test]
fn the_command_has_no_signal_ignored_or_blocked() {
    let script = "grep -e SigBlk -e SigIgn /proc/self/status";
    let ended = crate::job::run(&mut exec_sh(script));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // What the tests themselves were told to ignore (`nohup`) may stay so.
    let always = [Signal::INT, Signal::QUIT, Signal::PIPE, Signal::CHILD, Signal::ALARM];
    let always = always.iter().fold(0, |mask, signal| mask | 1_u64 << (signal.as_raw() - 1));
    for line in ended.text().lines() {
        let mask = line.split_whitespace().nth(1).unwrap();
        assert_eq!(u64::from_str_radix(mask, 16).unwrap() & always, 0, "{line}");
    }
}

fn hanging_up_after_1() -> String {
    format!("{PROGRAM} agent --hangup-after 1")
}

#[test]
fn a_killed_program_hangs_the_command_up() {
    let (marker, temp) = (Marker::new(), Temp::new());
    let script = "trap 'echo hung up >$1/told; exit' HUP; echo ready; while :; do sleep 0.02; done 2>/dev/null";
    let mut command = trunkline(["exec", "--via", &hanging_up_after_1(), "--", "sh", "-c", script]);
    let job = Job::start_fed(command.args([marker.text(), temp.text()]));
    job.out.line();
    job.signal(Signal::KILL);
    marker.gone();
    assert_eq!(temp.read("told"), "hung up\n");
    drop(job);
}

#[test]
fn a_command_that_ignores_being_hung_up_is_killed() {
    let marker = Marker::new();
    let script = "trap '' HUP TERM INT; echo ready; while :; do sleep 0.02; done 2>/dev/null";
    let mut command = trunkline(["exec", "--via", &hanging_up_after_1(), "--", "sh", "-c", script]);
    let job = Job::start_fed(command.arg(marker.text()));
    job.out.line();
    job.signal(Signal::KILL);
    marker.gone();
    drop(job);
}

#[test]
fn a_killed_program_hangs_up_a_command_that_never_reads() {
    for size in [2 << 20, 32 << 20] {
        let marker = Marker::new();
        let mut command = trunkline(["exec", "--via", &hanging_up_after_1(), "--"]);
        command.args(["sh", "-c", "echo ready; exec sleep $0", marker.text()]);
        let mut job = Job::start_fed(&mut command);
        job.out.line();
        flood(&mut job, size);
        job.signal(Signal::KILL);
        marker.gone();
    }
}

/// An agent whose caller is gone has nothing to do but wait.
#[test]
fn an_agent_that_waits_to_hang_up_uses_no_processor() {
    let marker = Marker::new();
    let line = format!("{PROGRAM} agent --hangup-after 3");
    let mut command = trunkline(["exec", "--via", &line, "--", "sh", "-c"]);
    let job = Job::start_fed(command.args(["echo $PPID; exec sleep $0", marker.text()]));
    let agent = rustix::process::Pid::from_raw(job.out.line().parse().unwrap()).unwrap();
    job.signal(Signal::KILL);
    let mut used = Duration::ZERO;
    eventually("the agent ends", || match stat(agent) {
        Some((state, so_far)) if state != 'Z' => {
            used = so_far;
            false
        }
        _ => true,
    });
    assert!(used < Duration::from_millis(200), "{used:?} of processor time in 3 seconds");
    marker.gone();
}

#[test]
fn asking_an_agent_to_end_asks_its_command() {
    let line = format!("{PROGRAM} agent");
    let script = "for s in HUP TERM; do trap \"echo $s; exit 3\" $s; done; echo $PPID
        while :; do sleep 0.02; done 2>/dev/null";
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::HUP, "HUP")] {
        let job =
            Job::start_fed(&mut trunkline(["exec", "--via", &line, "--", "sh", "-c", script]));
        let agent = rustix::process::Pid::from_raw(job.out.line().parse().unwrap()).unwrap();
        rustix::process::kill_process(agent, signal).unwrap();
        let ended = job.end();
        assert_eq!((ended.code, ended.text().lines().nth(1)), (Some(3), Some(name)), "{ended:?}");
    }
}

/// A socket for stdin must be no different from a pipe.
#[test]
fn the_end_of_a_socket_is_the_end_of_stdin() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let job = Job::start(exec_sh("cat; echo over").stdin(OwnedFd::from(theirs)));
    drop(ours);
    job.end().is(0, "over\n", "");
}
