//! Where paths lead: on the whole machine, or below a root.

use std::borrow::Cow;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Stat, Timestamps, Uid};
use rustix::io::Errno;
use trunkline_core::agentproto::Statfs;

use super::fault::Fault;
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::root::Root;

/// The files that are served.
#[derive(Debug)]
pub(super) enum Tree {
    /// All of the machine's, paths as they are.
    Machine,
    /// Those below a directory.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Below(Root),
}

/// The name of a file in a directory: what calls that act on names are given.
///
/// The directory is a handle, so what it means cannot change any more. The name is the last one of
/// a path and never followed by such calls.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) dir: Dir<'a>,
    pub(super) name: Cow<'a, str>,
}

/// A directory that is held open.
#[derive(Debug)]
pub(super) enum Dir<'a> {
    Borrowed(BorrowedFd<'a>),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Owned(OwnedFd),
}

impl AsFd for Dir<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Borrowed(dir) => dir.as_fd(),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Owned(dir) => dir.as_fd(),
        }
    }
}

impl Tree {
    /// Whether paths are confined.
    pub(super) fn is_confined(&self) -> bool {
        !matches!(self, Self::Machine)
    }

    /// The name `path` stands for, for calls that do not follow the last link.
    pub(super) fn place<'a>(&'a self, path: &'a str) -> Result<Place<'a>, Fault> {
        match self {
            Self::Machine => Ok(Place { dir: Dir::Borrowed(CWD), name: path.into() }),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Below(root) => root.place(path),
        }
    }

    /// Opens the file at `path`; `flags` say whether the last link is followed.
    pub(super) fn open(&self, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Fault> {
        match self {
            Self::Machine => Ok(again(|| rustix::fs::openat(CWD, path, flags, mode))?),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Below(root) => root.open(path, flags, mode),
        }
    }

    /// The attributes of the file at `path`.
    pub(super) fn stat(&self, path: &str, follow: bool) -> Result<Stat, Fault> {
        match self {
            Self::Machine => {
                let flags = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
                Ok(again(|| rustix::fs::statat(CWD, path, flags))?)
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Below(root) => Ok(rustix::fs::fstat(root.look(path, follow)?)?),
        }
    }

    /// The attributes of an entry of `dir`, and whether it is a mount point that is not entered:
    /// then they are those of what is mounted.
    pub(super) fn entry(&self, dir: &OwnedFd, name: &str) -> Result<(Stat, bool), Fault> {
        let found = again(|| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW))?;
        let barred = match self {
            Self::Machine => false,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Below(root) => root.is_barred(dir, name)?,
        };
        Ok((found, barred))
    }

    /// Sets the mode of the file at `path`, links followed.
    pub(super) fn chmod(&self, path: &str, mode: Mode) -> Result<(), Fault> {
        match self {
            Self::Machine => Ok(again(|| rustix::fs::chmodat(CWD, path, mode, AtFlags::empty()))?),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Below(root) => root.chmod(path, mode),
        }
    }

    /// Sets owner and group of the file at `path`, links followed; `None` leaves one alone.
    pub(super) fn chown(
        &self,
        path: &str,
        owner: Option<Uid>,
        group: Option<Gid>,
    ) -> Result<(), Fault> {
        match self {
            Self::Machine => {
                Ok(again(|| rustix::fs::chownat(CWD, path, owner, group, AtFlags::empty()))?)
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Below(root) => {
                let file = root.look(path, true)?;
                Ok(again(|| rustix::fs::chownat(&file, "", owner, group, AtFlags::EMPTY_PATH))?)
            }
        }
    }

    /// Sets the times of the file at `path`, links followed.
    pub(super) fn chtimes(&self, path: &str, times: &Timestamps) -> Result<(), Fault> {
        match self {
            Self::Machine => {
                Ok(again(|| rustix::fs::utimensat(CWD, path, times, AtFlags::empty()))?)
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Below(root) => root.chtimes(path, times),
        }
    }

    /// The target of the link at `path`, from a handle of it.
    pub(super) fn readlink(&self, path: &str) -> Result<CString, Fault> {
        match self {
            Self::Machine => Ok(again(|| rustix::fs::readlinkat(CWD, path, Vec::new()))?),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Below(root) => {
                let link = root.look(path, false)?;
                // What is no link has no name to read under, says the kernel; by path: 22.
                Ok(again(|| rustix::fs::readlinkat(&link, "", Vec::new())).map_err(|error| {
                    match error {
                        Errno::NOENT => Errno::INVAL,
                        error => error,
                    }
                })?)
            }
        }
    }

    /// Facts about the file system of the file at `path`, links followed.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn statfs(&self, path: &str) -> Result<Statfs, Fault> {
        let raw = match self {
            Self::Machine => again(|| rustix::fs::statfs(path))?,
            Self::Below(root) => {
                let file = root.look(path, true)?;
                again(|| rustix::fs::fstatfs(&file))?
            }
        };
        Ok(super::attributes::statfs(&raw))
    }

    /// Not asked for elsewhere.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn statfs(&self, _: &str) -> Result<Statfs, Fault> {
        Err(Fault::told(Errno::NOSYS, "statfs unsupported"))
    }
}

/// Calls until no signal interrupts.
pub(super) fn again<T>(call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    rustix::io::retry_on_intr(call)
}
