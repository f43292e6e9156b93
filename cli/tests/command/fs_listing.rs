//! `trunkline fs ls`, `stat`, `readlink`, `df` and `pwd`, beside the programs they are like.

use std::fs::{self, FileTimes};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::fs::SERVERS;
use crate::job::{PROGRAM, clean, run, trunkline};
use crate::temp::Temp;

/// A folder with something of everything.
fn folder() -> Temp {
    let temp = Temp::new();
    let now = SystemTime::now();
    for (name, size, mode, age) in [
        ("new", 0, 0o644, 0),
        ("small", 9, 0o4755, 3_600),
        (".hidden", 100, 0o600, 100),
        ("large", 1_234_567, 0o1777, 86_400 * 100),
        ("old", 1_024, 0o2640, 86_400 * 400),
        ("zoo", 1_023, 0o000, 86_400 * 190),
    ] {
        let path = temp.write(name, vec![b'x'; size]);
        let file = fs::File::options().write(true).open(&path).expect("a file");
        let time = now - Duration::from_secs(age);
        file.set_times(FileTimes::new().set_modified(time)).expect("times");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }
    fs::create_dir_all(temp.file("dir/below/deep")).expect("folders");
    temp.write("dir/file", "in it");
    symlink("small", temp.file("link")).expect("a link");
    symlink("nowhere/at all", temp.file("dangling")).expect("a link");
    symlink("dir", temp.file("to-dir")).expect("a link");
    run(clean("mkfifo").arg(temp.file("fifo"))).is(0, "", "");
    temp
}

const STYLES: [&str; 3] = ["locale", "long-iso", "full-iso"];

/// The output of the system's `ls` is ours to the byte, where numbers stand for names.
#[test]
fn listings_are_those_of_ls() {
    let temp = folder();
    for server in SERVERS {
        for flags in [
            "", "-a", "-A", "-l", "-lA", "-la", "-lh", "-lt", "-ltr", "-lS", "-lSr", "-r", "-R",
            "-lR", "-d", "-ld", "-1", "-ltSA", "-lStA",
        ] {
            let styles = if flags.starts_with("-l") { &STYLES[..] } else { &STYLES[..1] };
            for style in styles {
                let style = format!("--time-style={style}");
                for names in [&["."][..], &["link", "dir", "new"], &["to-dir"], &["to-dir/", "dir"]]
                {
                    // Others make folders beside this one.
                    if flags.contains('a') && names == ["."] {
                        continue;
                    }
                    let flags: Vec<_> = flags.split_whitespace().chain([style.as_str()]).collect();
                    let numbers = flags[0].starts_with("-l").then_some("-n");
                    let mut real = clean("ls");
                    real.args(numbers).args(&flags).arg("--").args(names);
                    let real = run(real.current_dir(temp.path()));
                    let mut ours = server.fs(["ls"]);
                    let ours =
                        run(ours.args(&flags).arg("--").args(names).current_dir(temp.path()));
                    assert_eq!(ours.text(), real.text(), "{server:?} {flags:?} {names:?}");
                    assert_eq!((ours.code, ours.err.as_str()), (Some(0), ""));
                }
            }
            if flags != "-lt" {
                continue;
            }
            let real = run(clean("ls").args(["-lnA", "/dev"]));
            assert_eq!(server.ok(["ls", "-lA", "/dev"]), real.text());
        }
    }
}

#[test]
fn without_a_path_it_is_the_agents_directory() {
    let temp = folder();
    for server in SERVERS {
        let ours = run(server.fs(["ls", "dir"]).current_dir(temp.path()));
        ours.is(0, "below\nfile\n", "");
        let ours = run(server.fs(["ls"]).current_dir(temp.file("dir")));
        ours.is(0, "below\nfile\n", "");
        let pwd = run(server.fs(["pwd"]).current_dir(temp.file("dir")));
        pwd.is(0, &format!("{}\n", temp.file("dir")), "");
        assert_eq!(
            server.json(["pwd"])[0]["path"],
            std::env::current_dir().unwrap().to_str().unwrap()
        );
    }
}

