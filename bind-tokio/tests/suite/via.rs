//! Agents as processes of their own, behind a command line.

use std::io;
use std::time::Duration;

use crate::rt::{self, Agent, CloseReason, ExitStatus, PathQuery};

use super::support::{
    Pattern, agent_program, eventually, exited, kill, line, lost, lost_status, program, runs, sh,
    sh_with_fds,
};

/// The example, started without a shell.
fn agent() -> Agent {
    Agent::command(agent_program(), [""; 0])
}

/// The example's path as a word of a shell.
fn word() -> String {
    format!("'{}'", agent_program().display())
}

#[test]
fn a_command_runs_on_an_agent_that_is_a_process() {
    rt::each(async || {
        for agent in [
            agent(),
            Agent::via(word()),
            Agent::via(agent_program()),
            Agent::via(format!("cat | {} | cat", word())),
            Agent::via(format!("VARIABLE=x exec {}", word())),
        ] {
            let mut exec = agent.exec(sh_with_fds("cat; cat <&3 >&2; exit 6", &[3])).unwrap();
            let mut stdin = exec.take_stdin().unwrap();
            let mut three = exec.take_stream(3).unwrap().writer;
            let mut stdout = exec.take_stdout().unwrap();
            let mut stderr = exec.take_stderr().unwrap();
            let writing = rt::spawn(async move {
                rt::write_all(&mut stdin, &Pattern::new().head(2_000_000)).await.unwrap();
                rt::write_all(&mut three, b"three").await.unwrap();
            });
            assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), Pattern::new().head(2_000_000));
            assert_eq!(rt::read_to_end(&mut stderr).await.unwrap(), b"three");
            writing.await;
            assert_eq!(exec.wait().await, exited(6));
            assert_eq!(exec.agent_code(), Some(0));
            assert_eq!(exec.wait().await, exited(6));
        }
    });
}

#[test]
fn a_line_is_what_a_shell_takes_it_for() {
    rt::each(async || {
        let path = agent_program();
        let path = path.to_str().unwrap();
        for line in [
            path.to_owned(),
            format!("  {path} "),
            format!("exec {path}"),
            format!("command {path}"),
            format!("eval {path}"),
            format!("true && {path}"),
            format!("\n{path}\n"),
            format!("{path} # the agent"),
        ] {
            let mut exec = Agent::via(&line).exec(sh("exit 3")).unwrap();
            assert_eq!(exec.wait().await, exited(3), "{line:?}");
        }
    });
}

#[test]
fn programs_are_listed_by_an_agent_that_is_a_process() {
    rt::each(async || {
        let entries = agent().paths(PathQuery::default()).await.unwrap();
        assert!(entries.iter().any(|entry| entry.name == "sh"));
        let error = Agent::via("(exit 4)").paths(PathQuery::default()).await.unwrap_err();
        assert!(matches!(lost(&error), CloseReason::Eof { .. }));
    });
}

