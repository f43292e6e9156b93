//! The handles of one session of the agentproto wire, local side.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use trunkline_core::agentproto::{
    AgentConfig, Config, ExecRequest, FirstBytes, Level, Local, LocalEvent, LogRecord, Misuse,
    PathEntry, PathQuery, Read, Stats, Write, escape,
};
use trunkline_core::{CloseReason, ExitStatus};

use crate::driver::Driver;
use crate::files::requests::{Outcome, Requests};
use crate::listener::{Listener, Recorded};
use crate::shared::{After, Shared, State, Waiters};
use crate::via::Launched;
use crate::{Clock, Io, Recording, SessionError, Sleep};

/// What to run, and how the session behaves.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExecOptions {
    /// The command.
    pub request: ExecRequest,
    /// Filters the command's environment at the agent, when given.
    pub agent_config: Option<AgentConfig>,
    /// Limits and deviations from the original.
    pub config: Config,
    /// Where the session is recorded, if it is.
    pub recording: Option<Recording>,
}

impl ExecOptions {
    /// Runs this command with the default settings.
    #[must_use]
    pub fn new(request: ExecRequest) -> Self {
        Self { request, ..Self::default() }
    }
}

impl From<ExecRequest> for ExecOptions {
    fn from(request: ExecRequest) -> Self {
        Self::new(request)
    }
}

/// Starts a command over a transport: its handles, and the driver to spawn.
///
/// The driver ends once the session is over, what it still had to say has been written (for 5
/// seconds at most) and the transport is shut down. Dropping it loses the session.
///
/// # Errors
///
/// When no agent could take the request (extra descriptors out of range, lists too long).
pub fn exec<I: Io + 'static, S: Sleep + 'static>(
    options: ExecOptions,
    io: I,
    sleep: S,
    clock: Clock,
) -> Result<(Session, impl Future<Output = ()> + Send + use<I, S>), Misuse> {
    let mut machine = Local::new(options.config);
    let recording = options.recording.map(|recording| (recording, options.request.clone()));
    machine.exec(clock.now(), options.request, options.agent_config)?;
    Ok(start(machine, recording, io, sleep, clock))
}

/// Asks an agent over a transport for its programs: a handle, and the driver to spawn.
///
/// # Errors
///
/// When no agent could take the query.
pub fn paths<I: Io + 'static, S: Sleep + 'static>(
    query: PathQuery,
    config: Config,
    recording: Option<Recording>,
    io: I,
    sleep: S,
    clock: Clock,
) -> Result<(Session, impl Future<Output = ()> + Send + use<I, S>), Misuse> {
    let mut machine = Local::new(config);
    machine.query_paths(clock.now(), query, None)?;
    let recording = recording.map(|recording| (recording, ExecRequest::default()));
    Ok(start(machine, recording, io, sleep, clock))
}

/// Begins a session of file requests over a transport: a handle, and the driver to spawn.
pub(crate) fn files<I: Io + 'static, S: Sleep + 'static>(
    config: Config,
    recording: Option<Recording>,
    io: I,
    sleep: S,
    clock: Clock,
) -> (Session, impl Future<Output = ()> + Send + use<I, S>) {
    let recording = recording.map(|recording| (recording, ExecRequest::default()));
    start(Local::new(config), recording, io, sleep, clock)
}

/// A session around a machine that has not sent anything yet. With a recording comes the command it
/// is recorded as.
fn start<I: Io, S: Sleep>(
    mut machine: Local,
    recording: Option<(Recording, ExecRequest)>,
    io: I,
    sleep: S,
    clock: Clock,
) -> (Session, Driver<Local, LocalWaiters, I, S>) {
    let listener = recording.map(|(recording, exec)| -> Box<dyn Listener<Local>> {
        Box::new(Recorded::begin(recording, &exec, &mut machine, clock))
    });
    let shared = Shared::new(machine, LocalWaiters::default());
    let alive = Alive { shared: Arc::clone(&shared), launched: Mutex::new(None) };
    let session = Session(Arc::new(alive));
    (session, Driver::new(shared, listener, io, sleep, clock))
}

/// Who waits for what of a local session.
#[derive(Debug, Default)]
pub(crate) struct LocalWaiters {
    streams: BTreeMap<u32, StreamWakers>,
    wait: Option<Waker>,
    exited: Option<(i64, String)>,
    paths: Option<Result<Vec<PathEntry>, String>>,
    pub(crate) requests: Requests,
}

/// One slot for each direction, so that halves in two tasks never take each other's place.
#[derive(Debug, Default)]
struct StreamWakers {
    read: Option<Waker>,
    write: Option<Waker>,
}

