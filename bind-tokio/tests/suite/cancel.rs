//! Dropping any future at any of its polls loses nothing, doubles nothing and leaks nothing.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use bytes::{Buf as _, Bytes};
use trunkline_core::agentproto::FrameType;

use crate::rt::{self, Exec, PathQuery, Reader, Task, Writer};

use super::peer;
use super::support::{Pattern, cancel_at, exited, options, program, serve, sh, start, turn};
use super::wire::{Pace, Rough, wire};

/// How many polls a future gets before it is dropped.
const POLLS: [usize; 4] = [1, 2, 3, 7];

/// `cat` behind a wire that makes everybody wait all the time.
fn cat(most: usize) -> (Exec, Task<u8>) {
    let (local, remote, _line) = wire(3_000);
    let agent = serve(remote, options());
    let rough = Rough::new(local, most, Pace::Nervous, true);
    (rt::exec_over(rt::Over(rough), program("cat", &[])).unwrap(), agent)
}

/// How a test writes: one attempt, which may be given up.
#[derive(Clone, Copy, Debug)]
enum Writes {
    Slices,
    Chunks,
}

async fn write_given_up(mut writer: Writer, how: Writes, polls: usize, count: usize) {
    let pattern = Pattern::new();
    let mut sent = 0;
    while sent < count {
        let mut piece = pattern.at(sent, 40_001.min(count - sent));
        let length = piece.len();
        match how {
            Writes::Slices => {
                let slice = piece.clone();
                if let Some(taken) = cancel_at(polls, rt::write(&mut writer, &slice)).await {
                    piece.advance(taken.unwrap());
                }
            }
            Writes::Chunks => {
                let _ = cancel_at(polls, writer.write_bytes(&mut piece)).await;
            }
        }
        sent += length - piece.len();
        // These two are done at once, and may be given up all the same.
        let _ = cancel_at(polls, rt::flush(&mut writer)).await;
    }
    while cancel_at(polls, rt::close(&mut writer)).await.is_none() {}
}

async fn read_given_up(mut reader: Reader, chunks: bool, polls: usize, count: usize) {
    let pattern = Pattern::new();
    let mut seen = 0;
    loop {
        let mut buf = [0; 1_001];
        let bytes = if chunks {
            cancel_at(polls, reader.read_chunk())
                .await
                .map(|chunk| chunk.unwrap().unwrap_or_default())
        } else {
            let read = cancel_at(polls, rt::read(&mut reader, &mut buf)).await;
            read.map(|length| Bytes::copy_from_slice(&buf[..length.unwrap()]))
        };
        match bytes {
            None => {}
            Some(bytes) if bytes.is_empty() => break,
            Some(bytes) => {
                pattern.check(seen, &bytes);
                seen += bytes.len();
            }
        }
    }
    assert_eq!(seen, count);
}

#[test]
fn reads_and_writes_given_up_at_any_poll_lose_and_double_nothing() {
    const COUNT: usize = 2_500_000;
    rt::each(async || {
        for polls in POLLS {
            for (how, chunks) in
                [(Writes::Slices, false), (Writes::Chunks, true), (Writes::Slices, true)]
            {
                let (mut exec, agent) = cat(60_000);
                let stdin = exec.take_stdin().unwrap();
                let stdout = exec.take_stdout().unwrap();
                let writing = rt::spawn(write_given_up(stdin, how, polls, COUNT));
                read_given_up(stdout, chunks, polls, COUNT).await;
                writing.await;
                assert_eq!(exec.wait().await, exited(0));
                assert_eq!(agent.await, 0);
            }
        }
    });
}

#[test]
fn waiting_given_up_at_any_poll_still_says_how_it_ended() {
    rt::each(async || {
        for polls in POLLS {
            let (mut exec, agent) = cat(200);
            let mut stdin = exec.take_stdin().unwrap();
            rt::write_all(&mut stdin, &[b'x'; 5_000]).await.unwrap();
            drop(stdin);
            let mut times = 0;
            let status = loop {
                match cancel_at(polls, exec.wait()).await {
                    Some(status) => break status,
                    None => times += 1,
                }
            };
            assert_eq!(status, exited(0));
            assert!(times > 0 || polls > 1, "nothing was given up");
            assert_eq!(agent.await, 0);
        }
    });
}

