//! Agents as child processes of the local side.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use trunkline_host::process::{Child, Exit, Signaller, attach};

use crate::{Duplex, FdIo, Readiness};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// The end of a process, as the thread that waits for it tells it.
#[derive(Debug, Default)]
pub(crate) struct ExitCell(Mutex<(Option<Exit>, Option<Waker>)>);

impl ExitCell {
    /// Watches a child.
    pub(crate) fn watch(child: &mut Child) -> io::Result<Arc<Self>> {
        let cell = Arc::new(Self::default());
        let told = Arc::clone(&cell);
        child.on_exit(move |exit| {
            let mut state = told.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 = Some(exit);
            let waker = state.1.take();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        })?;
        Ok(cell)
    }

    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Exit> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.0 {
            Some(exit) => Poll::Ready(exit),
            None => {
                state.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.is_some()
    }
}

/// A process that leads to an agent, or is one.
///
/// It stays in the caller's process group, and its stderr is the caller's. Dropping it asks it to
/// end (SIGTERM) unless it has ended; it is reaped in either case and never becomes a zombie.
#[derive(Debug)]
pub struct Launched {
    child: Child,
    signaller: Signaller,
    exit: Arc<ExitCell>,
}

/// One shell command line as a command, for [`launch`].
///
/// SIGINT and SIGQUIT are ignored below it: Ctrl-C on a terminal goes to the whole foreground group,
/// and is the remote command's business, not that of what leads there.
#[must_use]
pub fn shell(line: &OsStr) -> Command {
    // A plain command line takes the shell's place; anything else needs the shell to stay.
    let plain = line.to_str().is_some_and(|line| {
        let word = |c: char| c.is_ascii_alphanumeric() || " _./:@%+,=-".contains(c);
        let first = line.split_whitespace().next().unwrap_or_default();
        !first.is_empty() && !first.contains('=') && line.chars().all(word)
    });
    let mut script = OsString::from("trap '' INT QUIT\n");
    if plain {
        script.push("exec ");
    }
    script.push(line);
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script);
    command
}

/// Starts a command with pipes on its stdin and stdout, which become the transport.
///
/// # Errors
///
/// When it cannot be started, or the reactor refuses the pipes.
pub fn launch<R: Readiness>(command: Command) -> io::Result<(Launched, Duplex<FdIo<R>, FdIo<R>>)> {
    let mut child = attach(command)?;
    let missing = || io::Error::other("the child has no pipes");
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let exit = ExitCell::watch(&mut child)?;
    let launched = Launched { signaller: child.signaller(), child, exit };
    Ok((launched, Duplex::new(FdIo::pollable(stdout)?, FdIo::pollable(stdin)?)))
}

impl Launched {
    /// Ready once the process has ended: its status, or 128+n for signal n.
    pub fn poll_exit(&mut self, cx: &mut Context<'_>) -> Poll<i32> {
        self.exit.poll(cx).map(|exit| exit.code)
    }

    /// Asks the process to end (SIGTERM); no error when it has.
    pub fn terminate(&self) {
        let _ = self.signaller.send(SIGTERM);
    }

    /// Ends the process (SIGKILL); no error when it has ended.
    pub fn kill(&self) {
        let _ = self.signaller.send(SIGKILL);
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        if !self.exit.is_over() {
            self.terminate();
        }
        let _ = self.child.reap();
    }
}
