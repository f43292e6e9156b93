//! The streams of a command, each by itself.

use std::io;

use bytes::Bytes;
use trunkline_core::agentproto::{Frame, FrameType};

use crate::rt::{self, Duplex, Exec, Reader, Writer};

use super::peer;
use super::support::{Pattern, chunks, exited, line, lost, program, sh, sh_with_fds, start};

#[test]
fn handles_can_be_sent_to_other_threads() {
    fn sent<T: Send + Sync + std::fmt::Debug + 'static>() {}
    sent::<Exec>();
    sent::<Reader>();
    sent::<Writer>();
    sent::<Duplex>();
}

#[test]
fn stdout_and_stderr_come_apart_and_in_order() {
    rt::each(async || {
        let script = "for n in 1 2 3; do echo out $n; echo err $n >&2; done";
        let (mut exec, agent) = start(sh(script));
        let mut stdout = exec.take_stdout().unwrap();
        let mut stderr = exec.take_stderr().unwrap();
        assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), b"out 1\nout 2\nout 3\n");
        assert_eq!(chunks(&mut stderr).await.unwrap(), b"err 1\nerr 2\nerr 3\n");
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn a_stream_is_taken_once() {
    rt::each(async || {
        let (mut exec, _agent) = start(sh_with_fds("cat", &[7]));
        let stdin = exec.take_stdin();
        assert!(stdin.is_some() && exec.take_stdin().is_none());
        assert!(exec.take_stdout().is_some() && exec.take_stdout().is_none());
        assert!(exec.take_stderr().is_some() && exec.take_stderr().is_none());
        assert!(exec.take_stream(7).is_some() && exec.take_stream(7).is_none());
        assert!(exec.take_stream(0).is_none() && exec.take_stream(8).is_none());
    });
}

#[test]
fn small_reads_and_chunks_share_one_stream() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        let mut stdout = exec.take_stdout().unwrap();
        peer.send(&Frame::data(1, Bytes::from_static(b"abcdefgh"))).await;
        let mut buf = [0; 3];
        assert_eq!(rt::read(&mut stdout, &mut buf).await.unwrap(), 3);
        assert_eq!(&buf, b"abc");
        // No room is no end, and takes nothing.
        assert_eq!(rt::read(&mut stdout, &mut []).await.unwrap(), 0);
        assert_eq!(stdout.read_chunk().await.unwrap().unwrap(), "defgh");
        peer.send(&Frame::data(1, Bytes::from_static(b"ij"))).await;
        peer.send(&Frame::eof(1)).await;
        assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), b"ij");
        assert_eq!(stdout.read_chunk().await.unwrap(), None);
        // An end needs no exit, and stays an end when the agent is lost behind it.
        drop(peer);
        let status = exec.wait().await;
        assert!(!status.success());
        assert_eq!(stdout.read_chunk().await.unwrap(), None);
        assert_eq!(rt::read(&mut stdout, &mut buf).await.unwrap(), 0);
    });
}

