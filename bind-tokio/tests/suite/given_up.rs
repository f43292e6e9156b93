//! Every public future, dropped at each of its polls and then begun again: nothing is lost, and no
//! descriptor, process or task is left.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::rt::{self, Agent, Exec, ExecOptions, PathQuery, Reader, Task, Writer};

use super::support::{
    Pattern, agent_program, cancel_at, eventually, exited, line, options, runs, settled, sh,
    sh_with_fds,
};
use super::wire::{End, Pace, Rough, Wire, wire};

/// Every future, and every function that futures are made of, of the crates that a user sees: its
/// file, its name, and what gives it up here. A new one makes a test below fail.
const FUTURES: [(&str, &str); 25] = [
    ("agent.rs Serve", "serving"),
    ("command.rs output", "output"),
    ("command.rs output", "output of a process"),
    ("command.rs wait", "waiting"),
    ("connect.rs paths", "paths of a process"),
    ("driver.rs Driver", SCHEDULED),
    ("exec.rs paths_over", "paths"),
    ("over.rs paths_over", "paths"),
    ("pump.rs pump_in", SCHEDULED),
    ("pump.rs pump_out", SCHEDULED),
    ("session.rs exec", SCHEDULED),
    ("session.rs paths", SCHEDULED),
    ("session.rs poll_chunk", "reading chunks"),
    ("session.rs poll_paths", "paths"),
    ("session.rs poll_read_into", "reading"),
    ("session.rs poll_wait", "waiting"),
    ("session.rs poll_write", "writing"),
    ("session.rs poll_write_bytes", "writing chunks"),
    ("streams.rs poll_flush", "flushing"),
    ("streams.rs poll_read", "reading"),
    ("streams.rs poll_shutdown", "ending"),
    ("streams.rs poll_write", "writing"),
    ("streams.rs read_chunk", "reading chunks"),
    ("streams.rs write_bytes", "writing chunks"),
    ("via.rs poll_exit", "waiting for a process"),
];

/// Given up by `drive`'s own tests, where every schedule can be had again.
const SCHEDULED: &str = "drive/tests/schedules.rs";

/// Given up by the tests of recordings.
const RECORDED: [&str; 1] = ["recording.rs finished"];

/// The futures that the sources of `drive` and of this binding offer.
fn offered() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let binding = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["../drive/src", "../drive/src/files", "src"].map(|it| binding.join(it)) {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let file = path.file_name().unwrap().to_str().unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let streams = text.contains("impl AsyncRead for");
            let mut function = "";
            for line in text.lines().map(str::trim_start) {
                let name = |from: &str| -> Option<&str> {
                    line.strip_prefix(from)?
                        .split(|c: char| c != '_' && !c.is_alphanumeric())
                        .next()
                };
                function = name("pub fn ").unwrap_or(function);
                let named = name("pub async fn ")
                    .or(name("pub fn ").filter(|name| name.starts_with("poll_")))
                    .or(name("fn ").filter(|name| streams && name.starts_with("poll_")))
                    .or(Some(function)
                        .filter(|_| line.starts_with(')') && line.contains("impl Future")))
                    .or(line
                        .split_once(" Future for ")
                        .map(|(_, rest)| rest.split(['<', ' ']).next().unwrap_or_default()));
                // The two bindings' traits have different words for this one.
                let named = named.map(|name| name.replace("poll_close", "poll_shutdown"));
                let named = named.map(|name| name.replace("poll_complete", "poll_seek"));
                found.extend(named.map(|name| format!("{file} {name}")));
            }
        }
    }
    found
}

#[test]
fn no_future_is_forgotten_in_the_table() {
    let (files, mux) = (super::files_given_up::FUTURES, super::mux::cancel::FUTURES);
    let (dialled, tunnel) = (super::websocket::cancel::FUTURES, super::tunnel::FUTURES);
    let listed = FUTURES.iter().map(|(name, _)| *name).chain(files).chain(RECORDED).chain(mux);
    let listed = listed.chain(dialled).chain(tunnel);
    let listed: BTreeSet<_> = listed.map(str::to_owned).collect();
    assert_eq!(offered(), listed);
}

/// A wire that shows whether the task that drives it is gone.
struct Held<W>(W, #[expect(dead_code, reason = "its count is what tells")] Arc<()>);

impl<W: Wire> Wire for Held<W> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bufs)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }
}

/// A wire for a session whose every step takes several polls.
fn slow_wire(tasks: &Arc<()>) -> (rt::Over<impl Wire>, rt::Over<impl Wire>) {
    let (local, remote, _line) = wire(3_000);
    (over(local, 700, tasks), over(remote, 700, tasks))
}

/// An end of a wire that passes so many bytes at a time on.
fn over(end: End, most: usize, tasks: &Arc<()>) -> rt::Over<impl Wire> {
    rt::Over(Held(Rough::new(end, most, Pace::Nervous, true), Arc::clone(tasks)))
}

