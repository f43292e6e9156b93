//! All that cannot be said in safe Rust: a child between fork and exec, signals by number, and
//! descriptors by number.
//!
//! Between `fork` and `execve` the child of a process with threads may make async-signal-safe calls
//! only: no allocation, no lock, no formatting. What the child needs is therefore laid out in an
//! [`Image`] beforehand.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr;

use rustix::io::{Errno, FdFlags};
use rustix::process::Signal;

/// At least as large as any system's `sigset_t`, and as strictly aligned.
#[repr(C, align(16))]
struct SignalSet([usize; 32]);

/// At least as large as any system's `struct sigaction`, and as strictly aligned.
#[repr(C, align(16))]
struct SignalAction([usize; 64]);

const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;

const SIG_SETMASK: c_int = if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
    4
} else if cfg!(all(
    any(target_os = "linux", target_os = "android"),
    not(any(target_arch = "mips", target_arch = "mips64"))
)) {
    2
} else {
    3
};

/// Whether `struct sigaction` begins with the handler; elsewhere dispositions are not looked at.
const HANDLER_FIRST: bool = cfg!(any(
    all(target_os = "linux", not(any(target_arch = "mips", target_arch = "mips64"))),
    target_vendor = "apple",
    target_os = "freebsd",
));

// SAFETY: the signatures are those of POSIX, with structures as opaque memory that is large enough.
unsafe extern "C" {
    safe fn _exit(code: c_int) -> !;
    #[link_name = "close"]
    fn close_fd(fd: c_int) -> c_int;
    safe fn kill(pid: c_int, signal: c_int) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn execve(path: *const c_char, argv: *const *const c_char, envp: *const *const c_char)
    -> c_int;
    fn pthread_sigmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
    fn sigaction(signal: c_int, new: *const c_void, old: *mut SignalAction) -> c_int;
    fn sigemptyset(set: *mut SignalSet) -> c_int;
    fn sigfillset(set: *mut SignalSet) -> c_int;
    fn signal(signal: c_int, handler: usize) -> usize;
}

