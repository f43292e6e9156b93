//! Agents as child processes of the local side.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::Command;
use std::task::{Context, Poll};

use trunkline_host::process::{Child, Exit, Signaller, attach};

use crate::told::Told;
use crate::{Duplex, FdIo, Readiness};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// A process that leads to an agent, or is one.
///
/// It stays in the caller's process group, and its stderr is the caller's. Dropping it asks it to
/// end (SIGTERM) unless it has ended; it is reaped in either case and never becomes a zombie.
#[derive(Debug)]
pub struct Launched {
    child: Child,
    signaller: Signaller,
    exit: Told<Exit>,
}

/// One shell command line as a command, for [`launch`].
///
/// A plain line takes the shell's place (`exec`), so that no shell stands between this process and
/// what leads to the agent.
#[must_use]
pub fn shell(line: &OsStr) -> Command {
    let mut script = OsString::new();
    if line.to_str().is_some_and(is_plain) {
        script.push("exec ");
    }
    script.push(line);
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script);
    command
}

/// Words that only a shell knows, or that a shell knows better.
const SHELL_WORDS: &str = ". : [ alias bg break builtin case cd command continue echo eval exec exit export \
    false fg for function getopts hash if jobs kill let local printf pwd read readonly return select \
    set shift source test time times trap true type typeset ulimit umask unalias unset until wait while";

/// Whether a line is a program and its arguments, without anything that a shell would act on.
fn is_plain(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    let word = |c: char| c.is_ascii_alphanumeric() || " _./:@%+,=-".contains(c);
    let known = SHELL_WORDS.split_whitespace().any(|known| known == first);
    !first.is_empty() && !known && !first.contains('=') && line.chars().all(word)
}

/// The two pipes of a process as one transport.
pub type Pipes<R> = Duplex<FdIo<R>, FdIo<R>>;

/// Starts a command with pipes on its stdin and stdout, which become the transport.
///
/// # Errors
///
/// When it cannot be started, or the reactor refuses the pipes.
pub fn launch<R: Readiness>(command: Command) -> io::Result<(Launched, Pipes<R>)> {
    let mut child = attach(command)?;
    let missing = || io::Error::other("the child has no pipes");
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let exit = watch(&mut child)?;
    let launched = Launched { signaller: child.signaller(), child, exit };
    Ok((launched, Duplex::new(FdIo::pollable(stdout)?, FdIo::pollable(stdin)?)))
}

/// Tells the end of a child, which is not reaped by that.
pub(crate) fn watch(child: &mut Child) -> io::Result<Told<Exit>> {
    let exit = Told::new();
    let teller = exit.clone();
    child.on_exit(move |exit| teller.tell(exit))?;
    Ok(exit)
}

impl Launched {
    /// Ready once the process has ended: its status, or 128+n for signal n.
    pub fn poll_exit(&mut self, cx: &mut Context<'_>) -> Poll<i32> {
        self.exit.poll(cx).map(|exit| exit.code)
    }

    /// Asks the process and what it started to end (SIGTERM); no error when they have.
    pub fn terminate(&self) {
        let _ = self.signaller.send_to_tree(SIGTERM);
    }

    /// Whether something still runs that was asked to end, though the process itself may have ended.
    pub(crate) fn tree_runs(&self) -> bool {
        self.signaller.tree_runs()
    }

    /// Ends the process and what it started (SIGKILL); no error when they have ended.
    pub fn kill(&self) {
        let _ = self.signaller.send_to_tree(SIGKILL);
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        if !self.exit.is_told() {
            self.terminate();
        }
        let _ = self.child.reap();
    }
}