#[test]
fn queries_given_up_at_any_poll_leave_the_next_one_alone() {
    rt::each(async || {
        let mut polls = 1;
        loop {
            let (local, remote, _line) = wire(3_000);
            let agent = serve(remote, options());
            let rough = Rough::new(local, 5, Pace::Nervous, false);
            let query = PathQuery { paths: vec!["/no/such/folder".into()] };
            let answer = cancel_at(polls, rt::paths_over(rt::Over(rough), query)).await;
            // The driver runs on its own: the query itself is polled once and once more at most.
            assert!(matches!(agent.await, 0 | 127));
            if let Some(entries) = answer {
                assert_eq!(entries.unwrap(), []);
                break;
            }
            polls += 1;
        }
    });
}

#[test]
fn an_agent_given_up_at_any_poll_leaves_nothing() {
    rt::each(async || {
        // Far more polls than the whole session takes.
        for polls in (1..60).step_by(3) {
            let (local, remote, _line) = wire(3_000);
            let served =
                rt::serve(rt::Over(Rough::new(remote, 50, Pace::Nervous, true)), options());
            let mut exec = rt::exec_over(rt::Over(local), sh("cat; exit 3")).unwrap();
            let mut stdin = exec.take_stdin().unwrap();
            rt::write_all(&mut stdin, b"some bytes").await.unwrap();
            drop(stdin);
            let waiting = rt::spawn(async move { exec.wait().await });
            let given_up = cancel_at(polls, served).await.is_none();
            match waiting.await.code() {
                Some(code) => assert_eq!(code, 3),
                None => assert!(given_up),
            }
        }
    });
}

#[test]
fn both_halves_given_up_in_one_task_take_turns() {
    const COUNT: usize = 600_000;
    rt::each(async || {
        let (mut exec, agent) = cat(7_000);
        let mut stdin = exec.take_stdin();
        let mut stdout = exec.take_stdout().unwrap();
        let pattern = Pattern::new();
        let (mut sent, mut seen) = (0, 0);
        // What select does: both are begun, and the one that was not first is dropped.
        while seen < COUNT {
            if let Some(writer) = &mut stdin {
                let mut piece = pattern.at(sent, 30_000.min(COUNT - sent));
                let length = piece.len();
                let _ = cancel_at(1, writer.write_bytes(&mut piece)).await;
                sent += length - piece.len();
            }
            if sent == COUNT {
                stdin = None;
            }
            if let Some(chunk) = cancel_at(1, stdout.read_chunk()).await {
                let chunk = chunk.unwrap().unwrap();
                pattern.check(seen, &chunk);
                seen += chunk.len();
            }
            turn().await;
        }
        assert_eq!(stdout.read_chunk().await.unwrap(), None);
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(agent.await, 0);
    });
}

struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

/// How many of so many tasks that began to wait and went away are still remembered.
fn remembered(tasks: usize, mut begin: impl FnMut(&mut Context<'_>)) -> usize {
    let wakers: Vec<_> = (0..tasks).map(|_| Arc::new(Nothing)).collect();
    for waker in &wakers {
        begin(&mut Context::from_waker(&Waker::from(Arc::clone(waker))));
    }
    wakers.iter().filter(|waker| Arc::strong_count(waker) > 1).count()
}

#[test]
fn waiting_given_up_by_many_tasks_piles_nothing_up() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        peer.expect(FrameType::EXEC).await;
        let mut stdout = exec.take_stdout().unwrap();
        let left = remembered(1_000, |cx| assert!(pin!(stdout.read_chunk()).poll(cx).is_pending()));
        assert!(left <= 1, "{left} readers of 1000 are remembered");
        let left = remembered(1_000, |cx| assert!(pin!(exec.wait()).poll(cx).is_pending()));
        assert!(left <= 1, "{left} waiters of 1000 are remembered");
    });
}

#[test]
fn a_read_given_up_takes_nobody_s_place() {
    rt::each(async || {
        let (mut exec, agent) = start(sh("read line; echo $line; cat"));
        let mut stdin = exec.take_stdin().unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        let mut stderr = exec.take_stderr().unwrap();
        let errors = rt::spawn(async move { rt::read_to_end(&mut stderr).await });
        assert!(cancel_at(1, stdout.read_chunk()).await.is_none());
        let reading = rt::spawn(async move { rt::read_to_end(&mut stdout).await });
        turn().await;
        rt::write_all(&mut stdin, b"one\ntwo\n").await.unwrap();
        drop(stdin);
        assert_eq!(reading.await.unwrap(), b"one\ntwo\n");
        assert_eq!(errors.await.unwrap(), b"");
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(agent.await, 0);
    });
}
