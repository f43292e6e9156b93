//! The rows of section 15 that are about files, with real processes: a peer that is out for harm, or
//! a file that never answers, at `trunkline agent`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trunkline_core::agentproto::{FileOp, FileRequest};

use crate::crafted::{bytes_of, frames_of};
use crate::interop_files::file_script::{at, on, read};
use crate::interop_files::{client, client_of};
use crate::job::{PROGRAM, run_with, trunkline};
use crate::temp::Temp;

/// A request as a frame.
fn request(fop: Value) -> Value {
    json!({"t": 11, "fop": fop})
}

#[test]
fn read_at_of_any_size() {
    let dir = Temp::new();
    let path = dir.write("sparse", "");
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    let mut client = client(&[]);
    let handle = client.ask(&on(FileOp::OPEN, &path)).handle;
    for size in [i64::MAX, 1 << 40, (1 << 20) + 1] {
        let answer = client.ask(&read(handle, 1 << 30, size));
        assert_eq!((answer.errno, answer.count, answer.eof), (0, 1 << 20, false));
    }
    for size in [0, -1, i64::MIN] {
        let answer = client.ask(&read(handle, -1, size));
        assert_eq!((answer.errno, answer.count, answer.eof), (0, 0, false));
    }
    client.end();
}

/// What a process had at most, in bytes.
fn peak(child: &Child) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it lives");
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<usize>().unwrap() << 10
}

