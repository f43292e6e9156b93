//! A command on a terminal of its own: what a remote shell is.
//!
//! [`Pty::spawn`] opens a pair, makes the command the leader of a session on it and keeps the
//! master. What moves the bytes gets [`Pty::master`], a non-blocking descriptor for a reactor.

use std::env;
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, unlockpt};
use rustix::termios::{
    InputModes, OptionalActions, Winsize, tcgetattr, tcgetpgrp, tcsetattr, tcsetwinsize,
};
use trunkline_core::agentproto::ExecRequest;

use crate::process::tree::{self, Member};
use crate::process::{Child, Exit, Launch, Signaller, SpawnError, SpawnStage, User, start};

/// What a program is told when nobody says what the terminal is.
const DEFAULT_TERM: &str = "xterm-256color";

/// How long what runs on a terminal has to end after the hangup, unless [`Options`] says otherwise.
const GRACE: Duration = Duration::from_secs(2);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// Columns and rows of a terminal, each from 1 to 1000.
///
/// A peer may ask for 0 or 65535 of them, which programs divide by or allocate for
/// (`docs/protocols/agent-tunnel.md` section 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    cols: u16,
    rows: u16,
}

impl Size {
    /// That size; what is outside of 1 to 1000 becomes the nearest number that is not.
    #[must_use]
    pub const fn new(cols: u16, rows: u16) -> Self {
        Self { cols: clamped(cols), rows: clamped(rows) }
    }

    /// Characters in a row.
    #[must_use]
    pub const fn cols(self) -> u16 {
        self.cols
    }

    /// Rows.
    #[must_use]
    pub const fn rows(self) -> u16 {
        self.rows
    }

    const fn to_system(self) -> Winsize {
        Winsize { ws_row: self.rows, ws_col: self.cols, ws_xpixel: 0, ws_ypixel: 0 }
    }
}

impl Default for Size {
    /// 120 columns and 40 rows (`docs/protocols/agent-tunnel.md` section 7).
    fn default() -> Self {
        Self::new(120, 40)
    }
}

const fn clamped(count: u16) -> u16 {
    match count {
        0 => 1,
        1..=1000 => count,
        _ => 1000,
    }
}

/// What runs on a terminal, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The program and its arguments; a program without a slash is looked for in this process's
    /// PATH. `None`, the default, and an empty list are the login shell: `SHELL`, or `/bin/sh`.
    pub command: Option<Vec<String>>,
    /// What TERM says. Anything that is no name of a terminal (letters, digits, `+-._`, at most
    /// 64) becomes `xterm-256color`, which is the default.
    pub term: String,
    /// The size it starts with.
    pub size: Size,
    /// The environment before TERM, `None`, the default, for this process's own. What
    /// [`crate::envfilter::filter`] let through goes here.
    ///
    /// TERM, COLUMNS and LINES of it do not count, and variables whose names start with
    /// `TRUNKLINE_` do not pass: those are the agent's own, tokens among them.
    pub env: Option<Vec<String>>,
    /// Where it starts, empty, the default, for where this process is.
    pub cwd: String,
    /// How long what runs in the foreground has after the hangup until it is killed. Default 2 s.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            command: None,
            term: DEFAULT_TERM.to_owned(),
            size: Size::default(),
            env: None,
            cwd: String::new(),
            grace: GRACE,
        }
    }
}

/// A command that runs on a terminal of its own, and the master of that terminal.
///
/// Dropping it hangs up, as closing a terminal's window does: everything in the session gets
/// SIGHUP, and of what then still runs after [`Options::grace`], the command and the foreground are
/// killed, on a thread of their own; a job in the background that ignores SIGHUP (`nohup`) lives
/// on. The drop does not block. Descriptors that [`master`](Self::master) gave out should be dropped
/// with it. When the command has ended before, its background jobs are left as they are.
pub struct Pty {
    child: Option<Child>,
    master: Option<OwnedFd>,
    grace: Duration,
}

