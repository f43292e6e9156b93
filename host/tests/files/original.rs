//! One script of requests, asked of the original's kind of agent and of ours: the answers agree.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use trunkline_core::agentproto::{
    Config, Decoder, FileOp, FileRequest, FileResponse, Frame, encode,
};
use trunkline_host::files::FilePolicy;

use crate::common::TempDir;
use crate::served::{
    RESOLVERS, Served, at, between, flag, moded, on, open as open_file, read, write,
};

#[path = "../../../conformance/peers/go_peer.rs"]
mod go_peer;

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

/// What every side finds.
fn furnish(dir: &Path) {
    fs::create_dir_all(dir.join("dir/inner")).unwrap();
    fs::create_dir(dir.join("empty")).unwrap();
    fs::write(dir.join("file"), "abcdef").unwrap();
    fs::write(dir.join("dir/one"), "1").unwrap();
    for (target, link) in
        [("file", "link"), ("dir", "to-dir"), ("nowhere", "dangling"), ("self", "self")]
    {
        symlink(target, dir.join(link)).unwrap();
    }
}

/// Requests that succeed and fail in every way that does not need a strange machine. `p` makes a
/// path of a name. Handles count from 1.
#[allow(clippy::too_many_lines)]
fn script(p: impl Fn(&str) -> String) -> Vec<FileRequest> {
    let p = &p;
    let path = |op, name| on(op, &p(name));
    let two = |op, name, new| between(op, &p(name), &p(new));
    let mode = |op, name, bits| moded(op, &p(name), bits);
    let open = |name, flags, bits| open_file(&p(name), flags, bits);
    let sized = |op, name, size| FileRequest { size, ..on(op, &p(name)) };
    let times = |name, atime, mtime| FileRequest { atime, mtime, ..path(FileOp::CHTIMES, name) };
    let names = [
        "",
        "/",
        "//",
        "/.",
        "/file",
        "/file/",
        "/file/x",
        "/link",
        "/link/",
        "/dir",
        "/dir/",
        "/dir//one",
        "/dir/../file",
        "/to-dir",
        "/to-dir/",
        "/to-dir/one",
        "/dangling",
        "/self",
        "/self/x",
        "/none",
        "/none/x",
        "/a\0b",
    ];
    let long = format!("/{}", "n".repeat(256));
    let longer = "/d".repeat(2_500);
    let mut requests = vec![];
    for name in names.into_iter().chain([&*long, &*longer]) {
        for op in [FileOp::STAT, FileOp::LSTAT, FileOp::READLINK, FileOp::READ_DIR, FileOp::OPEN] {
            requests.push(path(op, name));
        }
        requests.push(sized(FileOp::TRUNCATE, name, -1));
        requests.push(times(name, 1_000_000_001, -1));
    }
    // Those that were opened: /, //, /., /file, /link, /dir, /dir/, /dir//one, /dir/../file,
    // /to-dir, /to-dir/, /to-dir/one, and before them "" where that is the directory itself.
    for handle in 1..16 {
        requests.extend([
            read(handle, 0, 3),
            read(handle, 2, 10),
            read(handle, 0, 0),
            read(handle, -1, 1),
            read(handle, i64::MAX, 1),
            write(handle, 0, b"x"),
            write(handle, -1, b"x"),
            write(handle, 0, b""),
            at(FileOp::FSTAT, handle),
            at(FileOp::FSYNC, handle),
            FileRequest { size: 3, ..at(FileOp::FTRUNCATE, handle) },
            FileRequest { size: -3, ..at(FileOp::FTRUNCATE, handle) },
            at(FileOp::CLOSE, handle),
            at(FileOp::CLOSE, handle),
        ]);
    }
    requests.extend([
        path(FileOp::CREATE, "/new"),
        path(FileOp::CREATE, "/dir"),
        path(FileOp::CREATE, "/none/x"),
        path(FileOp::CREATE, "/new/"),
        open("/new", flag::WRITE | flag::APPEND, 0),
        open("/new", flag::BOTH | flag::CREATE | flag::EXCL, 0o600),
        open("/link", flag::CREATE | flag::EXCL, 0o600),
        open("/link", flag::NOFOLLOW, 0),
        open("/link", flag::DIRECTORY, 0),
        open("/dir", flag::WRITE, 0),
        open("/dir", flag::DIRECTORY, 0),
        open("/zero", flag::WRITE | flag::CREATE, 0),
        path(FileOp::STAT, "/zero"),
        open("/odd", flag::WRITE | flag::CREATE | flag::TRUNC, 0x0090_0000 | 0o751),
        path(FileOp::STAT, "/odd"),
        open("/dangling", flag::WRITE | flag::CREATE, 0o640),
        path(FileOp::STAT, "/nowhere"),
        open("/sub/", flag::WRITE | flag::CREATE, 0o640),
    ]);
    for handle in 1..24 {
        requests.extend([
            write(handle, 3, b"xyz"),
            write(handle, -1, b"one"),
            write(handle, -7, b"two"),
            FileRequest { size: 8, ..at(FileOp::FTRUNCATE, handle) },
            read(handle, 0, 100),
            at(FileOp::FSTAT, handle),
            at(FileOp::FSYNC, handle),
        ]);
    }
    requests.extend([
        mode(FileOp::MKDIR, "/m", 0o750),
        mode(FileOp::MKDIR, "/m", 0o750),
        mode(FileOp::MKDIR, "/m/", 0o750),
        mode(FileOp::MKDIR, "/none/m", 0o750),
        mode(FileOp::MKDIR, "/sticky/", 0o1_777),
        path(FileOp::STAT, "/sticky"),
        mode(FileOp::MKDIR, "/dangling", 0o700),
        mode(FileOp::MKDIR, "/link/", 0o700),
        mode(FileOp::MKDIR, "/..", 0o700),
        mode(FileOp::MKDIR, "/.", 0o700),
        mode(FileOp::MKDIR_ALL, "/", 0o700),
        mode(FileOp::MKDIR_ALL, "/m/a/b//c/", 0o700),
        mode(FileOp::MKDIR_ALL, "/m/a/b", 0o700),
        mode(FileOp::MKDIR_ALL, "/m/x/.", 0o700),
        mode(FileOp::MKDIR_ALL, "/m/y/../z", 0o700),
        mode(FileOp::MKDIR_ALL, "/file", 0o700),
        mode(FileOp::MKDIR_ALL, "/file/x/y", 0o700),
        mode(FileOp::MKDIR_ALL, "/dangling/x", 0o700),
        mode(FileOp::MKDIR_ALL, "/self/x", 0o700),
        mode(FileOp::MKDIR_ALL, "", 0o700),
        mode(FileOp::MKDIR_ALL, &long, 0o700),
        path(FileOp::READ_DIR, "/m"),
        path(FileOp::READ_DIR, "/m/a/b/c"),
        path(FileOp::READ_DIR, "/"),
        two(FileOp::RENAME, "/new", "/newer"),
        two(FileOp::RENAME, "/new", "/newer"),
        two(FileOp::RENAME, "/newer", "/dir"),
        two(FileOp::RENAME, "/newer", "/empty"),
        two(FileOp::RENAME, "/none", "/empty"),
        two(FileOp::RENAME, "/m/a", "/empty"),
        two(FileOp::RENAME, "/m/a", "/m/a"),
        two(FileOp::RENAME, "/m/a", "/m//a"),
        two(FileOp::RENAME, "/m/a", "/m/a/b/x"),
        two(FileOp::RENAME, "/m/a", "/newer"),
        two(FileOp::RENAME, "/newer", "/file"),
        two(FileOp::RENAME, "/file", "/none/file"),
        two(FileOp::RENAME, "/file", "/other/"),
        two(FileOp::RENAME, "/m/a/", "/moved/"),
        two(FileOp::RENAME, "/link", "/link2"),
        two(FileOp::RENAME, "", "/x"),
        two(FileOp::RENAME, "/file", ""),
        two(FileOp::RENAME, "/file", &long),
        on_target("file", &p("/soft")),
        on_target("file", &p("/soft")),
        on_target("", &p("/soft2")),
        on_target("/somewhere/else", &p("/absolute")),
        on_target("x", &p("/none/soft")),
        on_target("x", &p("/soft3/")),
        on_target("t\0u", &p("/soft4")),
        path(FileOp::READLINK, "/absolute"),
        two(FileOp::LINK, "/file", "/hard"),
        two(FileOp::LINK, "/file", "/hard"),
        two(FileOp::LINK, "/dir", "/hard2"),
        two(FileOp::LINK, "/none", "/hard2"),
        two(FileOp::LINK, "/link2", "/hard3"),
        two(FileOp::LINK, "/file", "/none/hard"),
        two(FileOp::LINK, "/file/", "/hard4"),
        path(FileOp::LSTAT, "/hard"),
        path(FileOp::LSTAT, "/hard3"),
        mode(FileOp::CHMOD, "/file", 0o640),
        mode(FileOp::CHMOD, "/link2", 0o7_604),
        path(FileOp::STAT, "/file"),
        mode(FileOp::CHMOD, "/none", 0o640),
        mode(FileOp::CHMOD, "/dangling", 0o444),
        mode(FileOp::CHMOD, "/self", 0o640),
        mode(FileOp::CHMOD, "/dir", 0x0010_0000 | 0o755),
        path(FileOp::STAT, "/dir"),
        sized(FileOp::TRUNCATE, "/file", 2),
        sized(FileOp::TRUNCATE, "/link2", 9),
        sized(FileOp::TRUNCATE, "/dir", 2),
        sized(FileOp::TRUNCATE, "/none", 2),
        sized(FileOp::TRUNCATE, "/self", 2),
        sized(FileOp::TRUNCATE, "/file", i64::MAX),
        path(FileOp::STAT, "/file"),
        FileRequest { uid: u32::MAX, gid: u32::MAX, ..path(FileOp::CHOWN, "/file") },
        FileRequest { uid: u32::MAX, gid: u32::MAX, ..path(FileOp::CHOWN, "/none") },
        times("/link2", -1, 1_234_567_890_123_456_789),
        path(FileOp::STAT, "/file"),
        times("/dir", 0, 0),
        path(FileOp::STAT, "/dir"),
        path(FileOp::STATFS, "/none"),
        path(FileOp::STATFS, "/self"),
        path(FileOp::REMOVE, "/m"),
        path(FileOp::REMOVE, "/none"),
        path(FileOp::REMOVE, "/file/"),
        path(FileOp::REMOVE, "/link2/"),
        path(FileOp::REMOVE, "/to-dir/"),
        path(FileOp::REMOVE, "/to-dir"),
        path(FileOp::REMOVE, "/dir/."),
        path(FileOp::REMOVE, "/dir/inner/.."),
        path(FileOp::REMOVE, "/empty/"),
        path(FileOp::REMOVE, "/file"),
        path(FileOp::REMOVE, ""),
        path(FileOp::REMOVE, "/self"),
        path(FileOp(0), "/file"),
        path(FileOp(26), "/file"),
        at(FileOp::FSYNC, 1234),
        at(FileOp::READ_AT, 0),
        path(FileOp::READ_DIR, "/"),
        path(FileOp::READ_DIR, "/dir"),
    ]);
    requests
}

fn on_target(target: &str, link: &str) -> FileRequest {
    between(FileOp::SYMLINK, target, link)
}

/// What two answers must have in common: without where the files lie, their numbers, and now.
fn comparable(mut response: FileResponse, dir: &str) -> FileResponse {
    const RECENT: i64 = 1_700_000_000_000_000_000;
    response.message = response.message.replace(dir, "");
    response.path = response.path.replace(dir, "");
    let stats = response.entries.iter_mut().map(|entry| &mut entry.stat);
    for stat in stats.chain(response.stat.as_deref_mut()) {
        stat.inode = 0;
        stat.ctime = 0;
        for time in [&mut stat.atime, &mut stat.mtime] {
            *time = if *time > RECENT { RECENT } else { *time };
        }
        // The directory that stands for "/" has a name elsewhere.
        if dir.ends_with(&format!("/{}", stat.name)) {
            stat.name = "/".to_owned();
        }
    }
    response
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
