//! Requests and their answers: `docs/protocols/agentproto.md` section 10.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::config::LateHandle;
use super::fileop::{FileOp, FileRequest, FileResponse};
use crate::Payload;

/// EIO, the number for an answer that cannot be right.
const EIO: u32 = 5;

#[derive(Clone, Copy, Debug)]
enum Call {
    /// Somebody waits. What was asked for, or sent, bounds the answer.
    Waiting { op: FileOp, most: usize },
    /// Given up; the answer may hold a handle that nobody else will close.
    Cancelled,
    /// Sent by the machine itself; the answer goes to nobody.
    Own,
}

/// What an answer means.
#[derive(Debug)]
pub(super) enum Answer {
    /// For somebody who waits.
    Deliver(FileResponse),
    /// For nobody; this handle must be closed.
    Close(u32),
    /// For nobody: given up, unknown, or answered before.
    Drop,
    /// To a request of the machine's own.
    Own,
}

/// The table of requests that were sent and not answered.
#[derive(Debug)]
pub(super) struct Calls {
    calls: BTreeMap<u32, Call>,
    waiting: usize,
    limit: usize,
    last_id: u32,
    late_handle: LateHandle,
}

impl Calls {
    pub(super) const fn new(limit: usize, late_handle: LateHandle) -> Self {
        Self { calls: BTreeMap::new(), waiting: 0, limit, last_id: 0, late_handle }
    }

    /// Requests that somebody waits for.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) const fn is_full(&self) -> bool {
        self.waiting >= self.limit
    }

    /// Gives the request its number: counting up from 1, free ones only, never 0.
    pub(super) fn start(&mut self, request: &mut FileRequest) -> u32 {
        self.waiting += 1;
        let most = match request.op {
            FileOp::READ_AT => usize::try_from(request.size).unwrap_or(0),
            FileOp::WRITE_AT => request.data.len(),
            _ => usize::MAX,
        };
        self.enter(request, Call::Waiting { op: request.op, most })
    }

    /// The same for a request of the machine's own.
    pub(super) fn start_own(&mut self, request: &mut FileRequest) -> u32 {
        self.enter(request, Call::Own)
    }

    fn enter(&mut self, request: &mut FileRequest, call: Call) -> u32 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if self.last_id != 0 && !self.calls.contains_key(&self.last_id) {
                break;
            }
        }
        request.id = self.last_id;
        self.calls.insert(self.last_id, call);
        self.last_id
    }

    /// Takes a request out that could not be sent.
    pub(super) fn undo(&mut self, id: u32) {
        if self.calls.remove(&id).is_some() {
            self.waiting -= 1;
        }
    }

    /// Whether somebody, or the machine itself, waits for the answer.
    pub(super) fn is_awaited(&self, id: u32) -> bool {
        matches!(self.calls.get(&id), Some(Call::Waiting { .. } | Call::Own))
    }

    /// Whether somebody waits for an operation that may take minutes by itself: one that flushes,
    /// as closing does too on a network file system.
    pub(super) fn is_slow(&self, id: u32) -> bool {
        let slow = [FileOp::FSYNC, FileOp::CLOSE];
        matches!(self.calls.get(&id), Some(Call::Waiting { op, .. }) if slow.contains(op))
    }

    /// Lets a request of the machine's own go, whose answer does not come.
    pub(super) fn forget_own(&mut self, id: u32) {
        if matches!(self.calls.get(&id), Some(Call::Own)) {
            self.calls.remove(&id);
        }
    }

    /// Gives a request up; false when nobody waits for it. Nothing goes on the wire.
    pub(super) fn cancel(&mut self, id: u32) -> bool {
        let Some(Call::Waiting { op, .. }) = self.calls.get(&id).copied() else { return false };
        self.waiting -= 1;
        self.calls.remove(&id);
        let opens = matches!(op, FileOp::OPEN | FileOp::CREATE | FileOp::OPEN_FILE);
        // Those given up are bounded too: a peer that never answers must not fill the table.
        if opens && self.late_handle == LateHandle::Close && self.calls.len() / 2 < self.limit {
            self.calls.insert(id, Call::Cancelled);
        }
        true
    }

    pub(super) fn answer(&mut self, mut response: FileResponse) -> Answer {
        match self.calls.remove(&response.id) {
            Some(Call::Waiting { most, .. }) => {
                self.waiting -= 1;
                clamp(&mut response, most);
                Answer::Deliver(response)
            }
            Some(Call::Cancelled) if response.errno == 0 && response.handle != 0 => {
                Answer::Close(response.handle)
            }
            Some(Call::Own) => Answer::Own,
            Some(Call::Cancelled) | None => Answer::Drop,
        }
    }

    /// Ends the table; says whom to tell.
    pub(super) fn fail_all(&mut self) -> Vec<u32> {
        self.waiting = 0;
        let calls = core::mem::take(&mut self.calls);
        let waiting = calls.into_iter().filter(|(_, call)| matches!(call, Call::Waiting { .. }));
        waiting.map(|(id, _)| id).collect()
    }
}

/// Holds an answer to what was asked for or sent (section 15).
fn clamp(response: &mut FileResponse, most: usize) {
    if response.errno != 0 || !response.message.is_empty() {
        return;
    }
    // Below zero no count makes sense either.
    if usize::try_from(response.count).map_or(true, |count| count > most) {
        *response = FileResponse {
            id: response.id,
            errno: EIO,
            message: "the agent answered with a count that cannot be right".to_string(),
            ..FileResponse::default()
        };
    } else if response.data.len() > most {
        let data = core::mem::take(&mut response.data).into_bytes();
        response.data = Payload::from(data.slice(..most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(calls: &mut Calls) -> u32 {
        calls.start(&mut FileRequest { op: FileOp::OPEN, ..FileRequest::default() })
    }

    #[test]
    fn numbers_that_run_out_begin_again_and_leave_out_0_and_those_in_use() {
        let mut calls = Calls::new(8, LateHandle::Close);
        assert_eq!([id(&mut calls), id(&mut calls), id(&mut calls)], [1, 2, 3]);
        // Answered; and given up, which keeps its number until the answer has come.
        assert!(calls.cancel(2));
        calls.answer(FileResponse { id: 3, ..FileResponse::default() });
        calls.last_id = u32::MAX - 2;
        let mut own = FileRequest { op: FileOp::CLOSE, ..FileRequest::default() };
        calls.start_own(&mut own);
        assert_eq!(own.id, u32::MAX - 1);
        assert_eq!([id(&mut calls), id(&mut calls), id(&mut calls)], [u32::MAX, 3, 4]);
    }
}
