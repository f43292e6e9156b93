//! One script of requests, asked of the original's kind of agent and of ours: the answers agree.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use trunkline_core::agentproto::{
    Config, Decoder, FileOp, FileRequest, FileResponse, Frame, encode,
};
use trunkline_host::files::FilePolicy;

use crate::common::TempDir;
use crate::served::{RESOLVERS, Served};
use file_script::{comparable, furnish, script};

#[path = "../../../conformance/peers/go_peer.rs"]
mod go_peer;

#[path = "../../../conformance/peers/file_script.rs"]
mod file_script;

/// An agent of the Go peer that serves files.
struct Peer {
    child: Child,
    decoder: Decoder<Frame>,
}

impl Peer {
    fn start() -> Self {
        let child = Command::new(go_peer::agentproto())
            .arg("agent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, decoder: Decoder::new(&Config::default()) }
    }

    fn ask(&mut self, request: &FileRequest) -> FileResponse {
        let segment = encode(&Frame::file_request(request.clone())).unwrap();
        self.child.stdin.as_mut().unwrap().write_all(&segment.into_bytes()).unwrap();
        loop {
            if let Some(frame) = self.decoder.poll().unwrap() {
                if let Some(response) = frame.file_response {
                    return *response;
                }
                continue;
            }
            let mut bytes = vec![0; 64 << 10];
            let count = self.child.stdout.as_mut().unwrap().read(&mut bytes).unwrap();
            assert_ne!(count, 0, "the peer ended");
            bytes.truncate(count);
            self.decoder.push(bytes.into());
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

fn compare(mut served: Served, confined: bool, dir: &TempDir) {
    let original = TempDir::new();
    let [theirs_at, ours_at] = [original.text(), dir.text()];
    for dir in [&original, dir] {
        furnish(dir.path());
    }
    let mut peer = Peer::start();
    let theirs = script(|name| format!("{theirs_at}{name}"));
    let ours = script(|name| if confined { name.to_owned() } else { format!("{ours_at}{name}") });
    let mut done = 0;
    for (theirs, ours) in theirs.iter().zip(&ours) {
        // The directory itself is "" there and the root here.
        if confined
            && (ours.path.is_empty() || ours.op == FileOp::RENAME && ours.new_path.is_empty())
        {
            continue;
        }
        if confined && [&ours.path, &ours.new_path].iter().any(|path| *path == "/..") {
            continue;
        }
        let expected = comparable(peer.ask(theirs), &theirs_at);
        let found = comparable(served.ask(ours), &ours_at);
        done += usize::from(found.errno == 0);
        assert_eq!(found, expected, "{ours:?}");
    }
    assert!(done > 100, "{done} of {} requests succeeded", ours.len());
}

#[test]
fn every_answer_is_the_originals() {
    let dir = TempDir::new();
    compare(Served::machine(), false, &dir);
}

#[test]
fn below_a_root_every_answer_is_the_originals_too() {
    for resolver in RESOLVERS {
        let dir = TempDir::new();
        let mut policy = FilePolicy::confined(dir.path());
        policy.resolver = resolver;
        policy.set_id = true;
        policy.hard_links = true;
        compare(Served::new(policy), true, &dir);
    }
}
