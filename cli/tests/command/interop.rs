//! The command and the Go peer, in both directions: what each does must not depend on the other.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::job::{Ended, Job, LONG, PROGRAM, clean, run, run_with, trunkline};
use crate::temp::Temp;

#[path = "../../../conformance/peers/go_peer.rs"]
pub(crate) mod go_peer;

/// The Go peer.
pub(crate) fn peer() -> &'static str {
    go_peer::agentproto().to_str().expect("UTF-8")
}

/// Who asks, and who answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pair {
    OursAsks,
    GoAsks,
}

pub(crate) const PAIRS: [Pair; 2] = [Pair::OursAsks, Pair::GoAsks];

impl Pair {
    /// The local side with options that both take, and the command.
    pub(crate) fn exec(self, options: &[&str], command: &[&str]) -> Command {
        let mut local = match self {
            Self::OursAsks => {
                // What leads to an agent ignores Ctrl-C, which ours takes back for the command. A Go
                // program that is started right here, without an ssh between, passes it on.
                let via = format!("env --default-signal=INT {} agent", peer());
                let mut local = trunkline(["exec", "--via", &via]);
                local.args(options);
                local
            }
            Self::GoAsks => {
                let mut local = clean(peer());
                local.arg("run").args(options).args([PROGRAM, "agent"]);
                local
            }
        };
        local.arg("--").args(command);
        local
    }

    fn sh(self, script: &str) -> Command {
        self.exec(&[], &["sh", "-c", script])
    }

    /// What the local side puts before its lines.
    fn prefix(self) -> &'static str {
        match self {
            Self::OursAsks => "trunkline: ",
            Self::GoAsks => "agentproto: ",
        }
    }
}

/// Bytes without a short period, so that any that is lost, doubled or moved shows.
fn pattern() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(1_000_003).collect()
}

/// Feeds so many bytes to a command that echoes them, and checks every one that comes back.
pub(crate) fn echoes(mut command: Command, count: usize) {
    let (mut back, out) = io::pipe().expect("a pipe");
    command.stdin(Stdio::piped()).stdout(out).stderr(Stdio::inherit());
    let mut job = Job::start_as_is(&mut command);
    // It holds the other end of what comes back.
    drop(command);
    let pattern = pattern();
    let mut stdin = job.stdin.take().expect("a pipe");
    thread::scope(|scope| {
        let pattern = &pattern;
        scope.spawn(move || {
            let mut left = count;
            while left > 0 {
                let piece = &pattern[..left.min(pattern.len())];
                stdin.write_all(piece).expect("it reads");
                left -= piece.len();
            }
        });
        let (mut seen, mut buffer) = (0, vec![0; 64 << 10]);
        loop {
            let length = back.read(&mut buffer).expect("a pipe");
            if length == 0 {
                break;
            }
            let mut piece = &buffer[..length];
            while !piece.is_empty() {
                let at = seen % pattern.len();
                let (now, rest) = piece.split_at(piece.len().min(pattern.len() - at));
                assert!(now == &pattern[at..at + now.len()], "other bytes behind {seen}");
                seen += now.len();
                piece = rest;
            }
        }
        assert_eq!(seen, count);
    });
    assert_eq!(job.wait().code(), Some(0));
}

#[test]
fn a_hundred_mebibytes_pass_through_cat_to_a_go_agent() {
    echoes(Pair::OursAsks.exec(&[], &["cat"]), 100 << 20);
}

#[test]
fn a_hundred_mebibytes_pass_through_cat_from_a_go_runner() {
    echoes(Pair::GoAsks.exec(&[], &["cat"]), 100 << 20);
}

#[test]
fn outputs_stay_apart_and_the_exit_code_comes_through() {
    for pair in PAIRS {
        for code in [0, 1, 42, 126, 255] {
            let script = format!("cat; echo error >&2; exit {code}");
            let ended = run_with(&mut pair.sh(&script), b"input\n");
            ended.is(code, "input\n", "error\n");
        }
        run(&mut pair.sh("kill -TERM $$")).is(143, "", "");
        run(&mut pair.sh("echo last; kill -KILL $$")).is(137, "last\n", "");
    }
}

#[test]
fn a_large_output_arrives_whole_on_both_streams() {
    for pair in PAIRS {
        let ended = run(&mut pair.sh("seq 1 300000 & seq 1 300000 >&2; wait"));
        let whole = |text: &str| text.lines().map(|line| line.parse().unwrap_or(0)).eq(1..=300_000);
        assert_eq!(ended.code, Some(0));
        assert!(whole(ended.text()) && whole(&ended.err), "{pair:?}");
    }
}

