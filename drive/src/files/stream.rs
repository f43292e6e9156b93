//! Reading a file ahead and writing it behind.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use trunkline_core::agentproto::{AheadRead, FileOp, FileRequest, Piece};

use super::error::{Fault, FileFault};
use super::file::{CHUNK, File};

impl File {
    /// Ready with the next bytes at the position, without a copy and at most `max`; `None` at the
    /// end, which is the agent's word: reading on asks again.
    ///
    /// Cancel safe: nothing is taken unless it is returned.
    ///
    /// # Errors
    ///
    /// As [`Files::request`](crate::Files::request), or when the file was closed. Reading on asks
    /// again.
    pub fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<io::Result<Option<Bytes>>> {
        self.on(FileOp::READ_AT)?;
        ready!(self.poll_settle(cx))?;
        if self.ahead.position() != self.position && !self.ahead.seek(self.position) {
            self.reads.clear();
        }
        let read = loop {
            if let Err(error) = self.ask_ahead(cx) {
                self.forget_ahead();
                break Poll::Ready(Err(error));
            }
            match self.ahead.read(max) {
                AheadRead::Data(data) => {
                    self.position = self.ahead.position();
                    break Poll::Ready(Ok(Some(data)));
                }
                AheadRead::End => {
                    self.reads.clear();
                    break Poll::Ready(Ok(None));
                }
                AheadRead::Failed(fault) => {
                    self.reads.clear();
                    break Poll::Ready(Err(self.error(FileOp::READ_AT, &fault)));
                }
                AheadRead::Wait => {}
            }
            let Some((_, asking)) = self.reads.front_mut() else {
                // There was no room for it; its place in the queue tells when there is.
                break Poll::Pending;
            };
            let Poll::Ready(answer) = asking.poll_sent(cx) else { break Poll::Pending };
            if let Some((piece, _)) = self.reads.pop_front() {
                match answer {
                    Ok(response) => self.ahead.answer(piece, response.data, response.eof),
                    Err(error) => self.ahead.fail(piece, Fault::from(error)),
                }
            }
        };
        self.count();
        read
    }

    /// Asks for what is to be read next, as far as the window and the session have room.
    fn ask_ahead(&mut self, cx: &Context<'_>) -> io::Result<()> {
        let room = self.session.shared().look(|state| state.waiters.requests.ahead_room());
        let mut room = room.min(self.window);
        while let Some(piece) = self.ahead.next_piece(room) {
            let mut asking = self.asking(self.read_request(piece)?);
            // What is needed at once waits for room; what is not is asked for another time.
            let first = self.reads.front().is_none_or(|(front, _)| piece.offset < front.offset);
            if !asking.start(first.then_some(cx), &mut self.place)? {
                self.ahead.give_back(piece);
                break;
            }
            room = room.saturating_sub(piece.len);
            let at = self.reads.partition_point(|(other, _)| other.offset < piece.offset);
            self.reads.insert(at, (piece, asking));
        }
        Ok(())
    }

