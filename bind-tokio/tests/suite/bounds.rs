//! Every queue has a bound, and what happens at it can be seen.

use std::time::Duration;

use bytes::Bytes;
use trunkline_core::agentproto::{Frame, FrameType};

use crate::rt::{self, ExecOptions, Reader};

use super::peer::{self, Peer};
use super::support::{
    Pattern, eventually, exited, line, options, program, settled, sh, sh_with_fds, start,
    start_over,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What two queues of a test's own size hold: one stream, the session.
fn limited(fds: &[u32], stream: usize, session: usize) -> ExecOptions {
    let mut options = ExecOptions::new(sh_with_fds("", fds));
    options.config.limits.stream_queue = stream;
    options.config.limits.session_queue = session;
    options
}

async fn say(peer: &mut Peer, stream: u32, count: usize) {
    let pattern = Pattern::new();
    let mut said = 0;
    while said < count {
        let piece = pattern.at(said, (count - said).min(32 * KIB));
        said += piece.len();
        peer.send(&Frame::data(stream, piece)).await;
    }
}

/// Reads exactly so many bytes by chunks, which must be the pattern's from `position` on.
async fn take(reader: &mut Reader, position: usize, count: usize) {
    let bytes = rt::read_exact(reader, count).await.unwrap();
    Pattern::new().check(position, &bytes);
}

#[test]
fn while_there_is_room_an_unread_stream_delays_nothing() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(sh_with_fds("", &[3]));
        say(&mut peer, 1, MIB - 1).await;
        say(&mut peer, 3, MIB - 1).await;
        peer.send(&Frame::data(2, Bytes::from_static(b"through"))).await;
        peer.send(&Frame::eof(2)).await;
        peer.send(&Frame::eof(1)).await;
        let mut stderr = exec.take_stderr().unwrap();
        assert_eq!(rt::read_to_end(&mut stderr).await.unwrap(), b"through");
        let stats = exec.stats();
        assert_eq!((stats.stalled, stats.stalls), (None, 0));
        assert_eq!(stats.queued_in, 2 * MIB - 2);
        exec.signal(15).unwrap();
        peer.expect(FrameType::EXEC).await;
        assert_eq!(peer.expect(FrameType::SIGNAL).await.signal, 15);
        let mut stdout = exec.take_stdout().unwrap();
        take(&mut stdout, 0, MIB - 1).await;
        assert_eq!(stdout.read_chunk().await.unwrap(), None);
    });
}

#[test]
fn an_unread_output_stops_the_link_and_memory_stops_growing() {
    rt::each(async || {
        let (mut exec, agent, line) =
            start_over(sh("head -c 50000000 /dev/zero; echo end >&2"), options());
        let mut stdout = exec.take_stdout().unwrap();
        let mut stderr = exec.take_stderr().unwrap();
        eventually("the link stops", || exec.stats().stalled.is_some()).await;
        let passed = settled(|| line.down.passed()).await;
        let stats = exec.stats();
        assert_eq!((stats.stalled, stats.stalls), (Some(1), 1));
        // A queue, the frame that filled it and one read of the transport.
        assert!((MIB..MIB + 33 * KIB).contains(&stats.queued_in), "{}", stats.queued_in);
        assert!(passed < (MIB + 33 * KIB + 128 * KIB) as u64, "{passed}");
        // Everything arrives once somebody reads, and what was held up behind it.
        let reading = rt::spawn(async move { rt::read_to_end(&mut stderr).await.unwrap() });
        let mut count = 0;
        while let Some(chunk) = stdout.read_chunk().await.unwrap() {
            count += chunk.len();
        }
        assert_eq!(count, 50_000_000);
        assert_eq!(reading.await, b"end\n");
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(exec.stats().stalled, None);
        assert_eq!(exec.stats().queued_in, 0);
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn reading_half_of_the_queue_starts_the_link_again() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(limited(&[], 64 * KIB, 8 * MIB));
        let mut stdout = exec.take_stdout().unwrap();
        let mut stderr = exec.take_stderr().unwrap();
        say(&mut peer, 1, 64 * KIB).await;
        peer.send(&Frame::data(2, Bytes::from_static(b"behind"))).await;
        eventually("the link stops", || exec.stats().stalled == Some(1)).await;
        let waiting = rt::timeout(Duration::from_millis(30), stderr.read_chunk()).await;
        assert!(waiting.is_none(), "the wire has no flow control: what is behind waits too");
        take(&mut stdout, 0, 16 * KIB).await;
        take(&mut stdout, 16 * KIB, 16 * KIB).await;
        assert_eq!(stderr.read_chunk().await.unwrap().unwrap(), "behind");
        assert_eq!((exec.stats().stalled, exec.stats().stalls), (None, 1));
        take(&mut stdout, 32 * KIB, 32 * KIB).await;
    });
}

