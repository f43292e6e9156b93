//! How commands end, and how that is told.

use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::agentproto::{Frame, FrameType};

use crate::rt::{self, AgentConfig, ExecOptions, ExecRequest, ExitStatus, Output};

use super::peer;
use super::support::{
    Pattern, cancel_at, exited, line, lost_status, output, program, sh, sh_with_fds, start,
};

#[test]
fn exit_codes_arrive_as_they_are() {
    rt::each(async || {
        for code in [0, 1, 7, 126, 127, 128, 143, 255] {
            let status = output(sh(&format!("exit {code}"))).await.status;
            assert_eq!(status, exited(code));
            assert_eq!(status.code(), Some(code));
            assert_eq!(status.success(), code == 0);
        }
    });
}

#[test]
fn codes_that_no_process_has_arrive_too() {
    rt::each(async || {
        for code in [-1, 256, i64::MAX, i64::MIN] {
            let (mut exec, mut peer, _line) = peer::exec(sh(""));
            peer.send(&Frame::exit(code, "in words")).await;
            let status = exec.wait().await;
            let text = "in words".to_owned();
            assert_eq!(status, ExitStatus::Exited { code, text, clean: true });
            assert!(!status.success());
        }
    });
}

#[test]
fn a_signal_is_a_code_of_128_and_its_number() {
    rt::each(async || {
        for signal in [1, 9, 15] {
            assert_eq!(
                output(sh(&format!("kill -{signal} $$"))).await.status,
                exited(128 + signal)
            );
        }
    });
}

#[test]
fn what_cannot_be_started_says_why() {
    rt::each(async || {
        let nowhere = ExecRequest { cwd: "/no/such/folder".into(), ..sh("true") };
        for (request, words) in [
            (program("/no/such/program", &[]), "no such file or directory"),
            (program("no-such-program-anywhere", &[]), "not found"),
            (program("/", &[]), "permission denied"),
            (nowhere, "no such file or directory"),
        ] {
            let Output { status, stdout, .. } = output(request).await;
            let ExitStatus::Exited { code: 127, text, clean: true } = status else {
                panic!("{status:?}")
            };
            assert!(text.contains(words), "{text}");
            assert!(stdout.is_empty());
        }
    });
}

#[test]
fn the_request_decides_folder_arguments_and_environment() {
    rt::each(async || {
        let request = ExecRequest {
            cwd: "/".into(),
            env: Some(vec!["KEEP_A=1".into(), "KEEP_B=2".into(), "DROP=3".into()]),
            ..program("/bin/sh", &["-c", "pwd; echo $0,$1,$KEEP_A$KEEP_B$DROP", "zero", "o n e"])
        };
        assert_eq!(output(request.clone()).await.stdout, b"/\nzero,o n e,123\n");
        let mut options = ExecOptions::new(request);
        options.agent_config =
            Some(AgentConfig { env_keep: Some(vec!["KEEP_*".into()]), env_remove: None });
        assert_eq!(output(options).await.stdout, b"/\nzero,o n e,12\n");
        let bare = ExecRequest { env: Some(vec![]), ..program("/usr/bin/env", &[]) };
        assert_eq!(output(bare).await.stdout, b"");
    });
}

#[test]
fn waiting_twice_says_the_same() {
    rt::each(async || {
        let (mut exec, agent) = start(sh("exit 3"));
        assert_eq!(exec.wait().await, exited(3));
        assert_eq!(exec.wait().await, exited(3));
        assert_eq!(agent.await, 0);
        assert_eq!(exec.wait().await, exited(3));
        assert_eq!(exec.agent_code(), None, "no process leads to an agent over a wire");
    });
}

