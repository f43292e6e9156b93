//! Resolving a path step by step, where the kernel cannot be told to stay below a directory.
//!
//! Each directory on the way is held open. A name is looked up in the last one without following
//! it; a link is read and its names are put before those that are left; `..` goes back to the
//! handle before, so that it does not matter where a directory has been moved to meanwhile.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::attributes::kind;
use super::fault::Fault;
use super::tree::again;

/// The most links of one path, as in the kernel.
const LINKS: usize = 40;

/// The most bytes of names that links may leave to be looked up.
const PENDING: usize = 64 << 10;

/// How often a last name is looked up anew when a link takes its place meanwhile.
const TRIES: usize = 64;

/// A handle of whatever has the name, links included.
const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// One path on its way.
pub(super) struct Walk<'a> {
    root: BorrowedFd<'a>,
    mount: Option<Mount>,
    path: &'a str,
    /// The directories below the root that led here.
    dirs: Vec<OwnedFd>,
    /// The names that are left, the next one last.
    left: Vec<Vec<u8>>,
    links: usize,
}

/// Where a path ends.
enum End {
    /// At a directory that the path came back to, or at the root.
    Directory,
    /// At a name in the last directory; with a handle if there is something.
    Name(Vec<u8>, Option<OwnedFd>),
}

impl<'a> Walk<'a> {
    /// A walk along `path`, which is relative, from `root`. With a `mount` it stays in that.
    pub(super) fn new(root: BorrowedFd<'a>, mount: Option<Mount>, path: &'a str) -> Self {
        Self { root, mount, path, dirs: Vec::new(), left: Vec::new(), links: 0 }
    }

    /// Opens what the path leads to.
    pub(super) fn open(&mut self, flags: OFlags, mode: Mode) -> Result<OwnedFd, Fault> {
        let follow =
            !flags.contains(OFlags::NOFOLLOW) && !flags.contains(OFlags::CREATE | OFlags::EXCL);
        if flags.contains(OFlags::CREATE) && self.path.ends_with('/') {
            return Err(Errno::ISDIR.into());
        }
        for _ in 0..TRIES {
            let (name, found) = match self.end(follow)? {
                End::Directory => (b".".to_vec(), None),
                End::Name(name, found) => (name, found),
            };
            if let (true, false, Some(found)) =
                (flags.contains(OFlags::PATH), flags.contains(OFlags::DIRECTORY), found)
            {
                return Ok(found);
            }
            let opened =
                again(|| rustix::fs::openat(self.dir(), &*name, flags | OFlags::NOFOLLOW, mode));
            match opened {
                // A link came there after the look, or it was meant not to be followed.
                Err(Errno::LOOP) if follow => {}
                opened => return Ok(opened?),
            }
        }
        Err(Errno::LOOP.into())
    }

    /// Walks from the start to the last name.
    fn end(&mut self, follow: bool) -> Result<End, Fault> {
        self.dirs.clear();
        self.left.clear();
        self.links = 0;
        self.push(self.path.as_bytes())?;
        while let Some(name) = self.left.pop() {
            match &*name {
                b"." => continue,
                b".." => {
                    self.dirs.pop().ok_or(Fault::OUTSIDE)?;
                    continue;
                }
                _ => {}
            }
            let last = self.left.is_empty();
            let file = match again(|| rustix::fs::openat(self.dir(), &*name, HANDLE, Mode::empty()))
            {
                Err(Errno::NOENT) if last => return Ok(End::Name(name, None)),
                file => file?,
            };
            if let Some(mount) = self.mount
                && Mount::of(file.as_fd())? != mount
            {
                return Err(Fault::MOUNT);
            }
            match kind(&rustix::fs::fstat(&file)?) {
                FileType::Symlink if !last || follow => self.link(&file)?,
                FileType::Directory if !last => self.dirs.push(file),
                _ if last => return Ok(End::Name(name, Some(file))),
                _ => return Err(Errno::NOTDIR.into()),
            }
        }
        Ok(End::Directory)
    }

    /// Goes where a link leads.
    fn link(&mut self, link: &OwnedFd) -> Result<(), Fault> {
        self.links += 1;
        if self.links > LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = again(|| rustix::fs::readlinkat(link, "", Vec::new()))?.into_bytes();
        if target.first() == Some(&b'/') {
            return Err(Fault::OUTSIDE);
        }
        self.push(&target)
    }

    /// Puts the names of `path` before those that are left.
    fn push(&mut self, path: &[u8]) -> Result<(), Fault> {
        // What ends with a slash is a directory, and its own `.` therefore.
        if path.ends_with(b"/") {
            self.left.push(b".".to_vec());
        }
        let names = path.rsplit(|byte| *byte == b'/').filter(|name| !name.is_empty());
        self.left.extend(names.map(<[u8]>::to_vec));
        if self.left.iter().map(Vec::len).sum::<usize>() > PENDING {
            return Err(Errno::NAMETOOLONG.into());
        }
        Ok(())
    }

    /// The directory it stands in.
    fn dir(&self) -> BorrowedFd<'_> {
        self.dirs.last().map_or(self.root, |dir| dir.as_fd())
    }
}

/// Which mount a file is in.
///
/// Not the device: one file system can be mounted in many places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mount(u64);

impl Mount {
    /// The mount of `file`, from `statx` (Linux 5.8), else from `/proc`.
    pub(super) fn of(file: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let asked = StatxFlags::MNT_ID;
        match rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, asked) {
            Ok(facts) if facts.stx_mask & asked.bits() != 0 => Ok(Self(facts.stx_mnt_id)),
            _ => Self::from_proc(file),
        }
    }

    /// The mount of what `name` means in `dir`, links not followed.
    pub(super) fn of_name(dir: BorrowedFd<'_>, name: &str) -> rustix::io::Result<Self> {
        let asked = StatxFlags::MNT_ID;
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        match rustix::fs::statx(dir, name, flags, asked) {
            Ok(facts) if facts.stx_mask & asked.bits() != 0 => Ok(Self(facts.stx_mnt_id)),
            _ => {
                let file = again(|| rustix::fs::openat(dir, name, HANDLE, Mode::empty()))?;
                Self::from_proc(file.as_fd())
            }
        }
    }

    fn from_proc(file: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        use std::os::fd::AsRawFd as _;
        let path = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
        let text = std::fs::read_to_string(path).map_err(|_| Errno::NOSYS)?;
        text.lines()
            .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
            .map(Self)
            .ok_or(Errno::NOSYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_tell_mounts_apart_agree() {
        for path in ["/", "/proc", "/proc/version", "/dev", "/tmp"] {
            let file = rustix::fs::open(path, OFlags::PATH, Mode::empty()).unwrap();
            let mount = Mount::of(file.as_fd()).unwrap();
            assert_eq!(Mount::from_proc(file.as_fd()).unwrap(), mount, "{path}");
            assert_eq!(Mount::of_name(rustix::fs::CWD, path).unwrap(), mount, "{path}");
        }
        let [root, proc] =
            ["/", "/proc"].map(|path| Mount::of_name(rustix::fs::CWD, path).unwrap());
        assert_ne!(root, proc);
    }
}
