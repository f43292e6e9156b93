//! The local side: wants a command run, programs listed or files served.
//! `docs/protocols/agentproto.md` sections 6 to 8 and 10.

mod files;
mod waits;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

use super::calls::Calls;
use super::config::Config;
use super::encode::EncodeError;
use super::fileop::FileResponse;
use super::frame::{AgentConfig, ExecRequest, Frame, FrameType, LogRecord, PathEntry, PathQuery};
use super::inbox::Read;
use super::link::{Link, Next, Stats};
use super::log::cut;
use super::numbers::Numbers;
use super::outbox::Write;
use super::tap::Tap;
use super::violation::FirstBytes;
use crate::{CloseReason, Instant, Machine, Meter, Segment, TimeoutKind, Violation};
use waits::Waits;

/// What a [`Local`] tells its user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalEvent {
    /// This stream has bytes, or has ended: read it until it is empty. Raised once per wait.
    Readable(u32),
    /// This stream has room again for a writer that was refused.
    Writable(u32),
    /// A log record of the agent, cut to the limit. Its text is the peer's: escape it.
    Log(LogRecord),
    /// The command has ended; its streams may still hold bytes to read.
    Exited {
        /// Exit code, 128+n for signal n.
        code: i64,
        /// The agent's text: why the command could not be started, mostly.
        text: String,
    },
    /// The programs that a PATH query found.
    Paths(Vec<PathEntry>),
    /// The agent could not answer a PATH query.
    QueryFailed(String),
    /// The answer to a request.
    Response(FileResponse),
    /// A request that was not answered in time; it counts as given up
    /// ([`cancel`](Local::cancel)), and the session goes on.
    RequestTimedOut(u32),
    /// There is room for a request again, after one was refused. Raised once per refusal.
    RequestRoom,
    /// A request that will never be answered: the session is over.
    RequestLost(u32),
    /// The session is over. The last event; streams may still hold bytes to read.
    Closed(CloseReason),
}

