//! What an agent could do to file requests, frame by frame.

use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::agentproto::{DirEntry, FileResponse, Frame, FrameType, OpNumbers, Stat};

use crate::rt::{self, Config, FileError, FileFault, FileOp, FileRequest, Files};

use super::peer::Peer;
use super::support::{Pattern, cancel_at, lost, turn};
use super::wire::{Line, wire};

/// Files of an agent that the test plays, which numbers operations as it should.
fn files(config: Config) -> (Files, Peer, Line) {
    let mut config = config;
    config.op_numbers = OpNumbers::Assumed;
    let (local, agent, line) = wire(8 << 20);
    (rt::files_over(rt::Over(local), config), Peer::new(agent), line)
}

async fn asked(peer: &mut Peer) -> FileRequest {
    *peer.expect(FrameType::FILE_REQUEST).await.file_request.unwrap()
}

async fn answer(peer: &mut Peer, id: u32, response: FileResponse) {
    peer.send(&Frame::file_response(FileResponse { id, ..response })).await;
}

fn opened(handle: u32) -> FileResponse {
    FileResponse { handle, ..FileResponse::default() }
}

fn named(name: &str) -> FileResponse {
    let stat = Stat { name: name.to_owned(), ..Stat::default() };
    FileResponse { stat: Some(Box::new(stat)), ..FileResponse::default() }
}

fn fault<T: std::fmt::Debug>(result: std::io::Result<T>) -> FileFault {
    FileError::of(&result.unwrap_err()).expect("a file error").fault
}

/// An open file, with what opened it answered.
async fn open(files: &Files, peer: &mut Peer, handle: u32) -> rt::File {
    let opening = {
        let files = files.clone();
        rt::spawn(async move { files.create("/f").await.unwrap() })
    };
    let request = asked(peer).await;
    answer(peer, request.id, opened(handle)).await;
    opening.await
}

#[test]
fn sixty_four_requests_are_in_flight_and_others_follow_in_order() {
    rt::each(async || {
        let (files, mut peer, _line) = files(Config::default());
        let mut tasks = Vec::new();
        for index in 0..100 {
            let asker = files.clone();
            tasks.push(rt::spawn(async move { asker.stat(index.to_string()).await.unwrap().name }));
            // One after the other: tasks of several threads ask in any order.
            if index < 64 {
                assert_eq!(asked(&mut peer).await.path, index.to_string());
            } else {
                while files.stats().frames_sent < 64 {
                    turn().await;
                }
                rt::sleep(Duration::from_millis(3)).await;
            }
        }
        assert_eq!(files.stats().frames_sent, 64);
        for id in (1..=64).rev() {
            answer(&mut peer, id, named(&format!("answer {id}"))).await;
            if id > 28 {
                assert_eq!(asked(&mut peer).await.id, 64 + 65 - id);
            }
        }
        for id in 65..=100 {
            answer(&mut peer, id, named(&format!("answer {id}"))).await;
        }
        for (index, task) in tasks.into_iter().enumerate() {
            let name = task.await;
            if index < 64 {
                assert_eq!(name, format!("answer {}", index + 1));
            }
        }
    });
}

#[test]
fn another_limit_holds_at_once() {
    rt::each(async || {
        let (files, mut peer, _line) = files(Config::default());
        files.limit_in_flight(1);
        let (one, two) = (files.clone(), files.clone());
        let one = rt::spawn(async move { one.stat("1").await });
        assert_eq!(asked(&mut peer).await.path, "1");
        let two = rt::spawn(async move { two.stat("2").await });
        rt::sleep(Duration::from_millis(20)).await;
        assert_eq!(files.stats().frames_sent, 1);
        files.limit_in_flight(2);
        assert_eq!(asked(&mut peer).await.path, "2");
        answer(&mut peer, 2, named("b")).await;
        answer(&mut peer, 1, named("a")).await;
        assert_eq!(one.await.unwrap().name + &two.await.unwrap().name, "ab");
    });
}

#[test]
fn reads_are_in_order_whatever_the_order_of_answers() {
    const COUNT: usize = 2_000_000;
    rt::each(async || {
        let (files, mut peer, _line) = files(Config::default());
        let mut file = open(&files, &mut peer, 7).await;
        let reading = rt::spawn(async move {
            let all = rt::read_to_end(&mut file).await.unwrap();
            (file, all)
        });
        let pattern = Pattern::new();
        let mut held: Vec<FileRequest> = Vec::new();
        let mut round = 0_usize;
        let (file, all) = {
            let mut reading = pin!(reading);
            loop {
                // What has come within a moment is answered back to front, and partly.
                match rt::timeout(Duration::from_millis(30), asked(&mut peer)).await {
                    Some(request) => held.push(request),
                    None if held.is_empty() => {
                        if let Some(done) = cancel_at(1, reading.as_mut()).await {
                            break done;
                        }
                    }
                    None => {
                        for request in held.drain(..).rev() {
                            round += 1;
                            let begin = usize::try_from(request.offset).unwrap().min(COUNT);
                            let wanted = usize::try_from(request.size).unwrap();
                            // Now and then less than asked for, without an end.
                            let most =
                                if round.is_multiple_of(4) { wanted / 2 + 1 } else { wanted };
                            let data = pattern.head(COUNT)[begin..COUNT.min(begin + most)].to_vec();
                            let eof = begin + most > COUNT;
                            let data = data.into();
                            let response = FileResponse { data, eof, ..FileResponse::default() };
                            answer(&mut peer, request.id, response).await;
                        }
                    }
                }
            }
        };
        assert_eq!(all.len(), COUNT);
        pattern.check(0, &all);
        assert_eq!(file.handle(), 7);
    });
}

