//! Room for file requests, their deadlines, and handles that are closed without waiting.

mod common;

use std::time::Duration;

use common::*;
use trunkline_core::agentproto::{
    Config, FileOp, FileRequest, FileResponse, Frame, FrameType, Local, LocalEvent, Misuse,
};
use trunkline_core::{CloseReason, Machine, TimeoutKind};

fn request(op: FileOp) -> FileRequest {
    FileRequest { op, path: "/srv".into(), ..FileRequest::default() }
}

fn write(bytes: usize) -> FileRequest {
    FileRequest { data: vec![7; bytes].into(), handle: 1, ..request(FileOp::WRITE_AT) }
}

fn answer(id: u32) -> Frame {
    Frame::file_response(FileResponse { id, ..FileResponse::default() })
}

/// What leaves at this time, as requests.
fn leaves(local: &mut Local, millis: u64) -> Vec<FileRequest> {
    let mut frames = Vec::new();
    while let Some(segment) = local.poll_transmit(at(millis)) {
        frames.push(segment);
    }
    let requests = frames.into_iter().map(|segment| decode_one(segment.into_bytes()));
    requests.map(|frame| *frame.file_request.unwrap()).collect()
}

fn decode_one(bytes: bytes::Bytes) -> Frame {
    let mut decoder = trunkline_core::agentproto::Decoder::new(&Config::default());
    decoder.push(bytes);
    decoder.poll().unwrap().unwrap()
}

fn comes(local: &mut Local, millis: u64, frame: &Frame) {
    let bytes = trunkline_core::agentproto::encode(frame).unwrap().into_bytes();
    local.handle_input(at(millis), bytes);
}

/// Ten seconds of patience.
fn patient() -> Config {
    let mut config = numbers_known();
    config.request_timeout = Some(Duration::from_secs(10));
    config
}

#[test]
fn requests_wait_for_room_by_number_and_are_told_once() {
    let mut config = numbers_known();
    config.limits.in_flight = 2;
    let mut local = Local::new(config);
    assert_eq!(local.request(request(FileOp::STAT)), Ok(1));
    assert_eq!(local.request(request(FileOp::STAT)), Ok(2));
    assert_eq!(local.request(request(FileOp::STAT)), Err(Misuse::Busy));
    assert!(!local.request_room());
    assert_eq!(leaves(&mut local, 0).len(), 2);
    assert_eq!(news(&mut local), []);
    comes(&mut local, 0, &answer(1));
    comes(&mut local, 0, &answer(2));
    let told = news(&mut local);
    let rooms = told.iter().filter(|event| **event == LocalEvent::RequestRoom).count();
    assert_eq!((told.len(), rooms), (3, 1));
    // Nobody was refused since.
    assert_eq!(local.request(request(FileOp::STAT)), Ok(3));
    assert!(local.cancel(3));
    assert_eq!(news(&mut local), []);
}

#[test]
fn a_request_given_up_makes_room() {
    let mut config = Config::default();
    config.limits.in_flight = 1;
    // Not sent yet: it waits for the numbers of the agent.
    let mut local = Local::new(config);
    assert_eq!(local.request(request(FileOp::LSTAT)), Ok(1));
    assert_eq!(local.request(request(FileOp::LSTAT)), Err(Misuse::Busy));
    assert_eq!(leaves(&mut local, 0).len(), 1);
    assert!(local.cancel(1));
    assert_eq!(news(&mut local), [LocalEvent::RequestRoom]);
}

#[test]
fn requests_wait_for_room_by_bytes_and_one_is_always_taken() {
    let mut config = numbers_known();
    config.limits.session_queue = 1_000;
    let mut local = Local::new(config);
    assert_eq!(local.request(write(5_000)), Ok(1));
    assert_eq!(local.request(write(1)), Err(Misuse::Busy));
    assert_eq!(leaves(&mut local, 0).len(), 1);
    assert_eq!(news(&mut local), [LocalEvent::RequestRoom]);
    assert_eq!(local.request(write(400)), Ok(2));
    assert_eq!(local.request(write(400)), Ok(3));
    assert_eq!(local.request(write(400)), Ok(4));
    assert!(!local.request_room());
}

#[test]
fn bytes_that_wait_for_the_agent_s_numbers_count_too() {
    let mut config = Config::default();
    config.limits.session_queue = 1_000;
    let mut local = Local::new(config);
    // An operation whose number has changed.
    let new_path = "x".repeat(5_000);
    let link = FileRequest { new_path, ..request(FileOp::SYMLINK) };
    assert_eq!(local.request(link), Ok(1));
    assert_eq!(local.request(write(1)), Err(Misuse::Busy));
    let question = leaves(&mut local, 0).remove(0);
    assert!(!local.request_room());
    comes(&mut local, 0, &answer(question.id));
    assert!(!local.request_room());
    assert_eq!(leaves(&mut local, 0).len(), 1);
    assert!(local.request_room());
}

