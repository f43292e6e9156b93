//! Many sessions, at once and one after the other.

use std::process::Command;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use trunkline_core::agentproto::LostInput;

use crate::rt::{self, Agent, Exec, ExecRequest, PathQuery};

use super::support::{
    Pattern, agent_program, cancel_at, eventually, exited, options, sh, sh_with_fds, start,
    start_over,
};

/// Set for the process in which a test runs alone.
const ALONE: &str = "TRUNKLINE_TEST_ALONE";

#[test]
fn fifty_sessions_at_once_keep_to_themselves() {
    rt::each(async || {
        let sessions: Vec<_> = (0..50)
            .map(|number: usize| {
                rt::spawn(async move {
                    let (local, remote) = rt::socket_pair();
                    let agent = rt::spawn(rt::serve(remote, options()));
                    let mut exec =
                        rt::exec_over(local, sh(&format!("cat; exit {number}"))).unwrap();
                    let mut stdin = exec.take_stdin().unwrap();
                    let mut stdout = exec.take_stdout().unwrap();
                    let bytes = Pattern::new().at(1_001 * number, 90_000);
                    let written = bytes.clone();
                    let writing = rt::spawn(async move {
                        rt::write_all(&mut stdin, &written).await.unwrap();
                    });
                    assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), bytes);
                    writing.await;
                    assert_eq!(exec.wait().await, exited(i64::try_from(number).unwrap()));
                    assert_eq!(agent.await, 0);
                })
            })
            .collect();
        for session in sessions {
            session.await;
        }
    });
}

/// One session of some kind, all the way to its end.
async fn session(number: usize) {
    match number % 6 {
        0 => {
            let (mut exec, agent) = start(sh_with_fds("cat <&3; exit 1", &[3, 4]));
            assert_eq!(exec.wait().await, exited(1));
            assert_eq!(agent.await, 0);
        }
        1 => {
            let (local, remote) = rt::socket_pair();
            let agent = rt::spawn(rt::serve(remote, options()));
            let exec = rt::exec_over(local, sh("echo out; echo err >&2")).unwrap();
            assert_eq!(exec.output().await.unwrap().stdout, b"out\n");
            assert_eq!(agent.await, 0);
        }
        2 => {
            // Given up while the command runs.
            let mut options = options();
            options.config.lost_input = LostInput::HangUp { grace: Duration::from_millis(5) };
            let (exec, agent, _line) = start_over(sh("exec sleep 1000"), options);
            assert!(cancel_at(1, exec.output()).await.is_none());
            agent.await;
        }
        3 => {
            // The agent is given up.
            let (mut exec, agent) = start(sh("cat"));
            let _ = rt::timeout(Duration::from_millis(3), agent).await;
            assert!(!exec.wait().await.success());
        }
        4 => {
            let (local, remote) = rt::socket_pair();
            let agent = rt::spawn(rt::serve(remote, options()));
            let query = PathQuery { paths: vec!["/no/such/folder".into()] };
            assert_eq!(rt::paths_over(local, query).await.unwrap(), []);
            assert_eq!(agent.await, 0);
        }
        _ => {
            let (exec, agent) = start(sh_with_fds("exec /no/such/program", &[9]));
            drop(exec);
            agent.await;
        }
    }
}

/// How many descriptors this process has open.
fn descriptors() -> usize {
    std::fs::read_dir("/dev/fd").unwrap().count()
}

/// Whether this process has a child: one that runs, or one that nobody has reaped.
fn has_children() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, options), Err(Errno::CHILD))
}

/// Runs a test in a process of its own, because others have descriptors and children too; says
/// whether this is that process.
fn is_alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let alone = Command::new(std::env::current_exe().unwrap())
        .args([&format!("cases::many::{test}"), "--exact", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&alone.stdout) + String::from_utf8_lossy(&alone.stderr);
    assert!(alone.status.success() && told.contains("1 passed"), "{told}");
    // Shown when the test fails, or when somebody wants to see the figures.
    eprintln!("{told}");
    false
}

/// How much memory this process has resident, in KiB; where nobody tells, none.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.map_or(0, |line| line.trim_end_matches("kB").trim().parse().unwrap())
}

