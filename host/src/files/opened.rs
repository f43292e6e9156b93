//! Open files, and the operations on them.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{SeekFrom, Stat};
use rustix::io::Errno;
use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse};

use super::FileSystem;
use super::attributes::{base_name, stat};
use super::fault::{Failure, Fault};
use super::tree::again;

/// A file that was opened for a peer: its descriptor, its path as sent, and its position.
///
/// It may be used by many threads at once. It closes when it is dropped.
#[derive(Debug)]
pub struct Opened {
    file: OwnedFd,
    path: Box<str>,
    /// Whether every write goes to the end.
    appends: bool,
}

impl Opened {
    pub(super) fn new(file: OwnedFd, path: &str, appends: bool) -> Self {
        Self { file, path: path.into(), appends }
    }

    /// The path it was opened with, as the peer sent it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    fn stat(&self) -> rustix::io::Result<Stat> {
        rustix::fs::fstat(&self.file)
    }
}

impl FileSystem {
    /// Performs an operation on a handle.
    pub(super) fn on_handle(
        &self,
        request: &FileRequest,
        opened: &Opened,
    ) -> Result<FileResponse, Failure> {
        let at = |verb| move |fault: Fault| fault.at(verb, &opened.path);
        match request.op {
            FileOp::READ_AT => return self.read_at(opened, request.offset, request.size),
            FileOp::WRITE_AT => return self.write_at(opened, request),
            FileOp::FSTAT => {
                let raw = opened.stat().map_err(Fault::from).map_err(at("stat"))?;
                let stat = stat(&raw, base_name(&opened.path));
                return Ok(FileResponse { stat: Some(stat.into()), ..FileResponse::default() });
            }
            FileOp::FSYNC => {
                again(|| rustix::fs::fsync(&opened.file))
                    .map_err(Fault::from)
                    .map_err(at("sync"))?;
            }
            FileOp::FTRUNCATE => self.ftruncate(opened, request.size).map_err(at("truncate"))?,
            _ => opened.flush().map_err(at("close"))?,
        }
        Ok(FileResponse::default())
    }

    fn read_at(&self, opened: &Opened, offset: i64, size: i64) -> Result<FileResponse, Failure> {
        let Some(wanted) = usize::try_from(size).ok().filter(|wanted| *wanted > 0) else {
            return Ok(FileResponse::default());
        };
        let Ok(offset) = u64::try_from(offset) else {
            return Err(Fault::told(Errno::IO, "negative offset").at("readat", &opened.path));
        };
        let wanted = wanted.min(self.policy.max_read);
        let mut buffer = self.pool.take(wanted);
        let mut eof = false;
        while buffer.filled() < wanted && !eof {
            let from = offset.saturating_add(buffer.filled() as u64);
            match rustix::io::pread(&opened.file, buffer.room(wanted), from) {
                Ok(0) => eof = true,
                Ok(count) => buffer.fill(count),
                Err(Errno::INTR) => {}
                Err(error) => return Err(Fault::from(error).at("read", &opened.path)),
            }
        }
        let data = buffer.freeze();
        let count = i64::try_from(data.len()).unwrap_or(i64::MAX);
        Ok(FileResponse { data: data.into(), count, eof, ..FileResponse::default() })
    }

    fn write_at(&self, opened: &Opened, request: &FileRequest) -> Result<FileResponse, Failure> {
        let mut written = 0_usize;
        let count = |written| i64::try_from(written).unwrap_or(i64::MAX);
        match self.write_pieces(opened, request, &mut written) {
            Ok(()) => Ok(FileResponse { count: count(written), ..FileResponse::default() }),
            Err(mut failure) => {
                failure.count = count(written);
                Err(failure)
            }
        }
    }

    fn write_pieces(
        &self,
        opened: &Opened,
        request: &FileRequest,
        written: &mut usize,
    ) -> Result<(), Failure> {
        if request.data.is_empty() {
            return Ok(());
        }
        let at = |fault: Fault| fault.at("write", &opened.path);
        self.may_change().map_err(at)?;
        let start = u64::try_from(request.offset).ok();
        if opened.appends && start.is_some() {
            let text = "os: invalid use of WriteAt on file opened with O_APPEND";
            return Err(Failure::new(Errno::IO, text.to_owned()));
        }
        let mut turn = None;
        if self.policy.max_file_size.is_some() {
            let raw = opened.stat().map_err(Fault::from).map_err(at)?;
            // Where it ends must not change between this look and the write, nor between another's
            // look and its write.
            turn = self.alone(raw.st_ino);
            let from = opened.position(start).map_err(Fault::from).map_err(at)?;
            let end = from.saturating_add(request.data.len() as u64);
            self.may_grow(end).map_err(at)?;
        }
        for piece in request.data.pieces() {
            let mut rest: &[u8] = piece;
            while !rest.is_empty() {
                let done = match start {
                    Some(start) => {
                        let to = start.saturating_add(*written as u64);
                        rustix::io::pwrite(&opened.file, rest, to)
                    }
                    None => rustix::io::write(&opened.file, rest),
                };
                match done {
                    Ok(0) => return Err(at(Fault::told(Errno::IO, "unexpected EOF"))),
                    Ok(count) => {
                        *written += count;
                        rest = rest.get(count..).unwrap_or_default();
                    }
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(at(error.into())),
                }
            }
        }
        drop(turn);
        Ok(())
    }

    fn ftruncate(&self, opened: &Opened, size: i64) -> Result<(), Fault> {
        self.may_change()?;
        let size = u64::try_from(size).map_err(|_| Errno::INVAL)?;
        self.may_grow(size)?;
        self.cut(&opened.file, opened.stat()?.st_ino, size)
    }
}

impl Opened {
    /// Where a write begins: at `start`, or at the end, or at the file position.
    fn position(&self, start: Option<u64>) -> rustix::io::Result<u64> {
        match start {
            Some(start) => Ok(start),
            None if self.appends => rustix::fs::seek(&self.file, SeekFrom::End(0)),
            None => rustix::fs::tell(&self.file),
        }
    }

    /// What closing would report.
    ///
    /// The descriptor itself is shared and closes later, where nobody could hear of it. Closing any
    /// duplicate makes a file system write back what it has and tell.
    fn flush(&self) -> Result<(), Fault> {
        // Without a free descriptor there is nothing to hear.
        let Ok(copy) = rustix::io::fcntl_dupfd_cloexec(self.file.as_fd(), 0) else { return Ok(()) };
        crate::sys::close(copy)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO).into())
    }
}
