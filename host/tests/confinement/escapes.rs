//! Paths and links that lead out, with every operation.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use trunkline_core::agentproto::FileOp;

use crate::scene::{Scene, every_operation};
use crate::served::{RESOLVERS, between, on};

/// Where on the path it leads out.
#[derive(Clone, Copy, PartialEq)]
enum Where {
    /// At the last name, which is a link: operations on names concern the link itself.
    AtTheEnd,
    /// Before it: no operation may succeed.
    OnTheWay,
}
use Where::{AtTheEnd, OnTheWay};

/// Tries every operation on `path`. Refusals are 13, or one of `also`.
fn escape(at: Where, path: &str, also: &[u32], furnish: impl Fn(&Path)) {
    for resolver in RESOLVERS {
        let fresh = || {
            let scene = Scene::new();
            furnish(&scene.root());
            let served = scene.served(resolver);
            (scene, served)
        };
        let (mut scene, mut served) = fresh();
        for number in 0..every_operation("").len() {
            let path = path.replace("OUTSIDE", scene.outside().to_str().unwrap());
            let (request, follows) = every_operation(&path).remove(number);
            let what = format!("{resolver:?} {request:?}");
            let response = scene.attempt(&mut served, &request, &what);
            scene.assert_untouched(&what);
            if follows || at == OnTheWay {
                let refused = response.errno == 13 || also.contains(&response.errno);
                assert!(refused, "{what}: {response:?}");
            }
            if response.errno == 0 {
                // What is inside may have changed.
                (scene, served) = fresh();
            }
        }
    }
}

fn link(target: &str, name: &'static str) -> impl Fn(&Path) {
    move |root| {
        let outside = root.parent().unwrap().join("outside");
        let target = target.replace("OUTSIDE", outside.to_str().unwrap());
        symlink(target, root.join(name)).unwrap();
    }
}

fn links(all: &'static [(&'static str, &'static str)]) -> impl Fn(&Path) {
    move |root| {
        for (target, name) in all {
            link(target, name)(root);
        }
    }
}

fn nothing(_: &Path) {}

macro_rules! escapes {
    ($($name:ident: $at:expr, $path:expr, $also:expr, $furnish:expr;)*) => {$(
        #[test]
        fn $name() {
            escape($at, $path, &$also, $furnish);
        }
    )*};
}

escapes! {
    dots_alone: OnTheWay, "..", [], nothing;
    dots_behind_the_root: OnTheWay, "/..", [], nothing;
    dots_with_a_slash: OnTheWay, "../", [21], nothing;
    dots_first: OnTheWay, "../outside/secret", [], nothing;
    dots_first_behind_the_root: OnTheWay, "/../outside/secret", [], nothing;
    dots_many: OnTheWay, "../../../../../../../../etc/passwd", [], nothing;
    dots_in_the_middle: OnTheWay, "a/../../outside/secret", [], nothing;
    dots_below_deep_directories: OnTheWay, "/a/b/../../../outside/secret", [], nothing;
    dots_that_go_in_and_out: OnTheWay, "a/../a/b/.././../../outside/secret", [], nothing;
    dots_among_dots_and_slashes: OnTheWay, ".//./..//.//outside//.//secret", [], nothing;
    dots_last: OnTheWay, "a/../..", [], nothing;
    dots_that_come_back_in: OnTheWay, "../root/file", [], nothing;
    dots_that_pass_through_what_is_not_there: OnTheWay, "none/../../outside/secret", [2], nothing;
    dots_that_pass_through_a_file: OnTheWay, "file/../../outside/secret", [20], nothing;
    // It is looked for below the root, where it is not, or is made there.
    the_path_of_the_outside: OnTheWay, "OUTSIDE/secret", [2, 0], nothing;

    absolute_link_to_a_file: AtTheEnd, "l", [], link("OUTSIDE/secret", "l");
    absolute_link_to_a_directory: AtTheEnd, "l", [], link("OUTSIDE", "l");
    absolute_link_on_the_way: OnTheWay, "l/secret", [], link("OUTSIDE", "l");
    absolute_link_with_a_slash: OnTheWay, "l/", [2, 17, 20, 21], link("OUTSIDE/dir", "l");
    absolute_link_with_a_dot: OnTheWay, "l/.", [], link("OUTSIDE/dir", "l");
    absolute_link_and_back: OnTheWay, "l/../file", [], link("OUTSIDE", "l");
    absolute_link_to_nothing: AtTheEnd, "l", [], link("OUTSIDE/new", "l");
    absolute_link_to_the_inside: AtTheEnd, "l", [], link("OUTSIDE/../root/file", "l");
    absolute_link_to_the_machines_root: OnTheWay, "l/etc/passwd", [], link("/", "l");
    relative_link_to_a_file: AtTheEnd, "l", [], link("../outside/secret", "l");
    relative_link_to_a_directory: AtTheEnd, "l", [], link("../outside", "l");
    relative_link_on_the_way: OnTheWay, "l/dir/secret", [], link("../outside", "l");
    relative_link_to_what_is_missing_on_the_way: OnTheWay, "l/x/y/z", [], link("../outside", "l");
    relative_link_to_nothing: AtTheEnd, "l", [], link("../outside/new", "l");
    relative_link_to_nothing_with_a_slash: OnTheWay, "l/", [2, 17, 20, 21],
        link("../outside/new", "l");
    relative_link_below_a_directory: AtTheEnd, "a/b/l", [], link("../../../outside/secret", "a/b/l");
    relative_link_through_a_directory: AtTheEnd, "l", [], link("a/b/../../../outside/secret", "l");
    relative_link_that_comes_back_in: AtTheEnd, "l", [], link("../root/file", "l");
    link_to_dots: OnTheWay, "a/up/up/outside/secret", [], links(&[("..", "a/up"), ("..", "up")]);
    link_to_dots_at_the_end: AtTheEnd, "up", [], link("..", "up");
    link_to_dots_before_dots: OnTheWay, "a/up/../outside/secret", [], link("..", "a/up");
    chain_of_links: AtTheEnd, "one", [],
        links(&[("a/two", "one"), ("b/three", "a/two"), ("../../../outside/secret", "a/b/three")]);
    chain_of_links_on_the_way: OnTheWay, "one/secret", [],
        links(&[("a/two", "one"), ("b/three", "a/two"), ("../../../outside", "a/b/three")]);
    link_to_the_root_of_the_process: OnTheWay, "l/etc/passwd", [], link("/proc/self/root", "l");
    link_to_the_directory_of_the_process: OnTheWay, "l/Cargo.toml", [], link("/proc/self/cwd", "l");
    link_to_the_program_of_the_process: AtTheEnd, "l", [], link("/proc/self/exe", "l");
    link_to_the_root_of_a_thread: OnTheWay, "l/etc", [], link("/proc/thread-self/root", "l");
    link_to_descriptors: OnTheWay, "l/0", [], link("/proc/self/fd", "l");
    link_to_standard_input: AtTheEnd, "l", [], link("/dev/stdin", "l");
}

