//! Every future of files, dropped at some of its polls: nothing is lost, and no handle is left.

use std::fs;
use std::io::{ErrorKind, SeekFrom};

use bytes::{Buf as _, Bytes};

use crate::rt::{self, Config, File, FileOp, FileRequest, Files, OpenOptions};

use super::files::{Folder, own_files};
use super::support::{Pattern, cancel_at, eventually, options, serve};
use super::wire::{Pace, Rough, wire};

/// The futures of files, and the functions that they are made of, all given up below.
pub(super) const FUTURES: [&str; 48] = [
    "copy.rs copy_from_with",
    "copy.rs copy_to_with",
    "dir.rs next_entry",
    "file.rs close",
    "file.rs poll_seek",
    "file.rs poll_seek_to",
    "file.rs read_at",
    "file.rs set_len",
    "file.rs stat",
    "file.rs sync",
    "file.rs write_at",
    "files.rs copy_from",
    "files.rs copy_to",
    "files.rs poll_flush",
    "files.rs poll_read",
    "files.rs poll_seek",
    "files.rs poll_shutdown",
    "files.rs poll_write",
    "files.rs read_chunk",
    "files.rs write_bytes",
    "mod.rs close",
    "mod.rs request",
    "mod.rs request_on",
    "ops.rs chmod",
    "ops.rs chown",
    "ops.rs chtimes",
    "ops.rs create",
    "ops.rs getwd",
    "ops.rs link",
    "ops.rs list_dir",
    "ops.rs lstat",
    "ops.rs mkdir",
    "ops.rs mkdir_all",
    "ops.rs open",
    "ops.rs open_with",
    "ops.rs readlink",
    "ops.rs remove",
    "ops.rs rename",
    "ops.rs stat",
    "ops.rs statfs",
    "ops.rs symlink",
    "ops.rs truncate",
    "requests.rs Asking",
    "stream.rs poll_chunk",
    "stream.rs poll_flush",
    "stream.rs poll_read_into",
    "stream.rs poll_write",
    "stream.rs poll_write_bytes",
];

/// Files of an agent in this process, behind a wire whose every step takes several polls.
fn slow_files() -> Files {
    let (local, remote, _line) = wire(3_000);
    serve(remote, options()).detach();
    let rough = Rough::new(local, 60_000, Pace::Nervous, true);
    rt::files_over(rt::Over(rough), Config::default())
}

/// Descriptors of this process, and so of its agent, that lead into a folder.
fn open_in(folder: &Folder) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    links
        .filter_map(|link| fs::read_link(link.path()).ok())
        .filter(|to| to.starts_with(folder.path()))
        .count()
}

/// Gives each of these up, then runs it to its end.
macro_rules! twice {
    ($polls:expr, $($call:expr),* $(,)?) => {
        $(
            let _ = cancel_at($polls, $call).await;
            let _ = $call.await.unwrap();
        )*
    };
}

#[test]
fn requests_given_up_at_any_poll_leave_the_next_ones_alone_and_nothing_open() {
    rt::each(async || {
        for polls in (1..12).chain([20, 40]) {
            let folder = Folder::new("given-up");
            fs::write(folder.at("f"), b"hello").unwrap();
            std::os::unix::fs::symlink("f", folder.at("l")).unwrap();
            let files = slow_files();
            let here = folder.path().to_str().unwrap().to_owned();
            let options = OpenOptions::new().read(true).write(true).create(true);
            let stat =
                || FileRequest { op: FileOp::STAT, path: folder.at("f"), ..FileRequest::default() };
            twice!(
                polls,
                files.stat(folder.at("f")),
                files.lstat(folder.at("l")),
                files.readlink(folder.at("l")),
                files.list_dir(here.clone()),
                files.getwd(),
                files.statfs(here.clone()),
                files.chmod(folder.at("f"), 0o600),
                files.chown(folder.at("f"), None, None),
                files.chtimes(folder.at("f"), 1, 2),
                files.truncate(folder.at("f"), 4),
                files.mkdir_all(folder.at("d/e"), 0o700),
                files.request(stat()),
                files.request_on("f", stat()),
                files.open(folder.at("f")),
                files.create(folder.at("g")),
                files.open_with(folder.at("f"), &options),
                rt::copy_to(&files, folder.at("f"), &mut Vec::new(), |_| ()),
                rt::copy_from(&files, folder.at("g"), &mut &b"copied"[..], |_| ()),
            );
            // These succeed once: what was given up may have been done.
            for _ in 0..2 {
                let _ = cancel_at(polls, files.mkdir(folder.at("m"), 0o700)).await;
                let _ = cancel_at(polls, files.symlink("t", folder.at("s"))).await;
                let _ = cancel_at(polls, files.link(folder.at("f"), folder.at("h"))).await;
                let _ = cancel_at(polls, files.rename(folder.at("g"), folder.at("r"))).await;
                let _ = cancel_at(polls, files.remove(folder.at("l"))).await;
            }
            match files.mkdir(folder.at("m"), 0o700).await {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
            }
            let mut entries = files.read_dir(here.clone());
            let mut names = Vec::new();
            loop {
                match cancel_at(polls, entries.next_entry()).await {
                    None => {}
                    Some(entry) => match entry.unwrap() {
                        Some(stat) => names.push(stat.name),
                        None => break,
                    },
                }
            }
            assert!(names.is_sorted() && names.contains(&"f".to_owned()), "{names:?}");
            let file = files.open(folder.at("f")).await.unwrap();
            let data = Bytes::from_static(b"x");
            twice!(polls, file.stat(), file.read_at(0, 4));
            let _ = cancel_at(polls, file.write_at(0, data)).await;
            drop(file);
            eventually("every handle is closed", || open_in(&folder) == 0).await;
            let _ = cancel_at(polls, files.close()).await;
            files.close().await;
        }
    });
}

