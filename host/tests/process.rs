//! Commands as a peer sees them: what they get, what they answer, how they end.
#![cfg(target_os = "linux")]

mod common;

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc;
use std::{env, fs};

use common::{TempDir, drain, eventually, exit_of, output, request, run, sh, start};
use trunkline_core::agentproto::ExecRequest;
use trunkline_host::process::{Launch, SpawnError, SpawnStage, User, spawn};

fn refusal(request: &ExecRequest) -> SpawnError {
    spawn(Launch::new(request)).expect_err("must not start")
}

#[test]
fn exit_codes() {
    for code in [0, 1, 42, 127, 255] {
        let (exit, ..) = run(Launch::new(&sh(&format!("exit {code}"))));
        assert_eq!((exit.code, exit.signal), (code, None));
    }
    for (name, number) in [("TERM", 15), ("KILL", 9), ("INT", 2), ("QUIT", 3), ("PIPE", 13)] {
        let (exit, ..) = run(Launch::new(&sh(&format!("kill -{name} $$; sleep 100"))));
        assert_eq!((exit.code, exit.signal), (128 + number, Some(number)));
    }
}

#[test]
fn standard_streams() {
    let mut child = start(&sh("cat; echo err >&2"));
    let stdin = child.stdin.take().unwrap();
    assert_eq!(rustix::io::write(&stdin, b"hello").unwrap(), 5);
    drop(stdin);
    assert_eq!(drain(child.stdout.take().unwrap()), b"hello");
    assert_eq!(drain(child.stderr.take().unwrap()), b"err\n");
    assert_eq!(exit_of(&mut child).code, 0);
}

#[test]
fn own_ends_do_not_block_and_the_childs_do() {
    let script = "sleep 0.2; read line; grep -h flags /proc/self/fdinfo/0 /proc/self/fdinfo/1";
    let mut child = start(&sh(script));
    let mut byte = [0; 1];
    let read = rustix::io::read(child.stdout.as_ref().unwrap(), &mut byte);
    assert_eq!(read.unwrap_err(), rustix::io::Errno::AGAIN);
    let size = rustix::pipe::fcntl_getpipe_size(child.stdin.as_ref().unwrap()).unwrap();
    assert!(size >= 65_536);
    rustix::io::write(child.stdin.as_ref().unwrap(), b"x\n").unwrap();
    let flags = String::from_utf8(drain(child.stdout.take().unwrap())).unwrap();
    assert_eq!(flags.lines().count(), 2);
    for flags in flags.lines() {
        let flags = u32::from_str_radix(flags.trim_start_matches("flags:").trim(), 8).unwrap();
        assert_eq!(flags & rustix::fs::OFlags::NONBLOCK.bits(), 0);
    }
    assert_eq!(exit_of(&mut child).code, 0);
}

#[test]
fn the_first_argument_is_thrown_away() {
    let cmdline = "cat /proc/$$/cmdline; :";
    for path in ["sh", "/bin/sh"] {
        let out = output(&request(path, &["-c", cmdline, "", "é x"]));
        assert_eq!(out, format!("{path}\0-c\0{cmdline}\0\0é x\0"));
    }
    for argv in [None, Some(vec![]), Some(vec!["x".to_owned()])] {
        let request = ExecRequest { argv, path: "/bin/echo".to_owned(), ..Default::default() };
        assert_eq!(output(&request), "\n");
    }
}

