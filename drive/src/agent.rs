//! The agent's side: one session, served to its end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use trunkline_core::agentproto::{
    Agent, AgentConfig, AgentEvent, ExecRequest, FileRequest, FileResponse, Level, LogRecord,
    PathEntry, PathQuery,
};
use trunkline_core::{Direction, Instant, Machine};
use trunkline_host::envfilter::{self, PatternLimits};
use trunkline_host::files::FileSystem;
use trunkline_host::process::{Child, Exit, Launch, Signaller, SpawnStage, spawn};

use crate::buffers::Buffers;
use crate::child_io::{ChildStream, streams};
use crate::deadline::{Deadline, Due};
use crate::driver::DRAIN;
use crate::link::{Arrived, Link, ROUNDS, Wrote};
use crate::serve_files::FileService;
use crate::serve_options::ServeOptions;
use crate::told::Told;
use crate::via::watch;
use crate::{Clock, Io, Readiness, Sleep};

/// How often a link that may not be read is asked whether its other end still exists.
const LOOK: Duration = Duration::from_secs(1);

const SIGKILL: i32 = 9;

/// What whoever asks for a command is told.
const NO_COMMANDS: &str = "this agent serves files and runs no commands";

/// Serves one session over one transport: a future that ends with what the process should exit
/// with, 0 or 127.
///
/// Commands run as children of this process, in a process group of their own; requests for files are
/// performed by threads. Dropping the future kills a command that still runs, its whole group; file
/// requests that are being performed are done, and files are closed.
#[must_use = "nothing is served until the future is spawned or awaited"]
pub struct Serve<I, R, S> {
    agent: Agent,
    link: Link<I>,
    deadline: Deadline<S>,
    clock: Clock,
    options: ServeOptions,
    command: Option<Command<R>>,
    scan: Option<Told<Found>>,
    files: Option<FileService<FileSystem>>,
    stop: Option<Pin<Box<dyn Future<Output = i32> + Send>>>,
    buffers: Buffers,
    drain_until: Option<Instant>,
}

/// A command that runs, or whose outputs are still open.
struct Command<R> {
    child: Child,
    signaller: Signaller,
    exit: Option<Told<Exit>>,
    streams: Vec<ChildStream<R>>,
}

impl<I: Io, R: Readiness, S: Sleep> Serve<I, R, S> {
    /// Serves the session that arrives over `io`.
    pub fn new(options: ServeOptions, io: I, sleep: S, clock: Clock) -> Self {
        Self {
            agent: Agent::new(options.config.clone()),
            link: Link::new(io),
            deadline: Deadline::new(sleep, clock),
            clock,
            options,
            command: None,
            scan: None,
            files: None,
            stop: None,
            buffers: Buffers::default(),
            drain_until: None,
        }
    }