#[test]
fn extra_descriptors_carry_bytes_both_ways_and_end_on_their_own() {
    rt::each(async || {
        let script = "read line <&3; echo got $line >&3; cat <&3 >&2; echo bye >&3; \
                      exec 3>&-; cat <&4; echo end";
        let (mut exec, agent) = start(sh_with_fds(script, &[4, 3]));
        let mut three = exec.take_stream(3).unwrap();
        rt::write_all(&mut three, b"hello\n").await.unwrap();
        assert_eq!(line(&mut three.reader).await, "got hello");
        rt::write_all(&mut three, b"rest").await.unwrap();
        // Ends one direction; the other goes on.
        rt::close(&mut three).await.unwrap();
        assert_eq!(rt::read_to_end(&mut three).await.unwrap(), b"bye\n");
        let (reader, mut writer) = exec.take_stream(4).unwrap().into_split();
        drop(reader);
        writer.write_bytes(&mut Bytes::from_static(b"four ")).await.unwrap();
        drop(writer);
        let output = exec.output().await.unwrap();
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"four end\n"[..], &b"rest"[..]));
        assert_eq!(output.status, exited(0));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn the_highest_descriptor_is_there_and_no_other() {
    rt::each(async || {
        let script = "for n in 3 4 254 255 256; do [ -e /dev/fd/$n ] && echo $n; done; true";
        let (mut exec, _agent) = start(sh_with_fds(script, &[255]));
        drop(exec.take_stream(255));
        assert_eq!(exec.output().await.unwrap().stdout, b"255\n");
        for fds in [&[2][..], &[256], &[3, 3]] {
            let (local, _remote) = rt::socket_pair();
            let error = rt::exec_over(local, sh_with_fds("true", fds)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{fds:?}: {error}");
        }
    });
}

#[test]
fn an_input_ends_when_asked_to_closed_or_dropped() {
    rt::each(async || {
        for how in 0..4 {
            let (mut exec, agent) = start(program("cat", &[]));
            let mut stdin = exec.take_stdin().unwrap();
            assert_eq!(rt::write(&mut stdin, b"bytes").await.unwrap(), 5);
            rt::flush(&mut stdin).await.unwrap();
            match how {
                0 => rt::close(&mut stdin).await.unwrap(),
                1 => stdin.finish(),
                2 => drop(stdin.into_inner()),
                _ => drop(stdin),
            }
            assert_eq!(exec.output().await.unwrap().stdout, b"bytes");
            assert_eq!(agent.await, 0);
        }
    });
}

#[test]
fn an_input_that_was_ended_takes_nothing_more() {
    rt::each(async || {
        let (mut exec, _peer, _line) = peer::exec(sh(""));
        let mut stdin = exec.take_stdin().unwrap();
        rt::close(&mut stdin).await.unwrap();
        let error = rt::write(&mut stdin, b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let mut data = Bytes::from_static(b"x");
        assert_eq!(
            stdin.write_bytes(&mut data).await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
        assert_eq!(data, "x", "what was not taken stays with the caller");
        // Ending it again, in any way, is no error.
        stdin.finish();
        rt::close(&mut stdin).await.unwrap();
        rt::flush(&mut stdin).await.unwrap();
    });
}

#[test]
fn nothing_written_sends_nothing() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        peer.expect(FrameType::EXEC).await;
        let mut stdin = exec.take_stdin().unwrap();
        assert_eq!(rt::write(&mut stdin, b"").await.unwrap(), 0);
        stdin.write_bytes(&mut Bytes::new()).await.unwrap();
        drop(stdin);
        assert_eq!(peer.expect(FrameType::EOF).await.stream, 0);
    });
}

#[test]
fn a_command_that_closes_its_input_is_no_error() {
    rt::each(async || {
        let (mut exec, agent) = start(sh("exec 0<&-; cat <&3; echo done"));
        drop(exec.take_stdin());
        drop(exec.take_stream(3));
        // Descriptor 3 was never asked for.
        assert!(exec.output().await.unwrap().stderr.starts_with(b"/bin/sh"));
        assert_eq!(agent.await, 0);

        let (mut exec, agent) = start(program("head", &["-c", "3"]));
        let mut stdin = exec.take_stdin().unwrap();
        let writing = rt::spawn(async move {
            let pattern = Pattern::new();
            let mut sent = 0;
            loop {
                let piece = pattern.at(sent, 50_000);
                match rt::write(&mut stdin, &piece).await {
                    Ok(count) => sent += count,
                    Err(error) => return error,
                }
            }
        });
        assert_eq!(exec.output().await.unwrap().stdout, Pattern::new().head(3));
        // Nothing but the command's end stops the writer, and that is what it is told.
        assert!(matches!(lost(&writing.await), rt::CloseReason::Peer { code: 0, .. }));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn bytes_that_no_text_could_hold_pass_untouched() {
    rt::each(async || {
        let every: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        let (mut exec, agent) = start(sh("cat >&2"));
        let mut stdin = exec.take_stdin().unwrap();
        rt::write_all(&mut stdin, &every).await.unwrap();
        drop(stdin);
        assert_eq!(exec.output().await.unwrap().stderr, every);
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn the_neutral_stream_below_goes_on_where_the_runtime_s_was() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        peer.send(&Frame::data(1, Bytes::from_static(b"one two"))).await;
        peer.send(&Frame::eof(1)).await;
        let mut stdout = exec.take_stdout().unwrap();
        assert_eq!(rt::read_exact(&mut stdout, 4).await.unwrap(), b"one ");
        let mut stdout = Reader::from(stdout.into_inner());
        assert_eq!(chunks(&mut stdout).await.unwrap(), b"two");
    });
}
