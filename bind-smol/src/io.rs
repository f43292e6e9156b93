//! Smol's transports, timer and readiness, as the driver sees them.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_io::Timer;
use futures_io::{AsyncRead, AsyncWrite};
use trunkline_drive::{Clock, Io, Sleep};

/// The clock that smol's timers run on.
pub(crate) fn clock() -> Clock {
    Clock::new(Instant::now)
}

/// Room for one read of a transport.
const READ: usize = 64 << 10;

/// Any `AsyncRead + AsyncWrite` as a transport.
#[derive(Debug)]
pub struct TransportIo<T> {
    transport: T,
    /// These traits read into initialized memory only: this is filled with zeros once, when it is
    /// needed, and costs a copy of what was read instead of zeros for all that might have been.
    scratch: Vec<u8>,
}

impl<T> TransportIo<T> {
    /// Wraps a transport.
    #[must_use]
    pub const fn new(transport: T) -> Self {
        Self { transport, scratch: Vec::new() }
    }
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for TransportIo<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        self.scratch.resize(READ, 0);
        let room = (buf.capacity() - buf.len()).min(READ);
        let count = ready!(Pin::new(&mut self.transport).poll_read(cx, &mut self.scratch[..room]))?;
        buf.extend_from_slice(&self.scratch[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_read_slice(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_read(cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_close(cx)
    }
}

/// Smol's timer.
#[derive(Debug, Default)]
pub struct TimerSleep(Option<(Instant, Timer)>);

impl Sleep for TimerSleep {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let (set, timer) = self.0.get_or_insert_with(|| (at, Timer::at(at)));
        if *set != at {
            *set = at;
            timer.set_at(at);
        }
        let due = Pin::new(timer).poll(cx).map(|_| ());
        if due.is_ready() {
            // A timer that has fired would never fire again.
            self.0 = None;
        }
        due
    }
}

#[cfg(unix)]
pub use fd::{FdIo, FdReady};

#[cfg(unix)]
mod fd {
    use std::io;
    use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
    use std::task::{Context, Poll, ready};

    use async_io::Async;
    use trunkline_drive::Readiness;

    /// One descriptor as a transport: a pipe, a terminal, a socket or a file.
    pub type FdIo = trunkline_drive::FdIo<FdReady>;

    /// Smol's readiness of one descriptor.
    #[derive(Debug)]
    pub struct FdReady(Async<OwnedFd>);

    impl Readiness for FdReady {
        fn register(fd: OwnedFd) -> io::Result<Self> {
            // The flag is the caller's business: a socket may be shared with others.
            Async::new_nonblocking(fd).map(Self)
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
                match call(self.0.as_fd()) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result),
                }
                ready!(self.0.poll_readable(cx))?;
            }
        }

        fn poll_write_with<T>(
            &mut self,
            cx: &mut Context<'_>,
            mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        ) -> Poll<io::Result<T>> {
            loop {
                match call(self.0.as_fd()) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result),
                }
                ready!(self.0.poll_writable(cx))?;
            }
        }
    }
}
