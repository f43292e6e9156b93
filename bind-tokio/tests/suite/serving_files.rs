//! The agent's side of files: what is closed when, what an owner may refuse, and both sides together.

use std::fs;
use std::path::Path;

use trunkline_core::agentproto::{Frame, FrameType};

use crate::rt::{
    self, Commands, Config, ExitStatus, FileOp, FileRequest, PathQuery, ServeOptions, Task,
};

use super::files::{Folder, errno};
use super::peer::Peer;
use super::support::{eventually, exited, options, program, serve, sh, start_over};
use super::wire::{Line, wire};

/// How many files below this folder are open in this process.
fn open_below(folder: &Path) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(folder)).count()
}

/// An agent that has so many files of a folder open, with the other end of its wire.
async fn with_open_files(folder: &Folder, count: u32) -> (Peer, Task<u8>, Line) {
    let (local, remote, line) = wire(1 << 16);
    let agent = serve(remote, options());
    let mut peer = Peer::new(local);
    for id in 0..count {
        let path = folder.at(&format!("{id}"));
        let create = FileRequest { id, op: FileOp::CREATE, path, ..FileRequest::default() };
        peer.send(&Frame::file_request(create)).await;
    }
    for _ in 0..count {
        let answer = peer.expect(FrameType::FILE_RESPONSE).await.file_response.unwrap();
        assert_ne!(answer.handle, 0, "{answer:?}");
    }
    assert_eq!(open_below(folder.path()), usize::try_from(count).unwrap());
    (peer, agent, line)
}

#[test]
fn the_end_of_a_session_closes_every_file_whoever_breaks_it() {
    rt::each(async || {
        for bytes in [&b""[..], b"\xa1\x61t\x05", b"no frame at all"] {
            let folder = Folder::new("ends");
            let (mut peer, agent, _line) = with_open_files(&folder, 20).await;
            peer.send_bytes(bytes).await;
            peer.close().await;
            assert_eq!(agent.await, 0, "{bytes:?}");
            assert_eq!(open_below(folder.path()), 0, "{bytes:?}");
        }
    });
}

#[test]
fn dropping_the_agent_closes_every_file() {
    rt::each(async || {
        let folder = Folder::new("dropped");
        let (_peer, agent, _line) = with_open_files(&folder, 20).await;
        drop(agent);
        eventually("every file is closed", || open_below(folder.path()) == 0).await;
    });
}

#[test]
fn both_sides_together_carry_a_file() {
    rt::each(async || {
        let folder = Folder::new("both");
        let (local, remote, _line) = wire(1 << 16);
        let agent = serve(remote, options());
        // The default asks for the numbers of operations first.
        let files = rt::files_over(rt::Over(local), Config::default());
        let path = folder.at("file");
        let create = FileRequest { op: FileOp::CREATE, path: path.clone(), ..Default::default() };
        let handle = files.request(create).await.unwrap().handle;
        let content: Vec<u8> = (0..3_000_000_u32).map(|place| (place >> 3) as u8).collect();
        let data = content.clone().into();
        let write = FileRequest { op: FileOp::WRITE_AT, handle, data, ..Default::default() };
        assert_eq!(files.request(write).await.unwrap().count, 3_000_000);
        assert!(fs::read(&path).unwrap() == content);
        let mut read = Vec::new();
        loop {
            // More than one answer brings.
            let (offset, size) = (i64::try_from(read.len()).unwrap(), 1 << 40);
            let request =
                FileRequest { op: FileOp::READ_AT, handle, offset, size, ..Default::default() };
            let answer = files.request(request).await.unwrap();
            assert!(answer.data.len() <= 1 << 20);
            read.extend_from_slice(&answer.data.into_bytes());
            if answer.eof {
                break;
            }
        }
        assert!(read == content);
        assert_eq!(errno(files.stat(folder.at("none")).await), 2);
        drop(files);
        assert_eq!(agent.await, 0);
        assert_eq!(open_below(folder.path()), 0);
    });
}

/// Options that confine files to a folder.
fn confined(folder: &Folder) -> ServeOptions {
    let mut options = options();
    options.files.root = Some(folder.path().to_owned());
    options
}

/// A command that the agent would not start, and why.
#[track_caller]
fn refused(status: &ExitStatus) {
    let ExitStatus::Exited { code: 127, text, clean: true } = status else {
        panic!("{status:?}");
    };
    assert!(text.contains("runs no commands"), "{text}");
}

#[test]
fn an_agent_that_confines_files_runs_no_commands_unless_told() {
    rt::each(async || {
        let folder = Folder::new("confined");
        let (mut exec, agent, _line) = start_over(program("true", &[]), confined(&folder));
        refused(&exec.wait().await);
        assert_eq!(agent.await, 127);

        let (local, remote, _line) = wire(1 << 16);
        let agent = serve(remote, confined(&folder));
        let failed = rt::paths_over(rt::Over(local), PathQuery::default()).await.unwrap_err();
        assert!(failed.to_string().contains("runs no commands"), "{failed}");
        assert_eq!(agent.await, 127);

        let mut allowed = confined(&folder);
        allowed.commands = Commands::Allowed;
        let (mut exec, _agent, _line) = start_over(sh("exit 3"), allowed);
        assert_eq!(exec.wait().await, exited(3));

        let mut never = options();
        never.commands = Commands::Refused;
        let (mut exec, _agent, _line) = start_over(sh("exit 3"), never);
        refused(&exec.wait().await);
    });
}

#[test]
fn a_root_is_opened_once_for_all_sessions() {
    rt::each(async || {
        let folder = Folder::new("root");
        fs::create_dir(folder.path().join("served")).unwrap();
        fs::write(folder.path().join("served/file"), "x").unwrap();
        let mut options = options();
        options.files.root = Some(folder.path().join("served"));
        options.open_files().unwrap();
        fs::rename(folder.path().join("served"), folder.path().join("moved")).unwrap();
        for _ in 0..2 {
            let (local, remote, _line) = wire(1 << 16);
            let _agent = serve(remote, options.clone());
            let files = rt::files_over(rt::Over(local), Config::default());
            assert_eq!(files.stat("/file").await.unwrap().size, 1);
            assert_eq!(files.getwd().await.unwrap(), "/");
        }
        assert_eq!(options.open_files().unwrap_err().kind(), std::io::ErrorKind::NotFound);
    });
}

#[test]
fn a_root_that_is_gone_is_told_to_whoever_asks() {
    rt::each(async || {
        let folder = Folder::new("gone");
        let mut options = options();
        options.files.root = Some(folder.path().join("none"));
        let (local, remote, _line) = wire(1 << 16);
        let agent = serve(remote, options);
        let mut peer = Peer::new(local);
        let ask = FileRequest { id: 7, op: FileOp::STAT, path: "/".into(), ..Default::default() };
        peer.send(&Frame::file_request(ask)).await;
        let answer = peer.expect(FrameType::FILE_RESPONSE).await.file_response.unwrap();
        assert_eq!((answer.id, answer.errno), (7, 5));
        assert!(answer.message.contains("none"), "{answer:?}");
        peer.close().await;
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn an_agent_that_serves_no_files_says_so() {
    rt::each(async || {
        let mut options = options();
        options.serve_files = false;
        let (local, remote, _line) = wire(1 << 16);
        let _agent = serve(remote, options);
        let files = rt::files_over(rt::Over(local), Config::default());
        let error = files.stat("/").await.unwrap_err();
        assert!(error.to_string().contains("38"), "{error}");
    });
}
