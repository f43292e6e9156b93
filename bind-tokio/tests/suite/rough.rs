//! Transports that behave badly, and runtimes that are busy.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkline_core::agentproto::{Frame, FrameType};

use crate::rt::{self, CloseReason};

use super::peer::{self, Peer};
use super::support::{
    Pattern, eventually, exited, kill, lost, lost_status, options, program, runs, serve,
    session_error, settled, sh, turn,
};
use super::wire::{End, Pace, Rough, Wire, wire};

/// Sends so many bytes through `cat` over a wire that is rough at both ends.
async fn echo(most: usize, pace: Pace, vectored: bool, count: usize) {
    let (local, remote, _line) = wire(10_000);
    let local = Rough::new(local, most, pace, vectored);
    let remote = Rough::new(remote, most, pace, vectored);
    let agent = rt::spawn(rt::serve(rt::Over(remote), options()));
    let mut exec = rt::exec_over(rt::Over(local), sh("cat; echo end >&2; exit 5")).unwrap();
    let mut stdin = exec.take_stdin().unwrap();
    let mut stdout = exec.take_stdout().unwrap();
    let writing = rt::spawn(async move {
        rt::write_all(&mut stdin, &Pattern::new().head(count)).await.unwrap();
    });
    let reading = rt::spawn(async move { rt::read_to_end(&mut stdout).await.unwrap() });
    let mut stderr = exec.take_stderr().unwrap();
    assert_eq!(rt::read_to_end(&mut stderr).await.unwrap(), b"end\n");
    writing.await;
    assert_eq!(reading.await, Pattern::new().head(count));
    assert_eq!(exec.wait().await, exited(5), "{most} {pace:?} {vectored}");
    assert_eq!(agent.await, 0);
}

#[test]
fn partial_reads_and_writes_lose_nothing() {
    rt::each(async || {
        for vectored in [true, false] {
            for (most, count) in [(1, 3_000), (2, 5_000), (7, 20_000), (999, 300_000)] {
                echo(most, Pace::Steady, vectored, count).await;
            }
            echo(usize::MAX, Pace::Steady, vectored, 3_000_000).await;
        }
    });
}

#[test]
fn waits_for_nothing_lose_nothing() {
    rt::each(async || {
        for vectored in [true, false] {
            for (most, count) in [(1, 3_000), (100, 50_000), (usize::MAX, 2_000_000)] {
                echo(most, Pace::Nervous, vectored, count).await;
            }
        }
    });
}

#[test]
fn wake_ups_that_come_late_lose_nothing() {
    rt::each(async || {
        for (most, count) in [(5, 300), (3_000, 300_000)] {
            echo(most, Pace::Late, true, count).await;
        }
    });
}

/// A wire whose write, flush or close does something odd.
struct Odd {
    inner: End,
    takes_nothing: bool,
    flushes: bool,
    closes: bool,
}

impl Odd {
    fn new(inner: End) -> Self {
        Self { inner, takes_nothing: false, flushes: true, closes: true }
    }
}

