//! An open file.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, SeekFrom};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use trunkline_core::agentproto::{FileOp, FileRequest, Piece, ReadAhead, Stat, WriteBehind};

use super::error::{Asked, Fault, FileFault};
use super::ops::signed;
use super::requests::{self, Asking};
use crate::Session;

/// The most bytes of one request.
pub(super) const CHUNK: usize = 256 << 10;

/// An open file of an agent, read and written from front to back or anywhere.
///
/// Reading goes ahead of the reader and writing behind the writer, both within the
/// [window](crate::OpenOptions::window): bytes that a write took are on their way or will be, and an
/// error of any of them is reported by the next write, by a flush and by closing, from then on by all
/// of them. Reading and seeking wait for what was written.
///
/// Dropping it closes the file at the agent without waiting. What was written and not flushed is then
/// still sent if there is room for it at once, and errors are told to nobody: call
/// [`close`](Self::close).
pub struct File {
    pub(super) session: Session,
    /// 0 once it is closed.
    pub(super) handle: u32,
    pub(super) path: String,
    pub(super) append: bool,
    pub(super) window: usize,
    pub(super) position: u64,
    pub(super) ahead: ReadAhead<Fault>,
    /// Requests of what is read ahead, by offset.
    pub(super) reads: VecDeque<(Piece, Asking)>,
    pub(super) behind: WriteBehind<Fault>,
    /// Requests of what was written, in order of sending.
    pub(super) writes: VecDeque<(Piece, Asking)>,
    /// What was written and waits for room.
    pub(super) unsent: VecDeque<(Piece, Bytes)>,
    /// What was written and is too little for a request, and where it belongs.
    pub(super) buffer: BytesMut,
    pub(super) buffer_at: u64,
    /// A place in the queue for room.
    pub(super) place: Option<u64>,
    seeking: Option<Seeking>,
    /// What the session counts of this file.
    counted: usize,
}

/// A seek that was begun.
#[derive(Debug)]
struct Seeking {
    to: SeekFrom,
    /// Asks for the size, once what was written is there.
    asking: Option<Asking>,
}

impl File {
    pub(super) fn new(
        session: Session,
        handle: u32,
        path: String,
        append: bool,
        window: usize,
    ) -> Self {
        Self {
            session,
            handle,
            path,
            append,
            window,
            position: 0,
            ahead: ReadAhead::new(CHUNK, window),
            reads: VecDeque::new(),
            behind: WriteBehind::new(window),
            writes: VecDeque::new(),
            unsent: VecDeque::new(),
            buffer: BytesMut::new(),
            buffer_at: 0,
            place: None,
            seeking: None,
            counted: 0,
        }
    }

    /// The path that it was opened by.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The agent's number of it, for requests of one's own; 0 once it is closed.
    #[must_use]
    pub const fn handle(&self) -> u32 {
        self.handle
    }

