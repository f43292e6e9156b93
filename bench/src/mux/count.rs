//! Calls and bytes of transports, counted, and what this process has burnt and keeps.

use std::fs;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead as FuturesRead, AsyncWrite as FuturesWrite};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Every transport of this process.
static ALL: Mutex<Vec<Arc<Calls>>> = Mutex::new(Vec::new());

/// What one end of a transport was asked to do with success.
#[derive(Debug, Default)]
pub struct Calls {
    writes: AtomicU64,
    reads: AtomicU64,
    bytes: AtomicU64,
}

/// Sums over all transports of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Writes that took something.
    pub writes: u64,
    /// Reads that brought something.
    pub reads: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// Everything counted so far.
#[must_use]
pub fn totals() -> Totals {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().fold(Totals::default(), |sum, calls| Totals {
        writes: sum.writes + calls.writes.load(Ordering::SeqCst),
        reads: sum.reads + calls.reads.load(Ordering::SeqCst),
        bytes: sum.bytes + calls.bytes.load(Ordering::SeqCst),
    })
}

/// CPU time of this process, of all its threads in user space and in the kernel.
#[must_use]
pub fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

/// Bytes resident now and at the most, as the kernel tells it.
#[must_use]
pub fn resident() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let told = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
    };
    (told("VmRSS").unwrap_or(0) << 10, told("VmHWM").unwrap_or(0) << 10)
}

/// A transport whose calls are counted. One thread at a time has it, so the counters need no
/// read-modify-write.
#[derive(Debug)]
pub struct Counted<T> {
    inner: T,
    calls: Arc<Calls>,
}

impl<T> Counted<T> {
    /// Counts a transport's calls from here on.
    pub fn new(inner: T) -> Self {
        let calls = Arc::new(Calls::default());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        // Transports that are gone stay in the sums, in one place.
        if all.len() >= 1024 {
            let (gone, here): (Vec<_>, Vec<_>) =
                all.drain(..).partition(|calls| Arc::strong_count(calls) == 1);
            *all = here;
            all.push(gone.into_iter().fold(Arc::default(), |sum: Arc<Calls>, calls| {
                add(&sum.writes, calls.writes.load(Ordering::SeqCst));
                add(&sum.reads, calls.reads.load(Ordering::SeqCst));
                add(&sum.bytes, calls.bytes.load(Ordering::SeqCst));
                sum
            }));
        }
        all.push(Arc::clone(&calls));
        Self { inner, calls }
    }

    fn wrote(&self, count: usize) {
        add(&self.calls.writes, 1);
        add(&self.calls.bytes, count as u64);
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            add(&self.calls.reads, 1);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.wrote(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        self.wrote(count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: FuturesRead + Unpin> FuturesRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if count > 0 {
            add(&self.calls.reads, 1);
        }
        Poll::Ready(Ok(count))
    }
}

impl<T: FuturesWrite + Unpin> FuturesWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.wrote(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        self.wrote(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
