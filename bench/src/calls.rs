//! Calls that a driver makes to its transport, counted: what on a real one is a system call each.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use trunkline_core::agentproto::{ExecRequest, data_segment};
use trunkline_drive::{Clock, ExecOptions, Io, Session, Sleep};

use crate::Failure;

const MIB: u64 = 1 << 20;

/// How much is moved in either direction.
const MOVED: u64 = 64 * MIB;

/// A transport on which everything is always ready: reads fill the buffer, writes take all.
struct Ready {
    frames: Bytes,
    at: usize,
    calls: Arc<Calls>,
}

#[derive(Default)]
struct Calls {
    reads: AtomicU64,
    writes: AtomicU64,
    written: AtomicU64,
    /// Whether there is something to read.
    speaks: bool,
}

impl Io for Ready {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        if !self.calls.speaks {
            return Poll::Pending;
        }
        self.calls.reads.fetch_add(1, Ordering::Relaxed);
        let before = buf.len();
        while buf.len() < buf.capacity() {
            let room = buf.capacity() - buf.len();
            let rest = &self.frames[self.at..];
            let rest = &rest[..rest.len().min(room)];
            buf.extend_from_slice(rest);
            self.at = (self.at + rest.len()) % self.frames.len();
        }
        Poll::Ready(Ok(buf.len() - before))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let count: usize = bufs.iter().map(|buf| buf.len()).sum();
        self.calls.writes.fetch_add(1, Ordering::Relaxed);
        self.calls.written.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Nothing here waits for a time.
struct Never;

impl Sleep for Never {
    fn poll_until(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

fn session(
    speaks: bool,
    payload: usize,
) -> Result<(Session, impl Future<Output = ()>, Arc<Calls>), Failure> {
    let calls = Arc::new(Calls { speaks, ..Calls::default() });
    let frames = data_segment(1, Bytes::from(vec![7; payload])).into_bytes();
    let io = Ready { frames, at: 0, calls: Arc::clone(&calls) };
    let request = ExecRequest { path: "cat".into(), ..ExecRequest::default() };
    let options = ExecOptions::new(request);
    let (session, driver) = trunkline_drive::exec(options, io, Never, Clock::new(Instant::now))
        .map_err(|misuse| Failure::new(misuse.to_string()))?;
    Ok((session, driver, calls))
}

/// Reads of the transport for each MiB of a command's output, in frames of `payload` bytes.
pub(crate) fn reads_per_mib(payload: usize) -> Result<f64, Failure> {
    let (session, driver, calls) = session(true, payload)?;
    let mut cx = Context::from_waker(Waker::noop());
    let (mut driver, mut reader) = (pin!(driver), session.reader(1));
    let mut moved = 0;
    while moved < MOVED {
        let _ = driver.as_mut().poll(&mut cx);
        while let Poll::Ready(chunk) = reader.poll_chunk(&mut cx) {
            let chunk = chunk.map_err(|error| Failure::new(error.to_string()))?;
            moved += chunk.map_or(0, |chunk| chunk.len() as u64);
        }
    }
    Ok(calls.reads.load(Ordering::Relaxed) as f64 * MIB as f64 / moved as f64)
}

/// Writes to the transport for each MiB of a command's input, offered in pieces of `piece` bytes.
pub(crate) fn writes_per_mib(piece: usize) -> Result<f64, Failure> {
    let (session, driver, calls) = session(false, 1)?;
    let mut cx = Context::from_waker(Waker::noop());
    let (mut driver, mut writer) = (pin!(driver), session.writer(0));
    let piece = Bytes::from(vec![7; piece]);
    let mut rest = piece.clone();
    while calls.written.load(Ordering::Relaxed) < MOVED {
        while let Poll::Ready(taken) = writer.poll_write_bytes(&mut cx, &mut rest) {
            taken.map_err(|error| Failure::new(error.to_string()))?;
            if rest.is_empty() {
                rest = piece.clone();
            }
        }
        let _ = driver.as_mut().poll(&mut cx);
    }
    let written = calls.written.load(Ordering::Relaxed);
    Ok(calls.writes.load(Ordering::Relaxed) as f64 * MIB as f64 / written as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_frames_take_a_few_calls_and_the_same_number_every_time() {
        let counts = || (reads_per_mib(32 << 10).unwrap(), writes_per_mib(64 << 10).unwrap());
        let (reads, writes) = counts();
        assert!((1.0..64.0).contains(&reads) && (1.0..64.0).contains(&writes), "{reads} {writes}");
        assert_eq!(counts(), (reads, writes));
    }
}
