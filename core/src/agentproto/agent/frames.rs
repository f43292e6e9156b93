//! What the wire brings to an agent: `docs/protocols/agentproto.md` sections 6 to 8.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

use super::{Agent, AgentEvent, HangUp, State, Step};
use crate::agentproto::config::{LogArguments, LostInput, SignalNumbers};
use crate::agentproto::fileop::FileResponse;
use crate::agentproto::frame::{ExecRequest, Frame, FrameType, LogRecord};
use crate::agentproto::link::Next;
use crate::agentproto::local::descriptors_fit;
use crate::agentproto::log::{Level, cut};
use crate::agentproto::numbers::{are_verified, is_of_an_old_client};
use crate::{CloseReason, Violation, agentproto};

/// ENOSYS, the number for an operation that is not known.
const ENOSYS: u32 = 38;

impl Agent {
    pub(super) fn pump(&mut self) {
        while self.link.closed.is_none() && !self.link.is_drained() && !self.deaf && !self.is_busy()
        {
            if matches!(self.state, State::Running | State::ChildDone { .. })
                && let Some((stream, data)) = self.link.next_data()
            {
                self.data(stream, Some(data));
                continue;
            }
            match self.link.next() {
                Next::Frame(frame) => self.dispatch(frame),
                Next::Held | Next::Nothing(None) => return,
                Next::Nothing(Some(reason)) => self.input_over(reason),
                Next::Failed(violation) => {
                    self.input_over(CloseReason::Violation(Violation::Agentproto(violation)));
                }
            }
        }
    }

    /// Whether the peer must take answers before it is listened to again (section 15).
    pub(super) fn is_busy(&self) -> bool {
        let (limits, outbox) = (&self.link.config.limits, &self.link.outbox);
        let (queued, unanswered) = (outbox.control_len(), self.unanswered.len());
        // Mostly there is nothing of either, and this is asked for every frame.
        queued > 0 && queued >= limits.replies
            || unanswered > 0 && unanswered >= limits.in_flight
            || queued + unanswered > 0
                && outbox.control_bytes().saturating_add(self.unanswered.cost())
                    >= limits.session_queue.max(1)
    }

    fn dispatch(&mut self, frame: Frame) {
        match self.state {
            State::Start | State::Configured => self.first(frame),
            State::Running | State::ChildDone { .. } => self.exec_frame(frame),
            State::Files => self.file_frame(frame),
            State::Exited | State::Listing | State::Over => self.link.stats.frames_dropped += 1,
        }
    }

    /// The frame that says what the session is for.
    fn first(&mut self, frame: Frame) {
        let kind = frame.kind;
        match (kind, frame) {
            (FrameType::CONFIG, Frame { config: Some(config), .. })
                if self.state == State::Start =>
            {
                let count = |list: &Option<Vec<String>>| list.as_ref().map_or(0, Vec::len);
                self.log(
                    LogRecord::new(Level::TRACE, "received agent config")
                        .with("env_keep", count(&config.env_keep))
                        .with("env_remove", count(&config.env_remove)),
                );
                self.config = Some(*config);
                self.state = State::Configured;
            }
            (FrameType::EXEC, Frame { exec: Some(exec), .. }) => self.exec(*exec),
            (FrameType::PATH_QUERY, Frame { path_query, .. }) => {
                self.state = State::Listing;
                let query = path_query.map(|query| *query).unwrap_or_default();
                self.link.tell(AgentEvent::PathQuery(query));
            }
            (FrameType::FILE_REQUEST, frame) => {
                self.state = State::Files;
                self.file_frame(frame);
            }
            _ => {
                let record =
                    LogRecord::new(Level::ERROR, "expected exec, path-query or file-op frame");
                self.log(record.with("type", kind.0));
                self.refuse(CloseReason::Violation(Violation::Agentproto(
                    agentproto::Violation::FirstFrame { kind },
                )));
            }
        }
    }

