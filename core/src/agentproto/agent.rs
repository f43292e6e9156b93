//! The agent side: runs the command, lists the programs, serves the files.
//! `docs/protocols/agentproto.md` sections 6 to 8.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::config::{Config, LogArguments, LostInput};
use super::fileop::{FileRequest, FileResponse};
use super::frame::{
    AgentConfig, ExecRequest, Frame, FrameType, LogRecord, PathEntry, PathInfo, PathQuery,
};
use super::inbox::Read;
use super::link::{Link, Next, Stats};
use super::local::descriptors_fit;
use super::log::Level;
use super::outbox::Write;
use crate::{CloseReason, Instant, Machine, Segment, Violation};

/// What an [`Agent`] asks of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentEvent {
    /// Start this command, then call [`Agent::started`], or say why not.
    ///
    /// With a configuration, the environment must be filtered by it (section 9).
    Exec(ExecRequest, Option<AgentConfig>),
    /// List these directories, or the host's own PATH, then call [`Agent::paths`].
    PathQuery(PathQuery),
    /// Perform this operation, then call [`Agent::respond`]; in any order.
    FileRequest(FileRequest),
    /// Send this signal (0 to 64) to the command's process group.
    Signal(i32),
    /// This stream has bytes for the command, or has ended: read it until it is empty.
    Readable(u32),
    /// This output has room again after a write was refused.
    Writable(u32),
    /// The session is over. The last event.
    Closed(CloseReason),
}

/// Where the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No frame yet.
    Start,
    /// A configuration, and nothing else.
    Configured,
    /// The command was handed to the host.
    Running,
    /// The command has ended, its outputs may not have.
    ChildDone { code: i64 },
    /// The exit frame is queued or sent.
    Exited,
    /// The query was handed to the host.
    Listing,
    /// Serving files.
    Files,
    /// Nothing more will happen.
    Over,
}

/// How far the hang-up of a command whose caller is gone has come.
#[derive(Clone, Copy, Debug)]
struct HangUp {
    at: Instant,
    signal: i32,
}

/// Time from a hang-up that was asked for to the kill, where the settings name none.
const KILL_AFTER: Duration = Duration::from_secs(5);

const SIGHUP: i32 = 1;
const SIGKILL: i32 = 9;

/// What keeping one entry costs on the wire beside its texts, at most.
const ENTRY: usize = 48;

/// The agent side of one session.
///
/// | state | what comes | what happens |
/// |---|---|---|
/// | start | CONFIG | kept, once; then the same again |
/// | start | EXEC, PATH QUERY, FILE REQUEST | `Exec`, `PathQuery` or `FileRequest`: the session's purpose |
/// | start | anything else, or nothing | a log record, closed, status 127; never an exit frame |
/// | running | DATA, EOF of a stream of the command | queued; `Readable` |
/// | running | SIGNAL | `Signal`, at once, whatever waits for the command |
/// | running | EXIT, end of input, violation | the caller is gone: see [`LostInput`] |
/// | running | `exited`, and every output finished | EXIT is sent behind all output |
/// | exited | end of input | closed, status 0 |
/// | listing | `paths` | PATH INFO, closed, status 0 |
/// | serving files | FILE REQUEST | `FileRequest`; answered in any order |
/// | serving files | EXIT, end of input, violation | closed once every request is answered |
/// | any | anything else | dropped and counted |
#[derive(Debug)]
pub struct Agent {
    link: Link<AgentEvent>,
    state: State,
    config: Option<AgentConfig>,
    /// Frames are no longer looked at; only the end of input matters.
    deaf: bool,
    hang_up: Option<HangUp>,
    unanswered: usize,
    status: u8,
}

