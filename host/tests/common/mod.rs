//! What the tests with real processes share.
#![allow(dead_code)]

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use trunkline_core::agentproto::ExecRequest;
use trunkline_host::process::{Child, Exit, Launch, spawn};

pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A directory that goes away with the value.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = env::temp_dir().join(format!("trunkline-host-{}-{number}", process::id()));
        fs::create_dir_all(&dir).expect("temporary directory");
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn text(&self) -> String {
        self.0.to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn request(path: &str, arguments: &[&str]) -> ExecRequest {
    let argv = ["thrown away"].iter().chain(arguments).map(|s| (*s).to_owned()).collect();
    ExecRequest { path: path.to_owned(), argv: Some(argv), ..ExecRequest::default() }
}

pub(crate) fn sh(script: &str) -> ExecRequest {
    request("/bin/sh", &["-c", script])
}

pub(crate) fn start(request: &ExecRequest) -> Child {
    spawn(Launch::new(request)).expect("start")
}

/// Reads a non-blocking descriptor to its end.
pub(crate) fn drain(fd: OwnedFd) -> Vec<u8> {
    rustix::io::ioctl_fionbio(&fd, false).expect("blocking");
    let mut bytes = Vec::new();
    fs::File::from(fd).read_to_end(&mut bytes).expect("read");
    bytes
}

pub(crate) fn exit_of(child: &mut Child) -> Exit {
    let (sender, receiver) = mpsc::sync_channel(1);
    child.on_exit(move |exit| sender.send(exit).expect("receiver")).expect("waiter");
    let exit = receiver.recv_timeout(LONG).expect("the child ends");
    assert_eq!(child.reap().expect("reap"), Some(exit));
    exit
}

/// Runs to the end with an empty standard input.
pub(crate) fn run(launch: Launch<'_>) -> (Exit, String, String) {
    let mut child = spawn(launch).expect("start");
    drop(child.stdin.take());
    let out = drain(child.stdout.take().expect("stdout"));
    let err = drain(child.stderr.take().expect("stderr"));
    let exit = exit_of(&mut child);
    (exit, String::from_utf8(out).expect("UTF-8"), String::from_utf8(err).expect("UTF-8"))
}

pub(crate) fn output(request: &ExecRequest) -> String {
    let (exit, out, err) = run(Launch::new(request));
    assert_eq!((exit.code, err.as_str()), (0, ""), "{out}");
    out
}

/// Waits for something that takes a moment.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether `pid` is neither a running child of this process nor a zombie.
pub(crate) fn is_reaped(pid: u32) -> bool {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let pid = Pid::from_raw(pid.try_into().expect("pid")).expect("pid");
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    waitid(WaitId::Pid(pid), options).err() == Some(rustix::io::Errno::CHILD)
}

/// The state letter of a process; `None` when there is none.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
