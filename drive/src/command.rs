//! A command on an agent, with its streams and its end.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use trunkline_core::agentproto::{FirstBytes, PathEntry, Stats};
use trunkline_core::{ExitStatus, Instant};

use crate::via::Launched;
use crate::{Clock, Runtime, Session, Sleep, StreamReader, StreamWriter};

/// How long a process that led to the agent may take to end once the session is over; then it is
/// asked to, and as long again later it is killed.
const REAP: Duration = Duration::from_secs(2);

/// How often what was asked to end is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// A session, and the process that leads to its agent if this side started one.
#[derive(Debug)]
pub(crate) struct Running<S> {
    session: Session,
    sleep: S,
    clock: Clock,
    /// When the patience with the process ends, and how often it has ended.
    patience: Option<(Instant, u8)>,
    /// What the process that led to the agent ended with.
    code: Option<i32>,
    /// It was ended from here.
    ended_here: bool,
}

impl<S: Sleep> Running<S> {
    pub(crate) fn new(
        session: Session,
        launched: Option<Launched>,
        sleep: S,
        clock: Clock,
    ) -> Self {
        session.keep(launched);
        Self::of(session, sleep, clock)
    }

    /// A session that keeps the process already.
    pub(crate) const fn of(session: Session, sleep: S, clock: Clock) -> Self {
        Self { session, sleep, clock, patience: None, code: None, ended_here: false }
    }

    async fn wait(&mut self) -> ExitStatus {
        let mut status = poll_fn(|cx| self.session.poll_wait(cx)).await;
        poll_fn(|cx| self.poll_agent(cx)).await;
        if let ExitStatus::Exited { clean, .. } = &mut status {
            *clean = matches!(self.code, None | Some(0));
        }
        status
    }

    /// Waits for the answer to a PATH query, and for the process that led to it.
    pub(crate) async fn paths(&mut self) -> io::Result<Vec<PathEntry>> {
        let entries = poll_fn(|cx| self.session.poll_paths(cx)).await;
        poll_fn(|cx| self.poll_agent(cx)).await;
        entries
    }

    /// Waits for the process that led to the agent, after the session's end.
    pub(crate) async fn agent_end(&mut self) {
        poll_fn(|cx| self.poll_agent(cx)).await;
    }

    /// Ready once the process that led to the agent has ended, and what it started if it had to be
    /// asked. It has reason to: its input is over.
    fn poll_agent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut held = self.session.launched();
        loop {
            let Some(launched) = held.as_mut() else { return Poll::Ready(()) };
            if self.code.is_none()
                && let Poll::Ready(code) = launched.poll_exit(cx)
            {
                self.code = Some(code);
            }
            let now = self.clock.now();
            let (until, asked) = *self.patience.get_or_insert((now + REAP, 0));
            let left = self.code.is_some();
            if left && !(asked == 1 && launched.tree_runs()) {
                *held = None;
                return Poll::Ready(());
            }
            if now >= until {
                match asked {
                    0 => launched.terminate(),
                    1 => launched.kill(),
                    _ => return Poll::Ready(()),
                }
                self.ended_here |= !left;
                self.patience = Some((now + REAP, asked + 1));
                continue;
            }
            // Nothing tells the end of what a shell left behind.
            let at = if left { until.min(now + GLANCE) } else { until };
            if self.sleep.poll_until(cx, self.clock.to_std(at)).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

/// A command that runs on an agent.
///
/// Its streams can be taken, and used in other tasks. The session lives as long as any of its
/// handles; when the last is dropped before the command has ended, the agent sees its input end and
/// hangs the command up, and the process that led there is asked to end.
pub struct Exec<R: Runtime> {
    running: Running<R::Sleep>,
    stdin: Option<StreamWriter>,
    stdout: Option<StreamReader>,
    stderr: Option<StreamReader>,
    streams: BTreeMap<u32, (StreamReader, StreamWriter)>,
}

/// Everything a command wrote, and how it ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Output {
    /// How the command ended.
    pub status: ExitStatus,
    /// What it wrote to its stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to its stderr.
    pub stderr: Vec<u8>,
}

impl<R: Runtime> Exec<R> {
    pub(crate) fn new(running: Running<R::Sleep>, streams: &[u32]) -> Self {
        let session = &running.session;
        let pair = |stream: &u32| (*stream, (session.reader(*stream), session.writer(*stream)));
        Self {
            stdin: Some(session.writer(0)),
            stdout: Some(session.reader(1)),
            stderr: Some(session.reader(2)),
            streams: streams.iter().map(pair).collect(),
            running,
        }
    }

