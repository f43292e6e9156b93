//! One script of file requests for agents that must answer alike, and the Go peer as the client that
//! makes them.
//!
//! No crate can hold this for the tests of the host, the bindings and the command alike without a
//! circle of dependencies, so they include the file, as they do `go_peer.rs`.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse};

/// The flags of open(2), as numbers on the wire.
pub(crate) mod flag {
    use rustix::fs::OFlags;

    pub(crate) const WRITE: i32 = number(OFlags::WRONLY);
    pub(crate) const BOTH: i32 = number(OFlags::RDWR);
    pub(crate) const CREATE: i32 = number(OFlags::CREATE);
    pub(crate) const EXCL: i32 = number(OFlags::EXCL);
    pub(crate) const TRUNC: i32 = number(OFlags::TRUNC);
    pub(crate) const APPEND: i32 = number(OFlags::APPEND);
    pub(crate) const DIRECTORY: i32 = number(OFlags::DIRECTORY);
    pub(crate) const NOFOLLOW: i32 = number(OFlags::NOFOLLOW);

    const fn number(flags: OFlags) -> i32 {
        flags.bits().cast_signed()
    }
}

/// What every side finds.
pub(crate) fn furnish(dir: &Path) {
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
pub(crate) fn script(p: impl Fn(&str) -> String) -> Vec<FileRequest> {
    let p = &p;
    let path = |op, name| on(op, &p(name));
    let two = |op, name, new| between(op, &p(name), &p(new));
    let mode = |op, name, bits| moded(op, &p(name), bits);
    let open = |name, flags, bits| open(&p(name), flags, bits);
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
pub(crate) fn comparable(mut response: FileResponse, dir: &str) -> FileResponse {
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

/// A request about a path.
pub(crate) fn on(op: FileOp, path: &str) -> FileRequest {
    FileRequest { op, path: path.to_owned(), ..FileRequest::default() }
}

/// A request about two paths.
pub(crate) fn between(op: FileOp, path: &str, new_path: &str) -> FileRequest {
    FileRequest { new_path: new_path.to_owned(), ..on(op, path) }
}

/// A request about a path that has a mode.
pub(crate) fn moded(op: FileOp, path: &str, mode: u32) -> FileRequest {
    FileRequest { mode, ..on(op, path) }
}

/// A request about a handle.
pub(crate) fn at(op: FileOp, handle: u32) -> FileRequest {
    FileRequest { op, handle, ..FileRequest::default() }
}

pub(crate) fn open(path: &str, flags: i32, mode: u32) -> FileRequest {
    FileRequest { flags, ..moded(FileOp::OPEN_FILE, path, mode) }
}

pub(crate) fn read(handle: u32, offset: i64, size: i64) -> FileRequest {
    FileRequest { offset, size, ..at(FileOp::READ_AT, handle) }
}

pub(crate) fn write(handle: u32, offset: i64, data: &[u8]) -> FileRequest {
    FileRequest { offset, data: data.to_vec().into(), ..at(FileOp::WRITE_AT, handle) }
}
