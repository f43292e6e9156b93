//! A served directory against requests of any kind: `docs/protocols/agentproto.md` sections 8 and
//! 15.
// A machine on which the scene cannot be set must stop the target, and so must a broken promise.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse, Stat};
use trunkline_host::files::{FilePolicy, FileSystem, Opened, Resolver};

use super::ops::Ops;

/// What lies outside and must not appear in any answer.
const CANARY: &str = "CANARY";

/// The most files that one input keeps open.
const OPEN: usize = 8;

/// The longest file that an input can make: disks are finite.
const LONGEST: u64 = 1 << 20;

/// The names that paths and links are made of.
const NAMES: [&str; 16] = [
    "a", "b", "file", "link", "up", "out", "loop", "..", "..", ".", "", "outside", "secret",
    "root0", "none", "a/b",
];

/// Two served directories, one for each resolver, asked the same requests.
///
/// Input: a byte of settings (1 read-only, 2 mounts, 4 set-ID bits, 8 hard links, 16 devices, 32
/// short listings), then requests: an operation's number and what it needs. Paths and targets of
/// links are made of names that lead in, out, in circles and nowhere, or are any text.
///
/// Holds: nothing outside changes, no answer tells of it, no handle is of it; both resolvers answer
/// alike but for the number and the text of a failure; a failure has a number and a text, a success
/// neither; data is as long as it says and no longer than asked for.
///
/// # Panics
///
/// When one of these is broken.
pub fn agentproto_files(input: &[u8]) {
    let Some((&how, operations)) = input.split_first() else { return };
    let mut scene = Scene::new(how);
    let mut ops = Ops::new(operations);
    while let Some(op) = ops.next() {
        let request = request(op, &mut ops, &scene.outside);
        scene.perform(&request, usize::from(op >> 5) % OPEN);
    }
    scene.check("at the end");
}

/// Any request.
fn request(op: u8, ops: &mut Ops<'_>, outside: &Path) -> FileRequest {
    let mut request = FileRequest { op: FileOp(op & 31), ..FileRequest::default() };
    match request.op {
        FileOp::READ_AT | FileOp::WRITE_AT | FileOp::FTRUNCATE => {
            request.offset = number(ops);
            request.size = number(ops);
            let size = ops.size();
            request.data = ops.pattern(size).into();
        }
        FileOp::SYMLINK => {
            request.path = target(ops, outside);
            request.new_path = path(ops);
        }
        FileOp::RENAME | FileOp::LINK => {
            request.path = path(ops);
            request.new_path = path(ops);
        }
        FileOp::CLOSE | FileOp::FSYNC | FileOp::FSTAT | FileOp::GETWD => {}
        _ => {
            request.path = path(ops);
            request.mode = u32::from(ops.short());
            request.flags = flags(ops);
            request.size = i64::from(ops.byte());
            request.atime = i64::from(ops.short());
            request.mtime = -request.atime;
            [request.uid, request.gid] = match ops.byte() {
                byte @ 0..=100 => [u32::from(byte), u32::MAX],
                _ => [u32::MAX, u32::MAX],
            };
        }
    }
    request
}

/// Mostly flags that mean something.
fn flags(ops: &mut Ops<'_>) -> i32 {
    let bits = i32::from(ops.short());
    match ops.byte() {
        0..=200 => bits & 0o3 | (bits & 0x30_3ec0),
        byte => bits << (byte % 16),
    }
}

/// An offset or a size.
fn number(ops: &mut Ops<'_>) -> i64 {
    match ops.byte() {
        byte @ 0..=200 => i64::from(byte) * 5,
        byte @ 201..=220 => -i64::from(byte - 200),
        byte => i64::MAX >> (byte % 40),
    }
}

/// A path of up to seven names, or any text.
fn path(ops: &mut Ops<'_>) -> String {
    let shape = ops.byte();
    if shape >= 250 {
        return ops.text();
    }
    let names: Vec<&str> =
        (0..shape % 8).map(|_| NAMES[usize::from(ops.byte()) % NAMES.len()]).collect();
    let first = if shape & 0x20 != 0 { "/" } else { "" };
    let last = if shape & 0x40 != 0 { "/" } else { "" };
    format!("{first}{}{last}", names.join("/"))
}

fn target(ops: &mut Ops<'_>, outside: &Path) -> String {
    match ops.byte() {
        0..=20 => outside.join("secret").to_string_lossy().into_owned(),
        21..=40 => outside.to_string_lossy().into_owned(),
        41..=50 => "/proc/self/root/etc/passwd".to_owned(),
        51..=60 => "/proc/self/cwd".to_owned(),
        61..=100 => "../outside/secret".to_owned(),
        _ => path(ops),
    }
}

/// A directory with two roots in it and something outside of both.
struct Scene {
    top: PathBuf,
    outside: PathBuf,
    before: Vec<Facts>,
    files: [FileSystem; 2],
    open: [Option<[Opened; 2]>; OPEN],
}

/// All that can change about a file: numbers, and what is in it.
type Facts = (PathBuf, [u64; 10], Vec<u8>);

