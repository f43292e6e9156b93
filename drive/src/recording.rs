//! Recordings of sessions: `docs/protocols/agentproto.md` section 12.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::future::poll_fn;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use trunkline_core::agentproto::{
    ExecRequest, RecordBytes, Recorder, Redaction, SessionHeader, Tapped,
};

/// Bytes that are put together before they are written; a piece as long as this goes by itself,
/// without a copy.
const BUFFER: usize = 16 << 10;

/// What a recording says about itself, and what it keeps back.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RecordingOptions {
    /// What is kept back of commands and their bytes. Nothing by default.
    pub redaction: Redaction,
    /// Path of the agent's program, for the header.
    pub agent_path: String,
    /// How the agent is reached, for the header, such as `ssh` or `docker`.
    pub backend_type: String,
    /// Where the agent is reached, for the header.
    pub backend_addr: String,
    /// Name of the local user, for the header. When empty, what USER or LOGNAME say.
    pub local_user: String,
}

impl RecordingOptions {
    /// Keeps this back, and says nothing about the agent.
    #[must_use]
    pub fn redacted(redaction: Redaction) -> Self {
        Self { redaction, ..Self::default() }
    }
}

/// A recording that sessions write into, any number of them and at once.
///
/// Give it to [`ExecOptions`](crate::ExecOptions) or to an agent, and every frame that the session
/// sends or receives is written behind the start of its command; the command's number tells the
/// sessions apart. A query and a file session are recorded as a command without a path, whose exit
/// code is -1, as none comes. The clones are one recording.
///
/// A recording that fails never disturbs a session: nothing more is written, and
/// [`failure`](Self::failure) says why. The driver of a session writes while its lock is open, by
/// plain blocking writes: a writer that blocks for long, such as a pipe, holds sessions up.
///
/// When the last clone goes (each recorded session has one, until its driver ends), it is
/// [closed](Self::close).
#[derive(Clone)]
pub struct Recording(Arc<Shared>);

struct Shared(Mutex<Sink>);

struct Sink {
    /// None once it is closed or has failed.
    writer: Option<BufWriter<Box<dyn Write + Send>>>,
    recorder: Recorder,
    /// The time of the wall and of the clock, read at once: the wall may be moved, records do not go
    /// back.
    wall: i64,
    clock: Instant,
    /// Numbers of the commands that have not ended.
    open: BTreeSet<u32>,
    waiting: Vec<Waker>,
    failure: Option<io::Error>,
}

impl Recording {
    /// Records into a file, which is created, or emptied when it is there, and which only its owner
    /// may read (mode 0600; an existing file's mode is changed). Writes the header.
    ///
    /// # Errors
    ///
    /// When the file cannot be created, made private or written.
    pub fn create(path: impl AsRef<Path>, options: RecordingOptions) -> io::Result<Self> {
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
        let file = open.open(path)?;
        make_private(&file)?;
        Self::to_writer(file, options)
    }