impl Wire for Odd {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.inner.poll_read(cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.takes_nothing { Poll::Ready(Ok(0)) } else { self.inner.poll_write(cx, bufs) }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.flushes { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closes { self.inner.poll_close(cx) } else { Poll::Pending }
    }
}

#[test]
fn a_transport_that_takes_nothing_is_an_error_and_no_busy_loop() {
    rt::each(async || {
        let (local, remote, _line) = wire(1_000);
        let mut odd = Odd::new(local);
        odd.takes_nothing = true;
        let mut exec = rt::exec_over(rt::Over(odd), sh("")).unwrap();
        let mut stdin = exec.take_stdin().unwrap();
        let writing = async {
            let pattern = Pattern::new().head(100_000);
            loop {
                if let Err(error) = rt::write(&mut stdin, &pattern).await {
                    break error;
                }
                turn().await;
            }
        };
        let error = rt::timeout(Duration::from_secs(15), writing).await.expect("an error");
        assert!(matches!(session_error(&error), rt::SessionError::Lost(_)));
        drop(Peer::new(remote));
        lost_status(&exec.wait().await);
    });
}

#[test]
fn an_agent_whose_transport_takes_nothing_hangs_its_command_up() {
    rt::each(async || {
        let (local, remote, _line) = wire(10_000);
        let mut odd = Odd::new(remote);
        odd.takes_nothing = true;
        let agent = rt::spawn(rt::serve(rt::Over(odd), options()));
        let mut exec = rt::exec_over(rt::Over(local), sh("echo x; exec sleep 1000")).unwrap();
        let status = rt::timeout(Duration::from_secs(15), agent).await;
        assert_eq!(status, Some(0), "it neither fails nor ends");
        lost_status(&exec.wait().await);
    });
}

#[test]
fn a_flush_that_never_ends_holds_nothing_else_up() {
    rt::each(async || {
        let (local, remote, _line) = wire(10_000);
        let mut odd = Odd::new(local);
        odd.flushes = false;
        let agent = serve(remote, options());
        let mut exec = rt::exec_over(rt::Over(odd), program("cat", &[])).unwrap();
        let mut stdin = exec.take_stdin().unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        for round in [b"one", b"two"] {
            rt::write_all(&mut stdin, round).await.unwrap();
            assert_eq!(rt::read_exact(&mut stdout, 3).await.unwrap(), round);
        }
        drop(stdin);
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn a_close_that_never_ends_delays_no_status() {
    rt::each(async || {
        let (local, remote, _line) = wire(10_000);
        let mut odd = Odd::new(local);
        odd.closes = false;
        let mut peer = Peer::new(remote);
        let mut exec = rt::exec_over(rt::Over(odd), sh("")).unwrap();
        peer.send(&Frame::data(1, Bytes::from_static(b"x"))).await;
        peer.send(&Frame::exit(6, "")).await;
        let mut stdout = exec.take_stdout().unwrap();
        assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), b"x");
        assert_eq!(exec.wait().await, exited(6));
    });
}

/// Polls a future only now and then, and not when it asks to.
async fn starved<T>(every: Duration, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        match polled {
            Poll::Ready(value) => return value,
            Poll::Pending => rt::sleep(every).await,
        }
    }
}

/// A wire that counts how often it is asked for anything.
struct Counted(End, Arc<AtomicUsize>);

impl Wire for Counted {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.poll_read(cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.poll_write(cx, bufs)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.poll_close(cx)
    }
}

#[test]
fn a_session_in_which_nothing_happens_is_left_alone() {
    rt::each(async || {
        for script in [
            "exec sleep 1000",
            // Its output fills everything on the way, and nobody reads it.
            "exec cat /dev/zero",
            // It is over, and something of it still holds its output.
            "sleep 1000 & exit 3",
        ] {
            let (local, remote, line) = wire(10_000);
            let counts = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
            let polls = Arc::new(AtomicUsize::new(0));
            let counted = Counted(remote, Arc::clone(&counts[0]));
            let mut served = Box::pin(rt::serve(rt::Over(counted), options()));
            let agent = rt::spawn({
                let polls = Arc::clone(&polls);
                poll_fn(move |cx| {
                    polls.fetch_add(1, Ordering::Relaxed);
                    served.as_mut().poll(cx)
                })
            });
            let counted = Counted(local, Arc::clone(&counts[1]));
            let mut exec = rt::exec_over(rt::Over(counted), sh(script)).unwrap();
            let mut stdin = exec.take_stdin().unwrap();
            let stdout = exec.take_stdout().unwrap();
            let writing = rt::spawn(async move {
                // More than is taken by a command that does not read.
                let _ = rt::write_all(&mut stdin, &Pattern::new().head(8 << 20)).await;
                stdin
            });
            settled(|| (line.up.passed(), line.down.passed())).await;
            let asked = || {
                let counts = [&counts[0], &counts[1], &polls];
                counts.map(|count| count.load(Ordering::Relaxed)).iter().sum::<usize>()
            };
            // On a busy machine it can take a while to get there; one that spins never does.
            let begun = Instant::now();
            loop {
                let before = asked();
                rt::sleep(Duration::from_millis(300)).await;
                let after = asked();
                if after - before <= 20 {
                    break;
                }
                assert!(begun.elapsed() < Duration::from_secs(15), "{script}: {before}, {after}");
            }
            drop((agent, exec, writing, stdout));
        }
    });
}

#[test]
fn an_agent_that_is_rarely_polled_loses_nothing() {
    rt::each(async || {
        let (local, remote, _line) = wire(10_000);
        let served = rt::serve(rt::Over(remote), options());
        let agent = rt::spawn(starved(Duration::from_millis(20), served));
        let mut exec = rt::exec_over(rt::Over(local), sh("cat; exit 2")).unwrap();
        let mut stdin = exec.take_stdin().unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        let writing = rt::spawn(async move {
            rt::write_all(&mut stdin, &Pattern::new().head(100_000)).await.unwrap();
        });
        let reading = starved(Duration::from_millis(10), rt::read_to_end(&mut stdout));
        assert_eq!(reading.await.unwrap(), Pattern::new().head(100_000));
        writing.await;
        assert_eq!(exec.wait().await, exited(2));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn a_runtime_that_is_busy_delays_and_loses_nothing() {
    rt::each(async || {
        // Whoever shares the thread blocks it for most of the time.
        let busy: Vec<_> = (0..3)
            .map(|_| {
                rt::spawn(async {
                    loop {
                        std::thread::sleep(Duration::from_millis(5));
                        turn().await;
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            echo(usize::MAX, Pace::Steady, true, 200_000).await;
        }
        drop::<Vec<rt::Task<()>>>(busy);
    });
}

#[test]
fn polling_far_too_often_changes_nothing() {
    rt::each(async || {
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        let mut stdout = exec.take_stdout().unwrap();
        let until = Instant::now() + Duration::from_millis(50);
        let reading = rt::spawn(async move {
            let mut reading = pin!(rt::read_to_end(&mut stdout));
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                reading.as_mut().poll(cx)
            })
            .await
        });
        while Instant::now() < until {
            turn().await;
        }
        peer.send(&Frame::data(1, Bytes::from_static(b"still"))).await;
        rt::sleep(Duration::from_millis(10)).await;
        peer.send(&Frame::data(1, Bytes::from_static(b" whole"))).await;
        peer.send(&Frame::exit(0, "")).await;
        assert_eq!(reading.await.unwrap(), b"still whole");
        assert_eq!(exec.wait().await, exited(0));
    });
}

#[test]
fn an_agent_that_says_nothing_in_time_is_given_up() {
    rt::each(async || {
        let mut options = rt::ExecOptions::new(sh(""));
        options.config.answer_timeout = Some(Duration::from_millis(60));
        let begun = Instant::now();
        let (mut exec, peer, _line) = peer::exec(options.clone());
        let mut stdout = exec.take_stdout().unwrap();
        let error = stdout.read_chunk().await.unwrap_err();
        assert!(begun.elapsed() >= Duration::from_millis(60));
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(matches!(lost(&error), CloseReason::Timeout(_)));
        assert!(matches!(lost_status(&exec.wait().await), CloseReason::Timeout(_)));
        drop(peer);

        // One frame of any kind is an answer, and there is no other deadline.
        options.config.answer_timeout = Some(Duration::from_secs(1));
        let (mut exec, mut peer, _line) = peer::exec(options);
        peer.send(&peer::log(-8, "alive", &[])).await;
        rt::sleep(Duration::from_millis(1_100)).await;
        peer.send(&Frame::exit(1, "")).await;
        assert_eq!(exec.wait().await, exited(1));
    });
}

/// A wire whose first read is made while the runtime is busy with something else: it finds nothing,
/// and what it would have found has come by the time the task runs on.
struct Busy {
    inner: End,
    left: Duration,
}

impl Wire for Busy {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let busy = std::mem::take(&mut self.left);
        if busy > Duration::ZERO {
            std::thread::sleep(busy);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.inner.poll_read(cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_write(cx, bufs)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_close(cx)
    }
}

/// A command whose agent must answer within 40 ms.
fn hasty() -> rt::ExecOptions {
    let mut options = rt::ExecOptions::new(sh(""));
    options.config.answer_timeout = Some(Duration::from_millis(40));
    options
}

#[test]
fn an_answer_that_came_while_the_runtime_was_busy_counts() {
    rt::each(async || {
        let (local, remote, _line) = wire(10_000);
        let mut peer = Peer::new(remote);
        peer.send(&Frame::data(1, Bytes::from_static(b"in time"))).await;
        peer.send(&Frame::exit(3, "")).await;
        let busy = Busy { inner: local, left: Duration::from_millis(120) };
        let mut exec = rt::exec_over(rt::Over(busy), hasty()).unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), b"in time");
        assert_eq!(exec.wait().await, exited(3));

        // The same with a real reactor, which has not looked at its descriptors either.
        let (local, mut remote) = rt::socket_pair();
        rt::write_all(&mut remote, &peer::bytes_of(&Frame::exit(4, ""))).await.unwrap();
        let mut exec = rt::exec_over(local, hasty()).unwrap();
        std::thread::sleep(Duration::from_millis(120));
        assert_eq!(exec.wait().await, exited(4));
    });
}

/// A wire that never stops giving bytes, of a frame that never ends.
struct Endless {
    begun: bool,
}

impl Wire for Endless {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        // A map of one pair whose key is a text of 16 million bytes, nearly a frame's limit.
        const HEAD: [u8; 6] = [0xa1, 0x7a, 0x00, 0xf0, 0x00, 0x00];
        if std::mem::replace(&mut self.begun, true) {
            buf[0] = b'x';
            return Poll::Ready(Ok(1));
        }
        buf[..HEAD.len()].copy_from_slice(&HEAD);
        Poll::Ready(Ok(HEAD.len()))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_peer_that_never_stops_puts_no_deadline_off() {
    rt::each(async || {
        let mut exec = rt::exec_over(rt::Over(Endless { begun: false }), hasty()).unwrap();
        assert!(matches!(lost_status(&exec.wait().await), CloseReason::Timeout(_)));
    });
}

#[test]
#[cfg(target_os = "linux")]
fn an_exit_that_came_while_the_agent_was_not_polled_counts() {
    rt::each(async || {
        let (local, remote, _line) = wire(10_000);
        let mut served = Box::pin(rt::serve(rt::Over(remote), options()));
        let mut peer = Peer::new(local);
        // What it leaves running holds nothing of the session: it is nobody's to hang up.
        let script = "sleep 1000 </dev/null >/dev/null 2>&1 & echo $! $$; cat; exit 7";
        peer.send(&Frame::exec(sh(script))).await;
        let mut pids = String::new();
        {
            let mut saying = pin!(async {
                while !pids.ends_with('\n') {
                    let bytes = peer.expect(FrameType::DATA).await.data.into_bytes();
                    pids.push_str(std::str::from_utf8(&bytes).unwrap());
                }
            });
            poll_fn(|cx| {
                assert!(served.as_mut().poll(cx).is_pending());
                saying.as_mut().poll(cx)
            })
            .await;
        }
        let (left, command) = pids.trim().split_once(' ').unwrap();
        peer.close().await;
        // Polled once, it ends the command's input, and is not polled again for a long time.
        assert!(poll_fn(|cx| Poll::Ready(served.as_mut().poll(cx))).await.is_pending());
        eventually("the command ends at the end of its input", || !runs(command)).await;
        // Longer than the grace time of the hang-up.
        rt::sleep(Duration::from_millis(300)).await;
        assert_eq!(served.await, 0);
        let mut code = None;
        while let Some(frame) = peer.recv().await {
            if frame.kind == FrameType::EXIT {
                code = Some(frame.code);
            }
        }
        assert_eq!(code, Some(7));
        rt::sleep(Duration::from_millis(50)).await;
        let spared = runs(left);
        kill(left);
        assert!(spared, "a hang-up although the command had ended before it was due");
    });
}
