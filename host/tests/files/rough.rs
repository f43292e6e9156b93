//! Disks that are full, permissions that are lost, files that change, and sizes out of the ordinary.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use trunkline_core::agentproto::{FileOp, FileRequest};

use crate::common::TempDir;
use crate::own_mounts::{in_own_mounts, mount};
use crate::served::{RESOLVERS, Served, at, flag, moded, names, on, open, read, write};

/// Somebody without rights.
const NOBODY: u32 = 65_534;

#[test]
fn a_full_disk_tells_how_much_was_written() {
    if !in_own_mounts("rough::a_full_disk_tells_how_much_was_written") {
        return;
    }
    let dir = TempDir::new();
    mount(&["-t", "tmpfs", "-o", "size=1m,nr_inodes=4", "none", &dir.text()]);
    for resolver in RESOLVERS {
        let mut served = Served::below(dir.path(), resolver);
        let handle = served.done(&on(FileOp::CREATE, "file")).handle;
        for offset in [0, -1] {
            let response = served.ask(&write(handle, offset, &vec![7; 2 << 20]));
            assert_eq!(response.errno, 28);
            assert_eq!(response.message, "write file: no space left on device");
            // A write at the position begins where the one before ended: at the start.
            assert_eq!(response.count, 1 << 20);
            let size = FileRequest { size: 0, ..at(FileOp::FTRUNCATE, handle) };
            served.done(&size);
        }
        // And no more names.
        served.done(&on(FileOp::CREATE, "other"));
        served.done(&on(FileOp::CREATE, "third"));
        let (errno, text) = served.failed(&on(FileOp::CREATE, "fourth"));
        assert_eq!((errno, &*text), (28, "open fourth: no space left on device"));
        assert_eq!(served.failed(&moded(FileOp::MKDIR, "dir", 0o700)).0, 28);
        for name in ["file", "other", "third"] {
            served.done(&on(FileOp::REMOVE, name));
        }
    }
}

#[test]
fn a_disk_that_becomes_read_only_is_errno_30() {
    if !in_own_mounts("rough::a_disk_that_becomes_read_only_is_errno_30") {
        return;
    }
    let dir = TempDir::new();
    mount(&["-t", "tmpfs", "none", &dir.text()]);
    fs::write(dir.path().join("file"), "content").unwrap();
    for resolver in RESOLVERS {
        mount(&["-o", "remount,ro", &dir.text()]);
        let mut served = Served::below(dir.path(), resolver);
        assert_eq!(served.content("file"), b"content");
        for request in [
            on(FileOp::CREATE, "file"),
            open("new", flag::WRITE | flag::CREATE, 0o600),
            moded(FileOp::MKDIR, "new", 0o700),
            on(FileOp::REMOVE, "file"),
            moded(FileOp::CHMOD, "file", 0o600),
            FileRequest { size: 0, ..on(FileOp::TRUNCATE, "file") },
            FileRequest { mtime: 1, ..on(FileOp::CHTIMES, "file") },
        ] {
            assert_eq!(served.failed(&request).0, 30, "{request:?}");
        }
        mount(&["-o", "remount,rw", &dir.text()]);
    }
}

