//! Paths that are too long, too deep, circular, empty or no paths at all.

use std::fs;
use std::os::unix::fs::symlink;

use trunkline_core::agentproto::{FileOp, FileRequest};

use crate::scene::{Scene, every_operation};
use crate::served::{RESOLVERS, between, moded, on};

/// Every operation on `path` fails with `errno` and touches nothing.
fn refused(path: &str, errno: u32) {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let mut served = scene.served(resolver);
        for (request, _) in every_operation(path) {
            let what = format!("{resolver:?} {:?}", request.op);
            let response = scene.attempt(&mut served, &request, &what);
            assert_eq!(response.errno, errno, "{what} {}", response.message);
        }
        scene.assert_untouched("odd");
        assert_eq!(served.content("file"), b"inside");
    }
}

#[test]
fn empty_path() {
    refused("", 2);
}

#[test]
fn path_with_nul() {
    refused("a/../../outside/secret\0", 22);
    refused("file\0/../../outside", 22);
}

#[test]
fn path_of_5000_bytes() {
    refused(&"x".repeat(5_000), 36);
    refused(&"a/../".repeat(1_000), 36);
    refused(&format!("{}file", "./".repeat(2_500)), 36);
}

#[test]
fn name_of_256_bytes() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let mut served = scene.served(resolver);
        for (request, _) in every_operation(&"n".repeat(256)) {
            assert_eq!(served.failed(&request).0, 36, "{request:?}");
        }
    }
}

#[test]
fn link_loops() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let root = scene.root();
        for (target, link) in [
            ("self", "self"),
            ("two", "one"),
            ("one", "two"),
            ("a/../deep/x", "deep"),
            ("./a/d", "a/d"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let mut served = scene.served(resolver);
        for path in ["self", "one", "deep", "a/d/x"] {
            for (request, follows) in every_operation(path) {
                if follows && request.op != FileOp::MKDIR_ALL {
                    let (errno, text) = served.failed(&request);
                    // "a/d" means a/a/d, which is not there.
                    let expected = if path == "a/d/x" { 2 } else { 40 };
                    assert_eq!(errno, expected, "{resolver:?} {request:?} {text}");
                }
            }
        }
    }
}

#[test]
fn forty_links_and_one_more() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        for number in 0..41 {
            let target = if number == 0 { "file".to_owned() } else { format!("l{}", number - 1) };
            symlink(target, scene.root().join(format!("l{number}"))).unwrap();
        }
        let mut served = scene.served(resolver);
        assert_eq!(served.content("l39"), b"inside");
        assert_eq!(served.failed(&on(FileOp::OPEN, "l40")).0, 40);
    }
}

/// Links that double what is left to do: neither time nor memory may follow.
#[test]
fn links_that_multiply() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        symlink("a/../".repeat(700) + "file", scene.root().join("l0")).unwrap();
        for number in 1..30 {
            let before = number - 1;
            let target = format!("l{before}/../l{before}");
            symlink(target, scene.root().join(format!("l{number}"))).unwrap();
        }
        let mut served = scene.served(resolver);
        let (errno, text) = served.failed(&on(FileOp::OPEN, "l29"));
        assert!([20, 36, 40].contains(&errno), "{resolver:?} {errno} {text}");
        assert_eq!(served.content("l0"), b"inside");
    }
}

#[test]
fn a_thousand_directories_deep_and_back() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let mut served = scene.served(resolver);
        let deep = vec!["d"; 500].join("/");
        served.done(&moded(FileOp::MKDIR_ALL, &deep, 0o700));
        served.done(&between(FileOp::RENAME, "file", &format!("{deep}/file")));
        assert_eq!(served.content(&format!("{deep}/file")), b"inside");
        let back = format!("{deep}{}", "/..".repeat(500));
        assert!(served.done(&on(FileOp::STAT, &back)).stat.unwrap().is_dir);
        assert_eq!(served.failed(&on(FileOp::STAT, &format!("{back}/.."))).0, 13);
        scene.assert_untouched("deep");
    }
}

#[test]
fn dots_and_slashes_alone_cannot_be_changed() {
    for resolver in RESOLVERS {
        for path in [".", "/", "//", "./", "/./.", "a/.."] {
            let scene = Scene::new();
            let mut served = scene.served(resolver);
            for request in [
                on(FileOp::REMOVE, path),
                on(FileOp::CREATE, path),
                moded(FileOp::MKDIR, path, 0o700),
                between(FileOp::RENAME, path, "moved"),
                between(FileOp::RENAME, "a/b", path),
                between(FileOp::LINK, path, "hard"),
                between(FileOp::LINK, "file", path),
                between(FileOp::SYMLINK, "file", path),
                FileRequest { size: 0, ..on(FileOp::TRUNCATE, path) },
                on(FileOp::READLINK, path),
            ] {
                let (errno, text) = served.failed(&request);
                assert!([1, 2, 16, 17, 20, 21, 22, 39].contains(&errno), "{request:?} {text}");
            }
            served.done(&moded(FileOp::MKDIR_ALL, path, 0o700));
            served.done(&moded(FileOp::CHMOD, path, 0o750));
            served.done(&on(FileOp::STATFS, path));
            assert!(served.done(&on(FileOp::LSTAT, path)).stat.unwrap().is_dir);
            assert_eq!(fs::read_dir(scene.root()).unwrap().count(), 2);
            scene.assert_untouched(path);
        }
    }
}

#[test]
fn slashes_at_the_end_mean_a_directory() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        symlink("file", scene.root().join("l")).unwrap();
        symlink("a", scene.root().join("d")).unwrap();
        let mut served = scene.served(resolver);
        for path in ["file/", "l/", "file//", "a/file/"] {
            for op in [FileOp::OPEN, FileOp::STAT, FileOp::LSTAT, FileOp::REMOVE, FileOp::READLINK]
            {
                assert_eq!(served.failed(&on(op, path)).0, 20, "{resolver:?} {op:?} {path}");
            }
        }
        assert!(served.done(&on(FileOp::LSTAT, "d/")).stat.unwrap().is_dir);
        assert!(!served.done(&on(FileOp::LSTAT, "d")).stat.unwrap().is_dir);
        assert_eq!(served.failed(&on(FileOp::REMOVE, "d/")).0, 20);
        assert_eq!(served.failed(&on(FileOp::READLINK, "d/")).0, 22);
        assert_eq!(served.failed(&between(FileOp::RENAME, "file", "new/")).0, 20);
        assert_eq!(served.done(&on(FileOp::READLINK, "d")).path, "a");
    }
}
