//! Local files, by handles of their directories: no name is ever looked up through a link.
//!
//! Everything here blocks and runs on a worker.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::{Errno, retry_on_intr};
use trunkline_core::Payload;

/// What is known of a local file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) kind: FileType,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) mtime: i64,
    pub(super) atime: i64,
    pub(super) inode: (u64, u64),
}

impl Facts {
    pub(super) fn of(stat: &rustix::fs::Stat) -> Self {
        let time = |seconds: i64, nanos: i64| seconds.saturating_mul(BILLION).saturating_add(nanos);
        #[allow(clippy::unnecessary_cast)] // The types differ from system to system.
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: stat.st_mode as u32 & 0o7777,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: time(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            atime: time(stat.st_atime as i64, stat.st_atime_nsec as i64),
            inode: (stat.st_dev as u64, stat.st_ino as u64),
        }
    }

    pub(super) fn of_open(fd: impl AsFd) -> io::Result<Self> {
        Ok(Self::of(&rustix::fs::fstat(fd)?))
    }

    /// Of a path of the user's own.
    pub(super) fn of_path(path: &OsStr) -> io::Result<Self> {
        Ok(Self::of(&rustix::fs::stat(path)?))
    }

    /// Of an entry of a directory; a link is followed, or not.
    pub(super) fn of_entry(dir: impl AsFd, name: &OsStr, follow: bool) -> io::Result<Self> {
        let flags = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        Ok(Self::of(&rustix::fs::statat(dir, name, flags)?))
    }
}

const BILLION: i64 = 1_000_000_000;

/// Opens a directory by a path of the user's own.
pub(super) fn open_root(path: &OsStr) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { OsStr::new(".") } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?)
}

/// Opens an entry that is a directory, and no link.
pub(super) fn open_dir(dir: impl AsFd, name: &OsStr, follow: bool) -> io::Result<OwnedFd> {
    let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, !follow);
    Ok(retry_on_intr(|| rustix::fs::openat(&dir, name, flags, Mode::empty()))?)
}

/// Makes a directory, or takes the one that is there; says whether it was made.
pub(super) fn make_dir(
    dir: impl AsFd,
    name: &OsStr,
    mode: u32,
    follow: bool,
) -> io::Result<(OwnedFd, bool)> {
    let made = match rustix::fs::mkdirat(&dir, name, bits(mode)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error.into()),
    };
    match open_dir(&dir, name, follow && !made) {
        Err(error) if !made && is_no_dir(&error) => {
            Err(io::Error::new(error.kind(), "there is something else in place of the directory"))
        }
        opened => opened.map(|fd| (fd, made)),
    }
}

/// What opening something else as a directory, without following links, fails with.
fn is_no_dir(error: &io::Error) -> bool {
    let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    is(Errno::NOTDIR) || is(Errno::LOOP)
}

/// Opens an entry for reading that is to be a regular file. One that would block is not waited for.
pub(super) fn open_file(
    dir: impl AsFd,
    name: &OsStr,
    follow: bool,
) -> io::Result<(OwnedFd, Facts)> {
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, !follow);
    let fd = retry_on_intr(|| rustix::fs::openat(&dir, name, flags, Mode::empty()))?;
    let facts = Facts::of_open(&fd)?;
    Ok((fd, facts))
}

/// Opens a new file for what comes; what is left of an earlier one goes.
pub(super) fn new_file(dir: impl AsFd, name: &OsStr, mode: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || retry_on_intr(|| rustix::fs::openat(&dir, name, flags, bits(mode)));
    match open() {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(&dir, name, AtFlags::empty())?;
            Ok(open()?)
        }
        opened => Ok(opened?),
    }
}

