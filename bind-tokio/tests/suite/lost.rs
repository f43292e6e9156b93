//! Lost links: whoever waits is told, and nothing looks like an end that was not one.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::agentproto::{Frame, FrameType, LostInput};

use crate::rt::{self, CloseReason, Exec, ExecRequest, ExitStatus, Reader, Task};

use super::peer::{self, Peer, bytes_of};
use super::support::{
    Pattern, eventually, exited, line, lost, lost_status, options, program, runs, serve,
    session_error, settled, sh, sh_with_fds, start_over,
};
use super::wire::{Fate, Line, wire};

/// Reads to the end or to the error, and says what came first.
async fn read_all(reader: &mut Reader) -> (Vec<u8>, Option<io::Error>) {
    let mut bytes = Vec::new();
    loop {
        match reader.read_chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, None),
            Err(error) => return (bytes, Some(error)),
        }
    }
}

fn fits(fate: Fate, mid_frame: bool, reason: &CloseReason) {
    match fate {
        Fate::End => assert_eq!(reason, &CloseReason::Eof { mid_frame }),
        _ => assert!(matches!(reason, CloseReason::Transport { os_error: Some(_) }), "{reason:?}"),
    }
}

#[test]
fn every_cut_of_a_session_is_told_by_every_handle() {
    let frames = [
        peer::log(0, "begun", &["a=b"]),
        Frame::data(1, Bytes::from_static(b"out")),
        Frame::data(2, Bytes::from_static(b"err")),
        Frame::eof(1),
        Frame::data(2, Bytes::from(vec![b'x'; 600])),
        Frame::eof(2),
        Frame::exit(0, ""),
    ];
    // Where each frame ends.
    let ends: Vec<usize> = frames
        .iter()
        .scan(0, |end, frame| {
            *end += bytes_of(frame).len();
            Some(*end)
        })
        .collect();
    let session: Vec<u8> = frames.iter().flat_map(bytes_of).collect();
    rt::each(async || {
        for cut in 0..=session.len() {
            let fate = if cut % 2 == 0 { Fate::End } else { Fate::Reset };
            let (mut exec, mut peer, line) = peer::exec(sh(""));
            line.down.cut_after(cut as u64, fate);
            // The other side may have met the cut and hung up already.
            let _ = peer.try_send_bytes(&session).await;
            let mut stdout = exec.take_stdout().unwrap();
            let mut stderr = exec.take_stderr().unwrap();
            let (out, out_error) = read_all(&mut stdout).await;
            let (err, err_error) = read_all(&mut stderr).await;
            let mid_frame = cut != 0 && !ends.contains(&cut);
            assert_eq!(out, if cut >= ends[1] { &b"out"[..] } else { b"" });
            let got = if cut >= ends[4] { 603 } else { 3 * usize::from(cut >= ends[2]) };
            assert_eq!(err.len(), got);
            for (error, end) in [(out_error, ends[3]), (err_error, ends[5])] {
                assert_eq!(error.is_none(), cut >= end, "cut at {cut}: {error:?}");
                error.iter().for_each(|error| fits(fate, mid_frame, &lost(error)));
            }
            let status = exec.wait().await;
            if cut == session.len() {
                assert_eq!(status, exited(0));
            } else {
                fits(fate, mid_frame, &lost_status(&status));
            }
            // Asked again, it says the same.
            let again = stdout.read_chunk().await;
            assert_eq!(again.is_ok(), cut >= ends[3], "{again:?}");
        }
    });
}

/// Starts a command on a real agent, over a wire that was cut before.
fn start_cut(request: ExecRequest, cut: impl FnOnce(&Line)) -> (Exec, Task<u8>) {
    let (local, remote, line) = wire(1 << 16);
    cut(&line);
    // Enough for a command to end by itself, also on a machine that is busy with other things.
    let mut options = options();
    options.config.lost_input = LostInput::HangUp { grace: Duration::from_secs(5) };
    let agent = serve(remote, options);
    (rt::exec_over(rt::Over(local), request).unwrap(), agent)
}

#[test]
fn every_cut_of_a_real_session_is_told() {
    rt::each(async || {
        let command = || program("/bin/sh", &["-c", "printf %050d 1; printf %050d 2 >&2"]);
        let (mut exec, agent, line) = start_over(command(), options());
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(agent.await, 0);
        let length = line.down.passed();
        for cut in 0..=length {
            let fate = if cut % 2 == 0 { Fate::End } else { Fate::Reset };
            let (mut exec, agent) = start_cut(command(), |line| line.down.cut_after(cut, fate));
            let status = exec.wait().await;
            if cut < length {
                lost_status(&status);
            } else {
                assert_eq!(status, exited(0));
            }
            assert_eq!(agent.await, 0);
        }
    });
}

