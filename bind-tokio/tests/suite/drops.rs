//! What dropping a handle means, in every state of a session.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::agentproto::{Frame, FrameType};

use crate::rt::{self, CloseReason, Exec, Reader, Task, Writer};

use super::peer;
use super::support::{
    Pattern, cancel_at, eventually, exited, line, lost, lost_status, options, program, runs, sh,
    start, start_over,
};
use super::wire::Line;

#[test]
fn an_output_that_is_dropped_is_discarded_and_the_command_does_not_notice() {
    rt::each(async || {
        let script = "head -c 9000000 /dev/zero && head -c 9000000 /dev/zero >&2; echo $? >&3";
        let mut request = sh(script);
        request.fds = vec![3];
        let (mut exec, agent) = start(request);
        drop((exec.take_stdout(), exec.take_stderr()));
        let mut three = exec.take_stream(3).unwrap().reader;
        assert_eq!(rt::read_to_end(&mut three).await.unwrap(), b"0\n");
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn a_session_lives_as_long_as_a_stream_of_it() {
    rt::each(async || {
        let (mut exec, agent) = start(program("cat", &[]));
        let mut stdin = exec.take_stdin().unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        drop(exec);
        rt::write_all(&mut stdin, b"still here\n").await.unwrap();
        assert_eq!(line(&mut stdout).await, "still here");
        rt::write_all(&mut stdin, b"and here").await.unwrap();
        drop(stdin);
        // Now the reader alone is left.
        assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), b"and here");
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn a_writer_alone_keeps_its_session_too() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        let mut stdin = exec.take_stdin().unwrap();
        drop(exec);
        peer.expect(FrameType::EXEC).await;
        peer.send(&Frame::data(1, Bytes::from_static(b"for nobody"))).await;
        rt::write_all(&mut stdin, b"x").await.unwrap();
        assert_eq!(peer.expect(FrameType::DATA).await.data.len(), 1);
        drop(stdin);
        // The last handle: the session ends at once and in order. What the writer had taken was
        // sent before; the end of the input may leave with it or not.
        while let Some(frame) = peer.recv().await {
            assert_eq!(frame.kind, FrameType::EOF);
        }
    });
}

#[test]
fn one_half_of_a_stream_says_nothing_about_the_other() {
    rt::each(async || {
        let mut request = sh("cat <&3 >&3; echo end >&3; exec 3>&-; cat <&4 >&4");
        request.fds = vec![3, 4];
        let (mut exec, agent) = start(request);
        let (mut reader, writer) = exec.take_stream(3).unwrap().into_split();
        drop(writer);
        assert_eq!(rt::read_to_end(&mut reader).await.unwrap(), b"end\n");
        let (reader, mut writer) = exec.take_stream(4).unwrap().into_split();
        drop(reader);
        rt::write_all(&mut writer, &Pattern::new().head(5_000_000)).await.unwrap();
        drop(writer);
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(agent.await, 0);
    });
}

/// The states of a session in which handles are dropped.
const STATES: [&str; 8] = [
    "nothing sent",
    "running",
    "input blocked",
    "output unread",
    "input ended",
    "half a frame",
    "over",
    "lost",
];

/// A session in one of the states, everything of it that can be held, and the command's number.
struct Held {
    exec: Exec,
    stdin: Writer,
    stdout: Reader,
    agent: Task<u8>,
    line: Line,
    pid: Option<String>,
}

/// Brings a session into a state.
async fn held(state: &str) -> Held {
    let script = match state {
        "output unread" => "echo $$; exec cat /dev/zero",
        "over" => "echo $$",
        "input ended" | "input blocked" => "echo $$; exec sleep 1000",
        _ => "echo $$; exec cat",
    };
    let (mut exec, agent, wire) = start_over(sh(script), options());
    if state == "nothing sent" {
        wire.up.hold();
    }
    let mut stdin = exec.take_stdin().unwrap();
    let mut stdout = exec.take_stdout().unwrap();
    let mut pid = None;
    if state != "nothing sent" {
        pid = Some(line(&mut stdout).await);
    }
    match state {
        "input blocked" => {
            wire.up.hold();
            let pattern = Pattern::new().head(100_000);
            while rt::timeout(Duration::from_millis(20), rt::write(&mut stdin, &pattern))
                .await
                .is_some()
            {}
        }
        "output unread" => eventually("the link stops", || exec.stats().stalled.is_some()).await,
        "input ended" => stdin.finish(),
        "half a frame" => {
            wire.up.cut_after(wire.up.passed() + 5, super::wire::Fate::Silence);
            rt::write_all(&mut stdin, &[b'x'; 100]).await.unwrap();
            eventually("half of it is sent", || wire.up.written() > wire.up.passed() + 5).await;
        }
        "over" => {
            assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), b"");
            assert_eq!(exec.wait().await, exited(0));
        }
        "lost" => {
            wire.down.cut(super::wire::Fate::Reset);
            lost_status(&exec.wait().await);
        }
        _ => {}
    }
    Held { exec, stdin, stdout, agent, line: wire, pid }
}

