//! `trunkline fs mkdir`, `rm`, `mv`, `cp`, `ln`, `cat` and `fsync`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

use crate::fs::SERVERS;
use crate::job::{clean, run, shell};
use crate::temp::Temp;

/// Everything below a folder: kind, mode, size, target and path, a line each.
fn tree(path: &str, format: &str) -> String {
    let mut find = clean("sh");
    find.args(["-c", "cd \"$1\" && find . -printf \"$2\\n\" | LC_ALL=C sort", "sh", path, format]);
    let ended = run(&mut find);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.text().to_owned()
}

fn mode(path: &str) -> u32 {
    fs::symlink_metadata(path).expect("a file").mode() & 0o7777
}

#[test]
fn directories_are_made_as_mkdir_makes_them() {
    for server in SERVERS {
        let temp = Temp::new();
        let file = temp.write("file", "");
        let path = |name: &str| temp.file(name);
        server.ok(["mkdir", &path("a"), &path("a/b"), &path("c")]);
        server.ok(["mkdir", "-p", &path("p/q/r"), &path("a"), &path("p")]);
        server.ok(["mkdir", "-m", "1777", &path("sticky")]);
        server.ok(["mkdir", "-m", "go=", &path("private")]);
        server.ok(["mkdir", "-pm", "2770", &path("x/y"), &path("c")]);
        let modes =
            ["a", "p/q", "sticky", "private", "x", "x/y", "c"].map(|name| mode(&path(name)));
        assert_eq!(modes, [0o755, 0o755, 0o1777, 0o700, 0o755, 0o2770, 0o755]);
        let lines = server.fails(["mkdir", &path("a"), &path("no/where"), &path("later")]);
        assert_eq!(
            lines,
            [
                format!("fs mkdir: {}: File exists", path("a")),
                format!("fs mkdir: {}: No such file or directory", path("no/where")),
            ]
        );
        assert!(fs::metadata(path("later")).unwrap().is_dir());
        let lines = server.fails(["mkdir", "-p", &file]);
        assert_eq!(lines, [format!("fs mkdir: {file}: Not a directory")]);
    }
}

/// A tree with hidden files, links out of it, and more entries than requests are in flight.
fn wood(temp: &Temp) -> String {
    let path = temp.file("wood");
    for dir in 0..20 {
        fs::create_dir_all(format!("{path}/{dir}/deep/.er")).expect("folders");
        for file in 0..20 {
            fs::write(format!("{path}/{dir}/{file}"), vec![b'a'; file * 7]).expect("a file");
        }
        fs::write(format!("{path}/{dir}/deep/.er/.file"), "hidden").expect("a file");
        symlink(temp.text(), format!("{path}/{dir}/deep/out")).expect("a link");
    }
    symlink("nowhere", format!("{path}/dangling")).expect("a link");
    path
}

#[test]
fn trees_are_removed_and_links_are_not_followed() {
    for server in SERVERS {
        let temp = Temp::new();
        let (wood, keep) = (wood(&temp), temp.write("keep", "kept"));
        symlink("wood", temp.file("to-wood")).expect("a link");
        let to_wood = temp.file("to-wood");
        let slash = format!("{to_wood}/");
        let lines = server.fails(["rm", "-r", &slash]);
        assert_eq!(lines, [format!("fs rm: {slash}: Not a directory")]);
        let lines = server.fails(["rm", &wood]);
        assert_eq!(lines, [format!("fs rm: {wood}: Is a directory")]);
        server.ok(["rm", "-r", &to_wood]);
        assert!(fs::metadata(&wood).unwrap().is_dir() && fs::symlink_metadata(&to_wood).is_err());
        server.ok(["rm", "-r", &wood]);
        assert_eq!(tree(temp.text(), "%p"), ".\n./keep\n");
        fs::create_dir(temp.file("empty")).expect("a folder");
        server.ok(["rm", "-d", &temp.file("empty"), &keep]);
        assert_eq!(tree(temp.text(), "%p"), ".\n");
    }
}