fn start(request: rt::ExecRequest, tasks: &Arc<()>) -> (Exec, Task<u8>) {
    let (local, remote) = slow_wire(tasks);
    let agent = rt::spawn(rt::serve(remote, options()));
    (rt::exec_over(local, request).unwrap(), agent)
}

/// Writes the pattern, and says whether anything was given up.
async fn write(mut writer: Writer, what: &str, polls: usize, count: usize) -> bool {
    let pattern = Pattern::new();
    let (mut sent, mut given_up) = (0, false);
    while sent < count {
        let mut piece = pattern.at(sent, 9_001.min(count - sent));
        let length = piece.len();
        if what == "writing" {
            let slice = piece.clone();
            match cancel_at(polls, rt::write(&mut writer, &slice)).await {
                Some(taken) => piece.advance(taken.unwrap()),
                None => given_up = true,
            }
        } else {
            let polls = if what == "writing chunks" { polls } else { usize::MAX };
            given_up |= cancel_at(polls, writer.write_bytes(&mut piece)).await.is_none();
        }
        sent += length - piece.len();
        if what == "flushing" {
            given_up |= cancel_at(polls, rt::flush(&mut writer)).await.is_none();
        }
    }
    if what == "ending" {
        given_up |= cancel_at(polls, rt::close(&mut writer)).await.is_none();
    }
    rt::close(&mut writer).await.unwrap();
    given_up
}

/// Reads the pattern to its end, and says whether anything was given up.
async fn read(mut reader: Reader, what: &str, polls: usize, count: usize) -> bool {
    let pattern = Pattern::new();
    let (mut seen, mut given_up) = (0, false);
    loop {
        let bytes = if what == "reading" {
            let mut buf = [0; 501];
            let read = cancel_at(polls, rt::read(&mut reader, &mut buf)).await;
            read.map(|length| Bytes::copy_from_slice(&buf[..length.unwrap()]))
        } else {
            let polls = if what == "reading chunks" { polls } else { usize::MAX };
            let chunk = cancel_at(polls, reader.read_chunk()).await;
            chunk.map(|chunk| chunk.unwrap().unwrap_or_default())
        };
        match bytes {
            None => given_up = true,
            Some(bytes) if bytes.is_empty() => break,
            Some(bytes) => {
                pattern.check(seen, &bytes);
                seen += bytes.len();
            }
        }
    }
    assert_eq!(seen, count);
    given_up
}

/// An echo on a one-way pair and on a two-way descriptor, in four tasks, of which all give up what
/// is asked for.
async fn streams(what: &'static str, polls: usize, tasks: &Arc<()>) -> bool {
    // More than the driver's hands hold, so that writers have to wait.
    const COUNT: usize = 220_000;
    let (local, remote, line) = wire(60_000);
    let agent = rt::spawn(rt::serve(over(remote, 20_000, tasks), options()));
    line.up.hold();
    let mut request = ExecOptions::new(sh_with_fds("cat <&3 >&3 & cat; wait; exit 5", &[3]));
    request.config.limits.stream_queue = 4_000;
    let mut exec = rt::exec_over(over(local, 20_000, tasks), request).unwrap();
    let (reader, writer) = exec.take_stream(3).unwrap().into_split();
    let (stdin, stdout) = (exec.take_stdin().unwrap(), exec.take_stdout().unwrap());
    let writing = [stdin, writer].map(|writer| rt::spawn(write(writer, what, polls, COUNT)));
    let reading = [stdout, reader].map(|reader| rt::spawn(read(reader, what, polls, COUNT)));
    // The writers wait, or try in vain.
    eventually("a queue is full", || exec.stats().queued_out > 3_000).await;
    settled(|| exec.stats().queued_out).await;
    line.up.open();
    let mut given_up = false;
    for task in writing.into_iter().chain(reading) {
        given_up |= task.await;
    }
    assert_eq!(exec.wait().await, exited(5));
    assert_eq!(agent.await, 0);
    given_up
}

async fn waiting(polls: usize, tasks: &Arc<()>) -> bool {
    let (mut exec, agent) = start(sh("cat >&2; exit 3"), tasks);
    let mut stdin = exec.take_stdin().unwrap();
    let writing = rt::spawn(async move { rt::write_all(&mut stdin, &[b'x'; 5_000]).await });
    let status = cancel_at(polls, exec.wait()).await;
    let given_up = status.is_none();
    for status in [status.unwrap_or(exec.wait().await), exec.wait().await] {
        assert_eq!(status, exited(3));
    }
    writing.await.unwrap();
    assert_eq!(agent.await, 0);
    given_up
}

/// Collects an output that takes several polls; its command must go when that is given up.
async fn output(mut exec: Exec, polls: usize) -> bool {
    let mut stderr = exec.take_stderr().unwrap();
    let pid = line(&mut stderr).await;
    drop(stderr);
    let output = cancel_at(polls, exec.output()).await;
    let given_up = output.is_none();
    if let Some(output) = output {
        let output = output.unwrap();
        assert_eq!((&output.stdout[..], output.status), (&b"1\n2\n3\n4\n"[..], exited(6)));
    }
    eventually("the command is gone", || !runs(&pid)).await;
    given_up
}

