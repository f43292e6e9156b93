//! The agent side: runs the command, lists the programs, serves the files.
//! `docs/protocols/agentproto.md` sections 6 to 8.

mod frames;
mod unanswered;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use crate::agentproto::config::{Config, LostInput};
use crate::agentproto::encode::encode;
use crate::agentproto::fileop::{FileRequest, FileResponse};
use crate::agentproto::frame::{
    AgentConfig, ExecRequest, Frame, FrameType, LogRecord, PathEntry, PathInfo, PathQuery,
};
use crate::agentproto::inbox::Read;
use crate::agentproto::link::{Link, Stats};
use crate::agentproto::log::{Level, cut};
use crate::agentproto::outbox::Write;
use crate::{CloseReason, Instant, Machine, Segment};
use unanswered::Unanswered;

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
    /// Send this signal (0 to 64, unless the settings let any pass) to the command's process group.
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
    step: Step,
}

/// What a hang-up does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    HangUp,
    Kill,
    /// Waits no longer for the end of the command's outputs.
    Close,
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
/// | start | the first FILE REQUEST is one of version 1.2 | answered with errno 38, closed, status 127 |
/// | start | anything else, or nothing | a log record, closed, status 127; never an exit frame |
/// | running | DATA, EOF of a stream of the command | queued; `Readable` |
/// | running | SIGNAL | `Signal`, at once, whatever waits for the command |
/// | running | EXIT, end of input, violation | the caller is gone: see [`LostInput`] |
/// | running | `exited`, and every output finished | EXIT is sent behind all output |
/// | exited | end of input | closed, status 0 |
/// | listing | `paths` | PATH INFO, closed, status 0 |
/// | serving files | FILE REQUEST | `FileRequest`; answered in any order |
/// | serving files | EXIT, end of input, violation | closed once every request is answered, or none for too long |
/// | any | anything else | dropped and counted |
#[derive(Debug)]
pub struct Agent {
    link: Link<AgentEvent>,
    state: State,
    config: Option<AgentConfig>,
    /// Frames are no longer looked at; only the end of input matters.
    deaf: bool,
    hang_up: Option<HangUp>,
    /// The hang-up has begun; it does not begin twice.
    hanging_up: bool,
    unanswered: Unanswered,
    /// A file request has come.
    asked: bool,
    /// Why a file service is over, while requests are unanswered.
    over: Option<CloseReason>,
    /// When the next of the last answers must have come.
    answer_due: Option<Instant>,
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
            hanging_up: false,
            unanswered: Unanswered::default(),
            asked: false,
            over: None,
            answer_due: None,
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
    pub fn signal_failed(&mut self, signal: impl Into<i64>, text: &str) {
        let signal = signal.into();
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
        match read {
            Read::Empty if self.link.closed.is_some() => Read::Lost,
            read => read,
        }
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
            size < limits.frame.saturating_sub(ENTRY)
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

    /// Refuses a PATH query, with this text.
    pub fn paths_refused(&mut self, text: &str) {
        if self.state != State::Listing {
            return;
        }
        self.log(LogRecord::new(Level::ERROR, "path enumeration refused").with("error", text));
        let mut text = String::from(text);
        cut(&mut text, self.link.config.limits.exit_text);
        let frame = Frame { error: text, ..Frame::of(FrameType::ERROR) };
        // Without a list it encodes.
        let _ = self.link.outbox.control(&frame);
        self.status = 127;
        self.close(CloseReason::Local);
    }

    /// Answers a file request; behind the end of the session nothing leaves any more.
    pub fn respond(&mut self, response: FileResponse) {
        const EOVERFLOW: u32 = 75;
        if self.state == State::Over {
            return;
        }
        let id = response.id;
        if !self.unanswered.release(id) {
            // An answer too many would be taken for that of another request.
            return;
        }
        self.await_answers();
        let most = self.link.config.limits.frame;
        let failure = match encode(&Frame::file_response(response)) {
            Ok(segment) if segment.len() <= most => {
                self.link.outbox.push(segment);
                None
            }
            Ok(segment) => {
                Some(format!("an answer of {} bytes; a frame takes at most {most}", segment.len()))
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(message) = failure {
            let failure = FileResponse { id, errno: EOVERFLOW, message, ..FileResponse::default() };
            // Without a list it encodes.
            let _ = self.link.outbox.control(&Frame::file_response(failure));
        }
        if self.deaf {
            self.close_when_answered();
        } else {
            self.pump();
        }
    }

    /// Whether what waits to be sent leaves room for answers. A host begins no request while it does
    /// not: then the answers that exist are those that wait, 8 MiB by default, and those of the few
    /// requests that are being performed.
    ///
    /// Requests are taken in all the same, up to the limits of section 15: what their answers may take
    /// is not counted, or a few reads of a file that hangs would stop all others.
    #[must_use]
    pub fn takes_answers(&self) -> bool {
        self.link.outbox.control_bytes() < self.link.config.limits.session_queue.max(1)
    }

    /// Sends a log record, if its level is wanted; a long one is cut.
    pub fn log(&mut self, mut record: LogRecord) {
        if record.level >= self.link.config.log_level && self.state != State::Over {
            record.truncate(self.link.config.limits.log_record);
            // Cut to the limit, it encodes.
            let _ = self.link.outbox.control(&Frame::log(record));
        }
    }

    /// Time from a hang-up to the kill.
    const fn grace(&self) -> Duration {
        match self.link.config.lost_input {
            LostInput::HangUp { grace } => grace,
            LostInput::EndStreams | LostInput::Ignore => KILL_AFTER,
        }
    }

    /// Ends the session in order: what is queued is still sent. A running command is the host's
    /// to end.
    pub fn end(&mut self) {
        self.close(CloseReason::Local);
    }

    /// Sends a running command this signal at once, and kills it after the grace time: the agent
    /// itself is asked to end. Without a command the session is closed.
    pub fn hang_up(&mut self, now: Instant, signal: i32) {
        self.link.now = now;
        if matches!(self.state, State::Running | State::ChildDone { .. }) {
            self.deaf = true;
            for stream in self.link.inbox.end_all() {
                self.link.tell(AgentEvent::Readable(stream));
            }
            self.hanging_up = true;
            self.link.tell(AgentEvent::Signal(signal));
            let grace = self.grace();
            self.hang_up = Some(HangUp { at: now + grace, step: Step::Kill });
        } else {
            self.close(CloseReason::Local);
        }
    }

    /// The peer has hung up, though what it sent may not all have been read: for a driver that sees
    /// it while [`wants_input`](Machine::wants_input) is false. Requests that were sent before are
    /// still performed; without an answer for too long the session is over (section 15).
    pub fn peer_gone(&mut self, now: Instant) {
        self.link.now = now;
        self.caller_gone();
        self.end_files(CloseReason::Transport { os_error: None });
    }

    // What the wire brings.

    /// The input has ended, though not all of it may have been looked at.
    fn after_input(&mut self) {
        self.pump();
        self.caller_gone();
        if let Some(reason) = self.link.how_input_ended().cloned() {
            self.end_files(reason);
        }
        self.exit_when_drained();
        self.close_when_input_ended();
    }

    /// Files are served for as long as answers come: requests that are never answered keep what came
    /// behind them, and so the end, from being looked at.
    fn end_files(&mut self, reason: CloseReason) {
        if self.state == State::Files && self.over.is_none() {
            self.over = Some(reason);
            self.await_answers();
        }
    }

    /// Tells the host to try outputs again that were refused: there is room, or never will be.
    fn tell_writers(&mut self) {
        if self.link.closed.is_none() {
            for stream in self.link.outbox.writable() {
                self.link.tell(AgentEvent::Writable(stream));
            }
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
        self.after_input();
    }

    /// Either direction failing means that the caller is gone.
    fn handle_failure(&mut self, now: Instant, direction: crate::Direction, os_error: Option<i32>) {
        self.link.end_input(now, Some(CloseReason::Transport { os_error }));
        if direction == crate::Direction::Write {
            self.link.mute(os_error);
            self.tell_writers();
        }
        self.after_input();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.link.now = now;
        if self.answer_due.is_some_and(|due| due <= now) {
            let reason = self.over.take().unwrap_or(CloseReason::Local);
            return self.close(reason);
        }
        let Some(due) = self.hang_up.filter(|due| due.at <= now) else { return };
        let at = now + self.grace();
        let (signal, next) = match due.step {
            Step::HangUp => (SIGHUP, Step::Kill),
            Step::Kill => (SIGKILL, Step::Close),
            // What is out of reach of every signal must not keep the session for ever.
            Step::Close => {
                let reason = self.link.how_input_ended().cloned().unwrap_or(CloseReason::Local);
                return self.close(reason);
            }
        };
        self.link.tell(AgentEvent::Signal(signal));
        self.hang_up = Some(HangUp { at, step: next });
    }

    fn wants_input(&self) -> bool {
        self.link.is_open() && (self.deaf || self.link.wants_input() && !self.is_busy())
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Segment> {
        let segment = self.link.transmit();
        if segment.is_some() {
            self.link.now = now;
            self.await_answers();
            self.tell_writers();
            self.pump();
        }
        segment
    }

    fn poll_timeout(&self) -> Option<Instant> {
        // A session has one purpose: never both.
        self.hang_up.map(|due| due.at).or(self.answer_due)
    }

    fn poll_event(&mut self) -> Option<AgentEvent> {
        if !self.link.has_events() {
            self.pump();
        }
        self.link.pop_event()
    }

    fn closed(&self) -> Option<&CloseReason> {
        self.link.closed.as_ref()
    }
}