#[test]
fn what_nobody_means_to_remove_is_refused() {
    for server in SERVERS {
        let temp = Temp::new();
        let keep = temp.write("keep", "kept");
        fs::create_dir(temp.file("dir")).expect("a folder");
        for path in ["/", "//", ".", "..", "/.", "/..", "./", "dir/.", "dir/..", "dir/../", "../."]
        {
            for flags in ["-r", "-rf"] {
                let ended = run(server.fs(["rm", flags, path]).current_dir(temp.path()));
                assert_eq!(ended.code, Some(1), "{path} {ended:?}");
                assert!(ended.line().contains("refused"), "{path} {ended:?}");
            }
        }
        let gone = temp.file("gone");
        let lines = server.fails(["rm", &gone, &keep]);
        assert_eq!(lines, [format!("fs rm: {gone}: No such file or directory")]);
        assert!(!fs::exists(&keep).unwrap(), "the others go on");
        server.ok(["rm", "-f", &gone]);
        server.ok(["rm", "-f"]);
        let dir = temp.file("dir");
        fs::write(temp.file("dir/file"), "").expect("a file");
        let lines = server.fails(["rm", "-d", &dir]);
        assert_eq!(lines, [format!("fs rm: {dir}: Directory not empty")]);
        server.ok(["rm", "-rf", &format!("{dir}//")]);
        assert_eq!(tree(temp.text(), "%p"), ".\n");
    }
}

#[test]
fn files_are_moved_as_mv_moves_them() {
    for server in SERVERS {
        let temp = Temp::new();
        let path = |name: &str| temp.file(name);
        let [a, b, c] = ["a", "b", "c"].map(|name| temp.write(name, name));
        fs::create_dir_all(path("dir/a")).expect("folders");
        server.ok(["mv", &a, &b]);
        assert_eq!(temp.read("b"), "a");
        server.ok(["mv", "-n", &b, &c]);
        assert_eq!((temp.read("b"), temp.read("c")), ("a".into(), "c".into()));
        server.ok(["mv", &b, &c, &path("dir")]);
        assert_eq!((temp.read("dir/b"), temp.read("dir/c")), ("a".into(), "c".into()));
        server.ok(["mv", "-T", &path("dir"), &path("folder")]);
        server.ok(["mv", &format!("{}/", path("folder/a")), &path("moved")]);
        assert!(fs::metadata(path("moved")).unwrap().is_dir());
        let (moved, folder) = (path("moved"), path("folder"));
        let lines = server.fails(["mv", "-T", &moved, &folder]);
        assert_eq!(lines, [format!("fs mv: {moved} to {folder}: File exists")]);
        let lines = server.fails(["mv", &path("gone"), &folder, &path("no/where")]);
        assert_eq!(lines, [format!("fs mv: {}: Not a directory", path("no/where"))]);
        let lines = server.fails(["mv", &path("gone"), &moved, &folder]);
        let gone = path("gone");
        assert_eq!(lines, [format!("fs mv: {gone} to {folder}/gone: No such file or directory")]);
        assert!(fs::metadata(path("folder/moved")).unwrap().is_dir());
        let lines = server.fails(["mv", &path("folder/b"), &path("folder/b")]);
        assert!(lines[0].contains("itself"), "{lines:?}");
        for line in [&["mv"][..], &["mv", "one"], &["mv", "-T", "a", "b", "c"]] {
            assert_eq!(server.run(line.iter().copied()).code, Some(2), "{line:?}");
        }
    }
}

#[test]
fn a_move_across_file_systems_says_what_to_do() {
    let elsewhere = fs::metadata("/dev/shm").expect("another file system").dev();
    for server in SERVERS {
        let temp = Temp::new();
        assert_ne!(fs::metadata(temp.path()).unwrap().dev(), elsewhere, "no other file system");
        let file = temp.write("file", "stays");
        let lines = server.fails(["mv", &file, "/dev/shm/trunkline-test-file"]);
        assert!(lines[0].contains("fs cp -rp") && lines[0].contains(&file), "{lines:?}");
        assert_eq!(temp.read("file"), "stays");
    }
}