/// A call that makes no sense in the state the session is in; nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// The session serves another purpose, or this one already.
    AlreadyStarted,
    /// There is no command.
    NotStarted,
    /// The session is over.
    Closed,
    /// Too many requests in flight, or frames not sent; try again after an event.
    Busy,
    /// Extra descriptors below 3, above the limit, twice, or too many of them.
    Descriptors,
    /// The message is larger than a frame may be.
    TooLarge {
        /// The most bytes of a frame.
        limit: usize,
    },
    /// No agent could take the message.
    Encode(EncodeError),
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyStarted => "the session has started already",
            Self::NotStarted => "the session runs no command",
            Self::Closed => "the session is over",
            Self::Busy => "too much is in flight already",
            Self::Descriptors => "extra descriptors must be 3 and up, each once, and not too many",
            Self::TooLarge { limit } => {
                return write!(f, "the message takes more than the {limit} bytes of a frame");
            }
            Self::Encode(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for Misuse {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Idle,
    Exec,
    Paths,
    Files,
}

/// The local side of one session: one command, one PATH query, or one file service.
///
/// Start it with [`exec`](Self::exec), [`query_paths`](Self::query_paths) or the first
/// [`request`](Self::request), then drive it as [`Machine`] says.
///
/// | state | what comes | what happens |
/// |---|---|---|
/// | running | DATA, EOF of a stream of the command | queued; `Readable` |
/// | running | LOG | `Log` |
/// | running | EXIT | `Exited`, then closed; what follows is never looked at |
/// | enumerating | PATH INFO, ERROR | `Paths` or `QueryFailed`, then closed |
/// | serving files | FILE RESPONSE | `Response`, or dropped when nobody waits |
/// | serving files | EXIT | `Exited`, every request lost, closed |
/// | any | anything else | dropped and counted |
/// | any | end of input, violation, deadline | every request lost, closed |
///
/// Signals leave before stdin that was not sent yet. Unread streams are bounded
/// ([`Limits`](crate::Limits)); a full one stops the link, which
/// [`stats`](Self::stats) shows.
#[derive(Debug)]
pub struct Local {
    pub(super) link: Link<LocalEvent>,
    mode: Mode,
    calls: Calls,
    numbers: Numbers,
    waits: Waits,
    logs: Meter,
    pub(super) exit: Option<i64>,
    /// When the agent must have said something.
    deadline: Option<Instant>,
    /// There was no room for a request.
    refused: bool,
    /// The first request has not left yet.
    expecting: bool,
    /// What a recorder will want to know; there mostly is none.
    pub(super) tap: Option<Box<Tap>>,
}

impl Local {
    /// A session that has not started.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            calls: Calls::new(config.limits.in_flight, config.late_handle),
            numbers: Numbers::new(config.op_numbers),
            waits: Waits::new(config.request_timeout),
            logs: Meter::new(config.limits.log_burst, config.limits.log_rate),
            link: Link::new(config),
            mode: Mode::Idle,
            exit: None,
            deadline: None,
            refused: false,
            expecting: false,
            tap: None,
        }
    }

    /// Runs a command. Its streams are 0 to 2 and the numbers in `exec.fds`.
    ///
    /// # Errors
    ///
    /// [`Misuse`] when the session has started or ended, or no agent could take the request.
    pub fn exec(
        &mut self,
        now: Instant,
        exec: ExecRequest,
        config: Option<AgentConfig>,
    ) -> Result<(), Misuse> {
        let limits = &self.link.config.limits;
        if !descriptors_fit(&exec.fds, limits.extra_streams, limits.highest_stream) {
            return Err(Misuse::Descriptors);
        }
        let fds = exec.fds.clone();
        self.start(now, Mode::Exec, config, &Frame::exec(exec))?;
        self.link.outbox.open(0);
        self.link.inbox.open(1);
        self.link.inbox.open(2);
        for fd in fds {
            self.link.outbox.open(fd);
            self.link.inbox.open(fd);
        }
        Ok(())
    }

    /// Lists the programs in the agent's PATH, or in the directories given.
    ///
    /// A configuration goes in front when given; it has no effect on a query.
    ///
    /// # Errors
    ///
    /// [`Misuse`] when the session has started or ended, or no agent could take the request.
    pub fn query_paths(
        &mut self,
        now: Instant,
        query: PathQuery,
        config: Option<AgentConfig>,
    ) -> Result<(), Misuse> {
        self.start(now, Mode::Paths, config, &Frame::path_query(query))
    }

    fn start(
        &mut self,
        now: Instant,
        mode: Mode,
        config: Option<AgentConfig>,
        frame: &Frame,
    ) -> Result<(), Misuse> {
        self.check_open()?;
        if self.mode != Mode::Idle {
            return Err(Misuse::AlreadyStarted);
        }
        // Both must encode before either is queued.
        let config = config.map(|config| self.encode(&Frame::config(config))).transpose()?;
        let frame = self.encode(frame)?;
        for segment in config.into_iter().chain([frame]) {
            self.link.outbox.push(segment);
        }
        self.mode = mode;
        self.link.now = now;
        self.expect_answer();
        Ok(())
    }

    fn encode(&self, frame: &Frame) -> Result<Segment, Misuse> {
        let limit = self.link.config.limits.frame;
        let segment = super::encode(frame).map_err(Misuse::Encode)?;
        if segment.len() > limit { Err(Misuse::TooLarge { limit }) } else { Ok(segment) }
    }

    /// The session has started: its agent must say something in time.
    fn expect_answer(&mut self) {
        self.deadline = self.link.config.answer_timeout.map(|wait| self.link.now + wait);
    }

    const fn check_open(&self) -> Result<(), Misuse> {
        if self.link.closed.is_some() || self.link.is_mute() { Err(Misuse::Closed) } else { Ok(()) }
    }

    /// Offers bytes for a stream of the command; they are queued, not copied.
    pub fn write(&mut self, stream: u32, data: &Bytes) -> Write {
        self.link.outbox.write(stream, data)
    }

    /// How many bytes the next write to this stream would take.
    #[must_use]
    pub fn write_room(&self, stream: u32) -> usize {
        self.link.outbox.room(stream)
    }

    /// Ends a stream of the command behind what was written; false when it has no such open end.
    pub fn finish(&mut self, stream: u32) -> bool {
        self.link.outbox.finish(stream)
    }

    /// Takes up to `max` bytes of a stream, without a copy and possibly fewer than there are.
    ///
    /// Reading may let the session take in more of what has arrived, and so raise events.
    pub fn read(&mut self, stream: u32, max: usize) -> Read {
        let read = self.link.inbox.read(stream, max);
        if matches!(read, Read::Data(_)) {
            self.pump();
        }
        match read {
            Read::Empty if self.exit.is_some() => Read::End,
            Read::Empty if self.link.closed.is_some() => Read::Lost,
            read => read,
        }
    }

    /// Gives up reading a stream: what is queued goes, what comes is dropped and counted.
    pub fn forget(&mut self, stream: u32) {
        self.link.inbox.forget(stream);
        self.pump();
    }

    /// Sends a signal to the command's process group, ahead of bytes that wait to be sent.
    ///
    /// # Errors
    ///
    /// [`Misuse`] without a command, after the end, or while too many frames wait to be sent.
    pub fn signal(&mut self, signal: i32) -> Result<(), Misuse> {
        self.check_open()?;
        if self.mode != Mode::Exec {
            return Err(Misuse::NotStarted);
        }
        if self.link.outbox.control_len() >= self.link.config.limits.replies.max(1) {
            return Err(Misuse::Busy);
        }
        self.link.outbox.control(&Frame::signal(i64::from(signal))).map_err(Misuse::Encode)
    }

    /// Ends the session in order: what is queued is still sent, nothing more is received.
    pub fn close(&mut self) {
        self.end(CloseReason::Local);
    }

    /// Ends the session now and discards what was not sent.
    pub fn abort(&mut self) {
        self.link.outbox.clear();
        self.end(CloseReason::Local);
    }

    /// The first bytes that came, frames or not: what is there when it is no agent.
    #[must_use]
    pub const fn began_with(&self) -> FirstBytes {
        self.link.first
    }

    /// Why nothing can be sent any more although the session goes on: the transport failed for
    /// writing.
    #[must_use]
    pub const fn sending_failed(&self) -> Option<&CloseReason> {
        self.link.mute_reason()
    }

    /// Counters of the session.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.link.stats()
    }

    /// Tells writers that were refused to try again: there is room, or never will be.
    fn tell_writers(&mut self) {
        if self.link.closed.is_none() {
            for stream in self.link.outbox.writable() {
                self.link.tell(LocalEvent::Writable(stream));
            }
        }
    }

    fn pump(&mut self) {
        while self.link.closed.is_none() && !self.link.is_drained() && !self.tap_is_full() {
            if self.mode == Mode::Exec
                && let Some((stream, data)) = self.link.next_data()
            {
                self.deadline = None;
                if let Some(tap) = &mut self.tap {
                    tap.received_data(self.link.now, stream, &data);
                }
                self.data(stream, Some(data));
                continue;
            }
            match self.link.next() {
                Next::Frame(frame) => {
                    if let Some(tap) = &mut self.tap {
                        tap.received(self.link.now, &frame);
                    }
                    self.dispatch(frame);
                }
                Next::Held | Next::Nothing(None) => return,
                Next::Nothing(Some(reason)) => {
                    self.link.outbox.clear();
                    self.end(reason);
                }
                Next::Failed(violation) => self.fail(violation),
            }
        }
    }

    #[inline]
    fn data(&mut self, stream: u32, pieces: impl IntoIterator<Item = Bytes>) {
        if self.link.data(stream, pieces) {
            self.link.tell(LocalEvent::Readable(stream));
        }
    }

    fn dispatch(&mut self, frame: Frame) {
        if self.deadline.take().is_some() {
            self.waits.begin(self.link.now);
        }
        match (self.mode, frame.kind) {
            (_, FrameType::LOG) => self.log(frame),
            (Mode::Exec, FrameType::DATA) => {
                self.data(frame.stream, frame.data.into_pieces());
            }
            (Mode::Exec, FrameType::EOF) => {
                let taken = self.link.inbox.eof(frame.stream);
                if self.link.note(taken) {
                    self.link.tell(LocalEvent::Readable(frame.stream));
                }
            }
            (Mode::Exec | Mode::Files, FrameType::EXIT) => {
                self.exit = Some(frame.code);
                self.link.outbox.clear();
                let (code, text) = (frame.code, self.cut(frame.error));
                self.link.tell(LocalEvent::Exited { code, text: text.clone() });
                self.end(CloseReason::Peer { code, text });
            }
            (Mode::Paths, FrameType::PATH_INFO) => {
                let entries = frame.path_info.and_then(|info| info.entries).unwrap_or_default();
                self.link.hand_over(LocalEvent::Paths(entries));
                self.end(CloseReason::Peer { code: 0, text: String::new() });
            }
            (Mode::Paths, FrameType::ERROR) => {
                let text = self.cut(frame.error);
                self.link.tell(LocalEvent::QueryFailed(text.clone()));
                self.end(CloseReason::Peer { code: 0, text });
            }
            (Mode::Files, FrameType::FILE_RESPONSE) => self.answer(frame),
            _ => self.link.stats.frames_dropped += 1,
        }
    }

    fn log(&mut self, frame: Frame) {
        let Some(mut record) = frame.log else {
            self.link.stats.frames_dropped += 1;
            return;
        };
        if self.logs.take(self.link.now) {
            record.truncate(self.link.config.limits.log_record);
            self.link.tell(LocalEvent::Log(*record));
        } else {
            self.link.stats.logs_dropped += 1;
        }
    }

    /// A text of the agent's, cut to the limit.
    fn cut(&self, mut text: String) -> String {
        cut(&mut text, self.link.config.limits.exit_text);
        text
    }

    /// The agent's first answer did not come in time.
    fn unanswered(&mut self) {
        self.link.outbox.clear();
        self.end(CloseReason::Timeout(TimeoutKind::Handshake));
    }

    /// The agent broke a rule: nothing more is sent or received.
    fn fail(&mut self, violation: super::Violation) {
        self.link.outbox.clear();
        self.end(CloseReason::Violation(Violation::Agentproto(violation)));
    }

    fn end(&mut self, reason: CloseReason) {
        if self.link.closed.is_some() {
            return;
        }
        self.deadline = None;
        self.numbers.clear();
        self.waits.clear();
        for id in self.calls.fail_all() {
            self.link.tell(LocalEvent::RequestLost(id));
        }
        self.link.outbox.shut();
        self.link.closed = Some(reason.clone());
        self.link.tell(LocalEvent::Closed(reason));
    }
}