#[test]
fn every_cut_towards_the_agent_ends_the_agent_too() {
    rt::each(async || {
        let script = "cat >/dev/null; exit 7";
        let (mut exec, agent, line) = start_over(sh(script), options());
        let mut stdin = exec.take_stdin().unwrap();
        rt::write_all(&mut stdin, &[b'x'; 40]).await.unwrap();
        drop(stdin);
        assert_eq!(exec.wait().await, exited(7));
        assert_eq!(agent.await, 0);
        let length = line.up.passed();
        for cut in 0..length {
            let fate = if cut % 2 == 0 { Fate::End } else { Fate::Reset };
            let (mut exec, agent) = start_cut(sh(script), |line| line.up.cut_after(cut, fate));
            let mut stdin = exec.take_stdin().unwrap();
            let _ = rt::write_all(&mut stdin, &[b'x'; 40]).await;
            drop(stdin);
            let status = exec.wait().await;
            match agent.await {
                // It was asked nothing.
                127 => drop(lost_status(&status)),
                // The command was asked for, and the agent hung it up or saw it end.
                0 => assert!(matches!(status.code(), Some(7 | 129)), "{cut}: {status:?}"),
                other => panic!("{other}"),
            }
        }
    });
}

/// What a peer can do to a session that has everybody waiting.
const BLOWS: [&str; 6] = ["end", "reset", "mid-frame", "garbage", "dropped", "banner"];

#[test]
fn everybody_who_waits_is_woken_by_a_lost_link() {
    rt::each(async || {
        for blow in BLOWS {
            // Two inputs and three outputs to wait for.
            let (mut exec, mut peer, wire) = peer::exec(sh_with_fds("", &[3]));
            if blow != "banner" {
                peer.expect(FrameType::EXEC).await;
                peer.send(&Frame::data(1, Bytes::from_static(b"a"))).await;
            }
            wire.up.hold();
            let mut stdin = exec.take_stdin().unwrap();
            let mut stdout = exec.take_stdout().unwrap();
            let mut stderr = exec.take_stderr().unwrap();
            let (mut three, mut third) = exec.take_stream(3).unwrap().into_split();
            let written = rt::spawn(async move {
                rt::write_all(&mut stdin, &Pattern::new().head(5 << 20)).await.unwrap_err()
            });
            let written_too = rt::spawn(async move {
                third.write_bytes(&mut Pattern::new().head(5 << 20).into()).await.unwrap_err()
            });
            let out = rt::spawn(async move { read_all(&mut stdout).await });
            let err = rt::spawn(async move { rt::read_to_end(&mut stderr).await.unwrap_err() });
            let three = rt::spawn(async move { rt::read_exact(&mut three, 1).await.unwrap_err() });
            settled(|| exec.stats().queued_out).await;
            match blow {
                "end" => peer.close().await,
                "reset" => wire.down.cut(Fate::Reset),
                "mid-frame" => {
                    peer.send_bytes(&bytes_of(&Frame::eof(1))[..3]).await;
                    peer.close().await;
                }
                "garbage" => peer.send_bytes(&[0xff]).await,
                "banner" => peer.send_bytes(b"Welcome to host!\r\n").await,
                _ => drop(peer),
            }
            let status = exec.wait().await;
            let reason = lost_status(&status);
            let kind = match (blow, &reason) {
                ("end" | "dropped", CloseReason::Eof { mid_frame: false }) => {
                    io::ErrorKind::UnexpectedEof
                }
                ("mid-frame", CloseReason::Eof { mid_frame: true }) => io::ErrorKind::UnexpectedEof,
                ("reset", CloseReason::Transport { .. }) => io::ErrorKind::ConnectionReset,
                ("garbage" | "banner", CloseReason::Violation(_)) => io::ErrorKind::InvalidData,
                _ => panic!("{blow}: {reason:?}"),
            };
            let (bytes, out) = out.await;
            assert_eq!(bytes, if blow == "banner" { &b""[..] } else { b"a" });
            for error in [out.unwrap(), err.await, three.await] {
                assert_eq!(lost(&error), reason, "{blow}");
                assert_eq!(error.kind(), kind);
                assert_eq!(error.to_string(), reason.to_string());
            }
            for error in [written.await, written_too.await] {
                // One that is gone takes nothing more, which can be noticed first.
                assert!(lost(&error) == reason || blow == "dropped", "{error:?}");
            }
        }
    });
}

