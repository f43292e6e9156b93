//! Operations by path that change something, or read a single name.

use std::env;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use trunkline_core::agentproto::mode_bits;

use super::FileSystem;
use super::attributes::{kind, timestamps};
use super::fault::{Failure, Fault};
use super::tree::again;

/// The number that leaves an owner or a group alone.
const LEAVE: u32 = u32::MAX;

/// What is longer is no path anywhere; asking for each of its parents would take for ever.
const LONGEST: usize = 4096;

impl FileSystem {
    pub(super) fn mkdir(&self, path: &str, mode: u32) -> Result<(), Fault> {
        self.may_change()?;
        let mode = self.mode(mode_bits(mode))?;
        let place = self.tree.place(path)?;
        Ok(again(|| rustix::fs::mkdirat(&place.dir, &*place.name, mode))?)
    }

    /// Makes a directory and those above it that are missing.
    pub(super) fn mkdir_all(&self, path: &str, mode: u32) -> Result<(), Failure> {
        let at = |path| move |fault: Fault| fault.at("mkdir", path);
        if path.len() >= LONGEST {
            return Err(at(path)(Errno::NAMETOOLONG.into()));
        }
        if path.contains('\0') {
            return Err(at(path)(Errno::INVAL.into()));
        }
        let mut missing = Vec::new();
        let mut next = path;
        loop {
            match self.tree.stat(next, true) {
                Ok(found) if kind(&found) == FileType::Directory => break,
                Ok(_) => return Err(at(next)(Errno::NOTDIR.into())),
                Err(fault) if fault.is_refusal() => return Err(at(next)(fault)),
                Err(_) => missing.push(next),
            }
            // Up to the last slash that is not at the end.
            next = next.trim_end_matches('/');
            next = next.rfind('/').and_then(|slash| next.get(..slash)).unwrap_or_default();
            if next.is_empty() {
                break;
            }
        }
        for path in missing.into_iter().rev() {
            if let Err(fault) = self.mkdir(path, mode) {
                // Somebody else made it, or it is another name of one, such as "x/.".
                let found = self.tree.stat(path, false);
                if !found.is_ok_and(|found| kind(&found) == FileType::Directory) {
                    return Err(at(path)(fault));
                }
            }
        }
        Ok(())
    }

