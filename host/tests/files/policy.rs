//! What a policy refuses, on the whole machine and below a root.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::thread;

use rustix::fs::{CWD, Mode};
use trunkline_core::agentproto::{FileOp, FileRequest};
use trunkline_host::files::{FilePolicy, Resolver};

use crate::common::TempDir;
use crate::served::{RESOLVERS, Served, at, between, flag, moded, on, open, read, write};

/// The policy on the whole machine, and below `dir` with both resolvers; with the path of `dir`.
fn everywhere(dir: &TempDir, set: impl Fn(&mut FilePolicy)) -> Vec<(Served, String)> {
    let with = |mut policy: FilePolicy, at: String| {
        set(&mut policy);
        (Served::new(policy), at)
    };
    let mut all = vec![with(FilePolicy::default(), dir.text())];
    for resolver in RESOLVERS {
        let mut policy = FilePolicy::confined(dir.path());
        policy.resolver = resolver;
        all.push(with(policy, String::new()));
    }
    all
}

fn furnished() -> TempDir {
    let dir = TempDir::new();
    fs::write(dir.path().join("file"), "content").unwrap();
    symlink("file", dir.path().join("link")).unwrap();
    fs::create_dir(dir.path().join("dir")).unwrap();
    dir
}

#[test]
fn read_only_refuses_every_change_with_errno_30() {
    let dir = furnished();
    for (mut served, top) in everywhere(&dir, |policy| policy.read_only = true) {
        let p = |name: &str| format!("{top}/{name}");
        let refused = [
            on(FileOp::CREATE, &p("file")),
            on(FileOp::CREATE, &p("new")),
            open(&p("file"), flag::WRITE, 0),
            open(&p("file"), flag::BOTH, 0),
            open(&p("file"), flag::WRITE | flag::APPEND, 0),
            open(&p("file"), flag::TRUNC, 0),
            open(&p("new"), flag::CREATE, 0o600),
            moded(FileOp::MKDIR, &p("new"), 0o700),
            moded(FileOp::MKDIR_ALL, &p("new/er"), 0o700),
            on(FileOp::REMOVE, &p("file")),
            between(FileOp::RENAME, &p("file"), &p("new")),
            moded(FileOp::CHMOD, &p("file"), 0o600),
            FileRequest { size: 0, ..on(FileOp::TRUNCATE, &p("file")) },
            between(FileOp::SYMLINK, "x", &p("new")),
            between(FileOp::LINK, &p("file"), &p("new")),
            FileRequest { uid: u32::MAX, gid: u32::MAX, ..on(FileOp::CHOWN, &p("file")) },
            FileRequest { mtime: 1, ..on(FileOp::CHTIMES, &p("file")) },
        ];
        for request in refused {
            let (errno, text) = served.failed(&request);
            assert_eq!(errno, 30, "{request:?} {text}");
            assert!(text.ends_with(": read-only file system"), "{text}");
        }
        // What reads goes on as ever.
        assert_eq!(served.content(&p("link")), b"content");
        let handle = served.done(&open(&p("dir"), flag::DIRECTORY, 0)).handle;
        served.done(&at(FileOp::FSYNC, handle));
        let handle = served.done(&on(FileOp::OPEN, &p("file"))).handle;
        assert_eq!(served.failed(&write(handle, 0, b"x")).0, 30);
        assert_eq!(served.failed(&FileRequest { size: 0, ..at(FileOp::FTRUNCATE, handle) }).0, 30);
        served.done(&write(handle, 0, b""));
        served.done(&moded(FileOp::MKDIR_ALL, &p("dir"), 0o700));
        served.done(&on(FileOp::READ_DIR, &p("")));
        served.done(&on(FileOp::READLINK, &p("link")));
        served.done(&on(FileOp::STATFS, &p("file")));
    }
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"content");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[test]
fn files_do_not_grow_beyond_the_limit() {
    let dir = furnished();
    for (mut served, top) in everywhere(&dir, |policy| policy.max_file_size = Some(100)) {
        let path = format!("{top}/sized");
        let handle = served.done(&on(FileOp::CREATE, &path)).handle;
        let sized = |op, size| FileRequest { size, path: path.clone(), ..at(op, handle) };
        for (request, fits) in [
            (write(handle, 0, &[1; 100]), true),
            (write(handle, 0, &[1; 101]), false),
            (write(handle, 99, &[1; 2]), false),
            (write(handle, 99, &[1; 1]), true),
            (write(handle, i64::MAX, &[1; 1]), false),
            (write(handle, -1, &[1; 60]), true),
            (write(handle, -1, &[1; 41]), false),
            (write(handle, -1, &[1; 40]), true),
            (write(handle, -1, &[1; 1]), false),
            (sized(FileOp::FTRUNCATE, 100), true),
            (sized(FileOp::FTRUNCATE, 101), false),
            (sized(FileOp::TRUNCATE, 101), false),
            (sized(FileOp::TRUNCATE, i64::MAX), false),
            (sized(FileOp::TRUNCATE, 100), true),
            (sized(FileOp::TRUNCATE, 90), true),
        ] {
            let response = served.ask(&request);
            assert_eq!(response.errno, if fits { 0 } else { 27 }, "{request:?}");
            if !fits {
                assert_eq!(response.count, 0);
                assert!(response.message.ends_with(": file too large"), "{}", response.message);
            }
        }
        let handle = served.done(&open(&path, flag::WRITE | flag::APPEND, 0)).handle;
        assert_eq!(served.failed(&write(handle, -1, &[1; 11])).0, 27);
        served.done(&write(handle, -1, &[1; 10]));
        assert_eq!(served.failed(&write(handle, -1, &[1; 1])).0, 27);
        assert_eq!(served.done(&on(FileOp::STAT, &path)).stat.unwrap().size, 100);
    }
    // A file that is larger already can be read, and written where it may.
    fs::write(dir.path().join("large"), vec![7; 200]).unwrap();
    for (mut served, top) in everywhere(&dir, |policy| policy.max_file_size = Some(100)) {
        let handle = served.done(&open(&format!("{top}/large"), flag::BOTH, 0)).handle;
        assert_eq!(served.done(&read(handle, 0, 1000)).count, 200);
        served.done(&write(handle, 0, &[1; 100]));
        assert_eq!(served.failed(&write(handle, 100, &[1; 1])).0, 27);
    }
}