    /// Sends the command the signal that `stop` gives, when it is ready, and kills it after the grace
    /// time: the agent itself is asked to end, most often by that very signal.
    pub fn stop_when(mut self, stop: impl Future<Output = i32> + Send + 'static) -> Self {
        self.stop = Some(Box::pin(stop));
        self
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Option<bool> {
        let now = self.clock.now();
        if let Some(Poll::Ready(signal)) = self.stop.as_mut().map(|stop| stop.as_mut().poll(cx)) {
            self.stop = None;
            self.agent.hang_up(now, signal);
        }
        let mut moved = self.events();
        moved |= self.host(cx, now);
        self.link.fill(&mut self.agent, now);
        let wrote = match self.link.write(cx) {
            Wrote::Nothing => false,
            Wrote::Something => true,
            Wrote::Failed(error) => {
                self.agent.handle_failure(now, Direction::Write, error.raw_os_error());
                true
            }
        };
        moved |= wrote;
        let closed = self.agent.closed().is_some();
        let slow = self.files.as_ref().and_then(FileService::timeout);
        let mut due = self.agent.poll_timeout().into_iter().chain(slow).min();
        if closed {
            if !wrote && self.link.is_drained() && self.files_closed() {
                return None;
            }
            due = Some(*self.drain_until.get_or_insert(now + DRAIN));
        } else if self.agent.wants_input() {
            moved |= self.read(cx, now);
        } else if (self.command.is_some() || self.files.is_some()) && !self.link.read_over() {
            // Unread input stops the link; its end would not be seen behind it (hazard H8).
            if self.files.is_some() {
                // What was asked for is still done.
                if self.link.peer_has_hung_up() {
                    self.agent.peer_gone(now);
                    due = self.agent.poll_timeout().into_iter().chain(slow).min();
                }
            } else if self.link.peer_gone() {
                self.agent.handle_failure(now, Direction::Read, None);
                moved = true;
            }
            let look = now + LOOK;
            if !moved && due.is_none_or(|due| look < due) {
                return Some(self.deadline.poll_until(cx, look).is_ready());
            }
        }
        match self.deadline.poll(cx, due, moved) {
            Due::Now if closed => return None,
            Due::Now => {
                if let (Some(files), Some(due)) = (&mut self.files, due) {
                    files.handle_timeout(now.max(due));
                }
                crate::deadline::reached(&mut self.agent, now, due);
            }
            Due::LookAgain => {}
            Due::NotYet => return Some(moved),
        }
        Some(true)
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        match self.link.read(cx) {
            Arrived::Nothing => return false,
            Arrived::Bytes(bytes) => self.agent.handle_input(now, bytes),
            Arrived::End => self.agent.handle_eof(now),
            Arrived::Failed(error) => {
                self.agent.handle_failure(now, Direction::Read, error.raw_os_error());
            }
        }
        true
    }

    /// Does what the machine asks for.
    fn events(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.agent.poll_event() {
            moved = true;
            match event {
                AgentEvent::Exec(request, config) => self.exec(&request, config.as_ref()),
                AgentEvent::PathQuery(query) => self.paths(query),
                AgentEvent::FileRequest(request) => self.file_request(request),
                AgentEvent::Signal(signal) => self.signal(signal),
                AgentEvent::Closed(_) => {
                    if let Some(files) = &mut self.files {
                        files.close_all();
                    }
                }
                // Streams are looked at in every round.
                _ => {}
            }
        }
        moved
    }

    fn exec(&mut self, request: &ExecRequest, config: Option<&AgentConfig>) {
        if !self.options.runs_commands() {
            return self.agent.build_failed(NO_COMMANDS);
        }
        match self.start(request, config) {
            Ok(command) => {
                self.agent.started(command.child.pid);
                self.command = Some(command);
            }
            Err((SpawnStage::Build, text)) => self.agent.build_failed(&text),
            Err((_, text)) => self.agent.start_failed(&text),
        }
    }

    fn paths(&mut self, query: PathQuery) {
        if self.options.runs_commands() {
            self.scan = Some(scan(query));
        } else {
            self.agent.paths_refused(NO_COMMANDS);
        }
    }

    fn file_request(&mut self, request: FileRequest) {
        if self.files.is_none() {
            match self.options.files() {
                Ok(system) => {
                    let workers = self.options.file_workers;
                    let limits = &self.options.config.limits;
                    self.files = Some(FileService::new(system, limits, workers));
                }
                Err((errno, message)) => {
                    let id = request.id;
                    let response = FileResponse { id, errno, message, ..FileResponse::default() };
                    return self.agent.respond(response);
                }
            }
        }
        if let Some(files) = &mut self.files {
            files.request(request);
        }
    }

    /// Whether nothing is left to do with files.
    fn files_closed(&self) -> bool {
        self.files.as_ref().is_none_or(FileService::is_idle)
    }

    fn start(
        &self,
        request: &ExecRequest,
        config: Option<&AgentConfig>,
    ) -> Result<Command<R>, (SpawnStage, String)> {
        let limits = &self.options.config.limits;
        let mut patterns = PatternLimits::default();
        patterns.count = limits.patterns;
        patterns.length = limits.patterns;
        let mut launch = Launch::new(request);
        if let Some(config) = config {
            launch.env = Some(envfilter::filter(request.env.as_deref(), config, patterns));
        }
        launch.user = self.options.user;
        launch.fd_limits.highest = limits.highest_stream;
        launch.fd_limits.count = limits.extra_streams;
        let mut child = spawn(launch).map_err(|error| (error.stage, error.text))?;
        let signaller = child.signaller();
        let watched = streams(&mut child).and_then(|streams| Ok((watch(&mut child)?, streams)));
        match watched {
            Ok((exit, streams)) => Ok(Command { child, signaller, exit: Some(exit), streams }),
            Err(error) => {
                let _ = signaller.send(SIGKILL);
                Err((SpawnStage::Start, trunkline_host::error_text(&error)))
            }
        }
    }

    fn signal(&mut self, signal: i32) {
        let Some(command) = &self.command else { return };
        if let Err(error) = command.signaller.send(signal) {
            self.agent.signal_failed(signal, &trunkline_host::error_text(&error));
        }
    }

    /// Moves the command's streams, and takes in its end and what a scan found.
    fn host(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut moved = false;
        if let Some(Poll::Ready((entries, skipped))) = self.scan.as_ref().map(|scan| scan.poll(cx))
        {
            self.scan = None;
            if skipped > 0 {
                let record = LogRecord::new(Level::WARN, "names left out");
                self.agent.log(record.with("count", skipped));
            }
            self.agent.paths(entries);
            moved = true;
        }
        if let Some(files) = &mut self.files {
            moved |= files.step(cx, now, &mut self.agent);
        }
        let Some(command) = &mut self.command else { return moved };
        for stream in &mut command.streams {
            moved |= stream.step(cx, &mut self.agent, &mut self.buffers);
        }
        command.streams.retain(|stream| !stream.is_over());
        if let Some(Poll::Ready(exit)) = command.exit.as_ref().map(|exit| exit.poll(cx)) {
            command.exit = None;
            self.agent.exited(i64::from(exit.code));
            moved = true;
        }
        // Reaped only now: until its outputs are drained, what it left running can be signalled.
        if command.exit.is_none() && command.streams.is_empty() {
            let _ = command.child.reap();
            self.command = None;
        }
        moved
    }
}

impl<I: Io, R: Readiness, S: Sleep> Future for Serve<I, R, S> {
    type Output = u8;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u8> {
        let this = self.get_mut();
        for _ in 0..ROUNDS {
            match this.round(cx) {
                Some(true) => {}
                Some(false) => return Poll::Pending,
                None => {
                    // A transport that cannot be closed is let go at the same deadline.
                    let until = this.drain_until.unwrap_or(Instant::ORIGIN);
                    let status = this.agent.status();
                    if this.link.poll_close(cx).is_ready() || until <= this.clock.now() {
                        return Poll::Ready(status);
                    }
                    return this.deadline.poll_until(cx, until).map(|()| status);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<I, R, S> Unpin for Serve<I, R, S> {}

impl<R> Drop for Command<R> {
    fn drop(&mut self) {
        // Ended but not drained counts as running: what it left behind is ended too.
        if self.exit.is_some() || !self.streams.is_empty() {
            let _ = self.signaller.send(SIGKILL);
        }
    }
}

impl<I, R, S> std::fmt::Debug for Serve<I, R, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serve").field("agent", &self.agent).finish_non_exhaustive()
    }
}

/// What a scan found, and how many names it left out.
type Found = (Vec<PathEntry>, usize);

/// Lists the programs on a thread of its own: directories can be slow.
fn scan(query: PathQuery) -> Told<Found> {
    let found = Told::new();
    let teller = found.clone();
    let scan = move || {
        let scan = trunkline_host::path::scan(&query.paths, std::env::var_os("PATH").as_deref());
        teller.tell((scan.entries, scan.skipped));
    };
    if let Err(error) = std::thread::Builder::new().name("trunkline-paths".into()).spawn(scan) {
        tracing::warn!(%error, "no thread for a PATH scan");
        found.tell((Vec::new(), 0));
    }
    found
}
