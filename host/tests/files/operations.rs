//! What the script against the original leaves out: facts of this machine, sizes, bad names.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::Command;

use trunkline_core::agentproto::{FileOp, FileRequest};
use trunkline_host::files::{BadNames, FilePolicy, FileSystem};

use crate::common::TempDir;
use crate::served::{RESOLVERS, Served, at, flag, moded, names, on, open, read, write};

/// The whole machine, and below `dir` with both resolvers; with the path that `dir` has in each.
fn everywhere(dir: &TempDir) -> Vec<(Served, String)> {
    let mut all = vec![(Served::machine(), dir.text())];
    all.extend(RESOLVERS.map(|resolver| (Served::below(dir.path(), resolver), String::new())));
    all
}

#[test]
fn the_working_directory_is_the_machines_or_the_root() {
    let dir = TempDir::new();
    for (mut served, at) in everywhere(&dir) {
        let path = served.done(&on(FileOp::GETWD, "")).path;
        if at.is_empty() {
            assert_eq!(path, "/");
        } else {
            assert_eq!(fs::canonicalize(path).unwrap(), std::env::current_dir().unwrap());
        }
    }
}

#[test]
fn facts_about_a_file_system_are_those_of_df() {
    let dir = TempDir::new();
    let output = Command::new("stat").args(["-f", "-c", "%b %c %s %S %l"]).arg(dir.path()).output();
    let expected = String::from_utf8(output.unwrap().stdout).unwrap();
    for (mut served, at) in everywhere(&dir) {
        let facts = served.done(&on(FileOp::STATFS, &format!("{at}/"))).statfs.unwrap();
        let found = format!(
            "{} {} {} {} {}",
            facts.blocks, facts.files, facts.block_size, facts.fragment_size, facts.name_length
        );
        assert_eq!(found, expected.trim());
        assert!(facts.blocks_free >= facts.blocks_available && facts.files_free <= facts.files);
    }
}

#[test]
fn a_stat_has_every_field() {
    let dir = TempDir::new();
    fs::write(dir.path().join("file"), vec![7; 10_000]).unwrap();
    let found = fs::metadata(dir.path().join("file")).unwrap();
    for (mut served, at) in everywhere(&dir) {
        let stat = *served.done(&on(FileOp::STAT, &format!("{at}/file"))).stat.unwrap();
        assert_eq!(
            (stat.size, stat.mode, &*stat.name, stat.is_dir),
            (10_000, 0o644, "file", false)
        );
        assert_eq!((stat.inode, stat.links, stat.blocks), (found.ino(), 1, found.blocks()));
        assert_eq!((stat.uid, stat.gid, stat.block_size), (found.uid(), found.gid(), 4096));
        assert_eq!(stat.mtime, found.mtime() * 1_000_000_000 + found.mtime_nsec());
        assert_eq!(stat.ctime, found.ctime() * 1_000_000_000 + found.ctime_nsec());
        assert_eq!(stat.atime, found.atime() * 1_000_000_000 + found.atime_nsec());
    }
}

#[test]
fn a_read_gives_no_more_than_the_limit_and_says_nothing_of_an_end() {
    let dir = TempDir::new();
    File::create(dir.path().join("big")).unwrap().set_len(5 << 20).unwrap();
    for (mut served, at) in everywhere(&dir) {
        let handle = served.done(&on(FileOp::OPEN, &format!("{at}/big"))).handle;
        for (offset, size, count, eof) in [
            (0, i64::MAX, 1 << 20, false),
            (0, (1 << 20) + 1, 1 << 20, false),
            ((5 << 20) - 10, i64::MAX, 10, true),
            (5 << 20, 1, 0, true),
            ((5 << 20) - 10, 10, 10, false),
            (1 << 40, 1 << 40, 0, true),
        ] {
            let response = served.done(&read(handle, offset, size));
            assert_eq!((response.count, response.eof), (count, eof), "{offset} {size}");
            assert_eq!(response.data.len() as i64, count);
        }
    }
}

#[test]
fn writes_at_the_position_move_it_and_others_do_not() {
    let dir = TempDir::new();
    for (mut served, at) in everywhere(&dir) {
        let path = format!("{at}/position");
        let handle = served.done(&on(FileOp::CREATE, &path)).handle;
        for (offset, data) in [(-1, "abc"), (10, "xyz"), (-5, "def"), (0, "A"), (-1, "!")] {
            let response = served.done(&write(handle, offset, data.as_bytes()));
            assert_eq!(response.count, data.len() as i64);
        }
        assert_eq!(served.content(&path), b"Abcdef!\0\0\0xyz");
    }
}

#[test]
fn payloads_in_pieces_are_written_whole() {
    let dir = TempDir::new();
    for (mut served, at) in everywhere(&dir) {
        let path = format!("{at}/pieces");
        let handle = served.done(&on(FileOp::CREATE, &path)).handle;
        for offset in [4, -1] {
            let mut request = write(handle, offset, b"one");
            request.data.push(b"".as_slice().into());
            request.data.push(b"two".as_slice().into());
            assert_eq!(served.done(&request).count, 6);
        }
        assert_eq!(served.content(&path), b"onetwoetwo");
    }
}

