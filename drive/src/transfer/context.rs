//! What all parts of one transfer share.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trunkline_core::Instant;
use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse, Stat};

use super::options::{
    TransferError, TransferEvent, TransferOptions, TransferProgress, TransferSummary,
};
use super::room::{Permit, Room};
use super::window;
use super::workers::Workers;
use crate::{Clock, Files, Runtime};

/// Threads for local file work.
const THREADS: usize = 4;

/// As much as the session takes in before it has sent something.
const UNSENT: usize = 8 << 20;

/// O_NONBLOCK of Linux. Where it means something else it means nothing without O_CREAT.
const NON_BLOCKING: i32 = 0x800;

pub(super) type Observer<'o> = Box<dyn FnMut(TransferEvent<'_>) + Send + 'o>;

pub(super) struct Context<'o, R> {
    pub(super) files: &'o Files<R>,
    pub(super) options: TransferOptions,
    /// Bytes under way, of all files together.
    pub(super) room: Room,
    /// Bytes that were read here and have not left: less than what is under way on a long link.
    pub(super) unsent: Room,
    pub(super) workers: Workers,
    pub(super) buffers: Buffers,
    clock: Clock,
    tally: Mutex<Tally<'o>>,
}

struct Tally<'o> {
    progress: TransferProgress,
    summary: TransferSummary,
    observer: Observer<'o>,
}

impl<'o, R: Runtime> Context<'o, R> {
    pub(super) fn new(
        files: &'o Files<R>,
        options: TransferOptions,
        observer: Observer<'o>,
    ) -> Self {
        let (progress, summary) = Default::default();
        Self {
            files,
            options,
            room: Room::new(window::MOST),
            unsent: Room::new(UNSENT),
            workers: Workers::new(THREADS),
            buffers: Buffers::default(),
            clock: R::clock(),
            tally: Mutex::new(Tally { progress, summary, observer }),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    fn tally(&self) -> MutexGuard<'_, Tally<'o>> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how far it is, and tells it.
    pub(super) fn progress(&self, change: impl FnOnce(&mut TransferProgress)) {
        let mut tally = self.tally();
        let before = tally.progress;
        change(&mut tally.progress);
        let progress = tally.progress;
        if progress != before {
            (tally.observer)(TransferEvent::Progress(progress));
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut TransferSummary)) {
        change(&mut self.tally().summary);
    }

    pub(super) fn summary(&self) -> TransferSummary {
        self.tally().summary
    }

    /// Tells a failure below a directory, unless it is the end of everything.
    pub(super) fn failed(&self, error: TransferError) -> Result<(), TransferError> {
        if error.is_lost() {
            return Err(error);
        }
        let mut tally = self.tally();
        tally.summary.failed += 1;
        (tally.observer)(TransferEvent::Failed(&error));
        Ok(())
    }

    /// Tells that something is left out.
    pub(super) fn skipped(&self, path: &str, what: &'static str) {
        let mut tally = self.tally();
        tally.summary.skipped += 1;
        (tally.observer)(TransferEvent::Skipped { path, what });
    }

    /// Does blocking local work on a worker; errors name this path.
    pub(super) async fn local<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, TransferError> {
        let done = self.workers.run(work).await;
        done.flatten().map_err(|error| TransferError::new(path, error))
    }

    /// Makes a request that names a path.
    pub(super) async fn ask(&self, request: FileRequest) -> Result<FileResponse, TransferError> {
        let path = match request.op {
            FileOp::SYMLINK => request.new_path.clone(),
            _ => request.path.clone(),
        };
        self.files.request(request).await.map_err(|error| TransferError::new(path, error))
    }

    /// The attributes of a path of the agent; links are followed, or not.
    pub(super) async fn stat(&self, path: &str, follow: bool) -> Result<Stat, TransferError> {
        let op = if follow { FileOp::STAT } else { FileOp::LSTAT };
        let answer = self.ask(FileRequest { op, path: path.to_owned(), ..Default::default() });
        attributes(path, answer.await?)
    }

    /// Opens a file of the agent for reading. One that would block is opened all the same.
    pub(super) async fn open(&self, path: &str) -> Result<Handle<'_, R>, TransferError> {
        self.open_with(path, NON_BLOCKING, 0).await
    }

    pub(super) async fn open_with(
        &self,
        path: &str,
        flags: i32,
        mode: u32,
    ) -> Result<Handle<'_, R>, TransferError> {
        let path = path.to_owned();
        let request =
            FileRequest { op: FileOp::OPEN_FILE, path, flags, mode, ..Default::default() };
        let path = request.path.clone();
        let number = self.ask(request).await?.handle;
        Ok(Handle { files: self.files, path, number })
    }
}

fn attributes(path: &str, answer: FileResponse) -> Result<Stat, TransferError> {
    match answer.stat {
        Some(stat) => Ok(*stat),
        None => Err(TransferError::said(path, "the agent answered without attributes")),
    }
}

/// An open file of the agent. It is closed when it is dropped, without waiting.
pub(super) struct Handle<'a, R: Runtime> {
    files: &'a Files<R>,
    path: String,
    number: u32,
}

impl<R: Runtime> Handle<'_, R> {
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) async fn ask(&self, request: FileRequest) -> Result<FileResponse, TransferError> {
        let request = FileRequest { handle: self.number, ..request };
        let answer = self.files.request_on(&self.path, request).await;
        answer.map_err(|error| TransferError::new(&self.path, error))
    }

    pub(super) async fn stat(&self) -> Result<Stat, TransferError> {
        let answer = self.ask(FileRequest { op: FileOp::FSTAT, ..Default::default() }).await?;
        attributes(&self.path, answer)
    }

    pub(super) async fn set_size(&self, size: u64) -> Result<(), TransferError> {
        let size = offset(size);
        let request = FileRequest { op: FileOp::FTRUNCATE, size, ..Default::default() };
        self.ask(request).await.map(drop)
    }

    /// Closes the file and waits for what the agent says to that.
    pub(super) async fn close(mut self) -> Result<(), TransferError> {
        let request = self.ask(FileRequest { op: FileOp::CLOSE, ..Default::default() });
        let closed = request.await.map(drop);
        self.number = 0;
        closed
    }
}

impl<R: Runtime> Drop for Handle<'_, R> {
    fn drop(&mut self) {
        if self.number != 0 {
            self.files.close_handle(self.number);
        }
    }
}

/// A place in a file as the wire has it. No file is larger than what it can say.
pub(super) fn offset(place: u64) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

/// Large buffers that are used again.
#[derive(Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// An empty buffer with room for a whole piece.
    pub(super) fn take(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Vec::with_capacity(window::CHUNK))
    }

    /// Takes a buffer back once it was sent.
    pub(super) fn lend(&self, buffer: Vec<u8>, unsent: Permit) -> bytes::Bytes {
        bytes::Bytes::from_owner(Lent { buffer, home: self.clone(), _unsent: unsent })
    }

    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

struct Lent {
    buffer: Vec<u8>,
    home: Buffers,
    _unsent: Permit,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.buffer));
    }
}