#[test]
fn the_last_handle_takes_the_command_along_in_every_state_and_order() {
    rt::each(async || {
        for state in STATES {
            for order in 0..5 {
                let Held { mut exec, stdin, stdout, agent, line, pid } = held(state).await;
                match order {
                    0 => drop((exec, stdin, stdout)),
                    1 => drop((stdin, stdout, exec)),
                    2 => drop((stdout, exec, stdin)),
                    3 => {
                        let _ = cancel_at(1, exec.wait()).await;
                        drop((stdout, stdin, exec));
                    }
                    _ => {
                        exec.abort();
                        drop((stdin, stdout, exec));
                    }
                }
                line.up.open();
                let status = rt::timeout(Duration::from_secs(15), agent).await;
                let status = status.unwrap_or_else(|| panic!("the agent stays: {state}, {order}"));
                assert!(matches!(status, 0 | 127), "{state}: {status}");
                if let Some(pid) = pid {
                    eventually("the command is gone", || !runs(&pid)).await;
                }
            }
        }
    });
}

#[test]
fn an_aborted_session_is_lost_to_every_handle() {
    rt::each(async || {
        let (mut exec, mut peer, line) = peer::exec(sh(""));
        peer.expect(FrameType::EXEC).await;
        let mut stdin = exec.take_stdin().unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        let mut stderr = exec.take_stderr().unwrap();
        peer.send(&Frame::data(1, Bytes::from_static(b"arrived"))).await;
        eventually("it has arrived", || exec.stats().queued_in == 7).await;
        line.up.hold();
        let writing = rt::spawn(async move {
            rt::write_all(&mut stdin, &Pattern::new().head(3 << 20)).await.unwrap_err()
        });
        let reading = rt::spawn(async move { stderr.read_chunk().await.unwrap_err() });
        rt::sleep(Duration::from_millis(20)).await;
        exec.abort();
        for error in [writing.await, reading.await] {
            assert_eq!(lost(&error), CloseReason::Local);
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        }
        assert_eq!(lost_status(&exec.wait().await), CloseReason::Local);
        // What had arrived can be read; its end never came.
        assert_eq!(stdout.read_chunk().await.unwrap().unwrap(), "arrived");
        assert_eq!(lost(&stdout.read_chunk().await.unwrap_err()), CloseReason::Local);
        assert!(exec.signal(15).is_err());
        // What was not sent never is: only what the transport's hands held already.
        line.up.open();
        let mut sent = 0;
        while let Some(frame) = peer.recv().await {
            sent += frame.data.len();
        }
        assert!(sent < 450_000, "{sent}");
        exec.abort();
        assert_eq!(lost_status(&exec.wait().await), CloseReason::Local);
    });
}

#[test]
fn aborting_what_is_over_changes_nothing() {
    rt::each(async || {
        let (mut exec, agent) = start(sh("echo kept; exit 4"));
        let mut stdout = exec.take_stdout().unwrap();
        assert_eq!(exec.wait().await, exited(4));
        exec.abort();
        assert_eq!(exec.wait().await, exited(4));
        assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), b"kept\n");
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn output_given_up_ends_the_session_and_the_command() {
    rt::each(async || {
        let (mut exec, agent) = start(sh("echo $$ >&2; exec sleep 1000"));
        let mut stderr = exec.take_stderr().unwrap();
        let pid = line(&mut stderr).await;
        drop(stderr);
        assert!(rt::timeout(Duration::from_millis(10), exec.output()).await.is_none());
        assert_eq!(agent.await, 0);
        eventually("the command is gone", || !runs(&pid)).await;
    });
}

#[test]
fn bytes_taken_by_a_writer_are_sent_although_it_is_dropped_at_once() {
    rt::each(async || {
        for count in [1, 40_000, 900_000] {
            let (mut exec, agent) = start(program("cat", &[]));
            let mut stdin = exec.take_stdin().unwrap();
            let mut stdout = exec.take_stdout().unwrap();
            let mut bytes = Bytes::from(Pattern::new().head(count));
            stdin.write_bytes(&mut bytes).await.unwrap();
            drop(stdin);
            let echo = rt::read_to_end(&mut stdout).await.unwrap();
            assert_eq!(echo.len(), count);
            Pattern::new().check(0, &echo);
            assert_eq!(exec.wait().await, exited(0));
            assert_eq!(agent.await, 0);
        }
    });
}