impl Pty {
    /// Starts a command on a new terminal, in a session and a process group of its own.
    ///
    /// It has the terminal as descriptors 0, 1 and 2 and as its controlling terminal, and no other
    /// descriptor of this process. The terminal's line discipline knows UTF-8. Otherwise as
    /// [`crate::process::spawn`], as the user that this process is. Blocks until the command runs
    /// or has failed to.
    ///
    /// # Errors
    ///
    /// With [`SpawnStage::Build`] when there is no terminal to be had, with [`SpawnStage::Start`]
    /// for everything else.
    pub fn spawn(options: Options) -> Result<Self, SpawnError> {
        let Options { command, term, size, env, cwd, grace } = options;
        let argv = command.filter(|argv| !argv.is_empty()).unwrap_or_else(login_shell);
        let path = argv.first().cloned().unwrap_or_default();
        let request = ExecRequest { path, argv: Some(argv), cwd, ..ExecRequest::default() };
        let mut launch = Launch::new(&request);
        launch.env = Some(environment(env, &term, &request.cwd));
        launch.user = User::Own;
        let no_terminal = |error: io::Error| {
            let text = format!("open a terminal: {}", crate::error_text(&error));
            let os_error = error.raw_os_error();
            SpawnError { stage: SpawnStage::Build, text, os_error }
        };
        let master = open(size).map_err(no_terminal)?;
        let child = start(launch, Some(master.as_fd()))?;
        Ok(Self { child: Some(child), master: Some(master), grace })
    }

    /// Number of the command's process, which is that of its group and its session.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, |child| child.pid)
    }

    /// A descriptor of the master for a reactor, for both directions: non-blocking and
    /// close-on-exec.
    ///
    /// Reading it gives what is printed, to its end when the command and all that has the terminal
    /// open are gone; on Linux that end is EIO instead of 0 bytes (and nothing that was printed
    /// before it is lost). Each call gives another descriptor of the same open file.
    ///
    /// # Errors
    ///
    /// When no descriptor is left.
    pub fn master(&self) -> io::Result<OwnedFd> {
        let master = self.master.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        Ok(fcntl_dupfd_cloexec(master, 3)?)
    }

    /// Changes the size; the foreground gets SIGWINCH when it is another one.
    ///
    /// # Errors
    ///
    /// The system's, which are not to be expected.
    pub fn resize(&self, size: Size) -> io::Result<()> {
        let master = self.master.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        Ok(tcsetwinsize(master, size.to_system())?)
    }

    /// Calls `callback` once, on a thread of its own, when the command has ended; output may still
    /// be waiting in the master. See [`Child::on_exit`], its errors too.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn on_exit(&mut self, callback: impl FnOnce(Exit) + Send + 'static) -> io::Result<()> {
        self.child.as_mut().ok_or(io::ErrorKind::NotConnected)?.on_exit(callback)
    }

    /// A handle for sending signals to the command's group from anywhere, until this is dropped and
    /// the command is over.
    #[must_use]
    pub fn signaller(&self) -> Option<Signaller> {
        self.child.as_ref().map(Child::signaller)
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        let foreground = self.master.as_ref().and_then(|master| tcgetpgrp(master).ok());
        drop(self.master.take());
        // One that has ended is reaped by dropping it.
        if !child.runs() {
            return;
        }
        let hangup = Hangup {
            foreground: foreground.map_or(child.pid, |group| {
                u32::try_from(group.as_raw_nonzero().get()).unwrap_or(child.pid)
            }),
            grace: self.grace,
            child,
        };
        let _ = thread::Builder::new()
            .name("trunkline-hangup".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || hangup.run());
    }
}

impl fmt::Debug for Pty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pty").field("pid", &self.pid()).finish_non_exhaustive()
    }
}

/// What is left to do when nobody has the terminal any more.
struct Hangup {
    child: Child,
    foreground: u32,
    grace: Duration,
}

