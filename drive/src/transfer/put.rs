//! One file from here to the agent.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::FileType;
use trunkline_core::agentproto::{FileOp, FileRequest, Stat, mode_bits};

use super::both;
use super::context::{Context, Handle};
use super::fetch::CHANGED;
use super::get::{COMPARED, is_link, special};
use super::local::{self, Facts};
use super::names;
use super::options::TransferError;
use super::read::same;
use super::send::{next_data, send, whole};
use super::window::CHUNK;
use crate::{FileError, Runtime};

/// Files below this are written with one request.
const SMALL: u64 = 128 << 10;

/// What is read of a file whose size says nothing, as in `/proc`.
const UNKNOWN: usize = 128 << 10;

/// Flags of open(2), as Linux has them.
const READ_WRITE: i32 = 2;
const CREATE_NEW: i32 = READ_WRITE | 0x40 | 0x80;

/// What a local file is, if it is nothing that can be transferred.
pub(super) fn special_kind(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::RegularFile | FileType::Directory | FileType::Symlink => None,
        FileType::Fifo => Some("it is a named pipe"),
        FileType::Socket => Some("it is a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("it is a device"),
        _ => Some("it is no regular file"),
    }
}

/// A local file, open or still to be opened.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) dir: Arc<OwnedFd>,
    pub(super) name: OsString,
    /// Its path, for people.
    pub(super) shown: String,
    pub(super) follow: bool,
}

/// A local file that was opened, with its content if it is small.
struct Opened {
    fd: Arc<OwnedFd>,
    facts: Facts,
    content: Option<Vec<u8>>,
}

struct Putting<'a, 'o, R> {
    cx: &'a Context<'o, R>,
    shown: &'a str,
    fd: Arc<OwnedFd>,
    facts: Facts,
    /// The path it gets in the end, and the one it has until then.
    target: &'a str,
    part: String,
    look: bool,
}

/// What became of an attempt to put a file.
pub(super) enum Put {
    Done,
    /// The target is a directory, and nothing was done.
    Directory,
}

/// Takes one file to the agent, under its final name when it is whole.
///
/// `look` says that a directory may well be there instead, so that it is looked for at once.
pub(super) async fn put_file<R: Runtime>(
    cx: &Context<'_, R>,
    origin: &Origin,
    target: &str,
    look: bool,
) -> Result<Put, TransferError> {
    let Some((dir, name)) = names::split(target) else { return Ok(Put::Directory) };
    let Opened { fd, facts, content } = open(cx, origin).await?;
    let part = format!("{dir}{}", names::part(name, facts.size, facts.mtime));
    let put = Putting { cx, shown: &origin.shown, fd, facts, target, part, look };
    if cx.options.resume
        && let Some(there) = put.target_stat().await?
        && put.is_there(&there).await?
    {
        cx.count(|summary| summary.unchanged += 1);
        cx.progress(|progress| {
            progress.files += 1;
            progress.bytes += facts.size;
        });
        return Ok(Put::Done);
    }
    let done = match content {
        Some(content) if !cx.options.verify => put.small(content).await,
        _ => put.large().await,
    };
    let done = done.map_err(|error| error.of_file(&put.part, target))?;
    if matches!(done, Put::Done) {
        cx.progress(|progress| progress.files += 1);
        cx.count(|summary| summary.files += 1);
    }
    Ok(done)
}

async fn open<R: Runtime>(cx: &Context<'_, R>, origin: &Origin) -> Result<Opened, TransferError> {
    let from = origin.clone();
    let opened = cx.local(&origin.shown, move || {
        let (fd, facts) = local::open_file(&from.dir, &from.name, from.follow)?;
        if facts.kind != FileType::RegularFile {
            let what = special_kind(facts.kind).unwrap_or("it is no regular file");
            return Err(io::Error::other(what));
        }
        let mut content = Vec::new();
        let most = match usize::try_from(facts.size) {
            Ok(0) => UNKNOWN,
            Ok(size) => size + 1,
            Err(_) => usize::MAX,
        };
        // What ends before it has to is whole: what the file was at that moment.
        let small = facts.size < SMALL && local::read_at(&fd, &mut content, most, 0)? < most;
        Ok(Opened { fd: Arc::new(fd), facts, content: small.then_some(content) })
    });
    opened.await
}

