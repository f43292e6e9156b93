//! Somebody renames while paths are resolved: ten seconds of it in all.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, rename, renameat_with};
use trunkline_core::agentproto::FileRequest;

use crate::common::LONG;
use crate::scene::{Scene, every_operation};
use crate::served::RESOLVERS;

/// Performs the requests over and over while another thread repeats `swap`, which gets the
/// directory that holds the root. Both must happen: requests that succeed and requests that fail.
fn race(
    time: Duration,
    furnish: impl Fn(&Path),
    swap: impl Fn(&Path) + Send + Sync,
    requests: impl Fn() -> Vec<FileRequest>,
) {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        furnish(&scene.root());
        let top = scene.root().parent().unwrap().to_owned();
        let mut served = scene.served(resolver);
        let done = AtomicBool::new(false);
        let (mut succeeded, mut failed) = (0_u64, 0_u64);
        thread::scope(|scope| {
            // Whatever goes wrong in here, the other thread must end.
            let _end = End(&done);
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    swap(&top);
                }
            });
            let start = Instant::now();
            while start.elapsed() < time || succeeded == 0 || failed == 0 {
                assert!(start.elapsed() < LONG, "{resolver:?}: {succeeded} and {failed}");
                for request in requests() {
                    let what = format!("{resolver:?} {request:?}");
                    match scene.attempt(&mut served, &request, &what).errno {
                        0 => succeeded += 1,
                        _ => failed += 1,
                    }
                }
                scene.assert_untouched("in the race");
            }
        });
    }
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

/// Moves a directory and moves it back, even if another one was made in its place meanwhile.
fn there_and_back(one: &Path, other: &Path) {
    rename(one, other).unwrap();
    while rename(other, one).is_err() {
        let _ = fs::remove_dir_all(one);
    }
}

/// Every operation on `path`.
fn operations(path: &str) -> Vec<FileRequest> {
    every_operation(path).into_iter().map(|(request, _)| request).collect()
}

#[test]
fn a_link_takes_the_place_of_a_directory() {
    race(
        Duration::from_millis(1_500),
        |root| {
            fs::create_dir(root.join("d")).unwrap();
            fs::write(root.join("d/secret"), "inside").unwrap();
            symlink("../outside", root.join("l")).unwrap();
        },
        |top| exchange(&top.join("root/d"), &top.join("root/l")),
        || operations("d/secret"),
    );
}

#[test]
fn a_link_takes_the_place_of_a_file() {
    race(
        Duration::from_millis(1_000),
        |root| {
            fs::write(root.join("f"), "inside").unwrap();
            symlink("../outside/secret", root.join("l")).unwrap();
        },
        |top| exchange(&top.join("root/f"), &top.join("root/l")),
        // Without those that would take the two away.
        || {
            let all = every_operation("f").into_iter();
            all.filter(|(_, follows)| *follows).map(|(request, _)| request).collect()
        },
    );
}

#[test]
fn a_directory_moves_up_while_a_path_goes_through_it() {
    race(
        Duration::from_millis(1_250),
        |root| fs::create_dir(root.join("a/b/c")).unwrap(),
        |top| {
            there_and_back(&top.join("root/a/b/c"), &top.join("root/c"));
        },
        || {
            let mut all = operations("a/b/c/../../outside/secret");
            all.extend(operations("a/b/c/../../../outside/secret"));
            all.extend(operations("a/b/c/../../other"));
            all
        },
    );
}

#[test]
fn a_directory_leaves_the_root_while_a_path_goes_through_it() {
    race(
        Duration::from_millis(1_250),
        |root| {
            fs::create_dir(root.join("a/b/c")).unwrap();
            fs::create_dir(root.join("../elsewhere")).unwrap();
        },
        |top| {
            there_and_back(&top.join("root/a/b"), &top.join("elsewhere/b"));
        },
        || {
            let mut all = operations("a/b/../../outside/secret");
            all.extend(operations("a/b/c/../../../outside/secret"));
            all.extend(operations("a/b/c/other"));
            all
        },
    );
}