/// Opens what is left of an earlier file for going on; `None` when there is nothing of use.
pub(super) fn old_file(dir: impl AsFd, name: &OsStr) -> io::Result<Option<(OwnedFd, Facts)>> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match retry_on_intr(|| rustix::fs::openat(&dir, name, flags, Mode::empty())) {
        Ok(fd) => {
            let facts = Facts::of_open(&fd)?;
            Ok((facts.kind == FileType::RegularFile).then_some((fd, facts)))
        }
        // One that is read-only already was whole: it is cheaper to begin anew than to tell.
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::ACCESS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The mode to make something with that must be written or filled first.
pub(super) const fn writable(mode: u32, dir: bool) -> u32 {
    mode & 0o777 | if dir { 0o700 } else { 0o600 }
}

fn bits(mode: u32) -> Mode {
    Mode::from_raw_mode((mode & 0o7777) as rustix::fs::RawMode)
}

/// The mode of the regular file that something takes the place of, if there is one.
pub(super) fn mode_there(dir: impl AsFd, name: &OsStr) -> Option<u32> {
    let there = Facts::of_entry(dir, name, false).ok()?;
    (there.kind == FileType::RegularFile).then_some(there.mode & 0o777)
}

/// Gives a file the mode of the one whose place it takes: what was secret stays secret.
pub(super) fn keep_mode(fd: impl AsFd, mode: Option<u32>) -> io::Result<()> {
    match mode {
        Some(mode) => Ok(rustix::fs::fchmod(fd, bits(mode))?),
        None => Ok(()),
    }
}

/// Gives a file or a directory its mode and times in the end.
///
/// Without `preserve`, only what [`writable`] added is taken back.
pub(super) fn finish(
    fd: impl AsFd,
    mode: u32,
    times: Option<(i64, i64)>,
    dir: bool,
) -> io::Result<()> {
    if times.is_some() {
        // Bits that would mean another owner are not for what belongs to this one.
        rustix::fs::fchmod(&fd, bits(mode & if dir { 0o1777 } else { 0o777 }))?;
    } else if writable(mode, dir) != mode & 0o777 {
        let now = Facts::of_open(&fd)?.mode;
        rustix::fs::fchmod(&fd, bits(now & mode))?;
    }
    if let Some((atime, mtime)) = times {
        let times = Timestamps { last_access: timespec(atime), last_modification: timespec(mtime) };
        rustix::fs::futimens(&fd, &times)?;
    }
    Ok(())
}

fn timespec(nanos: i64) -> Timespec {
    Timespec { tv_sec: nanos.div_euclid(BILLION), tv_nsec: nanos.rem_euclid(BILLION) as _ }
}

/// Moves a whole file to its final name. What is there is replaced, unless it is a directory.
pub(super) fn publish(dir: impl AsFd, from: &OsStr, to: &OsStr) -> io::Result<()> {
    rustix::fs::renameat(&dir, from, &dir, to)?;
    Ok(())
}

pub(super) fn remove(dir: impl AsFd, name: &OsStr) {
    let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
}

/// Reads so many bytes into a buffer, or up to the end of the file; says how many.
pub(super) fn read_at(
    fd: impl AsFd,
    buffer: &mut Vec<u8>,
    most: usize,
    at: u64,
) -> io::Result<usize> {
    buffer.clear();
    if buffer.capacity() < most {
        buffer.reserve_exact(most);
    }
    while buffer.len() < most {
        let (have, place) = (buffer.len(), at + buffer.len() as u64);
        let count = if buffer.capacity() == most {
            retry_on_intr(|| rustix::io::pread(&fd, spare_capacity(buffer), place))?
        } else {
            // The spare room is more than what may be read.
            buffer.resize(most, 0);
            let into = buffer.get_mut(have..).unwrap_or_default();
            let read = retry_on_intr(|| rustix::io::pread(&fd, &mut *into, place));
            buffer.truncate(have + read.unwrap_or(0));
            read?
        };
        if count == 0 {
            break;
        }
    }
    Ok(buffer.len())
}

/// Writes the pieces of a payload as they are.
pub(super) fn write_at(fd: impl AsFd, payloads: &[Payload], mut at: u64) -> io::Result<()> {
    let pieces: Vec<&[u8]> = payloads.iter().flat_map(Payload::pieces).map(|p| &**p).collect();
    let mut slices: Vec<IoSlice<'_>> = pieces.into_iter().map(IoSlice::new).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        // The kernel takes so many at once.
        let now = rest.get(..rest.len().min(512)).unwrap_or_default();
        let count = retry_on_intr(|| rustix::io::pwritev(&fd, now, at))?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        at += count as u64;
        IoSlice::advance_slices(&mut rest, count);
    }
    Ok(())
}

/// The blocks that become holes.
const BLOCK: usize = 4 << 10;

/// Writes bytes beyond the end of a file, leaving whole blocks of zeros out.
pub(super) fn write_sparse(fd: impl AsFd, bytes: &[u8], at: u64) -> io::Result<()> {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    let first = BLOCK - usize::try_from(at % BLOCK as u64).unwrap_or(0);
    let (mut block, mut end, mut run) = (0, first.min(bytes.len()), None);
    while block < bytes.len() {
        let content = bytes.get(block..end).unwrap_or_default();
        if content == &ZEROS[..] {
            if let Some(from) = run.take() {
                write_all_at(&fd, bytes.get(from..block).unwrap_or_default(), at + from as u64)?;
            }
        } else {
            run.get_or_insert(block);
        }
        (block, end) = (end, (end + BLOCK).min(bytes.len()));
    }
    match run {
        Some(from) => write_all_at(&fd, bytes.get(from..).unwrap_or_default(), at + from as u64),
        None => Ok(()),
    }
}

fn write_all_at(fd: impl AsFd, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = retry_on_intr(|| rustix::io::pwrite(&fd, bytes, at))?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(count..).unwrap_or_default();
        at += count as u64;
    }
    Ok(())
}