#[test]
fn a_command_that_cannot_start_is_127_with_the_agents_text() {
    for pair in PAIRS {
        for command in ["/no/such/program", "no-such-program", "/etc/passwd"] {
            let Ended { code, out, err, .. } = run(&mut pair.exec(&[], &[command]));
            assert_eq!((code, out.len()), (Some(127), 0), "{pair:?}: {err}");
            let line = err.strip_prefix(pair.prefix()).expect(&err);
            assert_eq!(line.lines().count(), 1, "{err}");
            let why = if command == "/etc/passwd" { "ermission denied" } else { "not f" };
            let why = if command == "/no/such/program" { "o such file or directory" } else { why };
            assert!(line.contains(why), "{pair:?} {command}: {err}");
        }
    }
}

#[test]
fn arguments_folder_and_environment_come_through() {
    let folder = Temp::new();
    for pair in PAIRS {
        let script = "pwd; printf '[%s]' \"$@\" '' 'a  b'; echo; env | grep INTEROP_ | sort";
        let options = ["--cwd", folder.text(), "--env-keep", "INTEROP_*", "--env-keep", "PATH"];
        let options = [&options[..], &["--env-remove", "/_DROP$/"]].concat();
        let mut command = pair.exec(&options, &["sh", "-c", script, "sh", "ü\n", "*"]);
        command.envs([("INTEROP_A", "1=2"), ("INTEROP_DROP", "x"), ("OTHER", "y")]);
        let expected = format!("{}\n[ü\n][*][][a  b]\nINTEROP_A=1=2\n", folder.text());
        run(&mut command).is(0, &expected, "");
    }
}

const SIGNALS: [(&str, Signal); 7] = [
    ("TERM", Signal::TERM),
    ("HUP", Signal::HUP),
    ("QUIT", Signal::QUIT),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("WINCH", Signal::WINCH),
    ("INT", Signal::INT),
];

#[test]
fn seven_signals_reach_the_command() {
    for pair in PAIRS {
        let script = "for s in TERM HUP QUIT USR1 USR2 WINCH INT; do trap \"echo $s\" $s; done
            trap 'echo INT; exit 9' INT; echo ready; while :; do sleep 0.02; done 2>/dev/null";
        let job = Job::start(&mut pair.sh(script));
        let mut expected = vec!["ready"];
        assert_eq!(job.out.line(), "ready");
        for (name, signal) in SIGNALS {
            job.signal(signal);
            expected.push(name);
            assert_eq!(job.out.lines(expected.len()), expected, "{pair:?}");
        }
        assert_eq!(job.end().code, Some(9), "{pair:?}");
    }
}

#[test]
fn a_signal_reaches_the_whole_group_and_kills_it() {
    for pair in PAIRS {
        let job = Job::start(&mut pair.sh("sleep 1000 & echo ready; wait"));
        assert_eq!(job.out.line(), "ready");
        job.signal(Signal::TERM);
        // A sleeper that lived on would hold the output.
        job.end().is(143, "ready\n", "");
    }
}

/// What both list, in the form of the peer's lines.
fn as_lines(json: &str) -> Vec<String> {
    let line = |line: &str| {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        let path = entry["path"].as_str().expect("a path").to_owned();
        let mode = entry["mode"].as_u64().expect("a mode");
        format!("{path} {mode:03o} {} {}", entry["size"], entry["mtime"])
    };
    json.lines().map(line).collect()
}

/// The lists of a query: ours from our agent, ours from the Go agent, Go's from our agent.
fn lists(dirs: &[&str]) -> [Vec<String>; 3] {
    let ask = |mut command: Command| {
        let ended = run(command.args(dirs));
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        ended.text().to_owned()
    };
    let ours = ask(trunkline(["paths", "--json", "--"]));
    let to_go = ask(trunkline(["paths", "--json", "--via", &format!("{} agent", peer()), "--"]));
    let mut from_go = clean(peer());
    from_go.args(["paths", PROGRAM, "agent", "--"]);
    let from_go = ask(from_go).lines().map(str::to_owned).collect();
    [as_lines(&ours), as_lines(&to_go), from_go]
}

