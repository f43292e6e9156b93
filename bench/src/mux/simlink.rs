//! A long link in memory: so many bytes a second each way, so late at the other end.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How far a sender may be ahead of the link before it waits: what its socket would buffer.
const AHEAD: Duration = Duration::from_millis(10);

/// Bytes that the link holds while its receiver takes nothing.
const HELD: usize = 64 << 20;

/// One write takes so much at most.
const PIECE: usize = 256 << 10;

/// What a link is like, the same both ways.
#[derive(Clone, Copy, Debug)]
pub struct Properties {
    /// From one end to the other.
    pub delay: Duration,
    /// What it lets through.
    pub bytes_per_second: u64,
}

impl Properties {
    /// 1 Gbit/s, 50 ms there and back.
    pub const LATENCY: Self =
        Self { delay: Duration::from_millis(25), bytes_per_second: 125_000_000 };

    fn takes(self, count: usize) -> Duration {
        let nanos = count as u128 * 1_000_000_000 / u128::from(self.bytes_per_second);
        Duration::from_nanos(nanos as u64)
    }
}

/// One end of a link; needs tokio's timers.
#[derive(Debug)]
pub struct SimLink {
    properties: Properties,
    out: Arc<Mutex<Line>>,
    into: Arc<Mutex<Line>>,
    write_timer: Pin<Box<Sleep>>,
    read_timer: Pin<Box<Sleep>>,
}

/// One direction.
#[derive(Debug)]
struct Line {
    chunks: VecDeque<Chunk>,
    held: usize,
    /// When the last byte has left the sender.
    free: Instant,
    over: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug)]
struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
    taken: usize,
}

impl SimLink {
    /// Both ends of a new link.
    #[must_use]
    pub fn pair(properties: Properties) -> (Self, Self) {
        let line = || {
            Arc::new(Mutex::new(Line {
                chunks: VecDeque::new(),
                held: 0,
                free: Instant::now(),
                over: false,
                reader: None,
                writer: None,
            }))
        };
        let (there, back) = (line(), line());
        let end = |out: &Arc<Mutex<Line>>, into: &Arc<Mutex<Line>>| Self {
            properties,
            out: Arc::clone(out),
            into: Arc::clone(into),
            write_timer: Box::pin(sleep_until(Instant::now())),
            read_timer: Box::pin(sleep_until(Instant::now())),
        };
        (end(&there, &back), end(&back, &there))
    }

    fn end(&self) {
        let mut line = lock(&self.out);
        line.over = true;
        wake(&mut line.reader);
    }
}

impl Drop for SimLink {
    fn drop(&mut self) {
        self.end();
    }
}

fn lock(line: &Mutex<Line>) -> std::sync::MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

fn wait(timer: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
    timer.as_mut().reset(until);
    timer.as_mut().poll(cx)
}

impl AsyncWrite for SimLink {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            let mut line = lock(&this.out);
            let now = Instant::now();
            if line.held > HELD {
                line.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if line.free > now + AHEAD {
                let until = line.free - AHEAD / 2;
                drop(line);
                ready!(wait(&mut this.write_timer, cx, until));
                continue;
            }
            let mut bytes = Vec::new();
            for buf in bufs {
                let room = PIECE - bytes.len();
                bytes.extend_from_slice(buf.get(..room).unwrap_or(buf));
            }
            let count = bytes.len();
            line.free = line.free.max(now) + this.properties.takes(count);
            let due = line.free + this.properties.delay;
            line.held += count;
            line.chunks.push_back(Chunk { due, bytes, taken: 0 });
            wake(&mut line.reader);
            return Poll::Ready(Ok(count));
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for SimLink {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (this, before) = (&mut *self, buf.filled().len());
        loop {
            let mut line = lock(&this.into);
            let now = Instant::now();
            while let Some(chunk) = line.chunks.front_mut() {
                if chunk.due > now || buf.remaining() == 0 {
                    break;
                }
                let rest = chunk.bytes.get(chunk.taken..).unwrap_or_default();
                let part = rest.get(..buf.remaining()).unwrap_or(rest);
                buf.put_slice(part);
                chunk.taken += part.len();
                let (count, done) = (part.len(), chunk.taken == chunk.bytes.len());
                line.held -= count;
                if done {
                    line.chunks.pop_front();
                }
            }
            if buf.filled().len() > before {
                wake(&mut line.writer);
                return Poll::Ready(Ok(()));
            }
            let Some(due) = line.chunks.front().map(|chunk| chunk.due) else {
                if line.over {
                    return Poll::Ready(Ok(()));
                }
                line.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            drop(line);
            ready!(wait(&mut this.read_timer, cx, due));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[test]
    fn bytes_arrive_whole_late_and_no_faster_than_the_link() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let link =
                Properties { delay: Duration::from_millis(40), bytes_per_second: 10_000_000 };
            let (mut one, mut other) = SimLink::pair(link);
            let sent: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
            let (begun, copy) = (Instant::now(), sent.clone());
            let writer = tokio::spawn(async move {
                one.write_all(&copy).await.unwrap();
                one.shutdown().await.unwrap();
                one
            });
            let mut received = Vec::new();
            other.read_to_end(&mut received).await.unwrap();
            assert!(received == sent);
            assert!(begun.elapsed() >= Duration::from_millis(140));
            drop(writer.await);
        });
    }
}
