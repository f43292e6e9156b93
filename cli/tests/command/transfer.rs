//! `trunkline fs get` and `trunkline fs put`: files and trees, their attributes, and what fails.

use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{CWD, FileType, Mode};
use serde_json::Value;

use crate::fs::{SERVERS, Server};
use crate::job::{Ended, clean, run};
use crate::temp::Temp;

/// Which way files go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Get,
    Put,
}

pub(crate) const WAYS: [Way; 2] = [Way::Get, Way::Put];

impl Way {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
        }
    }
}

/// Every server, both ways.
pub(crate) fn all() -> impl Iterator<Item = (Server, Way)> {
    SERVERS.into_iter().flat_map(|server| WAYS.map(|way| (server, way)))
}

/// Bytes that repeat at no round distance.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let block: Vec<u8> = std::iter::repeat_with(next).take(100_003.min(count)).collect();
    let mut bytes = block.repeat(count.div_ceil(block.len().max(1)));
    bytes.truncate(count);
    bytes
}

/// What stands below a folder, a line each, in this format of `find`.
pub(crate) fn tree(path: &str, format: &str) -> String {
    let mut find = clean("sh");
    find.args(["-c", "cd \"$1\" && find . -printf \"$2\\n\" | LC_ALL=C sort", "sh", path, format]);
    let ended = run(&mut find);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.text().to_owned()
}

/// Whether nothing that is not whole is left below a folder.
#[track_caller]
pub(crate) fn no_parts(path: &str) {
    let left: String = tree(path, "%f").lines().filter(|name| name.ends_with(".part")).collect();
    assert_eq!(left, "");
}

/// Says what a transfer with `--json` did.
pub(crate) fn summary(ended: &Ended) -> Value {
    assert_eq!(ended.text().lines().count(), 1, "{ended:?}");
    serde_json::from_str(ended.text()).expect("JSON")
}

fn planted(temp: &Temp) -> String {
    let root = temp.file("source");
    for dir in ["", "/sub", "/sub/deep", "/empty"] {
        fs::create_dir(format!("{root}{dir}")).unwrap();
    }
    let file = |name: &str, content: &[u8], mode| {
        let path = format!("{root}/{name}");
        fs::write(&path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    file("small", b"some text\n", 0o644);
    file("nothing", b"", 0o600);
    file("just", &pattern(256 << 10), 0o644);
    file("large", &pattern(3_000_001), 0o750);
    file("sub/only to be read", b"x", 0o444);
    file("sub/deep/ü\n\x1b", b"a name for terminals", 0o640);
    symlink("../small", format!("{root}/sub/link")).unwrap();
    symlink("/nowhere at all", format!("{root}/sub/dangling")).unwrap();
    rustix::fs::mknodat(CWD, format!("{root}/fifo"), FileType::Fifo, Mode::from(0o644), 0).unwrap();
    fs::set_permissions(format!("{root}/sub/deep"), fs::Permissions::from_mode(0o555)).unwrap();
    let past = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH).set_accessed(
        std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1_234_567_890_123_456_789),
    );
    fs::File::options().write(true).open(format!("{root}/large")).unwrap().set_times(past).unwrap();
    root
}