/// Closes `file` and tells what the system had to say about that.
pub(crate) fn close(file: OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor is owned, and it is given away here.
    match unsafe { close_fd(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends `signal`, which may be any number, to the process group `group`; 0 only probes.
pub(crate) fn kill_group(group: i32, signal: i32) -> io::Result<()> {
    kill_checked(group, true, signal)
}

/// Sends `signal`, which may be any number, to the process `pid`; 0 only probes.
pub(crate) fn kill_process(pid: i32, signal: i32) -> io::Result<()> {
    kill_checked(pid, false, signal)
}

fn kill_checked(id: i32, group: bool, signal: i32) -> io::Result<()> {
    // 0, -1 and 1 would mean one's own group, everybody, and init.
    if id <= 1 {
        return Err(Errno::SRCH.into());
    }
    match kill(if group { -id } else { id }, signal) {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes children waitable again in a process that was started with SIGCHLD ignored.
///
/// The kernel reaps the children of such a process by itself, and their exit codes are lost.
pub(crate) fn restore_child_signal() {
    let child = Signal::CHILD.as_raw();
    if is_ignored(child) == Some(true) {
        // SAFETY: restores the default of a signal that nobody handles.
        unsafe { signal(child, SIG_DFL) };
    }
}

/// Makes the child of `command` ignore SIGINT and SIGQUIT, which it keeps through its `exec`.
pub(crate) fn ignore_interrupts(command: &mut Command) {
    let ignore = || {
        for number in [Signal::INT, Signal::QUIT].map(Signal::as_raw) {
            // SAFETY: ignoring is valid for both signals.
            unsafe { signal(number, SIG_IGN) };
        }
        Ok(())
    };
    // SAFETY: `signal` is async-signal-safe, and nothing else is done in the child.
    unsafe { command.pre_exec(ignore) };
}

/// `None` where it cannot be told. Async-signal-safe.
pub(crate) fn is_ignored(signal: c_int) -> Option<bool> {
    if !HANDLER_FIRST {
        return None;
    }
    let mut action = SignalAction([0; 64]);
    // SAFETY: a null new action changes nothing, and `action` has room for any system's structure.
    match unsafe { sigaction(signal, ptr::null(), &raw mut action) } {
        0 => Some(action.0.first() == Some(&SIG_IGN)),
        _ => None,
    }
}

/// All signals blocked in this thread, until dropped.
///
/// A child is forked under it: a signal that comes between fork and exec must wait until this
/// process's handlers are gone from the child, as they would act on descriptors both share.
pub(crate) struct SignalsBlocked {
    before: SignalSet,
}

impl SignalsBlocked {
    pub(crate) fn new() -> Self {
        let mut all = SignalSet([0; 32]);
        let mut before = SignalSet([0; 32]);
        // SAFETY: both sets are large enough, and the mask is this thread's own.
        unsafe {
            sigfillset(&raw mut all);
            pthread_sigmask(SIG_SETMASK, &raw const all, &raw mut before);
        }
        Self { before }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: `before` was filled in by the same call.
        unsafe { pthread_sigmask(SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}

/// A failure in the child, as it travels over the report pipe.
#[derive(Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) errno: i32,
}

/// What the child was doing.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Chdir,
    Descriptor(u32),
    Terminal,
    Exec,
}

impl Failure {
    /// Bytes of a report: step, descriptor, error number.
    pub(crate) const SIZE: usize = 9;

    fn last(step: Step) -> Self {
        Self { step, errno: io::Error::last_os_error().raw_os_error().unwrap_or_default() }
    }

    fn to_bytes(self) -> [u8; Self::SIZE] {
        let (step, number) = match self.step {
            Step::Chdir => (1, 0),
            Step::Descriptor(number) => (2, number),
            Step::Exec => (3, 0),
            Step::Terminal => (4, 0),
        };
        let ([a, b, c, d], [e, f, g, h]) = (number.to_le_bytes(), self.errno.to_le_bytes());
        [step, a, b, c, d, e, f, g, h]
    }

    pub(crate) fn from_bytes([step, a, b, c, d, e, f, g, h]: [u8; Self::SIZE]) -> Self {
        let step = match step {
            1 => Step::Chdir,
            2 => Step::Descriptor(u32::from_le_bytes([a, b, c, d])),
            4 => Step::Terminal,
            _ => Step::Exec,
        };
        Self { step, errno: i32::from_le_bytes([e, f, g, h]) }
    }
}

/// What a child becomes, laid out before the fork.
pub(crate) struct Image {
    path: CString,
    dir: Option<CString>,
    /// Child's ends and the numbers they get. Every source is above every target, so that no
    /// `dup2` can hit a source that is still needed.
    descriptors: Vec<(OwnedFd, u32)>,
    /// Also above every target. The standard library's own report pipe may be hit by a `dup2`,
    /// which is why failures go over this one.
    report: OwnedFd,
    /// What it gets as its standard streams, instead of what the command says.
    terminal: Option<Terminal>,
    /// First number that cannot be open, for systems that cannot mark them all in one call.
    descriptor_end: u32,
    argv: PointerList,
    envp: PointerList,
}

/// A terminal by its master, laid out before the fork.
pub(crate) struct Terminal {
    /// Above every target of a `dup2`.
    pub(crate) master: OwnedFd,
    /// How the system calls the other side, where it has to be opened by name.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) name: CString,
}

/// Strings and the null-terminated array of pointers to them.
struct PointerList {
    pointers: Vec<*const c_char>,
    _strings: Vec<CString>,
}

impl PointerList {
    fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _strings: strings }
    }
}

// SAFETY: the pointers point into the strings held beside them, which never change.
unsafe impl Send for PointerList {}
// SAFETY: as above.
unsafe impl Sync for PointerList {}

impl Image {
    pub(crate) fn new(
        path: CString,
        argv: Vec<CString>,
        envp: Vec<CString>,
        dir: Option<CString>,
        descriptors: Vec<(OwnedFd, u32)>,
        report: OwnedFd,
    ) -> Self {
        let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let descriptor_end = open_files.unwrap_or(u64::MAX).min(65_536) as u32;
        let (argv, envp) = (PointerList::new(argv), PointerList::new(envp));
        Self { path, dir, descriptors, report, terminal: None, descriptor_end, argv, envp }
    }

    /// The same, leading a session on that terminal, when there is one.
    pub(crate) fn on_terminal(self, terminal: Option<Terminal>) -> Self {
        Self { terminal, ..self }
    }

    /// Makes the child of `command` become this image, once the rest of `command` is done.
    pub(crate) fn attach(self, command: &mut Command) {
        // SAFETY: `become_image` and all it calls are async-signal-safe: system calls on memory
        // laid out before the fork.
        unsafe { command.pre_exec(move || self.become_image()) };
    }

    /// Runs in the child and never returns: after the first `dup2` the standard library's report
    /// pipe may be gone, so it must neither see an error nor get to its own `exec`.
    fn become_image(&self) -> ! {
        let failure = self.try_become();
        let _ = rustix::io::write(&self.report, &failure.to_bytes());
        _exit(127)
    }

    /// Runs in the child; returns only what went wrong.
    fn try_become(&self) -> Failure {
        reset_dispositions();
        if let Some(dir) = &self.dir
            && let Err(errno) = rustix::process::chdir(dir.as_c_str())
        {
            return Failure { step: Step::Chdir, errno: errno.raw_os_error() };
        }
        self.close_others_on_exec();
        if let Some(terminal) = &self.terminal
            && let Err(errno) = take_terminal(terminal)
        {
            return Failure { step: Step::Terminal, errno: errno.raw_os_error() };
        }
        for (source, target) in &self.descriptors {
            // SAFETY: the target is a number of the child, where nobody else lives any more; the
            // copy is open across exec, the source is not.
            if unsafe { dup2(source.as_raw_fd(), *target as c_int) } < 0 {
                return Failure::last(Step::Descriptor(*target));
            }
        }
        let mut none = SignalSet([0; 32]);
        // SAFETY: the set is large enough; path, argv and envp are null-terminated and alive.
        unsafe {
            sigemptyset(&raw mut none);
            pthread_sigmask(SIG_SETMASK, &raw const none, ptr::null_mut());
            execve(self.path.as_ptr(), self.argv.pointers.as_ptr(), self.envp.pointers.as_ptr());
        }
        Failure::last(Step::Exec)
    }

    /// Descriptors this process got from its own parent need not be close-on-exec.
    fn close_others_on_exec(&self) {
        if close_range_on_exec() {
            return;
        }
        for number in 3..self.descriptor_end {
            let _ = set_close_on_exec(number as RawFd);
        }
    }
}

/// Runs in the child: a new session, on the terminal of `master`, which becomes descriptors 0 to 2.
///
/// The terminal is opened here and nowhere else: while the parent had it open, too, the end of the
/// child would be a hangup that throws away what it printed last.
fn take_terminal(terminal: &Terminal) -> rustix::io::Result<()> {
    rustix::process::setsid()?;
    let terminal = open_terminal(terminal)?;
    rustix::process::ioctl_tiocsctty(&terminal)?;
    for number in 0..3 {
        // SAFETY: descriptors 0 to 2 of the child are open, and nobody's but the program's to be.
        if unsafe { dup2(terminal.as_raw_fd(), number) } < 0 {
            return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::BADF));
        }
    }
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_terminal(terminal: &Terminal) -> rustix::io::Result<OwnedFd> {
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};

    // Works without the terminal's name, which may be another one in the caller's mounts.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    ioctl_tiocgptpeer(&terminal.master, flags)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open_terminal(terminal: &Terminal) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};

    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(terminal.name.as_c_str(), flags, Mode::empty())
}

/// Gives the child every signal as a fresh process has it, except that what this process was told
/// to ignore stays ignored (`nohup`). Interrupt, quit, pipe and child are what programs take for
/// granted: a caller's ignoring them is its own affair.
fn reset_dispositions() {
    let always = [Signal::INT, Signal::QUIT, Signal::PIPE, Signal::CHILD].map(Signal::as_raw);
    for number in 1..=64 {
        if always.contains(&number) || is_ignored(number) == Some(false) {
            // SAFETY: the default action is valid for every signal that accepts one.
            unsafe { signal(number, SIG_DFL) };
        }
    }
}

/// Marks descriptors from 3 up in one call; whether that was possible.
#[cfg(all(
    target_os = "linux",
    any(
        all(target_arch = "x86_64", target_pointer_width = "64"),
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "powerpc64",
        target_arch = "riscv64",
        target_arch = "s390x",
        target_arch = "x86",
    )
))]
fn close_range_on_exec() -> bool {
    use std::ffi::{c_long, c_uint};

    // SAFETY: the signature of every C library that has it.
    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }
    const CLOSE_RANGE: c_long = 436;
    const CLOEXEC: c_uint = 4;
    // SAFETY: the call only marks descriptors. By number, since musl has no function for it.
    unsafe { syscall(CLOSE_RANGE, 3 as c_uint, c_uint::MAX, CLOEXEC) == 0 }
}

