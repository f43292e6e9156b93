//! A process's own descriptors, made usable by a reactor without harm to whoever shares them.
//!
//! O_NONBLOCK belongs to the open file description, and descriptors 0, 1 and 2 mostly share theirs
//! with a shell and with other processes: setting it there breaks them, and stays set after this
//! process has ended. [`detach`] gets an open file description of its own where the system allows.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat, fcntl_getfl, fstat, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use rustix::termios::isatty;

use crate::sys;

/// Most slices one call may gather, on every system.
const MAX_SLICES: usize = 1024;

/// What a descriptor is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read from it.
    Read,
    /// To write to it.
    Write,
}

/// A descriptor of one's own, and how it has to be used. Dropping it closes it, and leaves the
/// descriptor it came from as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum Detached {
    /// Non-blocking, and fit for a reactor.
    Pollable(OwnedFd),
    /// A socket, fit for a reactor, whose O_NONBLOCK is as others left it. To be used with
    /// [`recv_nonblocking`] and [`send_nonblocking`], which do not depend on it.
    Socket(OwnedFd),
    /// To be read and written on a thread, where that may block: a regular file, a device a reactor
    /// refuses, or something that could not be opened anew.
    Blocking(OwnedFd),
}

/// Makes a descriptor of this process's own out of `fd`, without touching flags others see.
///
/// Pipes and terminals are opened anew and non-blocking through `/proc/self/fd` on Linux; elsewhere
/// only terminals, by name, as `/dev/fd` there hands out the same open file description. Where that
/// fails (no permission, no `/proc`, a reader that is gone) they are used as they are: blocking, or
/// pollable if somebody has made them non-blocking already. Sockets cannot be opened anew and need
/// not be, as single calls on them can be non-blocking. Everything else blocks.
///
/// What is returned is never one of the numbers 0, 1 and 2, and is close-on-exec.
///
/// # Errors
///
/// EBADF when `fd` is not open for that access, and the system's error when no descriptor is left.
pub fn detach(fd: BorrowedFd<'_>, access: Access) -> io::Result<Detached> {
    let flags = fcntl_getfl(fd)?;
    // Opening anew through /proc would quietly grant what the descriptor itself does not.
    let granted = match (flags & OFlags::RWMODE, access) {
        (OFlags::RDWR, _) => true,
        (mode, Access::Read) => mode == OFlags::RDONLY,
        (mode, Access::Write) => mode == OFlags::WRONLY,
    };
    if !granted {
        return Err(Errno::BADF.into());
    }
    let stat = fstat(fd)?;
    let shared = || fcntl_dupfd_cloexec(fd, 3);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket => Ok(Detached::Socket(shared()?)),
        kind if kind == FileType::Fifo || (kind == FileType::CharacterDevice && isatty(fd)) => {
            match reopen(fd, access, kind, &stat) {
                Some(own) => Ok(Detached::Pollable(own)),
                // Reads on it would not block whatever the thread expects.
                None if flags.contains(OFlags::NONBLOCK) => Ok(Detached::Pollable(shared()?)),
                None => Ok(Detached::Blocking(shared()?)),
            }
        }
        _ => Ok(Detached::Blocking(shared()?)),
    }
}

/// The same pipe or terminal under an open file description of its own.
fn reopen(fd: BorrowedFd<'_>, access: Access, kind: FileType, stat: &Stat) -> Option<OwnedFd> {
    let path = reopen_path(fd, kind, stat)?;
    let mode = match access {
        Access::Read => OFlags::RDONLY,
        Access::Write => OFlags::WRONLY,
    };
    let flags = mode | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let own = open(path, flags, Mode::empty()).ok()?;
    let own = if own.as_raw_fd() < 3 { fcntl_dupfd_cloexec(&own, 3).ok()? } else { own };
    // A name can lead elsewhere by now, or a mount can give out something not meant.
    let now = fstat(&own).ok()?;
    let same =
        now.st_dev == stat.st_dev && now.st_ino == stat.st_ino && now.st_rdev == stat.st_rdev;
    let own_flags = fcntl_getfl(&own).ok()?;
    (same && own_flags.contains(OFlags::NONBLOCK)).then_some(own)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn reopen_path(fd: BorrowedFd<'_>, kind: FileType, stat: &Stat) -> Option<String> {
    /// Opening this device makes a new terminal instead of reaching the old one.
    const PTMX: (u32, u32) = (5, 2);
    let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    if kind == FileType::CharacterDevice && device == PTMX {
        return None;
    }
    Some(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reopen_path(fd: BorrowedFd<'_>, kind: FileType, _: &Stat) -> Option<std::ffi::CString> {
    if kind != FileType::CharacterDevice {
        return None;
    }
    rustix::termios::ttyname(fd, Vec::new()).ok()
}

/// Receives what a socket has, without blocking whatever its flags; 0 is its end.
///
/// # Errors
///
/// `WouldBlock` when there is nothing yet, and otherwise what the system says.
pub fn recv_nonblocking(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (received, _) = recv(socket, buffer, RecvFlags::DONTWAIT)?;
    Ok(received)
}

/// Sends what a socket takes of `slices`, without blocking whatever its flags, and says how much.
///
/// It raises no SIGPIPE where the system can be told so (not on Apple's). Slices beyond 1024 are
/// left for the next call.
///
/// # Errors
///
/// `WouldBlock` when it takes nothing yet, and otherwise what the system says.
pub fn send_nonblocking(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    #[cfg(not(target_vendor = "apple"))]
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    #[cfg(target_vendor = "apple")]
    let flags = SendFlags::DONTWAIT;
    let slices = slices.get(..MAX_SLICES).unwrap_or(slices);
    Ok(sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags)?)
}

/// Lets a pipe hold up to 1 MiB, as far as the system allows; does nothing elsewhere than on Linux
/// and to what is no pipe.
pub fn enlarge_pipe(fd: BorrowedFd<'_>) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // The administrator's limit may be lower. At 64 KiB and below nothing is gained.
        let sizes = [1 << 20, 1 << 19, 1 << 18, 1 << 17];
        let _ = sizes
            .into_iter()
            .map(|size| rustix::pipe::fcntl_setpipe_size(fd, size))
            .find(|result| *result != Err(Errno::PERM));
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = fd;
}

/// Whether this process has a descriptor `number`, its own or inherited.
#[must_use]
pub fn is_open(number: u32) -> bool {
    sys::is_close_on_exec(number).is_ok()
}

/// Whether this process has a descriptor `number` that its parent handed to it.
///
/// Told by its not being close-on-exec, which everything Rust code opens is.
#[must_use]
pub fn is_inherited(number: u32) -> bool {
    sys::is_close_on_exec(number).is_ok_and(|close_on_exec| !close_on_exec)
}

/// Takes over descriptor `number`, which this process was handed, and leaves `/dev/null` in its
/// place.
///
/// So the number cannot come to mean something else, and dropping what is returned is the end the
/// other side sees; a mere copy would keep it open until this process ends. Where there is no
/// `/dev/null` it stays as it is. What is returned is close-on-exec and shares its open file
/// description with others: see [`detach`].
///
/// # Errors
///
/// EBADF when there is no such descriptor, or it is one this process has opened itself (or taken
/// over before): numbers a user names must not reach those.
pub fn take(number: u32) -> io::Result<OwnedFd> {
    if sys::is_close_on_exec(number)? {
        return Err(Errno::BADF.into());
    }
    let taken = sys::duplicate(number)?;
    if let Ok(null) = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        // Standard streams must stay something that children can inherit.
        sys::replace(number, &null, number > 2)?;
    }
    Ok(taken)
}
