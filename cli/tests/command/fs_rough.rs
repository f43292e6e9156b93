//! `trunkline fs` where things are rough: odd names, long paths, loops, lost agents, signals.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::crafted::{Crafted, frames_of};
use crate::fs::SERVERS;
use crate::job::{Job, clean, run, trunkline};
use crate::marker::Marker;
use crate::temp::Temp;

/// Commands with one operand, which only look.
const LOOKS: [&[&str]; 9] = [
    &["ls"],
    &["ls", "-l"],
    &["ls", "-d"],
    &["stat"],
    &["stat", "-L"],
    &["cat"],
    &["df"],
    &["fsync"],
    &["readlink"],
];

/// Commands with one operand, which change something.
const CHANGES: [&[&str]; 12] = [
    &["rm"],
    &["rm", "-r"],
    &["rm", "-d"],
    &["mkdir"],
    &["mkdir", "-p"],
    &["chmod", "600"],
    &["chmod", "-R", "u+x"],
    &["chown", "0"],
    &["touch"],
    &["truncate", "-s", "5"],
    &["truncate", "-s", "+1"],
    &["truncate", "-s", "0"],
];

#[test]
fn odd_names_come_through_and_never_reach_the_terminal_as_they_are() {
    let odd =
        ["new\nline", "\x1b[2Jesc", "tab\there", " space ", "ünï", "-dash", "a\u{202e}b", "\\n"];
    let shown = [
        "new\\nline",
        "\\u{1b}[2Jesc",
        "tab\\there",
        " space ",
        "ünï",
        "-dash",
        "a\\u{202e}b",
        "\\n",
    ];
    for server in SERVERS {
        let temp = Temp::new();
        for name in odd {
            temp.write(name, name);
        }
        let long = server.ok(["ls", "-l", temp.text()]);
        let plain = server.ok(["ls", temp.text()]);
        for text in [&long, &plain] {
            assert!(shown.iter().all(|name| text.contains(name)), "{text:?}");
            assert!(!text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'));
        }
        assert_eq!((plain.lines().count(), long.lines().count()), (odd.len(), odd.len() + 1));
        let names = server.json(["ls", temp.text()]);
        let mut names: Vec<_> = names.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
        let mut expected = odd.to_vec();
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected);
        for name in odd {
            let run =
                |command: &str| run(server.fs([command, "--", name]).current_dir(temp.path()));
            assert_eq!(run("cat").text(), name);
            let stat = run("stat");
            assert!(stat.code == Some(0) && !stat.text().contains('\x1b'), "{stat:?}");
            run("rm").is(0, "", "");
            let gone = run("rm");
            assert_eq!((gone.code, gone.err.lines().count()), (Some(1), 1), "{gone:?}");
            assert!(!gone.err.contains('\x1b') && gone.line().contains("No such file"), "{gone:?}");
        }
    }
}

#[test]
fn arguments_that_are_not_utf_8_are_refused_before_anything_is_asked() {
    let commands = LOOKS.iter().chain(&CHANGES).copied();
    for command in commands.chain([&["mv", "a"][..], &["cp", "a"], &["ln", "a"], &["touch", "-r"]])
    {
        // Nothing leads to an agent there.
        let mut fs = trunkline(["fs", "--via", "touch asked"]);
        let temp = Temp::new();
        fs.args(command).arg(OsStr::from_bytes(b"caf\xe9")).current_dir(temp.path());
        let ended = run(&mut fs);
        assert_eq!((ended.code, ended.text()), (Some(2), ""), "{command:?} {ended:?}");
        assert!(ended.err.contains("UTF-8"), "{command:?} {ended:?}");
        assert!(!fs::exists(temp.file("asked")).unwrap());
    }
}

#[test]
fn a_path_of_5000_bytes_is_told_by_every_command() {
    let path = "/d".repeat(2_500);
    for server in SERVERS {
        for command in LOOKS.iter().chain(&CHANGES) {
            let lines = server.fails(command.iter().copied().chain([path.as_str()]));
            assert_eq!(lines, [format!("fs {}: {path}: File name too long", command[0])]);
        }
        for command in [&["mv"][..], &["cp"], &["cp", "-r"], &["ln"]] {
            let lines = server.fails(command.iter().copied().chain(["/proc/filesystems", &path]));
            assert_eq!(lines.len(), 1);
            assert!(lines[0].ends_with("File name too long"), "{lines:?}");
        }
    }
}