#[cfg(not(all(
    target_os = "linux",
    any(
        all(target_arch = "x86_64", target_pointer_width = "64"),
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "powerpc64",
        target_arch = "riscv64",
        target_arch = "s390x",
        target_arch = "x86",
    )
)))]
fn close_range_on_exec() -> bool {
    false
}

fn set_close_on_exec(number: RawFd) -> rustix::io::Result<()> {
    // SAFETY: the number is used for one `fcntl`, which refuses it when it is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)
}

/// The number as the system counts descriptors; what can be none is "not open".
fn raw(number: u32) -> io::Result<RawFd> {
    RawFd::try_from(number).map_err(|_| Errno::BADF.into())
}

/// Whether descriptor `number` is close-on-exec; an error when it is not open.
pub(crate) fn is_close_on_exec(number: u32) -> io::Result<bool> {
    // SAFETY: the number is used for one `fcntl`, which refuses it when it is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(raw(number)?) };
    Ok(rustix::io::fcntl_getfd(fd)?.contains(FdFlags::CLOEXEC))
}

/// Another descriptor for what `number` refers to, close-on-exec and not below 3.
pub(crate) fn duplicate(number: u32) -> io::Result<OwnedFd> {
    // SAFETY: the number is used for one `fcntl`, which refuses it when it is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(raw(number)?) };
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}

/// Lets descriptor `number` refer to what `with` refers to. The caller has made sure that the
/// number is open and no owned descriptor of this process.
pub(crate) fn replace(number: u32, with: &OwnedFd, close_on_exec: bool) -> io::Result<()> {
    let number = raw(number)?;
    // SAFETY: the number is open, so `dup2` replaces it at once and leaves it open; it is not
    // dropped, as it stays what it was: a number nobody in this process owns.
    let mut target = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
    rustix::io::dup2(with, &mut target)?;
    if close_on_exec {
        set_close_on_exec(number)?;
    }
    Ok(())
}
