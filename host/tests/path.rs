//! The PATH scan on real directories.
#![cfg(unix)]

mod common;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use common::TempDir;
use trunkline_host::path::{Scan, scan};

fn file(dir: &Path, name: impl AsRef<OsStr>, mode: u32) {
    let path = dir.join(name.as_ref());
    fs::write(&path, "#!").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn names(scan: &Scan) -> Vec<&str> {
    scan.entries.iter().map(|entry| entry.name.as_str()).collect()
}

#[test]
fn programs_are_listed_by_the_bytes_of_their_names() {
    let dir = TempDir::new();
    for name in ["b", "B", "a", "é", "_", "10", "9"] {
        file(dir.path(), name, 0o700);
    }
    let scan = scan(&[dir.text()], None);
    assert_eq!(names(&scan), ["10", "9", "B", "_", "a", "b", "é"]);
    assert_eq!(scan.skipped, 0);
}

#[test]
fn only_executable_regular_files_count() {
    let dir = TempDir::new();
    for (name, mode) in [("none", 0o644), ("user", 0o100), ("group", 0o010), ("other", 0o001)] {
        file(dir.path(), name, mode);
    }
    file(dir.path(), "suid", 0o4755);
    fs::create_dir(dir.path().join("dir")).unwrap();
    symlink("user", dir.path().join("link")).unwrap();
    symlink("none", dir.path().join("link-none")).unwrap();
    symlink("/no/such", dir.path().join("dangling")).unwrap();
    symlink("loop", dir.path().join("loop")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let scan = scan(&[dir.text()], None);
    assert_eq!(names(&scan), ["group", "link", "other", "suid", "user"]);
    let modes: Vec<u32> = scan.entries.iter().map(|entry| entry.mode).collect();
    assert_eq!(modes, [0o010, 0o100, 0o001, 0o755, 0o100]);
}

#[test]
fn the_first_directory_with_a_program_wins() {
    let (one, two) = (TempDir::new(), TempDir::new());
    file(one.path(), "both", 0o755);
    file(two.path(), "both", 0o711);
    // What does not qualify does not block.
    file(one.path(), "later", 0o644);
    file(two.path(), "later", 0o755);
    file(two.path(), "a", 0o755);
    let scan = scan(&[one.text(), two.text(), one.text()], None);
    assert_eq!(names(&scan), ["both", "a", "later"]);
    assert_eq!(scan.entries[0].path, format!("{}/both", one.text()));
    assert_eq!(scan.entries[0].mode, 0o755);
    assert_eq!(scan.entries[2].path, format!("{}/later", two.text()));
}

#[test]
fn an_entry_tells_path_size_and_time() {
    let dir = TempDir::new();
    file(dir.path(), "x", 0o755);
    let time = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
    File::open(dir.path().join("x")).unwrap().set_modified(time).unwrap();
    for messy in [format!("{}/", dir.text()), format!("{}//.//y/..", dir.text())] {
        fs::create_dir_all(dir.path().join("y")).unwrap();
        let scan = scan(&[messy], None);
        assert_eq!(scan.entries[0].path, format!("{}/x", dir.text()));
        assert_eq!(scan.entries[0].size, 2);
        assert_eq!(scan.entries[0].mtime, 1_700_000_000_123_456_789);
    }
}

#[test]
fn without_directories_the_search_path_counts() {
    let (one, two) = (TempDir::new(), TempDir::new());
    file(one.path(), "x", 0o755);
    file(two.path(), "y", 0o755);
    let path = OsString::from(format!(":{}::/no/such:{}:", two.text(), one.text()));
    assert_eq!(names(&scan(&[], Some(&path))), ["y", "x"]);
    assert_eq!(names(&scan(&[one.text()], Some(&path))), ["x"]);
    assert_eq!(scan(&[], None), Scan::default());
    assert_eq!(scan(&[], Some(OsStr::new(""))), Scan::default());
    assert_eq!(scan(&[String::new()], Some(&path)), Scan::default());
    assert_eq!(scan(&["a\0b".to_owned()], None), Scan::default());
}

#[test]
fn names_that_are_not_utf8_are_left_out_and_counted() {
    let dir = TempDir::new();
    file(dir.path(), "ok", 0o755);
    file(dir.path(), OsStr::from_bytes(b"bad\xff"), 0o755);
    file(dir.path(), OsStr::from_bytes(b"unused\xff"), 0o644);
    let found = scan(&[dir.text()], None);
    assert_eq!((names(&found), found.skipped), (vec!["ok"], 1));

    let bad = dir.path().join(OsStr::from_bytes(b"dir\xff"));
    fs::create_dir(&bad).unwrap();
    file(&bad, "inside", 0o755);
    let found = scan(&[], Some(bad.as_os_str()));
    assert_eq!((names(&found), found.skipped), (vec![], 1));
}