#[test]
fn a_path_is_looked_for_in_the_agents_path() {
    let mut request = request("env", &[]);
    request.env = Some(vec!["PATH=/no/such".to_owned(), "A=1".to_owned()]);
    assert_eq!(output(&request), "PATH=/no/such\nA=1\n");

    let dir = TempDir::new();
    let tool = dir.path().join("only-here");
    fs::write(&tool, "#!/bin/sh\necho \"$0\"\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let request = common::request("only-here", &[]);
    let path = format!("/no/such:{}", dir.text());
    let mut launch = Launch::new(&request);
    launch.search_path = Some(path.as_ref());
    assert_eq!(run(launch).1, format!("{}\n", tool.display()));
    // With a slash it is relative to the directory of the child.
    let request = ExecRequest { cwd: dir.text(), ..common::request("./only-here", &[]) };
    assert_eq!(output(&request), "./only-here\n");
}

#[test]
fn directory_and_pwd() {
    let here = env::current_dir().unwrap();
    assert_eq!(output(&request("/bin/pwd", &["-P"])), format!("{}\n", here.display()));

    let pwd = |cwd: &str, env: Option<Vec<String>>| {
        let cwd = cwd.to_owned();
        output(&ExecRequest { cwd, env, ..request("/bin/sh", &["-c", "pwd -P; /usr/bin/env"]) })
    };
    let out = pwd("/usr/./lib/..//", None);
    assert!(out.starts_with("/usr\n"));
    assert_eq!(
        out.lines().filter(|line| line.starts_with("PWD=")).collect::<Vec<_>>(),
        ["PWD=/usr"]
    );
    assert!(out.lines().any(|line| line.starts_with("PATH=")), "own environment: {out}");
    // An environment that is given gets nothing added.
    let request = ExecRequest { cwd: "/usr".to_owned(), env: Some(vec![]), ..request("env", &[]) };
    assert_eq!(output(&request), "");
}

#[test]
fn environment() {
    let show = |env: &[&str]| {
        let env = Some(env.iter().map(|entry| (*entry).to_owned()).collect());
        output(&ExecRequest { env, ..request("/bin/cat", &["/proc/self/environ"]) })
    };
    assert_eq!(show(&[]), "");
    assert_eq!(show(&["B=1", "A=1", "B=2", "NOEQ", "=x", "É=é"]), "A=1\0B=2\0NOEQ\0=x\0É=é\0");
    // What the launch says counts, not the request.
    let request = ExecRequest { env: Some(vec!["A=1".to_owned()]), ..request("env", &[]) };
    let mut launch = Launch::new(&request);
    launch.env = Some(vec!["B=2".to_owned()]);
    assert_eq!(run(launch).1, "B=2\n");
}

#[test]
fn texts_of_what_does_not_start() {
    let dir = TempDir::new();
    let file = |name: &str, text: &str, mode| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let noexec = file("noexec", "x", 0o644);
    let script = file("script", "echo no interpreter named", 0o755);
    let lost = file("lost", "#!/no/such/interpreter\n", 0o755);
    for (path, text, os_error) in [
        ("/no/such", "fork/exec /no/such: no such file or directory".to_owned(), Some(2)),
        ("/etc/passwd/x", "fork/exec /etc/passwd/x: not a directory".to_owned(), Some(20)),
        ("/tmp", "fork/exec /tmp: permission denied".to_owned(), Some(13)),
        (&noexec, format!("fork/exec {noexec}: permission denied"), Some(13)),
        (&script, format!("fork/exec {script}: exec format error"), Some(8)),
        (&lost, format!("fork/exec {lost}: no such file or directory"), Some(2)),
        ("no-such", "exec: \"no-such\": executable file not found in $PATH".to_owned(), None),
        ("", "exec: no command".to_owned(), None),
        ("/bin/\0", "exec: path contains NUL".to_owned(), None),
    ] {
        let error = refusal(&request(path, &[]));
        assert_eq!((error.stage, error.os_error), (SpawnStage::Start, os_error), "{path}");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn texts_of_what_cannot_be_asked_for() {
    let error = refusal(&ExecRequest { cwd: "/no/such".to_owned(), ..request("/bin/sh", &[]) });
    assert_eq!(error.text, "chdir /no/such: no such file or directory");
    let error = refusal(&request("/bin/sh", &["a\0b"]));
    assert_eq!(error.text, "exec: argument contains NUL");
    let error = refusal(&ExecRequest { cwd: "/\0".to_owned(), ..request("/bin/sh", &[]) });
    assert_eq!(error.text, "exec: directory contains NUL");
    let env = Some(vec!["A=\0".to_owned()]);
    let error = refusal(&ExecRequest { env, ..request("/bin/sh", &[]) });
    assert_eq!(error.text, "exec: environment variable contains NUL");
    let error = refusal(&request("/bin/sh", &["x".repeat(1 << 23).as_str()]));
    assert_eq!(error.text, "fork/exec /bin/sh: argument list too long");
    let error = refusal(&ExecRequest { fds: vec![1], ..request("/bin/sh", &[]) });
    assert_eq!((error.stage, error.os_error), (SpawnStage::Build, None));
    assert_eq!(error.text, "extra descriptor 1 is a standard stream");
}

#[test]
fn signals_are_as_a_fresh_process_has_them() {
    let sets = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let own = fs::read_to_string("/proc/thread-self/status").unwrap();
    let status = output(&request("/bin/cat", &["/proc/self/status"]));
    assert_eq!(sets(&status, "SigBlk:"), 0);
    assert_eq!(sets(&status, "SigCgt:"), 0);
    // What the caller of this process ignores stays so, but for these four. Rust ignores the third.
    let reset: u64 = [2, 3, 13, 17].map(|number: u64| 1 << (number - 1)).iter().sum();
    assert_ne!(sets(&own, "SigIgn:") & reset, 0);
    assert_eq!(sets(&status, "SigIgn:"), sets(&own, "SigIgn:") & !reset);
    // And spawning has not changed what this thread blocks.
    let after = fs::read_to_string("/proc/thread-self/status").unwrap();
    assert_eq!(sets(&after, "SigBlk:"), sets(&own, "SigBlk:"));
}

#[test]
fn exit_codes_survive_a_caller_that_ignores_child_signals() {
    // This program again, with one test, as such a caller would start it. Not every shell can.
    let script = "trap '' CHLD; exec \"$0\" --exact exit_codes";
    let test = env::current_exe().unwrap();
    let again = std::process::Command::new("/bin/bash").args(["-c", script]).arg(test).output();
    let again = again.expect("bash, which `cargo xtask test` installs");
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
    assert!(String::from_utf8_lossy(&again.stdout).contains("1 passed"));
}

#[test]
fn a_group_of_its_own() {
    let mut child = start(&sh("ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat"));
    let group = String::from_utf8(drain(child.stdout.take().unwrap())).unwrap();
    assert_eq!(group.trim(), child.pid.to_string());
    assert_eq!(exit_of(&mut child).code, 0);
}

#[test]
fn the_whole_group_is_signalled() {
    let mut child = start(&sh("sleep 100 & echo $!; wait"));
    let mut line = [0; 32];
    let mut read = 0;
    eventually("a line", || {
        read = rustix::io::read(child.stdout.as_ref().unwrap(), &mut line).unwrap_or(0);
        read > 0
    });
    let sleeper: u32 = std::str::from_utf8(&line[..read]).unwrap().trim().parse().unwrap();
    let signaller = child.signaller();
    signaller.send(0).unwrap();
    assert_eq!(signaller.send(65).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(signaller.send(-1).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    signaller.send(15).unwrap();
    // The output ends with the last of the group.
    assert_eq!(drain(child.stdout.take().unwrap()), b"");
    assert_eq!(exit_of(&mut child).code, 143);
    eventually("the sleeper is gone", || !matches!(common::state(sleeper), Some('S' | 'R')));
    assert_eq!(signaller.send(15).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(signaller.send(0).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn every_signal_number_arrives() {
    for number in [1, 2, 3, 10, 34, 50, 64] {
        let mut child = start(&request("/bin/sleep", &["100"]));
        child.signaller().send(number).unwrap();
        assert_eq!(exit_of(&mut child).signal, Some(number));
    }
}

#[test]
fn what_a_dead_leader_left_behind_is_still_reached() {
    let mut child = start(&sh("sleep 100 & exit 3"));
    let (sender, receiver) = mpsc::sync_channel(1);
    child.on_exit(move |exit| sender.send(exit).unwrap()).unwrap();
    assert_eq!(receiver.recv_timeout(common::LONG).unwrap().code, 3);
    let stdout = child.stdout.take().unwrap();
    assert_eq!(rustix::io::read(&stdout, &mut [0; 1]), Err(rustix::io::Errno::AGAIN));
    child.signaller().send(9).unwrap();
    assert_eq!(drain(stdout), b"");
    assert_eq!(child.reap().unwrap().unwrap().code, 3);
    assert_eq!(child.reap().unwrap().unwrap().code, 3);
    let again = child.on_exit(|_| {}).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::NotFound);
}

#[test]
fn reaping_without_a_callback() {
    let mut child = start(&sh("read x; exit 7"));
    assert_eq!(child.reap().unwrap(), None);
    drop(child.stdin.take());
    let mut exit = None;
    eventually("the end", || {
        exit = child.reap().unwrap();
        exit.is_some()
    });
    assert_eq!(exit.unwrap().code, 7);
    assert!(common::is_reaped(child.pid));
}

#[test]
fn one_callback_only() {
    let mut child = start(&request("/bin/sleep", &["100"]));
    let (sender, receiver) = mpsc::sync_channel(1);
    child.on_exit(move |exit| sender.send(exit).unwrap()).unwrap();
    let again = child.on_exit(|_| {}).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(child.reap().unwrap(), None);
    child.signaller().send(9).unwrap();
    assert_eq!(receiver.recv_timeout(common::LONG).unwrap().code, 137);
}

#[test]
fn another_user() {
    let request = request("/bin/cat", &["/proc/self/status"]);
    let mut launch = Launch::new(&request);
    launch.user = User::Ids { uid: 65_534, gid: 65_533 };
    if !rustix::process::geteuid().is_root() {
        let refused = spawn(launch).map(|_| ()).expect_err("only root becomes another user");
        return assert!(refused.to_string().contains("not permitted"), "{refused}");
    }
    let (exit, status, _) = run(launch);
    assert_eq!(exit.code, 0);
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(field("Uid:"), "65534 65534 65534 65534");
    assert_eq!(field("Gid:"), "65533 65533 65533 65533");
    assert_eq!(field("Groups:"), "");
}
