//! One file from the agent to here.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::FileType;
use trunkline_core::agentproto::{Stat, mode_bits};

use super::context::{Context, Handle};
use super::fetch::{fetch, store};
use super::local::{self, Facts};
use super::names;
use super::options::TransferError;
use super::read::{Content, same};
use super::window::CHUNK;
use crate::Runtime;

/// Files below this are read in one answer and written in one go.
const SMALL: u64 = 256 << 10;

/// What is asked for of a file whose size says nothing, as in `/proc`.
const UNKNOWN: usize = 128 << 10;

/// How much of what is there already is compared before it is gone on with.
pub(super) const COMPARED: u64 = 1 << 20;

/// What a mode says a file is, if it is nothing that can be transferred.
pub(super) fn special(mode: u32) -> Option<&'static str> {
    let kinds = [
        (1 << 25, "it is a named pipe"),
        (1 << 24, "it is a socket"),
        (1 << 26, "it is a device"),
        (1 << 19, "it is no regular file"),
    ];
    kinds.into_iter().find(|(bit, _)| mode & bit != 0).map(|(_, what)| what)
}

pub(super) const fn is_link(mode: u32) -> bool {
    mode & 1 << 27 != 0
}

/// A file of the agent that is to be brought here.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) mtime: i64,
    pub(super) atime: i64,
}

impl Source {
    pub(super) fn new(path: String, stat: &Stat) -> Self {
        Self {
            path,
            size: u64::try_from(stat.size).unwrap_or(0),
            mode: mode_bits(stat.mode),
            mtime: stat.mtime,
            atime: stat.atime,
        }
    }

    /// Whether attributes that were read later are those of the same content.
    pub(super) fn is_still(&self, stat: &Stat) -> bool {
        u64::try_from(stat.size) == Ok(self.size) && stat.mtime == self.mtime
    }

    fn is(&self, facts: &Facts) -> bool {
        facts.kind == FileType::RegularFile && (facts.size, facts.mtime) == (self.size, self.mtime)
    }
}

/// Where a file goes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) dir: Arc<OwnedFd>,
    pub(super) name: OsString,
    /// Its path, for people.
    pub(super) shown: String,
}

/// Everything about a file that is written.
struct Getting<'a, 'o, R: Runtime> {
    cx: &'a Context<'o, R>,
    handle: Handle<'a, R>,
    source: Source,
    place: &'a Place,
    /// The name it has until it is whole.
    part: OsString,
}

/// Brings one file here, under its final name when it is whole.
///
/// `fresh` says that the attributes were read just now; they are asked for again otherwise, where a
/// change would matter.
pub(super) async fn get_file<R: Runtime>(
    cx: &Context<'_, R>,
    handle: Handle<'_, R>,
    source: Source,
    place: &Place,
    fresh: bool,
) -> Result<(), TransferError> {
    if cx.options.resume && is_there(cx, &handle, &source, place).await? {
        cx.count(|summary| summary.unchanged += 1);
        cx.progress(|progress| {
            progress.files += 1;
            progress.bytes += source.size;
        });
        return Ok(());
    }
    let name = place.name.to_string_lossy();
    let mut get = Getting { cx, handle, part: OsString::new(), source, place };
    get.part = names::part(&name, get.source.size, get.source.mtime).into();
    if get.source.size < SMALL && !cx.options.verify {
        let (content, _permit) = get.read_small().await?;
        if content.ended {
            get.store_small(content).await?;
            cx.progress(|progress| progress.files += 1);
            cx.count(|summary| summary.files += 1);
            return Ok(());
        }
    }
    if !fresh || get.source.size < SMALL {
        let stat = get.handle.stat().await?;
        if let Some(what) = special(stat.mode) {
            return Err(TransferError::said(&get.source.path, what));
        }
        get.source = Source::new(get.source.path, &stat);
        get.part = names::part(&name, get.source.size, get.source.mtime).into();
    }
    get.large().await?;
    cx.progress(|progress| progress.files += 1);
    cx.count(|summary| summary.files += 1);
    Ok(())
}

