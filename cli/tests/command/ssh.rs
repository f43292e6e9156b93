//! Commands over a real OpenSSH server: the way most agents are reached.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::thread;

use rustix::process::Signal;

use crate::job::{Job, LONG, run, run_with, trunkline};
use crate::marker::Marker;
use crate::sshd::Sshd;

const GIB: u64 = 1 << 30;

fn exec(via: &str, script: &str) -> std::process::Command {
    trunkline(["exec", "--via", via, "--", "sh", "-c", script])
}

/// Blocks that differ, and are made as fast as they are compared.
struct Blocks {
    noise: Vec<u8>,
    number: u64,
}

impl Blocks {
    const SIZE: usize = 1 << 20;

    fn new() -> Self {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let next = |_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_le_bytes()
        };
        Self { noise: (0..Self::SIZE / 8).flat_map(next).collect(), number: 0 }
    }

    fn next(&mut self) -> &[u8] {
        self.number += 1;
        self.noise[..8].copy_from_slice(&self.number.to_le_bytes());
        &self.noise
    }
}

#[test]
fn a_gigabyte_goes_each_way_untouched() {
    let sshd = Sshd::start();
    let mut command = exec(&sshd.agent(), "cat; echo done >&2; exit 7");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let writer = thread::spawn(move || {
        let mut blocks = Blocks::new();
        for _ in 0..GIB / Blocks::SIZE as u64 {
            stdin.write_all(blocks.next()).unwrap();
        }
    });
    let (mut blocks, mut block) = (Blocks::new(), vec![0; Blocks::SIZE]);
    for number in 0..GIB / Blocks::SIZE as u64 {
        stdout.read_exact(&mut block).unwrap();
        assert!(block == blocks.next(), "block {number} differs");
    }
    assert_eq!(stdout.read(&mut block).unwrap(), 0);
    writer.join().unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "done\n");
}

#[test]
fn exit_codes_and_outputs_are_the_commands_own() {
    let sshd = Sshd::start();
    let via = sshd.agent();
    run(&mut exec(&via, "echo out; echo err >&2")).is(0, "out\n", "err\n");
    run_with(&mut exec(&via, "cat; exit 3"), b"in\0\xff\n").is_bytes(3, b"in\0\xff\n");
    run(&mut exec(&via, "kill -KILL $$")).is(137, "", "");
    run(&mut exec(&via, "exit 255")).is(255, "", "");
    let ended = run(&mut trunkline(["exec", "--via", &via, "--", "no-such-program"]));
    assert_eq!(ended.code, Some(127), "{ended:?}");
    assert!(ended.line().contains("no-such-program"), "{ended:?}");
}

#[test]
fn programs_are_listed() {
    let sshd = Sshd::start();
    let ended = run(&mut trunkline(["paths", "--via", &sshd.agent()]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.text().lines().any(|line| line.ends_with("/sh")), "{ended:?}");
}

#[test]
fn signals_reach_the_command() {
    let sshd = Sshd::start();
    let script = "trap 'echo caught; exit 9' TERM; trap 'echo usr' USR1; echo ready; \
                  while :; do sleep 0.02; done 2>/dev/null";
    let job = Job::start(&mut exec(&sshd.agent(), script));
    job.out.line();
    job.signal(Signal::USR1);
    assert_eq!(job.out.lines(2)[1], "usr");
    job.signal(Signal::TERM);
    job.end().is(9, "ready\nusr\ncaught\n", "");
}

/// Ctrl-C on a terminal reaches everybody in the foreground, ssh as well.
#[test]
fn an_interrupt_from_the_keyboard_reaches_the_command_and_not_ssh() {
    let sshd = Sshd::start();
    let script =
        "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.02; done 2>/dev/null";
    let job = Job::start(&mut exec(&sshd.agent(), script));
    job.out.line();
    job.signal_group(Signal::INT);
    job.end().is(9, "ready\ncaught\n", "");
}

#[test]
fn a_session_cut_in_the_middle_is_lost_at_both_ends() {
    let sshd = Sshd::start();
    let marker = Marker::new();
    let script = format!("echo begun; cat; sleep {}", marker.text());
    let mut job = Job::start_fed(&mut exec(&sshd.agent(), &script));
    job.feed(b"some input\n");
    assert_eq!(job.out.lines(2), ["begun", "some input"]);
    sshd.kill_sessions();
    let ended = job.end();
    assert_eq!(ended.code, Some(255), "{ended:?}");
    assert!(ended.line().contains("lost"), "{ended:?}");
    assert!(ended.took < LONG, "{ended:?}");
    marker.gone();
}

/// The command's own end at that moment must not pass for a success.
#[test]
fn a_session_cut_under_load_is_no_success() {
    let sshd = Sshd::start();
    let marker = Marker::new();
    let script = format!("yes {}", marker.text());
    let mut command = exec(&sshd.agent(), &script);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut block = vec![0; 4 << 20];
    stdout.read_exact(&mut block).unwrap();
    sshd.kill_sessions();
    while stdout.read(&mut block).unwrap() > 0 {}
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(255));
    marker.gone();
}

#[test]
fn what_ssh_itself_says_is_seen() {
    let sshd = Sshd::start();
    let ended = run(&mut exec(&sshd.ssh("no-such-trunkline agent"), "true"));
    assert_eq!(ended.code, Some(255), "{ended:?}");
    assert!(ended.err.contains("no-such-trunkline"), "{ended:?}");
    assert!(ended.line().contains("status 127"), "{ended:?}");
    let via = sshd.agent();
    drop(sshd);
    let ended = run(&mut exec(&via, "true"));
    assert_eq!(ended.code, Some(255), "{ended:?}");
    assert!(ended.line().contains("status 255"), "{ended:?}");
}