#[test]
fn many_who_append_at_once_stay_within_the_limit() {
    let dir = furnished();
    for (mut served, top) in everywhere(&dir, |policy| policy.max_file_size = Some(1000)) {
        let path = format!("{top}/appended");
        served.done(&on(FileOp::CREATE, &path));
        let handles: Vec<u32> = (0..8)
            .map(|_| served.done(&open(&path, flag::WRITE | flag::APPEND, 0)).handle)
            .collect();
        let served = &served;
        thread::scope(|scope| {
            for handle in handles {
                scope.spawn(move || {
                    for _ in 0..100 {
                        let request = write(handle, -1, &[1; 7]);
                        let _ = served.files.perform(&request, Some(served.handle(handle)));
                    }
                });
            }
        });
        let size = fs::metadata(dir.path().join("appended")).unwrap().len();
        assert_eq!(size, 1000 / 7 * 7);
        fs::remove_file(dir.path().join("appended")).unwrap();
    }
}

#[test]
fn an_append_beside_a_write_stays_within_the_limit() {
    let dir = furnished();
    for (mut served, top) in everywhere(&dir, |policy| policy.max_file_size = Some(1 << 20)) {
        let path = format!("{top}/appended");
        served.done(&on(FileOp::CREATE, &path));
        let appending = served.done(&open(&path, flag::WRITE | flag::APPEND, 0)).handle;
        let writing = served.done(&open(&path, flag::WRITE, 0)).handle;
        let served = &served;
        let perform = |request: &FileRequest, handle: u32| {
            let _ = served.files.perform(request, Some(served.handle(handle)));
        };
        for _ in 0..50 {
            thread::scope(|scope| {
                scope.spawn(|| perform(&write(appending, -1, &[1; 1 << 18]), appending));
                scope.spawn(|| perform(&write(writing, 1 << 19, &[1; 1 << 19]), writing));
            });
            let size = fs::metadata(dir.path().join("appended")).unwrap().len();
            assert!(size <= 1 << 20, "{size}");
            File::create(dir.path().join("appended")).unwrap();
        }
        fs::remove_file(dir.path().join("appended")).unwrap();
    }
}