impl Agent {
    /// A session that waits for its first frame.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            link: Link::new(config),
            state: State::Start,
            config: None,
            deaf: false,
            hang_up: None,
            unanswered: 0,
            status: 0,
        }
    }

    /// What an agent process exits with: 127 when it was refused its purpose, else 0.
    #[must_use]
    pub const fn status(&self) -> u8 {
        self.status
    }

    /// Counters of the session.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.link.stats()
    }

    // What the host reports.

    /// The command runs, under this process number.
    pub fn started(&mut self, pid: u32) {
        self.log(LogRecord::new(Level::TRACE, "child started").with("pid", pid));
    }

    /// The command could not be prepared: an exit frame with code 127 and this text.
    pub fn build_failed(&mut self, text: &str) {
        self.log(LogRecord::new(Level::ERROR, "build command failed").with("error", text));
        self.status = 127;
        self.exit(127, text);
    }

    /// The command could not be started: an exit frame with code 127 and this text.
    pub fn start_failed(&mut self, text: &str) {
        self.log(LogRecord::new(Level::INFO, "start command failed").with("error", text));
        self.exit(127, text);
    }

    /// The command has ended with this exit code, 128+n for signal n. The exit frame follows once
    /// every output is finished.
    pub fn exited(&mut self, code: i64) {
        if self.state == State::Running {
            self.log(LogRecord::new(Level::DEBUG, "child exited").with("code", code));
            self.state = State::ChildDone { code };
            self.exit_when_drained();
        }
    }

    /// A signal could not be delivered.
    pub fn signal_failed(&mut self, signal: i32, text: &str) {
        let record = LogRecord::new(Level::WARN, "failed to send signal to child group");
        self.log(record.with("signal", signal).with("error", text));
    }

    /// Offers output of the command; it is queued, not copied.
    pub fn write(&mut self, stream: u32, data: &Bytes) -> Write {
        self.link.outbox.write(stream, data)
    }

    /// An output of the command has ended.
    pub fn finish(&mut self, stream: u32) {
        self.link.outbox.finish(stream);
        self.exit_when_drained();
    }

    /// Takes up to `max` bytes for a stream of the command.
    ///
    /// Reading may let the session take in more of what has arrived, and so raise events.
    pub fn read(&mut self, stream: u32, max: usize) -> Read {
        let read = self.link.inbox.read(stream, max);
        if matches!(read, Read::Data(_)) {
            self.pump();
        }
        read
    }

    /// The command no longer reads this stream: what comes for it is dropped.
    pub fn forget(&mut self, stream: u32) {
        self.link.inbox.forget(stream);
        self.pump();
    }

    /// Answers a PATH query. What no receiver could take is left out, and a log record says so.
    pub fn paths(&mut self, mut entries: Vec<PathEntry>) {
        if self.state != State::Listing {
            return;
        }
        let limits = &self.link.config.limits;
        let (mut size, found) = (0_usize, entries.len());
        let fits = |entry: &&PathEntry| {
            size += entry.name.len() + entry.path.len() + ENTRY;
            size < limits.frame - ENTRY
        };
        let fitting = entries.iter().take(limits.elements).take_while(fits).count();
        entries.truncate(fitting);
        if fitting < found {
            let record = LogRecord::new(Level::WARN, "path enumeration cut short");
            self.log(record.with("found", found).with("sent", fitting));
        }
        self.log(LogRecord::new(Level::TRACE, "path enumeration complete").with("count", fitting));
        let entries = Some(entries).filter(|entries| !entries.is_empty());
        // Held to the limits above.
        let _ = self.link.outbox.control(&Frame::path_info(PathInfo { entries }));
        self.close(CloseReason::Local);
    }

    /// Answers a file request.
    pub fn respond(&mut self, response: FileResponse) {
        const EOVERFLOW: u32 = 75;
        self.unanswered = self.unanswered.saturating_sub(1);
        let id = response.id;
        if let Err(error) = self.link.outbox.control(&Frame::file_response(response)) {
            let failure = FileResponse {
                id,
                errno: EOVERFLOW,
                message: error.to_string(),
                ..FileResponse::default()
            };
            // Without a list it encodes.
            let _ = self.link.outbox.control(&Frame::file_response(failure));
        }
        if self.deaf {
            self.close_when_answered(None);
        } else {
            self.pump();
        }
    }

    /// Sends a log record, if its level is wanted; a long one is cut.
    pub fn log(&mut self, mut record: LogRecord) {
        if record.level >= self.link.config.log_level && self.state != State::Over {
            record.truncate(self.link.config.limits.log_record);
            // Cut to the limit, it encodes.
            let _ = self.link.outbox.control(&Frame::log(record));
        }
    }

    /// Ends the session in order: what is queued is still sent. A running command is the host's
    /// to end.
    pub fn end(&mut self) {
        self.close(CloseReason::Local);
    }

    /// Hangs a running command up at once, and kills it after the grace time: the agent itself is
    /// asked to end. Without a command the session is closed.
    pub fn hang_up(&mut self, now: Instant) {
        self.link.now = now;
        if matches!(self.state, State::Running | State::ChildDone { .. }) {
            self.deaf = true;
            for stream in self.link.inbox.end_all() {
                self.link.events.push_back(AgentEvent::Readable(stream));
            }
            self.hang_up = Some(HangUp { at: now, signal: SIGHUP });
            self.handle_timeout(now);
        } else {
            self.close(CloseReason::Local);
        }
    }

    // What the wire brings.

    fn pump(&mut self) {
        while self.link.closed.is_none() && !self.deaf && !self.is_busy() {
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
    fn is_busy(&self) -> bool {
        let limits = &self.link.config.limits;
        self.link.outbox.control_len() >= limits.replies || self.unanswered >= limits.in_flight
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
                self.link.events.push_back(AgentEvent::PathQuery(query));
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
                    super::Violation::FirstFrame { kind },
                )));
            }
        }
    }

    fn exec(&mut self, exec: ExecRequest) {
        let argv = exec.argv.as_deref().unwrap_or_default();
        let argv = match self.link.config.log_arguments {
            LogArguments::Show => format!("[{}]", argv.join(" ")),
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
        self.link.events.push_back(AgentEvent::Exec(exec, self.config.take()));
    }

    fn exec_frame(&mut self, frame: Frame) {
        match frame.kind {
            FrameType::DATA => {
                let stream = frame.stream;
                if self.link.data(frame) {
                    self.link.events.push_back(AgentEvent::Readable(stream));
                }
            }
            FrameType::EOF => {
                let taken = self.link.inbox.eof(frame.stream);
                if self.link.note(taken) {
                    self.link.events.push_back(AgentEvent::Readable(frame.stream));
                }
            }
            FrameType::SIGNAL => match i32::try_from(frame.signal) {
                Ok(signal @ 0..=64) => {
                    let record = LogRecord::new(Level::TRACE, "forwarding signal to child");
                    self.log(record.with("signal", signal));
                    self.link.events.push_back(AgentEvent::Signal(signal));
                }
                _ => {
                    let record =
                        LogRecord::new(Level::WARN, "failed to send signal to child group");
                    self.log(
                        record.with("signal", frame.signal).with("error", "no such signal number"),
                    );
                }
            },
            FrameType::EXIT => self.lost(),
            _ => self.link.stats.frames_dropped += 1,
        }
    }

    fn file_frame(&mut self, frame: Frame) {
        match frame {
            Frame { kind: FrameType::FILE_REQUEST, file_request: Some(request), .. } => {
                self.unanswered += 1;
                self.link.events.push_back(AgentEvent::FileRequest(*request));
            }
            Frame { kind: FrameType::EXIT, .. } => self.close_when_answered(None),
            _ => self.link.stats.frames_dropped += 1,
        }
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
            State::Files => self.close_when_answered(trouble),
            State::Listing | State::Exited | State::Over => self.deaf = true,
        }
    }

    /// The caller is gone while the command runs (hazard H8).
    fn lost(&mut self) {
        self.deaf = true;
        let policy = self.link.config.lost_input;
        if policy == LostInput::Ignore {
            return;
        }
        for stream in self.link.inbox.end_all() {
            self.link.events.push_back(AgentEvent::Readable(stream));
        }
        if let LostInput::HangUp { grace } = policy {
            self.hang_up = Some(HangUp { at: self.link.now + grace, signal: SIGHUP });
        }
    }

    fn close_when_answered(&mut self, trouble: Option<String>) {
        self.deaf = true;
        if let Some(error) = trouble {
            self.log(
                LogRecord::new(Level::WARN, "file-op read loop ended with error")
                    .with("error", error),
            );
        }
        if self.unanswered == 0 {
            self.close(CloseReason::Eof { mid_frame: false });
        }
    }

    fn refuse(&mut self, reason: CloseReason) {
        self.status = 127;
        self.close(reason);
    }

    fn exit_when_drained(&mut self) {
        if let State::ChildDone { code } = self.state
            && self.link.outbox.all_finished()
        {
            self.exit(code, "");
        }
    }

    /// Queues the exit frame behind everything else. What still comes in is thrown away, so that
    /// unread stdin cannot keep the end of input from being seen (hazard H10).
    fn exit(&mut self, code: i64, text: &str) {
        if matches!(self.state, State::Running | State::ChildDone { .. }) {
            self.link.outbox.last(&Frame::exit(code, text));
            self.state = State::Exited;
            self.deaf = true;
            self.hang_up = None;
            self.link.inbox.forget_all();
            self.close_when_input_ended();
        }
    }

    fn close_when_input_ended(&mut self) {
        if self.state == State::Exited && self.link.input_ended() {
            self.close(CloseReason::Eof { mid_frame: false });
        }
    }

    fn close(&mut self, reason: CloseReason) {
        if self.link.closed.is_none() {
            self.state = State::Over;
            self.deaf = true;
            self.hang_up = None;
            self.link.closed = Some(reason.clone());
            self.link.events.push_back(AgentEvent::Closed(reason));
        }
    }
}