#[test]
fn a_loop_of_links_is_told_and_can_be_looked_at_and_removed() {
    for server in SERVERS {
        let temp = Temp::new();
        symlink("two", temp.file("one")).expect("a link");
        symlink("one", temp.file("two")).expect("a link");
        let (one, copy) = (temp.file("one"), temp.file("copy"));
        for command in [&["cat"][..], &["stat", "-L"], &["chmod", "-R", "700"], &["touch"], &["df"]]
        {
            let lines = server.fails(command.iter().copied().chain([one.as_str()]));
            let why = "Too many levels of symbolic links";
            assert_eq!(lines, [format!("fs {}: {one}: {why}", command[0])]);
        }
        let long = server.ok(["ls", "-l", &one, temp.text()]);
        assert_eq!(long.matches(" -> two").count(), 2, "{long}");
        assert_eq!(server.ok(["readlink", &one]), "two\n");
        server.ok(["cp", "-r", temp.text(), &format!("{}-copy", temp.text())]);
        let copied = format!("{}-copy/one", temp.text());
        assert_eq!(fs::read_link(&copied).unwrap().to_str(), Some("two"));
        server.ok(["rm", "-r", &format!("{}-copy", temp.text())]);
        server.fails(["cp", &one, &copy]);
        server.ok(["rm", &one]);
        assert!(!fs::exists(copy).unwrap());
    }
}

/// The operations that a session asked for, in order; its bytes pass through `tee`, into the file
/// first.
fn operations(temp: &Temp) -> Vec<u64> {
    let frames = frames_of(&fs::read(temp.file("asked")).expect("a session"));
    let op = |frame: &Value| frame["fop"]["op"].as_u64();
    frames.iter().map(|frame| op(frame).expect("a request")).collect()
}

#[test]
fn ten_thousand_entries_are_listed_in_a_handful_of_requests() {
    for server in SERVERS {
        let temp = Temp::new();
        fs::create_dir(temp.file("big")).expect("a folder");
        for number in 0..10_000 {
            fs::File::create(temp.file(&format!("big/{number}"))).expect("a file");
        }
        let via = format!("tee /dev/fd/3 3>&1 >{} | {}", temp.file("asked"), server.via());
        for flags in ["-l", "-lat", "-R"] {
            let ended = run(server.fs(["ls", flags, &temp.file("big")]).args(["--via", &via]));
            assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
            assert!(ended.text().lines().count() >= 10_000);
            let asked = operations(&temp);
            assert!(asked.len() <= 5, "{flags}: {asked:?}");
        }
        // Removing them is one request each, and few more.
        let ended = run(server.fs(["rm", "-r", &temp.file("big")]).args(["--via", &via]));
        ended.is(0, "", "");
        assert!(operations(&temp).len() <= 10_005);
    }
}

#[test]
fn an_agent_that_is_none_is_255_and_a_line() {
    for (via, text) in [
        ("true", "ended"),
        ("no-such-program", "ended"),
        ("echo Welcome to host", "Welcome to host"),
        ("printf '\\033[1mhello\\n'", "\\u{1b}[1mhello"),
        ("head -c 100000 /dev/zero", "\\u{0}"),
    ] {
        for command in LOOKS.iter().chain(&CHANGES) {
            let ended = run(trunkline(["fs", "--via", via]).args(*command).arg("/tmp/none"));
            assert_eq!((ended.code, ended.text()), (Some(255), ""), "{via} {ended:?}");
            let line = ended.line();
            assert!(line.starts_with(&format!("fs {}: ", command[0])), "{ended:?}");
            assert!(line.contains(text) && !line.contains('\x1b'), "{via} {ended:?}");
        }
    }
}

#[test]
fn an_agent_that_is_lost_midway_is_255_and_one_line() {
    for server in SERVERS {
        let temp = Temp::new();
        let big = temp.file("big");
        server.ok(["truncate", "-s", "20M", &big]);
        let via = format!("{} | stdbuf -o0 head -c 1000000", server.via());
        let copy = temp.file("copy");
        for command in [&["cat", &big][..], &["cp", &big, &copy], &["cat", &big, "/no", &big]] {
            let ended = run(server.fs(command.iter().copied()).args(["--via", &via]));
            assert_eq!(ended.code, Some(255), "{ended:?}");
            let line = ended.line();
            assert!(
                line.starts_with(&format!("fs {}: {big}: the agent was lost: ", command[0])),
                "{line}"
            );
            assert!(ended.out.len() < 1_000_000);
            assert!(!fs::exists(&copy).unwrap(), "half a file has the name");
        }
        // Between two answers of many.
        let names: Vec<_> = (0..3_000).map(|number| temp.file(&number.to_string())).collect();
        let via = format!("{} | stdbuf -o0 head -c 20000", server.via());
        let ended = run(server.fs(["touch", "--via", &via]).args(&names));
        assert_eq!((ended.code, ended.lines().len()), (Some(255), 1), "{ended:?}");
    }
}

#[test]
fn a_silent_agent_is_given_up_at_the_timeout() {
    let marker = Marker::new();
    let via = format!("sleep {}", marker.text());
    let ended = run(&mut trunkline(["fs", "ls", "--answer-timeout", "1", "--via", &via]));
    assert_eq!((ended.code, ended.text()), (Some(255), ""), "{ended:?}");
    assert!(ended.line().contains("no answer"), "{ended:?}");
    marker.gone();
}

