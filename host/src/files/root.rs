//! A served directory that no path leads out of: `docs/protocols/agentproto.md` section 15.
//!
//! Whatever happens to a file happens to a descriptor that was found below the root, or to a last
//! name in a directory that was. Nothing is looked at by path first and used by path then.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Timestamps};
use rustix::io::Errno;

use super::fault::Fault;
use super::policy::Resolver;
use super::tree::{Dir, Place, again};
use super::walk::{Mount, Walk};

/// How often the kernel is asked again when somebody renames under its hands; then we walk.
const TRIES: usize = 32;

/// What `/proc` is, to be sure that its links mean descriptors.
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// The longest path a call takes, its NUL included: what is longer is not looked at.
const PATH_MAX: usize = 4096;

/// A handle only: it can be looked at, and names can be looked up in it.
const HANDLE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// A directory and how paths are resolved below it.
#[derive(Debug)]
pub(super) struct Root {
    dir: OwnedFd,
    /// Whether the kernel resolves.
    by_kernel: bool,
    /// The mount to stay in; `None` if others may be entered.
    mount: Option<Mount>,
    /// `/proc/self/fd`, by which a handle can be given to calls that take names only.
    descriptors: Option<OwnedFd>,
}

impl Root {
    /// Opens the directory `path`.
    pub(super) fn new(path: &Path, resolver: Resolver, mounts: bool) -> io::Result<Self> {
        let named = |error: Errno| {
            let error = io::Error::from(error);
            let text = crate::error_text(&error);
            io::Error::new(error.kind(), format!("root {}: {text}", path.display()))
        };
        let dir = again(|| rustix::fs::open(path, HANDLE | OFlags::DIRECTORY, Mode::empty()))
            .map_err(named)?;
        let mount = if mounts { None } else { Some(Mount::of(dir.as_fd()).map_err(named)?) };
        let by_kernel = match resolver {
            Resolver::Kernel => has_openat2(&dir).map_err(named)?,
            Resolver::Walk => false,
        };
        Ok(Self { dir, by_kernel, mount, descriptors: descriptors() })
    }

    /// The name `path` stands for, in a directory below the root.
    pub(super) fn place<'a>(&'a self, path: &'a str) -> Result<Place<'a>, Fault> {
        let path = below(path)?;
        let whole = path.trim_end_matches('/');
        let (dir, last) = whole.rsplit_once('/').unwrap_or((".", whole));
        if last == ".." {
            // No call changes anything under this name, but where it leads is told here.
            self.look(path, true)?;
        }
        // Slashes at the end stay with the name: the call knows what they mean.
        let name = path.get(whole.len() - last.len()..).unwrap_or_default();
        let dir = match dir {
            "." => Dir::Borrowed(self.dir.as_fd()),
            _ => Dir::Owned(self.find(dir, HANDLE | OFlags::DIRECTORY, Mode::empty())?),
        };
        Ok(Place { dir, name: name.into() })
    }

    /// Whether `name` in `dir` is a mount point that is not entered.
    pub(super) fn is_barred(&self, dir: &OwnedFd, name: &str) -> Result<bool, Fault> {
        match self.mount {
            Some(mount) => Ok(Mount::of_name(dir.as_fd(), name)? != mount),
            None => Ok(false),
        }
    }

    /// A handle of the file at `path`, by which it cannot be read.
    pub(super) fn look(&self, path: &str, follow: bool) -> Result<OwnedFd, Fault> {
        let flags = if follow { HANDLE } else { HANDLE | OFlags::NOFOLLOW };
        self.find(below(path)?, flags, Mode::empty())
    }

    /// Opens the file at `path`.
    pub(super) fn open(&self, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Fault> {
        self.find(below(path)?, flags, mode)
    }

    /// Sets the mode of the file at `path`, links followed.
    pub(super) fn chmod(&self, path: &str, mode: Mode) -> Result<(), Fault> {
        let file = self.look(path, true)?;
        if let Some(descriptors) = &self.descriptors {
            let name = file.as_raw_fd().to_string();
            return Ok(again(|| rustix::fs::chmodat(descriptors, &*name, mode, AtFlags::empty()))?);
        }
        Ok(rustix::fs::fchmod(self.reopen(path)?, mode)?)
    }

    /// Sets the times of the file at `path`, links followed.
    pub(super) fn chtimes(&self, path: &str, times: &Timestamps) -> Result<(), Fault> {
        let file = self.look(path, true)?;
        if let Some(descriptors) = &self.descriptors {
            let name = file.as_raw_fd().to_string();
            return Ok(again(|| {
                rustix::fs::utimensat(descriptors, &*name, times, AtFlags::empty())
            })?);
        }
        Ok(rustix::fs::futimens(self.reopen(path)?, times)?)
    }

    /// Without `/proc` a handle has to be opened for reading before it can be changed.
    fn reopen(&self, path: &str) -> Result<OwnedFd, Fault> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        self.find(below(path)?, flags, Mode::empty())
    }