impl Machine for Agent {
    type Input = Bytes;
    type Output = Segment;
    type Event = AgentEvent;

    fn handle_input(&mut self, now: Instant, input: Bytes) {
        if self.deaf {
            self.link.now = now;
        } else {
            self.link.input(now, input);
            self.pump();
        }
    }

    fn handle_eof(&mut self, now: Instant) {
        self.link.end_input(now, None);
        self.pump();
        self.close_when_input_ended();
    }

    /// Either direction failing means that the caller is gone.
    fn handle_failure(&mut self, now: Instant, direction: crate::Direction, os_error: Option<i32>) {
        self.link.end_input(now, Some(CloseReason::Transport { os_error }));
        if direction == crate::Direction::Write {
            self.link.mute();
        }
        self.pump();
        if matches!(self.state, State::Running | State::ChildDone { .. }) && self.hang_up.is_none()
        {
            self.lost();
        }
        self.exit_when_drained();
        self.close_when_input_ended();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.link.now = now;
        let Some(due) = self.hang_up.filter(|due| due.at <= now) else { return };
        self.link.events.push_back(AgentEvent::Signal(due.signal));
        let grace = match self.link.config.lost_input {
            LostInput::HangUp { grace } => grace,
            LostInput::EndStreams | LostInput::Ignore => KILL_AFTER,
        };
        self.hang_up =
            (due.signal == SIGHUP).then_some(HangUp { at: now + grace, signal: SIGKILL });
    }

    fn wants_input(&self) -> bool {
        let open = self.link.closed.is_none() && !self.link.input_ended();
        open && (self.deaf || !self.link.is_held() && !self.is_busy())
    }

    fn poll_transmit(&mut self, _now: Instant) -> Option<Segment> {
        let segment = self.link.transmit()?;
        for stream in self.link.outbox.writable() {
            self.link.events.push_back(AgentEvent::Writable(stream));
        }
        self.pump();
        Some(segment)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.hang_up.map(|due| due.at)
    }

    fn poll_event(&mut self) -> Option<AgentEvent> {
        if self.link.events.is_empty() {
            self.pump();
        }
        self.link.events.pop_front()
    }

    fn closed(&self) -> Option<&CloseReason> {
        self.link.closed.as_ref()
    }
}
