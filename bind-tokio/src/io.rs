//! Tokio's transports, timer and readiness, as the driver sees them.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use trunkline_drive::{Clock, Io, Sleep};

/// Tokio's clock, paused time included.
pub(crate) fn clock() -> Clock {
    Clock::new(|| tokio::time::Instant::now().into_std())
}

/// Any `AsyncRead + AsyncWrite` as a transport.
#[derive(Debug)]
pub struct TransportIo<T>(T);

impl<T> TransportIo<T> {
    /// Wraps a transport.
    #[must_use]
    pub const fn new(transport: T) -> Self {
        Self(transport)
    }
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for TransportIo<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        tokio_util::io::poll_read_buf(Pin::new(&mut self.0), cx, buf)
    }

    fn poll_read_slice(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.0.is_write_vectored() {
            return Pin::new(&mut self.0).poll_write_vectored(cx, bufs);
        }
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| &**buf);
        Pin::new(&mut self.0).poll_write(cx, first)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Tokio's timer.
#[derive(Debug, Default)]
pub struct TimerSleep(Option<Pin<Box<tokio::time::Sleep>>>);

impl Sleep for TimerSleep {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let at = tokio::time::Instant::from_std(at);
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

#[cfg(unix)]
pub use fd::{FdIo, FdReady};

#[cfg(unix)]
mod fd {
    use std::io;
    use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
    use std::task::{Context, Poll, ready};

    use tokio::io::unix::AsyncFd;
    use trunkline_drive::Readiness;

    /// One descriptor as a transport: a pipe, a terminal, a socket or a file.
    pub type FdIo = trunkline_drive::FdIo<FdReady>;

    /// Tokio's readiness of one descriptor.
    #[derive(Debug)]
    pub struct FdReady(AsyncFd<OwnedFd>);

    impl Readiness for FdReady {
        fn register(fd: OwnedFd) -> io::Result<Self> {
            // Deprecated for types whose descriptor can change or close under the reactor, which an
            // owned descriptor cannot; what replaces it is unsafe code.
            #[allow(deprecated)]
            AsyncFd::new(fd).map(Self)
        }

        fn fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        fn poll_read_with<T>(
            &mut self,
            cx: &mut Context<'_>,
            mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        ) -> Poll<io::Result<T>> {
            loop {
                let mut guard = ready!(self.0.poll_read_ready(cx))?;
                if let Ok(result) = guard.try_io(|fd| call(fd.as_fd())) {
                    return Poll::Ready(result);
                }
            }
        }

        fn poll_write_with<T>(
            &mut self,
            cx: &mut Context<'_>,
            mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        ) -> Poll<io::Result<T>> {
            loop {
                let mut guard = ready!(self.0.poll_write_ready(cx))?;
                if let Ok(result) = guard.try_io(|fd| call(fd.as_fd())) {
                    return Poll::Ready(result);
                }
            }
        }
    }
}