#[test]
fn dropping_the_stream_that_stops_the_link_starts_it_again() {
    rt::each(async || {
        let (mut exec, agent) = start(sh("head -c 9000000 /dev/zero; echo end >&2; exit 3"));
        let mut stderr = exec.take_stderr().unwrap();
        let stdout = exec.take_stdout().unwrap();
        eventually("the link stops", || exec.stats().stalled == Some(1)).await;
        drop(stdout);
        assert_eq!(rt::read_to_end(&mut stderr).await.unwrap(), b"end\n");
        assert_eq!(exec.wait().await, exited(3));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn a_session_s_queue_is_bounded_too() {
    rt::each(async || {
        let (exec, mut peer, line) = peer::exec(limited(&[3, 4, 5], 64 * KIB, 128 * KIB));
        let saying = rt::spawn(async move {
            for _ in 0..100 {
                for stream in [3, 4, 5] {
                    say(&mut peer, stream, 20 * KIB).await;
                }
            }
            peer
        });
        eventually("the link stops", || exec.stats().stalled.is_some()).await;
        let passed = settled(|| line.down.passed()).await;
        assert!(exec.stats().queued_in < 128 * KIB + 33 * KIB);
        assert!(passed < (128 + 33 + 128) * KIB as u64, "{passed}");
        drop((exec, saying));
    });
}

#[test]
fn a_stream_that_is_read_goes_on_although_others_fill_most_of_the_session() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(limited(&[3, 4], 64 * KIB, 128 * KIB));
        let mut stdout = exec.take_stdout().unwrap();
        // Neither of these is full, nor are both together.
        say(&mut peer, 3, 50 * KIB).await;
        say(&mut peer, 4, 50 * KIB).await;
        let saying = rt::spawn(async move {
            say(&mut peer, 1, 300 * KIB).await;
            peer
        });
        for position in 0..300 {
            let reading = take(&mut stdout, position * KIB, KIB);
            let read = rt::timeout(Duration::from_secs(15), reading).await;
            assert!(
                read.is_some(),
                "stopped at {position} KiB with {} of 128 KiB held, on stream {:?}",
                exec.stats().queued_in,
                exec.stats().stalled,
            );
        }
        drop(saying);
    });
}

#[test]
fn an_unread_input_blocks_its_writer_and_memory_stops_growing() {
    rt::each(async || {
        let (mut exec, agent, line) = start_over(sh("echo ready; sleep 1000"), options());
        let mut stdin = exec.take_stdin().unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        assert_eq!(super::support::line(&mut stdout).await, "ready");
        let writing = rt::spawn(async move {
            let pattern = Pattern::new();
            let mut sent = 0;
            loop {
                sent += rt::write(&mut stdin, &pattern.at(sent, 30_000)).await.unwrap();
                tracing::trace!(sent);
            }
        });
        eventually("the queue is full", || exec.stats().queued_out > MIB / 2).await;
        let passed = settled(|| line.up.passed()).await;
        // The command's pipe, what waits for it, the queue, and one read.
        let most = MIB + 512 * KIB + MIB + 33 * KIB + 128 * KIB;
        assert!(passed < most as u64, "{passed}");
        let queued = exec.stats().queued_out;
        assert!(queued <= MIB, "{queued}");
        // An agent that may not read cannot see its input end: it is ended here.
        drop((writing, agent));
        super::support::lost_status(&exec.wait().await);
    });
}

