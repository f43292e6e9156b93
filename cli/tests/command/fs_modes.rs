//! `trunkline fs chmod`, `chown`, `touch` and `truncate`, beside the programs they are like.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use crate::fs::{SERVERS, Server};
use crate::job::{clean, run};
use crate::temp::Temp;

fn mode(path: &str) -> u32 {
    fs::symlink_metadata(path).expect("a file").mode() & 0o7777
}

fn set(path: &str, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// Every symbolic mode that chmod's rules tell apart, and some numbers.
const MODES: [&str; 57] = [
    "0",
    "7",
    "644",
    "0755",
    "4755",
    "04755",
    "00755",
    "00000",
    "7777",
    "1777",
    "2000",
    "u+x",
    "u-r",
    "g=w",
    "o=",
    "a+t",
    "a-x",
    "ug+s",
    "u+s",
    "g+s",
    "o+s",
    "o+t",
    "u+t",
    "a=rwx",
    "=",
    "+x",
    "-x",
    "+w",
    "-w",
    "=r",
    "+t",
    "+s",
    "-s",
    "=s",
    "u=rwx,go=rx",
    "u+x,go-w",
    "a=rX",
    "a+X",
    "u=rwX,g=u-w,o=g",
    "g=u",
    "g+o",
    "u-g",
    "g=u,u=",
    "go+u",
    "a=u",
    "=u",
    "+u",
    "u+r-w+x",
    "ug=rw+X",
    "+111",
    "-222",
    "=640",
    "=07777",
    "u=s",
    "ug=rwxs",
    "o=rwxt",
    "u=rws,g=x",
];

#[test]
fn modes_come_out_as_chmod_makes_them() {
    let temp = Temp::new();
    // A file and a folder for each mode to begin with; all of one kind get one command.
    let begins = [0o000, 0o644, 0o755, 0o4751, 0o2640, 0o7777, 0o1070];
    let paths = |who: &str| -> Vec<String> {
        let path = |(kind, begin): (&str, u32)| temp.file(&format!("{who}-{kind}-{begin:o}"));
        ["file", "dir"]
            .iter()
            .flat_map(|kind| begins.map(|begin| (*kind, begin)))
            .map(path)
            .collect()
    };
    let sides = ["ours", "real"].map(paths);
    for path in sides.iter().flatten() {
        if path.contains("-dir-") { fs::create_dir(path) } else { fs::write(path, "") }
            .expect("made");
    }
    for server in SERVERS {
        let mut differ = Vec::new();
        for text in MODES {
            for path in sides.iter().flatten() {
                let begin = path.rsplit('-').next().expect("a mode");
                set(path, u32::from_str_radix(begin, 8).expect("octal"));
            }
            let [ours, real] = &sides;
            run(server.fs(["chmod", text]).args(ours)).is(0, "", "");
            let changed = run(clean("chmod").args(["--", text]).args(real));
            assert!(!changed.err.contains("invalid mode"), "{changed:?}");
            for (ours, real) in ours.iter().zip(real) {
                if mode(ours) != mode(real) {
                    differ.push(format!("{text} {ours}: {:o}, not {:o}", mode(ours), mode(real)));
                }
            }
        }
        assert!(differ.is_empty(), "{differ:#?}");
    }
}

#[test]
fn what_is_no_mode_is_bad_usage() {
    let temp = Temp::new();
    let file = temp.write("file", "");
    set(&file, 0o640);
    for text in ["", "8", "u", "rw", "u+q", "77777", "u+x,", "u+7", "a=rr,,", "o=ug"] {
        let ended = Server::Go.run(["chmod", text, &file]);
        assert_eq!((ended.code, ended.text()), (Some(2), ""), "{text:?} {ended:?}");
        assert!(
            run(clean("chmod").args([text, &file])).code != Some(0),
            "{text:?} is one after all"
        );
    }
    assert_eq!(mode(&file), 0o640);
}

#[test]
fn trees_are_changed_and_links_in_them_left_alone() {
    for server in SERVERS {
        let temp = Temp::new();
        fs::create_dir_all(temp.file("tree/sub/deep")).expect("folders");
        let outside = temp.write("outside", "");
        set(&outside, 0o600);
        let files: Vec<_> = (0..200).map(|n| temp.write(&format!("tree/sub/{n}"), "")).collect();
        symlink(&outside, temp.file("tree/sub/link")).expect("a link");
        symlink("tree", temp.file("to-tree")).expect("a link");
        let tree = temp.file("tree");
        server.ok(["chmod", "-R", "u=rwX,go=", &tree]);
        assert!(files.iter().all(|file| mode(file) == 0o600));
        assert_eq!([mode(&tree), mode(&temp.file("tree/sub/deep"))], [0o700, 0o700]);
        server.ok(["chmod", "-R", "-x+X", &temp.file("to-tree")]);
        server.ok(["chmod", "-R", "a+rX", &tree]);
        assert_eq!([mode(&files[0]), mode(&tree), mode(&outside)], [0o644, 0o755, 0o600]);
        // Where it is named, it is followed.
        server.ok(["chmod", "640", &temp.file("tree/sub/link")]);
        assert_eq!(mode(&outside), 0o640);
        let gone = temp.file("gone");
        for flags in [&["chmod", "600"][..], &["chmod", "-R", "600"], &["chmod", "u+x"]] {
            let lines = server.fails(flags.iter().copied().chain([gone.as_str(), &outside]));
            assert_eq!(lines, [format!("fs chmod: {gone}: No such file or directory")]);
            set(&outside, 0o600);
        }
    }
}

#[test]
fn owners_are_set_by_number() {
    assert!(rustix::process::getuid().is_root(), "this test gives files away");
    for server in SERVERS {
        let temp = Temp::new();
        fs::create_dir(temp.file("tree")).expect("a folder");
        let (file, outside) = (temp.write("tree/file", ""), temp.write("outside", ""));
        symlink(&outside, temp.file("tree/link")).expect("a link");
        let owner = |path: &str| {
            let stat = fs::symlink_metadata(path).expect("a file");
            (stat.uid(), stat.gid())
        };
        server.ok(["chown", "12", &file]);
        assert_eq!(owner(&file), (12, 0));
        server.ok(["chown", ":34", &file]);
        assert_eq!(owner(&file), (12, 34));
        // 0 is not on the wire, and root all the same.
        server.ok(["chown", "0:0", &file]);
        assert_eq!(owner(&file), (0, 0));
        server.ok(["chown", "-R", "56:78", &temp.file("tree")]);
        assert_eq!([owner(&file), owner(&temp.file("tree"))], [(56, 78), (56, 78)]);
        assert_eq!([owner(&outside), owner(&temp.file("tree/link"))], [(0, 0), (0, 0)]);
        server.ok(["chown", "9", &temp.file("tree/link")]);
        assert_eq!(owner(&outside), (9, 0));
        for name in ["root", "www-data:7", "7:users", "", ":", "4294967295"] {
            let ended = server.run(["chown", name, &file]);
            assert_eq!((ended.code, ended.text()), (Some(2), ""), "{ended:?}");
            assert!(ended.err.contains("number"), "{ended:?}");
        }
        let gone = temp.file("gone");
        let lines = server.fails(["chown", "1", &gone]);
        assert_eq!(lines, [format!("fs chown: {gone}: No such file or directory")]);
    }
}

/// Times of access and modification, in nanoseconds.
fn times(path: &str) -> (i64, i64) {
    let stat = fs::metadata(path).expect("a file");
    let nanos = |seconds: i64, nanos: i64| seconds * 1_000_000_000 + nanos;
    (nanos(stat.atime(), stat.atime_nsec()), nanos(stat.mtime(), stat.mtime_nsec()))
}

#[test]
fn times_are_set_as_touch_sets_them() {
    for server in SERVERS {
        let temp = Temp::new();
        let (ours, real) = (temp.file("ours"), temp.file("real"));
        for zone in ["UTC", "Europe/Berlin", "America/St_Johns"] {
            for date in [
                "2026-11-21",
                "2026-11-21 17:02",
                "2026-07-21 17:02:25",
                "2026-11-21T17:02:25.123456789",
                "2026-11-21T17:02:25Z",
                "2026-11-21 17:02:25.5+01:00",
                "2026-11-21T17:02:25-08:00",
                "@0",
                "@1795276945",
                "@1795276945.000000001",
                "@-86400",
                "1969-12-31 23:59:59",
            ] {
                let touch = run(server.fs(["touch", "-d", date, &ours]).env("TZ", zone));
                touch.is(0, "", "");
                run(clean("touch").args(["-d", date, &real]).env("TZ", zone)).is(0, "", "");
                assert_eq!(times(&ours), times(&real), "{date} in {zone}");
            }
        }
        let set = |flags: &[&str]| {
            server.ok(["touch"].into_iter().chain(flags.iter().copied()).chain([ours.as_str()]));
            let (access, modification) = times(&ours);
            (access / 1_000_000_000, modification / 1_000_000_000)
        };
        assert_eq!(set(&["-d", "@5"]), (5, 5));
        assert_eq!(set(&["-a", "-d", "@6"]), (6, 5));
        assert_eq!(set(&["-m", "-d", "@7"]), (6, 7));
        assert_eq!(set(&["-am", "-d", "@8"]), (8, 8));
        server.ok(["touch", "-d", "@9", &real]);
        assert_eq!(set(&["-a", "-r", &real]), (9, 8));
        let before = std::time::SystemTime::now();
        assert!(
            set(&[]).1 >= before.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
        );
        assert!(fs::metadata(&ours).unwrap().modified().unwrap() >= before);
    }
}

#[test]
fn touch_makes_what_is_not_there_unless_told_not_to() {
    for server in SERVERS {
        let temp = Temp::new();
        let (new, other, deep) = (temp.file("new"), temp.file("other"), temp.file("no/dir"));
        server.ok(["touch", "-c", &other]);
        server.ok(["touch", &new, "-d", "@5"]);
        assert!(!fs::exists(&other).unwrap());
        assert_eq!((times(&new).1, mode(&new)), (5_000_000_000, 0o644));
        let lines = server.fails(["touch", &deep, &other]);
        assert_eq!(lines, [format!("fs touch: {deep}: No such file or directory")]);
        assert!(fs::exists(&other).unwrap());
        for date in ["yesterday", "", "@", "2026-02-30", "3000-01-01"] {
            let ended = server.run(["touch", "-d", date, &other]);
            assert_eq!((ended.code, ended.err.contains("--date")), (Some(2), true), "{ended:?}");
        }
        let lines = server.fails(["touch", "-r", &temp.file("gone"), &new]);
        assert_eq!(lines.len(), 1);
        assert_eq!(times(&new).1, 5_000_000_000);
    }
}

#[test]
fn sizes_are_set_as_truncate_sets_them() {
    for server in SERVERS {
        let temp = Temp::new();
        let (ours, real) = (temp.write("ours", "123456789"), temp.write("real", "123456789"));
        for size in
            ["5", "+3", "-2", "<4", ">100", "<200", "1K", "2KB", "1MiB", "-2M", "0", "7", "+0", "0"]
        {
            for no_create in [None, Some("-c")] {
                run(server.fs(["truncate", "-s", size]).args(no_create).arg(&ours)).is(0, "", "");
                run(clean("truncate").args(["-s", size]).args(no_create).arg(&real)).is(0, "", "");
                assert_eq!(
                    fs::read(&ours).unwrap(),
                    fs::read(&real).unwrap(),
                    "{size} {no_create:?}"
                );
            }
        }
        let (new, other) = (temp.file("new"), temp.file("other"));
        server.ok(["truncate", "-c", "-s", "+5", &other]);
        server.ok(["truncate", "-s", "1T", &new]);
        assert_eq!(fs::metadata(&new).unwrap().len(), 1 << 40);
        server.ok(["truncate", "-s0", &new, &temp.file("empty")]);
        assert_eq!(
            [fs::metadata(&new).unwrap().len(), fs::metadata(temp.file("empty")).unwrap().len()],
            [0, 0]
        );
        assert!(!fs::exists(&other).unwrap());
        let lines = server.fails(["truncate", "-s", "5", temp.text(), &new]);
        assert_eq!(lines, [format!("fs truncate: {}: Is a directory", temp.text())]);
        assert_eq!(fs::metadata(&new).unwrap().len(), 5);
        for size in ["", "x", "++1", "1Q", "99999999999999999999"] {
            assert_eq!(server.run(["truncate", "-s", size, &new]).code, Some(2), "{size}");
        }
        let lines = server.fails(["truncate", "-s", "+9223372036854775807", &new]);
        assert_eq!(lines, [format!("fs truncate: {new}: file too large")]);
    }
}