    /// Ready with up to `room` bytes, handed to `take` once; 0 at the end, or without room.
    ///
    /// # Errors
    ///
    /// As [`poll_chunk`](Self::poll_chunk).
    pub fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        let Some(chunk) = ready!(self.poll_chunk(cx, room))? else { return Poll::Ready(Ok(0)) };
        take(&chunk);
        Poll::Ready(Ok(chunk.len()))
    }

    /// Takes bytes from the front of a caller's slice, with one copy; says how many. Little writes
    /// are gathered until they are worth a request, or flushed.
    ///
    /// # Errors
    ///
    /// What could not be written before, or that the file was closed.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_writable(cx))?;
        if self.buffer.len() >= CHUNK {
            ready!(self.poll_send_buffer(cx))?;
        }
        if self.buffer.is_empty() {
            self.buffer_at = self.position;
        }
        let count = buf.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(buf.get(..count).unwrap_or_default());
        self.position = self.position.saturating_add(count as u64);
        if self.buffer.len() >= CHUNK
            && let Poll::Ready(Err(error)) = self.poll_send_buffer(cx)
        {
            // It was taken, so it is the next write that tells.
            self.behind.fail(Piece { offset: self.position, len: 0 }, Fault::from(error));
        }
        self.count();
        Poll::Ready(Ok(count))
    }

    /// Takes bytes from the front of `data`, without a copy; says how many.
    ///
    /// Cancel safe: what was not taken is still in `data`.
    ///
    /// # Errors
    ///
    /// As [`poll_write`](Self::poll_write).
    pub fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_writable(cx))?;
        ready!(self.poll_send_buffer(cx))?;
        let count = data.len().min(CHUNK);
        if count > 0 {
            ready!(self.poll_room(cx, count))?;
            let piece = self.behind.write(self.position, data.slice(..count));
            self.unsent.push_back((piece, data.split_to(count)));
            self.position = self.position.saturating_add(count as u64);
            self.buffer_at = self.position;
            if let Poll::Ready(Err(error)) = self.poll_push(cx) {
                self.behind.fail(piece, Fault::from(error));
            }
            self.count();
        }
        Poll::Ready(Ok(count))
    }

    /// Ready when everything written is answered.
    ///
    /// # Errors
    ///
    /// What could not be written.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_settle(cx))?;
        Poll::Ready(self.fault())
    }

    /// The first error of a write, for as long as the file is open.
    fn fault(&self) -> io::Result<()> {
        match self.behind.fault() {
            Some(fault) => Err(self.error(FileOp::WRITE_AT, fault)),
            None => Ok(()),
        }
    }

    /// Ready when a write at the position may begin.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on(FileOp::WRITE_AT)?;
        self.poll_reap(cx);
        self.fault()?;
        // It may be what is overwritten now.
        self.forget_ahead();
        let end = self.buffer_at.saturating_add(self.buffer.len() as u64);
        if self.position != end {
            // Elsewhere: what is under way may be the same bytes.
            ready!(self.poll_settle(cx))?;
            self.fault()?;
            self.buffer_at = self.position;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes in the answers to writes that have come; false when one is still to come.
    fn poll_reap(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some((_, asking)) = self.writes.front_mut() {
            let Poll::Ready(answer) = asking.poll_sent(cx) else { return false };
            let Some((piece, _)) = self.writes.pop_front() else { break };
            match answer {
                Ok(response) => {
                    let count = usize::try_from(response.count).unwrap_or(0);
                    if let Some(rest) = self.behind.answer(piece, count) {
                        self.unsent.push_front(rest);
                    }
                }
                Err(error) => self.behind.fail(piece, Fault::from(error)),
            }
        }
        true
    }

    /// Ready when so many bytes may be on their way beside those that are.
    fn poll_room(&mut self, cx: &mut Context<'_>, count: usize) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_push(cx))?;
            self.fault()?;
            let room = self.session.shared().look(|state| state.waiters.requests.ahead_room());
            let alone = self.behind.is_idle();
            if self.behind.has_room(count) && (alone || (count <= room && !self.append)) {
                return Poll::Ready(Ok(()));
            }
            let before = self.writes.len();
            self.poll_reap(cx);
            if self.writes.len() == before {
                return Poll::Pending;
            }
        }
    }

    /// Sends what was gathered.
    fn poll_send_buffer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            return self.poll_push(cx);
        }
        ready!(self.poll_room(cx, self.buffer.len()))?;
        let data = self.buffer.split().freeze();
        let piece = self.behind.write(self.buffer_at, data.clone());
        self.buffer_at = self.buffer_at.saturating_add(data.len() as u64);
        self.unsent.push_back((piece, data));
        self.poll_push(cx)
    }

    /// Sends what waits for room.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((piece, data)) = self.unsent.front() {
            let mut asking = self.asking(self.write_request(piece.offset, data.clone())?);
            match asking.start(Some(cx), &mut self.place) {
                Ok(true) => self.writes.extend(self.unsent.pop_front().map(|(p, _)| (p, asking))),
                Ok(false) => return Poll::Pending,
                Err(error) => {
                    let fault = Fault::from(error);
                    for (piece, _) in self.unsent.drain(..) {
                        self.behind.fail(piece, fault.clone());
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when everything written is answered, one way or another.
    pub(super) fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.behind.fault().is_some() {
                // Nothing behind the error is sent any more, as if it had been.
                self.buffer.clear();
                for (piece, _) in std::mem::take(&mut self.unsent) {
                    self.behind.answer(piece, piece.len);
                }
            } else {
                // An error stays, and the next round sees it.
                let _ = ready!(self.poll_send_buffer(cx));
            }
            let answered = self.poll_reap(cx);
            if answered && self.unsent.is_empty() && self.buffer.is_empty() {
                break;
            }
            if !answered {
                return Poll::Pending;
            }
        }
        self.count();
        Poll::Ready(Ok(()))
    }

    /// What must still be sent when the file is dropped.
    pub(super) fn last_writes(&mut self) -> Vec<FileRequest> {
        if self.behind.fault().is_some() {
            return Vec::new();
        }
        let mut last = std::mem::take(&mut self.unsent);
        if !self.buffer.is_empty() {
            let data = self.buffer.split().freeze();
            last.push_back((Piece { offset: self.buffer_at, len: data.len() }, data));
        }
        let requests = last.into_iter().map(|(piece, data)| self.write_request(piece.offset, data));
        requests.filter_map(Result::ok).collect()
    }

    pub(super) fn error(&self, op: FileOp, fault: &Fault) -> io::Error {
        match fault {
            Fault::File(error) => error.clone().into(),
            Fault::Session(error) => error.clone().into(),
            Fault::Stalled => self.failed(op, FileFault::Stalled),
            Fault::Other(kind, text) => io::Error::new(*kind, text.clone()),
        }
    }
}