    /// Removes a file, a link or an empty directory.
    pub(super) fn remove(&self, path: &str) -> Result<(), Fault> {
        self.may_change()?;
        let place = self.tree.place(path)?;
        let remove = |flags| again(|| rustix::fs::unlinkat(&place.dir, &*place.name, flags));
        let Err(as_file) = remove(AtFlags::empty()) else { return Ok(()) };
        match remove(AtFlags::REMOVEDIR) {
            Ok(()) => Ok(()),
            Err(Errno::NOTDIR) => Err(as_file.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Renames; what is in the way is replaced, unless it is a directory.
    pub(super) fn rename(&self, old: &str, new: &str) -> Result<(), Fault> {
        self.may_change()?;
        match self.tree.stat(new, false) {
            Ok(there) if kind(&there) == FileType::Directory => {
                let moved = self.tree.stat(old, false)?;
                // Another spelling of the same directory is a rename a file system may know.
                if new == old || (moved.st_dev, moved.st_ino) != (there.st_dev, there.st_ino) {
                    return Err(Errno::EXIST.into());
                }
            }
            Err(fault) if fault.is_refusal() => return Err(fault),
            _ => {}
        }
        let [old, new] = [self.tree.place(old)?, self.tree.place(new)?];
        Ok(again(|| rustix::fs::renameat(&old.dir, &*old.name, &new.dir, &*new.name))?)
    }

    pub(super) fn chmod(&self, path: &str, mode: u32) -> Result<(), Fault> {
        self.may_change()?;
        self.tree.chmod(path, self.mode(mode_bits(mode))?)
    }

    pub(super) fn truncate(&self, path: &str, size: i64) -> Result<(), Fault> {
        self.may_change()?;
        let size = u64::try_from(size).map_err(|_| Errno::INVAL)?;
        self.may_grow(size)?;
        let found = self.tree.stat(path, true)?;
        match kind(&found) {
            FileType::RegularFile => self.may_open(&found, true)?,
            FileType::Directory => return Err(Errno::ISDIR.into()),
            // truncate(2) refuses them too; opening one could do something to it.
            _ => return Err(Errno::INVAL.into()),
        }
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = self.tree.open(path, flags, Mode::empty())?;
        let raw = rustix::fs::fstat(&file)?;
        self.may_open(&raw, true)?;
        self.cut(&file, raw.st_ino, size)
    }

    /// Sets owner and group.
    pub(super) fn chown(&self, path: &str, uid: u32, gid: u32) -> Result<(), Fault> {
        self.may_change()?;
        let owner = (uid != LEAVE).then(|| Uid::from_raw(uid));
        let group = (gid != LEAVE).then(|| Gid::from_raw(gid));
        if (owner.is_some() || group.is_some()) && !self.policy.allows_set_id() {
            return Err(Fault::told(Errno::PERM, "owners are not changed here"));
        }
        self.tree.chown(path, owner, group)
    }

    pub(super) fn chtimes(&self, path: &str, atime: i64, mtime: i64) -> Result<(), Fault> {
        self.may_change()?;
        self.tree.chtimes(path, &timestamps(atime, mtime))
    }

    /// The target of a link, as stored.
    pub(super) fn readlink(&self, path: &str) -> Result<String, Fault> {
        self.tree.readlink(path)?.into_string().map_err(|error| {
            let shown = error.into_cstring().to_bytes().escape_ascii().to_string();
            Fault::say(Errno::ILSEQ, format!("its target \"{shown}\" is not UTF-8"))
        })
    }

    pub(super) fn symlink(&self, target: &str, link: &str) -> Result<(), Fault> {
        self.may_change()?;
        let place = self.tree.place(link)?;
        Ok(again(|| rustix::fs::symlinkat(target, &place.dir, &*place.name))?)
    }

    pub(super) fn link(&self, old: &str, new: &str) -> Result<(), Fault> {
        self.may_change()?;
        if !self.policy.allows_hard_links() {
            return Err(Fault::told(Errno::PERM, "hard links are not made here"));
        }
        let [from, to] = [self.tree.place(old)?, self.tree.place(new)?];
        if self.tree.is_confined()
            && (from.name.ends_with('/') || [".", ".."].contains(&&*from.name))
        {
            // linkat(2) would follow a link with a slash behind it; only a directory can have one.
            let found = self.tree.stat(old, true)?;
            if kind(&found) != FileType::Directory {
                return Err(Errno::NOTDIR.into());
            }
            return Err(Errno::PERM.into());
        }
        let none = AtFlags::empty();
        Ok(again(|| rustix::fs::linkat(&from.dir, &*from.name, &to.dir, &*to.name, none))?)
    }

    /// The working directory: `/` below a root, else the machine's.
    pub(super) fn getwd(&self) -> Result<String, Fault> {
        if self.tree.is_confined() {
            return Ok("/".to_owned());
        }
        let path = match pwd() {
            Some(path) => path,
            None => env::current_dir()
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?,
        };
        path.into_os_string().into_string().map_err(|path| {
            let shown = path.as_encoded_bytes().escape_ascii().to_string();
            Fault::say(Errno::ILSEQ, format!("\"{shown}\" is not UTF-8"))
        })
    }
}

/// `$PWD`, if it is a name of the working directory.
fn pwd() -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os("PWD")?);
    let same = |path: &Path| rustix::fs::stat(path).ok().map(|found| (found.st_dev, found.st_ino));
    (path.is_absolute() && same(&path)? == same(Path::new("."))?).then_some(path)
}