/// Whether the file is here already: with the size and time of its source, and its bytes as well if
/// that is to be verified.
async fn is_there<R: Runtime>(
    cx: &Context<'_, R>,
    handle: &Handle<'_, R>,
    source: &Source,
    place: &Place,
) -> Result<bool, TransferError> {
    let (dir, name) = (Arc::clone(&place.dir), place.name.clone());
    let (source, verify) = (source.clone(), cx.options.verify);
    let size = source.size;
    let found = cx.local(&place.shown, move || {
        let facts = match Facts::of_entry(&dir, &name, false) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((false, None)),
            Err(error) => return Err(error),
        };
        if !source.is(&facts) {
            return Ok((false, None));
        }
        let opened = if verify { Some(local::open_file(&dir, &name, false)?.0) } else { None };
        Ok((true, opened))
    });
    match found.await? {
        (there, None) => Ok(there),
        (_, Some(fd)) => same(cx, handle, &Arc::new(fd), &place.shown, (0, size)).await,
    }
}

impl<R: Runtime> Getting<'_, '_, R> {
    async fn read_small(&self) -> Result<(Content, super::room::Permit), TransferError> {
        let most = match usize::try_from(self.source.size) {
            Ok(size @ 1..) => (size + 1).next_multiple_of(4096),
            _ => UNKNOWN,
        };
        let permit = self.cx.room.take(most).await;
        // An answer that is shorter than asked for tells that the file has ended.
        Ok((self.handle.read(0, most).await?, permit))
    }

    /// Writes a file that was read in one answer: what it was at that moment.
    async fn store_small(&self, content: Content) -> Result<(), TransferError> {
        let bytes = content.len as u64;
        let (place, part) = (self.place.clone(), self.part.clone());
        let (mode, times) = (self.source.mode, self.times());
        let sparse = self.cx.options.sparse;
        let preserve = self.cx.options.preserve;
        let store = move || {
            let kept = if preserve { None } else { local::mode_there(&place.dir, &place.name) };
            let secret = local::writable(mode & kept.unwrap_or(0o777), false);
            let fd = local::new_file(&place.dir, &part, secret)?;
            let write = || {
                store(&fd, content.payloads, 0, sparse)?;
                if sparse {
                    rustix::fs::ftruncate(&fd, bytes)?;
                }
                local::finish(&fd, mode, times, false)?;
                local::keep_mode(&fd, kept)?;
                local::publish(&place.dir, &part, &place.name)
            };
            let written = write();
            if written.is_err() {
                local::remove(&place.dir, &part);
            }
            written
        };
        self.cx.local(&self.place.shown, store).await?;
        self.cx.progress(|progress| progress.bytes += bytes);
        self.cx.count(|summary| summary.bytes += bytes);
        Ok(())
    }

    fn times(&self) -> Option<(i64, i64)> {
        self.cx.options.preserve.then_some((self.source.atime, self.source.mtime))
    }

    async fn large(&self) -> Result<(), TransferError> {
        let opened = self.open_part().await?;
        let (fd, there) = (Arc::new(opened.0), opened.1);
        let mut result = self.fill(&fd, there).await;
        if result.is_ok() {
            result = self.publish(&fd).await;
        }
        let Err(error) = result else { return Ok(()) };
        let (dir, part) = (Arc::clone(&self.place.dir), self.part.clone());
        let worth = error.keeps_part();
        let kept = self.cx.local(&self.place.shown, move || {
            let keep = worth && Facts::of_open(&fd).is_ok_and(|facts| facts.size > 0);
            if !keep {
                local::remove(&dir, &part);
            }
            Ok(keep)
        });
        match kept.await {
            Ok(true) => {
                let shown = self.place.shown.as_str();
                let dir = shown.rfind('/').map_or("", |slash| shown.get(..=slash).unwrap_or(""));
                Err(error.with_part(format!("{dir}{}", self.part.to_string_lossy())))
            }
            _ => Err(error),
        }
    }

