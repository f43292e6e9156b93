//! The bindings against the Go peer, which nobody wrote together with them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use trunkline_core::agentproto::PathEntry;

use crate::rt::{self, Agent, Exec, PathQuery};

use super::logs::{heard, listen};
use super::support::{
    Pattern, agent_program, eventually, exited, line, lost_status, program, runs, sh, sh_with_fds,
};

#[path = "../../../conformance/peers/go_peer.rs"]
pub(super) mod go_peer;

/// How much goes through a command and back.
const COUNT: usize = 100 << 20;

/// Runs a test that needs the peer; building it is no part of the time that the test has.
fn each(test: impl AsyncFn() + Sync) {
    go_peer::agentproto();
    rt::each(test);
}

/// The Go peer as an agent.
fn agent() -> Agent {
    Agent::command(go_peer::agentproto(), ["agent"])
}

/// The Go peer as the local side of this binding's agent, with options and a command.
fn runner(options: &[&str], command: &[&str]) -> Command {
    let mut runner = Command::new(go_peer::agentproto());
    runner.arg("run").args(options).arg(agent_program()).arg("--").args(command);
    runner.env_remove("SUDO_UID").stdin(Stdio::null());
    runner
}

/// What ran to its end: its exit code, stdout and stderr.
fn ran(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Sends so many bytes to a command that echoes them, and checks every one that comes back.
async fn echo(exec: &mut Exec) {
    let mut stdin = exec.take_stdin().unwrap();
    let mut stdout = exec.take_stdout().unwrap();
    let feeding = rt::spawn(async move {
        let pattern = Pattern::new();
        let mut sent = 0;
        while sent < COUNT {
            let mut piece = pattern.at(sent, COUNT - sent);
            sent += piece.len();
            stdin.write_bytes(&mut piece).await.unwrap();
        }
        stdin.finish();
    });
    let pattern = Pattern::new();
    let mut seen = 0;
    while let Some(chunk) = stdout.read_chunk().await.unwrap() {
        pattern.check(seen, &chunk);
        seen += chunk.len();
    }
    feeding.await;
    assert_eq!(seen, COUNT);
}

#[test]
fn a_hundred_mebibytes_pass_through_cat_on_a_go_agent() {
    go_peer::agentproto();
    // One flavour of the runtime after the other: together they take long where little else is free.
    rt::each_alone(async || {
        let mut exec = agent().exec(program("cat", &[])).unwrap();
        echo(&mut exec).await;
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(exec.agent_code(), Some(0));
    });
}

#[test]
fn a_hundred_mebibytes_pass_through_cat_from_a_go_runner() {
    let mut runner = runner(&[], &["cat"]);
    let mut runner = runner.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = runner.stdin.take().unwrap();
    let mut stdout = runner.stdout.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let pattern = Pattern::new();
            let mut sent = 0;
            while sent < COUNT {
                let piece = pattern.at(sent, COUNT - sent);
                stdin.write_all(&piece).unwrap();
                sent += piece.len();
            }
        });
        let pattern = Pattern::new();
        let (mut seen, mut buffer) = (0, vec![0; 64 << 10]);
        loop {
            let length = stdout.read(&mut buffer).unwrap();
            if length == 0 {
                break;
            }
            pattern.check(seen, &buffer[..length]);
            seen += length;
        }
        assert_eq!(seen, COUNT);
    });
    assert_eq!(runner.wait().unwrap().code(), Some(0));
}

#[test]
fn codes_and_both_outputs_come_from_a_go_agent() {
    each(async || {
        for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -KILL $$", 137)] {
            let exec = agent().exec(sh(&format!("echo out; echo err >&2; {script}"))).unwrap();
            let output = exec.output().await.unwrap();
            assert_eq!((output.stdout, output.stderr), (b"out\n".into(), b"err\n".into()));
            assert_eq!(output.status, exited(code));
        }
        let mut exec = agent().exec(program("/no/such/program", &[])).unwrap();
        let status = exec.wait().await;
        assert_eq!(status.code(), Some(127));
        assert!(status.to_string().contains("no such file or directory"), "{status}");
        assert_eq!(exec.agent_code(), Some(0));
    });
}

#[test]
fn codes_and_both_outputs_reach_a_go_runner() {
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -KILL $$", 137)] {
        let script = format!("echo out; echo err >&2; {script}");
        let expected = (Some(code), "out\n".to_owned(), "err\n".to_owned());
        assert_eq!(ran(&mut runner(&[], &["sh", "-c", &script])), expected);
    }
    let (code, out, err) = ran(&mut runner(&[], &["/no/such/program"]));
    assert_eq!((code, out.as_str()), (Some(127), ""));
    assert!(err.contains("o such file or directory"), "{err}");
}

/// A script that says what signals come, and ends with 9 at the last of them.
const TELLS: &str = "for s in TERM HUP USR1; do trap \"echo $s\" $s; done
    trap 'echo INT; exit 9' INT; echo ready; while :; do sleep 0.02; done 2>/dev/null";