    fn exec(&mut self, exec: ExecRequest) {
        let argv = exec.argv.as_deref().unwrap_or_default();
        let argv = match self.link.config.log_arguments {
            LogArguments::Show => list(argv, self.link.config.limits.log_record),
            LogArguments::Redact => format!("[{} arguments]", argv.len()),
        };
        let record = LogRecord::new(Level::TRACE, "building command");
        self.log(record.with("path", &exec.path).with("argv", argv).with("cwd", &exec.cwd));
        self.state = State::Running;
        let limits = &self.link.config.limits;
        if !descriptors_fit(&exec.fds, limits.extra_streams, limits.highest_stream) {
            let text = format!(
                "extra descriptors must be 3 to {}, each once, at most {}",
                limits.highest_stream, limits.extra_streams
            );
            return self.build_failed(&text);
        }
        self.link.inbox.open(0);
        self.link.outbox.open(1);
        self.link.outbox.open(2);
        for fd in &exec.fds {
            self.link.inbox.open(*fd);
            self.link.outbox.open(*fd);
        }
        self.link.tell(AgentEvent::Exec(exec, self.config.take()));
    }

    #[inline]
    fn data(&mut self, stream: u32, pieces: impl IntoIterator<Item = Bytes>) {
        if self.link.data(stream, pieces) {
            self.link.tell(AgentEvent::Readable(stream));
        }
    }

    fn exec_frame(&mut self, frame: Frame) {
        match frame.kind {
            FrameType::DATA => {
                self.data(frame.stream, frame.data.into_pieces());
            }
            FrameType::EOF => {
                let taken = self.link.inbox.eof(frame.stream);
                if self.link.note(taken) {
                    self.link.tell(AgentEvent::Readable(frame.stream));
                }
            }
            FrameType::SIGNAL => self.signal(frame.signal),
            FrameType::EXIT => self.lost(),
            _ => self.link.stats.frames_dropped += 1,
        }
    }

    fn signal(&mut self, number: i64) {
        let known = (0..=64).contains(&number);
        if !known && self.link.config.signal_numbers == SignalNumbers::Known {
            return self.signal_failed(number, "no such signal number");
        }
        let record = LogRecord::new(Level::TRACE, "forwarding signal to child");
        self.log(record.with("signal", number));
        // What does not fit is no signal on any system.
        self.link.tell(AgentEvent::Signal(i32::try_from(number).unwrap_or(i32::MAX)));
    }

    fn file_frame(&mut self, frame: Frame) {
        match frame {
            Frame { kind: FrameType::FILE_REQUEST, file_request: Some(request), .. } => {
                let is_first = !core::mem::replace(&mut self.asked, true);
                if is_first
                    && are_verified(self.link.config.op_numbers)
                    && is_of_an_old_client(&request)
                {
                    return self.refuse_old_client(request.id);
                }
                self.unanswered.charge(request.id, self.link.decoder.cost());
                self.link.hand_over(AgentEvent::FileRequest(*request));
            }
            Frame { kind: FrameType::EXIT, code, error: text, .. } => {
                self.files_over(CloseReason::Peer { code, text });
            }
            _ => self.link.stats.frames_dropped += 1,
        }
    }

    /// The client means other operations by its numbers: not one of them may be performed.
    fn refuse_old_client(&mut self, id: u32) {
        let violation = agentproto::Violation::OldClient;
        let message = violation.to_string();
        let record = LogRecord::new(Level::ERROR, "expected a client of version 1.3");
        self.log(record.with("error", &message));
        let answer = FileResponse { id, errno: ENOSYS, message, ..FileResponse::default() };
        // Without a list it encodes.
        let _ = self.link.outbox.control(&Frame::file_response(answer));
        self.refuse(CloseReason::Violation(Violation::Agentproto(violation)));
    }

    /// No frame will come any more: the input ended, failed, or broke a rule.
    fn input_over(&mut self, reason: CloseReason) {
        let trouble = match &reason {
            CloseReason::Eof { mid_frame: false } => None,
            CloseReason::Eof { mid_frame: true } => Some("unexpected EOF".to_string()),
            reason => Some(reason.to_string()),
        };
        match self.state {
            State::Start | State::Configured => {
                let error = trouble.unwrap_or_else(|| "EOF".to_string());
                self.log(
                    LogRecord::new(Level::ERROR, "reading initial frame failed")
                        .with("error", error),
                );
                self.refuse(reason);
            }
            State::Running | State::ChildDone { .. } => {
                if let Some(error) = trouble {
                    self.log(
                        LogRecord::new(Level::WARN, "mux read loop ended with error")
                            .with("error", error),
                    );
                }
                self.lost();
            }
            State::Files => {
                if let Some(error) = trouble {
                    let record = LogRecord::new(Level::WARN, "file-op read loop ended with error");
                    self.log(record.with("error", error));
                }
                self.files_over(reason);
            }
            // A directory that hangs must not keep the session for ever.
            State::Listing => {
                self.deaf = true;
                self.over = Some(reason);
                self.await_answers();
            }
            State::Exited | State::Over => self.deaf = true,
        }
    }

