//! Which programs an agent has.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use trunkline_core::agentproto::{Frame, FrameType, PathEntry, PathInfo};

use crate::rt::{self, PathQuery, SessionError};

use super::peer::Peer;
use super::support::{self, cancel_at, lost, options, session_error};
use super::wire::{Fate, wire};

/// A folder of its own, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("trunkline-{}-{}-{number}", rt::AGENT, std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, mode: u32) {
        let path = self.0.join(name);
        fs::write(&path, name).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Asks a real agent.
async fn ask(paths: &[String]) -> io::Result<Vec<PathEntry>> {
    let (local, remote, _line) = wire(1 << 10);
    let agent = support::serve(remote, options());
    let answer = rt::paths_over(rt::Over(local), PathQuery { paths: paths.to_vec() }).await;
    assert_eq!(agent.await, 0);
    answer
}

#[test]
fn programs_are_found_in_the_folders_asked_for() {
    let (first, second) = (Folder::new(), Folder::new());
    first.file("both", 0o755);
    first.file("a", 0o700);
    first.file("text", 0o644);
    fs::create_dir(first.0.join("folder")).unwrap();
    second.file("both", 0o711);
    second.file("z", 0o555);
    rt::each(async || {
        let entries = ask(&[first.path(), "/no/such/folder".into(), second.path()]).await.unwrap();
        let found: Vec<_> =
            entries.iter().map(|entry| (entry.name.as_str(), entry.mode, entry.size)).collect();
        assert_eq!(found, [("a", 0o700, 1), ("both", 0o755, 4), ("z", 0o555, 1)]);
        assert_eq!(entries[1].path, first.path() + "/both");
        assert_eq!(entries[2].path, second.path() + "/z");
        assert!(entries.iter().all(|entry| entry.mtime > 0));
    });
}

#[test]
fn no_programs_are_an_empty_list() {
    let empty = Folder::new();
    rt::each(async || {
        assert_eq!(ask(&[empty.path()]).await.unwrap(), []);
        assert_eq!(ask(&["/no/such/folder".into()]).await.unwrap(), []);
    });
}

#[test]
fn without_folders_it_is_the_agent_s_own_path() {
    rt::each(async || {
        let entries = ask(&[]).await.unwrap();
        let sh = entries.iter().find(|entry| entry.name == "sh").expect("a shell");
        assert!(Path::new(&sh.path).is_absolute());
    });
}

#[test]
fn thousands_of_programs_arrive_whole() {
    let folder = Folder::new();
    for number in 0..3_000 {
        folder.file(&format!("program-{number:05}"), 0o755);
    }
    rt::each(async || {
        let entries = ask(&[folder.path()]).await.unwrap();
        assert_eq!(entries.len(), 3_000);
        assert!(entries.iter().enumerate().all(|(n, e)| e.name == format!("program-{n:05}")));
    });
}

#[test]
fn a_refusal_comes_in_the_agent_s_words_and_fit_to_show() {
    rt::each(async || {
        let (local, remote, _line) = wire(1 << 10);
        let mut peer = Peer::new(remote);
        let asking = rt::spawn(rt::paths_over(rt::Over(local), PathQuery::default()));
        peer.expect(FrameType::PATH_QUERY).await;
        let error = Frame { error: "no\x1b[31m\nway".into(), ..Frame::of(FrameType::ERROR) };
        peer.send(&error).await;
        let error = asking.await.unwrap_err();
        assert_eq!(session_error(&error), &SessionError::Refused("no\x1b[31m\nway".into()));
        assert_eq!(error.to_string(), "agent error: no\\u{1b}[31m\\nway");
        assert!(peer.recv().await.is_none());
    });
}

#[test]
fn a_cut_answer_is_an_error_wherever_it_is_cut() {
    let entry =
        |name: &str| PathEntry { name: name.into(), path: name.into(), ..PathEntry::default() };
    let info = PathInfo { entries: Some(vec![entry("one"), entry("two")]) };
    let answer = super::peer::bytes_of(&Frame::path_info(info));
    rt::each(async || {
        for cut in 0..=answer.len() {
            for fate in [Fate::End, Fate::Reset] {
                let (local, remote, line) = wire(1 << 10);
                line.down.cut_after(cut as u64, fate);
                let mut peer = Peer::new(remote);
                peer.send_bytes(&answer).await;
                let found = rt::paths_over(rt::Over(local), PathQuery::default()).await;
                if cut == answer.len() {
                    assert_eq!(found.unwrap().len(), 2);
                } else {
                    let error = found.unwrap_err();
                    let mid_frame = cut > 0;
                    match (fate, lost(&error)) {
                        (Fate::End, reason) => {
                            assert_eq!(reason, rt::CloseReason::Eof { mid_frame });
                            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                        }
                        (_, reason) => {
                            assert!(matches!(reason, rt::CloseReason::Transport { .. }));
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn an_exit_is_no_answer() {
    rt::each(async || {
        let (local, remote, _line) = wire(1 << 10);
        let mut peer = Peer::new(remote);
        peer.send(&Frame::exit(0, "")).await;
        peer.send(&Frame::data(1, bytes::Bytes::from_static(b"x"))).await;
        peer.close().await;
        let error = rt::paths_over(rt::Over(local), PathQuery::default()).await.unwrap_err();
        assert_eq!(lost(&error), rt::CloseReason::Eof { mid_frame: false });
    });
}

#[test]
fn a_query_given_up_ends_its_session() {
    rt::each(async || {
        for polls in 1..4 {
            let (local, remote, line) = wire(1 << 10);
            line.down.hold();
            let agent = support::serve(remote, options());
            let asking = rt::paths_over(rt::Over(local), PathQuery { paths: vec!["/bin".into()] });
            assert!(cancel_at(1, asking).await.is_none(), "{polls}");
            line.down.open();
            // The agent is left alone, whatever it was doing, and ends; it may have been asked or not.
            assert!(matches!(agent.await, 0 | 127));
        }
    });
}