#[test]
fn a_banner_is_shown_in_the_reason() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        peer.send_bytes(b"Welcome to host!\r\n").await;
        let status = exec.wait().await;
        assert!(status.to_string().contains("Welcome to host!"), "{status}");
        assert!(!status.to_string().contains('\r'));
    });
}

#[test]
fn a_transport_that_takes_nothing_more_frees_its_writers() {
    rt::each(async || {
        for queued in [0, 300_000, 5_000_000] {
            let (mut exec, mut peer, line) = peer::exec(sh(""));
            peer.expect(FrameType::EXEC).await;
            line.up.break_after(line.up.written() + queued);
            let mut stdin = exec.take_stdin().unwrap();
            let writing = rt::spawn(async move {
                let pattern = Pattern::new().head(8 << 20);
                rt::write_all(&mut stdin, &pattern).await.unwrap_err()
            });
            let draining = rt::spawn(async move {
                while peer.recv().await.is_some() {}
                peer
            });
            // The other direction is as it was: nobody else will tell the writer.
            let error = rt::timeout(Duration::from_secs(15), writing).await;
            let error = error.expect("the writer waits for a transport that takes nothing more");
            assert!(matches!(session_error(&error), rt::SessionError::Lost(_)), "{error:?}");
            drop((exec, draining));
        }
    });
}

#[test]
fn what_the_agent_said_before_its_end_counts_although_writing_failed() {
    rt::each(async || {
        let (mut exec, mut peer, line) = peer::exec(sh(""));
        peer.expect(FrameType::EXEC).await;
        line.up.break_after(line.up.written());
        let mut stdin = exec.take_stdin().unwrap();
        let _ = rt::write_all(&mut stdin, b"x").await;
        peer.send(&Frame::data(1, Bytes::from_static(b"last words"))).await;
        peer.send(&Frame::exit(9, "")).await;
        let mut stdout = exec.take_stdout().unwrap();
        assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), b"last words");
        assert_eq!(exec.wait().await, exited(9));
    });
}

#[test]
fn an_output_cut_short_is_an_error_and_no_output() {
    rt::each(async || {
        let (exec, mut peer, _line) = peer::exec(sh(""));
        peer.send(&Frame::data(1, Bytes::from_static(b"half"))).await;
        drop(peer);
        let error = exec.output().await.unwrap_err();
        assert_eq!(lost(&error), CloseReason::Eof { mid_frame: false });

        // Both outputs whole, and no word of how the command ended.
        let (exec, mut peer, _line) = peer::exec(sh(""));
        peer.send(&Frame::data(1, Bytes::from_static(b"whole"))).await;
        peer.send(&Frame::eof(1)).await;
        peer.send(&Frame::eof(2)).await;
        drop(peer);
        let output = exec.output().await.unwrap();
        assert_eq!(output.stdout, b"whole");
        lost_status(&output.status);
    });
}

#[test]
fn an_agent_that_panics_or_is_dropped_loses_the_session_and_the_command() {
    rt::each(async || {
        let (local, remote, _line) = wire(1 << 16);
        let agent = serve(remote, options());
        let mut exec = rt::exec_over(rt::Over(local), sh("echo $$; exec sleep 1000")).unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        let pid = line(&mut stdout).await;
        drop(agent);
        let status = exec.wait().await;
        assert!(matches!(lost_status(&status), CloseReason::Eof { .. }));
        assert!(stdout.read_chunk().await.is_err());
        eventually("the command is gone", || !runs(&pid)).await;
    });
}

#[test]
fn an_agent_without_a_word_ends_every_stream_with_an_error() {
    rt::each(async || {
        let (local, remote, _line) = wire(1 << 16);
        drop(Peer::new(remote));
        let mut exec = rt::exec_over(rt::Over(local), sh("")).unwrap();
        assert!(rt::read_to_end(&mut exec.take_stdout().unwrap()).await.is_err());
        assert!(rt::read_to_end(&mut exec.take_stderr().unwrap()).await.is_err());
        let mut stdin = exec.take_stdin().unwrap();
        let error = rt::write_all(&mut stdin, b"x").await.unwrap_err();
        assert_eq!(lost(&error), CloseReason::Eof { mid_frame: false });
        assert!(matches!(exec.wait().await, ExitStatus::Lost(_)));
        // Ending it is no error: there is nobody left to be told.
        rt::close(&mut stdin).await.unwrap();
    });
}