impl Waiters<LocalEvent> for LocalWaiters {
    fn event(&mut self, event: LocalEvent, after: &mut After) {
        match event {
            LocalEvent::Readable(stream) => {
                after.wake(self.streams.get_mut(&stream).and_then(|wakers| wakers.read.take()));
            }
            LocalEvent::Writable(stream) => {
                after.wake(self.streams.get_mut(&stream).and_then(|wakers| wakers.write.take()));
            }
            LocalEvent::Log(record) => after.logs.push(record),
            LocalEvent::Exited { code, text } => {
                self.exited = Some((code, text));
                after.wake(self.wait.take());
            }
            LocalEvent::Paths(entries) => self.paths = Some(Ok(entries)),
            LocalEvent::QueryFailed(text) => self.paths = Some(Err(text)),
            LocalEvent::Response(response) => {
                let id = response.id;
                self.requests.settle(id, Outcome::Answered(Box::new(response)), after);
            }
            LocalEvent::RequestTimedOut(id) => self.requests.settle(id, Outcome::TimedOut, after),
            LocalEvent::RequestRoom => after.wake.extend(self.requests.next()),
            LocalEvent::RequestLost(id) => self.requests.settle(id, Outcome::Lost, after),
            LocalEvent::Closed(_) => {
                self.requests.wake_all(after);
                after.wake(self.wait.take());
                for wakers in self.streams.values_mut() {
                    after.wake(wakers.read.take());
                    after.wake(wakers.write.take());
                }
            }
            _ => {}
        }
    }
}

type SharedLocal = Shared<Local, LocalWaiters>;

/// What stands under the lock of a local session.
pub(crate) type LocalState = State<Local, LocalWaiters>;

/// Ends the session when the last handle goes, and the process that led to the agent with it.
#[derive(Debug)]
struct Alive {
    shared: Arc<SharedLocal>,
    launched: Mutex<Option<Launched>>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.shared.command(|state| state.machine.abort());
    }
}

/// One command, or one query, on an agent.
///
/// The session lives as long as any of its handles: this one, or one of its streams. When the last
/// is dropped before the end, the session ends: the agent sees its input end, and hangs the command
/// up. One task at a time waits for the end, and one for each direction of each stream.
#[derive(Debug)]
pub struct Session(Arc<Alive>);

impl Session {
    /// Another handle of the same session.
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    pub(crate) fn shared(&self) -> &SharedLocal {
        &self.0.shared
    }

    /// Keeps the process that leads to the agent for as long as the session lives.
    pub(crate) fn keep(&self, launched: Option<Launched>) {
        *self.launched() = launched;
    }

    /// The process that leads to the agent, unless it has ended.
    pub(crate) fn launched(&self) -> MutexGuard<'_, Option<Launched>> {
        self.0.launched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reading half of an output of the command: 1, 2 or an extra descriptor.
    #[must_use]
    pub fn reader(&self, stream: u32) -> StreamReader {
        StreamReader { alive: Arc::clone(&self.0), stream, rest: Bytes::new() }
    }

    /// The writing half of an input of the command: 0 or an extra descriptor.
    #[must_use]
    pub fn writer(&self, stream: u32) -> StreamWriter {
        StreamWriter { alive: Arc::clone(&self.0), stream }
    }

