//! The operations on files, and the errors they can give, against both agents: this crate's
//! own and the Go peer.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::rt::{self, Agent, Config, FileError, FileFault, FileOp, FileRequest, Files};

use super::interop::go_peer;
use super::support::{options, serve};
use super::wire::wire;

/// A folder of its own, gone with the test.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("trunkline-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The path of something in it, as requests have it.
    pub(super) fn at(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The files of a Go agent.
pub(super) fn go_files() -> Files {
    Agent::command(go_peer::agentproto(), ["agent"]).files().unwrap()
}

/// The files of this crate's agent, in this process and with everything allowed.
pub(super) fn own_files() -> Files {
    let (local, remote, _line) = wire(64 << 10);
    let mut options = options();
    options.files.devices = true;
    options.files.hard_links = true;
    serve(remote, options).detach();
    rt::files_over(rt::Over(local), Config::default())
}

/// Runs a test that needs the peer; building it is no part of the time that the test has.
pub(super) fn each(test: impl AsyncFn() + Sync) {
    go_peer::agentproto();
    rt::each(test);
}

/// Runs a test with the one agent and then with the other.
pub(super) fn each_agent(test: impl AsyncFn(fn() -> Files) + Sync) {
    each(async || {
        for agent in [own_files as fn() -> Files, go_files] {
            test(agent).await;
        }
    });
}

/// The errno of what must be refused by the agent.
pub(super) fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> u32 {
    let error = result.unwrap_err();
    let file = FileError::of(&error).unwrap_or_else(|| panic!("no file error: {error:?}"));
    assert_eq!(file.fault, FileFault::Refused);
    file.errno
}

#[test]
fn every_operation_on_a_path_does_what_it_says() {
    each_agent(async |agent| {
        let folder = Folder::new("ops");
        let files = agent();
        let own = std::env::current_dir().unwrap();
        assert_eq!(files.getwd().await.unwrap(), own.to_str().unwrap());

        files.mkdir(folder.at("d"), 0o700).await.unwrap();
        assert_eq!(fs::metadata(folder.at("d")).unwrap().permissions().mode() & 0o7777, 0o700);
        files.mkdir_all(folder.at("d/e/f"), 0o755).await.unwrap();
        files.mkdir_all(folder.at("d/e/f"), 0o755).await.unwrap();
        assert!(fs::metadata(folder.at("d/e/f")).unwrap().is_dir());

        fs::write(folder.at("a"), b"hello").unwrap();
        let stat = files.stat(folder.at("a")).await.unwrap();
        assert_eq!((stat.name.as_str(), stat.size, stat.is_dir), ("a", 5, false));
        files.chmod(folder.at("a"), 0o640).await.unwrap();
        assert_eq!(files.stat(folder.at("a")).await.unwrap().mode & 0o777, 0o640);
        files.truncate(folder.at("a"), 3).await.unwrap();
        assert_eq!(fs::read(folder.at("a")).unwrap(), b"hel");
        files.chtimes(folder.at("a"), 1_500_000_000, 2_500_000_000).await.unwrap();
        let meta = fs::metadata(folder.at("a")).unwrap();
        assert_eq!((meta.atime(), meta.mtime(), meta.mtime_nsec()), (1, 2, 500_000_000));

        files.symlink("a", folder.at("l")).await.unwrap();
        assert_eq!(files.readlink(folder.at("l")).await.unwrap(), "a");
        assert_eq!(files.stat(folder.at("l")).await.unwrap().size, 3);
        assert_eq!(files.lstat(folder.at("l")).await.unwrap().size, 1);
        files.link(folder.at("a"), folder.at("b")).await.unwrap();
        assert_eq!(files.stat(folder.at("b")).await.unwrap().links, 2);
        files.rename(folder.at("b"), folder.at("c")).await.unwrap();
        files.chown(folder.at("c"), None, Some(meta.gid())).await.unwrap();
        assert!(files.statfs(folder.at("c")).await.unwrap().blocks > 0);

        let names: Vec<String> = files
            .list_dir(folder.path().to_str().unwrap())
            .await
            .unwrap()
            .into_iter()
            .map(|stat| stat.name)
            .collect();
        assert_eq!(names, ["a", "c", "d", "l"]);
        files.remove(folder.at("c")).await.unwrap();
        assert!(!Path::new(&folder.at("c")).exists());
        files.close().await;
    });
}

#[test]
fn errors_carry_their_number_their_path_and_their_kind() {
    each_agent(async |agent| {
        let folder = Folder::new("errors");
        let files = agent();
        fs::write(folder.at("a"), b"hello").unwrap();
        fs::create_dir_all(folder.at("d/e")).unwrap();
        symlink("loop", folder.at("loop")).unwrap();

        let missing = files.stat(folder.at("x")).await.unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let shown = missing.to_string();
        let expected = format!("stat {}: no such file or directory", folder.at("x"));
        assert_eq!(shown.to_lowercase(), expected.to_lowercase());
        let exists = files.mkdir(folder.at("d"), 0o755).await.unwrap_err();
        assert_eq!(exists.kind(), io::ErrorKind::AlreadyExists);
        let invalid = files.stat("nul\0byte").await.unwrap_err();
        assert_eq!(invalid.kind(), io::ErrorKind::InvalidInput);

        assert_eq!(errno(files.mkdir_all(folder.at("a/b"), 0o755).await), 20);
        assert_eq!(errno(files.remove(folder.at("d")).await), 39);
        assert_eq!(errno(files.rename(folder.at("a"), folder.at("d")).await), 17);
        assert_eq!(errno(files.readlink(folder.at("a")).await), 22);
        assert_eq!(errno(files.stat(folder.at("loop")).await), 40);
        assert_eq!(errno(files.lstat(folder.at(&"n".repeat(300))).await), 36);
        assert_eq!(errno(files.list_dir(folder.at("a")).await), 20);
        assert_eq!(errno(files.link(folder.at("d"), folder.at("h")).await), 1);
        assert_eq!(errno(files.statfs(folder.at("x")).await), 2);
        let close = FileRequest { op: FileOp::CLOSE, handle: 77, ..FileRequest::default() };
        assert_eq!(errno(files.request_on("who", close).await), 9);
        let unknown = FileRequest { op: FileOp(99), ..FileRequest::default() };
        assert_eq!(errno(files.request(unknown).await), 38);
    });
}
