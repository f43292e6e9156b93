//! Mount points below the root. Each test runs once more in a process with mounts of its own.

use std::fs;
use std::process::Command;

use trunkline_core::agentproto::{FileOp, FileRequest};
use trunkline_host::files::Resolver;

use crate::own_mounts::{in_own_mounts, mount};
use crate::scene::{Scene, every_operation};
use crate::served::{RESOLVERS, Served, between, names, on, open};

fn path(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

/// A scene with `outside` mounted at `m`, its secret at `s`, an empty file system at `t`, a
/// directory of the root itself at `again`, and `/proc` at `p`.
struct Mounted(Scene);

impl Mounted {
    fn new() -> Self {
        let scene = Scene::new();
        let root = scene.root();
        for dir in ["m", "t", "again", "p"] {
            fs::create_dir(root.join(dir)).unwrap();
        }
        fs::write(root.join("s"), "").unwrap();
        mount(&["--bind", path(&scene.outside()), path(&root.join("m"))]);
        mount(&["--bind", path(&scene.outside().join("secret")), path(&root.join("s"))]);
        mount(&["-t", "tmpfs", "none", path(&root.join("t"))]);
        mount(&["--bind", path(&root.join("a")), path(&root.join("again"))]);
        mount(&["-t", "proc", "proc", path(&root.join("p"))]);
        Self(scene)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for dir in ["m", "s", "t", "again", "p"] {
            let _ = Command::new("umount").arg("-l").arg(self.0.root().join(dir)).status();
        }
    }
}

#[test]
fn mounts_are_not_crossed() {
    if !in_own_mounts("mounts::mounts_are_not_crossed") {
        return;
    }
    let mounted = Mounted::new();
    let scene = &mounted.0;
    for resolver in RESOLVERS {
        let mut served = scene.served(resolver);
        for path in [
            "m/secret",
            "m/dir/secret",
            "m/",
            "m/.",
            "m/..",
            "m/../file",
            "t/new",
            "again/file",
            "a/../again/b/x",
            "p/self/root/etc",
            "p/version",
            "p/self/../version",
        ] {
            for (request, _) in every_operation(path) {
                let what = format!("{resolver:?} {request:?}");
                let response = scene.attempt(&mut served, &request, &what);
                // Making or removing what has a slash at its end concerns the name before it.
                let named = path == "m/" && [16, 17, 20, 21, 2].contains(&response.errno);
                assert!(response.errno == 18 || named, "{what}: {response:?}");
            }
            scene.assert_untouched(path);
        }
        for path in ["m", "s", "t", "again", "p"] {
            for (request, follows) in every_operation(path) {
                let what = format!("{resolver:?} {request:?}");
                let response = scene.attempt(&mut served, &request, &what);
                // 16 and 17: the name is taken, and by a mount.
                let named = !follows && [16, 17].contains(&response.errno);
                assert!(response.errno == 18 || named, "{what}: {response:?}");
            }
            scene.assert_untouched(path);
        }
        let (_, text) = served.failed(&on(FileOp::OPEN, "m/secret"));
        let expected = "open m/secret: leads across a mount point, which is not allowed here";
        assert_eq!(text, expected);
        // Both a mount and the outside: either is the reason.
        assert_ne!(served.failed(&on(FileOp::OPEN, "m/../../outside/secret")).0, 0);
        assert_eq!(served.failed(&on(FileOp::OPEN, "../outside/secret")).0, 13);
    }
}

/// A listing shows that a mount point is there, and nothing of what is mounted.
#[test]
fn listings_name_mount_points_only() {
    if !in_own_mounts("mounts::listings_name_mount_points_only") {
        return;
    }
    let mounted = Mounted::new();
    let scene = &mounted.0;
    for resolver in RESOLVERS {
        let mut served = scene.served(resolver);
        let listing = served.done(&on(FileOp::READ_DIR, "/"));
        assert_eq!(names(&listing), ["a", "again", "file", "m", "p", "s", "t"]);
        scene.assert_silent(&listing, "listing");
        for entry in &listing.entries {
            let is_dir = !matches!(&*entry.stat.name, "file" | "s");
            assert_eq!(entry.stat.is_dir, is_dir, "{entry:?}");
        }
    }
}

#[test]
fn mounts_can_be_allowed_and_confine_all_the_same() {
    if !in_own_mounts("mounts::mounts_can_be_allowed_and_confine_all_the_same") {
        return;
    }
    let mounted = Mounted::new();
    let scene = &mounted.0;
    for resolver in RESOLVERS {
        let mut policy = scene.policy(resolver);
        policy.mounts = true;
        let mut served = Served::new(policy);
        assert_eq!(served.content("again/file"), b"inside");
        assert_eq!(served.content("m/../t/../file"), b"inside");
        assert!(!served.content("p/version").is_empty(), "files of /proc say they are empty");
        served.done(&on(FileOp::STATFS, "t"));
        let handle = served.done(&on(FileOp::CREATE, "t/new")).handle;
        assert_ne!(handle, 0);
        served.done(&on(FileOp::REMOVE, "t/new"));
        for path in ["m/../../outside/secret", "again/../../outside/secret", "p/../../outside"] {
            assert_eq!(served.failed(&on(FileOp::OPEN, path)).0, 13, "{path}");
        }
        let (errno, _) = served.failed(&between(FileOp::RENAME, "file", "t/file"));
        assert_eq!(errno, 18, "another file system");
    }
}

#[test]
fn magic_links_of_proc_are_not_followed() {
    if !in_own_mounts("mounts::magic_links_of_proc_are_not_followed") {
        return;
    }
    let mounted = Mounted::new();
    let scene = &mounted.0;
    let secret = fs::File::open(scene.outside().join("secret")).unwrap();
    let dir = fs::File::open(scene.outside()).unwrap();
    let (pipe, _other) = std::io::pipe().unwrap();
    for resolver in RESOLVERS {
        let mut policy = scene.policy(resolver);
        policy.mounts = true;
        let mut served = Served::new(policy);
        let descriptor = |file: &dyn std::os::fd::AsRawFd| {
            format!("p/{}/fd/{}", std::process::id(), file.as_raw_fd())
        };
        for path in [
            "p/self/root/etc/passwd".to_owned(),
            "p/self/cwd/Cargo.toml".to_owned(),
            "p/self/exe".to_owned(),
            "p/thread-self/root/etc".to_owned(),
            "p/self/task/../root/etc".to_owned(),
            "p/1/root/etc/passwd".to_owned(),
            "p/self/ns/mnt".to_owned(),
            descriptor(&secret),
            descriptor(&pipe),
            format!("{}/secret", descriptor(&dir)),
            format!("{}/../outside/secret", descriptor(&dir)),
        ] {
            for request in [
                on(FileOp::OPEN, &path),
                on(FileOp::STAT, &path),
                on(FileOp::READ_DIR, &path),
                open(&path, 1, 0),
                FileRequest { mode: 0o777, ..on(FileOp::CHMOD, &path) },
                FileRequest { size: 0, ..on(FileOp::TRUNCATE, &path) },
                FileRequest { uid: 1, gid: 1, ..on(FileOp::CHOWN, &path) },
                FileRequest { mtime: 1, ..on(FileOp::CHTIMES, &path) },
            ] {
                let what = format!("{resolver:?} {request:?}");
                let response = scene.attempt(&mut served, &request, &what);
                assert!([2, 13, 40].contains(&response.errno), "{what}: {response:?}");
            }
        }
        scene.assert_untouched("magic");
    }
}

#[test]
fn a_root_that_is_itself_a_mount_is_served() {
    if !in_own_mounts("mounts::a_root_that_is_itself_a_mount_is_served") {
        return;
    }
    let mounted = Mounted::new();
    let scene = &mounted.0;
    fs::write(scene.root().join("t/x"), "inside").unwrap();
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let mut served = Served::below(&scene.root().join("t"), resolver);
        assert_eq!(served.content("x"), b"inside");
        assert_eq!(served.failed(&on(FileOp::OPEN, "../file")).0, 13);
    }
}
