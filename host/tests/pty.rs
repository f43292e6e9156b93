//! Commands on terminals of their own, as real programs see them.
#![cfg(target_os = "linux")]

mod common;

use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{LONG, eventually, state};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use trunkline_host::process::{Exit, SpawnStage};
use trunkline_host::pty::{Options, Pty, Size};

/// A terminal under test: what it printed so far, and how its command ended.
struct Terminal {
    pty: Pty,
    master: OwnedFd,
    printed: Vec<u8>,
    exit: mpsc::Receiver<Exit>,
}

impl Terminal {
    fn start(options: Options) -> Self {
        let mut pty = Pty::spawn(options).expect("start");
        let (sender, exit) = mpsc::sync_channel(1);
        pty.on_exit(move |exit| sender.send(exit).unwrap_or_default()).expect("waiter");
        let master = pty.master().expect("descriptor");
        Self { pty, master, printed: Vec::new(), exit }
    }

    fn sh(script: &str) -> Self {
        Self::start(options(&["/bin/sh", "-c", script]))
    }

    /// Reads once; false at the end.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        let start = Instant::now();
        loop {
            match rustix::io::read(&self.master, &mut buffer) {
                Ok(0) | Err(Errno::IO) => return false,
                Ok(count) => {
                    self.printed.extend_from_slice(&buffer[..count]);
                    return true;
                }
                Err(Errno::AGAIN) => {
                    let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
                    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
                    poll(&mut fds, Some(&second)).expect("poll");
                }
                Err(error) => panic!("{error}"),
            }
            assert!(start.elapsed() < LONG, "nothing more after {:?}", self.text());
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.printed).into_owned()
    }

    /// Reads until the text was printed.
    fn expect(&mut self, text: &str) {
        while !self.text().contains(text) {
            assert!(self.read(), "no {text:?} in {:?}", self.text());
        }
    }

    fn type_in(&self, text: &str) {
        assert_eq!(rustix::io::write(&self.master, text.as_bytes()), Ok(text.len()));
    }

    /// Reads to the end; all that was printed, and how it ended.
    fn finish(mut self) -> (String, Exit) {
        while self.read() {}
        (self.text(), self.exit.recv_timeout(LONG).expect("an end"))
    }
}

fn options(command: &[&str]) -> Options {
    let mut options = Options::default();
    options.command = Some(command.iter().map(|word| (*word).to_owned()).collect());
    options
}

#[test]
fn a_command_leads_a_session_on_a_terminal_of_that_size() {
    let script = "stty size; test -t 0 && test -t 1 && test -t 2 && : </dev/tty && echo all; \
                  set -- $(cut -d' ' -f1,5,6,8 /proc/$$/stat); echo \"$@\"; echo \"[$TERM]\"; exit 7";
    let mut options = options(&["sh", "-c", script]);
    options.size = Size::new(97, 31);
    options.term = "screen-256color".to_owned();
    let terminal = Terminal::start(options);
    let pid = terminal.pty.pid();
    let (text, exit) = terminal.finish();
    let ids = format!("{pid} {pid} {pid} {pid}");
    assert_eq!(text, format!("31 97\r\nall\r\n{ids}\r\n[screen-256color]\r\n"));
    assert_eq!((exit.code, exit.signal), (7, None));
}

#[test]
fn a_resize_tells_the_foreground() {
    let script = "import os, signal, sys\n\
        def changed(*_): print('size', *os.get_terminal_size(), flush=True)\n\
        signal.signal(signal.SIGWINCH, changed)\n\
        print('ready', flush=True)\n\
        sys.stdin.readline()\n";
    let mut terminal = Terminal::start(options(&["python3", "-c", script]));
    terminal.expect("ready");
    terminal.pty.resize(Size::new(61, 17)).unwrap();
    terminal.expect("size 61 17");
    terminal.pty.resize(Size::new(0, u16::MAX)).unwrap();
    terminal.expect("size 1 1000");
    terminal.type_in("\n");
    assert_eq!(terminal.finish().1.code, 0);
}

#[test]
fn colours_and_keys_pass_as_they_are() {
    let mut terminal = Terminal::sh(
        "printf '\\033[31mré\\033[0m\\n'; trap 'echo caught; exit 3' INT; echo ready; \
         while :; do read x && echo \"<$x>\"; done",
    );
    terminal.expect("\u{1b}[31mr\u{e9}\u{1b}[0m\r\n");
    terminal.expect("ready");
    // A character of two bytes is erased whole.
    terminal.type_in("a\u{e9}\u{7f}b\n");
    terminal.expect("<ab>");
    terminal.type_in("\u{3}");
    let (text, exit) = terminal.finish();
    assert!(text.ends_with("caught\r\n"), "{text:?}");
    assert_eq!(exit.code, 3);
}