    /// The command's input; `None` when it was taken before.
    pub fn take_stdin(&mut self) -> Option<R::Writer> {
        self.stdin.take().map(Into::into)
    }

    /// The command's output; `None` when it was taken before.
    pub fn take_stdout(&mut self) -> Option<R::Reader> {
        self.stdout.take().map(Into::into)
    }

    /// The command's error output; `None` when it was taken before.
    pub fn take_stderr(&mut self) -> Option<R::Reader> {
        self.stderr.take().map(Into::into)
    }

    /// An extra descriptor of the command; `None` when it has no such one, or it was taken before.
    pub fn take_stream(&mut self, fd: u32) -> Option<R::Duplex> {
        self.streams.remove(&fd).map(Into::into)
    }

    /// Sends a signal to the command's process group, ahead of input that was not sent yet.
    ///
    /// # Errors
    ///
    /// When the command has ended, or 64 signals wait to be sent.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        self.running.session.signal(signal)
    }

    /// Waits for the command's end, and for the process that led to the agent.
    ///
    /// Streams that were not taken are dropped first: the command reads an end, and what it writes
    /// is discarded, so that nobody's waiting holds it up. Streams that were taken must be read, or
    /// dropped, for the command to end.
    ///
    /// Cancel safe: waiting again goes on where it was left, and says the same once it is over.
    pub async fn wait(&mut self) -> ExitStatus {
        self.stdin = None;
        self.stdout = None;
        self.stderr = None;
        self.streams.clear();
        self.running.wait().await
    }

    /// Ends the input and collects both outputs and the status.
    ///
    /// Memory grows with what the command writes: for more than fits, read the streams. Dropping
    /// the future ends the session.
    ///
    /// # Errors
    ///
    /// How the session was lost before both outputs had ended.
    pub async fn output(mut self) -> io::Result<Output> {
        self.stdin = None;
        self.streams.clear();
        let (stdout, stderr) = collect(self.stdout.take(), self.stderr.take()).await?;
        Ok(Output { status: self.wait().await, stdout, stderr })
    }

    /// Ends the session now; what was not sent is discarded. The agent hangs the command up.
    pub fn abort(&self) {
        self.running.session.abort();
    }

    /// The first bytes that came from the agent's side, which tell what is there when it is no agent.
    #[must_use]
    pub fn began_with(&self) -> FirstBytes {
        self.running.session.began_with()
    }

    /// Counters of the session.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.running.session.stats()
    }

    /// What the process that led to the agent ended with, once it was waited for: its status, or
    /// 128+n for signal n. `None` also when it did not end by itself and was ended from here.
    #[must_use]
    pub const fn agent_code(&self) -> Option<i32> {
        if self.running.ended_here { None } else { self.running.code }
    }
}

impl<R: Runtime> fmt::Debug for Exec<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Reads both outputs at once, so that neither can hold the other up.
async fn collect(
    stdout: Option<StreamReader>,
    stderr: Option<StreamReader>,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut outputs = [(stdout, Vec::new()), (stderr, Vec::new())];
    poll_fn(|cx| {
        for (reader, bytes) in &mut outputs {
            while let Some(open) = reader {
                match open.poll_chunk(cx) {
                    Poll::Pending => break,
                    Poll::Ready(chunk) => match chunk? {
                        Some(chunk) => bytes.extend_from_slice(&chunk),
                        None => *reader = None,
                    },
                }
            }
        }
        let over = outputs.iter().all(|(reader, _)| reader.is_none());
        if over { Poll::Ready(io::Result::Ok(())) } else { Poll::Pending }
    })
    .await?;
    let [(_, stdout), (_, stderr)] = outputs;
    Ok((stdout, stderr))
}