impl Scene {
    fn new(how: u8) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // In memory, where there is such a place: inputs are many.
        let base = Some(PathBuf::from("/dev/shm")).filter(|path| path.is_dir());
        let base = base.unwrap_or_else(env::temp_dir);
        let top = base.join(format!("trunkline-fuzz-{}-{number}", process::id()));
        let outside = top.join("outside");
        fs::create_dir_all(&outside).expect("a directory");
        fs::write(outside.join("secret"), CANARY).expect("a file");
        let roots = ["root0", "root1"].map(|name| top.join(name));
        for root in &roots {
            fs::create_dir_all(root.join("a/b")).expect("a directory");
            fs::write(root.join("file"), "inside").expect("a file");
            for (target, link) in [
                ("file", "link"),
                ("..", "a/up"),
                ("../outside", "out"),
                ("../../../outside/secret", "a/b/out"),
                ("loop", "loop"),
            ] {
                symlink(target, root.join(link)).expect("a link");
            }
        }
        let files =
            [(Resolver::Kernel, &roots[0]), (Resolver::Walk, &roots[1])].map(|(resolver, root)| {
                let mut policy = FilePolicy::confined(root);
                policy.resolver = resolver;
                policy.read_only = how & 1 != 0;
                policy.mounts = how & 2 != 0;
                policy.set_id = how & 4 != 0;
                policy.hard_links = how & 8 != 0;
                policy.devices = how & 16 != 0;
                if how & 32 != 0 {
                    policy.max_listing = 3;
                    policy.max_read = 100;
                }
                policy.max_file_size = Some(LONGEST);
                FileSystem::new(policy).expect("a root")
            });
        let before = facts(&outside);
        Self { top, outside, before, files, open: Default::default() }
    }

    /// Asks both, and compares.
    fn perform(&mut self, request: &FileRequest, slot: usize) {
        let held = self.open[slot].as_ref();
        let handles = held.map_or([None, None], |[one, two]| [Some(one), Some(two)]);
        let outcomes = [0, 1].map(|side| {
            let outcome = self.files[side].perform(request, handles[side]);
            self.judge(request, &outcome.response);
            outcome
        });
        let [kernel, walk] = outcomes;
        assert_eq!(
            comparable(kernel.response.clone()),
            comparable(walk.response.clone()),
            "{request:?}: {:?} {:?}",
            kernel.response.message,
            walk.response.message,
        );
        if request.op == FileOp::CLOSE {
            self.open[slot] = None;
        }
        match (kernel.opened, walk.opened) {
            (Some(one), Some(two)) => {
                let fstat = FileRequest { op: FileOp::FSTAT, ..FileRequest::default() };
                for (files, opened) in self.files.iter().zip([&one, &two]) {
                    self.judge(&fstat, &files.perform(&fstat, Some(opened)).response);
                }
                self.open[slot] = Some([one, two]);
            }
            (None, None) => {}
            (one, two) => panic!("{request:?} opened {one:?} and {two:?}"),
        }
        self.check("after a request");
    }

    /// What every answer must be.
    fn judge(&self, request: &FileRequest, response: &FileResponse) {
        assert_eq!(response.errno == 0, response.message.is_empty(), "{request:?} {response:?}");
        let length = i64::try_from(response.data.len()).expect("a length");
        if request.op == FileOp::READ_AT {
            assert_eq!(response.count, length, "{request:?}");
            assert!(length <= request.size.max(0) && length <= 1 << 20, "{request:?} {length}");
        }
        let told = |stat: &Stat| self.before.iter().any(|(_, facts, _)| facts[0] == stat.inode);
        let data = response.data.clone().into_bytes();
        let leak = response.stat.as_deref().is_some_and(told)
            || response.entries.iter().any(|entry| told(&entry.stat))
            || data.windows(CANARY.len()).any(|bytes| bytes == CANARY.as_bytes());
        assert!(!leak, "{request:?} {response:?}");
    }

    fn check(&self, when: &str) {
        assert_eq!(facts(&self.outside), self.before, "{when}");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.top);
    }
}

/// What both resolvers must agree about.
fn comparable(mut response: FileResponse) -> FileResponse {
    response.errno = u32::from(response.errno != 0);
    response.message.clear();
    response.statfs = None;
    let stats = response.entries.iter_mut().map(|entry| &mut entry.stat);
    for stat in stats.chain(response.stat.as_deref_mut()) {
        stat.inode = 0;
        [stat.atime, stat.mtime, stat.ctime] = [0, 0, 0];
    }
    response
}

fn facts(outside: &Path) -> Vec<Facts> {
    let mut paths = vec![outside.to_owned()];
    let entries = fs::read_dir(outside).expect("a directory");
    paths.extend(entries.map(|entry| entry.expect("an entry").path()));
    paths.sort();
    let facts = |path: PathBuf| {
        let found = fs::symlink_metadata(&path).expect("a file");
        let numbers = [
            found.ino(),
            found.mode().into(),
            found.uid().into(),
            found.gid().into(),
            found.nlink(),
            found.size(),
            found.mtime().unsigned_abs(),
            found.mtime_nsec().unsigned_abs(),
            found.ctime().unsigned_abs(),
            found.ctime_nsec().unsigned_abs(),
        ];
        let content = if found.is_file() { fs::read(&path).expect("content") } else { Vec::new() };
        (path, numbers, content)
    };
    paths.into_iter().map(facts).collect()
}
