//! A tree from here to the agent.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FileType;
use trunkline_core::agentproto::{FileOp, FileRequest};

use super::context::Context;
use super::local::{self, Facts};
use super::names;
use super::not_utf8;
use super::options::TransferError;
use super::put::{Origin, Put, put_file, special_kind};
use super::tree::Walk;
use crate::Runtime;

/// Entries read at a time.
const BATCH: usize = 512;

/// The walk of a local tree.
pub(super) struct PutTree<'a, 'o, R>(pub(super) &'a Context<'o, R>);

/// A local directory, and the one at the agent that it is put into.
pub(super) struct Dir {
    local: Arc<OwnedFd>,
    /// Where its listing stands.
    listing: Arc<Mutex<Option<rustix::fs::Dir>>>,
    remote: String,
    shown: String,
    made: bool,
    facts: Facts,
    way: Arc<Way>,
}

/// The directories that lead to one, so that links to them are seen.
pub(super) struct Way {
    inode: (u64, u64),
    above: Option<Arc<Self>>,
}

impl Way {
    fn has(&self, inode: (u64, u64)) -> bool {
        let mut way = Some(self);
        while let Some(at) = way {
            if at.inode == inode {
                return true;
            }
            way = at.above.as_deref();
        }
        false
    }
}

/// A name in a directory, and what it is, or why that cannot be told.
pub(super) struct Entry {
    name: OsString,
    facts: io::Result<Facts>,
}

impl<R: Runtime> PutTree<'_, '_, R> {
    /// Makes the directory at the agent, or takes the one that is there, and opens the local one.
    pub(super) async fn enter(
        &self,
        fd: OwnedFd,
        shown: String,
        remote: String,
        above: Option<Arc<Way>>,
    ) -> Result<Dir, TransferError> {
        let fd = Arc::new(fd);
        let local = Arc::clone(&fd);
        let opened = self.0.local(&shown, move || {
            let listing = rustix::fs::Dir::read_from(&local)?;
            Ok((Facts::of_open(&local)?, listing))
        });
        let (facts, listing) = opened.await?;
        let mode = local::writable(facts.mode, true);
        let path = remote.clone();
        let mkdir = FileRequest { op: FileOp::MKDIR, path, mode, ..Default::default() };
        let made = match self.0.ask(mkdir).await {
            Ok(_) => true,
            Err(error) if error.reason().kind() == io::ErrorKind::AlreadyExists => {
                if !self.0.stat(&remote, true).await?.is_dir {
                    let text = "there is something else in place of the directory";
                    return Err(TransferError::said(remote, text));
                }
                false
            }
            Err(error) => return Err(error),
        };
        self.0.count(|summary| summary.directories += 1);
        let way = Arc::new(Way { inode: facts.inode, above });
        let listing = Arc::new(Mutex::new(Some(listing)));
        Ok(Dir { local: fd, listing, remote, shown, made, facts, way })
    }

    async fn link(&self, dir: &Dir, entry: OsString, target: String) -> Result<(), TransferError> {
        let shown = names::join(&dir.shown, &entry.to_string_lossy());
        let fd = Arc::clone(&dir.local);
        let read = self.0.local(&shown, move || {
            Ok(rustix::fs::readlinkat(&fd, &entry, Vec::new())?.into_bytes())
        });
        let Ok(leads_to) = String::from_utf8(read.await?) else {
            let text = "the link's target is not UTF-8, which the wire cannot carry";
            return Err(TransferError::said(shown, text));
        };
        let symlink = |link: &str| FileRequest {
            op: FileOp::SYMLINK,
            path: leads_to.clone(),
            new_path: link.to_owned(),
            ..Default::default()
        };
        match self.0.ask(symlink(&target)).await {
            Err(error) if error.reason().kind() == io::ErrorKind::AlreadyExists => {
                // In the place of what is there, in one step.
                let (dir, name) = names::split(&target).unwrap_or_default();
                let part = format!("{dir}{}", names::part(name, leads_to.len() as u64, 0));
                let at = |op| FileRequest { op, path: part.clone(), ..Default::default() };
                let _ = self.0.ask(at(FileOp::REMOVE)).await;
                self.0.ask(symlink(&part)).await?;
                let rename = FileRequest { new_path: target.clone(), ..at(FileOp::RENAME) };
                if let Err(error) = self.0.ask(rename).await {
                    let _ = self.0.ask(at(FileOp::REMOVE)).await;
                    return Err(error);
                }
            }
            made => drop(made?),
        }
        self.0.count(|summary| summary.links += 1);
        Ok(())
    }

