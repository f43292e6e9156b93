//! The Go peer as a client of files: its codec, its process, our requests in JSON.
//!
//! Included like `go_peer.rs` and `file_script.rs`, which must stand beside it.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse};

use super::file_script::{comparable, furnish, on, read, script};
use super::go_peer;

/// A Go client with an agent of its own.
pub(crate) struct FileClient {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    asked: u32,
}

impl FileClient {
    /// Starts the client, which starts the agent by this command line.
    pub(crate) fn start(agent: &[&OsStr]) -> Self {
        let mut child = Command::new(go_peer::agentproto())
            .arg("files")
            .args(agent)
            .arg("--")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { stdin: child.stdin.take(), answers, child, asked: 0 }
    }

    /// The same with the Go peer's own agent.
    pub(crate) fn of_the_original() -> Self {
        Self::start(&[go_peer::agentproto().as_os_str(), "agent".as_ref()])
    }

    /// Sends a request and gives the id that it got.
    pub(crate) fn send(&mut self, request: &FileRequest) -> u32 {
        self.asked += 1;
        let request = FileRequest { id: self.asked, ..request.clone() };
        let line = serde_json::to_string(&request).unwrap();
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.asked
    }

    /// The next answer, whichever it is.
    pub(crate) fn next(&mut self) -> FileResponse {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// One request and its answer, without the id.
    pub(crate) fn ask(&mut self, request: &FileRequest) -> FileResponse {
        let id = self.send(request);
        let answer = self.next();
        assert_eq!(answer.id, id, "{request:?}");
        FileResponse { id: 0, ..answer }
    }

    /// Ends the session; the agent must end well.
    pub(crate) fn end(mut self) {
        drop(self.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// Asks both agents the whole script, each in a folder of its own. `path` makes of a folder and a
/// name what our agent takes for its path; what it cannot be asked is `None`.
pub(crate) fn agree(
    mut ours: FileClient,
    [theirs_at, ours_at]: [&Path; 2],
    path: impl Fn(&str, &str) -> Option<String>,
) {
    let mut theirs = FileClient::of_the_original();
    for dir in [theirs_at, ours_at] {
        furnish(dir);
    }
    let [theirs_at, ours_at] = [theirs_at, ours_at].map(|dir| dir.to_str().unwrap());
    let name_theirs = script(|name| format!("{theirs_at}{name}"));
    // A mark for what cannot be asked.
    let name_ours = script(|name| path(ours_at, name).unwrap_or_else(|| "\u{fffd}".to_owned()));
    let mut done = 0;
    for (their, our) in name_theirs.iter().zip(&name_ours) {
        if [&our.path, &our.new_path].iter().any(|path| *path == "\u{fffd}") {
            continue;
        }
        let expected = comparable(theirs.ask(their), theirs_at);
        let found = comparable(ours.ask(our), ours_at);
        done += usize::from(found.errno == 0);
        assert_eq!(found, expected, "{our:?}");
    }
    assert!(done > 200, "{done} of {} requests succeeded", name_ours.len());
    ours.end();
    theirs.end();
}

/// Makes many requests at once; answers may come in any order, and each must be the right one.
pub(crate) fn many_at_once(mut ours: FileClient, dir: &Path) {
    const COUNT: i64 = 500;
    const PIECE: i64 = 4_096;
    let byte = |place: i64| (place.wrapping_mul(0x9e37_79b1) >> 13).to_le_bytes()[0];
    let file = dir.join("numbers");
    std::fs::write(&file, (0..COUNT * PIECE).map(byte).collect::<Vec<u8>>()).unwrap();
    let handle = ours.ask(&on(FileOp::OPEN, file.to_str().unwrap())).handle;
    // In no order: 7 and the count have no divisor in common.
    let offset = |number: i64| number * 7 % COUNT * PIECE;
    let ids: Vec<_> =
        (0..COUNT).map(|number| ours.send(&read(handle, offset(number), PIECE))).collect();
    let mut seen = vec![false; ids.len()];
    for _ in &ids {
        let answer = ours.next();
        let number = ids.iter().position(|id| *id == answer.id).expect("an id of ours");
        assert!(!std::mem::replace(&mut seen[number], true), "answered twice");
        let from = offset(number as i64);
        let expected: Vec<u8> = (from..from + PIECE).map(byte).collect();
        assert_eq!((answer.count, answer.eof), (PIECE, false));
        assert!(answer.data.into_bytes() == expected, "other bytes at {from}");
    }
    ours.end();
}
