//! A running child: waiting, reaping, signalling.
//!
//! One rule keeps all of it safe: the child is reaped in one place, under one lock, and never while
//! somebody may still wait for it or signal it. Until then its number, as process and as group,
//! belongs to it and cannot come back as somebody else's.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::io::{Errno, retry_on_intr};
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitIdStatus, WaitOptions, WaitStatus, waitid, waitpid,
};

use super::spawn::ParentEnds;
use super::tree;
use crate::sys;

/// The highest signal number accepted, real-time signals included.
const MAX_SIGNAL: i32 = 64;

/// Stack of the waiting thread, in bytes. It sleeps, and calls one callback.
const WAITER_STACK: usize = 256 * 1024;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// Its status, or 128 and the number of the signal that killed it: the wire's exit code
    /// (`docs/protocols/agentproto.md` section 6, step 9). -1 when it cannot be known, which takes
    /// other code of this process to have reaped the child.
    pub code: i32,
    /// The signal that killed it.
    pub signal: Option<i32>,
}

impl Exit {
    const UNKNOWN: Self = Self { code: -1, signal: None };

    fn new(status: Option<i32>, signal: Option<i32>) -> Self {
        match (status, signal) {
            (_, Some(number)) => Self { code: 128 + number, signal },
            (Some(code), None) => Self { code, signal: None },
            (None, None) => Self::UNKNOWN,
        }
    }
}

impl From<WaitIdStatus> for Exit {
    fn from(status: WaitIdStatus) -> Self {
        Self::new(status.exit_status(), status.terminating_signal())
    }
}

impl From<WaitStatus> for Exit {
    fn from(status: WaitStatus) -> Self {
        Self::new(status.exit_status(), status.terminating_signal())
    }
}

/// A command that was started, with this side's ends of its streams.
///
/// The ends are non-blocking; each is its own to take, and dropping it closes it.
///
/// Dropping never kills and never blocks: a child that still runs goes on, with closed streams, and
/// a thread reaps it when it ends; one that has ended is reaped at once. (Where no thread can be
/// started, it stays a zombie until this process ends.)
pub struct Child {
    /// Number of the process and of its group.
    pub pid: u32,
    /// Where its standard input is written.
    pub stdin: Option<OwnedFd>,
    /// Where its standard output is read.
    pub stdout: Option<OwnedFd>,
    /// Where its standard error is read.
    pub stderr: Option<OwnedFd>,
    /// Stream sockets to its extra descriptors, by their numbers in the child, in the order of the
    /// request. To end one direction, shut it down: closing would end both (H7).
    pub extra: Vec<(u32, OwnedFd)>,
    shared: Arc<Shared>,
}

struct Shared {
    pid: Pid,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A thread waits, or has waited: it is the first to learn of the end.
    waiter: bool,
    /// How it ended, once known.
    exit: Option<Exit>,
    /// The number may belong to somebody else.
    reaped: bool,
    /// Its owner is gone: whoever sees the end reaps.
    abandoned: bool,
    /// What has been found below it.
    below: Vec<tree::Found>,
}

impl Child {
    pub(super) fn new(pid: Pid, ends: ParentEnds) -> Self {
        Self {
            pid: pid.as_raw_nonzero().get().unsigned_abs(),
            stdin: ends.stdin,
            stdout: ends.stdout,
            stderr: ends.stderr,
            extra: ends.extra,
            shared: Arc::new(Shared { pid, state: Mutex::default() }),
        }
    }

    /// What still runs of the session that the child leads, and was not [`reap`](Self::reap)ed.
    pub(crate) fn session(&self) -> Vec<tree::Member> {
        let state = self.shared.lock();
        // Once it has been reaped, its number may be somebody else's.
        if state.reaped { Vec::new() } else { tree::session(self.pid) }
    }

    /// Whether the child has neither ended nor been reaped.
    pub(crate) fn runs(&self) -> bool {
        let state = self.shared.lock();
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        !state.reaped && matches!(waitid(WaitId::Pid(self.shared.pid), options), Ok(None))
    }

    /// A child without streams.
    pub(super) fn bare(pid: Pid) -> Self {
        Self {
            pid: pid.as_raw_nonzero().get().unsigned_abs(),
            stdin: None,
            stdout: None,
            stderr: None,
            extra: Vec::new(),
            shared: Arc::new(Shared { pid, state: Mutex::default() }),
        }
    }

    /// A handle for sending signals from anywhere.
    #[must_use]
    pub fn signaller(&self) -> Signaller {
        Signaller { shared: Arc::clone(&self.shared) }
    }