#[test]
fn links_are_made_as_ln_makes_them() {
    for server in SERVERS {
        let temp = Temp::new();
        let path = |name: &str| temp.file(name);
        let (a, b) = (temp.write("a", "a"), temp.write("b", "b"));
        fs::create_dir(path("dir")).expect("a folder");
        server.ok(["ln", &a, &path("hard")]);
        assert_eq!(fs::metadata(&a).unwrap().ino(), fs::metadata(path("hard")).unwrap().ino());
        server.ok(["ln", "-s", "any/ target", &path("soft")]);
        assert_eq!(fs::read_link(path("soft")).unwrap().to_str(), Some("any/ target"));
        server.ok(["ln", &a, &b, &path("dir")]);
        run(server.fs(["ln", "-s", &path("a/x")]).current_dir(temp.path())).is(0, "", "");
        assert_eq!(fs::read_link(path("x")).unwrap().to_str(), Some(&*path("a/x")));
        let lines = server.fails(["ln", "-s", "new", &b]);
        assert_eq!(lines, [format!("fs ln: {b}: File exists")]);
        server.ok(["ln", "-sf", "new", &b]);
        assert_eq!(fs::read_link(&b).unwrap().to_str(), Some("new"));
        // Over another name of the same file, which rename leaves alone.
        server.ok(["ln", "-f", &a, &path("hard")]);
        symlink("dir", path("current")).expect("a link");
        server.ok(["ln", "-sfn", "elsewhere", &path("current")]);
        assert_eq!(fs::read_link(path("current")).unwrap().to_str(), Some("elsewhere"));
        let lines = server.fails(["ln", &path("gone"), &path("new")]);
        assert_eq!(lines, [format!("fs ln: {}: No such file or directory", path("new"))]);
        let names = "./a\n./b\n./current\n./dir\n./dir/a\n./dir/b\n./hard\n./soft\n./x\n";
        assert_eq!(tree(temp.text(), "%p"), format!(".\n{names}"), "nothing else is left");
        assert_eq!(fs::metadata(&a).unwrap().nlink(), 3);
    }
}

