//! File requests of the local side: `docs/protocols/agentproto.md` sections 8 and 10.

use super::{Local, LocalEvent, Misuse, Mode};
use crate::Instant;
use crate::agentproto::calls::Answer;
use crate::agentproto::fileop::{FileOp, FileRequest};
use crate::agentproto::frame::Frame;
use crate::agentproto::numbers::Answered;

impl Local {
    /// Sends a file request and says its number, which the answer will carry.
    ///
    /// By default the first one makes the machine ask whether the agent numbers operations as this
    /// one does; operations above 7 wait for that answer, and all requests are lost with the session
    /// when it does not ([`OpNumbers`](crate::agentproto::OpNumbers)).
    ///
    /// # Errors
    ///
    /// [`Misuse`] after the end, in a session of another purpose, or without
    /// [room](Self::request_room).
    pub fn request(&mut self, mut request: FileRequest) -> Result<u32, Misuse> {
        self.check_open()?;
        if matches!(self.mode, Mode::Exec | Mode::Paths) {
            return Err(Misuse::AlreadyStarted);
        }
        if !self.request_room() {
            return Err(Misuse::Busy);
        }
        let op = request.op;
        let id = self.calls.start(&mut request);
        let segment =
            self.encode(&Frame::file_request(request)).inspect_err(|_| self.calls.undo(id))?;
        self.numbers.send(id, op, segment, &mut self.link.outbox);
        if self.mode == Mode::Idle {
            self.mode = Mode::Files;
            // From its leaving on: it may be long since this machine was told the time.
            self.expecting = true;
        }
        Ok(id)
    }

    /// Whether there is room for a request. If there is none,
    /// [`RequestRoom`](LocalEvent::RequestRoom) is raised once there is again.
    ///
    /// There is none while as many are in flight as may be, or the bytes of those that were not sent
    /// yet reach the limit of the session's queue, of which a single request may be more.
    pub fn request_room(&mut self) -> bool {
        let room = self.has_request_room();
        self.refused |= !room;
        room
    }

    fn has_request_room(&self) -> bool {
        let limits = &self.link.config.limits;
        let unsent = self.link.outbox.control_bytes().saturating_add(self.numbers.held_bytes());
        // Those given up may still wait to be sent.
        !self.calls.is_full()
            && self.link.outbox.control_len() < limits.in_flight
            && unsent < limits.session_queue.max(1)
    }

    /// Tells who was refused to try again: there is room, or never will be.
    pub(super) fn tell_requesters(&mut self) {
        // Behind the end nothing is told.
        let open = self.link.closed.is_none();
        if self.refused && open && (self.has_request_room() || self.link.is_mute()) {
            self.refused = false;
            self.link.tell(LocalEvent::RequestRoom);
        }
    }

    /// Closes a handle without waiting: the answer goes to nobody.
    ///
    /// The request leaves behind those made before, and counts as none of the user's in flight.
    ///
    /// # Errors
    ///
    /// [`Misuse`] after the end, or in a session of another purpose.
    pub fn close_handle(&mut self, handle: u32) -> Result<(), Misuse> {
        self.check_open()?;
        if self.mode != Mode::Files {
            return Err(Misuse::NotStarted);
        }
        let mut request = FileRequest { op: FileOp::CLOSE, handle, ..FileRequest::default() };
        let id = self.calls.start_own(&mut request);
        let segment = self.encode(&Frame::file_request(request))?;
        self.numbers.send(id, FileOp::CLOSE, segment, &mut self.link.outbox);
        Ok(())
    }

    /// Gives a request up; false when it is not in flight. Once sent, the agent still performs it.
    ///
    /// A handle in its late answer is closed, unless the configuration says otherwise.
    pub fn cancel(&mut self, id: u32) -> bool {
        let found = if self.numbers.forget(id) {
            self.calls.undo(id);
            true
        } else {
            // The question still decides about every other request, and must be answered in time.
            if !self.numbers.asks(id) {
                self.waits.over(id);
            }
            self.calls.cancel(id)
        };
        self.tell_requesters();
        found
    }

    /// Requests in flight.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.calls.waiting()
    }

    pub(super) fn answer(&mut self, frame: Frame) {
        let Some(response) = frame.file_response else {
            self.link.stats.frames_dropped += 1;
            return;
        };
        let id = response.id;
        self.waits.over(id);
        let refused = match self.numbers.answer(&response, &mut self.link.outbox) {
            Answered::Ask => return,
            Answered::Early => return self.drop_response(id),
            Answered::Request => None,
            Answered::Refused { own, violation } => {
                if own {
                    return self.fail(violation);
                }
                Some(violation)
            }
        };
        match self.calls.answer(*response) {
            Answer::Deliver(response) => self.link.hand_over(LocalEvent::Response(response)),
            Answer::Own => {}
            answer @ (Answer::Drop | Answer::Close(_)) => {
                self.drop_response(id);
                if let Answer::Close(handle) = answer {
                    // A request without lists always encodes, and the session goes on.
                    let _ = self.close_handle(handle);
                }
            }
        }
        match refused {
            Some(violation) => self.fail(violation),
            None => self.tell_requesters(),
        }
    }

    /// Notes when the request that was just handed out leaves.
    pub(super) fn request_leaves(&mut self, now: Instant) {
        if core::mem::take(&mut self.expecting) {
            self.link.now = now;
            self.expect_answer();
        }
        if let Some(id) = self.link.outbox.left()
            && (self.calls.is_awaited(id) || self.numbers.asks(id))
        {
            self.waits.sent(id, self.calls.is_slow(id), now);
        }
    }

    /// Gives up what was not answered in time.
    pub(super) fn give_requests_up(&mut self, now: Instant) {
        while self.deadline.is_none()
            && let Some(id) = self.waits.due(now)
        {
            if self.numbers.asks(id) {
                // Everything else waits for this answer.
                return self.unanswered();
            }
            if self.calls.cancel(id) {
                self.link.tell(LocalEvent::RequestTimedOut(id));
            } else {
                self.calls.forget_own(id);
            }
        }
        self.tell_requesters();
    }

    const fn drop_response(&mut self, id: u32) {
        self.link.stats.responses_dropped += 1;
        self.link.stats.last_dropped_response = Some(id);
    }
}