    /// Calls `callback` once, on a thread of its own, when the child has ended.
    ///
    /// The child is not reaped by this: its numbers stay its own until [`Child::reap`] or the drop.
    /// The callback comes even when the `Child` is dropped first. Its panic ends only that thread.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when there was a callback before, `NotFound` when the child has been reaped,
    /// and the system's error when no thread can be started; the callback is then dropped uncalled.
    pub fn on_exit(&mut self, callback: impl FnOnce(Exit) + Send + 'static) -> io::Result<()> {
        let mut state = self.shared.lock();
        if state.reaped {
            return Err(gone());
        }
        if state.waiter {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "somebody waits for the child already",
            ));
        }
        Shared::start_waiter(&self.shared, &mut state, callback)
    }

    /// Lets go of a child that has ended, and says how it did; `None` when it has not.
    ///
    /// To be called when all its outputs are drained (`docs/protocols/agentproto.md` section 14,
    /// H9): after this no signal can reach what is left of its group. With a callback set, the
    /// child counts as ended once that has been informed. Never blocks; afterwards it gives the
    /// same answer again.
    ///
    /// # Errors
    ///
    /// The system's, which are not to be expected.
    pub fn reap(&mut self) -> io::Result<Option<Exit>> {
        let mut state = self.shared.lock();
        // The waiter must learn of the end first: two who wait for one child race (H23).
        if state.waiter && state.exit.is_none() {
            return Ok(None);
        }
        state.reap(self.shared.pid)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.waiter && state.exit.is_none() {
            state.abandoned = true;
        } else if let Ok(None) = state.reap(self.shared.pid) {
            state.abandoned = true;
            let _ = Shared::start_waiter(&self.shared, &mut state, |_| {});
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl Shared {
    /// A panic elsewhere cannot leave the state halfway: nothing of others runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_waiter(
        shared: &Arc<Self>,
        state: &mut State,
        callback: impl FnOnce(Exit) + Send + 'static,
    ) -> io::Result<()> {
        let waiting = Arc::clone(shared);
        thread::Builder::new()
            .name("trunkline-wait".to_owned())
            .stack_size(WAITER_STACK)
            .spawn(move || callback(waiting.wait()))?;
        state.waiter = true;
        Ok(())
    }

    /// Blocks until the child has ended, without reaping it; unless nobody else will.
    fn wait(&self) -> Exit {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let outcome = loop {
            match waitid(WaitId::Pid(self.pid), options) {
                Ok(None) | Err(Errno::INTR) => {}
                Ok(Some(status)) => break Some(Exit::from(status)),
                Err(_) => break None,
            }
        };
        let mut state = self.lock();
        let exit = outcome.unwrap_or(Exit::UNKNOWN);
        state.exit = Some(exit);
        if outcome.is_none() {
            state.reaped = true;
        } else if state.abandoned {
            let _ = state.reap(self.pid);
        }
        exit
    }
}

impl State {
    /// Reaps the child if it has ended and was not reaped before.
    fn reap(&mut self, pid: Pid) -> io::Result<Option<Exit>> {
        if self.reaped {
            return Ok(self.exit);
        }
        match retry_on_intr(|| waitpid(Some(pid), WaitOptions::NOHANG)) {
            Ok(None) => return Ok(None),
            Ok(Some((_, status))) => self.exit = Some(Exit::from(status)),
            Err(Errno::CHILD) => {
                self.exit.get_or_insert(Exit::UNKNOWN);
            }
            Err(error) => return Err(error.into()),
        }
        self.reaped = true;
        Ok(self.exit)
    }
}

/// Sends signals to a child's process group, from any thread, as long as the group is the child's.
///
/// Clones reach the same child. Dropping it changes nothing.
#[derive(Clone)]
pub struct Signaller {
    shared: Arc<Shared>,
}

impl Signaller {
    /// Sends `signal`, a number of this system, to the group; when the group is gone, to the
    /// process. 0 only probes.
    ///
    /// A child that has ended and was not yet reaped keeps its group: what it left running is
    /// reached.
    ///
    /// `docs/protocols/agentproto.md` section 6, and section 15 for the numbers.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a number outside 0 to 64, `NotFound` once the child has been reaped, and
    /// otherwise what the system says.
    pub fn send(&self, signal: i32) -> io::Result<()> {
        if !(0..=MAX_SIGNAL).contains(&signal) {
            let text = format!("signal {signal} is out of range");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // Held while sending, so that the child cannot be reaped and its number given away.
        let state = self.shared.lock();
        if state.reaped {
            return Err(gone());
        }
        let pid = self.shared.pid.as_raw_nonzero().get();
        match sys::kill_group(pid, signal) {
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
                sys::kill_process(pid, signal)
            }
            result => result,
        }
    }
}

impl Signaller {
    /// Sends `signal` to the process and to everything below it, whatever group it is in.
    ///
    /// Meant for what leads to an agent; where the system does not tell who descends from whom, only
    /// the process itself is reached. What an earlier call found is reached again, also when the
    /// process between has ended.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), for the process itself.
    pub fn send_to_tree(&self, signal: i32) -> io::Result<()> {
        let pid = self.shared.pid.as_raw_nonzero().get().unsigned_abs();
        let (mut below, reaped) = {
            let state = self.shared.lock();
            (state.below.clone(), state.reaped)
        };
        // Once it has been reaped, its number may be somebody else's.
        let now = if reaped { Vec::new() } else { tree::descendants(pid) };
        for found in now {
            if !below.contains(&found) {
                below.push(found);
            }
        }
        // From the top down: a shell must not go on to its next command meanwhile.
        let sent = self.send(signal);
        tree::signal_all(&below, signal);
        self.shared.lock().below = below;
        sent
    }

    /// Whether anything still runs that was found below the process by an earlier
    /// [`send_to_tree`](Self::send_to_tree), though the process itself may have ended.
    #[must_use]
    pub fn tree_runs(&self) -> bool {
        self.shared.lock().below.iter().any(tree::Found::runs)
    }
}

impl fmt::Debug for Signaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signaller")
            .field("pid", &self.shared.pid.as_raw_nonzero())
            .finish_non_exhaustive()
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the child has ended")
}
