//! Which operations the other side's numbers mean: hazard H2 of `docs/protocols/agentproto.md`,
//! section 14.
//!
//! Version 1.3 renumbered the file operations above 7 and left no mark on the wire. So a local side
//! asks for the working directory first: operation 16, unknown to an agent of 1.2, which answers
//! errno 38. Requests whose numbers have changed wait for the answer; operations 1 to 7 need not. An
//! agent knows a client of 1.2 by its first request, the same question under the number 15, where
//! 1.3 has a truncation that makes no sense without a path.

use alloc::collections::VecDeque;

use super::config::OpNumbers;
use super::encode::encode;
use super::fileop::{FileOp, FileRequest, FileResponse};
use super::frame::Frame;
use super::outbox::Outbox;
use super::violation::Violation;
use crate::Segment;

/// The number of the machine's own question: the last that a user's request would get.
const ASK: u32 = u32::MAX;

/// The only failures that an agent which knows operation 16 has for it: its directory is gone, or
/// may not be looked at. ENOENT and EACCES are the same number on every system.
const KNOWN_FAILURES: [u32; 2] = [2, 13];

/// Whether numbers are verified (hazard H2 of section 14).
pub(super) const fn are_verified(setting: OpNumbers) -> bool {
    match setting {
        OpNumbers::Verified => true,
        OpNumbers::Assumed => false,
    }
}

/// Whether this operation had its number in 1.2 too: to wait with it would only cost time.
const fn means_the_same(op: FileOp) -> bool {
    matches!(op.0, 1..=7)
}

/// Whether this, as a first request, comes from a client of 1.2.
pub(super) fn is_of_an_old_client(request: &FileRequest) -> bool {
    request.op == FileOp::TRUNCATE && request.path.is_empty()
}

/// What an answer means for the question.
#[derive(Debug)]
pub(super) enum Answered {
    /// It was for the machine's own question only, and is as hoped for.
    Ask,
    /// It answers a request that was not sent yet.
    Early,
    /// It answers a request.
    Request,
    /// The agent means other operations by its numbers.
    Refused {
        /// The question was the machine's own.
        own: bool,
        violation: Violation,
    },
}

#[derive(Clone, Copy, Debug)]
enum State {
    Unknown,
    /// This request is the question.
    Asked(u32),
    Verified,
}

/// What a local side knows of the agent's numbers, and the requests that wait for it.
#[derive(Debug)]
pub(super) struct Numbers {
    state: State,
    held: VecDeque<(u32, Segment)>,
    held_bytes: usize,
}

impl Numbers {
    pub(super) const fn new(setting: OpNumbers) -> Self {
        let state = if are_verified(setting) { State::Unknown } else { State::Verified };
        Self { state, held: VecDeque::new(), held_bytes: 0 }
    }

    /// Bytes of requests that wait.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn hold(&mut self, id: u32, request: Segment) {
        self.held_bytes += request.len();
        self.held.push_back((id, request));
    }

    /// Sends a request, or holds it until the agent's numbers are known.
    pub(super) fn send(&mut self, id: u32, op: FileOp, request: Segment, outbox: &mut Outbox) {
        match self.state {
            State::Verified => outbox.push_request(id, request),
            State::Unknown if op == FileOp::GETWD => {
                self.state = State::Asked(id);
                outbox.push_request(id, request);
            }
            State::Unknown => {
                let ask = FileRequest { id: ASK, op: FileOp::GETWD, ..FileRequest::default() };
                // A request without lists always encodes.
                if let Ok(ask) = encode(&Frame::file_request(ask)) {
                    outbox.push_request(ASK, ask);
                }
                self.state = State::Asked(ASK);
                self.send(id, op, request, outbox);
            }
            State::Asked(_) if means_the_same(op) => outbox.push_request(id, request),
            State::Asked(_) => self.hold(id, request),
        }
    }

    /// Whether this request is the question, and not answered.
    pub(super) fn asks(&self, id: u32) -> bool {
        matches!(self.state, State::Asked(ask) if ask == id)
    }

    /// Takes a request back that was not sent; false when there is none of this number.
    pub(super) fn forget(&mut self, id: u32) -> bool {
        let Some(at) = self.held.iter().position(|(held, _)| *held == id) else { return false };
        let request = self.held.remove(at);
        self.held_bytes -= request.map_or(0, |(_, segment)| segment.len());
        true
    }

    /// Looks at an answer; sends what waited when it is the one that was hoped for.
    pub(super) fn answer(&mut self, response: &FileResponse, outbox: &mut Outbox) -> Answered {
        let State::Asked(ask) = self.state else { return Answered::Request };
        if response.id != ask {
            let waits = self.held.iter().any(|(held, _)| *held == response.id);
            return if waits { Answered::Early } else { Answered::Request };
        }
        let succeeded = response.errno == 0 && response.message.is_empty();
        if !succeeded && !KNOWN_FAILURES.contains(&response.errno) {
            let violation = Violation::UnknownOperations { errno: response.errno };
            return Answered::Refused { own: ask == ASK, violation };
        }
        self.state = State::Verified;
        self.held_bytes = 0;
        for (id, request) in core::mem::take(&mut self.held) {
            outbox.push_request(id, request);
        }
        if ask == ASK { Answered::Ask } else { Answered::Request }
    }

    /// Lets go of what was not sent.
    pub(super) fn clear(&mut self) {
        self.held = VecDeque::new();
        self.held_bytes = 0;
    }
}