/// Runs `test` once more as nobody. The program lies where nobody cannot go, so it is copied.
fn as_nobody(test: &str) -> bool {
    if std::env::var_os("TRUNKLINE_NOBODY").is_some() {
        return true;
    }
    let dir = TempDir::new();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let work = dir.path().join("work");
    fs::create_dir(&work).unwrap();
    chown(&work, Some(NOBODY), Some(NOBODY)).expect("this test needs to be root");
    fs::write(dir.path().join("theirs"), "not mine").unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env("TRUNKLINE_NOBODY", "1")
        .env("TMPDIR", &work)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("this test needs setpriv (util-linux)");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

#[test]
fn lost_permissions_stop_what_is_asked_by_path_and_not_what_is_open() {
    if !as_nobody("rough::lost_permissions_stop_what_is_asked_by_path_and_not_what_is_open") {
        return;
    }
    let dir = TempDir::new();
    let top = dir.path();
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::create_dir(top.join("dir")).unwrap();
    let mut all = vec![(Served::machine(), dir.text())];
    all.extend(RESOLVERS.map(|resolver| (Served::below(top, resolver), String::new())));
    for (mut served, at_top) in all {
        let p = |name: &str| format!("{at_top}/{name}");
        let file = p("dir/file");
        let handle = served.done(&on(FileOp::CREATE, &file)).handle;
        set(&top.join("dir/file"), 0);
        served.done(&write(handle, 0, b"still"));
        assert_eq!(served.done(&read(handle, 0, 9)).count, 5);
        let (errno, text) = served.failed(&on(FileOp::OPEN, &file));
        assert_eq!((errno, text), (13, format!("open {file}: permission denied")));
        assert_eq!(served.failed(&FileRequest { size: 0, ..on(FileOp::TRUNCATE, &file) }).0, 13);
        // Its owner can give the permission back, and set times, without being able to read.
        served.done(&FileRequest { mtime: 1, ..on(FileOp::CHTIMES, &file) });
        served.done(&moded(FileOp::CHMOD, &file, 0o600));
        assert_eq!(served.content(&file), b"still");
        // Nothing can be made or removed; then nothing can even be looked at.
        set(&top.join("dir"), 0o500);
        for request in [
            on(FileOp::CREATE, &p("dir/new")),
            on(FileOp::REMOVE, &file),
            moded(FileOp::MKDIR, &p("dir/new"), 0o700),
            moded(FileOp::MKDIR_ALL, &p("dir/new/er"), 0o700),
        ] {
            assert_eq!(served.failed(&request).0, 13, "{request:?}");
        }
        set(&top.join("dir"), 0);
        for request in [
            on(FileOp::STAT, &file),
            on(FileOp::LSTAT, &file),
            on(FileOp::OPEN, &file),
            on(FileOp::READ_DIR, &p("dir")),
            on(FileOp::OPEN, &p("dir/../dir/file")),
        ] {
            assert_eq!(served.failed(&request).0, 13, "{request:?}");
        }
        assert_eq!(served.done(&read(handle, 0, 9)).count, 5);
        set(&top.join("dir"), 0o700);
        let owners = FileRequest { uid: 0, gid: 0, ..on(FileOp::CHOWN, &file) };
        assert_eq!(served.failed(&owners).0, 1);
        served.done(&on(FileOp::REMOVE, &file));
    }
    let mut served = Served::machine();
    assert_eq!(served.content("theirs"), b"not mine");
    assert_eq!(served.failed(&moded(FileOp::CHMOD, "theirs", 0o600)).0, 1);
    assert_eq!(served.failed(&on(FileOp::REMOVE, "theirs")).0, 13);
    assert_eq!(served.failed(&on(FileOp::CREATE, "theirs")).0, 13);
}

#[test]
fn a_file_that_shrinks_and_grows_while_read_gives_what_is_there() {
    let dir = TempDir::new();
    let path = dir.path().join("file");
    let file = File::create(&path).unwrap();
    file.set_len(3 << 20).unwrap();
    for resolver in RESOLVERS {
        let mut served = Served::below(dir.path(), resolver);
        let handle = served.done(&on(FileOp::OPEN, "file")).handle;
        file.set_len(700_000).unwrap();
        let response = served.done(&read(handle, 0, 1 << 20));
        assert_eq!((response.count, response.eof), (700_000, true));
        let response = served.done(&read(handle, 1 << 20, 1 << 20));
        assert_eq!((response.count, response.eof), (0, true));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for size in (0..2_000_u64).map(|round| round * 7_919 % (3 << 20)) {
                    file.set_len(size).unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                let response = served.done(&read(handle, 100_000, 1 << 20));
                assert_eq!(response.data.len() as i64, response.count);
                assert_eq!(response.eof, response.count < 1 << 20);
            }
        });
        file.set_len(3 << 20).unwrap();
    }
}

#[test]
fn a_sparse_file_of_a_tebibyte_is_read_and_written_anywhere() {
    const SIZE: i64 = 1 << 40;
    let dir = TempDir::new();
    for resolver in RESOLVERS {
        let mut served = Served::below(dir.path(), resolver);
        let handle = served.done(&on(FileOp::CREATE, "sparse")).handle;
        served.done(&FileRequest { size: SIZE, ..at(FileOp::FTRUNCATE, handle) });
        served.done(&write(handle, SIZE / 2, b"middle"));
        served.done(&write(handle, SIZE - 3, b"end"));
        let stat = *served.done(&at(FileOp::FSTAT, handle)).stat.unwrap();
        assert_eq!(stat.size, SIZE);
        assert!(stat.blocks < 1_000, "{}", stat.blocks);
        let response = served.done(&read(handle, SIZE / 2 - 10, 30));
        assert_eq!(
            response.data,
            b"\0\0\0\0\0\0\0\0\0\0middle\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice().into()
        );
        let response = served.done(&read(handle, SIZE - 5, 1 << 20));
        assert_eq!((response.count, response.eof), (5, true));
        let response = served.done(&read(handle, 1 << 39, 1 << 20));
        assert_eq!((response.count, response.eof), (1 << 20, false));
        served.done(&on(FileOp::REMOVE, "sparse"));
    }
}