#[test]
fn a_session_lost_in_the_middle_fails_every_request_at_once() {
    rt::each(async || {
        let (files, mut peer, _line) = files(Config::default());
        files.limit_in_flight(3);
        let mut file = open(&files, &mut peer, 7).await;
        rt::write_all(&mut file, b"unflushed").await.unwrap();
        let mut tasks = Vec::new();
        for index in 0..6 {
            let files = files.clone();
            tasks.push(rt::spawn(async move { files.stat(index.to_string()).await }));
        }
        for _ in 0..3 {
            asked(&mut peer).await;
        }
        drop(peer);
        for task in tasks {
            lost(&task.await.unwrap_err());
        }
        lost(&files.stat("later").await.unwrap_err());
        lost(&file.close().await.unwrap_err());
        lost(&files.list_dir("/").await.unwrap_err());
        files.close().await;
    });
}

#[test]
fn what_opens_too_late_is_closed() {
    rt::each(async || {
        let (files, mut peer, _line) = files(Config::default());
        // Given up before the answer, and after it.
        assert!(cancel_at(1, files.open("/late")).await.is_none());
        let request = asked(&mut peer).await;
        answer(&mut peer, request.id, opened(3)).await;
        let close = asked(&mut peer).await;
        assert_eq!((close.op, close.handle), (FileOp::CLOSE, 3));
        answer(&mut peer, close.id, FileResponse::default()).await;

        let mut opening = Box::pin(files.open("/there"));
        assert!(cancel_at(1, opening.as_mut()).await.is_none());
        let request = asked(&mut peer).await;
        answer(&mut peer, request.id, opened(4)).await;
        while files.stats().frames_received < 3 {
            turn().await;
        }
        drop(opening);
        let close = asked(&mut peer).await;
        assert_eq!((close.op, close.handle), (FileOp::CLOSE, 4));
    });
}

#[test]
fn a_file_that_is_dropped_is_closed_behind_what_was_written() {
    rt::each(async || {
        let (files, mut peer, _line) = files(Config::default());
        let mut file = open(&files, &mut peer, 9).await;
        rt::write_all(&mut file, b"some").await.unwrap();
        drop(file);
        let write = asked(&mut peer).await;
        assert_eq!((write.op, write.handle, write.offset), (FileOp::WRITE_AT, 9, 0));
        assert_eq!(write.data.into_bytes(), b"some"[..]);
        let close = asked(&mut peer).await;
        assert_eq!((close.op, close.handle), (FileOp::CLOSE, 9));
        // An error that comes now is nobody's.
        let refused = FileResponse { errno: 28, ..FileResponse::default() };
        answer(&mut peer, write.id, refused).await;
        answer(&mut peer, close.id, FileResponse::default()).await;
        let stat = rt::spawn(async move { files.stat("/x").await.unwrap().name });
        let request = asked(&mut peer).await;
        answer(&mut peer, request.id, named("x")).await;
        assert_eq!(stat.await, "x");
    });
}

#[test]
fn what_a_write_left_out_is_sent_again_and_nothing_at_all_is_an_error() {
    rt::each(async || {
        let (files, mut peer, _line) = files(Config::default());
        let mut file = open(&files, &mut peer, 9).await;
        let writing = rt::spawn(async move {
            rt::write_all(&mut file, b"0123456789").await.unwrap();
            rt::flush(&mut file).await.unwrap();
            rt::write_all(&mut file, b"more").await.unwrap();
            let one = fault(rt::flush(&mut file).await);
            let two = fault(rt::write_all(&mut file, b"even more").await);
            (one, two, fault(file.close().await))
        });
        let mut seen = Vec::new();
        while seen.len() < 10 {
            let write = asked(&mut peer).await;
            assert_eq!(write.offset, seen.len() as i64);
            let data: Bytes = write.data.into_bytes();
            let count = data.len().min(3);
            seen.extend_from_slice(&data[..count]);
            let count = count as i64;
            answer(&mut peer, write.id, FileResponse { count, ..FileResponse::default() }).await;
        }
        assert_eq!(seen, b"0123456789");
        let write = asked(&mut peer).await;
        answer(&mut peer, write.id, FileResponse::default()).await;
        let close = asked(&mut peer).await;
        assert_eq!(close.op, FileOp::CLOSE);
        answer(&mut peer, close.id, FileResponse::default()).await;
        assert_eq!(writing.await, (FileFault::Stalled, FileFault::Stalled, FileFault::Stalled));
    });
}