#[test]
fn owners_are_set_one_by_one() {
    let dir = TempDir::new();
    fs::write(dir.path().join("file"), "").unwrap();
    let owners = |uid, gid| FileRequest { uid, gid, ..on(FileOp::CHOWN, "") };
    for (mut served, at) in everywhere(&dir) {
        if at.is_empty() {
            let mut policy = served.files.policy().clone();
            policy.set_id = true;
            served = Served::new(policy);
        }
        for (request, expected) in [
            (owners(7, 8), (7, 8)),
            (owners(u32::MAX, 9), (7, 9)),
            (owners(6, u32::MAX), (6, 9)),
            (owners(u32::MAX, u32::MAX), (6, 9)),
            // Absent is root.
            (owners(0, 0), (0, 0)),
        ] {
            served.done(&FileRequest { path: format!("{at}/file"), ..request });
            let found = fs::metadata(dir.path().join("file")).unwrap();
            assert_eq!((found.uid(), found.gid()), expected);
        }
    }
}

#[test]
fn names_that_are_not_utf_8_fail_a_listing_or_are_left_out() {
    let dir = TempDir::new();
    for name in [&b"a"[..], b"b\xff\n", b"c"] {
        fs::write(dir.path().join(OsStr::from_bytes(name)), "").unwrap();
    }
    for (mut served, at) in everywhere(&dir) {
        let path = format!("{at}/");
        let (errno, text) = served.failed(&on(FileOp::READ_DIR, &path));
        let expected = format!("readdir {path}: the name of its entry \"b\\xff\\n\" is not UTF-8");
        assert_eq!((errno, text), (84, expected));
        let mut policy = served.files.policy().clone();
        policy.bad_names = BadNames::Skip;
        let listing = Served::new(policy).done(&on(FileOp::READ_DIR, &path));
        assert_eq!(names(&listing), ["a", "c"]);
    }
}

#[test]
fn targets_that_are_not_utf_8_fail() {
    let dir = TempDir::new();
    symlink(OsStr::from_bytes(b"t\xe4"), dir.path().join("l")).unwrap();
    for (mut served, at) in everywhere(&dir) {
        let (errno, text) = served.failed(&on(FileOp::READLINK, &format!("{at}/l")));
        let expected = format!("readlink {at}/l: its target \"t\\xe4\" is not UTF-8");
        assert_eq!((errno, text), (84, expected));
    }
}

#[test]
fn listings_beyond_the_limits_say_how_many_entries_there_are() {
    let dir = TempDir::new();
    for number in 0..20 {
        fs::write(dir.path().join(format!("file-{number}")), "").unwrap();
    }
    for (served, at) in everywhere(&dir) {
        let mut policy = served.files.policy().clone();
        policy.max_listing = 19;
        let path = format!("{at}/");
        let (errno, text) = Served::new(policy.clone()).failed(&on(FileOp::READ_DIR, &path));
        assert_eq!(errno, 75);
        assert!(text.starts_with(&format!("readdir {path}: it has 20 entries, and ")), "{text}");
        policy.max_listing = 20;
        let listing = Served::new(policy.clone()).done(&on(FileOp::READ_DIR, &path));
        assert_eq!(listing.entries.len(), 20);
        // By what they take on the wire, to the byte.
        let frame = trunkline_core::agentproto::Frame::file_response(listing);
        let length = trunkline_core::agentproto::encode(&frame).unwrap().len();
        for (limit, fits) in [(length, true), (length - 60, false), (900, false)] {
            policy.max_listing_bytes = limit;
            let response = Served::new(policy.clone()).ask(&on(FileOp::READ_DIR, &path));
            assert_eq!(response.errno == 0, fits, "{limit} of {length}: {}", response.message);
        }
    }
}

#[test]
fn files_that_say_they_are_empty_are_read_to_their_end() {
    let mut served = Served::machine();
    let version = fs::read("/proc/version").unwrap();
    assert_eq!(served.done(&on(FileOp::STAT, "/proc/version")).stat.unwrap().size, 0);
    assert_eq!(served.content("/proc/version"), version);
}

#[test]
fn what_is_opened_is_not_passed_to_programs_and_knows_its_path() {
    let dir = TempDir::new();
    let mut served = Served::machine();
    let path = format!("{}/dir/../new", dir.text());
    fs::create_dir(dir.path().join("dir")).unwrap();
    let handle = served.done(&open(&path, flag::WRITE | flag::CREATE, 0o600)).handle;
    assert_eq!(served.handle(handle).path(), path);
    assert_eq!(served.done(&at(FileOp::FSTAT, handle)).stat.unwrap().name, "new");
    let listing = Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap().stdout;
    let listing = String::from_utf8(listing).unwrap();
    assert!(!listing.contains(&dir.text()), "{listing}");
}

#[test]
fn a_handle_that_is_none_is_errno_9() {
    let files = FileSystem::new(FilePolicy::default()).unwrap();
    for op in [4, 5, 6, 17, 24, 25] {
        let outcome = files.perform(&at(FileOp(op), 1), None);
        assert_eq!(
            (outcome.response.errno, &*outcome.response.message),
            (9, "bad file descriptor")
        );
    }
}

#[test]
fn modes_obey_the_umask_but_chmod_does_not() {
    let dir = TempDir::new();
    for (mut served, at) in everywhere(&dir) {
        let at = format!("{at}/sub");
        served.done(&moded(FileOp::MKDIR, &at, 0o777));
        let file = format!("{at}/file");
        let handle = served.done(&open(&file, flag::WRITE | flag::CREATE, 0o666)).handle;
        // The tests run with the usual umask of 022.
        assert_eq!(served.done(&at_stat(handle)).stat.unwrap().mode, 0o644);
        served.done(&moded(FileOp::CHMOD, &file, 0o1_666));
        assert_eq!(served.done(&at_stat(handle)).stat.unwrap().mode, 0o666 | 1 << 20);
        served.done(&on(FileOp::REMOVE, &file));
        served.done(&on(FileOp::REMOVE, &at));
    }
}

fn at_stat(handle: u32) -> FileRequest {
    at(FileOp::FSTAT, handle)
}