#[test]
fn both_agents_list_the_same_programs() {
    let temp = Temp::new();
    let put = |name: &str, mode: u32| {
        let path = temp.write(name, "12345");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    for folder in ["one", "two"] {
        fs::create_dir(temp.file(folder)).expect("a folder");
    }
    for (name, mode) in [("one/b", 0o755), ("one/Ä", 0o4711), ("one/a", 0o100), ("one/text", 0o644)]
    {
        put(name, mode);
    }
    put("two/b", 0o755);
    put("two/text", 0o777);
    std::os::unix::fs::symlink("a", temp.file("one/link")).expect("a link");
    std::os::unix::fs::symlink("nowhere", temp.file("two/dangling")).expect("a link");
    let (one, two) = (temp.file("one"), temp.file("two"));
    for (dirs, count) in [
        (&[one.as_str(), "/no/such", &format!("{two}//")][..], 5),
        (&[&two, &one, &two], 5),
        (&["/no/such"], 0),
    ] {
        let [ours, to_go, from_go] = lists(dirs);
        assert_eq!((&to_go, &from_go), (&ours, &ours));
        assert_eq!(ours.len(), count, "{ours:?}");
    }
    // The agent's own PATH.
    let [ours, to_go, from_go] = lists(&[]);
    assert!(ours.len() > 20, "{ours:?}");
    assert!(to_go == ours && from_go == ours);
}

#[test]
fn log_records_of_either_agent_are_shown_when_asked_for() {
    let told = ["building command", "child started", "child exited", "path=", "pid=", "code=4"];
    for (pair, flag) in [(Pair::OursAsks, "-vvv"), (Pair::GoAsks, "-v")] {
        let ended = run(&mut pair.exec(&[flag], &["sh", "-c", "echo out; exit 4"]));
        assert_eq!((ended.code, ended.text()), (Some(4), "out\n"));
        for text in told {
            assert!(ended.err.contains(text), "{text:?} is missing: {ended:?}");
        }
        // Nobody asked.
        run(&mut pair.sh("echo out; exit 4")).is(4, "out\n", "");
    }
}

#[test]
fn an_extra_descriptor_carries_both_ways() {
    for pair in PAIRS {
        let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_read_timeout(Some(LONG)).expect("a socket");
        let script = "read line <&9; echo got $line >&9; read line <&9; echo and $line >&9; exit 5";
        let local = pair.exec(&["--fd", "9"], &["sh", "-c", script]);
        // The caller's shell moves it from stdin to 9.
        let mut shell = clean("/bin/sh");
        shell.args(["-c", "exec \"$@\" 9<&0 0</dev/null", "sh"]).arg(local.get_program());
        shell.args(local.get_args()).stdin(OwnedFd::from(theirs));
        let job = Job::start(&mut shell);
        drop(shell);
        ours.write_all(b"one\n").expect("a socket");
        let mut answer = [0; 8];
        ours.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"got one\n");
        ours.write_all(b"two\n").expect("a socket");
        // The Go agent does not pass this on (hazard H7): nothing here may wait for it.
        ours.shutdown(Shutdown::Write).expect("a socket");
        let mut rest = String::new();
        ours.read_to_string(&mut rest).expect("the rest");
        assert_eq!(rest, "and two\n", "{pair:?}");
        job.end().is(5, "", "");
    }
}

#[test]
fn a_file_passed_as_a_descriptor_is_read_whole() {
    let temp = Temp::new();
    let all: Vec<u8> = (0..=250).cycle().take(3 << 20).collect();
    temp.write("in", &all);
    for pair in PAIRS {
        let script = format!("head -c {} <&3 >&4; echo done", all.len());
        let local = pair.exec(&["--fd", "3", "--fd", "4"], &["sh", "-c", &script]);
        let mut shell = clean("/bin/sh");
        let redirect = "exec \"$@\" 3<\"$DIR/in\" 4>\"$DIR/out\"";
        shell.args(["-c", redirect, "sh"]).arg(local.get_program()).args(local.get_args());
        run(shell.env("DIR", temp.path())).is(0, "done\n", "");
        assert!(fs::read(temp.file("out")).expect("the file") == all, "{pair:?}");
    }
}

/// No exit code is invented for an agent that died.
#[test]
fn a_killed_agent_is_told_and_is_no_success() {
    for (pair, code) in [(Pair::OursAsks, 255), (Pair::GoAsks, 127)] {
        let job = Job::start_fed(&mut pair.sh("echo $PPID; exec cat"));
        let agent = job.out.line();
        kill_process(
            Pid::from_raw(agent.parse().expect("a number")).expect("a process"),
            Signal::KILL,
        )
        .expect("it runs");
        let ended = job.end();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.err.starts_with(pair.prefix()), "{ended:?}");
    }
}
