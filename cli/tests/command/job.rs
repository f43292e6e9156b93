//! A process under test: started in a group of its own, watched, and never left behind.

use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use rustix::process::{Pid, Signal};
use tokio::signal::unix::SignalKind;

/// The variable by which a test's processes are found.
const TAG: &str = "TRUNKLINE_CLI_TEST";

/// How long anything may take, on a machine that is busy with something else.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// How long what a process leaves behind may take to go.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_trunkline");

/// The program with arguments, free of what the environment of the tests could change.
pub(crate) fn trunkline<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = clean(PROGRAM);
    command.args(args);
    command
}

/// `trunkline exec` of a command on an agent of its own.
pub(crate) fn exec<'a>(command: impl IntoIterator<Item = &'a str>) -> Command {
    let mut exec = trunkline(["exec", "--"]);
    exec.args(command);
    exec
}

/// `trunkline exec` of a shell script on an agent of its own.
pub(crate) fn exec_sh(script: &str) -> Command {
    exec(["sh", "-c", script])
}

/// A shell that runs a script of the caller's side; `$T` is the program.
pub(crate) fn shell(script: &str) -> Command {
    let mut command = clean("/bin/sh");
    command.arg("-c").arg(script).env("T", PROGRAM);
    command
}

/// A program free of what the environment of the tests could change.
pub(crate) fn clean(program: &str) -> Command {
    restore_signals();
    let mut command = Command::new(program);
    let unwanted =
        ["TRUNKLINE_VIA", "RUST_LOG", "MPROXY_CHANGED_ENVS", "SUDO_UID", "SUDO_GID", "COLUMNS"];
    for name in unwanted {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// Sees to it that no signal is ignored below this process because whoever started the tests ignores
/// it, as `nohup` does with SIGHUP: what has a handler, though it does nothing, is not ignored behind
/// an `exec`.
fn restore_signals() {
    static DONE: LazyLock<()> = LazyLock::new(|| {
        let status = fs::read_to_string("/proc/self/status").expect("/proc");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = u64::from_str_radix(mask.expect("a mask").trim(), 16).expect("a number");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let _entered = runtime.enter();
        // This process ignores SIGPIPE itself, and not for others.
        for number in (1..32).filter(|n| mask & 1 << (n - 1) != 0 && *n != Signal::PIPE.as_raw()) {
            // Some cannot be handled, and nobody sends those.
            let _ = tokio::signal::unix::signal(SignalKind::from_raw(number));
        }
    });
    LazyLock::force(&DONE);
}

/// Waits for something that nothing else announces.
pub(crate) fn eventually(what: &str, condition: impl FnMut() -> bool) {
    assert!(within(LONG, condition), "in vain: {what}");
}

/// Whether something that nothing else announces happens in time.
pub(crate) fn within(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > time {
            return false;
        }
        thread::sleep(Duration::from_millis(3));
    }
    true
}

/// A process, what it wrote so far, and its end.
pub(crate) struct Job {
    child: Child,
    tag: String,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) out: Tap,
    pub(crate) err: Tap,
}

/// How a process ended, and all it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
    /// From its start, or from what [`Job::end`] was called after.
    pub(crate) took: Duration,
}

impl Job {
    /// Starts a command with its stdout and stderr watched, and its stdin as the command has it.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_as_is(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// The same with a pipe to its stdin.
    pub(crate) fn start_fed(command: &mut Command) -> Self {
        Self::start(command.stdin(Stdio::piped()))
    }

    /// Starts a command with every stream as the command has it.
    pub(crate) fn start_as_is(command: &mut Command) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let tag = format!("{}.{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        command.env(TAG, &tag).process_group(0);
        let mut child = command.spawn().expect("the program starts");
        let (out, err) = (Tap::of(child.stdout.take()), Tap::of(child.stderr.take()));
        Self { stdin: child.stdin.take(), child, tag, out, err }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Signals the process, and nobody else.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("the process is there");
    }

    /// Signals everybody in the process's group, as a terminal does.
    pub(crate) fn signal_group(&self, signal: Signal) {
        rustix::process::kill_process_group(self.pid(), signal).expect("the group is there");
    }

    /// Writes to its stdin.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().expect("a pipe").write_all(bytes).expect("it reads");
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_some()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            match self.child.try_wait().expect("wait") {
                Some(status) => return status,
                None if start.elapsed() > LONG => panic!("it does not end; {}", self.said()),
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Ends its stdin, and waits for its end and that of its outputs.
    pub(crate) fn end(mut self) -> Ended {
        let start = Instant::now();
        self.stdin = None;
        let status = self.wait();
        let took = start.elapsed();
        let err = String::from_utf8(self.err.rest()).expect("UTF-8");
        Ended { code: status.code(), out: self.out.rest(), err, took }
    }

    /// Everything below has the tag in its environment, in whatever group it is.
    fn kill_descendants(&self) {
        let tag = format!("{TAG}={}\0", self.tag);
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let tagged = fs::read(entry.path().join("environ"))
                .is_ok_and(|all| all.windows(tag.len()).any(|window| window == tag.as_bytes()));
            if let Some(pid) = pid.and_then(Pid::from_raw).filter(|_| tagged) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }

    fn said(&self) -> String {
        let text = |tap: &Tap| String::from_utf8_lossy(&tap.so_far()).into_owned();
        format!("stdout: {:?}, stderr: {:?}", text(&self.out), text(&self.err))
    }
}

/// What still runs when a test has seen enough is killed, the command on the agent as well. What a
/// program leaves behind after its own end is for the test to find.
impl Drop for Job {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = rustix::process::kill_process_group(self.pid(), Signal::KILL);
            let _ = self.child.wait();
            self.kill_descendants();
        }
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    Job::start(command).end()
}