    /// Sends a signal to the command's process group, ahead of input that was not sent yet.
    ///
    /// # Errors
    ///
    /// When the command has ended, or 64 signals wait to be sent.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        self.0
            .shared
            .command(|state| state.machine.signal(signal))
            .map_err(|misuse| SessionError::Misuse(misuse).into())
    }

    /// Ready once the command has ended or was lost. May be asked again; it says the same.
    pub fn poll_wait(&self, cx: &mut Context<'_>) -> Poll<ExitStatus> {
        self.0.shared.look(|state| {
            if let Some((code, text)) = state.waiters.exited.clone() {
                return Poll::Ready(ExitStatus::Exited { code, text, clean: true });
            }
            match state.machine_closed() {
                Some(reason) => Poll::Ready(ExitStatus::Lost(reason)),
                None => {
                    state.waiters.wait = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    /// Ready with the programs that a query found, in the agent's order.
    ///
    /// # Errors
    ///
    /// What the agent said it failed with, or why it was lost.
    pub fn poll_paths(&self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<PathEntry>>> {
        self.0.shared.look(|state| match (state.waiters.paths.take(), state.machine_closed()) {
            (Some(Ok(entries)), _) => Poll::Ready(Ok(entries)),
            (Some(Err(text)), _) => Poll::Ready(Err(SessionError::Refused(text).into())),
            (None, Some(_)) => Poll::Ready(Err(state.lost_session())),
            (None, None) => {
                state.waiters.wait = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    /// Ends the session now; what was not sent is discarded. The agent hangs the command up.
    pub fn abort(&self) {
        self.0.shared.command(|state| state.machine.abort());
    }

    /// The first bytes that came from the agent's side, which tell what is there when it is no agent.
    #[must_use]
    pub fn began_with(&self) -> FirstBytes {
        self.0.shared.look(|state| state.machine.began_with())
    }

    /// Counters of the session.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.shared.look(|state| state.machine.stats())
    }
}

impl LocalState {
    fn machine_closed(&self) -> Option<CloseReason> {
        trunkline_core::Machine::closed(&self.machine).cloned()
    }

    fn lost(&self) -> io::Error {
        SessionError::Lost(self.machine_closed().unwrap_or(CloseReason::Local)).into()
    }

    /// Why a session is over, or that nobody on the other side was ever an agent.
    pub(crate) fn lost_session(&self) -> io::Error {
        let reason = self.machine_closed().or_else(|| self.machine.sending_failed().cloned());
        let reason = reason.unwrap_or(CloseReason::Local);
        let began = self.machine.began_with();
        let answered = self.machine.stats().frames_received > 0 || began.is_empty();
        match answered {
            true => SessionError::Lost(reason).into(),
            false => SessionError::NoAgent { reason, began }.into(),
        }
    }

    /// Why nothing can be asked any more, if that is so.
    pub(crate) fn sending_over(&self) -> Option<io::Error> {
        let over = trunkline_core::Machine::closed(&self.machine).is_some()
            || self.machine.sending_failed().is_some();
        over.then(|| self.lost_session())
    }
}

/// The reading half of one stream.
///
/// Its end is the command's: a session that is lost gives an error, never an end. Dropping it
/// discards what is unread and what still comes; the command does not notice.
#[derive(Debug)]
pub struct StreamReader {
    alive: Arc<Alive>,
    stream: u32,
    /// What a caller's slice had no room for.
    rest: Bytes,
}

impl StreamReader {
    /// Ready with the next bytes, as they arrived and without a copy; `None` at the end.
    ///
    /// # Errors
    ///
    /// When the session was lost before the stream ended.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.rest))));
        }
        self.alive.shared.command_if(|state| {
            // Only a reader that makes room matters to the driver.
            let held = !trunkline_core::Machine::wants_input(&state.machine);
            match state.machine.read(self.stream, usize::MAX) {
                Read::Empty => {
                    state.waiters.streams.entry(self.stream).or_default().read =
                        Some(cx.waker().clone());
                    (Poll::Pending, false)
                }
                Read::Data(bytes) => (Poll::Ready(Ok(Some(bytes))), held),
                Read::End => (Poll::Ready(Ok(None)), false),
                Read::Lost => (Poll::Ready(Err(state.lost())), false),
                _ => {
                    let unknown = io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "the command has no such stream",
                    );
                    (Poll::Ready(Err(unknown)), false)
                }
            }
        })
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
        let Some(mut chunk) = std::task::ready!(self.poll_chunk(cx))? else {
            return Poll::Ready(Ok(0));
        };
        let taken = chunk.split_to(chunk.len().min(room));
        take(&taken);
        self.rest = chunk;
        Poll::Ready(Ok(taken.len()))
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.alive.shared.command(|state| state.machine.forget(self.stream));
    }
}

/// The writing half of one stream.
///
/// Bytes that a write took are sent unless the session ends. Dropping it ends the stream behind
/// them: the command reads an end.
#[derive(Debug)]
pub struct StreamWriter {
    alive: Arc<Alive>,
    stream: u32,
}

impl StreamWriter {
    /// Takes bytes from the front of `data`, without a copy; says how many.
    ///
    /// Cancel safe: what was not taken is still in `data`.
    ///
    /// # Errors
    ///
    /// When the stream was ended, or the session is over.
    pub fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<io::Result<usize>> {
        self.alive.shared.command_if(|state| match state.machine.write(self.stream, data) {
            Write::Accepted(count) => {
                bytes::Buf::advance(data, count);
                (Poll::Ready(Ok(count)), true)
            }
            Write::Blocked => {
                state.waiters.streams.entry(self.stream).or_default().write =
                    Some(cx.waker().clone());
                (Poll::Pending, false)
            }
            _ => {
                let lost =
                    state.machine_closed().or_else(|| state.machine.sending_failed().cloned());
                let error = match lost {
                    Some(reason) => SessionError::Lost(reason).into(),
                    // The stream was ended by its writer.
                    None => io::ErrorKind::BrokenPipe.into(),
                };
                (Poll::Ready(Err(error)), false)
            }
        })
    }

    /// Takes bytes from the front of a caller's slice, with one copy; says how many.
    ///
    /// # Errors
    ///
    /// As [`poll_write_bytes`](Self::poll_write_bytes).
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        // No more is copied than there is room for; a byte, to be told to wait, when there is none.
        let room = self.alive.shared.look(|state| state.machine.write_room(self.stream)).max(1);
        let mut data = Bytes::copy_from_slice(buf.get(..room).unwrap_or(buf));
        self.poll_write_bytes(cx, &mut data)
    }

    /// Ends the stream behind what was written; later writes fail.
    pub fn finish(&mut self) {
        self.alive.shared.command(|state| state.machine.finish(self.stream));
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Re-emits a record of the agent through `tracing`, its text made safe to show.
pub(crate) fn emit(record: &LogRecord) {
    let message = escape(&record.message);
    let attributes = record.attributes.iter().map(|attribute| escape(attribute).to_string());
    let attributes = attributes.collect::<Vec<_>>().join(" ");
    macro_rules! emit {
        ($level:ident) => {
            tracing::event!(
                target: "trunkline::agent", tracing::Level::$level, source = "agent", %attributes, "{message}"
            )
        };
    }
    match record.level().named() {
        Level::ERROR => emit!(ERROR),
        Level::WARN => emit!(WARN),
        Level::INFO => emit!(INFO),
        Level::DEBUG => emit!(DEBUG),
        _ => emit!(TRACE),
    }
}