#[test]
fn what_was_printed_right_before_the_end_is_read_to_the_end() {
    const SIZE: usize = 1 << 20;
    let script = format!("stty -opost; head -c {SIZE} /dev/zero | tr '\\0' x; printf end");
    let (text, exit) = Terminal::sh(&script).finish();
    assert_eq!(exit.code, 0);
    assert_eq!(text.len(), SIZE + 3);
    assert!(text.ends_with("xend"));
    // And nothing is lost of what waits when the command is long gone.
    for _ in 0..50 {
        let terminal = Terminal::start(options(&["/bin/echo", "short"]));
        terminal.exit.recv_timeout(LONG).expect("an end");
        let mut terminal = terminal;
        while terminal.read() {}
        assert_eq!(terminal.text(), "short\r\n");
    }
}

#[test]
fn a_signal_that_ended_the_command_is_told() {
    let (_, exit) = Terminal::sh("kill -TERM $$").finish();
    assert_eq!((exit.code, exit.signal), (143, Some(15)));
    let mut terminal = Terminal::sh("echo ready; sleep 1000");
    terminal.expect("ready");
    terminal.pty.signaller().unwrap().send(9).unwrap();
    assert_eq!(terminal.finish().1.signal, Some(9));
}

#[test]
fn dropping_it_hangs_up() {
    let mut terminal = Terminal::sh("trap 'exit 5' HUP; echo ready; while :; do sleep 0.01; done");
    terminal.expect("ready");
    let Terminal { pty, master, exit, .. } = terminal;
    drop((master, pty));
    assert_eq!(exit.recv_timeout(LONG).unwrap().code, 5);
}

#[test]
fn what_ignores_the_hangup_in_the_foreground_is_killed() {
    let mut options =
        options(&["/bin/sh", "-c", "trap '' HUP; sleep 1000 & echo pid $! ready; wait"]);
    options.grace = Duration::from_millis(50);
    let mut terminal = Terminal::start(options);
    terminal.expect("ready");
    let text = terminal.text();
    let sleeper: u32 = text.split(' ').nth(1).unwrap().parse().unwrap();
    let Terminal { pty, master, exit, .. } = terminal;
    let pid = pty.pid();
    drop((master, pty));
    assert_eq!(exit.recv_timeout(LONG).unwrap().signal, Some(9));
    eventually("the group is gone", || !matches!(state(sleeper), Some('S' | 'R')));
    eventually("the command is reaped", || common::is_reaped(pid));
}

#[test]
fn a_background_job_that_ignores_the_hangup_lives_on() {
    // With job control each job has a group of its own.
    let script = "set -m; nohup sleep 1000 >/dev/null 2>&1 & echo pid $! ready; sleep 1000";
    let mut options = options(&["/bin/sh", "-c", script]);
    options.grace = Duration::from_millis(50);
    let mut terminal = Terminal::start(options);
    terminal.expect("ready");
    let text = terminal.text();
    let job: u32 = text.split(' ').nth(1).unwrap().parse().unwrap();
    let nohup = || std::fs::read_to_string(format!("/proc/{job}/comm")).unwrap_or_default();
    eventually("nohup has set its signals", || nohup() == "sleep\n");
    let Terminal { pty, master, exit, .. } = terminal;
    let pid = pty.pid();
    drop((master, pty));
    exit.recv_timeout(LONG).expect("an end");
    // The command is reaped last.
    eventually("the command is reaped", || common::is_reaped(pid));
    assert_eq!(nohup(), "sleep\n");
    let job = rustix::process::Pid::from_raw(job.try_into().unwrap()).unwrap();
    rustix::process::kill_process(job, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn it_inherits_nothing_but_the_terminal() {
    let keep = std::fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&keep, rustix::io::FdFlags::empty()).unwrap();
    let (text, exit) = Terminal::start(options(&["/bin/ls", "/proc/self/fd"])).finish();
    assert_eq!(exit.code, 0);
    // The fourth is the directory that is listed.
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
}

#[test]
fn what_cannot_start_is_refused_in_words() {
    let error = Pty::spawn(options(&["/no/such"])).unwrap_err();
    assert_eq!(error.stage, SpawnStage::Start);
    assert_eq!(error.text, "fork/exec /no/such: no such file or directory");
    let error = Pty::spawn(options(&["no-such-program"])).unwrap_err();
    assert_eq!(error.text, "exec: \"no-such-program\": executable file not found in $PATH");
    let mut options = options(&["sh"]);
    options.cwd = "/no/such".to_owned();
    let error = Pty::spawn(options).unwrap_err();
    assert_eq!(error.text, "chdir /no/such: no such file or directory");
}
