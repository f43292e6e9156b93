//! Signals to the command's process group.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::agentproto::{Frame, FrameType, Misuse};

use crate::rt::{self, SessionError};

use super::peer;
use super::support::{
    Pattern, eventually, exited, line, output, program, runs, session_error, settled, sh, start,
};

const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;
const SIGUSR1: i32 = 10;
const SIGTERM: i32 = 15;

#[test]
fn a_signal_ends_a_command_that_does_not_expect_it() {
    rt::each(async || {
        for signal in [SIGINT, SIGKILL, SIGTERM] {
            let (mut exec, agent) = start(sh("echo ready; exec sleep 1000"));
            assert_eq!(line(&mut exec.take_stdout().unwrap()).await, "ready");
            exec.signal(signal).unwrap();
            assert_eq!(exec.wait().await, exited(128 + i64::from(signal)));
            assert_eq!(agent.await, 0);
        }
    });
}

#[test]
fn a_signal_reaches_the_whole_group() {
    rt::each(async || {
        let (mut exec, agent) = start(sh("sleep 1000 & echo $!; wait"));
        let pid = line(&mut exec.take_stdout().unwrap()).await;
        assert!(runs(&pid));
        exec.signal(SIGTERM).unwrap();
        assert_eq!(exec.wait().await, exited(143));
        eventually("the group is gone", || !runs(&pid)).await;
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn signals_overtake_unsent_input() {
    rt::each(async || {
        let (mut exec, mut peer, line) = peer::exec(sh(""));
        peer.expect(FrameType::EXEC).await;
        line.up.hold();
        let mut stdin = exec.take_stdin().unwrap();
        let writing = rt::spawn(async move {
            rt::write_all(&mut stdin, &Pattern::new().head(3 << 20)).await.unwrap();
        });
        eventually("much is queued", || exec.stats().queued_out > 600_000).await;
        settled(|| line.up.written()).await;
        exec.signal(SIGUSR1).unwrap();
        exec.signal(SIGTERM).unwrap();
        line.up.open();
        let (mut before, mut signals) = (0, Vec::new());
        while signals.len() < 2 {
            match peer.recv().await.unwrap() {
                frame if frame.kind == FrameType::SIGNAL => signals.push(frame.signal),
                frame => before += frame.data.len(),
            }
        }
        assert_eq!(signals, [i64::from(SIGUSR1), i64::from(SIGTERM)], "in their order");
        // Only what was in the transport's hands already comes first, and never the queue.
        assert!(before < 450_000, "{before} bytes came before the signals");
        let mut after = 0;
        while before + after < 3 << 20 {
            after += peer.expect(FrameType::DATA).await.data.len();
        }
        writing.await;
    });
}

#[test]
fn a_signal_reaches_a_command_that_does_not_read() {
    rt::each(async || {
        let script = "trap 'echo caught; exit 11' USR1; echo ready; while :; do sleep 0.01; done";
        let (mut exec, agent) = start(sh(script));
        let mut stdout = exec.take_stdout().unwrap();
        let mut stdin = exec.take_stdin().unwrap();
        assert_eq!(line(&mut stdout).await, "ready");
        // As much as the agent's side takes for a command that reads nothing.
        stdin.write_bytes(&mut Bytes::from(Pattern::new().head(1_000_000))).await.unwrap();
        exec.signal(SIGUSR1).unwrap();
        assert_eq!(line(&mut stdout).await, "caught");
        assert_eq!(exec.wait().await, exited(11));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn a_signal_comes_with_unread_output_in_the_way() {
    rt::each(async || {
        let (mut exec, agent) = start(sh("echo $$; exec cat /dev/zero"));
        let mut stdout = exec.take_stdout().unwrap();
        let pid = line(&mut stdout).await;
        eventually("the link stops", || exec.stats().stalled == Some(1)).await;
        exec.signal(SIGTERM).unwrap();
        eventually("the command is gone", || !runs(&pid)).await;
        let reading = rt::spawn(async move { rt::read_to_end(&mut stdout).await });
        assert_eq!(exec.wait().await, exited(143));
        assert!(reading.await.is_ok());
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn a_signal_after_the_end_is_misuse() {
    rt::each(async || {
        let (mut exec, agent) = start(sh("true"));
        assert_eq!(exec.wait().await, exited(0));
        let error = exec.signal(SIGTERM).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(session_error(&error), &SessionError::Misuse(Misuse::Closed));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn signals_that_cannot_be_sent_are_bounded() {
    rt::each(async || {
        let (exec, mut peer, line) = peer::exec(sh(""));
        peer.expect(FrameType::EXEC).await;
        line.up.hold();
        let mut sent = 0;
        let error = loop {
            match exec.signal(SIGUSR1) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 100_000, "no bound");
            if sent % 16 == 0 {
                rt::sleep(Duration::from_micros(10)).await;
            }
        };
        assert_eq!(session_error(&error), &SessionError::Misuse(Misuse::Busy));
        line.up.open();
        for _ in 0..sent {
            assert_eq!(peer.expect(FrameType::SIGNAL).await.signal, i64::from(SIGUSR1));
        }
        exec.signal(SIGTERM).unwrap();
        assert_eq!(peer.expect(FrameType::SIGNAL).await.signal, i64::from(SIGTERM));
    });
}

#[test]
fn numbers_that_are_no_signal_do_no_harm() {
    rt::each(async || {
        let (mut exec, agent) = start(program("cat", &[]));
        for number in [-1, 0, 65, i32::MAX, i32::MIN] {
            exec.signal(number).unwrap();
        }
        let mut stdin = exec.take_stdin().unwrap();
        rt::write_all(&mut stdin, b"alive").await.unwrap();
        drop(stdin);
        assert_eq!(exec.output().await.unwrap().stdout, b"alive");
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn signals_that_an_agent_ignores_are_restored_for_its_command() {
    rt::each(async || {
        // SIGPIPE is ignored in every Rust program; a command must not inherit that.
        let script = "(yes; echo $? >&2) | head -n 1 >/dev/null";
        assert_eq!(output(sh(script)).await.stderr, b"141\n");
    });
}

#[test]
fn a_peer_that_never_asked_for_signals_sees_none() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        peer.expect(FrameType::EXEC).await;
        drop(exec.take_stdin());
        assert_eq!(peer.expect(FrameType::EOF).await.stream, 0);
        peer.send(&Frame::exit(0, "")).await;
        assert_eq!(exec.wait().await, exited(0));
        assert!(peer.recv().await.is_none(), "the local side ends its half");
    });
}