#[test]
fn answers_without_what_was_asked_for_are_errors_of_their_own() {
    rt::each(async || {
        let (files, mut peer, _line) = files(Config::default());
        let asking = rt::spawn(async move {
            let empty = [
                fault(files.stat("/a").await),
                fault(files.statfs("/a").await),
                fault(files.readlink("/a").await),
                fault(files.getwd().await),
                fault(files.open("/a").await),
            ];
            let error = files.lstat("/a").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            let shown = error.to_string();
            assert_eq!(shown, "lstat /a: the agent answered with an empty result");
            // A text alone is a failure too, and it is the peer's.
            let told = files.lstat("/a").await.unwrap_err();
            assert_eq!(told.to_string(), r"lstat /a: \u{1b}[1m no");
            assert_eq!(files.list_dir("/a").await.unwrap(), []);
            empty
        });
        for _ in 0..6 {
            let request = asked(&mut peer).await;
            answer(&mut peer, request.id, FileResponse::default()).await;
        }
        let request = asked(&mut peer).await;
        let message = "\x1b[1m no".to_owned();
        answer(&mut peer, request.id, FileResponse { message, ..FileResponse::default() }).await;
        let request = asked(&mut peer).await;
        let entries = Vec::<DirEntry>::new();
        answer(&mut peer, request.id, FileResponse { entries, ..FileResponse::default() }).await;
        assert_eq!(asking.await, [FileFault::EmptyResult; 5]);
    });
}

#[test]
fn more_than_was_asked_for_is_cut_and_a_count_that_cannot_be_is_an_error() {
    rt::each(async || {
        let (files, mut peer, _line) = files(Config::default());
        let file = open(&files, &mut peer, 9).await;
        let reading = rt::spawn(async move {
            let read = file.read_at(0, 10).await.unwrap();
            let error = file.write_at(0, Bytes::from_static(b"xy")).await.unwrap_err();
            (read, FileError::of(&error).unwrap().errno)
        });
        let request = asked(&mut peer).await;
        let data = vec![b'x'; 1_000].into();
        answer(&mut peer, request.id, FileResponse { data, ..FileResponse::default() }).await;
        let request = asked(&mut peer).await;
        answer(&mut peer, request.id, FileResponse { count: 3, ..FileResponse::default() }).await;
        assert_eq!(reading.await, (Bytes::from_static(b"xxxxxxxxxx"), 5));
    });
}

#[test]
fn a_request_that_nobody_answers_ends_at_its_deadline_and_the_session_goes_on() {
    rt::each(async || {
        let mut config = Config::default();
        config.request_timeout = Some(Duration::from_millis(200));
        let (files, mut peer, _line) = files(config);
        let error = files.stat("/slow").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "stat /slow: no answer in time");
        let slow = asked(&mut peer).await;
        answer(&mut peer, slow.id, named("late")).await;
        let next = rt::spawn(async move { files.stat("/next").await.unwrap().name });
        let request = asked(&mut peer).await;
        answer(&mut peer, request.id, named("next")).await;
        assert_eq!(next.await, "next");
    });
}

#[test]
fn an_idle_file_that_waited_for_room_holds_up_nobody() {
    rt::each(async || {
        let (files, mut peer, _line) = files(Config::default());
        let mut file = open(&files, &mut peer, 9).await;
        files.limit_in_flight(1);
        let first = files.clone();
        let first = rt::spawn(async move { first.stat("/first").await.unwrap().name });
        let request = asked(&mut peer).await;
        // It finds no room, and nobody polls it again.
        assert!(cancel_at(1, file.read_chunk(10)).await.is_none());
        let second = files.clone();
        let second = rt::spawn(async move { second.stat("/second").await.unwrap().name });
        rt::sleep(Duration::from_millis(10)).await;
        answer(&mut peer, request.id, named("first")).await;
        let request = asked(&mut peer).await;
        assert_eq!(request.path, "/second");
        answer(&mut peer, request.id, named("second")).await;
        assert_eq!(first.await + &second.await, "firstsecond");
    });
}

#[test]
fn a_session_that_is_closed_sends_what_was_asked_for() {
    rt::each(async || {
        let (files, mut peer, _line) = files(Config::default());
        assert!(cancel_at(1, files.remove("/x")).await.is_none());
        files.close().await;
        assert_eq!(asked(&mut peer).await.op, FileOp::REMOVE);
        assert!(peer.recv().await.is_none());
        assert!(files.stat("/y").await.is_err());
    });
}