#[test]
fn trees_are_copied_whole() {
    for server in SERVERS {
        let temp = Temp::new();
        let wood = wood(&temp);
        fs::set_permissions(format!("{wood}/3"), fs::Permissions::from_mode(0o2555))
            .expect("a mode");
        fs::set_permissions(format!("{wood}/4/5"), fs::Permissions::from_mode(0o4440))
            .expect("a mode");
        run(clean("touch").args([
            "-d",
            "@1000000000.5",
            &format!("{wood}/4"),
            &format!("{wood}/5/6"),
        ]));
        let (plain, kept) = (temp.file("plain"), temp.file("kept"));
        server.ok(["cp", "-r", &wood, &plain]);
        assert_eq!(
            tree(&plain, "%y %f %l %P"),
            tree(&wood, "%y %f %l %P").replace("wood", "plain")
        );
        let compared = run(clean("diff").args(["-r", "--no-dereference", &wood, &plain]));
        compared.is(0, "", "");
        assert_eq!([mode(&format!("{plain}/3")), mode(&format!("{plain}/4/5"))], [0o555, 0o440]);
        server.ok(["cp", "-rp", &wood, &kept]);
        let all = |path: &str| {
            tree(path, "%y %m %s %U %G %T@ %P %l")
                .lines()
                .filter(|l| !l.starts_with('l'))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(all(&kept), all(&wood));
        // Into what is there already: what is in the way is replaced, what is not stays.
        fs::write(format!("{plain}/extra"), "stays").expect("a file");
        fs::write(format!("{plain}/1/1"), "other").expect("a file");
        server.ok(["cp", "-rT", &wood, &plain]);
        assert_eq!(
            fs::read(format!("{plain}/1/1")).unwrap(),
            fs::read(format!("{wood}/1/1")).unwrap()
        );
        assert_eq!(fs::read_to_string(format!("{plain}/extra")).unwrap(), "stays");
        fs::remove_file(format!("{plain}/extra")).expect("it is there");
        run(clean("diff").args(["-r", "--no-dereference", &wood, &plain])).is(0, "", "");
        server.ok(["cp", "-r", &wood, &plain]);
        run(clean("diff").args(["-r", "--no-dereference", &wood, &format!("{plain}/wood")]))
            .is(0, "", "");
    }
}

#[test]
fn files_are_copied_whole_and_in_one_step() {
    for server in SERVERS {
        let temp = Temp::new();
        let path = |name: &str| temp.file(name);
        // Around the size of a piece, and with more pieces than are under way.
        for size in [0, 1, (128 << 10) - 1, 128 << 10, (128 << 10) + 1, 10_000_019] {
            let content: Vec<u8> = (0..size).map(|at: usize| (at % 251) as u8).collect();
            let file = temp.write("file", &content);
            server.ok(["cp", &file, &path("copy")]);
            assert!(fs::read(path("copy")).unwrap() == content, "{size}");
            let ended = server.run(["cat", &file, &path("copy")]);
            assert!(
                (ended.code, ended.out == [&content[..], &content].concat()) == (Some(0), true)
            );
        }
        server.ok(["cp", "/proc/filesystems", &path("version")]);
        assert_eq!(fs::read("/proc/filesystems").unwrap(), fs::read(path("version")).unwrap());
        // A file in the way keeps its mode; a link in the way is written through.
        let (a, b) = (temp.write("a", "aaa"), temp.write("b", "b"));
        fs::set_permissions(&b, fs::Permissions::from_mode(0o400)).expect("a mode");
        server.ok(["cp", &a, &b]);
        assert_eq!((temp.read("b"), mode(&b)), ("aaa".into(), 0o400));
        server.ok(["cp", "-n", &path("file"), &b]);
        assert_eq!(temp.read("b"), "aaa");
        symlink("b", path("link")).expect("a link");
        fs::write(&a, "new").expect("a file");
        server.ok(["cp", &a, &path("link")]);
        assert_eq!((temp.read("b"), fs::read_link(path("link")).is_ok()), ("new".into(), true));
        server.ok(["cp", &path("link"), &path("followed")]);
        assert!(fs::symlink_metadata(path("followed")).unwrap().is_file());
        let left = fs::read_dir(temp.path()).unwrap().flatten().map(|e| e.file_name());
        assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("trunkline")));
    }
}

#[test]
fn copies_that_make_no_sense_are_refused() {
    for server in SERVERS {
        let temp = Temp::new();
        let path = |name: &str| temp.file(name);
        let a = temp.write("a", "kept");
        fs::create_dir_all(path("dir/sub")).expect("folders");
        fs::hard_link(&a, path("same")).expect("a link");
        symlink("dir", path("to-dir")).expect("a link");
        symlink("dir/sub", path("to-sub")).expect("a link");
        run(clean("mkfifo").arg(path("fifo"))).is(0, "", "");
        for (args, text) in [
            (&["cp", &a, &a][..], "same file"),
            (&["cp", &a, &path("same")], "same file"),
            (&["cp", &path("dir"), &path("new")], "Is a directory"),
            (&["cp", "-r", &path("dir"), &path("dir/sub")], "into itself"),
            (&["cp", "-r", &path("dir"), &path("to-sub")], "into itself"),
            (&["cp", "-r", &path("dir/"), &path("dir/new")], "into itself"),
            (&["cp", "-rT", &path("dir"), &path("to-dir")], "into itself"),
            (&["cp", "-T", &a, &path("dir")], "Is a directory"),
            (&["cp", &a, &path("fifo"), &path("no")], "Not a directory"),
            (&["cp", "-r", &path("fifo"), &path("new")], "a fifo is not copied"),
            (&["cp", &path("gone"), &path("new")], "No such file"),
            (&["cp", &a, &path("no/where")], "No such file"),
            (&["cp", "-r", &path("dir"), &a], "File exists"),
        ] {
            let lines = server.fails(args.iter().copied());
            assert!(lines.len() == 1 && lines[0].contains(text), "{args:?}: {lines:?}");
        }
        assert_eq!(temp.read("a"), "kept");
        let names = "./a\n./dir\n./dir/sub\n./fifo\n./same\n./to-dir\n./to-sub\n";
        assert_eq!(tree(temp.text(), "%p"), format!(".\n{names}"));
    }
}