impl<R: Runtime> Putting<'_, '_, R> {
    /// The attributes of the target, if there is one that can be looked at.
    async fn target_stat(&self) -> Result<Option<Stat>, TransferError> {
        match self.cx.stat(self.target, true).await {
            // Such as a link in a loop: it can be replaced all the same.
            Err(error) if is_refused(&error, &[EACCES, ELOOP]) => Ok(None),
            stat => found(stat),
        }
    }

    /// Whether the file is there already: with the size and time of its source, and its bytes as
    /// well if that is to be verified.
    async fn is_there(&self, there: &Stat) -> Result<bool, TransferError> {
        let regular = !there.is_dir && !is_link(there.mode) && special(there.mode).is_none();
        let size = u64::try_from(there.size);
        if !regular || size != Ok(self.facts.size) || there.mtime != self.facts.mtime {
            return Ok(false);
        }
        if !self.cx.options.verify {
            return Ok(true);
        }
        let handle = self.cx.open(self.target).await?;
        same(self.cx, &handle, &self.fd, self.shown, (0, self.facts.size)).await
    }

    /// Creates the file that is written; what is left of an earlier one goes.
    async fn create(&self) -> Result<Handle<'_, R>, TransferError> {
        let mode = local::writable(self.facts.mode, false);
        match self.cx.open_with(&self.part, CREATE_NEW, mode).await {
            Err(error) if error.reason().kind() == io::ErrorKind::AlreadyExists => {
                self.remove().await;
                self.cx.open_with(&self.part, CREATE_NEW, mode).await
            }
            opened => opened,
        }
    }

    async fn remove(&self) {
        let request =
            FileRequest { op: FileOp::REMOVE, path: self.part.clone(), ..Default::default() };
        // It is there no more, or the reason was told already.
        let _ = self.cx.ask(request).await;
    }

    /// Writes a file that was read whole with one request.
    async fn small(&self, content: Vec<u8>) -> Result<Put, TransferError> {
        let _permit = self.cx.room.take(content.len()).await;
        let Some((handle, _, kept)) = self.begin().await? else { return Ok(Put::Directory) };
        let bytes = content.len() as u64;
        let write = async {
            handle.write(0, Bytes::from(content)).await?;
            let made = if self.mode_is_late() { Some(handle.stat().await?) } else { None };
            handle.close().await?;
            self.publish(made.map(|made| made.mode), kept).await
        };
        if let Err(error) = write.await {
            // Going on with so little is not worth it, so that nothing is kept of it.
            if !error.is_lost() {
                self.remove().await;
            }
            return self.refused(error);
        }
        self.cx.progress(|progress| progress.bytes += bytes);
        self.cx.count(|summary| summary.bytes += bytes);
        Ok(Put::Done)
    }

    /// Whether the file got bits only to be written, that are taken back in the end.
    fn mode_is_late(&self) -> bool {
        !self.cx.options.preserve
            && local::writable(self.facts.mode, false) != self.facts.mode & 0o777
    }

    /// Gives the whole file its mode, its times and its name. It has the mode `made`, if that is
    /// known, and takes the place of one with the mode `kept`.
    async fn publish(&self, made: Option<u32>, kept: Option<u32>) -> Result<(), TransferError> {
        let (part, mode) = (&self.part, self.facts.mode & 0o777);
        let chmod = |mode| {
            let path = part.clone();
            self.cx.ask(FileRequest { op: FileOp::CHMOD, path, mode, ..Default::default() })
        };
        if self.cx.options.preserve {
            let (atime, mtime) = (self.facts.atime, self.facts.mtime);
            let path = part.clone();
            let times =
                FileRequest { op: FileOp::CHTIMES, path, atime, mtime, ..Default::default() };
            let (mode, times) = both(chmod(mode), self.cx.ask(times)).await;
            mode.and(times)?;
        } else if let Some(kept) = kept {
            if made.is_none_or(|made| mode_bits(made) & 0o777 != kept) {
                chmod(kept).await?;
            }
        } else if let Some(made) = made.filter(|_| self.mode_is_late()) {
            chmod(mode_bits(made) & mode).await?;
        }
        let (path, new_path) = (part.clone(), self.target.to_owned());
        let rename = FileRequest { op: FileOp::RENAME, path, new_path, ..Default::default() };
        self.cx.ask(rename).await.map(drop)
    }

    /// What a rename fails with where the target is a directory is an answer, not an error.
    fn refused(&self, error: TransferError) -> Result<Put, TransferError> {
        let file = FileError::of(error.reason());
        match file.is_some_and(|file| file.op == FileOp::RENAME && file.errno == EEXIST) {
            true => Ok(Put::Directory),
            false => Err(error),
        }
    }

    /// Whether the target is a directory, and its mode if it is a regular file.
    async fn target_kind(&self) -> Result<(bool, Option<u32>), TransferError> {
        let Some(there) = found(self.cx.stat(self.target, false).await)? else {
            return Ok((false, None));
        };
        if !is_link(there.mode) {
            let regular = !there.is_dir && special(there.mode).is_none();
            return Ok((there.is_dir, regular.then_some(mode_bits(there.mode) & 0o777)));
        }
        match self.cx.stat(self.target, true).await {
            Ok(there) => Ok((there.is_dir, None)),
            // A link that leads nowhere, round and round, or where nobody may look is replaced.
            Err(error) if is_refused(&error, &[2, EACCES, ELOOP]) => Ok((false, None)),
            Err(error) => Err(error),
        }
    }

    /// Opens the file that is written, with how much of it is there and the mode of the file whose
    /// place it takes, unless the target is a directory.
    async fn begin(&self) -> Result<Option<(Handle<'_, R>, u64, Option<u32>)>, TransferError> {
        let open = async {
            match self.cx.options.resume && !self.is_small() {
                true => self.open_part().await,
                false => self.create().await.map(|handle| (handle, 0)),
            }
        };
        if !self.look && self.is_small() && self.cx.options.preserve {
            // What a rename fails with tells it as well, and no mode is kept.
            return open.await.map(|(handle, there)| Some((handle, there, None)));
        }
        // Both at once: over a long link each of them takes long.
        let (target, opened) = both(self.target_kind(), open).await;
        if let Ok((false, kept)) = target {
            return opened.map(|(handle, there)| Some((handle, there, kept)));
        }
        if let Ok((handle, there)) = opened {
            drop(handle);
            if there == 0 {
                self.remove().await;
            }
        }
        target.map(|_| None)
    }

    const fn is_small(&self) -> bool {
        self.facts.size < SMALL
    }

    async fn large(&self) -> Result<Put, TransferError> {
        let Some((handle, there, kept)) = self.begin().await? else {
            return Ok(Put::Directory);
        };
        match self.fill(handle, there, kept).await {
            Ok(()) => Ok(Put::Done),
            Err(error) if error.keeps_part() => Err(error.with_part(self.part.clone())),
            Err(error) => {
                self.remove().await;
                self.refused(error)
            }
        }
    }

    /// Opens what is left of an earlier transfer, with its size, or begins anew.
    async fn open_part(&self) -> Result<(Handle<'_, R>, u64), TransferError> {
        let left = found(self.cx.stat(&self.part, false).await)?;
        let usable =
            |stat: &Stat| !stat.is_dir && !is_link(stat.mode) && special(stat.mode).is_none();
        let size = left.filter(usable).and_then(|stat| u64::try_from(stat.size).ok());
        if let Some(size) = size.filter(|size| *size <= self.facts.size) {
            match self.cx.open_with(&self.part, READ_WRITE, 0).await {
                // The session ended between its mode and its name.
                Err(error) if is_refused(&error, &[EACCES]) => {}
                opened => return Ok((opened?, size)),
            }
        }
        Ok((self.create().await?, 0))
    }

    async fn fill(
        &self,
        handle: Handle<'_, R>,
        there: u64,
        kept: Option<u32>,
    ) -> Result<(), TransferError> {
        let (cx, size) = (self.cx, self.facts.size);
        if size == 0 {
            self.stream(&handle).await?;
            handle.close().await?;
            return self.publish(None, kept).await;
        }
        let start = self.start(&handle, there).await?;
        let end = send(cx, &handle, (&self.fd, self.shown), size, start).await?;
        if end < size || there > size {
            handle.set_size(size).await?;
        }
        let (now, made) = both(self.unchanged(), self.check(&handle)).await;
        now?;
        let made = made?;
        if cx.options.verify {
            self.verify(&handle).await?;
        }
        handle.close().await?;
        self.publish(Some(made), kept).await
    }

    /// Where to go on.
    async fn start(&self, handle: &Handle<'_, R>, there: u64) -> Result<u64, TransferError> {
        if there == 0 {
            return Ok(0);
        }
        let (cx, fd) = (self.cx, Arc::clone(&self.fd));
        let start = cx.local(self.shown, move || whole(&fd, there)).await?;
        let from = if cx.options.verify { 0 } else { start.saturating_sub(COMPARED) };
        if start == 0 || !same(cx, handle, &self.fd, self.shown, (from, start)).await? {
            handle.set_size(0).await?;
            return Ok(0);
        }
        cx.progress(|progress| progress.bytes += start);
        Ok(start)
    }

    /// The local file must be what it was when it was opened.
    async fn unchanged(&self) -> Result<(), TransferError> {
        let fd = Arc::clone(&self.fd);
        let now = self.cx.local(self.shown, move || Facts::of_open(&fd)).await?;
        if (now.size, now.mtime) != (self.facts.size, self.facts.mtime) {
            return Err(TransferError::said(self.shown, CHANGED));
        }
        Ok(())
    }

    /// The file at the agent must have the size of its source, and still be the one of this name.
    async fn check(&self, handle: &Handle<'_, R>) -> Result<u32, TransferError> {
        let (mine, named) = both(handle.stat(), self.cx.stat(&self.part, false)).await;
        let (mine, named) = (mine?, named?);
        if u64::try_from(mine.size) != Ok(self.facts.size) {
            return Err(TransferError::said(self.target, "it has another size than its source"));
        }
        if mine.inode != named.inode {
            let text = "another transfer of the same file is under way";
            return Err(TransferError::said(self.target, text));
        }
        Ok(mine.mode)
    }

    /// Reads the file back and compares it. Holes that were left out are not read.
    async fn verify(&self, handle: &Handle<'_, R>) -> Result<(), TransferError> {
        let (mut at, size) = (0, self.facts.size);
        loop {
            let fd = Arc::clone(&self.fd);
            let run = self.cx.local(self.shown, move || next_data(&fd, at, size)).await?;
            let Some(run) = run else { return Ok(()) };
            if !same(self.cx, handle, &self.fd, self.shown, run).await? {
                return Err(TransferError::said(self.target, "it differs from its source"));
            }
            at = run.1;
        }
    }

    /// Takes a file over whose size says nothing, piece after piece.
    async fn stream(&self, handle: &Handle<'_, R>) -> Result<(), TransferError> {
        let (cx, mut at) = (self.cx, 0);
        loop {
            let unsent = cx.unsent.take(CHUNK).await;
            let (fd, buffers) = (Arc::clone(&self.fd), cx.buffers.clone());
            let read = cx.local(self.shown, move || {
                let mut buffer = buffers.take();
                local::read_at(&fd, &mut buffer, CHUNK, at)?;
                Ok(buffers.lend(buffer, unsent))
            });
            let bytes = read.await?;
            let len = bytes.len() as u64;
            if len == 0 {
                return Ok(());
            }
            handle.write(at, bytes).await?;
            at += len;
            cx.progress(|progress| progress.bytes += len);
            cx.count(|summary| summary.bytes += len);
        }
    }
}

const EACCES: u32 = 13;
const EEXIST: u32 = 17;
const ELOOP: u32 = 40;

/// Whether the agent refused something with one of these errors.
fn is_refused(error: &TransferError, errnos: &[u32]) -> bool {
    FileError::of(error.reason()).is_some_and(|file| errnos.contains(&file.errno))
}

/// That nothing is there is an answer, not an error.
pub(super) fn found(stat: Result<Stat, TransferError>) -> Result<Option<Stat>, TransferError> {
    match stat {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.reason().kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