#[test]
fn link_to_an_open_descriptor() {
    let scene = Scene::new();
    let secret = File::open(scene.outside().join("secret")).unwrap();
    let target = format!("/proc/self/fd/{}", secret.as_raw_fd());
    escape(AtTheEnd, "l", &[], link(&target, "l"));
}

/// A peer can make such links, as any text is a target, but never goes along them.
#[test]
fn links_that_the_peer_makes_itself() {
    for resolver in RESOLVERS {
        for target in ["../outside/secret", "OUTSIDE/secret", "/proc/self/root", "..", "/"] {
            let scene = Scene::new();
            let mut served = scene.served(resolver);
            let target = target.replace("OUTSIDE", scene.outside().to_str().unwrap());
            served.done(&between(FileOp::SYMLINK, &target, "made"));
            assert_eq!(served.done(&on(FileOp::READLINK, "made")).path, target);
            for (request, follows) in every_operation("made") {
                if follows {
                    let response = scene.attempt(&mut served, &request, &target);
                    assert_eq!(response.errno, 13, "{request:?}");
                }
            }
            scene.assert_untouched(&target);
        }
    }
}

/// Moved to where it has fewer directories above it, a link that stayed inside leads out.
#[test]
fn links_that_the_peer_moves() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let mut served = scene.served(resolver);
        served.done(&between(FileOp::SYMLINK, "../../file", "a/b/up"));
        assert_eq!(served.content("a/b/up"), b"inside");
        served.done(&between(FileOp::RENAME, "a/b/up", "up"));
        assert_eq!(served.failed(&on(FileOp::OPEN, "up")).0, 13);
        served.done(&between(FileOp::RENAME, "a/b", "b"));
        served.done(&between(FileOp::RENAME, "up", "b/up"));
        assert_eq!(served.failed(&on(FileOp::OPEN, "b/up")).0, 13);
        scene.assert_untouched("moved");
    }
}

#[test]
fn the_text_says_that_it_leads_outside() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        link("OUTSIDE", "l")(&scene.root());
        let mut served = scene.served(resolver);
        for path in ["/../x", "l/x"] {
            let (_, text) = served.failed(&on(FileOp::STAT, path));
            assert_eq!(text, format!("stat {path}: leads outside of the served directory"));
        }
    }
}

/// What stays inside works, however it is written.
#[test]
fn paths_that_stay_inside() {
    let links = links(&[("a/b/../../file", "l"), ("b", "a/c"), ("./a//./file", "m"), (".", "dot")]);
    for resolver in RESOLVERS {
        let scene = Scene::new();
        links(&scene.root());
        let mut served = scene.served(resolver);
        for path in [
            "file",
            "/file",
            "//file",
            "./file",
            "a/../file",
            "a/b/../../file",
            "a/b/.././../file",
            "l",
            "a/c/../../l",
            "m",
            "dot/file",
            "dot/dot/l",
            "a/../dot/a/file",
            "/./a/./b/../file",
        ] {
            assert_eq!(served.content(path), b"inside", "{path}");
            served.done(&on(FileOp::STAT, path));
        }
        for path in ["/", "//", ".", "./", "/.", "a/..", "dot", "dot/", "a/b/../.."] {
            let stat = served.done(&on(FileOp::STAT, path)).stat.unwrap();
            assert!(stat.is_dir, "{path}");
            let names = served.done(&on(FileOp::READ_DIR, path));
            assert!(crate::served::names(&names).contains(&"file"), "{path}");
        }
        assert_eq!(served.done(&on(FileOp::GETWD, "")).path, "/");
        fs::remove_dir_all(scene.root()).unwrap();
        // The root that is gone is still the root, and an empty one.
        assert_eq!(served.failed(&on(FileOp::STAT, "file")).0, 2);
    }
}
