//! One method for each operation on a path.

use std::io;

use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse, Stat, Statfs};

use super::error::{Asked, FileFault};
use super::requests::Asking;
use super::{File, Files, OpenOptions, ReadDir};
use crate::Runtime;

/// The owner or group that leaves what there is.
const UNCHANGED: u32 = u32::MAX;

/// Operations on paths. All of them fail as [`request`](Files::request) does.
impl<R: Runtime> Files<R> {
    /// The attributes of a file; links are followed.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request); also when the answer has no attributes.
    pub async fn stat(&self, path: impl Into<String>) -> io::Result<Stat> {
        self.attributes(at(FileOp::STAT, path)).await
    }

    /// The attributes of a file, or of a link itself.
    ///
    /// # Errors
    ///
    /// As [`stat`](Self::stat).
    pub async fn lstat(&self, path: impl Into<String>) -> io::Result<Stat> {
        self.attributes(at(FileOp::LSTAT, path)).await
    }

    async fn attributes(&self, request: FileRequest) -> io::Result<Stat> {
        self.part(request, |response| response.stat.map(|stat| *stat)).await
    }

    /// Makes a directory with these permission bits, of which the agent's umask takes some.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn mkdir(&self, path: impl Into<String>, mode: u32) -> io::Result<()> {
        self.act(FileRequest { mode, ..at(FileOp::MKDIR, path) }).await
    }

    /// Makes a directory and those above it that are missing; one that exists is a success.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn mkdir_all(&self, path: impl Into<String>, mode: u32) -> io::Result<()> {
        self.act(FileRequest { mode, ..at(FileOp::MKDIR_ALL, path) }).await
    }

    /// Removes a file, a link or an empty directory.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn remove(&self, path: impl Into<String>) -> io::Result<()> {
        self.act(at(FileOp::REMOVE, path)).await
    }

    /// Renames a file or a directory. A file in the way is replaced, a directory is an error.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn rename(&self, from: impl Into<String>, to: impl Into<String>) -> io::Result<()> {
        self.act(between(FileOp::RENAME, from, to)).await
    }

    /// Sets the permission bits, `0o7777`; links are followed.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn chmod(&self, path: impl Into<String>, mode: u32) -> io::Result<()> {
        self.act(FileRequest { mode, ..at(FileOp::CHMOD, path) }).await
    }

    /// Cuts a file to `size` bytes, or extends it with zeros.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request); also for a size that the wire cannot carry.
    pub async fn truncate(&self, path: impl Into<String>, size: u64) -> io::Result<()> {
        let size = signed(size)?;
        self.act(FileRequest { size, ..at(FileOp::TRUNCATE, path) }).await
    }

    /// The agent's working directory.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn getwd(&self) -> io::Result<String> {
        self.path(at(FileOp::GETWD, "")).await
    }

    /// The target of a link, exactly as it is stored.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn readlink(&self, path: impl Into<String>) -> io::Result<String> {
        self.path(at(FileOp::READLINK, path)).await
    }

    async fn path(&self, request: FileRequest) -> io::Result<String> {
        self.part(request, |response| Some(response.path).filter(|path| !path.is_empty())).await
    }

    /// Makes a symbolic link at `link` with this target.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn symlink(
        &self,
        target: impl Into<String>,
        link: impl Into<String>,
    ) -> io::Result<()> {
        self.act(between(FileOp::SYMLINK, target, link)).await
    }

    /// Makes another name of a file.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn link(
        &self,
        original: impl Into<String>,
        link: impl Into<String>,
    ) -> io::Result<()> {
        self.act(between(FileOp::LINK, original, link)).await
    }

    /// Sets the owner, the group or both; links are followed. `None` leaves it alone.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn chown(
        &self,
        path: impl Into<String>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> io::Result<()> {
        let (uid, gid) = (uid.unwrap_or(UNCHANGED), gid.unwrap_or(UNCHANGED));
        self.act(FileRequest { uid, gid, ..at(FileOp::CHOWN, path) }).await
    }

    /// Sets the times of access and modification, both in nanoseconds since 1970; links are followed.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn chtimes(&self, path: impl Into<String>, atime: i64, mtime: i64) -> io::Result<()> {
        self.act(FileRequest { atime, mtime, ..at(FileOp::CHTIMES, path) }).await
    }

    /// Facts about the file system that a path is on.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request); also when the answer has no facts.
    pub async fn statfs(&self, path: impl Into<String>) -> io::Result<Statfs> {
        let request = at(FileOp::STATFS, path);
        self.part(request, |response| response.statfs.map(|statfs| *statfs)).await
    }

    async fn act(&self, request: FileRequest) -> io::Result<()> {
        self.request(request).await.map(drop)
    }

    /// The part of an answer that makes it one.
    async fn part<T>(
        &self,
        request: FileRequest,
        part: impl FnOnce(FileResponse) -> Option<T>,
    ) -> io::Result<T> {
        let asked = Asked::new(&request, "");
        let response = self.request(request).await?;
        part(response).ok_or_else(|| asked.failed(FileFault::EmptyResult).into())
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn open(&self, path: impl Into<String>) -> io::Result<R::File> {
        let file = self.open_by(at(FileOp::OPEN, path), &OpenOptions::new()).await?;
        Ok(file.into())
    }

    /// Opens a file for reading and writing, created or emptied.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn create(&self, path: impl Into<String>) -> io::Result<R::File> {
        let file = self.open_by(at(FileOp::CREATE, path), &OpenOptions::new()).await?;
        Ok(file.into())
    }

    /// Opens a file as `options` say.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn open_with(
        &self,
        path: impl Into<String>,
        options: &OpenOptions,
    ) -> io::Result<R::File> {
        let file = self.open_by(options.request(path.into()), options).await?;
        Ok(file.into())
    }

    pub(super) async fn open_by(
        &self,
        request: FileRequest,
        options: &OpenOptions,
    ) -> io::Result<File> {
        let asked = Asked::new(&request, "");
        let path = request.path.clone();
        let response = self.request(request).await?;
        if response.handle == 0 {
            return Err(asked.failed(FileFault::EmptyResult).into());
        }
        let session = self.session.share();
        Ok(File::new(session, response.handle, path, options.appends(), options.window))
    }

    /// The entries of a directory as a stream; see [`list_dir`](Self::list_dir).
    pub fn read_dir(&self, path: impl Into<String>) -> ReadDir {
        ReadDir::new(Asking::new(&self.session, at(FileOp::READ_DIR, path), ""))
    }

    /// The entries of a directory, sorted by the bytes of their names, with the attributes of each,
    /// links not followed.
    ///
    /// The wire has no paging: the whole listing is one answer, in memory at once.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request); errno 75 when there are more entries than the wire can carry.
    pub async fn list_dir(&self, path: impl Into<String>) -> io::Result<Vec<Stat>> {
        let response = self.request(at(FileOp::READ_DIR, path)).await?;
        Ok(response.entries.into_iter().map(|entry| entry.stat).collect())
    }
}

/// A request for a path.
pub(super) fn at(op: FileOp, path: impl Into<String>) -> FileRequest {
    FileRequest { op, path: path.into(), ..FileRequest::default() }
}

/// A request for two paths.
fn between(op: FileOp, path: impl Into<String>, new_path: impl Into<String>) -> FileRequest {
    FileRequest { new_path: new_path.into(), ..at(op, path) }
}

/// A size or an offset as the wire has it.
pub(crate) fn signed(size: u64) -> io::Result<i64> {
    i64::try_from(size).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "a size or an offset above 2^63-1")
    })
}