#[test]
fn what_cannot_be_listed_is_told_and_the_rest_is_listed() {
    let temp = folder();
    let (dir, new, gone) = (temp.file("dir"), temp.file("new"), temp.file("gone"));
    for server in SERVERS {
        let ended = server.run(["ls", &gone, &dir, &new]);
        assert_eq!(ended.code, Some(1));
        assert_eq!(ended.text(), format!("{new}\n\n{dir}:\nbelow\nfile\n"));
        assert_eq!(ended.err, format!("trunkline: fs ls: {gone}: No such file or directory\n"));
        let ended = server.run(["ls", "-l", "/etc/passwd/x", ""]);
        assert_eq!(ended.code, Some(1));
        assert_eq!(
            ended.lines(),
            ["fs ls: /etc/passwd/x: Not a directory", "fs ls: '': No such file or directory"]
        );
    }
}

/// What a stat of this file tells, by this system.
fn facts(path: &str, follow: bool) -> Value {
    let stat =
        if follow { fs::metadata(path) } else { fs::symlink_metadata(path) }.expect("a file");
    let kind = match stat.mode() & 0o170_000 {
        0o100_000 => "file",
        0o040_000 => "directory",
        0o120_000 => "symlink",
        0o010_000 => "fifo",
        0o140_000 => "socket",
        0o060_000 => "block",
        0o020_000 => "character",
        _ => "unknown",
    };
    let nanos = |seconds: i64, nanos: i64| seconds * 1_000_000_000 + nanos;
    let mut facts = json!({
        "path": path,
        "name": path.trim_end_matches('/').rsplit('/').next().filter(|n| !n.is_empty()).unwrap_or("/"),
        "type": kind,
        "mode": stat.mode() & 0o7777,
        "size": stat.size(),
        "mtime": nanos(stat.mtime(), stat.mtime_nsec()),
        "ctime": nanos(stat.ctime(), stat.ctime_nsec()),
        "uid": stat.uid(),
        "gid": stat.gid(),
        "links": stat.nlink(),
        "inode": stat.ino(),
        "blocks": stat.blocks(),
        "block_size": stat.blksize(),
        "rdev": stat.rdev(),
    });
    if kind == "symlink" {
        facts["target"] = fs::read_link(path).expect("a link").to_str().expect("UTF-8").into();
    }
    facts
}

/// Without the time of access, which looking changes.
fn without_atime(mut facts: Value) -> Value {
    let atime = facts.as_object_mut().expect("an object").remove("atime");
    assert!(atime.is_some_and(|time| time.is_i64()));
    facts
}

#[test]
fn json_tells_everything_of_every_kind_of_file() {
    let temp = folder();
    let names = ["new", "small", "large", "old", "zoo", "dir", "link", "dangling", "fifo", "."];
    let paths = names.map(|name| temp.file(name));
    let paths: Vec<_> = paths.iter().map(String::as_str).chain(["/dev/null", "/"]).collect();
    for server in SERVERS {
        let told = server.json(["stat"].into_iter().chain(paths.iter().copied()));
        assert_eq!(told.len(), paths.len());
        for (told, path) in told.into_iter().zip(&paths) {
            assert_eq!(without_atime(told), facts(path, false), "{server:?}");
        }
        let link = temp.file("link");
        let followed = server.json(["stat", "-L", &link]).remove(0);
        assert_eq!(without_atime(followed)["inode"], facts(&temp.file("small"), false)["inode"]);
        // A listing tells the same.
        for told in server.json(["ls", "-A", temp.text()]) {
            let path = told["path"].as_str().expect("a path").to_owned();
            assert_eq!(without_atime(told), facts(&path, false), "{server:?}");
        }
    }
}

#[test]
fn stat_shows_what_stat_shows() {
    let temp = folder();
    for server in SERVERS {
        for name in ["new", "small", "large", "dir", "link", "dangling", "fifo"] {
            let path = temp.file(name);
            let ours = server.ok(["stat", &path]);
            let format = "%N|%s|%b|%o|%F|%i|%h|(%04a/%A)|%u|%g|%y|%z";
            let real = run(clean("stat").args(["-c", format, &path]));
            let ours = ours.split_whitespace().collect::<Vec<_>>().join(" ");
            for (index, fact) in real.text().trim().split('|').enumerate() {
                let fact = fact.replace('\'', "");
                assert!(ours.contains(&fact), "{index}: {fact:?} is not in {ours:?}");
            }
        }
        let null = server.ok(["stat", "/dev/null"]);
        assert!(null.contains("character special file") && null.contains("Device type: 1,3"));
    }
}