    /// Records into a writer of one's own, which is flushed and let go at the end. Writes the header.
    ///
    /// A writer that is shared, such as an `Arc<File>`, stays open for whoever else has it.
    ///
    /// # Errors
    ///
    /// When the header cannot be written.
    pub fn to_writer(
        writer: impl Write + Send + 'static,
        options: RecordingOptions,
    ) -> io::Result<Self> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX);
        let named = |name| std::env::var(name).ok().filter(|user| !user.is_empty());
        let local_user = match options.local_user {
            none if none.is_empty() => named("USER").or_else(|| named("LOGNAME")),
            user => Some(user),
        };
        let header = SessionHeader {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            local_pid: std::process::id().into(),
            agent_path: options.agent_path,
            local_user: local_user.unwrap_or_default(),
            start_time: wall,
            backend_addr: options.backend_addr,
            backend_type: options.backend_type,
        };
        let recorder = Recorder::new(options.redaction);
        let header = recorder.header(header);
        let mut sink = Sink {
            writer: Some(BufWriter::with_capacity(BUFFER, Box::new(writer))),
            recorder,
            wall,
            clock: Instant::now(),
            open: BTreeSet::new(),
            waiting: Vec::new(),
            failure: None,
        };
        sink.write(&header);
        sink.flush();
        match sink.failure.take() {
            Some(error) => Err(error),
            None => Ok(Self(Arc::new(Shared(Mutex::new(sink))))),
        }
    }

    /// Why nothing more is recorded, if that is so: a copy of the error that stopped it.
    #[must_use]
    pub fn failure(&self) -> Option<io::Error> {
        self.sink().failure.as_ref().map(copy)
    }

    /// Waits until every session that began has been recorded to its end.
    ///
    /// That is once it is over and its driver has had a turn; a session with handles that nobody
    /// drops is waited for without end. Cancel safe.
    pub async fn finished(&self) {
        poll_fn(|cx| {
            let mut sink = self.sink();
            if sink.open.is_empty() {
                return Poll::Ready(());
            }
            if !sink.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                sink.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Ends the recording: sessions that go on are recorded up to here, as lost, and the footer is
    /// written. Does nothing the second time, except to say the same.
    ///
    /// # Errors
    ///
    /// Why the recording failed, now or before.
    pub fn close(&self) -> io::Result<()> {
        let mut sink = self.sink();
        let closed = sink.close();
        let waiting = std::mem::take(&mut sink.waiting);
        drop(sink);
        wake(waiting);
        closed
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        // A writer that panicked has written what it has written.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A command begins: its number.
    pub(crate) fn begin(&self, exec: &ExecRequest) -> u32 {
        let mut sink = self.sink();
        let now = sink.time(Instant::now());
        let (seq, record) = sink.recorder.command_start(now, exec);
        match record {
            Ok(record) => sink.write(&record),
            Err(error) => sink.fail(io::Error::new(io::ErrorKind::InvalidInput, error)),
        }
        sink.open.insert(seq);
        seq
    }

    /// Frames of a command, in order; false when none will be recorded any more.
    pub(crate) fn frames(
        &self,
        seq: u32,
        frames: impl Iterator<Item = Tapped>,
        to_std: impl Fn(trunkline_core::Instant) -> Instant,
    ) -> bool {
        let mut sink = self.sink();
        let open = sink.open.contains(&seq);
        for Tapped { at, direction, frame } in frames.filter(|_| open) {
            let record = sink.recorder.frame(sink.time(to_std(at)), direction, seq, frame);
            sink.write(&record);
        }
        open && sink.writer.is_some()
    }

    /// A command has ended.
    pub(crate) fn end(&self, seq: u32, exit_code: Option<i64>) {
        let mut sink = self.sink();
        sink.end(seq, exit_code);
        sink.flush();
        let waiting = if sink.open.is_empty() { std::mem::take(&mut sink.waiting) } else { vec![] };
        drop(sink);
        wake(waiting);
    }

    /// Hands on what was put together.
    pub(crate) fn flush(&self) {
        self.sink().flush();
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").finish_non_exhaustive()
    }
}

impl Sink {
    /// Nanoseconds since 1970.
    fn time(&self, at: Instant) -> i64 {
        let nanos = |time: std::time::Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let since = nanos(at.saturating_duration_since(self.clock));
        let before = nanos(self.clock.saturating_duration_since(at));
        self.wall.saturating_add(since).saturating_sub(before)
    }

    fn write(&mut self, record: &RecordBytes) {
        let Some(writer) = &mut self.writer else { return };
        let mut parts = record.slices().into_iter().filter(|part| !part.is_empty());
        if let Err(error) = parts.try_for_each(|part| writer.write_all(part)) {
            self.fail(error);
        }
    }

    fn flush(&mut self) {
        if let Some(Err(error)) = self.writer.as_mut().map(Write::flush) {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: io::Error) {
        tracing::debug!(%error, "the recording failed");
        self.failure.get_or_insert(error);
        if let Some(writer) = self.writer.take() {
            // What is in the buffer must not be tried again on the way out.
            drop(writer.into_parts());
        }
    }

    fn end(&mut self, seq: u32, exit_code: Option<i64>) {
        if self.open.remove(&seq) {
            let record = self.recorder.command_end(self.time(Instant::now()), seq, exit_code);
            self.write(&record);
        }
    }

    fn close(&mut self) -> io::Result<()> {
        for seq in std::mem::take(&mut self.open) {
            let record = self.recorder.command_end(self.time(Instant::now()), seq, None);
            self.write(&record);
        }
        let footer = self.recorder.footer(self.time(Instant::now()));
        self.write(&footer);
        self.flush();
        self.writer = None;
        self.failure.as_ref().map_or(Ok(()), |error| Err(copy(error)))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Nobody is left who could be told.
        let _ = self.close();
    }
}

fn wake(waiting: Vec<Waker>) {
    for waker in waiting {
        waker.wake();
    }
}

/// Errors of the system are no values to be cloned.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(unix)]
fn make_private(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.permissions().mode() & 0o7777 != 0o600 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private(_: &File) -> io::Result<()> {
    Ok(())
}
