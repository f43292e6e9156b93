//! A root, what lies outside of it, and the proof that nothing out there was touched or told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse, Stat};
use trunkline_host::files::{FilePolicy, Resolver};

use crate::common::TempDir;
use crate::served::{Served, at, between, flag, moded, on, open, read, write};

/// What must never appear in an answer.
const CANARY: &str = "CANARY";

/// `root` with some files, and beside it `outside` with the canary.
pub(crate) struct Scene {
    dir: TempDir,
    outside: BTreeMap<PathBuf, Vec<u64>>,
    inodes: BTreeSet<u64>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new();
        let outside = dir.path().join("outside");
        fs::create_dir_all(outside.join("dir")).unwrap();
        fs::write(outside.join("secret"), CANARY).unwrap();
        fs::write(outside.join("dir/secret"), CANARY).unwrap();
        std::os::unix::fs::symlink(CANARY, outside.join("link")).unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("file"), "inside").unwrap();
        fs::write(root.join("a/file"), "inside").unwrap();
        let outside = facts(&outside);
        let mut inodes: BTreeSet<u64> = outside.values().map(|facts| facts[0]).collect();
        inodes.insert(fs::metadata(dir.path()).unwrap().ino());
        inodes.insert(fs::metadata("/").unwrap().ino());
        Self { dir, outside, inodes }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// Everything that is not confinement is allowed, so that nothing else refuses.
    pub(crate) fn policy(&self, resolver: Resolver) -> FilePolicy {
        let mut policy = FilePolicy::confined(self.root());
        policy.resolver = resolver;
        policy.devices = true;
        policy.set_id = true;
        policy.hard_links = true;
        policy
    }

    pub(crate) fn served(&self, resolver: Resolver) -> Served {
        Served::new(self.policy(resolver))
    }

    /// Panics if anything outside has changed.
    pub(crate) fn assert_untouched(&self, what: &str) {
        assert_eq!(facts(&self.outside()), self.outside, "{what}");
    }

    /// Panics if an answer tells anything about what lies outside.
    pub(crate) fn assert_silent(&self, response: &FileResponse, what: &str) {
        let told = |stat: &Stat| self.inodes.contains(&stat.inode);
        let leak = response.stat.as_deref().is_some_and(told)
            || response.entries.iter().any(|entry| told(&entry.stat))
            || response.path.contains(CANARY)
            || String::from_utf8_lossy(&response.data.clone().into_bytes()).contains(CANARY);
        assert!(!leak, "{what}: {response:?}");
    }

    /// Performs a request, and whatever can be done with what it opens.
    pub(crate) fn attempt(
        &self,
        served: &mut Served,
        request: &FileRequest,
        what: &str,
    ) -> FileResponse {
        let response = served.ask(request);
        self.assert_silent(&response, what);
        let handle = response.handle;
        if handle != 0 {
            for request in [
                at(FileOp::FSTAT, handle),
                read(handle, 0, 100),
                write(handle, 0, b"x"),
                write(handle, -1, b"x"),
                at(FileOp::FSYNC, handle),
                FileRequest { size: 1, ..at(FileOp::FTRUNCATE, handle) },
                at(FileOp::CLOSE, handle),
            ] {
                self.assert_silent(&served.ask(&request), what);
            }
        }
        response
    }
}

/// Number, kind, mode, owner, links, size, times and content of everything below `dir`.
fn facts(dir: &Path) -> BTreeMap<PathBuf, Vec<u64>> {
    let mut all = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        let mut facts = vec![
            found.ino(),
            found.mode().into(),
            found.uid().into(),
            found.gid().into(),
            found.nlink(),
            found.size(),
            found.mtime_nsec().unsigned_abs(),
            found.mtime().unsigned_abs(),
            found.ctime_nsec().unsigned_abs(),
            found.ctime().unsigned_abs(),
        ];
        if found.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if found.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            facts.extend(target.as_os_str().as_bytes().iter().copied().map(u64::from));
        } else {
            facts.extend(fs::read(&path).unwrap().into_iter().map(u64::from));
        }
        all.insert(path, facts);
    }
    all
}

/// Every operation that takes a path, on `path`; and whether it follows a link with this name.
pub(crate) fn every_operation(path: &str) -> Vec<(FileRequest, bool)> {
    let request = |op| on(op, path);
    let followed = [
        request(FileOp::OPEN),
        request(FileOp::CREATE),
        open(path, 0, 0),
        open(path, flag::WRITE, 0),
        open(path, flag::WRITE | flag::CREATE, 0o600),
        open(path, flag::WRITE | flag::TRUNC, 0),
        open(path, flag::WRITE | flag::APPEND, 0),
        open(path, flag::DIRECTORY, 0),
        request(FileOp::STAT),
        request(FileOp::READ_DIR),
        moded(FileOp::CHMOD, path, 0o777),
        FileRequest { size: 1, ..request(FileOp::TRUNCATE) },
        FileRequest { uid: 1, gid: 1, ..request(FileOp::CHOWN) },
        FileRequest { uid: u32::MAX, gid: u32::MAX, ..request(FileOp::CHOWN) },
        FileRequest { atime: 1, mtime: 1, ..request(FileOp::CHTIMES) },
        request(FileOp::STATFS),
        moded(FileOp::MKDIR_ALL, path, 0o777),
    ];
    let named = [
        open(path, flag::WRITE | flag::CREATE | flag::EXCL, 0o600),
        open(path, flag::NOFOLLOW, 0),
        open(path, flag::WRITE | flag::NOFOLLOW | flag::CREATE, 0o600),
        request(FileOp::LSTAT),
        request(FileOp::READLINK),
        moded(FileOp::MKDIR, path, 0o777),
        between(FileOp::SYMLINK, "target", path),
        between(FileOp::LINK, "file", path),
        between(FileOp::LINK, path, "hard"),
        between(FileOp::RENAME, "file", path),
        between(FileOp::RENAME, path, "moved"),
        request(FileOp::REMOVE),
    ];
    let followed = followed.into_iter().map(|request| (request, true));
    followed.chain(named.into_iter().map(|request| (request, false))).collect()
}