#[test]
fn a_writer_is_told_as_soon_as_there_is_room() {
    rt::each(async || {
        let (mut exec, mut peer, line) = peer::exec(limited(&[3], 32 * KIB, MIB));
        peer.expect(FrameType::EXEC).await;
        line.up.hold();
        let mut stdin = exec.take_stdin().unwrap();
        let writing = rt::spawn(async move {
            rt::write_all(&mut stdin, &Pattern::new().head(2 * MIB)).await.unwrap();
        });
        settled(|| exec.stats().queued_out).await;
        // Another stream has room of its own.
        let mut third = exec.take_stream(3).unwrap().writer;
        let writing_too = rt::timeout(Duration::from_secs(15), rt::write(&mut third, b"third"));
        assert_eq!(writing_too.await.unwrap().unwrap(), 5);
        line.up.open();
        let (mut seen, mut third) = (0, Bytes::new());
        while seen < 2 * MIB || third.is_empty() {
            let frame = peer.expect(FrameType::DATA).await;
            if frame.stream == 3 {
                third = frame.data.into_bytes();
                // It did not wait for all of the other one.
                assert!(seen < MIB, "{seen}");
            } else {
                let data = frame.data.into_bytes();
                Pattern::new().check(seen, &data);
                seen += data.len();
            }
        }
        assert_eq!(third, "third");
        writing.await;
    });
}

#[test]
fn neither_side_deadlocks_when_both_write_first() {
    rt::each(async || {
        // The command writes all of its output before it reads any input.
        let (mut exec, agent) = start(sh("head -c 5000000 /dev/zero; cat | wc -c"));
        let mut stdin = exec.take_stdin().unwrap();
        let writing = rt::spawn(async move {
            rt::write_all(&mut stdin, &Pattern::new().head(5_000_000)).await.unwrap();
            rt::close(&mut stdin).await.unwrap();
        });
        let mut stdout = exec.take_stdout().unwrap();
        assert_eq!(rt::read_exact(&mut stdout, 5_000_000).await.unwrap(), vec![0; 5_000_000]);
        assert_eq!(line(&mut stdout).await.trim(), "5000000");
        writing.await;
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn an_echo_nobody_reads_stops_and_goes_on_when_somebody_does() {
    const COUNT: usize = 16 * MIB;
    rt::each(async || {
        let (mut exec, agent, line) = start_over(program("cat", &[]), options());
        let mut stdin = exec.take_stdin().unwrap();
        let writing = rt::spawn(async move {
            rt::write_all(&mut stdin, &Pattern::new().head(COUNT)).await.unwrap();
        });
        eventually("the link stops", || exec.stats().stalled == Some(1)).await;
        let passed = settled(|| (line.up.passed(), line.down.passed())).await;
        assert!(passed.0 + passed.1 < 10 * MIB as u64, "{passed:?}");
        let mut stdout = exec.take_stdout().unwrap();
        take(&mut stdout, 0, COUNT).await;
        writing.await;
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn a_gone_agent_is_noticed_behind_unread_output() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(limited(&[], 64 * KIB, MIB));
        let mut stdin = exec.take_stdin().unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        say(&mut peer, 1, 100 * KIB).await;
        eventually("the link stops", || exec.stats().stalled == Some(1)).await;
        drop(peer);
        // The end stands behind bytes that nobody reads; writing needs no reading to fail.
        let writing = async {
            let pattern = Pattern::new().head(MIB);
            while rt::write_all(&mut stdin, &pattern).await.is_ok() {}
        };
        assert!(rt::timeout(Duration::from_secs(15), writing).await.is_some(), "the writer hangs");
        // What had arrived is not lost with it.
        take(&mut stdout, 0, 100 * KIB).await;
        assert!(stdout.read_chunk().await.is_err());
        super::support::lost_status(&exec.wait().await);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_command_stops_when_nobody_takes_what_its_agent_sends() {
    rt::each(async || {
        let (mut exec, agent, wire) = start_over(sh("echo $$ >&2; exec cat /dev/zero"), options());
        let mut stderr = exec.take_stderr().unwrap();
        let pid = line(&mut stderr).await;
        wire.down.hold();
        let written = || {
            let told = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
            let count = told.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap();
            count.parse::<usize>().unwrap()
        };
        // What this side held before the wire did, and has not read.
        eventually("the command writes", || written() > MIB).await;
        let written = settled(written).await;
        let held = exec.stats().queued_in + usize::try_from(wire.down.passed()).unwrap();
        // The agent's queue, its driver's hands, one read, the wire, and the command's pipe.
        let most = MIB + 256 * KIB + 128 * KIB + 64 * KIB + MIB;
        assert!(written < held + most + 64 * KIB, "{written} with {held} let through");
        drop((exec, stderr, agent));
        eventually("the command is gone", || !super::support::runs(&pid)).await;
    });
}
