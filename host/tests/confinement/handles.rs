//! What stays open while the tree changes, and what may be opened at all.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use rustix::fs::OFlags;
use trunkline_core::agentproto::{FileOp, FileRequest};

use crate::scene::{Scene, every_operation};
use crate::served::{RESOLVERS, Served, at, between, flag, on, open, read, write};

#[test]
fn a_directory_renamed_out_of_the_root_while_in_use() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let mut served = scene.served(resolver);
        let handle = served.done(&open("a/file", flag::BOTH, 0)).handle;
        let elsewhere = scene.root().with_file_name("elsewhere");
        fs::rename(scene.root().join("a"), &elsewhere).unwrap();
        // The file itself was opened inside and stays what it was.
        served.done(&write(handle, 0, b"in"));
        assert_eq!(served.done(&read(handle, 0, 9)).data, b"inside".as_slice().into());
        // Nothing leads to it, nor through where it was.
        for path in ["a/file", "a/../a/file", "a/../../elsewhere/file", "a/b/../../elsewhere/file"]
        {
            for (request, _) in every_operation(path) {
                if !matches!(request.op, FileOp::MKDIR_ALL) {
                    assert_ne!(served.ask(&request).errno, 0, "{request:?}");
                }
            }
        }
        assert_eq!(fs::read(elsewhere.join("file")).unwrap(), b"inside");
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 2);
        scene.assert_untouched("moved out");
    }
}

#[test]
fn the_root_renamed_and_replaced_by_a_link() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let mut served = scene.served(resolver);
        fs::rename(scene.root(), scene.root().with_file_name("kept")).unwrap();
        symlink("outside", scene.root()).unwrap();
        assert_eq!(served.content("file"), b"inside");
        for path in ["secret", "/secret", "dir/secret", "../root/secret"] {
            let what = format!("{resolver:?} {path}");
            for (request, _) in every_operation(path) {
                scene.attempt(&mut served, &request, &what);
            }
        }
        scene.assert_untouched("replaced");
    }
}

#[test]
fn a_root_that_is_a_link_is_what_it_led_to_at_the_start() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let link = scene.root().with_file_name("link");
        symlink("root", &link).unwrap();
        let mut served = Served::below(&link, resolver);
        fs::remove_file(&link).unwrap();
        symlink("outside", &link).unwrap();
        assert_eq!(served.content("file"), b"inside");
        assert_eq!(served.failed(&on(FileOp::STAT, "secret")).0, 2);
    }
}

#[test]
fn hard_links_into_the_outside_cannot_be_made() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let mut served = scene.served(resolver);
        symlink("../outside/secret", scene.root().join("l")).unwrap();
        // Of the link itself, as link(2) does; it leads out as before.
        served.done(&between(FileOp::LINK, "l", "hard"));
        assert_eq!(served.failed(&on(FileOp::OPEN, "hard")).0, 13);
        assert_eq!(served.failed(&between(FileOp::LINK, "../outside/secret", "x")).0, 13);
        assert_eq!(served.failed(&between(FileOp::LINK, "file", "../outside/x")).0, 13);
        assert_ne!(served.failed(&between(FileOp::LINK, "l/", "x")).0, 0);
        scene.assert_untouched("hard links");
        assert_eq!(fs::metadata(scene.outside().join("secret")).unwrap().nlink(), 1);
    }
}

#[test]
fn names_with_dots_at_the_end_are_names() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let mut served = scene.served(resolver);
        for name in ["file.", "file..", "...", ".file"] {
            served.done(&between(FileOp::RENAME, "file", name));
            served.done(&between(FileOp::LINK, name, "file"));
            assert_eq!(served.content(name), b"inside");
            served.done(&on(FileOp::REMOVE, name));
        }
    }
}

#[test]
fn hard_links_are_refused_unless_allowed() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let mut served = Served::below(&scene.root(), resolver);
        let (errno, text) = served.failed(&between(FileOp::LINK, "file", "hard"));
        assert_eq!((errno, &*text), (1, "link file hard: hard links are not made here"));
        assert!(!scene.root().join("hard").exists());
    }
}

/// One name of it was put inside, so it is inside: who did that decided it.
#[test]
fn a_file_with_another_name_outside_is_a_file_like_any_other() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let other = scene.root().with_file_name("other");
        fs::hard_link(scene.root().join("file"), &other).unwrap();
        let mut served = Served::below(&scene.root(), resolver);
        let handle = served.done(&open("file", flag::WRITE, 0)).handle;
        served.done(&write(handle, 0, b"IN"));
        assert_eq!(fs::read(other).unwrap(), b"INside");
    }
}

#[test]
fn flags_that_make_strange_handles_are_refused() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let mut served = scene.served(resolver);
        symlink("../outside/secret", scene.root().join("l")).unwrap();
        let strange = [
            ("file", OFlags::PATH),
            ("l", OFlags::PATH | OFlags::NOFOLLOW),
            ("../outside", OFlags::PATH | OFlags::DIRECTORY),
            ("a", OFlags::TMPFILE | OFlags::RDWR),
            ("../outside", OFlags::TMPFILE | OFlags::RDWR),
            ("file", OFlags::ASYNC),
            ("file", OFlags::from_bits_retain(3)),
            ("file", OFlags::from_bits_retain(1 << 30)),
            ("file", OFlags::from_bits_retain(1 << 31)),
        ];
        for (path, flags) in strange {
            let request = open(path, flags.bits().cast_signed(), 0o600);
            let response = scene.attempt(&mut served, &request, "strange");
            assert_eq!(response.errno, 22, "{request:?} {response:?}");
        }
        // The last link is what was asked for, and cannot be opened.
        assert_eq!(served.failed(&open("l", flag::NOFOLLOW, 0)).0, 40);
        scene.assert_untouched("flags");
    }
}

#[test]
fn handles_do_not_outlive_their_file_nor_pass_to_programs() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let mut served = scene.served(resolver);
        let handle = served.done(&open("new", flag::BOTH | flag::CREATE, 0o600)).handle;
        served.done(&on(FileOp::REMOVE, "new"));
        served.done(&write(handle, 0, b"still"));
        assert_eq!(served.done(&at(FileOp::FSTAT, handle)).stat.unwrap().links, 0);
        let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
            let path = entry.unwrap().path();
            let to = fs::read_link(&path).ok()?;
            to.starts_with(scene.root().parent()?).then(|| path.file_name().unwrap().to_owned())
        });
        let open: Vec<_> = open.collect();
        assert!(open.len() >= 2, "the root and the file");
        for number in open {
            let path = format!("/proc/self/fdinfo/{}", number.to_str().unwrap());
            let info = fs::read_to_string(path).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
            let flags = u32::from_str_radix(flags, 8).unwrap();
            assert!(OFlags::from_bits_retain(flags).contains(OFlags::CLOEXEC), "{info}");
        }
    }
}

#[test]
fn owners_and_times_of_links_are_those_of_what_they_lead_to() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let mut served = scene.served(resolver);
        symlink("file", scene.root().join("l")).unwrap();
        served.done(&FileRequest { atime: 5, mtime: 7, ..on(FileOp::CHTIMES, "l") });
        let stat = served.done(&on(FileOp::STAT, "file")).stat.unwrap();
        assert_eq!((stat.atime, stat.mtime), (5, 7));
        let link = served.done(&on(FileOp::LSTAT, "l")).stat.unwrap();
        assert_ne!(link.mtime, 7);
    }
}