#[test]
fn targets_of_links_are_told_as_they_are_stored() {
    let temp = folder();
    symlink("../a//b/./c\n\x1b[1m", temp.file("odd")).expect("a link");
    for server in SERVERS {
        let (link, dangling, odd) = (temp.file("link"), temp.file("dangling"), temp.file("odd"));
        assert_eq!(server.ok(["readlink", &link, &dangling]), "small\nnowhere/at all\n");
        assert_eq!(server.ok(["readlink", &odd]), "../a//b/./c\\n\\u{1b}[1m\n");
        let json = server.json(["readlink", &odd]).remove(0);
        assert_eq!(json, json!({"path": odd, "target": "../a//b/./c\n\x1b[1m"}));
        let new = temp.file("new");
        assert_eq!(
            server.fails(["readlink", &new]),
            [format!("fs readlink: {new}: Invalid argument")]
        );
    }
}

/// The columns of a line of the system's `df`, and of ours.
fn columns(text: &str) -> Vec<Vec<String>> {
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    text.lines().skip(1).map(columns).collect()
}

#[test]
fn room_is_what_df_tells() {
    let paths = ["/proc", "/dev", "/"];
    for server in SERVERS {
        for flags in [&[][..], &["-h"], &["-i"]] {
            // Others write meanwhile: what is used and free changes, and what there is does not.
            let real =
                run(clean("df").args(flags).args(["--output=size,used,avail,pcent"]).args(paths));
            let real = if flags == ["-i"] {
                run(clean("df").args(["--output=itotal,iused,iavail,ipcent"]).args(paths))
            } else {
                real
            };
            let ours = server.ok(["df"].into_iter().chain(flags.iter().copied()).chain(paths));
            let (real, ours) = (columns(real.text()), columns(&ours));
            assert_eq!((ours.len(), real.len()), (3, 3));
            for ((ours, real), path) in ours.iter().zip(&real).zip(paths) {
                assert_eq!((&ours[0], ours[4].as_str()), (&real[0], path), "{flags:?}");
                if path == "/proc" {
                    assert_eq!(ours[..4], real[..4], "{flags:?}");
                }
                let percent = |text: &str| text.trim_end_matches('%').parse::<i64>().unwrap_or(-1);
                assert!((percent(&ours[3]) - percent(&real[3])).abs() <= 2, "{ours:?} {real:?}");
            }
        }
        let told = server.json(["df", "/"]).remove(0);
        let real = rustix::fs::statvfs("/").expect("a file system");
        assert_eq!(told["path"], "/");
        assert_eq!(told["size"], real.f_blocks * real.f_frsize);
        assert_eq!(told["files"], real.f_files);
        assert_eq!(told["name_length"], real.f_namemax);
        assert_eq!(
            (&told["block_size"], &told["fragment_size"]),
            (&json!(real.f_bsize), &json!(real.f_frsize))
        );
        let number = |key: &str| told[key].as_u64().expect(key);
        assert_eq!(number("used") + number("free"), number("size"));
        assert!(number("available") <= number("free"));
        let gone = server.run(["df", "/no/such", "/proc"]);
        assert_eq!(
            (gone.code, gone.line()),
            (Some(1), "fs df: /no/such: No such file or directory")
        );
        assert_eq!(gone.text().lines().count(), 2);
    }
}

#[test]
fn above_the_root_of_an_agent_is_the_root() {
    let temp = folder();
    let via = format!("{PROGRAM} agent --root {}", temp.text());
    let list = |flags: &str, path: &str| {
        let ended = run(trunkline(["fs", "ls", flags, path]).env("TRUNKLINE_VIA", &via));
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{flags} {path}: {ended:?}");
        ended.text().to_owned()
    };
    for path in ["/", "."] {
        let names = list("-a", path);
        assert!(names.starts_with(".\n..\n.hidden\n"), "{names}");
        let long = list("-la", path);
        let lines: Vec<_> = long.lines().collect();
        assert_eq!(lines[1].strip_suffix('.'), lines[2].strip_suffix(".."), "{long}");
    }
}
