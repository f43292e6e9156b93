//! What a child inherits, and what is left behind in its parent. One test at a time, since all of
//! them count what this process has open.
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

use common::{drain, eventually, exit_of, request, sh, start};
use trunkline_core::agentproto::ExecRequest;
use trunkline_host::process::{Launch, spawn};

fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_here() -> BTreeSet<u32> {
    let dir = fs::read_dir("/proc/self/fd").unwrap();
    let numbers: BTreeSet<u32> =
        dir.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    // The listing's own is closed by now.
    numbers
        .into_iter()
        .filter(|number| fs::exists(format!("/proc/self/fd/{number}")).unwrap())
        .collect()
}

/// What a child has open. A shell is listed by another process, which adds nothing of its own;
/// the colon keeps the shell from becoming that process.
fn open_in_child(fds: &[u32]) -> BTreeSet<u32> {
    let request = ExecRequest { fds: fds.to_vec(), ..sh("ls /proc/$$/fd; :") };
    let mut child = start(&request);
    assert_eq!(child.extra.iter().map(|(number, _)| *number).collect::<Vec<_>>(), fds);
    let out = String::from_utf8(drain(child.stdout.take().unwrap())).unwrap();
    assert_eq!(exit_of(&mut child).code, 0);
    out.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn the_child_inherits_nothing_else() {
    let _alone = alone();
    // As if inherited: open across exec, here under numbers low and high.
    let file = fs::File::open("/dev/null").unwrap();
    let low = rustix::io::dup(&file).unwrap();
    let high = rustix::io::fcntl_dupfd_cloexec(&file, 300).unwrap();
    rustix::io::fcntl_setfd(&high, rustix::io::FdFlags::empty()).unwrap();
    assert_eq!(open_in_child(&[]), BTreeSet::from([0, 1, 2]));
    assert_eq!(open_in_child(&[3, 5, 255]), BTreeSet::from([0, 1, 2, 3, 5, 255]));
    drop((low, high));
}

#[test]
fn every_acceptable_number_works_whatever_is_open_here() {
    let _alone = alone();
    // Low numbers are where the child's own ends would be, were they not moved.
    for fds in [(3..67).collect::<Vec<u32>>(), (3..67).rev().collect(), (192..256).collect()] {
        let expected: BTreeSet<u32> = [0, 1, 2].into_iter().chain(fds.iter().copied()).collect();
        assert_eq!(open_in_child(&fds), expected);
    }
}

#[test]
fn failures_are_told_although_extra_descriptors_cover_everything() {
    let _alone = alone();
    let before = open_here();
    let request = ExecRequest { fds: (3..67).collect(), ..request("/no/such", &[]) };
    for _ in 0..20 {
        let error = spawn(Launch::new(&request)).unwrap_err();
        assert_eq!(error.text, "fork/exec /no/such: no such file or directory");
    }
    assert_eq!(open_here(), before);
}

#[test]
fn an_extra_descriptor_carries_both_ways_and_ends_with_its_one_copy() {
    let _alone = alone();
    let script = "read line <&7; echo \"got $line\" >&7; read line <&7 || echo eof >&7; \
                  exec 7>&-; read wait";
    let mut child = start(&ExecRequest { fds: vec![7, 9], ..sh(script) });
    let (number, nine) = child.extra.pop().unwrap();
    assert_eq!(number, 9);
    let (number, seven) = child.extra.pop().unwrap();
    assert_eq!(number, 7);
    let mut seven = UnixStream::from(seven);
    let mut byte = [0; 1];
    assert_eq!(seven.read(&mut byte).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    seven.set_nonblocking(false).unwrap();
    seven.set_read_timeout(Some(common::LONG)).unwrap();
    seven.write_all(b"hello\n").unwrap();
    let mut answer = [0; 10];
    seven.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"got hello\n");
    // Half closed: the answer to the end still arrives.
    seven.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    seven.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "eof\n");
    // The child lives on: the end was that of its only copy.
    assert_eq!(child.reap().unwrap(), None);
    assert_eq!(rustix::io::read(&nine, &mut byte).unwrap_err(), rustix::io::Errno::AGAIN);
    drop(child.stdin.take());
    assert_eq!(drain(nine), b"");
    assert_eq!(exit_of(&mut child).code, 1);
}

