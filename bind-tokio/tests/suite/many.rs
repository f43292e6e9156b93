//! Many sessions, at once and one after the other.

use std::process::Command;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use trunkline_core::agentproto::LostInput;

use crate::rt::{self, Agent, PathQuery};

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

#[test]
fn three_hundred_sessions_leave_no_descriptor_and_no_process() {
    if std::env::var_os(ALONE).is_none() {
        // Other tests have descriptors and children of their own: this one needs a process.
        let test = "cases::many::three_hundred_sessions_leave_no_descriptor_and_no_process";
        let alone = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&alone.stdout) + String::from_utf8_lossy(&alone.stderr);
        assert!(alone.status.success() && told.contains("1 passed"), "{told}");
        return;
    }
    rt::each_alone(async || {
        // What a runtime opens for itself, once.
        for number in 0..12 {
            session(number).await;
        }
        eventually("all children are reaped", || !has_children()).await;
        let before = descriptors();
        for number in 0..300 {
            session(number).await;
        }
        eventually("all children are reaped", || !has_children()).await;
        eventually("all descriptors are closed", || descriptors() <= before).await;
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