/// An agent that has said something, and then nothing.
#[test]
fn a_request_is_given_up_at_the_timeout() {
    let agent = Crafted::frames(&[json!({"t": 7})]);
    let via = format!("{}; cat >/dev/null; :", agent.says());
    let timeouts = ["--answer-timeout", "0", "--request-timeout", "1"];
    let ended = run(trunkline(["fs", "ls", "--via", &via]).args(timeouts));
    assert_eq!((ended.code, ended.text()), (Some(255), ""), "{ended:?}");
    assert!(ended.line().contains("no answer"), "{ended:?}");
}

#[test]
fn an_interrupt_ends_it_at_once_and_leaves_nothing_running() {
    let signals = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)];
    for (signal, code) in signals {
        let marker = Marker::new();
        let via = format!("sleep {}", marker.text());
        let mut job = Job::start(&mut trunkline(["fs", "cat", "/dev/zero", "--via", &via]));
        marker.sleeps();
        job.signal_group(signal);
        assert_eq!(job.wait().code(), Some(code));
        marker.gone();
    }
    for server in SERVERS {
        for (signal, code) in signals {
            let temp = Temp::new();
            let big = temp.file("big");
            server.ok(["truncate", "-s", "1G", &big]);
            // Nobody reads what it writes: it is stuck, and ends all the same.
            let (reader, writer) = std::io::pipe().expect("a pipe");
            let mut job = Job::start_as_is(server.fs(["cat", &big]).stdout(writer));
            let mut some = [0; 1];
            std::io::Read::read_exact(&mut &reader, &mut some).expect("it writes");
            job.signal(signal);
            assert_eq!(job.wait().code(), Some(code));
        }
    }
}

/// An agent that runs as nobody, in a tree of root's.
#[test]
fn what_is_not_permitted_is_told_and_the_rest_is_done() {
    assert!(rustix::process::getuid().is_root(), "this test gives rights up");
    for server in SERVERS {
        let temp = Temp::new();
        let program = temp.file("agent");
        let via = server.via();
        let (own, flags) = via.split_once(' ').expect("a program and its flags");
        // Where nobody can read it.
        fs::copy(own, &program).expect("a program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
        let via = format!("setpriv --reuid=65534 --regid=65534 --clear-groups {program} {flags}");
        let secret = temp.write("secret", "");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("a mode");
        fs::create_dir_all(temp.file("tree/roots")).expect("folders");
        fs::create_dir_all(temp.file("tree/nobodys")).expect("folders");
        for dir in ["roots", "nobodys"] {
            temp.write(&format!("tree/{dir}/file"), "");
        }
        run(clean("chown").args(["-R", "65534:65534", &temp.file("tree")])).is(0, "", "");
        run(clean("chown").args(["-R", "0:0", &temp.file("tree/roots")])).is(0, "", "");
        let run = |args: &[&str]| run(server.fs(args.iter().copied()).args(["--via", &via]));
        let ended = run(&["cat", &secret, "/proc/filesystems"]);
        assert!(ended.code == Some(1) && !ended.text().is_empty(), "{ended:?}");
        assert_eq!(ended.line(), format!("fs cat: {secret}: Permission denied"));
        let new = temp.file("new");
        for args in [&["mkdir", &new][..], &["touch", &new], &["cp", "/proc/filesystems", &new]] {
            assert_eq!(run(args).line(), format!("fs {}: {new}: Permission denied", args[0]));
        }
        let ended = run(&["chmod", "777", &secret]);
        assert_eq!(ended.line(), format!("fs chmod: {secret}: Operation not permitted"));
        // What could not be removed is told once, not again for every directory above it.
        let ended = run(&["rm", "-r", &temp.file("tree")]);
        let file = temp.file("tree/roots/file");
        assert_eq!(ended.line(), format!("fs rm: {file}: Permission denied"));
        assert!(!fs::exists(temp.file("tree/nobodys")).unwrap() && fs::exists(&file).unwrap());
        // Who may not give files away keeps them.
        let kept = temp.file("tree/version");
        let ended = run(&["cp", "-p", "/proc/filesystems", &kept]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        assert_eq!(fs::read(kept).unwrap(), fs::read("/proc/filesystems").unwrap());
    }
}

#[test]
fn bad_usage_is_2_and_asks_nothing() {
    for line in [
        &["fs"][..],
        &["fs", "no-such-command"],
        &["fs", "cat"],
        &["fs", "stat"],
        &["fs", "rm"],
        &["fs", "rm", "-x", "a"],
        &["fs", "mkdir"],
        &["fs", "mkdir", "-m", "u+q", "a"],
        &["fs", "ln"],
        &["fs", "ln", "-T", "a"],
        &["fs", "truncate", "a"],
        &["fs", "touch", "-d", "now", "-r", "a", "b"],
        &["fs", "pwd", "a"],
        &["fs", "ls", "--time-style", "odd"],
    ] {
        let ended = run(trunkline(line.iter().copied()).env("TRUNKLINE_VIA", "echo asked >&2"));
        assert_eq!((ended.code, ended.text()), (Some(2), ""), "{line:?} {ended:?}");
        assert!(!ended.err.is_empty() && !ended.err.starts_with("asked"), "{line:?} {ended:?}");
    }
}