const SIGNALS: [(&str, Signal); 4] =
    [("TERM", Signal::TERM), ("HUP", Signal::HUP), ("USR1", Signal::USR1), ("INT", Signal::INT)];

#[test]
fn signals_reach_a_command_on_a_go_agent() {
    each(async || {
        // What leads to an agent ignores INT, which a Go program passes on to its command.
        let via = format!("env --default-signal=INT {} agent", go_peer::agentproto().display());
        let mut exec = Agent::via(via).exec(sh(TELLS)).unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        assert_eq!(line(&mut stdout).await, "ready");
        for (name, signal) in SIGNALS {
            exec.signal(signal.as_raw()).unwrap();
            assert_eq!(line(&mut stdout).await, name);
        }
        assert_eq!(exec.wait().await, exited(9));
    });
}

#[test]
fn signals_to_a_go_runner_reach_the_command() {
    let mut child = runner(&[], &["sh", "-c", TELLS]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(said.next().as_deref(), Some("ready"));
    let pid = Pid::from_child(&child);
    for (name, signal) in SIGNALS {
        kill_process(pid, signal).unwrap();
        assert_eq!(said.next().as_deref(), Some(name));
    }
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

#[test]
fn both_agents_list_the_same_programs() {
    let mut lists = Command::new(go_peer::agentproto());
    let (code, from_go, err) =
        ran(lists.arg("paths").arg(agent_program()).arg("--").stdin(Stdio::null()));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    each(async || {
        let ours = Agent::command(agent_program(), [""; 0]);
        let to_ours = ours.paths(PathQuery::default()).await.unwrap();
        let to_go = agent().paths(PathQuery::default()).await.unwrap();
        assert!(to_go.len() > 20 && to_go == to_ours);
        let line = |e: &PathEntry| format!("{} {:03o} {} {}\n", e.path, e.mode, e.size, e.mtime);
        assert!(to_ours.iter().map(line).collect::<String>() == from_go);
    });
}

#[test]
fn a_go_agents_log_records_are_told() {
    each(async || {
        let mark = listen();
        let mut exec = agent().exec(program("/bin/echo", &[&mark])).unwrap();
        assert_eq!(exec.wait().await, exited(0));
        eventually("it is told", || !heard(&mark).is_empty()).await;
        let seen = &heard(&mark)[0];
        assert_eq!((seen.message.as_str(), seen.source.as_str()), ("building command", "agent"));
        assert!(seen.attributes.starts_with(&format!("path=/bin/echo argv=[/bin/echo {mark}]")));
    });
}

#[test]
fn an_agents_log_records_reach_a_go_runner() {
    let (code, _, err) = ran(&mut runner(&["-v"], &["true"]));
    assert_eq!(code, Some(0));
    for text in ["building command", "child started", "child exited"] {
        assert!(err.contains(text), "{text:?} is missing: {err}");
    }
}

/// The end of such a stream is not passed on by this agent, and must not be waited for (hazard H7).
#[test]
fn an_extra_stream_carries_both_ways_to_a_go_agent() {
    each(async || {
        let script = "read line <&5; echo got $line >&5; read line <&5; exec 5>&-; cat; exit 4";
        let mut exec = agent().exec(sh_with_fds(script, &[5])).unwrap();
        let (mut reader, mut writer) = exec.take_stream(5).unwrap().into_split();
        rt::write_all(&mut writer, b"one\n").await.unwrap();
        assert_eq!(line(&mut reader).await, "got one");
        rt::write_all(&mut writer, b"two\n").await.unwrap();
        drop(exec.take_stdin());
        assert_eq!(rt::read_to_end(&mut reader).await.unwrap(), b"");
        assert_eq!(exec.wait().await, exited(4));
    });
}

/// Hazards H9, H10, H11 and H24, each at once.
#[test]
fn a_go_agent_that_talks_before_and_behind_the_exit_is_taken_for_what_it_is() {
    each(async || {
        let flags = ["agent", "-chatter", "3000", "-after-exit"];
        let agent = Agent::command(go_peer::agentproto(), flags);
        let script = "(sleep 0.2; echo late) & echo early; exit 3";
        let output = agent.exec(sh(script)).unwrap().output().await.unwrap();
        assert_eq!(output.stdout, b"early\nlate\n");
        // What it says into a link that we have left may kill it: that is not the command's end.
        assert_eq!(output.status.code(), Some(3));
    });
}

#[test]
fn a_killed_go_agent_is_a_loss() {
    each(async || {
        let mut exec = agent().exec(sh("echo $PPID; exec cat")).unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        let pid = line(&mut stdout).await;
        super::support::kill(&pid);
        lost_status(&exec.wait().await);
        assert_eq!(exec.agent_code(), Some(137));
        let gone = rt::timeout(Duration::from_secs(20), async {
            while runs(&pid) {
                rt::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(gone.await.is_some());
    });
}