    /// The file to write into, and how much of it is there.
    async fn open_part(&self) -> Result<(OwnedFd, u64), TransferError> {
        let (place, part) = (self.place.clone(), self.part.clone());
        let (mode, size) = (self.source.mode, self.source.size);
        let resume = self.cx.options.resume;
        let open = move || {
            let there = Facts::of_entry(&place.dir, &place.name, false);
            if there.is_ok_and(|facts| facts.kind == FileType::Directory) {
                return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
            }
            // Nobody is to read in the part what they may not read in the file there.
            let most = local::mode_there(&place.dir, &place.name).unwrap_or(0o777);
            let mode = local::writable(mode & most, false);
            if resume
                && let Some((fd, facts)) = local::old_file(&place.dir, &part)?
                && facts.size <= size
            {
                return Ok((fd, facts.size));
            }
            Ok((local::new_file(&place.dir, &part, mode)?, 0))
        };
        self.cx.local(&self.place.shown, open).await
    }

    async fn fill(&self, fd: &Arc<OwnedFd>, there: u64) -> Result<(), TransferError> {
        let (cx, shown, size) = (self.cx, self.place.shown.as_str(), self.source.size);
        if size == 0 {
            return self.stream(fd).await;
        }
        let mut start = there;
        if there > 0 {
            let from = if cx.options.verify { 0 } else { there.saturating_sub(COMPARED) };
            if !same(cx, &self.handle, fd, shown, (from, there)).await? {
                start = 0;
                let fd = Arc::clone(fd);
                cx.local(shown, move || Ok(rustix::fs::ftruncate(&fd, 0)?)).await?;
            }
            cx.progress(|progress| progress.bytes += start);
        }
        fetch(cx, &self.handle, &self.source, (fd, shown), start).await?;
        if cx.options.sparse {
            let fd = Arc::clone(fd);
            cx.local(shown, move || Ok(rustix::fs::ftruncate(&fd, size)?)).await?;
        }
        if cx.options.verify && !same(cx, &self.handle, fd, shown, (0, size)).await? {
            return Err(TransferError::said(shown, "it differs from its source"));
        }
        Ok(())
    }

    /// Reads a file whose size says nothing to its end, piece after piece.
    async fn stream(&self, fd: &Arc<OwnedFd>) -> Result<(), TransferError> {
        let (cx, shown, mut at) = (self.cx, self.place.shown.as_str(), 0);
        loop {
            let permit = cx.room.take(CHUNK).await;
            let content = self.handle.read(at, CHUNK).await?;
            let (len, ended) = (content.len as u64, content.ended);
            let fd = Arc::clone(fd);
            let write = move || local::write_at(&fd, &content.payloads, at);
            cx.local(shown, write).await?;
            drop(permit);
            at += len;
            cx.progress(|progress| progress.bytes += len);
            cx.count(|summary| summary.bytes += len);
            if ended {
                return Ok(());
            }
        }
    }

    /// Gives the whole file its mode, its times and its name.
    async fn publish(&self, fd: &Arc<OwnedFd>) -> Result<(), TransferError> {
        let (place, part, fd) = (self.place.clone(), self.part.clone(), Arc::clone(fd));
        let (mode, times, size) = (self.source.mode, self.times(), self.source.size);
        let preserve = self.cx.options.preserve;
        let publish = move || {
            let (mine, named) = (Facts::of_open(&fd)?, Facts::of_entry(&place.dir, &part, false)?);
            if mine.inode != named.inode {
                return Err(io::Error::other("another transfer of the same file is under way"));
            }
            if size > 0 && mine.size != size {
                return Err(io::Error::other("it has another size than its source"));
            }
            local::finish(&fd, mode, times, false)?;
            if !preserve {
                local::keep_mode(&fd, local::mode_there(&place.dir, &place.name))?;
            }
            local::publish(&place.dir, &part, &place.name)
        };
        self.cx.local(&self.place.shown, publish).await
    }
}

/// Writes a link that leads where the agent's does.
pub(super) fn make_link(dir: &OwnedFd, name: &OsStr, target: &str) -> io::Result<()> {
    match rustix::fs::symlinkat(target, dir, name) {
        Err(rustix::io::Errno::EXIST) => {}
        made => return Ok(made?),
    }
    // In the place of what is there, in one step.
    let part: OsString = names::part(&name.to_string_lossy(), target.len() as u64, 0).into();
    local::remove(dir, &part);
    rustix::fs::symlinkat(target, dir, &part)?;
    local::publish(dir, &part, name).inspect_err(|_| local::remove(dir, &part))
}