/// Runs a step of a file until it is not given up.
macro_rules! until {
    ($polls:expr, $call:expr) => {
        loop {
            if let Some(result) = cancel_at($polls, $call).await {
                break result.unwrap();
            }
        }
    };
}

async fn write(file: &mut File, polls: usize, count: usize) {
    let pattern = Pattern::new();
    let mut sent = 0;
    while sent < count {
        let mut piece = pattern.at(sent, 40_001.min(count - sent));
        let length = piece.len();
        if sent % 2 == 0 {
            let slice = piece.clone();
            if let Some(taken) = cancel_at(polls, rt::write(file, &slice)).await {
                piece.advance(taken.unwrap());
            }
        } else {
            let _ = cancel_at(polls, file.write_bytes(&mut piece)).await;
        }
        sent += length - piece.len();
        if sent % 5 == 0 {
            let _ = cancel_at(polls, rt::flush(file)).await;
        }
    }
}

#[test]
fn files_given_up_at_any_poll_lose_and_double_nothing() {
    const COUNT: usize = 1_200_000;
    rt::each(async || {
        for polls in [1, 2, 3, 7] {
            let folder = Folder::new("rough");
            let files = slow_files();
            let pattern = Pattern::new();
            let mut file = files.create(folder.at("f")).await.unwrap();
            write(&mut file, polls, COUNT).await;
            until!(polls, rt::flush(&mut file));
            twice!(polls, file.sync());
            assert!(fs::read(folder.at("f")).unwrap() == pattern.head(COUNT));
            // The end counts from what is there.
            let _ = cancel_at(polls, rt::seek(&mut file, SeekFrom::End(-9))).await;
            let end = rt::seek(&mut file, SeekFrom::End(-9)).await.unwrap();
            assert_eq!(end, COUNT as u64 - 9);
            assert_eq!(until!(polls, rt::seek(&mut file, SeekFrom::Start(0))), 0);
            let mut seen = 0;
            loop {
                let mut buf = [0; 50_001];
                let bytes = if seen % 3 == 0 {
                    until!(polls, file.read_chunk(60_000)).unwrap_or_default()
                } else {
                    let length = until!(polls, rt::read(&mut file, &mut buf));
                    Bytes::copy_from_slice(&buf[..length])
                };
                if bytes.is_empty() {
                    break;
                }
                pattern.check(seen, &bytes);
                seen += bytes.len();
            }
            assert_eq!(seen, COUNT);
            twice!(polls, file.set_len(10));
            until!(polls, file.close());
            drop(file);
            eventually("every handle is closed", || open_in(&folder) == 0).await;
            assert_eq!(fs::read(folder.at("f")).unwrap().len(), 10);
        }
    });
}

#[test]
fn files_that_are_dropped_are_closed_at_the_agent() {
    rt::each(async || {
        let folder = Folder::new("dropped");
        let files = own_files();
        for round in 0..300 {
            let mut file = files.create(folder.at("f")).await.unwrap();
            rt::write_all(&mut file, b"something").await.unwrap();
            if round % 2 == 0 {
                let _ = cancel_at(1, rt::flush(&mut file)).await;
            }
            drop(file);
        }
        eventually("every handle is closed", || open_in(&folder) == 0).await;
        eventually("what was written is there", || {
            fs::read(folder.at("f")).unwrap() == b"something"
        })
        .await;
        let kept = files.open(folder.at("f")).await.unwrap();
        assert_eq!(open_in(&folder), 1);
        drop(files);
        // The session lives as long as its file.
        assert_eq!(kept.read_at(0, 4).await.unwrap(), b"some"[..]);
        drop(kept);
        eventually("every handle is closed", || open_in(&folder) == 0).await;
    });
}