#[test]
fn a_tree_arrives_with_everything_in_it() {
    let temp = Temp::new();
    let source = planted(&temp);
    for (number, (server, way)) in all().enumerate() {
        let target = temp.file(&format!("target{number}"));
        let ended = server.run([way.name(), "-r", "-p", "--json", &source, &target]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        // What cannot be transferred is told, and nothing else.
        assert!(ended.line().contains("fifo: skipped: it is a named pipe"), "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1);
        let told = summary(&ended);
        let count = |name: &str| told[name].as_u64().unwrap();
        assert_eq!((count("files"), count("directories"), count("links")), (6, 4, 2), "{told}");
        assert_eq!((count("skipped"), count("failed")), (1, 0), "{told}");
        let same = |format| {
            let there = |tree: String| -> Vec<String> {
                tree.lines().filter(|line| !line.contains("fifo")).map(str::to_owned).collect()
            };
            assert_eq!(there(tree(&target, format)), there(tree(&source, format)), "{way:?}");
        };
        same("%P %y %l");
        // Links have times of their own, which are not taken over.
        let kept = |tree: String| -> Vec<String> {
            tree.lines()
                .filter(|line| !line.contains("link") && !line.contains("dangling"))
                .filter(|line| !line.contains("fifo"))
                .map(str::to_owned)
                .collect()
        };
        let format = "%P %m %T@";
        assert_eq!(kept(tree(&target, format)), kept(tree(&source, format)), "{way:?}");
        run(clean("diff").args(["-r", "--no-dereference", "-x", "fifo", &source, &target]))
            .is(0, "", "");
        no_parts(&target);
    }
}

#[test]
fn new_files_get_what_the_umask_leaves_of_the_mode() {
    let temp = Temp::new();
    let source = temp.file("source");
    fs::create_dir(&source).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o555)).unwrap();
    for (number, mode) in [0o666, 0o444, 0o4755, 0o600].into_iter().enumerate() {
        let path = temp.write(&format!("source/{number}"), "content");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    for (number, (server, way)) in all().enumerate() {
        let target = temp.file(&format!("target{number}"));
        let mut transfer = server.fs([way.name(), "-r", &source, &target]);
        // Of both sides: the agent is started from here.
        let mut shell = clean("sh");
        shell.args(["-c", "umask 027; exec \"$@\"", "sh"]).arg(transfer.get_program());
        shell.args(transfer.get_args()).env("TRUNKLINE_VIA", server.via());
        drop(transfer.get_envs());
        run(&mut shell).is(0, "", "");
        let modes = ["", "/0", "/1", "/2", "/3"].map(|name| {
            fs::metadata(format!("{target}{name}")).unwrap().permissions().mode() & 0o7777
        });
        assert_eq!(modes.map(|mode| format!("{mode:o}")), ["550", "640", "440", "750", "600"]);
        transfer.env_clear();
    }
}

#[test]
fn sources_go_into_a_directory_that_is_there_or_get_another_name() {
    let temp = Temp::new();
    let (a, b) = (temp.write("a", "a's"), temp.write("b", pattern(600_000)));
    let tree_of = temp.file("tree");
    fs::create_dir(&tree_of).unwrap();
    fs::write(temp.file("tree/inside"), "x").unwrap();
    for (number, (server, way)) in all().enumerate() {
        let dir = temp.file(&format!("dir{number}"));
        fs::create_dir(&dir).unwrap();
        let go = |args: &[&str]| assert_eq!(server.ok([&[way.name()], args].concat()), "");
        go(&[&a, &dir]);
        go(&[&b, &format!("{dir}/")]);
        go(&[&b, &format!("{dir}/other")]);
        go(&["-r", &tree_of, &dir]);
        go(&["-r", &tree_of, &format!("{dir}/new")]);
        go(&["-r", &tree_of, &a, &format!("{dir}/new")]);
        let names = "\n\
            a\nb\nnew\nnew/a\nnew/inside\nnew/tree\nnew/tree/inside\nother\ntree\ntree/inside\n";
        assert_eq!(tree(&dir, "%P"), names, "{way:?}");
        assert_eq!(fs::read(format!("{dir}/b")).unwrap(), pattern(600_000));
        // One that is there is replaced, whole; a link is too, not what it leads to.
        symlink(&a, format!("{dir}/leads away")).unwrap();
        go(&[&b, &format!("{dir}/leads away")]);
        go(&[&b, &format!("{dir}/a")]);
        assert_eq!(fs::read(format!("{dir}/a")).unwrap(), pattern(600_000));
        assert!(fs::symlink_metadata(format!("{dir}/leads away")).unwrap().is_file());
        assert_eq!(temp.read("a"), "a's");
    }
}

#[test]
fn every_failure_is_a_line_that_names_the_file_and_the_others_go_on() {
    let temp = Temp::new();
    let good = temp.write("good", "good");
    let (dir, missing) = (temp.file("dir"), temp.file("missing"));
    fs::create_dir(&dir).unwrap();
    for (server, way) in all() {
        let into = temp.file(way.name());
        fs::create_dir_all(&into).unwrap();
        let lines = server.fails([way.name(), &missing, &dir, &good, &into]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains(&missing) && lines[0].contains("o such file"), "{lines:?}");
        assert!(lines[1].contains(&dir) && lines[1].contains("is a directory"), "{lines:?}");
        assert_eq!(temp.read(&format!("{}/good", way.name())), "good");
        // A directory in the place of a file, a file in that of a directory, nothing where it goes.
        let taken = format!("{into}/taken");
        fs::create_dir_all(format!("{taken}/good")).unwrap();
        let lines = server.fails([way.name(), &good, &taken]);
        assert!(lines[0].contains("taken/good") && lines[0].contains("irectory"), "{lines:?}");
        let lines = server.fails([way.name(), "-r", &dir, &format!("{into}/good")]);
        assert!(lines[0].contains("/good") && lines[0].contains("something else"), "{lines:?}");
        let lines = server.fails([way.name(), &good, &format!("{into}/no/such")]);
        assert!(lines[0].contains("no/such") && lines[0].contains("o such file"), "{lines:?}");
        no_parts(&into);
    }
}

#[test]
fn a_deep_tree_needs_no_more_descriptors_than_may_be_had() {
    let temp = Temp::new();
    let source = temp.file("source");
    fs::create_dir_all(format!("{source}{}", "/d".repeat(150))).unwrap();
    for way in WAYS {
        let transfer = Server::Ours.fs([way.name(), "-r", &source, &temp.file(way.name())]);
        let mut limited = clean("sh");
        limited.args(["-c", r#"ulimit -Sn 100; exec "$@""#, "sh"]).arg(transfer.get_program());
        limited.args(transfer.get_args()).env("TRUNKLINE_VIA", Server::Ours.via());
        run(&mut limited).is(0, "", "");
        assert_eq!(tree(&temp.file(way.name()), "%P").lines().count(), 151);
    }
}

#[test]
fn a_file_that_is_replaced_keeps_its_mode() {
    let temp = Temp::new();
    fs::create_dir(temp.file("source")).unwrap();
    let sizes = [("none", 0), ("small", 9), ("large", 300_000)];
    for (name, size) in sizes {
        let path = temp.write(&format!("source/{name}"), pattern(size));
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    for (number, (server, way)) in all().enumerate() {
        let target = temp.file(&format!("target{number}"));
        fs::create_dir(&target).unwrap();
        for more in ["tree", "alone", "-p"] {
            for (mode, (name, _)) in [0o600, 0o440, 0o666].into_iter().zip(sizes) {
                let path = format!("{target}/{name}");
                fs::write(&path, "before").unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
            let source = temp.file("source");
            match more {
                "alone" => {
                    for (name, _) in sizes {
                        let source = format!("{source}/{name}");
                        server.ok([way.name(), &source, &format!("{target}/{name}")]);
                    }
                }
                more => {
                    let more = if more == "-p" { "-rp" } else { "-r" };
                    server.ok([way.name(), more, &format!("{source}/."), &target]);
                }
            }
            let modes = sizes.map(|(name, size)| {
                let path = format!("{target}/{name}");
                assert_eq!(fs::read(&path).unwrap(), pattern(size));
                fs::metadata(path).unwrap().permissions().mode() & 0o777
            });
            let kept = if more == "-p" { [0o644; 3] } else { [0o600, 0o440, 0o666] };
            assert_eq!(modes, kept, "{server:?} {way:?} {more}");
        }
    }
}

#[test]
fn putting_replaces_a_link_that_leads_round_and_round() {
    let temp = Temp::new();
    let source = temp.write("source", "content");
    let target = temp.file("target");
    for server in SERVERS {
        for resume in [&[][..], &["--resume"]] {
            symlink(&target, &target).unwrap();
            server.ok([&["put"], resume, &[&source, &target]].concat());
            assert_eq!(fs::read(&target).unwrap(), b"content");
            no_parts(temp.text());
            fs::remove_file(&target).unwrap();
        }
    }
}

#[test]
fn sources_of_one_name_do_not_overwrite_each_other() {
    let temp = Temp::new();
    let [one, two, three] = ["1", "2", "3"].map(|dir| {
        fs::create_dir(temp.file(dir)).unwrap();
        temp.write(&format!("{dir}/{}", if dir == "3" { "other" } else { "f" }), dir)
    });
    for (number, (server, way)) in all().enumerate() {
        let target = temp.file(&format!("target{number}"));
        fs::create_dir(&target).unwrap();
        let lines = server.fails([way.name(), &one, &two, &three, &target]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("2/f: will not overwrite"), "{lines:?}");
        assert_eq!(fs::read(format!("{target}/f")).unwrap(), b"1");
        assert_eq!(fs::read(format!("{target}/other")).unwrap(), b"3");
    }
    // What the user gave is shown harmless.
    let ended = Server::Ours.run(["get", "a", "b", "no\x1bdir"]);
    assert!(ended.code == Some(2) && !ended.err.contains('\x1b'), "{ended:?}");
}

/// Root may do everything, so the side in question is somebody else.
pub(crate) fn as_nobody(command: &mut Command) -> Command {
    let mut other = clean("setpriv");
    if rustix::process::geteuid().is_root() {
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    other.arg(command.get_program()).args(command.get_args());
    other
}

#[test]
fn what_may_not_be_read_or_written_fails_alone() {
    let temp = Temp::new();
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let source = temp.file("source");
    fs::create_dir(&source).unwrap();
    for (name, mode) in [("secret", 0o000), ("open", 0o644)] {
        let path = temp.write(&format!("source/{name}"), pattern(400_000));
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(temp.file("source/locked")).unwrap();
    fs::set_permissions(temp.file("source/locked"), fs::Permissions::from_mode(0o000)).unwrap();
    for (server, way) in all() {
        let target = temp.file(&format!("{}-{server:?}", way.name()));
        let mut transfer = server.fs([way.name(), "-r", &source, &target]);
        let ended = run(as_nobody(&mut transfer).env("TRUNKLINE_VIA", server.via()));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let lines = ended.lines();
        assert_eq!(lines.len(), 2, "{ended:?}");
        assert!(lines.iter().all(|line| line.contains("ermission denied")), "{ended:?}");
        for name in ["source/locked", "source/secret"] {
            assert!(lines.iter().any(|line| line.contains(name)), "{ended:?}");
        }
        assert_eq!(fs::read(format!("{target}/open")).unwrap(), pattern(400_000));
        no_parts(&target);
    }
    fs::set_permissions(temp.file("source/locked"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// A file system of 2 MiB that nobody else sees; the whole command runs in it, agent and all.
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let temp = Temp::new();
    let source = temp.file("source");
    fs::create_dir(&source).unwrap();
    temp.write("source/too large", pattern(5 << 20));
    temp.write("source/small", "small");
    let disk = temp.file("disk");
    fs::create_dir(&disk).unwrap();
    let flags = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    for (server, way) in all() {
        let transfer = server.fs([way.name(), "-r", &source, &format!("{disk}/there")]);
        let mut alone = clean("unshare");
        let script = "mount -t tmpfs -o size=2m none \"$1\" || exit 77; dir=$1; shift; \
                      \"$@\"; code=$?; ls -A \"$dir/there\"; exit $code";
        alone.args([flags, "sh", "-c", script, "sh", &disk]).arg(transfer.get_program());
        alone.args(transfer.get_args()).env("TRUNKLINE_VIA", server.via());
        let ended = run(&mut alone);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let line = ended.line();
        assert!(line.contains("there/too large") && line.contains("o space left"), "{line}");
        assert_eq!(ended.text(), "small\n", "{way:?}");
    }
}

#[test]
fn a_name_that_is_not_utf8_is_told_and_the_others_go() {
    let temp = Temp::new();
    let source = temp.file("source");
    fs::create_dir(&source).unwrap();
    temp.write("source/good", "good");
    let bad = std::ffi::OsString::from_vec(b"bad\xff".to_vec());
    fs::write(temp.path().join("source").join(&bad), "bad").unwrap();
    for server in SERVERS {
        let target = temp.file(&format!("{server:?}"));
        let lines = server.fails(["put", "-r", &source, &target]);
        assert!(lines[0].contains("source/bad") && lines[0].contains("not UTF-8"), "{lines:?}");
        assert_eq!(tree(&target, "%P"), "\ngood\n");
        let mut put = server.fs(["put"]);
        put.arg(temp.path().join("source").join(&bad)).arg(&target);
        let ended = run(&mut put);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.line().contains("not UTF-8"), "{ended:?}");
    }
}

#[test]
fn links_are_followed_if_asked_for_and_loops_are_seen() {
    let temp = Temp::new();
    let source = temp.file("source");
    fs::create_dir_all(format!("{source}/dir")).unwrap();
    temp.write("source/dir/file", "content");
    symlink("..", format!("{source}/dir/up")).unwrap();
    symlink("dir/file", format!("{source}/to file")).unwrap();
    symlink("dir", format!("{source}/to dir")).unwrap();
    symlink("self", format!("{source}/self")).unwrap();
    for (server, way) in all() {
        let target = temp.file(&format!("{}-{server:?}", way.name()));
        let lines = server.fails([way.name(), "-r", "-L", &source, &target]);
        let has = |parts: [&str; 2]| {
            lines.iter().any(|line| parts.iter().all(|part| line.contains(part)))
        };
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(
            has(["source/dir/up", "leads back"]) && has(["to dir/up", "leads back"]),
            "{lines:?}"
        );
        assert!(has(["source/self", "oo many"]), "{lines:?}");
        let found = tree(&target, "%P %y");
        assert_eq!(found, " d\ndir d\ndir/file f\nto dir d\nto dir/file f\nto file f\n", "{way:?}");
    }
}

#[test]
fn files_without_a_size_are_read_to_their_end() {
    let temp = Temp::new();
    for (number, (server, way)) in all().enumerate() {
        for name in ["/proc/filesystems", "/proc/kallsyms"] {
            let to = temp.file(&format!("{number}"));
            assert_eq!(server.ok([way.name(), name, &to]), "");
            assert!(fs::read(&to).unwrap() == fs::read(name).unwrap(), "{way:?} {name}");
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_told() {
    let temp = Temp::new();
    let source = temp.file("source");
    let file = fs::File::create(&source).unwrap();
    file.set_len(64 << 20).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut at = 0;
            while !over.load(Ordering::Relaxed) {
                file.write_all_at(b"another byte", at % (64 << 20)).unwrap();
                at += 4_099;
            }
        });
        for (server, way) in all() {
            let target = temp.file("target");
            let lines = server.fails([way.name(), &source, &target]);
            assert!(lines[0].contains("source: it changed while it was read"), "{lines:?}");
            assert!(!fs::exists(target).unwrap());
        }
        over.store(true, Ordering::Relaxed);
    });
    no_parts(temp.text());
}

#[test]
fn holes_are_left_out_when_putting_and_made_again_when_getting() {
    let temp = Temp::new();
    let source = temp.file("source");
    let file = fs::File::create(&source).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_all_at(&pattern(300_000), 1 << 39).unwrap();
    for server in SERVERS {
        let target = temp.file("target");
        let told = server.run(["put", "--verify", "--json", &source, &target]);
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(summary(&told)["bytes"].as_u64().unwrap() < 1 << 20, "{told:?}");
        let (put, facts) = (fs::File::open(&target).unwrap(), fs::metadata(&target).unwrap());
        let mut there = vec![0; 300_000];
        put.read_exact_at(&mut there, 1 << 39).unwrap();
        assert!(there == pattern(300_000) && facts.len() == 1 << 40);
        assert!(facts.blocks() * 512 < 1 << 20, "{facts:?}");
        fs::remove_file(&target).unwrap();
    }
    let smaller = temp.file("smaller");
    let file = fs::File::create(&smaller).unwrap();
    file.set_len(20 << 20).unwrap();
    file.write_all_at(&pattern(300_000), 5_000_003).unwrap();
    for server in SERVERS {
        let target = temp.file("gotten");
        assert_eq!(server.ok(["get", "--sparse", "--verify", &smaller, &target]), "");
        assert!(fs::read(&target).unwrap() == fs::read(&smaller).unwrap());
        assert!(fs::metadata(&target).unwrap().blocks() * 512 < 1 << 20);
    }
}

#[test]
fn progress_is_shown_where_it_is_asked_for() {
    let temp = Temp::new();
    let source = temp.write("source", pattern(3 << 20));
    for (server, way) in all() {
        let ended = server.run([way.name(), "--progress", &source, &temp.file("target")]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let last = ended.err.trim_end().rsplit('\r').next().unwrap();
        assert!(last.contains("3.0M 100%") && last.contains("/s"), "{ended:?}");
        server.ok([way.name(), &source, &temp.file("target")]);
    }
}