#[test]
fn what_is_no_file_is_refused_without_being_opened() {
    let dir = furnished();
    rustix::fs::mkfifoat(CWD, dir.path().join("fifo"), Mode::from_raw_mode(0o600)).unwrap();
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    let null = rustix::fs::makedev(1, 3);
    let kind = rustix::fs::FileType::CharacterDevice;
    let mode = Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(CWD, dir.path().join("device"), kind, mode, null)
        .expect("this test needs to be root, to make a device");
    for name in ["fifo", "socket", "device"] {
        symlink(name, dir.path().join(format!("to-{name}"))).unwrap();
    }
    let texts = [("fifo", "a named pipe"), ("socket", "a socket"), ("device", "a device")];
    for (mut served, top) in everywhere(&dir, |_| ()) {
        for (name, text) in texts {
            for path in [format!("{top}/{name}"), format!("{top}/to-{name}")] {
                for request in [
                    on(FileOp::OPEN, &path),
                    on(FileOp::CREATE, &path),
                    open(&path, flag::WRITE, 0),
                    open(&path, flag::BOTH | flag::CREATE, 0o600),
                ] {
                    let (errno, message) = served.failed(&request);
                    let expected = format!("open {path}: it is {text}, which is not opened here");
                    assert_eq!((errno, message), (1, expected), "{request:?}");
                }
                let sized = FileRequest { size: 0, ..on(FileOp::TRUNCATE, &path) };
                assert_eq!(served.failed(&sized).0, 22);
                // Everything about it that does not open it is fine.
                served.done(&on(FileOp::STAT, &path));
                served.done(&moded(FileOp::CHMOD, &path, 0o640));
                served.done(&FileRequest { mtime: 1, ..on(FileOp::CHTIMES, &path) });
            }
        }
    }
    for (mut served, top) in everywhere(&dir, |policy| policy.devices = true) {
        // No writer, no reader: nothing waits.
        let handle = served.done(&on(FileOp::OPEN, &format!("{top}/fifo"))).handle;
        assert_eq!(served.failed(&read(handle, 0, 10)).0, 29, "pread on a pipe");
        served.done(&at(FileOp::CLOSE, handle));
        assert_eq!(served.failed(&open(&format!("{top}/fifo"), flag::WRITE, 0)).0, 6);
        let handle = served.done(&open(&format!("{top}/device"), flag::BOTH, 0)).handle;
        assert!(served.done(&read(handle, 0, 10)).eof);
        served.done(&write(handle, -1, b"gone"));
    }
}

#[test]
fn set_id_bits_and_owners_are_refused_below_a_root() {
    let dir = furnished();
    let set_id = dir.path().join("set-id");
    for (mut served, top) in everywhere(&dir, |_| ()) {
        fs::write(&set_id, "program").unwrap();
        fs::set_permissions(&set_id, fs::Permissions::from_mode(0o4_755)).unwrap();
        let p = |name: &str| format!("{top}/{name}");
        let requests = [
            moded(FileOp::CHMOD, &p("file"), 0o4_755),
            moded(FileOp::CHMOD, &p("file"), 0o2_755),
            moded(FileOp::CHMOD, &p("file"), 0x0080_0000 | 0o755),
            moded(FileOp::MKDIR, &p("made"), 0o2_755),
            moded(FileOp::MKDIR_ALL, &p("made-too"), 0o2_755),
            open(&p("created"), flag::WRITE | flag::CREATE, 0o4_755),
            open(&p("set-id"), flag::WRITE, 0),
            open(&p("set-id"), flag::TRUNC, 0),
            FileRequest { size: 1, ..on(FileOp::TRUNCATE, &p("set-id")) },
            FileRequest { uid: 7, gid: 7, ..on(FileOp::CHOWN, &p("file")) },
            FileRequest { uid: u32::MAX, gid: 7, ..on(FileOp::CHOWN, &p("file")) },
            FileRequest { uid: 0, gid: u32::MAX, ..on(FileOp::CHOWN, &p("file")) },
        ];
        for request in &requests {
            let response = served.ask(request);
            assert_eq!(response.errno, u32::from(top.is_empty()), "{request:?} {response:?}");
        }
        if top.is_empty() {
            let mut policy = served.files.policy().clone();
            policy.set_id = true;
            let mut served = Served::new(policy);
            for request in &requests {
                served.done(request);
            }
        }
        for name in ["made", "made-too"] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7_777, 0o2_755 & mode, "{mode:o}");
            fs::remove_dir(dir.path().join(name)).unwrap();
        }
        fs::remove_file(dir.path().join("created")).unwrap();
    }
    // Sticky bits and the bits for the owner's own use are nobody else's.
    let mut served = Served::below(dir.path(), Resolver::Kernel);
    served.done(&moded(FileOp::CHMOD, "dir", 0o1_777));
    served.done(&FileRequest { uid: u32::MAX, gid: u32::MAX, ..on(FileOp::CHOWN, "file") });
    assert_eq!(served.content("set-id").len(), 1, "it can be read");
}

#[test]
fn a_root_that_is_no_directory_is_named() {
    let dir = furnished();
    for (name, reason) in [("none", "no such file or directory"), ("file", "not a directory")] {
        for resolver in RESOLVERS {
            let path = dir.path().join(name);
            let mut policy = FilePolicy::confined(&path);
            policy.resolver = resolver;
            let error = trunkline_host::files::FileSystem::new(policy).unwrap_err();
            assert_eq!(error.to_string(), format!("root {}: {reason}", path.display()));
        }
    }
    drop(File::open(dir.path()).unwrap());
}