const SLOWLY: &str = "echo $$ >&2; for i in 1 2 3 4; do echo $i; sleep 0.01; done; exit 6";

async fn paths(polls: usize, tasks: &Arc<()>) -> bool {
    let (local, remote) = slow_wire(tasks);
    let agent = rt::spawn(rt::serve(remote, options()));
    let answer = cancel_at(polls, rt::paths_over(local, nowhere())).await;
    assert!(matches!(agent.await, 0 | 127));
    let given_up = answer.is_none();
    assert_eq!(answer.transpose().unwrap().unwrap_or_default(), []);
    given_up
}

fn nowhere() -> PathQuery {
    PathQuery { paths: vec!["/no/such/folder".into()] }
}

async fn serving(polls: usize, tasks: &Arc<()>) -> bool {
    let (local, remote) = slow_wire(tasks);
    let mut exec = rt::exec_over(local, sh("cat; exit 3")).unwrap();
    let mut stdin = exec.take_stdin().unwrap();
    rt::write_all(&mut stdin, &[b'x'; 2_000]).await.unwrap();
    drop(stdin);
    let mut stdout = exec.take_stdout().unwrap();
    let reading = rt::spawn(async move { rt::read_to_end(&mut stdout).await });
    let served = cancel_at(polls, rt::serve(remote, options())).await;
    let (bytes, status) = (reading.await, exec.wait().await);
    match status.code() {
        Some(code) => assert_eq!((code, bytes.unwrap().len()), (3, 2_000)),
        // No end and no code that nobody sent.
        None => assert!(served.is_none()),
    }
    served.is_none()
}

async fn waiting_for_a_process(polls: usize) -> bool {
    let mut exec = agent().exec(sh("cat; exit 3")).unwrap();
    let status = cancel_at(polls, exec.wait()).await;
    let given_up = status.is_none();
    assert_eq!(status.unwrap_or(exec.wait().await), exited(3));
    assert_eq!(exec.agent_code(), Some(0));
    given_up
}

async fn paths_of_a_process(polls: usize) -> bool {
    let agent = agent();
    let given_up = cancel_at(polls, agent.paths(nowhere())).await.is_none();
    // The next one is another process, and knows nothing of it.
    assert_eq!(agent.paths(nowhere()).await.unwrap(), []);
    given_up
}

fn agent() -> Agent {
    Agent::command(agent_program(), [""; 0])
}

/// Does one thing with a future that is given up at this poll; says whether it was.
async fn given_up(what: &'static str, polls: usize, tasks: &Arc<()>) -> bool {
    match what {
        "waiting" => waiting(polls, tasks).await,
        "output" => {
            let (exec, agent) = start(sh(SLOWLY), tasks);
            let given_up = output(exec, polls).await;
            assert_eq!(agent.await, 0);
            given_up
        }
        "output of a process" => output(agent().exec(sh(SLOWLY)).unwrap(), polls).await,
        "paths" => paths(polls, tasks).await,
        "serving" => serving(polls, tasks).await,
        "waiting for a process" => waiting_for_a_process(polls).await,
        "paths of a process" => paths_of_a_process(polls).await,
        what => streams(what, polls, tasks).await,
    }
}

/// Whether this process has a child: one that runs, or one that nobody has reaped.
fn has_children() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, options), Err(Errno::CHILD))
}

fn descriptors() -> usize {
    std::fs::read_dir("/dev/fd").unwrap().count()
}

/// Set for the process in which a test runs alone.
const ALONE: &str = "TRUNKLINE_TEST_ALONE";

#[test]
fn every_future_given_up_at_every_poll_leaves_nothing() {
    if std::env::var_os(ALONE).is_none() {
        // Other tests have descriptors and children of their own: this one needs a process.
        let test = "cases::given_up::every_future_given_up_at_every_poll_leaves_nothing";
        let alone = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&alone.stdout) + String::from_utf8_lossy(&alone.stderr);
        assert!(alone.status.success() && told.contains("1 passed"), "{told}");
        return;
    }
    rt::each_alone(async || {
        let tasks = Arc::new(());
        let cases: BTreeSet<_> = FUTURES.iter().map(|(_, what)| *what).collect();
        let cases = || cases.iter().copied().filter(|what| *what != SCHEDULED);
        // What a runtime opens for itself, once.
        for what in cases() {
            given_up(what, 1, &tasks).await;
        }
        eventually("all children are reaped", || !has_children()).await;
        let before = descriptors();
        let mut given = 0;
        for what in cases() {
            let mut polls = 1;
            while given_up(what, polls, &tasks).await {
                polls += 1;
            }
            // Shown when the test fails.
            eprintln!("{what}: done within {polls} polls");
            given += usize::from(polls > 1);
            eventually("all children are reaped", || !has_children()).await;
            eventually("no task is left", || Arc::strong_count(&tasks) == 1).await;
        }
        // A session can be over before a busy machine polls for it, but not every one.
        assert!(given > 4, "hardly anything was given up");
        eventually("all descriptors are closed", || descriptors() <= before).await;
    });
}