    /// Reads at an offset, beside the position: `len` bytes, or fewer where the file ends.
    ///
    /// What was written and not flushed may not be there yet. Cancel safe: the position stays.
    ///
    /// # Errors
    ///
    /// As [`Files::request`](crate::Files::request), or when the file was closed.
    pub async fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut whole = BytesMut::new();
        let mut first = Bytes::new();
        let mut done = 0;
        while done < len {
            let size = (len - done).min(CHUNK);
            let piece = Piece { offset: offset.saturating_add(done as u64), len: size };
            let response = self.ask(self.read_request(piece)?).await?;
            let (data, eof) = (response.data.into_bytes(), response.eof);
            done += data.len();
            if data.is_empty() && !eof {
                return Err(self.failed(FileOp::READ_AT, FileFault::Stalled));
            }
            // Only what comes in several answers is copied together.
            if first.is_empty() && whole.is_empty() {
                first = data;
            } else {
                whole.extend_from_slice(&std::mem::take(&mut first));
                whole.extend_from_slice(&data);
            }
            if eof {
                break;
            }
        }
        Ok(if whole.is_empty() { first } else { whole.freeze() })
    }

    /// Writes all of `data` at an offset, beside the position, without a copy.
    ///
    /// Cancel safe in that the position stays; how much was written is not known then.
    ///
    /// # Errors
    ///
    /// As [`Files::request`](crate::Files::request), or when the file was closed.
    pub async fn write_at(&self, offset: u64, mut data: Bytes) -> io::Result<()> {
        let mut offset = offset;
        while !data.is_empty() {
            let part = data.slice(..data.len().min(CHUNK));
            let response = self.ask(self.write_request(offset, part.clone())?).await?;
            let count = usize::try_from(response.count).unwrap_or(0).min(part.len());
            if count == 0 {
                return Err(self.failed(FileOp::WRITE_AT, FileFault::Stalled));
            }
            bytes::Buf::advance(&mut data, count);
            offset = offset.saturating_add(count as u64);
        }
        Ok(())
    }

    /// The attributes of the open file. What was written and not flushed may not show yet.
    ///
    /// # Errors
    ///
    /// As [`Files::request`](crate::Files::request), or when the file was closed.
    pub async fn stat(&self) -> io::Result<Stat> {
        let response = self.ask(self.on(FileOp::FSTAT)?).await?;
        let stat = response.stat.map(|stat| *stat);
        stat.ok_or_else(|| self.failed(FileOp::FSTAT, FileFault::EmptyResult))
    }

    /// Cuts the file to `size` bytes, or extends it with zeros, behind what was written.
    ///
    /// # Errors
    ///
    /// As [`Files::request`](crate::Files::request); also when something could not be written before,
    /// or the file was closed.
    pub async fn set_len(&mut self, size: u64) -> io::Result<()> {
        self.flush().await?;
        self.forget_ahead();
        let request = FileRequest { size: signed(size)?, ..self.on(FileOp::FTRUNCATE)? };
        self.ask(request).await.map(drop)
    }

    /// Waits until what was written is answered, and the agent has flushed it to storage.
    ///
    /// # Errors
    ///
    /// As [`set_len`](Self::set_len).
    pub async fn sync(&mut self) -> io::Result<()> {
        self.flush().await?;
        let request = self.on(FileOp::FSYNC)?;
        self.ask(request).await.map(drop)
    }

    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Waits until what was written is answered, and closes the file at the agent. Closing once more
    /// does nothing.
    ///
    /// Cancel safe: closing again goes on where it was left, as dropping the file does.
    ///
    /// # Errors
    ///
    /// What could not be written before; what the agent says to closing; why the session is over.
    /// The file is closed in any case.
    pub async fn close(&mut self) -> io::Result<()> {
        if self.handle == 0 {
            return Ok(());
        }
        let flushed = self.flush().await;
        self.forget_ahead();
        let mut asking = self.asking(self.on(FileOp::CLOSE)?);
        let place = &mut self.place;
        let sent = poll_fn(|cx| match asking.start(Some(cx), place) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        });
        let sent = sent.await;
        // It is on its way, or the session is over.
        self.handle = 0;
        flushed.and(sent)?;
        poll_fn(|cx| asking.poll_sent(cx)).await.map(drop)
    }

    /// Begins a seek, which [`poll_seek`](Self::poll_seek) ends.
    pub fn start_seek(&mut self, to: SeekFrom) {
        self.seeking = Some(Seeking { to, asking: None });
    }

    /// Ends the seek that was begun, if there is one; ready with the position.
    ///
    /// # Errors
    ///
    /// As [`stat`](Self::stat) when the position counts from the end, and for one before the
    /// beginning; the position then stays. An earlier write that failed is no error here.
    pub fn poll_seek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let Some(mut seeking) = self.seeking.take() else {
            return Poll::Ready(Ok(self.position));
        };
        let target = match seeking.to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => {
                let polled = self.poll_size(cx, &mut seeking.asking);
                if polled.is_pending() {
                    self.seeking = Some(seeking);
                }
                ready!(polled)?.checked_add_signed(by)
            }
        };
        let target = target.filter(|target| i64::try_from(*target).is_ok());
        Poll::Ready(match target {
            Some(target) => {
                self.position = target;
                Ok(target)
            }
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a position before the beginning, or above 2^63-1",
            )),
        })
    }

    /// Begins this seek unless it was begun, and ends it as [`poll_seek`](Self::poll_seek) does.
    ///
    /// # Errors
    ///
    /// As [`poll_seek`](Self::poll_seek).
    pub fn poll_seek_to(&mut self, cx: &mut Context<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
        if self.seeking.as_ref().is_none_or(|seeking| seeking.to != to) {
            self.start_seek(to);
        }
        self.poll_seek(cx)
    }

    fn poll_size(
        &mut self,
        cx: &mut Context<'_>,
        asking: &mut Option<Asking>,
    ) -> Poll<io::Result<u64>> {
        ready!(self.poll_settle(cx))?;
        let asking = match asking {
            Some(asking) => asking,
            none => none.insert(self.asking(self.on(FileOp::FSTAT)?)),
        };
        if !asking.start(Some(cx), &mut self.place)? {
            return Poll::Pending;
        }
        let response = ready!(std::pin::Pin::new(asking).poll_sent(cx))?;
        Poll::Ready(match response.stat {
            Some(stat) => Ok(u64::try_from(stat.size).unwrap_or(0)),
            None => Err(self.failed(FileOp::FSTAT, FileFault::EmptyResult)),
        })
    }

    /// A request on this file.
    pub(super) fn on(&self, op: FileOp) -> io::Result<FileRequest> {
        if self.handle == 0 {
            return Err(io::Error::other("the file is closed"));
        }
        Ok(FileRequest { op, handle: self.handle, ..FileRequest::default() })
    }

    pub(super) fn read_request(&self, piece: Piece) -> io::Result<FileRequest> {
        let size = i64::try_from(piece.len).unwrap_or(i64::MAX);
        let offset = signed(piece.offset)?;
        Ok(FileRequest { offset, size, ..self.on(FileOp::READ_AT)? })
    }

    pub(super) fn write_request(&self, offset: u64, data: Bytes) -> io::Result<FileRequest> {
        let offset = if self.append { -1 } else { signed(offset)? };
        Ok(FileRequest { offset, data: data.into(), ..self.on(FileOp::WRITE_AT)? })
    }

    pub(super) fn asking(&self, request: FileRequest) -> Asking {
        Asking::new(&self.session, request, &self.path)
    }

    async fn ask(
        &self,
        request: FileRequest,
    ) -> io::Result<trunkline_core::agentproto::FileResponse> {
        self.asking(request).await
    }

    pub(super) fn failed(&self, op: FileOp, fault: FileFault) -> io::Error {
        let request = FileRequest { op, ..FileRequest::default() };
        Asked::new(&request, &self.path).failed(fault).into()
    }

    /// Lets go of what was read ahead.
    pub(super) fn forget_ahead(&mut self) {
        self.reads.clear();
        self.ahead.restart();
        self.count();
    }

    /// Tells the session how much this file holds.
    pub(super) fn count(&mut self) {
        let held = self.ahead.held() + self.behind.held() + self.buffer.len();
        if held != self.counted {
            let before = std::mem::replace(&mut self.counted, held);
            self.session.shared().look(|state| state.waiters.requests.count_ahead(held, before));
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        requests::leave(&self.session, self.place.take());
        let (counted, handle) = (self.counted, self.handle);
        let last = if handle == 0 { Vec::new() } else { self.last_writes() };
        self.session.shared().command(|state| {
            state.waiters.requests.count_ahead(0, counted);
            for request in last {
                let Ok(id) = state.machine.request(request) else { break };
                // It is sent all the same, and nobody waits for the answer.
                state.machine.cancel(id);
            }
            requests::close(state, handle);
        });
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("path", &self.path)
            .field("handle", &self.handle)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
