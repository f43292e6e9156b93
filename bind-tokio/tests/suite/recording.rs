//! Recordings: what is in them, and that nobody notices them being made.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use trunkline_core::agentproto::{
    Direction, Frame, FrameType, Record, RecordType, RecordedFrame, Verifier,
};
use trunkline_drive::Records;

use crate::rt::{
    self, Agent, ExecOptions, ExecRequest, PathQuery, Recording, RecordingOptions, Redaction, Task,
};

use super::peer;
use super::support::{
    Pattern, agent_program, cancel_at, eventually, exited, lost_status, options, program, serve, sh,
};
use super::wire::{Line, wire};

/// A file in memory, with a disk behind it that holds so many bytes.
#[derive(Clone, Debug)]
struct Paper {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: usize,
}

impl Paper {
    fn new() -> Self {
        Self::with_room(usize::MAX)
    }

    fn with_room(room: usize) -> Self {
        Self { bytes: Arc::default(), room }
    }

    fn recording(&self) -> Recording {
        Recording::to_writer(self.clone(), RecordingOptions::default()).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    fn records(&self) -> Vec<Record> {
        let bytes = self.bytes();
        Records::new(&*bytes).map(|placed| placed.unwrap().record).collect()
    }

    /// The records, in which nothing is wrong.
    fn sound(&self) -> Vec<Record> {
        let records = self.records();
        let mut verifier = Verifier::default();
        let found = records.iter().flat_map(|record| verifier.record(record)).collect::<Vec<_>>();
        assert_eq!((found, verifier.finish()), (vec![], vec![]));
        records
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.bytes.lock().unwrap();
        let count = bytes.len().min(self.room - all.len());
        if count == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        all.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A command with a recording.
fn recorded(request: ExecRequest, recording: &Recording) -> ExecOptions {
    let mut options = ExecOptions::new(request);
    options.recording = Some(recording.clone());
    options
}

/// A command on a real agent.
fn start(request: ExecRequest, recording: &Recording) -> (rt::Exec, Task<u8>, Line) {
    let (local, remote, line) = wire(64 << 10);
    let exec = rt::exec_over(rt::Over(local), recorded(request, recording)).unwrap();
    (exec, serve(remote, options()), line)
}

/// The frames of a command.
fn frames(records: &[Record], seq: u32) -> impl Iterator<Item = &RecordedFrame> {
    let frames = records.iter().filter_map(|record| record.frame.as_deref());
    frames.filter(move |frame| frame.seq == seq)
}

/// The bytes of a stream.
fn stream(records: &[Record], seq: u32, direction: Direction, stream: u32) -> Vec<u8> {
    let wanted = move |body: &&RecordedFrame| {
        body.direction == direction
            && body.frame.kind == FrameType::DATA
            && body.frame.stream == stream
    };
    let data = frames(records, seq).filter(wanted).map(|body| body.frame.data.clone());
    data.flat_map(|data| data.into_bytes()).collect()
}

fn ends(records: &[Record]) -> Vec<(u32, i64)> {
    let ends = records.iter().filter_map(|record| record.command_end.as_deref());
    ends.map(|end| (end.seq, end.exit_code)).collect()
}

#[test]
fn every_frame_is_recorded_in_order_with_its_time() {
    rt::each(async || {
        let paper = Paper::new();
        let recording = paper.recording();
        let (mut exec, mut peer, _line) = peer::exec(recorded(sh("x"), &recording));
        let mut stdin = exec.take_stdin().unwrap();
        rt::write_all(&mut stdin, b"in").await.unwrap();
        peer.expect(FrameType::EXEC).await;
        assert_eq!(peer.recv().await, Some(Frame::data(0, b"in".to_vec())));
        let said = [
            peer::log(0, "a record", &["k=v"]),
            Frame::data(1, b"out".to_vec()),
            Frame::eof(1),
            // Of no meaning, and recorded all the same.
            Frame::of(FrameType(77)),
            Frame::exit(7, "why"),
        ];
        for frame in &said {
            peer.send(frame).await;
        }
        assert_eq!(exec.wait().await.code(), Some(7));
        recording.finished().await;
        recording.close().unwrap();
        let records = paper.sound();
        let kinds: Vec<u8> = records.iter().map(|record| record.kind.0).collect();
        assert_eq!(kinds, [1, 2, 3, 3, 3, 3, 3, 3, 3, 4, 5]);
        let received = frames(&records, 0).filter(|body| body.direction == Direction::RECEIVED);
        assert!(received.map(|body| &body.frame).eq(&said));
        let sent = frames(&records, 0).filter(|body| body.direction == Direction::SENT);
        assert!(
            sent.map(|body| &body.frame)
                .eq(&[Frame::exec(sh("x")), Frame::data(0, b"in".to_vec())])
        );
        let begun = records[0].header.as_ref().unwrap().start_time;
        let mut last = begun;
        for body in frames(&records, 0) {
            assert!(body.time >= last && body.time < begun + 60_000_000_000);
            last = body.time;
        }
    });
}

#[test]
fn commands_at_once_share_a_recording_and_keep_apart() {
    rt::each(async || {
        let paper = Paper::new();
        let recording = paper.recording();
        let sessions: Vec<_> = (0..8_usize)
            .map(|number| {
                let recording = recording.clone();
                rt::spawn(async move {
                    let request = sh(&format!("cat; exit {number}"));
                    let (mut exec, agent, _line) = start(request, &recording);
                    let mut stdin = exec.take_stdin().unwrap();
                    let mut stdout = exec.take_stdout().unwrap();
                    let bytes = Pattern::new().at(1_001 * number, 90_000);
                    let written = bytes.clone();
                    let writing = rt::spawn(async move {
                        rt::write_all(&mut stdin, &written).await.unwrap();
                    });
                    assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), bytes);
                    writing.await;
                    assert_eq!(exec.wait().await, exited(i64::try_from(number).unwrap()));
                    assert_eq!(agent.await, 0);
                })
            })
            .collect();
        for session in sessions {
            session.await;
        }
        recording.finished().await;
        recording.close().unwrap();
        let records = paper.sound();
        let starts = records.iter().filter_map(|record| record.command_start.as_deref());
        assert!(starts.clone().map(|start| start.seq).eq(0..8));
        for start in starts {
            let script = &start.exec.argv.as_ref().unwrap()[2];
            let number: usize = script.strip_prefix("cat; exit ").unwrap().parse().unwrap();
            let bytes = Pattern::new().at(1_001 * number, 90_000);
            assert_eq!(stream(&records, start.seq, Direction::SENT, 0), bytes);
            assert_eq!(stream(&records, start.seq, Direction::RECEIVED, 1), bytes);
            assert!(ends(&records).contains(&(start.seq, i64::try_from(number).unwrap())));
        }
        assert_eq!(records.last().unwrap().footer.as_ref().unwrap().command_count, 8);
    });
}

#[test]
fn more_than_is_kept_at_once_is_recorded_whole() {
    rt::each(async || {
        let paper = Paper::new();
        let recording = paper.recording();
        let (mut exec, agent, _line) = start(sh("cat"), &recording);
        let bytes = Pattern::new().head(2_000_000);
        let mut stdin = exec.take_stdin().unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        let written = bytes.clone();
        let writing = rt::spawn(async move { rt::write_all(&mut stdin, &written).await.unwrap() });
        // Given up while the session runs, and asked again behind its end.
        assert!(cancel_at(1, recording.finished()).await.is_none());
        assert!(rt::read_to_end(&mut stdout).await.unwrap() == bytes);
        writing.await;
        assert_eq!(exec.wait().await, exited(0));
        agent.await;
        recording.finished().await;
        recording.close().unwrap();
        let records = paper.sound();
        assert!(stream(&records, 0, Direction::SENT, 0) == bytes);
        assert!(stream(&records, 0, Direction::RECEIVED, 1) == bytes);
    });
}

#[test]
fn a_recording_that_fails_disturbs_no_session_and_says_why() {
    rt::each(async || {
        // At every place: within the start, a frame, a payload that goes by itself.
        for room in [300, 1_000, 20_000, 100_000] {
            let paper = Paper::with_room(room);
            let recording = paper.recording();
            let bytes = Pattern::new().head(300_000);
            for _ in 0..2 {
                let (mut exec, agent, _line) = start(sh("cat; exit 3"), &recording);
                let mut stdin = exec.take_stdin().unwrap();
                let mut stdout = exec.take_stdout().unwrap();
                let written = bytes.clone();
                let writing =
                    rt::spawn(async move { rt::write_all(&mut stdin, &written).await.unwrap() });
                assert!(rt::read_to_end(&mut stdout).await.unwrap() == bytes);
                writing.await;
                assert_eq!(exec.wait().await, exited(3));
                agent.await;
            }
            recording.finished().await;
            let failure = recording.failure().expect("it is told");
            assert_eq!(failure.kind(), io::ErrorKind::StorageFull);
            let closed = recording.close().unwrap_err();
            assert_eq!(closed.kind(), io::ErrorKind::StorageFull);
            assert_eq!(paper.bytes().len(), room, "and nothing is tried again");
        }
    });
}

#[test]
fn a_writer_that_takes_no_header_is_refused_at_once() {
    let refused = Recording::to_writer(Paper::with_room(3), RecordingOptions::default());
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_lost_session_is_recorded_up_to_the_loss() {
    rt::each(async || {
        let paper = Paper::new();
        let recording = paper.recording();
        let (mut exec, mut peer, _line) = peer::exec(recorded(sh("x"), &recording));
        peer.expect(FrameType::EXEC).await;
        peer.send(&Frame::data(1, b"half".to_vec())).await;
        drop(peer);
        lost_status(&exec.wait().await);
        recording.finished().await;
        recording.close().unwrap();
        let records = paper.sound();
        assert_eq!(stream(&records, 0, Direction::RECEIVED, 1), b"half");
        assert_eq!(ends(&records), [(0, -1)]);
    });
}

#[test]
fn a_session_that_goes_on_is_recorded_up_to_the_close() {
    rt::each(async || {
        let paper = Paper::new();
        let recording = paper.recording();
        let (mut exec, mut peer, _line) = peer::exec(recorded(sh("x"), &recording));
        peer.expect(FrameType::EXEC).await;
        recording.close().unwrap();
        let closed = paper.bytes();
        peer.send(&Frame::data(1, b"unheard".to_vec())).await;
        peer.send(&Frame::exit(0, "")).await;
        assert_eq!(exec.wait().await, exited(0));
        recording.finished().await;
        recording.close().unwrap();
        drop(recording);
        assert_eq!(paper.bytes(), closed, "nothing comes behind the footer");
        assert_eq!(ends(&paper.sound()), [(0, -1)]);
    });
}

#[test]
fn the_last_clone_closes_the_recording() {
    rt::each(async || {
        let paper = Paper::new();
        let recording = paper.recording();
        let (mut exec, agent, _line) = start(sh("exit 2"), &recording);
        drop(recording);
        assert_eq!(exec.wait().await, exited(2));
        agent.await;
        drop(exec);
        eventually("the footer", || {
            paper.records().last().is_some_and(|record| record.kind == RecordType::FOOTER)
        })
        .await;
        assert_eq!(ends(&paper.sound()), [(0, 2)]);
    });
}

#[test]
fn sessions_that_are_dropped_or_aborted_end_in_the_recording() {
    rt::each(async || {
        let paper = Paper::new();
        let recording = paper.recording();
        let (exec, agent, _line) = start(sh("sleep 1000"), &recording);
        drop(exec);
        agent.await;
        let (exec, agent, _line) = start(sh("sleep 1000"), &recording);
        exec.abort();
        agent.await;
        recording.finished().await;
        recording.close().unwrap();
        let records = paper.sound();
        assert_eq!(ends(&records), [(0, -1), (1, -1)]);
        drop(exec);
    });
}

#[test]
fn a_command_that_no_agent_could_take_is_not_recorded() {
    rt::each(async || {
        let paper = Paper::new();
        let recording = paper.recording();
        let (local, _remote, _line) = wire(1_000);
        let request = ExecRequest { fds: vec![1], ..sh("x") };
        rt::exec_over(rt::Over(local), recorded(request, &recording)).unwrap_err();
        recording.close().unwrap();
        let kinds: Vec<u8> = paper.sound().iter().map(|record| record.kind.0).collect();
        assert_eq!(kinds, [1, 5]);
    });
}

#[test]
fn an_agent_s_sessions_of_every_kind_are_recorded() {
    rt::each(async || {
        let paper = Paper::new();
        let recording = paper.recording();
        let agent = Agent::command(agent_program(), [""; 0]).with_recording(recording.clone());
        assert_eq!(agent.clone().exec(sh("exit 4")).unwrap().wait().await, exited(4));
        let programs = agent.paths(PathQuery { paths: vec!["/bin".into()] }).await.unwrap();
        // Another recording for one command.
        let other = Paper::new();
        let apart = other.recording();
        assert_eq!(agent.exec(recorded(sh(""), &apart)).unwrap().wait().await, exited(0));
        recording.finished().await;
        apart.finished().await;
        apart.close().unwrap();
        recording.close().unwrap();
        let records = paper.sound();
        assert_eq!(ends(&records), [(0, 4), (1, -1)]);
        let info = frames(&records, 1).find_map(|body| body.frame.path_info.clone()).unwrap();
        assert_eq!(info.entries.unwrap_or_default(), programs);
        assert_eq!(ends(&other.sound()), [(0, 0)]);
    });
}

#[test]
fn secrets_are_kept_back_in_whatever_pieces_they_come() {
    rt::each(async || {
        let paper = Paper::new();
        let options = RecordingOptions::redacted(Redaction::ALL);
        let recording = Recording::to_writer(paper.clone(), options).unwrap();
        let secret = "SECRET-".repeat(3_000);
        let env = Some(vec!["PATH=/bin:/usr/bin".to_owned(), format!("NAME={}", &secret[..100])]);
        let request = ExecRequest { env, ..program("sh", &["-c", "cat", &secret[..700]]) };
        let (local, remote, line) = wire(64 << 10);
        let exec = rt::exec_over(rt::Over(local), recorded(request, &recording));
        let mut exec = exec.unwrap();
        let mut agent_options = super::support::options();
        agent_options.config.log_level = -8;
        let agent = serve(remote, agent_options);
        let mut stdin = exec.take_stdin().unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        let input = secret.clone();
        let writing = rt::spawn(async move {
            for piece in input.as_bytes().chunks(997) {
                rt::write_all(&mut stdin, piece).await.unwrap();
                rt::sleep(Duration::from_micros(50)).await;
            }
        });
        assert!(rt::read_to_end(&mut stdout).await.unwrap() == secret.as_bytes());
        writing.await;
        assert_eq!(exec.wait().await, exited(0));
        agent.await;
        drop(line);
        recording.finished().await;
        recording.close().unwrap();
        let records = paper.sound();
        let bytes = paper.bytes();
        assert!(!bytes.windows(6).any(|window| window == b"SECRET"));
        let sent = stream(&records, 0, Direction::SENT, 0);
        assert!(String::from_utf8(sent).unwrap().starts_with("[redacted: 997 bytes]"));
        let logs = frames(&records, 0).filter_map(|body| body.frame.log.as_ref());
        assert!(logs.flat_map(|log| &log.attributes).any(|text| text == "argv=[redacted]"));
    });
}