impl Hangup {
    fn run(self) {
        let send = |members: &[Member], signal: Signal| {
            let processes: Vec<_> = members.iter().map(|member| member.process).collect();
            tree::signal_all(&processes, signal.as_raw());
        };
        let all = self.child.session();
        send(&all, Signal::HUP);
        // A stopped job would never see it.
        send(&all, Signal::CONT);
        let start = Instant::now();
        // The command is not reaped before the end of this, so the session's number stays its own.
        while start.elapsed() < self.grace {
            if self.condemned().is_empty() {
                return;
            }
            thread::sleep(LOOK);
        }
        send(&self.condemned(), Signal::KILL);
        // Where the system does not tell what is in a session.
        if self.child.runs() {
            let _ = self.child.signaller().send(Signal::KILL.as_raw());
        }
    }

    fn condemned(&self) -> Vec<Member> {
        let doomed = |member: &Member| [self.child.pid, self.foreground].contains(&member.group);
        self.child.session().into_iter().filter(doomed).collect()
    }
}

/// A master of that size, non-blocking.
fn open(size: Size) -> io::Result<OwnedFd> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    // Not every system takes these when it is opened. Nothing of ours forks without `exec` marks.
    fcntl_setfd(&master, fcntl_getfd(&master)? | FdFlags::CLOEXEC)?;
    fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let mut modes = tcgetattr(&master)?;
    // Else erasing a character of two bytes erases half of it.
    modes.input_modes |= InputModes::IUTF8;
    tcsetattr(&master, OptionalActions::Now, &modes)?;
    tcsetwinsize(&master, size.to_system())?;
    Ok(master)
}

fn login_shell() -> Vec<String> {
    let shell = env::var("SHELL").ok().filter(|shell| shell.starts_with('/'));
    vec![shell.unwrap_or_else(|| "/bin/sh".to_owned()), "-l".to_owned()]
}

/// The environment with this TERM, and PWD when it starts elsewhere.
fn environment(env: Option<Vec<String>>, term: &str, cwd: &str) -> Vec<String> {
    let own = || {
        let entries = env::vars_os().filter_map(|(name, value)| {
            Some(format!("{}={}", name.into_string().ok()?, value.into_string().ok()?))
        });
        entries.collect()
    };
    let inherited = env.is_none();
    let mut env: Vec<String> = env.unwrap_or_else(own);
    env.retain(|entry| {
        let name = entry.split('=').next().unwrap_or_default();
        !matches!(name, "TERM" | "COLUMNS" | "LINES") && !name.starts_with("TRUNKLINE_")
    });
    let named = !term.is_empty()
        && term.len() <= 64
        && term.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte));
    env.push(format!("TERM={}", if named { term } else { DEFAULT_TERM }));
    if inherited && cwd.starts_with('/') {
        env.push(format!("PWD={}", crate::path::clean(cwd)));
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_kept_within_reason() {
        let pair = |size: Size| (size.cols(), size.rows());
        assert_eq!(pair(Size::new(0, 65_535)), (1, 1000));
        assert_eq!(pair(Size::new(1000, 1)), (1000, 1));
        assert_eq!(pair(Size::default()), (120, 40));
    }

    #[test]
    fn tokens_and_the_own_terminal_stay_out_of_the_environment() {
        let env = ["TERM=dumb", "A=1", "LINES=3", "TRUNKLINE_TOKEN=secret", "TERMINFO=/x"];
        let env = Some(env.map(str::to_owned).to_vec());
        assert_eq!(environment(env.clone(), "vt100", ""), ["A=1", "TERMINFO=/x", "TERM=vt100"]);
        for odd in ["", "../../etc/x", "a b", "x\0", &"x".repeat(65)] {
            let env = environment(env.clone(), odd, "/tmp");
            assert_eq!(env.last().map(String::as_str), Some("TERM=xterm-256color"));
        }
    }
}
