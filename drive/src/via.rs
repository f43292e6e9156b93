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
        if !self.exit.is_told() {
            self.terminate();
        }
        let _ = self.child.reap();
    }
}