#[test]
fn floods_of_large_reads_that_nobody_takes() {
    const READS: usize = 200;
    let dir = Temp::new();
    // Of bytes, not of holes: what is read must take memory.
    let path = dir.write("file", vec![7; 2 << 20]);
    let mut child = trunkline(["agent", "--log-level", "9"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    stdin.write_all(&bytes_of(&[request(json!({"id": 1, "op": 1, "p": path}))])).unwrap();
    let mut answer = vec![0; bytes_of(&[json!({"t": 12, "frp": {"id": 1, "h": 1}})]).len()];
    stdout.read_exact(&mut answer).unwrap();
    assert_eq!(frames_of(&answer)[0]["frp"]["h"], 1);
    let read = request(json!({"id": 2, "op": 5, "h": 1, "sz": i64::MAX}));
    stdin.write_all(&bytes_of(&[read]).repeat(READS)).unwrap();
    // As much as it takes without anybody who takes answers.
    let (mut most, mut since) = (peak(&child), Instant::now());
    while since.elapsed() < Duration::from_millis(300) {
        let now = peak(&child);
        if now > most {
            (most, since) = (now, Instant::now());
        }
        thread::sleep(Duration::from_millis(5));
    }
    drop(stdin);
    let mut answers = Vec::new();
    stdout.read_to_end(&mut answers).unwrap();
    assert!(answers.len() > READS << 20, "{} bytes of answers", answers.len());
    assert!(child.wait().unwrap().success());
    // What may wait, what is performed at once, and what a process takes unoptimised.
    assert!(most < (8 + 8 + 24) << 20, "{most} bytes");
}

#[test]
fn opening_without_closing() {
    let dir = Temp::new();
    let path = dir.write("file", "x");
    // More descriptors than handles.
    let script = r#"ulimit -n 4096 && exec "$0" agent"#;
    let mut client = client_of(&["sh", "-c", script, PROGRAM]);
    for number in 1..=1_024 {
        let answer = client.ask(&on(FileOp::OPEN, &path));
        assert_eq!((answer.errno, answer.handle), (0, number));
    }
    for _ in 0..3 {
        let answer = client.ask(&on(FileOp::CREATE, &path));
        let text = format!("open {path}: too many open files");
        assert_eq!((answer.errno, answer.message, answer.handle), (24, text, 0));
    }
    assert_eq!(client.ask(&at(FileOp::CLOSE, 7)).errno, 0);
    assert_eq!(client.ask(&on(FileOp::OPEN, &path)).handle, 1_025);
    client.end();
}

#[test]
fn fifo_or_device_that_hangs() {
    let dir = Temp::new();
    let (fifo, file) = (dir.file("fifo"), dir.write("file", "content"));
    assert!(Command::new("mkfifo").arg(&fifo).stdout(Stdio::null()).status().unwrap().success());
    for (options, errno) in [(&[][..], 1), (&["--allow-devices"], 0)] {
        let mut client = client(options);
        // Nobody writes into it, ever.
        let ids: Vec<_> = (0..30).map(|_| client.send(&on(FileOp::OPEN, &fifo))).collect();
        for _ in &ids {
            assert_eq!(client.next().errno, errno);
        }
        let handle = client.ask(&on(FileOp::OPEN, &file)).handle;
        let answer = client.ask(&read(handle, 0, 100));
        assert_eq!(answer.data.into_bytes(), "content");
        client.end();
    }
}

#[test]
fn a_violation_ends_the_service_behind_what_was_asked() {
    let dir = Temp::new();
    let path = dir.write("file", "x");
    let mut bytes = bytes_of(&[request(json!({"id": 1, "op": 1, "p": path}))]);
    bytes.extend_from_slice(b"\xff");
    let ended = run_with(&mut trunkline(["agent"]), &bytes);
    let frames = frames_of(&ended.out);
    assert_eq!(ended.code, Some(0));
    assert!(frames.iter().any(|frame| frame["frp"]["h"] == 1), "{frames:?}");
    let logged = |frame: &Value| frame["l"]["msg"] == "file-op read loop ended with error";
    assert!(frames.iter().any(logged), "{frames:?}");
}

#[test]
fn sparse_writes_and_exabytes() {
    let dir = Temp::new();
    let path = dir.write("file", "x");
    let mut client = client(&["--max-file-size", "1M"]);
    let handle = client.ask(&on(FileOp::CREATE, &path)).handle;
    let write =
        |offset| FileRequest { offset, data: b"x".to_vec().into(), ..at(FileOp::WRITE_AT, handle) };
    assert_eq!(client.ask(&write((1 << 20) - 1)).errno, 0);
    assert_eq!(client.ask(&write(1 << 20)).errno, 27);
    let size = 1 << 60;
    assert_eq!(client.ask(&FileRequest { size, ..at(FileOp::FTRUNCATE, handle) }).errno, 27);
    assert_eq!(client.ask(&FileRequest { size, ..on(FileOp::TRUNCATE, &path) }).errno, 27);
    assert_eq!(fs::metadata(&path).unwrap().len(), 1 << 20);
    client.end();
}

#[test]
fn flags_of_the_policy_reach_the_service() {
    let dir = Temp::new();
    fs::create_dir(dir.file("served")).unwrap();
    let (inside, outside) = (dir.write("served/file", "x"), dir.write("outside", "y"));
    let root = dir.file("served");
    let mut client = client(&["--root", &root, "--read-only"]);
    let mut errno = |op, path: &str| client.ask(&on(op, path)).errno;
    assert_eq!(errno(FileOp::STAT, "/file"), 0);
    assert_eq!(errno(FileOp::CREATE, "/new"), 30);
    assert_eq!(errno(FileOp::REMOVE, "/file"), 30);
    assert_ne!(errno(FileOp::STAT, &outside), 0);
    assert_ne!(errno(FileOp::STAT, &inside), 0);
    assert_ne!(errno(FileOp::STAT, "/../outside"), 0);
    client.end();
    for (options, op, wanted) in [
        (&["--root", &root][..], FileOp::LINK, 1),
        (&["--root", &root, "--allow-hard-links"], FileOp::LINK, 0),
    ] {
        let mut client = self::client(options);
        let link = FileRequest { new_path: "/hard".into(), ..on(op, "/file") };
        assert_eq!(client.ask(&link).errno, wanted);
        client.end();
    }
}

#[test]
fn a_root_that_cannot_be_served_is_one_line_and_exit_code_2() {
    let dir = Temp::new();
    for path in [dir.file("none"), dir.write("file", "x")] {
        let ended = run_with(&mut trunkline(["agent", "--root", &path]), b"");
        assert_eq!((ended.code, ended.out.len()), (Some(2), 0));
        assert!(ended.line().contains(&path), "{ended:?}");
    }
    let ended = run_with(&mut trunkline(["agent", "--root", dir.text(), "--no-files"]), b"");
    assert_eq!(ended.code, Some(2), "{ended:?}");
}

#[test]
fn a_confined_agent_runs_commands_only_when_told() {
    let dir = Temp::new();
    let via = format!("{} agent --root {}", PROGRAM, dir.text());
    let ended = run_with(&mut trunkline(["exec", "--via", &via, "--", "true"]), b"");
    assert_eq!(ended.code, Some(127));
    assert!(ended.err.contains("serves files and runs no commands"), "{ended:?}");
    let via = format!("{via} --allow-exec");
    let ended = run_with(&mut trunkline(["exec", "--via", &via, "--", "true"]), b"");
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}