    /// No more input for the command, while it runs (hazard H8).
    fn lost(&mut self) {
        self.deaf = true;
        if self.link.config.lost_input == LostInput::Ignore {
            return;
        }
        for stream in self.link.inbox.end_all() {
            self.link.tell(AgentEvent::Readable(stream));
        }
        self.caller_gone();
    }

    /// The caller is gone: the hang-up begins, once, though there may still be input to read.
    pub(super) fn caller_gone(&mut self) {
        let running = matches!(self.state, State::Running | State::ChildDone { .. });
        if let LostInput::HangUp { grace } = self.link.config.lost_input
            && running
            && !core::mem::replace(&mut self.hanging_up, true)
        {
            self.hang_up = Some(HangUp { at: self.link.now + grace, step: Step::HangUp });
        }
    }

    /// No more requests: the service is over for this reason once every request is answered, or
    /// the host has given no answer for too long.
    fn files_over(&mut self, reason: CloseReason) {
        self.deaf = true;
        self.over = Some(reason);
        self.await_answers();
        self.close_when_answered();
    }

    /// Begins to wait for the next of the last answers.
    pub(super) fn await_answers(&mut self) {
        if self.over.is_some()
            && let Some(time) = self.link.config.last_answers
        {
            self.answer_due = Some(self.link.now + time);
        }
    }

    pub(super) fn close_when_answered(&mut self) {
        if self.unanswered.len() == 0
            && let Some(reason) = self.over.take()
        {
            self.close(reason);
        }
    }

    fn refuse(&mut self, reason: CloseReason) {
        self.status = 127;
        self.close(reason);
    }

    pub(super) fn exit_when_drained(&mut self) {
        if let State::ChildDone { code } = self.state
            && self.link.outbox.all_finished()
        {
            self.exit(code, "");
        }
    }

    /// Queues the exit frame behind everything else. What still comes in is thrown away, so that
    /// unread stdin cannot keep the end of input from being seen (hazard H10).
    pub(super) fn exit(&mut self, code: i64, text: &str) {
        if matches!(self.state, State::Running | State::ChildDone { .. }) {
            self.link.outbox.shut();
            let mut text = String::from(text);
            // Beyond the limit of a frame the caller would lose the code with the text.
            cut(&mut text, self.link.config.limits.exit_text);
            self.link.outbox.last(&Frame::exit(code, text));
            self.state = State::Exited;
            self.deaf = true;
            self.hang_up = None;
            self.link.inbox.forget_all();
            self.close_when_input_ended();
        }
    }

    pub(super) fn close_when_input_ended(&mut self) {
        if self.state == State::Exited
            && let Some(reason) = self.link.how_input_ended().cloned()
        {
            self.close(reason);
        }
    }

    pub(super) fn close(&mut self, reason: CloseReason) {
        if self.link.closed.is_none() {
            self.state = State::Over;
            self.deaf = true;
            self.hang_up = None;
            (self.over, self.answer_due) = (None, None);
            self.link.outbox.shut();
            self.link.closed = Some(reason.clone());
            self.link.tell(AgentEvent::Closed(reason));
        }
    }
}

/// `[a b c]`, cut at a word once it is longer than `most` bytes.
fn list(words: &[String], most: usize) -> String {
    let mut text = String::from("[");
    for (index, word) in words.iter().enumerate() {
        if text.len() > most {
            break;
        }
        if index > 0 {
            text.push(' ');
        }
        let cut = word.floor_char_boundary(most);
        text.push_str(word.get(..cut).unwrap_or_default());
    }
    text.push(']');
    text
}
