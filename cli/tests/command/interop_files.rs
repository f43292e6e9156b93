//! Files of `trunkline agent` for the Go peer as the client: every operation, and what can go wrong.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use trunkline_core::agentproto::{FileOp, FileRequest};

use crate::interop::go_peer;
use crate::job::PROGRAM;
use crate::temp::Temp;
use file_client::{FileClient, agree, many_at_once};
use file_script::{at, between, flag, moded, on, open, read, write};

#[path = "../../../conformance/peers/file_client.rs"]
pub(crate) mod file_client;
#[path = "../../../conformance/peers/file_script.rs"]
pub(crate) mod file_script;

/// The Go client with our agent.
pub(crate) fn client(options: &[&str]) -> FileClient {
    client_of(&[&[PROGRAM, "agent"], options].concat())
}

/// The Go client with an agent that is started so.
pub(crate) fn client_of(agent: &[&str]) -> FileClient {
    FileClient::start(&agent.iter().map(OsStr::new).collect::<Vec<_>>())
}

#[test]
fn a_go_client_gets_the_answers_of_a_go_agent() {
    let (theirs, ours) = (Temp::new(), Temp::new());
    agree(client(&[]), [theirs.path(), ours.path()], |dir, name| Some(format!("{dir}{name}")));
}

#[test]
fn a_go_client_gets_the_answers_of_a_go_agent_below_a_root() {
    let (theirs, ours) = (Temp::new(), Temp::new());
    let agent = client(&["--root", ours.text(), "--allow-set-id", "--allow-hard-links"]);
    // The root has neither an outside nor, as other directories, an empty name.
    agree(agent, [theirs.path(), ours.path()], |_, name| {
        Some(name.to_owned()).filter(|name| !["", "/.."].contains(&name.as_str()))
    });
}

#[test]
fn a_go_client_has_hundreds_of_requests_under_way() {
    let dir = Temp::new();
    many_at_once(client(&[]), dir.path());
}

#[test]
fn errors_of_strange_files_are_those_of_a_go_agent() {
    let dir = Temp::new();
    let file = dir.write("file", "abc");
    let program = dir.file("program");
    fs::copy("/bin/sleep", &program).unwrap();
    let mut running = Command::new(&program).arg("1000").spawn().unwrap();
    let fifo = dir.file("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
    let sized = |op, path, size| FileRequest { size, ..on(op, path) };
    let requests = [
        between(FileOp::RENAME, &file, "/proc/trunkline"),
        between(FileOp::LINK, &file, "/proc/trunkline"),
        between(FileOp::SYMLINK, "x", "/proc/trunkline"),
        moded(FileOp::MKDIR, "/proc/trunkline", 0o700),
        moded(FileOp::MKDIR_ALL, "/proc/trunkline/x", 0o700),
        on(FileOp::CREATE, "/proc/trunkline"),
        on(FileOp::REMOVE, "/proc"),
        between(FileOp::RENAME, "/proc", "/trunkline"),
        moded(FileOp::CHMOD, "/proc/self/status", 0o600),
        sized(FileOp::TRUNCATE, "/proc/version", 5),
        open(&program, flag::WRITE, 0),
        sized(FileOp::TRUNCATE, &program, 0),
        open(&fifo, flag::WRITE | nonblock, 0),
        between(FileOp::LINK, dir.text(), &dir.file("hard")),
        open(&file, flag::BOTH, 0),
        write(1, i64::MAX - 1, b"xyz"),
        FileRequest { size: i64::MAX, ..at(FileOp::FTRUNCATE, 1) },
        on(FileOp::OPEN, "/proc/version"),
        at(FileOp::FSYNC, 2),
        read(2, 0, 0),
        FileRequest { size: 0, ..at(FileOp::FTRUNCATE, 2) },
        on(FileOp::OPEN, "/proc/self/mem"),
        read(3, 0, 10),
        open("/dev/full", flag::WRITE, 0),
        write(4, 0, b"x"),
        write(4, -1, b"x"),
        at(FileOp::FSYNC, 4),
        on(FileOp::OPEN, "/dev/null"),
        write(5, 0, b"x"),
        read(5, 0, 10),
        on(FileOp::STATFS, "/proc"),
        on(FileOp::READ_DIR, "/proc/self/ns"),
    ];
    let (mut ours, mut theirs) = (client(&["--allow-devices"]), FileClient::of_the_original());
    let mut errors = BTreeSet::new();
    for request in &requests {
        let [mut found, mut expected] = [&mut ours, &mut theirs].map(|agent| agent.ask(request));
        // Of processes of their own.
        for answer in [&mut found, &mut expected] {
            answer.entries.iter_mut().for_each(|entry| {
                let name = std::mem::take(&mut entry.stat.name);
                entry.stat = trunkline_core::agentproto::Stat { name, ..Default::default() };
            });
        }
        assert_eq!(found, expected, "{request:?}");
        errors.insert(found.errno);
    }
    running.kill().unwrap();
    running.wait().unwrap();
    for errno in [1, 2, 5, 6, 9, 16, 18, 22, 26, 28] {
        assert!(errors.contains(&errno), "{errno} is not among {errors:?}");
    }
    ours.end();
    theirs.end();
}