#[test]
fn a_request_that_nobody_answers_is_given_up_in_time() {
    let mut local = Local::new(patient());
    assert_eq!(local.poll_timeout(), None);
    assert_eq!(local.request(request(FileOp::OPEN)), Ok(1));
    // It has not left.
    assert_eq!(local.poll_timeout(), None);
    assert_eq!(leaves(&mut local, 5_000).len(), 1);
    assert_eq!(local.poll_timeout(), Some(at(15_000)));
    local.handle_timeout(at(14_999));
    assert_eq!(news(&mut local), []);
    local.handle_timeout(at(15_000));
    assert_eq!(news(&mut local), [LocalEvent::RequestTimedOut(1)]);
    assert_eq!((local.in_flight(), local.poll_timeout(), local.closed()), (0, None, None));
    // What it opened all the same is closed.
    let opened = FileResponse { id: 1, handle: 9, ..FileResponse::default() };
    comes(&mut local, 16_000, &Frame::file_response(opened));
    assert_eq!(news(&mut local), []);
    let closes = leaves(&mut local, 16_000);
    assert_eq!((closes[0].op, closes[0].handle), (FileOp::CLOSE, 9));
    // The close itself is waited for as long, and then forgotten.
    local.handle_timeout(at(26_000));
    assert_eq!((news(&mut local), local.poll_timeout()), (vec![], None));
}

#[test]
fn other_answers_excuse_a_late_one_but_not_for_ever() {
    let mut local = Local::new(patient());
    assert_eq!(local.request(request(FileOp::STAT)), Ok(1));
    assert_eq!(leaves(&mut local, 0).len(), 1);
    let mut id = 1;
    for second in (9..99).step_by(9) {
        assert_eq!(local.request(request(FileOp::STAT)), Ok(id + 1));
        assert_eq!(leaves(&mut local, second * 1_000 - 500).len(), 1);
        id += 1;
        comes(&mut local, second * 1_000, &answer(id));
        assert_eq!(news(&mut local).len(), 1);
        let expected = at((second * 1_000 + 10_000).min(100_000));
        assert_eq!(local.poll_timeout(), Some(expected));
        local.handle_timeout(at(second * 1_000 + 1));
        assert_eq!(news(&mut local), []);
    }
    local.handle_timeout(at(100_000));
    assert_eq!(news(&mut local), [LocalEvent::RequestTimedOut(1)]);
}

#[test]
fn what_flushes_has_ten_times_as_long_at_a_silent_agent_too() {
    for op in [FileOp::FSYNC, FileOp::CLOSE] {
        let mut local = Local::new(patient());
        assert_eq!(local.request(request(op)), Ok(1));
        assert_eq!(leaves(&mut local, 0).len(), 1);
        assert_eq!(local.poll_timeout(), Some(at(100_000)));
        // What was sent later, and is due earlier, does not wait for it.
        assert_eq!(local.request(request(FileOp::STAT)), Ok(2));
        assert_eq!(leaves(&mut local, 5_000).len(), 1);
        assert_eq!(local.poll_timeout(), Some(at(15_000)));
        local.handle_timeout(at(15_000));
        assert_eq!(news(&mut local), [LocalEvent::RequestTimedOut(2)]);
        local.handle_timeout(at(99_999));
        assert_eq!(news(&mut local), []);
        local.handle_timeout(at(100_000));
        assert_eq!(news(&mut local), [LocalEvent::RequestTimedOut(1)]);
        assert_eq!(local.poll_timeout(), None);
    }
    // One that is answered is waited for no more.
    let mut local = Local::new(patient());
    assert_eq!(local.request(request(FileOp::FSYNC)), Ok(1));
    assert_eq!(leaves(&mut local, 0).len(), 1);
    comes(&mut local, 99_999, &answer(1));
    assert_eq!((news(&mut local).len(), local.poll_timeout()), (1, None));
}

#[test]
fn an_answer_that_drips_in_is_waited_for() {
    let mut local = Local::new(patient());
    assert_eq!(local.request(request(FileOp::STAT)), Ok(1));
    assert_eq!(leaves(&mut local, 0).len(), 1);
    let bytes = trunkline_core::agentproto::encode(&answer(1)).unwrap().into_bytes();
    for (index, _) in bytes.iter().enumerate() {
        let now = at(5_000 * index as u64);
        local.handle_timeout(now);
        local.handle_input(now, bytes.slice(index..=index));
    }
    assert!(matches!(news(&mut local)[..], [LocalEvent::Response(_)]));
}

#[test]
fn an_agent_that_does_not_tell_its_numbers_ends_the_session_in_time() {
    let mut config = Config::default();
    config.request_timeout = Some(Duration::from_secs(10));
    let mut local = Local::new(config);
    assert_eq!(local.request(request(FileOp::LSTAT)), Ok(1));
    assert_eq!(leaves(&mut local, 3_000).len(), 1);
    local.handle_timeout(at(13_000));
    let closed = LocalEvent::Closed(CloseReason::Timeout(TimeoutKind::Handshake));
    assert_eq!(news(&mut local), [LocalEvent::RequestLost(1), closed]);
}

