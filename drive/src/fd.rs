//! Descriptors as transports: pipes, terminals, sockets, files.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use crate::Io;
#[cfg(feature = "host")]
use crate::thread_io::ThreadIo;

/// A runtime's readiness of one non-blocking descriptor.
pub trait Readiness: Sized + Send + Unpin {
    /// Registers a descriptor that is non-blocking, or only used with calls that are.
    ///
    /// # Errors
    ///
    /// When the reactor refuses it, or there is no reactor.
    fn register(fd: OwnedFd) -> io::Result<Self>;

    /// The descriptor itself.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Runs `call` once the descriptor may be readable, again after `WouldBlock`.
    fn poll_read_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>>;

    /// Runs `call` once the descriptor may be writable, again after `WouldBlock`.
    fn poll_write_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>>;
}

/// One descriptor as a transport.
///
/// Pipes and terminals are polled, sockets are used with calls that never block, whatever their
/// flags, and what a reactor cannot wait for is served by a thread. Dropping it closes the
/// descriptor; a thread in a blocking call keeps its own until that call returns.
pub struct FdIo<R>(Kind<R>);

enum Kind<R> {
    /// A pipe or terminal whose O_NONBLOCK is ours.
    Pollable(R),
    /// The master of a terminal.
    Terminal(R),
    /// A socket. Only one that nobody shares is shut down when it is closed.
    Socket { fd: R, shared: bool },
    /// A file, or something else that blocks.
    #[cfg(feature = "host")]
    Thread(ThreadIo),
    /// A device that takes everything at once.
    #[cfg(feature = "host")]
    Instant(OwnedFd),
    /// Closed for writing.
    Closed,
}

impl<R: Readiness> FdIo<R> {
    /// A pipe or terminal of which O_NONBLOCK is set and nobody else's concern.
    ///
    /// # Errors
    ///
    /// When the reactor refuses it.
    pub fn pollable(fd: OwnedFd) -> io::Result<Self> {
        R::register(fd).map(|fd| Self(Kind::Pollable(fd)))
    }

    /// The master of a terminal, non-blocking, in both directions.
    ///
    /// Its end is that of everything that had the terminal open. Linux says EIO there; it is the
    /// end here too, as nothing that was printed is lost before it.
    ///
    /// # Errors
    ///
    /// When the reactor refuses it.
    pub fn terminal(fd: OwnedFd) -> io::Result<Self> {
        R::register(fd).map(|fd| Self(Kind::Terminal(fd)))
    }

    /// A stream socket, blocking or not. Closing it shuts its writing half down.
    ///
    /// # Errors
    ///
    /// When the reactor refuses it.
    pub fn socket(fd: OwnedFd) -> io::Result<Self> {
        R::register(fd).map(|fd| Self(Kind::Socket { fd, shared: false }))
    }

    /// A descriptor of this process's own, such as its stdin, without touching flags that others
    /// see.
    ///
    /// # Errors
    ///
    /// When it is not open for reading.
    #[cfg(feature = "host")]
    pub fn reader(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Self::own(fd, trunkline_host::fd::Access::Read)
    }

    /// The same for writing.
    ///
    /// # Errors
    ///
    /// When it is not open for writing.
    #[cfg(feature = "host")]
    pub fn writer(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Self::own(fd, trunkline_host::fd::Access::Write)
    }

    #[cfg(feature = "host")]
    fn own(fd: BorrowedFd<'_>, access: trunkline_host::fd::Access) -> io::Result<Self> {
        use trunkline_host::fd::{Access, Detached, detach, enlarge_pipe};

        enlarge_pipe(fd);
        match detach(fd, access)? {
            Detached::Pollable(fd) => Self::pollable(fd),
            Detached::Socket(fd) => Ok(Self(Kind::Socket { fd: R::register(fd)?, shared: true })),
            Detached::Blocking(fd) if access == Access::Read => {
                Ok(Self(Kind::Thread(ThreadIo::reader(fd))))
            }
            Detached::Blocking(fd) if takes_everything(&fd) => Ok(Self(Kind::Instant(fd))),
            Detached::Blocking(fd) => Ok(Self(Kind::Thread(ThreadIo::writer(fd)))),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Whether a descriptor is a memory device such as `/dev/null`: writing to it never waits.
#[cfg(feature = "host")]
fn takes_everything(fd: &OwnedFd) -> bool {
    #[cfg(target_os = "linux")]
    {
        const MEMORY: u32 = 1;
        rustix::fs::fstat(fd).is_ok_and(|stat| {
            let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
            kind == rustix::fs::FileType::CharacterDevice
                && rustix::fs::major(stat.st_rdev) == MEMORY
        })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = fd;
        false
    }
}

impl<R: Readiness> Io for FdIo<R> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Pollable(fd) => {
                fd.poll_read_with(cx, |fd| Ok(rustix::io::read(fd, spare_capacity(buf))?))
            }
            Kind::Terminal(fd) => {
                fd.poll_read_with(cx, |fd| eio_is_end(rustix::io::read(fd, spare_capacity(buf))))
            }
            Kind::Socket { fd, .. } => fd.poll_read_with(cx, |fd| {
                let (count, _) = rustix::net::recv(fd, spare_capacity(buf), RecvFlags::DONTWAIT)?;
                Ok(count)
            }),
            #[cfg(feature = "host")]
            Kind::Thread(thread) => thread.poll_read(cx, buf),
            #[cfg(feature = "host")]
            Kind::Instant(fd) => Poll::Ready(Ok(rustix::io::read(fd, spare_capacity(buf))?)),
            Kind::Closed => Poll::Ready(Ok(0)),
        }
    }