#[test]
fn an_agent_that_is_not_there_is_a_loss() {
    rt::each(async || {
        let error = Agent::command("/no/such/agent", [""; 0]).exec(sh("true")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        for (line, code) in
            [("/no/such/agent 2>/dev/null", 127), ("(exit 3)", 3), ("true", 0), ("kill -9 $$", 137)]
        {
            let mut exec = Agent::via(line).exec(sh("true")).unwrap();
            let status = exec.wait().await;
            // Which comes first, the end of what it says or of what it listens to, is a race.
            assert!(matches!(lost_status(&status), CloseReason::Eof { mid_frame: false }));
            assert_eq!(exec.agent_code(), Some(code), "{line}");
        }
    });
}

#[test]
fn a_banner_before_the_agent_is_shown() {
    rt::each(async || {
        let mut exec = Agent::via(format!("echo Last login: today; exec {}", word()))
            .exec(sh("true"))
            .unwrap();
        let status = exec.wait().await;
        assert!(matches!(lost_status(&status), CloseReason::Violation(_)));
        assert!(status.to_string().contains("Last login: today"), "{status}");
    });
}

#[test]
fn a_killed_agent_wakes_everybody() {
    rt::each(async || {
        // A command that ends with its input: nobody is left to hang it up.
        let mut exec = agent().exec(sh("echo $PPID; exec cat")).unwrap();
        let mut stdin = exec.take_stdin().unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        let mut stderr = exec.take_stderr().unwrap();
        let pid = line(&mut stdout).await;
        let out = rt::spawn(async move { rt::read_to_end(&mut stdout).await.unwrap_err() });
        let err = rt::spawn(async move { stderr.read_chunk().await.unwrap_err() });
        let writing = rt::spawn(async move {
            let pattern = Pattern::new().head(1 << 20);
            loop {
                if let Err(error) = rt::write_all(&mut stdin, &pattern).await {
                    break error;
                }
            }
        });
        rt::sleep(Duration::from_millis(30)).await;
        kill(&pid);
        let reason = lost_status(&exec.wait().await);
        assert_eq!(exec.agent_code(), Some(137));
        assert_eq!([lost(&out.await), lost(&err.await)], [reason.clone(), reason.clone()]);
        assert!(!writing.await.to_string().is_empty());
        assert!(!runs(&pid));
    });
}

#[test]
fn an_agent_that_ends_badly_behind_the_exit_is_not_clean() {
    rt::each(async || {
        let mut exec = Agent::via(format!("{}; exit 9", word())).exec(sh("exit 0")).unwrap();
        let status = exec.wait().await;
        assert_eq!(status, ExitStatus::Exited { code: 0, text: String::new(), clean: false });
        assert_eq!(exec.agent_code(), Some(9));
        assert_eq!(exec.wait().await, status);
    });
}

#[test]
fn a_way_that_does_not_end_with_its_session_is_ended() {
    rt::each(async || {
        let waiting: Vec<_> = ["exec sleep 1000", "trap '' TERM; exec sleep 1000"]
            .map(|rest| {
                rt::spawn(async move {
                    let line = format!("{}; {rest}", word());
                    let mut exec = Agent::via(line).exec(sh("exit 1")).unwrap();
                    // Given up and begun again, it goes on.
                    assert!(rt::timeout(Duration::from_secs(1), exec.wait()).await.is_none());
                    let status = exec.wait().await;
                    let text = String::new();
                    assert_eq!(status, ExitStatus::Exited { code: 1, text, clean: false });
                    // It did not end by itself: no status of its own.
                    assert_eq!(exec.agent_code(), None);
                })
            })
            .into_iter()
            .collect();
        for waiting in waiting {
            waiting.await;
        }
    });
}

#[test]
fn the_last_handle_takes_process_and_command_along() {
    rt::each(async || {
        for agent in [agent(), Agent::via(word())] {
            let mut exec = agent.exec(sh("echo $PPID; echo $$; exec sleep 1000")).unwrap();
            let mut stdout = exec.take_stdout().unwrap();
            let pids = [line(&mut stdout).await, line(&mut stdout).await];
            assert!(pids.iter().all(|pid| runs(pid)));
            drop(exec);
            // The process goes with it; a stream of it is no reason to stay.
            drop(stdout);
            eventually("both are gone", || !pids.iter().any(|pid| runs(pid))).await;
        }
    });
}

#[test]
fn a_stream_that_outlives_its_exec_still_works() {
    rt::each(async || {
        let mut exec = agent().exec(program("cat", &[])).unwrap();
        let mut stdin = exec.take_stdin().unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        rt::write_all(&mut stdin, b"before\n").await.unwrap();
        assert_eq!(line(&mut stdout).await, "before");
        drop(exec);
        rt::write_all(&mut stdin, b"after\n").await.unwrap();
        let echoed = rt::timeout(Duration::from_secs(15), line(&mut stdout)).await;
        assert_eq!(echoed.as_deref(), Some("after"));
    });
}

#[test]
fn aborting_ends_process_and_command() {
    rt::each(async || {
        let mut exec = agent().exec(sh("echo $PPID; echo $$; exec sleep 1000")).unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        let pids = [line(&mut stdout).await, line(&mut stdout).await];
        exec.abort();
        assert_eq!(lost_status(&exec.wait().await), CloseReason::Local);
        eventually("both are gone", || !pids.iter().any(|pid| runs(pid))).await;
    });
}

#[test]
fn an_interrupt_from_the_keyboard_does_not_end_the_way_to_the_agent() {
    rt::each(async || {
        let mut exec = Agent::via(format!("kill -INT $$; kill -QUIT $$; exec {}", word()))
            .exec(sh("kill -INT $$; sleep 5"))
            .unwrap();
        // The way ignores them; the command gets them back.
        assert_eq!(exec.wait().await, exited(130));
        assert_eq!(exec.agent_code(), Some(0));
    });
}
