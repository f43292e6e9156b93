//! A tree from the agent to here.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use trunkline_core::agentproto::{FileOp, FileRequest, Stat, mode_bits};

use super::context::Context;
use super::get::{Place, Source, get_file, is_link, make_link, special};
use super::local;
use super::names;
use super::options::TransferError;
use super::tree::Walk;
use crate::Runtime;

/// The walk of a tree of the agent's.
pub(super) struct GetTree<'a, 'o, R>(pub(super) &'a Context<'o, R>);

/// A directory of the agent's, and the one here that it is brought into.
pub(super) struct Dir {
    local: Arc<OwnedFd>,
    remote: String,
    shown: String,
    made: bool,
    mode: u32,
    times: (i64, i64),
    way: Arc<Way>,
}

/// The directories that lead to one, so that links to them are seen.
pub(super) struct Way {
    /// Inode and time of change: the wire does not tell the file system.
    mark: (u64, i64),
    above: Option<Arc<Self>>,
}

impl Way {
    fn has(&self, mark: (u64, i64)) -> bool {
        let mut way = Some(self);
        while let Some(at) = way {
            // An agent that tells no inodes would make everything look alike.
            if at.mark == mark && mark.0 != 0 {
                return true;
            }
            way = at.above.as_deref();
        }
        false
    }
}

/// What is kept of an entry's attributes.
pub(super) struct Entry {
    name: String,
    stat: Stat,
}

impl<R: Runtime> GetTree<'_, '_, R> {
    /// Makes the directory here, or opens the one that is there.
    pub(super) async fn enter(
        &self,
        (place, follow): (Place, bool),
        remote: String,
        stat: &Stat,
        above: Option<Arc<Way>>,
    ) -> Result<Dir, TransferError> {
        let mode = mode_bits(stat.mode);
        let shown = place.shown.clone();
        let make =
            move || local::make_dir(&place.dir, &place.name, local::writable(mode, true), follow);
        let (fd, made) = self.0.local(&shown, make).await?;
        let way = Arc::new(Way { mark: (stat.inode, stat.ctime), above });
        let times = (stat.atime, stat.mtime);
        self.0.count(|summary| summary.directories += 1);
        Ok(Dir { local: Arc::new(fd), remote, shown, made, mode, times, way })
    }

    /// The root of a tree, into a directory that the caller names.
    pub(super) async fn root(
        &self,
        place: Place,
        remote: String,
        stat: &Stat,
    ) -> Result<Dir, TransferError> {
        self.enter((place, true), remote, stat, None).await
    }

    async fn file(&self, remote: String, stat: &Stat, place: &Place) -> Result<(), TransferError> {
        let handle = self.0.open(&remote).await?;
        get_file(self.0, handle, Source::new(remote, stat), place, false).await
    }

    async fn link(&self, remote: String, place: Place) -> Result<(), TransferError> {
        let request = FileRequest { op: FileOp::READLINK, path: remote, ..Default::default() };
        let target = self.0.ask(request).await?.path;
        let shown = place.shown.clone();
        let make = move || make_link(&place.dir, place.name.as_ref(), &target);
        self.0.local(&shown, make).await?;
        self.0.count(|summary| summary.links += 1);
        Ok(())
    }

    async fn one(&self, dir: &Dir, entry: Entry) -> Result<Option<Dir>, TransferError> {
        let Entry { name, mut stat } = entry;
        let remote = names::join(&dir.remote, &name);
        let place = Place {
            dir: Arc::clone(&dir.local),
            shown: names::join(&dir.shown, &name),
            name: name.into(),
        };
        if is_link(stat.mode) {
            if !self.0.options.follow {
                self.link(remote, place).await?;
                return Ok(None);
            }
            stat = self.0.stat(&remote, true).await?;
            if !stat.is_dir && special(stat.mode).is_none() {
                self.0.progress(|progress| {
                    progress.total_files += 1;
                    progress.total_bytes += u64::try_from(stat.size).unwrap_or(0);
                });
            }
        }
        if stat.is_dir {
            if dir.way.has((stat.inode, stat.ctime)) {
                let text = "a link leads back to a directory above it";
                return Err(TransferError::said(remote, text));
            }
            let above = Some(Arc::clone(&dir.way));
            return self.enter((place, false), remote, &stat, above).await.map(Some);
        }
        match special(stat.mode) {
            Some(what) => self.0.skipped(&remote, what),
            None => self.file(remote, &stat, &place).await?,
        }
        Ok(None)
    }
}

impl<R: Runtime> Walk for GetTree<'_, '_, R> {
    type Dir = Dir;
    type Entry = Entry;

    fn leads_on(&self, entry: &Entry) -> bool {
        entry.stat.is_dir || self.0.options.follow && is_link(entry.stat.mode)
    }

    async fn list(&self, dir: &Dir) -> Result<(Vec<Entry>, bool), TransferError> {
        let path = dir.remote.clone();
        let request = FileRequest { op: FileOp::READ_DIR, path, ..Default::default() };
        let answer = match self.0.ask(request).await {
            Ok(answer) => answer,
            Err(error) => return self.0.failed(error).map(|()| (Vec::new(), false)),
        };
        let mut entries = Vec::with_capacity(answer.entries.len());
        let (mut files, mut bytes) = (0, 0);
        for entry in answer.entries {
            let mut stat = entry.stat;
            let name = std::mem::take(&mut stat.name);
            if !names::is_entry(&name) {
                // Whoever sends one such name meant it: nothing of this listing is believed.
                let text = "the agent listed a name that leads out of the directory";
                let error = TransferError::said(&dir.remote, text);
                return self.0.failed(error).map(|()| (Vec::new(), false));
            }
            if !stat.is_dir && !is_link(stat.mode) && special(stat.mode).is_none() {
                files += 1;
                bytes += u64::try_from(stat.size).unwrap_or(0);
            }
            entries.push(Entry { name, stat });
        }
        self.0.progress(|progress| {
            progress.total_files += files;
            progress.total_bytes += bytes;
        });
        Ok((entries, false))
    }

    async fn visit(&self, dir: &Dir, entry: Entry) -> Result<Option<Dir>, TransferError> {
        match self.one(dir, entry).await {
            Ok(made) => Ok(made),
            Err(error) => self.0.failed(error).map(|()| None),
        }
    }

    async fn leave(&self, dir: &Dir) -> Result<(), TransferError> {
        let times = self.0.options.preserve.then_some(dir.times);
        if !dir.made && times.is_none() {
            return Ok(());
        }
        let (fd, mode) = (Arc::clone(&dir.local), dir.mode);
        let finish = move || local::finish(&fd, mode, times, true);
        match self.0.local(&dir.shown, finish).await {
            Ok(()) => Ok(()),
            Err(error) => self.0.failed(error),
        }
    }

    fn found_all(&self) {
        self.0.progress(|progress| progress.complete = true);
    }
}