    fn poll_read_slice(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Pollable(fd) => fd.poll_read_with(cx, |fd| Ok(rustix::io::read(fd, &mut *buf)?)),
            Kind::Terminal(fd) => {
                fd.poll_read_with(cx, |fd| eio_is_end(rustix::io::read(fd, &mut *buf)))
            }
            Kind::Socket { fd, .. } => fd.poll_read_with(cx, |fd| {
                let (count, _) = rustix::net::recv(fd, &mut *buf, RecvFlags::DONTWAIT)?;
                Ok(count)
            }),
            #[cfg(feature = "host")]
            Kind::Thread(thread) => crate::io::copied(buf, |copied| thread.poll_read(cx, copied)),
            #[cfg(feature = "host")]
            Kind::Instant(fd) => Poll::Ready(Ok(rustix::io::read(fd, buf)?)),
            Kind::Closed => Poll::Ready(Ok(0)),
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Pollable(fd) | Kind::Terminal(fd) => {
                fd.poll_write_with(cx, |fd| Ok(rustix::io::writev(fd, bufs)?))
            }
            Kind::Socket { fd, .. } => fd.poll_write_with(cx, |fd| {
                let flags = SendFlags::DONTWAIT | no_signal();
                Ok(rustix::net::sendmsg(fd, bufs, &mut SendAncillaryBuffer::default(), flags)?)
            }),
            #[cfg(feature = "host")]
            Kind::Thread(thread) => thread.poll_write(cx, bufs),
            #[cfg(feature = "host")]
            Kind::Instant(fd) => Poll::Ready(Ok(rustix::io::writev(fd, bufs)?)),
            Kind::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    #[cfg_attr(not(feature = "host"), allow(unused_variables))]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            #[cfg(feature = "host")]
            Kind::Thread(thread) => thread.poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    #[cfg_attr(not(feature = "host"), allow(unused_variables))]
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Socket { fd, shared: false } => {
                Poll::Ready(match rustix::net::shutdown(fd.fd(), Shutdown::Write) {
                    // The peer was faster.
                    Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
                    Err(error) => Err(error.into()),
                })
            }
            #[cfg(feature = "host")]
            Kind::Thread(thread) => {
                std::task::ready!(thread.poll_flush(cx))?;
                self.0 = Kind::Closed;
                Poll::Ready(Ok(()))
            }
            _ => {
                self.0 = Kind::Closed;
                Poll::Ready(Ok(()))
            }
        }
    }

    fn peer_gone(&self) -> bool {
        match &self.0 {
            Kind::Pollable(fd) | Kind::Terminal(fd) | Kind::Socket { fd, .. } => hung_up(fd.fd()),
            _ => false,
        }
    }
}

fn eio_is_end(read: rustix::io::Result<usize>) -> io::Result<usize> {
    match read {
        Err(rustix::io::Errno::IO) => Ok(0),
        read => Ok(read?),
    }
}

#[cfg(not(target_vendor = "apple"))]
const fn no_signal() -> SendFlags {
    SendFlags::NOSIGNAL
}

#[cfg(target_vendor = "apple")]
const fn no_signal() -> SendFlags {
    SendFlags::empty()
}

fn hung_up(fd: impl AsFd) -> bool {
    #[cfg(target_os = "linux")]
    let flags = PollFlags::HUP | PollFlags::ERR | PollFlags::RDHUP;
    #[cfg(not(target_os = "linux"))]
    let flags = PollFlags::HUP | PollFlags::ERR;
    let mut fds = [PollFd::new(&fd, flags)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0)
}

impl<R> fmt::Debug for FdIo<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Pollable(_) => "FdIo(pollable)",
            Kind::Terminal(_) => "FdIo(terminal)",
            Kind::Socket { .. } => "FdIo(socket)",
            #[cfg(feature = "host")]
            Kind::Thread(_) => "FdIo(thread)",
            #[cfg(feature = "host")]
            Kind::Instant(_) => "FdIo(instant)",
            Kind::Closed => "FdIo(closed)",
        })
    }
}