#[test]
fn waiting_again_goes_on_where_it_was_left() {
    rt::each(async || {
        let (mut exec, agent) = start(sh("read line; exit 4"));
        let mut stdin = exec.take_stdin().unwrap();
        for polls in [1, 1, 1] {
            assert_eq!(cancel_at(polls, exec.wait()).await, None);
        }
        assert_eq!(rt::timeout(Duration::from_millis(20), exec.wait()).await, None);
        rt::write_all(&mut stdin, b"go\n").await.unwrap();
        assert_eq!(exec.wait().await, exited(4));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn waiting_with_streams_not_taken_holds_nothing_up() {
    rt::each(async || {
        // Ten times what the queues hold, on each stream, and an input that is read to its end.
        let script = "cat; head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2; \
                      head -c 20000000 /dev/zero >&3; exit 5";
        let (mut exec, agent) = start(sh_with_fds(script, &[3]));
        assert_eq!(exec.wait().await, exited(5));
        assert_eq!(agent.await, 0);
        assert!(exec.take_stdout().is_none(), "waiting has dropped it");
    });
}

#[test]
fn waiting_with_a_stream_taken_waits_for_its_reader() {
    rt::each(async || {
        let (mut exec, agent) = start(sh("head -c 6000000 /dev/zero; exit 6"));
        let mut stdout = exec.take_stdout().unwrap();
        assert_eq!(rt::timeout(Duration::from_millis(100), exec.wait()).await, None);
        let reading = rt::spawn(async move { rt::read_to_end(&mut stdout).await.unwrap().len() });
        assert_eq!(exec.wait().await, exited(6));
        assert_eq!(reading.await, 6_000_000);
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn output_collects_both_streams_and_the_status() {
    rt::each(async || {
        let script = "head -c 3000000 /dev/zero >&2 & head -c 3000001 /dev/zero; wait; exit 8";
        let Output { status, stdout, stderr, .. } = output(sh(script)).await;
        assert_eq!((stdout.len(), stderr.len()), (3_000_001, 3_000_000));
        assert_eq!(status, exited(8));
        // The input ends at once, or this would never end.
        assert_eq!(output(program("cat", &[])).await.status, exited(0));
    });
}

#[test]
fn output_gives_what_was_not_taken() {
    rt::each(async || {
        let (mut exec, _agent) = start(sh("echo out; echo err >&2"));
        let mut stdout = exec.take_stdout().unwrap();
        let collected = exec.output().await.unwrap();
        assert_eq!((&collected.stdout[..], &collected.stderr[..]), (&b""[..], &b"err\n"[..]));
        assert_eq!(line(&mut stdout).await, "out");
    });
}

#[test]
fn what_was_said_before_the_exit_can_be_read_behind_it() {
    rt::each(async || {
        let (mut exec, agent) = start(sh("printf 12345; printf 678 >&2; exit 9"));
        let mut stdout = exec.take_stdout().unwrap();
        let mut stderr = exec.take_stderr().unwrap();
        assert_eq!(exec.wait().await, exited(9));
        assert_eq!(agent.await, 0);
        assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), b"12345");
        assert_eq!(rt::read_to_end(&mut stderr).await.unwrap(), b"678");
    });
}

#[test]
fn an_exit_ends_streams_that_have_no_end_of_their_own() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        let mut stdout = exec.take_stdout().unwrap();
        let mut stderr = exec.take_stderr().unwrap();
        peer.send(&Frame::data(1, Bytes::from_static(b"all"))).await;
        peer.send(&Frame::exit(0, "")).await;
        peer.send(&Frame::data(1, Bytes::from_static(b" and never this"))).await;
        assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), b"all");
        assert_eq!(rt::read_to_end(&mut stderr).await.unwrap(), b"");
        assert_eq!(exec.wait().await, exited(0));
    });
}

#[test]
fn an_exit_frees_a_writer_that_waits() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        peer.expect(FrameType::EXEC).await;
        let mut stdin = exec.take_stdin().unwrap();
        let writing = rt::spawn(async move {
            rt::write_all(&mut stdin, &Pattern::new().head(5 << 20)).await.unwrap_err()
        });
        while exec.stats().queued_out < 600_000 {
            rt::sleep(Duration::from_millis(1)).await;
        }
        peer.send(&Frame::exit(0, "")).await;
        assert_eq!(writing.await.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(exec.wait().await, exited(0));
    });
}

#[test]
fn a_lost_session_never_reads_as_success() {
    rt::each(async || {
        let (mut exec, peer, _line) = peer::exec(sh(""));
        drop(peer);
        let status = exec.wait().await;
        let reason = lost_status(&status);
        assert_eq!(reason, rt::CloseReason::Eof { mid_frame: false });
        assert_eq!(status.to_string(), format!("lost: {reason}"));
        assert_eq!(exec.wait().await, status);
    });
}

#[test]
fn several_may_wait_for_one_end() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        // A first waiter that is gone must not keep the second from being woken.
        {
            let mut waiting = pin!(exec.wait());
            let mut cx = Context::from_waker(Waker::noop());
            assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Pending);
        }
        let waiting = rt::spawn(async move { exec.wait().await });
        rt::sleep(Duration::from_millis(10)).await;
        peer.send(&Frame::exit(2, "")).await;
        assert_eq!(waiting.await, exited(2));
    });
}