#[test]
fn directories_beyond_what_the_wire_carries_say_so_at_once() {
    let test = "rough::directories_beyond_what_the_wire_carries_say_so_at_once";
    if !in_own_mounts(test) {
        return;
    }
    let dir = TempDir::new();
    mount(&["-t", "tmpfs", "none", &dir.text()]);
    let many = dir.path().join("many");
    fs::create_dir(&many).unwrap();
    // Names of one file are made faster than files, and are entries like any other.
    let first = many.join("000000");
    fs::write(&first, "").unwrap();
    let make = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            rustix::fs::link(&first, many.join(format!("{number:06}"))).unwrap();
        }
    };
    make(1..131_072);
    let mut served = Served::below(dir.path(), RESOLVERS[0]);
    forget_peak();
    let before = memory("VmRSS:");
    let start = Instant::now();
    let listing = served.done(&on(FileOp::READ_DIR, "many"));
    let (time, peak) = (start.elapsed(), memory("VmHWM:"));
    assert_eq!(listing.entries.len(), 131_072);
    assert!(names(&listing).is_sorted());
    println!("131,072 entries: {time:?}, {} KiB", peak - before);
    assert!(peak - before < 64 << 10, "{} KiB", peak - before);
    assert!(time < Duration::from_secs(15), "{time:?}");
    drop(listing);
    make(131_072..200_000);
    for resolver in RESOLVERS {
        let mut served = Served::below(dir.path(), resolver);
        forget_peak();
        let before = memory("VmRSS:");
        let start = Instant::now();
        let (errno, text) = served.failed(&on(FileOp::READ_DIR, "many"));
        let (time, peak) = (start.elapsed(), memory("VmHWM:"));
        println!("200,000 entries: {time:?}, {} KiB", peak - before);
        assert_eq!(errno, 75);
        assert!(text.starts_with("readdir many: it has 200000 entries, and one answer"), "{text}");
        assert!(time < Duration::from_secs(10), "{time:?}");
        assert!(peak - before < 32 << 10, "{} KiB", peak - before);
        // Each of them can be had by name.
        served.done(&on(FileOp::STAT, "many/199999"));
    }
    // Faster than to remove them one by one.
    let unmounted = Command::new("umount").arg("-l").arg(dir.path()).status().unwrap();
    assert!(unmounted.success());
}

#[test]
fn descriptors_that_run_out_are_errno_24_and_nothing_is_lost() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // The limit is the whole process's, so it needs one of its own.
    if !in_own_mounts("rough::descriptors_that_run_out_are_errno_24_and_nothing_is_lost") {
        return;
    }
    let dir = TempDir::new();
    let deep = vec!["d"; 100].join("/");
    fs::create_dir_all(dir.path().join(&deep)).unwrap();
    fs::write(dir.path().join("file"), "content").unwrap();
    let before = getrlimit(Resource::Nofile);
    for resolver in RESOLVERS {
        let mut served = Served::below(dir.path(), resolver);
        served.done(&on(FileOp::STAT, &deep));
        let limit = Rlimit { current: Some(64), maximum: before.maximum };
        setrlimit(Resource::Nofile, limit).unwrap();
        let mut handles = Vec::new();
        let refused = loop {
            let response = served.ask(&on(FileOp::OPEN, "file"));
            if response.errno != 0 {
                break response;
            }
            handles.push(response.handle);
        };
        assert!(handles.len() > 40, "{}", handles.len());
        assert_eq!((refused.errno, &*refused.message), (24, "open file: too many open files"));
        assert_eq!(served.failed(&on(FileOp::READ_DIR, "d")).0, 24);
        // What needs none goes on.
        assert_eq!(served.done(&read(handles[0], 0, 100)).count, 7);
        for handle in handles {
            served.done(&at(FileOp::CLOSE, handle));
        }
        assert_eq!(served.content("file"), b"content");
        // The walk holds each directory that it is in.
        let response = served.ask(&on(FileOp::STAT, &deep));
        assert_eq!(response.errno, if resolver == RESOLVERS[0] { 0 } else { 24 });
        setrlimit(Resource::Nofile, before).unwrap();
        served.done(&on(FileOp::STAT, &deep));
    }
}

/// Lets the peak of this process's memory begin anew.
fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// A line of what the kernel says about this process's memory, in KiB.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Long reads take their buffers from a pool: what was read and dropped is read into again.
#[test]
fn reads_use_their_buffers_again() {
    let dir = TempDir::new();
    fs::write(dir.path().join("file"), vec![7; 1 << 20]).unwrap();
    let mut served = Served::below(dir.path(), RESOLVERS[0]);
    let handle = served.done(&on(FileOp::OPEN, "file")).handle;
    let request = read(handle, 0, 512 << 10);
    let mut addresses: Vec<*const u8> =
        (0..10).map(|_| served.done(&request).data.into_bytes().as_ptr()).collect();
    addresses.dedup();
    assert_eq!(addresses.len(), 1, "one read at a time needs one buffer");
    // While an answer is held, its bytes stay.
    let held = served.done(&request).data.into_bytes();
    served.done(&write_nothing(handle));
    for offset in 0..10 {
        drop(served.done(&read(handle, offset, 512 << 10)));
    }
    assert!(held.iter().all(|byte| *byte == 7));
}

fn write_nothing(handle: u32) -> FileRequest {
    write(handle, 0, b"")
}