    async fn one(&self, dir: &Dir, entry: Entry) -> Result<Option<Dir>, TransferError> {
        let shown = names::join(&dir.shown, &entry.name.to_string_lossy());
        let facts = entry.facts.map_err(|error| TransferError::new(&shown, error))?;
        let Some(name) = entry.name.to_str() else {
            return Err(not_utf8(&shown));
        };
        let target = names::join(&dir.remote, name);
        let follow = self.0.options.follow;
        match facts.kind {
            FileType::Directory => {
                if dir.way.has(facts.inode) {
                    let text = "a link leads back to a directory above it";
                    return Err(TransferError::said(shown, text));
                }
                let (fd, name) = (Arc::clone(&dir.local), entry.name);
                let opened =
                    self.0.local(&shown, move || local::open_dir(&fd, &name, follow)).await?;
                let above = Some(Arc::clone(&dir.way));
                return self.enter(opened, shown, target, above).await.map(Some);
            }
            FileType::Symlink => self.link(dir, entry.name, target).await?,
            kind => match special_kind(kind) {
                Some(what) => self.0.skipped(&shown, what),
                None => {
                    let (dir, name) = (Arc::clone(&dir.local), entry.name);
                    let origin = Origin { dir, name, shown, follow };
                    if let Put::Directory = put_file(self.0, &origin, &target, false).await? {
                        let text = "there is a directory in place of the file";
                        return Err(TransferError::said(target, text));
                    }
                }
            },
        }
        Ok(None)
    }
}

impl<R: Runtime> Walk for PutTree<'_, '_, R> {
    type Dir = Dir;
    type Entry = Entry;

    fn leads_on(&self, entry: &Entry) -> bool {
        entry.facts.as_ref().is_ok_and(|facts| facts.kind == FileType::Directory)
    }

    async fn list(&self, dir: &Dir) -> Result<(Vec<Entry>, bool), TransferError> {
        let (fd, listing) = (Arc::clone(&dir.local), Arc::clone(&dir.listing));
        let follow = self.0.options.follow;
        let batch = move || {
            let mut listing = listing.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(entries) = listing.as_mut() else { return Ok((Vec::new(), false)) };
            let mut batch = Vec::new();
            while batch.len() < BATCH {
                let Some(entry) = entries.next().transpose()? else {
                    *listing = None;
                    return Ok((batch, false));
                };
                let name = entry.file_name().to_bytes();
                if !matches!(name, b"." | b"..") {
                    let name = OsString::from_vec(name.to_vec());
                    let facts = Facts::of_entry(&fd, &name, follow);
                    batch.push(Entry { name, facts });
                }
            }
            Ok((batch, true))
        };
        match self.0.local(&dir.shown, batch).await {
            Ok((entries, more)) => {
                let facts = entries.iter().filter_map(|entry| entry.facts.as_ref().ok());
                let files = facts.filter(|facts| facts.kind == FileType::RegularFile);
                let (count, bytes) =
                    files.fold((0, 0), |(count, bytes), facts| (count + 1, bytes + facts.size));
                self.0.progress(|progress| {
                    progress.total_files += count;
                    progress.total_bytes += bytes;
                });
                Ok((entries, more))
            }
            Err(error) => self.0.failed(error).map(|()| (Vec::new(), false)),
        }
    }

    async fn visit(&self, dir: &Dir, entry: Entry) -> Result<Option<Dir>, TransferError> {
        match self.one(dir, entry).await {
            Ok(made) => Ok(made),
            Err(error) => self.0.failed(error).map(|()| None),
        }
    }

    async fn leave(&self, dir: &Dir) -> Result<(), TransferError> {
        let (facts, preserve) = (dir.facts, self.0.options.preserve);
        let late = dir.made && local::writable(facts.mode, true) != facts.mode & 0o777;
        let at = |op| FileRequest { op, path: dir.remote.clone(), ..Default::default() };
        let finish = async {
            if preserve {
                let mode = facts.mode & 0o1777;
                self.0.ask(FileRequest { mode, ..at(FileOp::CHMOD) }).await?;
                let (atime, mtime) = (facts.atime, facts.mtime);
                self.0.ask(FileRequest { atime, mtime, ..at(FileOp::CHTIMES) }).await?;
            } else if late {
                let made = self.0.stat(&dir.remote, true).await?;
                let mode = trunkline_core::agentproto::mode_bits(made.mode) & facts.mode;
                self.0.ask(FileRequest { mode, ..at(FileOp::CHMOD) }).await?;
            }
            Ok(())
        };
        match finish.await {
            Ok(()) => Ok(()),
            Err(error) => self.0.failed(error),
        }
    }

    fn found_all(&self) {
        self.0.progress(|progress| progress.complete = true);
    }
}