/// What this process has before and must not have more of behind.
struct Before {
    descriptors: usize,
    resident: usize,
}

impl Before {
    async fn now() -> Self {
        eventually("all children are reaped", || !has_children()).await;
        Self { descriptors: descriptors(), resident: resident() }
    }

    /// Asserts that nothing is left, and that memory grew by less than this.
    async fn is_as_now(&self, most: usize) {
        eventually("all children are reaped", || !has_children()).await;
        eventually("all descriptors are closed", || descriptors() <= self.descriptors).await;
        let grown = resident().saturating_sub(self.resident);
        eprintln!("{} KiB resident, then {grown} more", self.resident);
        assert!(grown < most, "{grown} KiB more than {} are resident", self.resident);
    }
}

#[test]
fn three_hundred_sessions_leave_no_descriptor_and_no_process() {
    if !is_alone("three_hundred_sessions_leave_no_descriptor_and_no_process") {
        return;
    }
    rt::each_alone(async || {
        // What a runtime opens for itself, once.
        for number in 0..12 {
            session(number).await;
        }
        let before = Before::now().await;
        for number in 0..300 {
            session(number).await;
        }
        before.is_as_now(MORE).await;
    });
}

/// What an allocator may keep for itself: far less than a few bytes of each session's queues.
const MORE: usize = 4 << 10;

/// A command with something on every stream; the shell needs no other program for it.
fn busy(number: usize) -> ExecRequest {
    sh(&format!("read line; echo $line; echo err >&2; exit {}", number % 100))
}

/// Sees it through.
async fn finish(mut exec: Exec, number: usize) {
    let mut stdin = exec.take_stdin().unwrap();
    rt::write_all(&mut stdin, b"in\n").await.unwrap();
    drop(stdin);
    let output = exec.output().await.unwrap();
    assert_eq!((output.stdout, output.stderr), (b"in\n".into(), b"err\n".into()));
    assert_eq!(output.status, exited(i64::try_from(number % 100).unwrap()));
}

#[test]
fn a_thousand_commands_one_after_the_other_leave_nothing() {
    if !is_alone("a_thousand_commands_one_after_the_other_leave_nothing") {
        return;
    }
    rt::each_alone(async || {
        let session = async |number: usize| {
            let (local, remote) = rt::socket_pair();
            let agent = rt::spawn(rt::serve(remote, options()));
            finish(rt::exec_over(local, busy(number)).unwrap(), number).await;
            assert_eq!(agent.await, 0);
        };
        for number in 0..50 {
            session(number).await;
        }
        let before = Before::now().await;
        for number in 0..1_000 {
            session(number).await;
        }
        before.is_as_now(MORE).await;
    });
}

#[test]
fn fifty_agent_processes_at_once_again_and_again_leave_nothing() {
    if !is_alone("fifty_agent_processes_at_once_again_and_again_leave_nothing") {
        return;
    }
    rt::each_alone(async || {
        let agent = Agent::command(agent_program(), [""; 0]);
        let round = async || {
            let commands: Vec<_> = (0..50)
                .map(|number| {
                    let agent = agent.clone();
                    rt::spawn(
                        async move { finish(agent.exec(busy(number)).unwrap(), number).await },
                    )
                })
                .collect();
            for command in commands {
                command.await;
            }
        };
        round().await;
        let before = Before::now().await;
        for _ in 0..4 {
            round().await;
        }
        before.is_as_now(MORE).await;
    });
}

#[test]
fn twenty_agent_processes_at_once_are_all_reaped() {
    rt::each(async || {
        let agent = Agent::command(agent_program(), [""; 0]);
        let sessions: Vec<_> = (0..20)
            .map(|number| {
                let agent = agent.clone();
                rt::spawn(async move {
                    let exec = agent.exec(sh(&format!("echo {number}; exit {number}"))).unwrap();
                    let output = exec.output().await.unwrap();
                    assert_eq!(output.stdout, format!("{number}\n").as_bytes());
                    assert_eq!(output.status, exited(number));
                })
            })
            .collect();
        for session in sessions {
            session.await;
        }
    });
}