#[test]
fn the_original_waits_for_ever() {
    let mut local = Local::new(Config::reference());
    assert_eq!(local.request(request(FileOp::STAT)), Ok(1));
    assert_eq!(leaves(&mut local, 0).len(), 1);
    assert_eq!(local.poll_timeout(), None);
}

#[test]
fn the_first_answer_is_waited_for_from_the_first_request_on() {
    let mut config = patient();
    config.answer_timeout = Some(Duration::from_secs(2));
    let mut local = Local::new(config);
    // The session was idle for an hour, and nobody told it.
    assert_eq!(local.request(request(FileOp::STAT)), Ok(1));
    assert_eq!(leaves(&mut local, 3_600_000).len(), 1);
    assert_eq!(local.poll_timeout(), Some(at(3_602_000)));
}

#[test]
fn no_request_is_given_up_while_the_agent_may_still_say_its_first_word() {
    let mut config = Config::default();
    config.request_timeout = Some(Duration::from_secs(10));
    for wait in [Duration::from_secs(200), Duration::from_secs(u64::MAX)] {
        config.answer_timeout = Some(wait);
        let mut local = Local::new(config.clone());
        // One goes ahead of the question, and the other is held.
        assert_eq!(local.request(request(FileOp::STAT)), Ok(1));
        assert_eq!(local.request(request(FileOp::LSTAT)), Ok(2));
        let question = leaves(&mut local, 0).remove(0);
        assert_eq!(local.poll_timeout(), Some(at(0) + wait));
        local.handle_timeout(at(199_000));
        assert_eq!((news(&mut local), local.in_flight()), (vec![], 2));
        // From its first frame on they have the time that they would have had.
        comes(&mut local, 199_500, &answer(question.id));
        assert_eq!(local.poll_timeout(), Some(at(209_500)));
        assert_eq!(leaves(&mut local, 200_000).len(), 1);
        local.handle_timeout(at(209_499));
        assert_eq!(news(&mut local), []);
        local.handle_timeout(at(210_000));
        let lost = [LocalEvent::RequestTimedOut(1), LocalEvent::RequestTimedOut(2)];
        assert_eq!(news(&mut local), lost);
    }
}

#[test]
fn an_agent_that_talks_and_does_not_tell_its_numbers_ends_the_session_too() {
    let mut config = Config::default();
    config.request_timeout = Some(Duration::from_secs(10));
    config.answer_timeout = Some(Duration::from_secs(200));
    let mut local = Local::new(config);
    assert_eq!(local.request(request(FileOp::LSTAT)), Ok(1));
    assert_eq!(leaves(&mut local, 0).len(), 1);
    comes(&mut local, 100_000, &Frame::of(FrameType::LOG));
    assert_eq!(local.poll_timeout(), Some(at(110_000)));
    local.handle_timeout(at(110_000));
    let closed = LocalEvent::Closed(CloseReason::Timeout(TimeoutKind::Handshake));
    assert_eq!(news(&mut local), [LocalEvent::RequestLost(1), closed]);
}

#[test]
fn handles_are_closed_behind_what_was_asked_of_them() {
    let mut local = Local::new(numbers_known());
    assert_eq!(local.close_handle(3), Err(Misuse::NotStarted));
    assert_eq!(local.request(write(10)), Ok(1));
    assert_eq!(local.close_handle(1), Ok(()));
    assert_eq!(local.in_flight(), 1);
    let ops: Vec<FileOp> = leaves(&mut local, 0).iter().map(|request| request.op).collect();
    assert_eq!(ops, [FileOp::WRITE_AT, FileOp::CLOSE]);
    comes(&mut local, 0, &answer(2));
    assert_eq!(news(&mut local), []);
    local.close();
    assert_eq!(local.close_handle(1), Err(Misuse::Closed));
}

#[test]
fn behind_the_end_nobody_is_told_of_room() {
    let mut config = Config::default();
    config.limits.in_flight = 1;
    let mut local = Local::new(config);
    assert_eq!(local.request(request(FileOp::STAT)), Ok(1));
    assert_eq!(local.request(request(FileOp::STAT)), Err(Misuse::Busy));
    local.close();
    assert!(matches!(news(&mut local)[..], [LocalEvent::RequestLost(1), LocalEvent::Closed(_)]));
    assert!(!local.cancel(1));
    while local.poll_transmit(at(0)).is_some() {}
    assert_eq!(news(&mut local), []);
}

#[test]
fn a_question_of_the_users_that_was_given_up_is_still_waited_for() {
    let mut config = Config::default();
    config.request_timeout = Some(Duration::from_secs(10));
    let mut local = Local::new(config);
    assert_eq!(local.request(request(FileOp::GETWD)), Ok(1));
    assert_eq!(leaves(&mut local, 0).len(), 1);
    assert!(local.cancel(1));
    assert_eq!(local.request(request(FileOp::LSTAT)), Ok(2));
    local.handle_timeout(at(10_000));
    let closed = LocalEvent::Closed(CloseReason::Timeout(TimeoutKind::Handshake));
    assert_eq!(news(&mut local), [LocalEvent::RequestLost(2), closed]);
}