#[test]
fn nothing_stays_open_here() {
    let _alone = alone();
    let before = open_here();
    for _ in 0..10 {
        let mut child = start(&ExecRequest { fds: vec![3, 4, 200], ..sh("echo x; echo y >&4") });
        assert_eq!(open_here().len(), before.len() + 6);
        assert_eq!(drain(child.stdout.take().unwrap()), b"x\n");
        assert_eq!(exit_of(&mut child).code, 0);
        drop(child);
        assert_eq!(open_here(), before);
        assert!(spawn(Launch::new(&request("/no/such", &[]))).is_err());
        assert!(spawn(Launch::new(&request("no-such", &[]))).is_err());
        assert_eq!(open_here(), before);
    }
}

#[test]
fn dropping_leaves_no_zombie_and_kills_nobody() {
    let _alone = alone();
    // Ended before the drop, with nobody waiting.
    let child = start(&sh("exit 0"));
    let pid = child.pid;
    eventually("the end", || common::state(pid) == Some('Z'));
    drop(child);
    assert!(common::is_reaped(pid));

    // Still running, with nobody waiting.
    let child = start(&sh("sleep 0.2"));
    let pid = child.pid;
    let signaller = child.signaller();
    drop(child);
    assert!(!common::is_reaped(pid));
    signaller.send(0).unwrap();
    eventually("reaped", || common::is_reaped(pid));
    eventually("refused", || signaller.send(9).is_err());

    // Still running, with a callback, which comes all the same.
    let (sender, receiver) = mpsc::sync_channel(1);
    let mut child = start(&sh("sleep 0.1; exit 5"));
    let pid = child.pid;
    child.on_exit(move |exit| sender.send(exit).unwrap()).unwrap();
    drop(child);
    assert_eq!(receiver.recv_timeout(common::LONG).unwrap().code, 5);
    assert!(common::is_reaped(pid));

    // Ended, with a callback that has come.
    let (sender, receiver) = mpsc::sync_channel(1);
    let mut child = start(&sh("exit 6"));
    let pid = child.pid;
    child.on_exit(move |exit| sender.send(exit).unwrap()).unwrap();
    assert_eq!(receiver.recv_timeout(common::LONG).unwrap().code, 6);
    assert_eq!(common::state(pid), Some('Z'));
    drop(child);
    assert!(common::is_reaped(pid));
}

#[test]
fn many_at_once_keep_their_streams_and_codes_apart() {
    let _alone = alone();
    let before = open_here();
    let workers: Vec<_> = (0..16)
        .map(|worker| {
            std::thread::spawn(move || {
                for round in 0..15 {
                    let code = (worker * 15 + round) % 256;
                    let script = format!("cat; echo {code} >&3; exit {code}");
                    let mut child = start(&ExecRequest { fds: vec![3], ..sh(&script) });
                    // An end somebody else's child had inherited would not be seen.
                    drop(child.stdin.take());
                    assert_eq!(drain(child.stdout.take().unwrap()), b"");
                    let (_, extra) = child.extra.pop().unwrap();
                    assert_eq!(drain(extra), format!("{code}\n").as_bytes());
                    assert_eq!(exit_of(&mut child).code, code);
                    assert!(common::is_reaped(child.pid));
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!(open_here(), before);
}

#[test]
fn a_waiter_and_a_hasty_owner_agree() {
    let _alone = alone();
    for _ in 0..100 {
        let (sender, receiver) = mpsc::sync_channel(1);
        let mut child = start(&sh("exit 9"));
        child.on_exit(move |exit| sender.send(exit).unwrap()).unwrap();
        let mut reaped = None;
        eventually("reaped", || {
            reaped = child.reap().unwrap();
            reaped.is_some()
        });
        assert_eq!(reaped.unwrap().code, 9);
        assert_eq!(receiver.recv_timeout(common::LONG).unwrap().code, 9);
    }
}
