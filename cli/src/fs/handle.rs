//! An open file of the agent.

use std::io;

use trunkline_core::Payload;
use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse, Stat};
use trunkline_tokio::Files;

/// How much one request reads or writes. As many as are under way at once stay below 8 MiB.
pub(crate) const PIECE: u64 = 128 << 10;

/// Flags of open(2). They are numbers of the agent's system, which the wire does not tell: these are
/// the ones that are right for every Linux.
pub(crate) mod flags {
    /// Write, create.
    pub(crate) const TOUCH: i32 = 0x1 | 0x40;
    /// Write, create what must not be there yet.
    pub(crate) const NEW: i32 = TOUCH | 0x80;
    /// Write, empty what is there.
    pub(crate) const OVERWRITE: i32 = 0x1 | 0x200;
}

/// An open file. Dropping it closes it, without learning whether that went well.
pub(crate) struct Handle<'a> {
    files: &'a Files,
    path: &'a str,
    number: u32,
}

impl<'a> Handle<'a> {
    /// Opens for reading.
    pub(crate) async fn open(files: &'a Files, path: &'a str) -> io::Result<Self> {
        Self::ask(files, path, FileRequest { op: FileOp::OPEN, ..FileRequest::default() }).await
    }

    /// Opens for reading and writing; makes the file, or empties it.
    pub(crate) async fn create(files: &'a Files, path: &'a str) -> io::Result<Self> {
        Self::ask(files, path, FileRequest { op: FileOp::CREATE, ..FileRequest::default() }).await
    }

    /// Opens with some of [`flags`]; a new file gets the mode.
    pub(crate) async fn with(
        files: &'a Files,
        path: &'a str,
        flags: i32,
        mode: u32,
    ) -> io::Result<Self> {
        let request = FileRequest { op: FileOp::OPEN_FILE, flags, mode, ..FileRequest::default() };
        Self::ask(files, path, request).await
    }

    async fn ask(files: &'a Files, path: &'a str, request: FileRequest) -> io::Result<Self> {
        let request = FileRequest { path: path.to_string(), ..request };
        let number = files.request(request).await?.handle;
        Ok(Self { files, path, number })
    }

    async fn request(&self, op: FileOp, request: FileRequest) -> io::Result<FileResponse> {
        let request = FileRequest { op, handle: self.number, ..request };
        self.files.request_on(self.path, request).await
    }

    /// Its attributes; without any in the answer, those of an empty file.
    pub(crate) async fn stat(&self) -> io::Result<Stat> {
        let answer = self.request(FileOp::FSTAT, FileRequest::default()).await?;
        Ok(answer.stat.map(|stat| *stat).unwrap_or_default())
    }

    pub(crate) async fn truncate(&self, size: i64) -> io::Result<()> {
        let request = FileRequest { size, ..FileRequest::default() };
        self.request(FileOp::FTRUNCATE, request).await.map(drop)
    }

    pub(crate) async fn sync(&self) -> io::Result<()> {
        self.request(FileOp::FSYNC, FileRequest::default()).await.map(drop)
    }

    /// Reads what is in a piece of the file: [`PIECE`] bytes from `offset`, or less at its end.
    pub(crate) async fn read(&self, offset: u64) -> io::Result<Payload> {
        let mut data = Payload::new();
        while (data.len() as u64) < PIECE {
            let done = data.len() as u64;
            let size = i64::try_from(PIECE - done).unwrap_or(i64::MAX);
            let offset = signed(offset + done)?;
            let request = FileRequest { offset, size, ..FileRequest::default() };
            let answer = self.request(FileOp::READ_AT, request).await?;
            let end = answer.eof || answer.data.is_empty();
            answer.data.into_pieces().for_each(|piece| data.push(piece));
            if end {
                break;
            }
        }
        Ok(data)
    }

    /// Writes all of these bytes at an offset.
    pub(crate) async fn write(&self, offset: u64, mut data: Payload) -> io::Result<()> {
        let mut offset = signed(offset)?;
        while !data.is_empty() {
            let request = FileRequest { offset, data: data.clone(), ..FileRequest::default() };
            let answer = self.request(FileOp::WRITE_AT, request).await?;
            let count = usize::try_from(answer.count).unwrap_or(0).min(data.len());
            if count == data.len() {
                break;
            }
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            data = data.into_bytes().slice(count..).into();
            offset += answer.count;
        }
        Ok(())
    }

    /// Closes it, and learns whether that went well.
    pub(crate) async fn close(mut self) -> io::Result<()> {
        let number = std::mem::take(&mut self.number);
        let request = FileRequest { op: FileOp::CLOSE, handle: number, ..FileRequest::default() };
        self.files.request_on(self.path, request).await.map(drop)
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        if self.number != 0 {
            self.files.close_handle(self.number);
        }
    }
}

/// Where the pieces of a file of this size begin: one more than it has if its last one is full, for
/// what may have been added since.
pub(crate) fn pieces(size: i64) -> impl Iterator<Item = u64> {
    (0..=u64::try_from(size).unwrap_or(0) / PIECE).map(|number| number * PIECE)
}

fn signed(offset: u64) -> io::Result<i64> {
    i64::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}