#[test]
fn content_is_written_as_it_is() {
    for server in SERVERS {
        let temp = Temp::new();
        let all: Vec<u8> = (0..=255).collect();
        let (bin, gone) = (temp.write("bin", &all), temp.file("gone"));
        let ended = server.run(["cat", &bin, &gone, temp.text(), &bin]);
        assert_eq!((ended.code, &ended.out), (Some(1), &[&all[..], &all].concat()));
        assert_eq!(
            ended.lines(),
            [
                format!("fs cat: {gone}: No such file or directory"),
                format!("fs cat: {}: Is a directory", temp.text())
            ]
        );
        // What says it is empty is not.
        assert_eq!(
            server.ok(["cat", "/proc/filesystems"]),
            fs::read_to_string("/proc/filesystems").unwrap()
        );
        server.ok(["fsync", &bin, temp.text()]);
        let lines = server.fails(["fsync", &gone, &bin]);
        assert_eq!(lines, [format!("fs fsync: {gone}: No such file or directory")]);
        // Whoever reads it has seen enough, and nobody complains; a full disk is told.
        let big = temp.file("big");
        server.ok(["truncate", "-s", "50M", &big]);
        for command in ["cat", "ls -l"] {
            let script = format!(r#"{{ "$T" fs {command} "$F"; echo $? >&2; }} | true"#);
            let ended = run(shell(&script).env("F", &big).env("TRUNKLINE_VIA", server.via()));
            assert_eq!(ended.err, "0\n", "{ended:?}");
            let script = format!(r#"exec "$T" fs {command} "$F" >/dev/full"#);
            let ended = run(shell(&script).env("F", &big).env("TRUNKLINE_VIA", server.via()));
            assert_eq!(ended.code, Some(255), "{ended:?}");
            assert!(ended.line().contains("No space left on device"), "{ended:?}");
        }
    }
}

#[test]
fn a_copy_through_a_link_leaves_the_mode_of_what_is_behind_it() {
    for server in SERVERS {
        let temp = Temp::new();
        let (new, real) = (temp.write("new", "new"), temp.write("real", "old"));
        fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).expect("a mode");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).expect("a mode");
        symlink("real", temp.file("link")).expect("a link");
        server.ok(["cp", &new, &temp.file("link")]);
        assert_eq!((temp.read("real"), mode(&real)), ("new".into(), 0o600));
        server.ok(["cp", "-p", &new, &temp.file("link")]);
        assert_eq!(mode(&real), 0o644);
    }
}

#[test]
fn a_file_is_never_replaced_by_a_link_to_itself() {
    for server in SERVERS {
        let temp = Temp::new();
        let notes = temp.write("notes", "kept");
        fs::create_dir(temp.file("dir")).expect("a folder");
        symlink("notes", temp.file("other")).expect("a link");
        symlink(".", temp.file("here")).expect("a link");
        for args in [
            &["notes", "notes"][..],
            &["./notes", "notes"],
            &["dir/../notes", "notes"],
            &["here/notes", "notes"],
            &["other", "notes"],
            &[&notes, "here/notes"],
            &[&notes],
        ] {
            let line = ["ln", "-sf"].iter().chain(args).copied();
            let ended = run(server.fs(line).current_dir(temp.path()));
            assert_eq!(ended.code, Some(1), "{args:?} {ended:?}");
            assert!(ended.line().ends_with("are the same file"), "{args:?} {ended:?}");
        }
        assert_eq!(temp.read("notes"), "kept");
        assert!(fs::symlink_metadata(&notes).unwrap().is_file());
        // A file of that name elsewhere is another one, even where the inode is the same.
        fs::hard_link(&notes, temp.file("dir/notes")).expect("a link");
        server.ok(["ln", "-sf", "../notes", &temp.file("dir/notes")]);
        assert_eq!(temp.read("dir/notes"), "kept");
    }
}

