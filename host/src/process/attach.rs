//! A process of the local side that leads to an agent.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::io::ioctl_fionbio;
use rustix::process::Pid;

use super::Child;
use crate::fd::enlarge_pipe;
use crate::sys;
use std::os::fd::AsFd as _;

/// Starts a command with pipes on its stdin and stdout; stderr and process group stay the caller's.
///
/// SIGINT and SIGQUIT are ignored in it from the first moment on: Ctrl-C on a terminal goes to the
/// whole foreground group, and is the remote command's business, not that of what leads there.
///
/// The ends kept here are non-blocking and close-on-exec; on Linux the pipes hold up to 1 MiB, as
/// far as the system allows. What the command already says about stdin and stdout is overridden.
///
/// # Errors
///
/// The system's, when the command cannot be started or the pipes cannot be made.
pub fn attach(mut command: Command) -> io::Result<Child> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    sys::restore_child_signal();
    sys::ignore_interrupts(&mut command);
    let mut spawned = command.spawn()?;
    let pid = Pid::from_child(&spawned);
    let (stdin, stdout) =
        (spawned.stdin.take().map(OwnedFd::from), spawned.stdout.take().map(OwnedFd::from));
    // It only holds the number: all waiting is done in one place.
    drop(spawned);
    let mut child = Child::bare(pid);
    for end in [&stdin, &stdout].into_iter().flatten() {
        ioctl_fionbio(end, true)?;
        enlarge_pipe(end.as_fd());
    }
    child.stdin = stdin;
    child.stdout = stdout;
    Ok(child)
}