    /// Opens what is at `path`, which is relative.
    fn find(&self, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Fault> {
        if self.by_kernel {
            let limits = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            let mounts = match self.mount {
                Some(_) => ResolveFlags::NO_XDEV,
                None => ResolveFlags::empty(),
            };
            for _ in 0..TRIES {
                match rustix::fs::openat2(&self.dir, path, flags, mode, limits | mounts) {
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(Errno::XDEV) => return Err(self.why(path, flags, limits)),
                    found => return Ok(found?),
                }
            }
        }
        Walk::new(self.dir.as_fd(), self.mount, path).open(flags, mode)
    }

    /// What the kernel meant by EXDEV: if the path can be resolved once mounts are open, a mount.
    fn why(&self, path: &str, flags: OFlags, limits: ResolveFlags) -> Fault {
        if self.mount.is_none() {
            return Fault::OUTSIDE;
        }
        let flags = HANDLE | (flags & OFlags::NOFOLLOW);
        for _ in 0..TRIES {
            match rustix::fs::openat2(&self.dir, path, flags, Mode::empty(), limits) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::XDEV) => return Fault::OUTSIDE,
                _ => return Fault::MOUNT,
            }
        }
        Fault::OUTSIDE
    }
}

/// Whether the kernel has `openat2` and lets us use it.
fn has_openat2(dir: &OwnedFd) -> rustix::io::Result<bool> {
    let flags = HANDLE | OFlags::DIRECTORY;
    match again(|| rustix::fs::openat2(dir, ".", flags, Mode::empty(), ResolveFlags::BENEATH)) {
        Ok(_) => Ok(true),
        // A sandbox that does not know the call may refuse it by either number.
        Err(Errno::NOSYS | Errno::PERM) => Ok(false),
        Err(error) => Err(error),
    }
}

/// `/proc/self/fd`, if that is what it says.
fn descriptors() -> Option<OwnedFd> {
    let flags = HANDLE | OFlags::DIRECTORY;
    let dir = rustix::fs::openat(CWD, "/proc/self/fd", flags, Mode::empty()).ok()?;
    let facts = rustix::fs::fstatfs(&dir).ok()?;
    // The width of the field differs from machine to machine.
    #[allow(clippy::unnecessary_cast)]
    let kind = facts.f_type as i64;
    (kind == PROC_SUPER_MAGIC).then_some(dir)
}

/// `path` as a path relative to the root; `/` is the root itself.
fn below(path: &str) -> Result<&str, Fault> {
    if path.is_empty() {
        return Err(Errno::NOENT.into());
    }
    if path.len() >= PATH_MAX {
        return Err(Errno::NAMETOOLONG.into());
    }
    if path.contains('\0') {
        return Err(Errno::INVAL.into());
    }
    match path.trim_start_matches('/') {
        "" => Ok("."),
        path => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::timestamps;
    use super::*;

    #[test]
    fn without_proc_modes_and_times_are_set_all_the_same() {
        let dir = std::env::temp_dir().join(format!("trunkline-root-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("sub")).unwrap();
        std::fs::write(dir.join("file"), "").unwrap();
        for resolver in [Resolver::Kernel, Resolver::Walk] {
            let mut root = Root::new(&dir, resolver, false).unwrap();
            assert!(root.descriptors.is_some(), "this machine has /proc");
            for mode in [0o640, 0o600] {
                for path in ["file", "sub"] {
                    root.chmod(path, Mode::from_raw_mode(mode)).unwrap();
                    root.chtimes(path, &timestamps(3, i64::from(mode))).unwrap();
                    let found = rustix::fs::fstat(root.look(path, true).unwrap()).unwrap();
                    assert_eq!((found.st_mode & 0o777, found.st_mtime_nsec), (mode, mode.into()));
                }
                root.descriptors = None;
            }
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn only_proc_itself_gives_descriptors() {
        let facts = rustix::fs::statfs("/proc/self/fd").unwrap();
        #[allow(clippy::unnecessary_cast)]
        let kind = facts.f_type as i64;
        assert_eq!(kind, PROC_SUPER_MAGIC);
    }
}
