//! stdin, whatever it is, and that it stays what it was.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::{fs, thread};

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, mknodat};

use crate::job::{Job, exec, exec_sh, run, run_with, shell, trunkline};
use crate::temp::Temp;

/// Bytes that repeat only after a prime number of them, so that a lost or doubled chunk shows.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let step = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    let unit: Vec<u8> = std::iter::repeat_with(step).take(1_000_003).collect();
    unit.iter().copied().cycle().take(length).collect()
}

#[test]
fn every_byte_value_passes_both_ways() {
    let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    let ended = run_with(&mut exec(["cat"]), &all);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert_eq!(ended.out, all);
}

#[test]
fn sixty_four_mebibytes_come_back_as_they_went() {
    let sent = noise(64 << 20);
    let ended = run_with(&mut exec(["cat"]), &sent);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert_eq!(ended.out.len(), sent.len());
    assert!(ended.out == sent, "the bytes differ");
}

#[test]
fn a_regular_file() {
    let (temp, sent) = (Temp::new(), noise(3 << 20));
    let path = temp.write("in", &sent);
    let ended = run(exec(["cat"]).stdin(File::open(path).unwrap()));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(ended.out == sent, "the bytes differ");
}

#[test]
fn nothing() {
    run(&mut exec(["cat"])).is(0, "", "");
    run(&mut shell(r#""$T" exec -- cat <&-"#)).is(0, "", "");
    // Not open for reading, which is as good as closed.
    run(&mut shell(r#""$T" exec -- cat 0>/dev/null"#)).is(0, "", "");
}

#[test]
fn an_endless_device() {
    run(&mut shell(r#""$T" exec -- head -c 100000 </dev/zero | tr -d '\0' | wc -c"#))
        .is(0, "0\n", "");
    let ended = run(&mut shell(r#""$T" exec -- head -c 100000 </dev/zero"#));
    assert_eq!((ended.code, ended.out), (Some(0), vec![0; 100_000]));
}

#[test]
fn a_named_pipe() {
    let (temp, sent) = (Temp::new(), noise(300_000));
    let path = temp.file("fifo");
    mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let writer = thread::spawn({
        let (path, sent) = (path.clone(), sent.clone());
        move || fs::write(path, sent)
    });
    let mut command = exec(["cat"]);
    let ended = run(command.stdin(File::open(&path).unwrap()));
    // The only reader must be the program.
    drop(command);
    writer.join().unwrap().unwrap();
    assert!((ended.code, ended.out) == (Some(0), sent), "the bytes differ");
}

#[test]
fn a_socket() {
    let sent = noise(300_000);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let job = Job::start(exec(["cat"]).stdin(OwnedFd::from(theirs)));
    ours.write_all(&sent).unwrap();
    drop(ours);
    let ended = job.end();
    assert!((ended.code, ended.out) == (Some(0), sent), "the bytes differ");
}

#[test]
fn a_socket_that_is_stdin_and_stdout_at_once() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let (input, output) = (theirs.try_clone().unwrap(), theirs);
    let mut command = exec(["tr", "a-z", "A-Z"]);
    command.stdin(OwnedFd::from(input)).stdout(OwnedFd::from(output));
    let job = Job::start_as_is(command.stderr(Stdio::piped()));
    drop(command);
    ours.write_all(b"over one socket").unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    let mut out = String::new();
    ours.read_to_string(&mut out).unwrap();
    assert_eq!(out, "OVER ONE SOCKET");
    job.end().is(0, "", "");
}

/// A directory, here; a disk with a bad block or a file system that went away would be the same.
#[test]
fn one_that_cannot_be_read_is_told_and_not_taken_for_an_end() {
    let temp = Temp::new();
    let ended = run(exec(["cat"]).stdin(File::open(temp.path()).unwrap()));
    assert!(ended.line().contains("stdin"), "nobody says that the input was not read: {ended:?}");
    assert_ne!(ended.code, Some(0));
}

#[test]
fn input_and_output_flow_while_the_command_runs() {
    let mut job = Job::start_fed(&mut exec(["cat"]));
    for round in 1..=20 {
        job.feed(format!("{round}\n").as_bytes());
        assert_eq!(job.out.lines(round).last(), Some(&round.to_string()));
    }
    assert_eq!(job.end().code, Some(0));
}

#[test]
fn its_end_reaches_the_command_while_that_runs() {
    let mut job = Job::start_fed(&mut exec_sh("cat; echo over"));
    job.feed(b"x\n");
    job.stdin = None;
    assert_eq!(job.out.lines(2), ["x", "over"]);
    assert_eq!(job.end().code, Some(0));
}

#[test]
fn a_command_that_reads_nothing_or_little_is_not_held_up() {
    let sent = noise(3 << 20);
    let mut nothing = exec_sh("exec <&-; echo done");
    let mut job = Job::start_fed(&mut nothing);
    let mut stdin = job.stdin.take().unwrap();
    thread::scope(|scope| {
        // It may be cut off: nobody reads it.
        scope.spawn(|| drop(stdin.write_all(&sent)));
        assert_eq!(job.out.line(), "done");
        job.end().is(0, "done\n", "");
    });
    let ended = run_with_rest(&sent);
    assert_eq!((ended.code, ended.out.as_slice()), (Some(4), &sent[..10]));
}

fn run_with_rest(sent: &[u8]) -> crate::job::Ended {
    let mut job = Job::start_fed(&mut exec_sh("head -c 10; exit 4"));
    let mut stdin = job.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(sent)));
        job.end()
    })
}

#[test]
fn it_is_left_alone_with_n() {
    run(&mut shell(r#"echo kept | ( "$T" exec -n -- cat; cat )"#)).is(0, "kept\n", "");
    // One that never says anything does not hold the command up.
    let mut job = Job::start_fed(&mut trunkline(["exec", "-n", "--", "cat"]));
    assert_eq!(job.wait().code(), Some(0));
}

/// Setting it would break whoever shares the pipe: the shell, and what runs before and after.
#[test]
fn o_nonblock_of_shared_pipes_is_as_it_was() {
    for nonblocking in [false, true] {
        let [input, mut output, errors] = [(); 3].map(|()| std::io::pipe().unwrap());
        let shared = [input.0.as_fd(), output.1.as_fd(), errors.1.as_fd()];
        for fd in shared {
            rustix::io::ioctl_fionbio(fd, nonblocking).unwrap();
        }
        let [stdin, stdout, stderr] =
            shared.map(|fd| Stdio::from(fd.try_clone_to_owned().unwrap()));
        let mut command = exec_sh("cat; echo over >&2");
        let mut job = Job::start_as_is(command.stdin(stdin).stdout(stdout).stderr(stderr));
        (&input.1).write_all(b"x").unwrap();
        assert_eq!(output.0.read(&mut [0; 9]).unwrap(), 1);
        let flags = || shared.map(|fd| fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK));
        assert_eq!(flags(), [nonblocking; 3], "while it runs");
        drop(input.1);
        assert_eq!(job.wait().code(), Some(0));
        assert_eq!(flags(), [nonblocking; 3], "afterwards");
    }
}

#[test]
fn o_nonblock_of_a_shared_socket_is_as_it_was() {
    for nonblocking in [false, true] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(nonblocking).unwrap();
        let [stdin, stdout] = [(); 2].map(|()| OwnedFd::from(theirs.try_clone().unwrap()));
        let mut job = Job::start_as_is(exec(["cat"]).stdin(stdin).stdout(stdout));
        ours.write_all(b"x").unwrap();
        assert_eq!(ours.read(&mut [0; 9]).unwrap(), 1);
        let flag = || fcntl_getfl(&theirs).unwrap().contains(OFlags::NONBLOCK);
        assert_eq!(flag(), nonblocking, "while it runs");
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(job.wait().code(), Some(0));
        assert_eq!(flag(), nonblocking, "afterwards");
    }
}
