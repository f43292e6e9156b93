//! What most tests need.

use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use trunkline_core::agentproto::LostInput;

use crate::rt::{
    self, CloseReason, Exec, ExecOptions, ExecRequest, ExitStatus, Output, Reader, ServeOptions,
    SessionError, Task,
};

use super::wire::{End, Line, wire};

/// What a wire in memory keeps in each direction, unless a test says otherwise.
const CAPACITY: usize = 64 << 10;

/// A program with arguments.
pub(crate) fn program(path: &str, args: &[&str]) -> ExecRequest {
    let argv = [path].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
    ExecRequest { path: path.to_owned(), argv: Some(argv), ..ExecRequest::default() }
}

/// A shell script.
pub(crate) fn sh(script: &str) -> ExecRequest {
    program("/bin/sh", &["-c", script])
}

/// The same with extra descriptors.
pub(crate) fn sh_with_fds(script: &str, fds: &[u32]) -> ExecRequest {
    ExecRequest { fds: fds.to_vec(), ..sh(script) }
}

/// An agent that says little and hangs up soon.
pub(crate) fn options() -> ServeOptions {
    let mut options = ServeOptions::default();
    options.config.lost_input = LostInput::HangUp { grace: Duration::from_millis(100) };
    options.config.log_level = i64::MAX;
    options
}

/// Starts a command on a real agent in this process, over a wire in memory.
pub(crate) fn start(request: impl Into<ExecOptions>) -> (Exec, Task<u8>) {
    let (exec, agent, _) = start_over(request, options());
    (exec, agent)
}

/// The same, with the wire to play with.
pub(crate) fn start_over(
    request: impl Into<ExecOptions>,
    options: ServeOptions,
) -> (Exec, Task<u8>, Line) {
    let (local, remote, line) = wire(CAPACITY);
    let exec = rt::exec_over(rt::Over(local), request).unwrap();
    (exec, serve(remote, options), line)
}

/// A real agent in this process.
pub(crate) fn serve(end: End, options: ServeOptions) -> Task<u8> {
    rt::spawn(rt::serve(rt::Over(end), options))
}

/// Everything that a command says, and how it ends.
pub(crate) async fn output(request: impl Into<ExecOptions>) -> Output {
    let (exec, agent) = start(request);
    let output = exec.output().await.unwrap();
    assert!(matches!(agent.await, 0 | 127));
    output
}

/// The status of a command that reported this code, and no text.
pub(crate) fn exited(code: i64) -> ExitStatus {
    ExitStatus::Exited { code, text: String::new(), clean: true }
}

/// Why a session was lost, as a handle's error tells it.
pub(crate) fn lost(error: &io::Error) -> CloseReason {
    match session_error(error) {
        SessionError::Lost(reason) | SessionError::NoAgent { reason, .. } => reason.clone(),
        other => panic!("not a loss: {other:?}"),
    }
}

/// The source of a handle's error.
pub(crate) fn session_error(error: &io::Error) -> &SessionError {
    let source = error.get_ref().and_then(|source| source.downcast_ref());
    source.unwrap_or_else(|| panic!("no session error below {error:?}"))
}

/// The status of a command whose session was lost; it must not look like anything better.
pub(crate) fn lost_status(status: &ExitStatus) -> CloseReason {
    assert!(!status.success(), "{status:?}");
    assert_eq!(status.code(), None);
    match status {
        ExitStatus::Lost(reason) => reason.clone(),
        other => panic!("not a loss: {other:?}"),
    }
}

/// The first line, without its end; one byte at a time, so that nothing behind it is taken.
pub(crate) async fn line(reader: &mut Reader) -> String {
    let mut line = Vec::new();
    loop {
        match rt::read_exact(reader, 1).await.expect("a line")[0] {
            b'\n' => return String::from_utf8(line).expect("text"),
            byte => line.push(byte),
        }
    }
}

/// Everything to the end, by chunks.
pub(crate) async fn chunks(reader: &mut Reader) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.read_chunk().await? {
        assert!(!chunk.is_empty(), "an empty chunk is not an end");
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Waits for something that no waker tells.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "in vain: {what}");
        rt::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until a number has not changed for a while, and says which.
pub(crate) async fn settled<T: PartialEq>(mut number: impl FnMut() -> T) -> T {
    let mut last = number();
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(150) {
        rt::sleep(Duration::from_millis(5)).await;
        let now = number();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

/// Lets every other task have a turn.
pub(crate) async fn turn() {
    let mut begun = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut begun, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Drops the future when its n-th poll was in vain.
pub(crate) async fn cancel_at<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    let result = poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await;
    // Without this a loop of them would keep a runtime of one thread from ever doing anything.
    turn().await;
    result
}

/// Whether a process runs; one that ended and was not reaped does not.
pub(crate) fn runs(pid: &str) -> bool {
    let pid: i32 = pid.parse().expect("a process number");
    if let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        let state = stat.rsplit(") ").next().unwrap_or_default();
        return !state.starts_with(['Z', 'X']);
    }
    let pid = Pid::from_raw(pid).expect("a process number");
    !Path::new("/proc/self").exists() && test_kill_process(pid).is_ok()
}

/// Ends a process that no agent ends.
pub(crate) fn kill(pid: &str) {
    let pid = Pid::from_raw(pid.parse().expect("a process number")).expect("a process number");
    let _ = kill_process(pid, Signal::KILL);
}

/// The example that serves one session on its stdin and stdout.
pub(crate) fn agent_program() -> PathBuf {
    example(rt::AGENT)
}

/// An example of this binding; it stands beside the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).expect("a target folder");
    let program = target.join("examples").join(name);
    assert!(program.exists(), "{}: a whole `cargo test` builds it", program.display());
    program
}

/// Bytes without a short period, so that any that is lost, doubled or moved shows.
#[derive(Debug)]
pub(crate) struct Pattern(Bytes);

impl Pattern {
    pub(crate) fn new() -> Self {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let bytes = (0..100_003).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        });
        let block: Vec<u8> = bytes.collect();
        Self(block.repeat(2).into())
    }

    /// The bytes from this position on: so many, or fewer.
    pub(crate) fn at(&self, position: usize, most: usize) -> Bytes {
        let period = self.0.len() / 2;
        let begin = position % period;
        self.0.slice(begin..begin + most.min(period))
    }

    /// Whether these are the bytes from this position on.
    pub(crate) fn check(&self, mut position: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let expected = self.at(position, bytes.len());
            let (now, rest) = bytes.split_at(expected.len());
            assert!(now == expected, "other bytes within {} from {position}", now.len());
            position += now.len();
            bytes = rest;
        }
    }

    /// The first bytes.
    pub(crate) fn head(&self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.at(bytes.len(), count - bytes.len()));
        }
        bytes
    }
}