/// Runs a command to its end with these bytes on its stdin; what it does not read is its affair.
pub(crate) fn run_with(command: &mut Command, input: &[u8]) -> Ended {
    let mut job = Job::start_fed(command);
    let mut stdin = job.stdin.take().expect("a pipe");
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        job.end()
    })
}

impl Ended {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).expect("UTF-8")
    }

    /// The lines in which the program itself says something.
    pub(crate) fn lines(&self) -> Vec<&str> {
        self.err.lines().filter_map(|line| line.strip_prefix("trunkline: ")).collect()
    }

    /// The one line the program said.
    pub(crate) fn line(&self) -> &str {
        let lines = self.lines();
        assert_eq!(lines.len(), 1, "one line of explanation: {self:?}");
        lines[0]
    }

    /// Asserts an exit code and an stdout that need not be text, with nothing on stderr.
    #[track_caller]
    pub(crate) fn is_bytes(&self, code: i32, out: &[u8]) {
        assert_eq!((self.code, &*self.out, self.err.as_str()), (Some(code), out, ""));
    }

    /// Asserts an exit code and outputs.
    #[track_caller]
    pub(crate) fn is(&self, code: i32, out: &str, err: &str) {
        assert_eq!((self.code, self.text(), self.err.as_str()), (Some(code), out, err));
    }
}

/// What comes out of a descriptor, collected by a thread.
#[derive(Clone, Default)]
pub(crate) struct Tap(Arc<(Mutex<Collected>, Condvar)>);

#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    ended: bool,
}

impl Tap {
    pub(crate) fn of(reader: Option<impl Read + Send + 'static>) -> Self {
        let tap = Self::default();
        let Some(mut reader) = reader else {
            tap.change(|collected| collected.ended = true);
            return tap;
        };
        let to = tap.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            // An error is an end: what was read before it counts.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                to.change(|collected| collected.bytes.extend_from_slice(&buffer[..count]));
            }
            to.change(|collected| collected.ended = true);
        });
        tap
    }

    fn change(&self, change: impl FnOnce(&mut Collected)) {
        change(&mut self.0.0.lock().expect("no panic"));
        self.0.1.notify_all();
    }

    fn wait(&self, until: impl Fn(&Collected) -> bool) -> MutexGuard<'_, Collected> {
        self.wait_for(LONG, until)
    }

    fn wait_for(
        &self,
        time: Duration,
        until: impl Fn(&Collected) -> bool,
    ) -> MutexGuard<'_, Collected> {
        let guard = self.0.0.lock().expect("no panic");
        let waits = |collected: &mut Collected| !until(collected);
        self.0.1.wait_timeout_while(guard, time, waits).expect("no panic").0
    }

    pub(crate) fn so_far(&self) -> Vec<u8> {
        self.0.0.lock().expect("no panic").bytes.clone()
    }

    /// Waits for this many lines, and gives them.
    #[track_caller]
    pub(crate) fn lines(&self, count: usize) -> Vec<String> {
        let newlines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
        let collected =
            self.wait(|collected| collected.ended || newlines(&collected.bytes) >= count);
        let text = String::from_utf8_lossy(&collected.bytes).into_owned();
        drop(collected);
        let lines: Vec<_> =
            text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        assert!(lines.len() >= count, "{count} lines were to come, but only this did: {text:?}");
        lines.iter().take(count).map(|line| line.trim_end().to_owned()).collect()
    }

    /// Waits for a line, and gives it.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines(1).remove(0)
    }

    /// Waits for this text.
    #[track_caller]
    pub(crate) fn until(&self, text: &str) {
        let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let collected = self.wait(|collected| collected.ended || has(&collected.bytes));
        let came = String::from_utf8_lossy(&collected.bytes).into_owned();
        drop(collected);
        assert!(came.contains(text), "{text:?} was to come, but only this did: {came:?}");
    }

    /// Waits for the end, and gives everything.
    #[track_caller]
    pub(crate) fn rest(&self) -> Vec<u8> {
        let mut collected = self.wait_for(SOON, |collected| collected.ended);
        assert!(collected.ended, "somebody holds the output of a process that is over");
        std::mem::take(&mut collected.bytes)
    }

    /// Whether the end comes in this time.
    pub(crate) fn ends_within(&self, time: Duration) -> bool {
        self.wait_for(time, |collected| collected.ended).ended
    }
}