#[test]
fn two_files_of_one_name_do_not_become_one() {
    for server in SERVERS {
        let temp = Temp::new();
        for dir in ["a/d", "b/d", "copied", "moved", "linked", "kept", "merged"] {
            fs::create_dir_all(temp.file(dir)).expect("folders");
        }
        for file in ["a/f", "b/f", "a/d/one", "b/d/two"] {
            temp.write(file, file);
        }
        let [a, b, gone] = ["a/f", "b/f", "no/f"].map(|name| temp.file(name));
        for (command, dir) in
            [(&["cp"][..], "copied"), (&["ln", "-f"], "linked"), (&["mv"], "moved")]
        {
            // The merged and the kept are about cp alone, and need what mv takes away.
            if command == ["mv"] {
                server.ok(["cp", "-n", &a, &b, &temp.file("kept")]);
                let [one, two] = ["a/d", "b/d"].map(|name| temp.file(name));
                server.ok(["cp", "-r", &one, &two, &temp.file("merged")]);
            }
            let dir = temp.file(dir);
            let lines = server.fails(command.iter().copied().chain([&*a, &b, &dir]));
            let told = format!("will not overwrite just-created {dir}/f with {b}");
            assert_eq!(lines, [format!("fs {}: {told}", command[0])]);
            assert_eq!(fs::read_to_string(format!("{dir}/f")).unwrap(), "a/f");
        }
        assert_eq!(tree(&temp.file("merged"), "%p"), ".\n./d\n./d/one\n./d/two\n");
        assert_eq!((temp.read("kept/f"), temp.read("b/f")), ("a/f".into(), "b/f".into()));
        // One that was not moved is not in the way.
        let lines = server.fails(["mv", &gone, &b, &temp.file("merged")]);
        assert!(lines.len() == 1 && lines[0].contains("No such file"), "{lines:?}");
        assert_eq!(temp.read("merged/f"), "b/f");
    }
}

#[test]
fn what_cannot_be_looked_at_is_not_moved_over() {
    for server in SERVERS {
        let temp = Temp::new();
        let (file, other) = (temp.write("file", "stays"), temp.write("other", ""));
        // The line is that of the look: the rename was not tried.
        let to = format!("{other}/new");
        let lines = server.fails(["mv", "-n", &file, &to]);
        assert_eq!(lines, [format!("fs mv: {to}: Not a directory")]);
        server.ok(["mv", "-n", &file, &temp.file("new")]);
        assert_eq!(temp.read("new"), "stays");
    }
}

#[test]
fn a_file_that_is_copied_over_keeps_its_owner() {
    assert!(rustix::process::getuid().is_root(), "this test gives files away");
    for server in SERVERS {
        let temp = Temp::new();
        let (new, there) = (temp.write("new", "new"), temp.write("there", "old"));
        fs::set_permissions(&there, fs::Permissions::from_mode(0o600)).expect("a mode");
        chown(&there, Some(1234), Some(5678)).expect("an owner");
        let owner = || fs::metadata(&there).map(|m| (m.uid(), m.gid())).expect("a file");
        server.ok(["cp", &new, &there]);
        assert_eq!(
            (temp.read("there"), owner(), mode(&there)),
            ("new".into(), (1234, 5678), 0o600)
        );
        server.ok(["cp", "-p", &new, &there]);
        assert_eq!(owner(), (0, 0));
    }
}

#[test]
fn a_copy_of_what_is_above_stays_in_the_target() {
    for server in SERVERS {
        let temp = Temp::new();
        fs::create_dir_all(temp.file("a/b")).expect("folders");
        fs::create_dir_all(temp.file("z/dst")).expect("folders");
        temp.write("a/file", "");
        server.ok(["cp", "-r", &temp.file("a/b/.."), &temp.file("z/dst")]);
        assert_eq!(tree(&temp.file("z"), "%p"), ".\n./dst\n./dst/b\n./dst/file\n");
    }
}