/// Whether extra descriptors are 3 and up, each once, and within the limits (section 15).
pub(super) fn descriptors_fit(fds: &[u32], most: usize, highest: u32) -> bool {
    let mut sorted = fds.to_vec();
    sorted.sort_unstable();
    let once = sorted.iter().zip(sorted.iter().skip(1)).all(|(one, next)| one != next);
    once && fds.len() <= most && fds.iter().all(|fd| (3..=highest).contains(fd))
}

impl Machine for Local {
    type Input = Bytes;
    type Output = Segment;
    type Event = LocalEvent;

    fn handle_input(&mut self, now: Instant, input: Bytes) {
        self.waits.heard(now);
        self.link.input(now, input);
        self.pump();
    }

    fn handle_eof(&mut self, now: Instant) {
        self.link.end_input(now, None);
        self.pump();
    }

    /// A failed write ends only the sending: what the agent still says, its exit code above all,
    /// is taken in to the end.
    fn handle_failure(&mut self, now: Instant, direction: crate::Direction, os_error: Option<i32>) {
        match direction {
            crate::Direction::Write => {
                self.link.mute(os_error);
                self.tell_writers();
                self.tell_requesters();
            }
            crate::Direction::Read => {
                self.link.end_input(now, Some(CloseReason::Transport { os_error }));
                self.pump();
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.link.now = now;
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.unanswered();
        }
        self.give_requests_up(now);
    }

    fn wants_input(&self) -> bool {
        self.link.wants_input()
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Segment> {
        let segment = self.link.transmit()?;
        if let Some(tap) = &mut self.tap {
            tap.sent(now, &segment);
        }
        self.request_leaves(now);
        self.tell_writers();
        self.tell_requesters();
        Some(segment)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        // No request is given up while the agent itself is still waited for: it may be a password
        // that is.
        self.deadline.or_else(|| self.waits.deadline())
    }

    fn poll_event(&mut self) -> Option<LocalEvent> {
        if !self.link.has_events() {
            self.pump();
        }
        self.link.pop_event()
    }

    fn closed(&self) -> Option<&CloseReason> {
        self.link.closed.as_ref()
    }
}
