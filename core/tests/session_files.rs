//! The side that asks for files: numbers of requests, answers in any order, those that come late
//! or twice or for nobody, and the end with requests still open.
//!
//! That numbers in use and 0 are left out when the counter wraps cannot be tested from here: it
//! takes four thousand million requests to get there.

mod common;

use bytes::Bytes;
use common::*;
use trunkline_core::agentproto::{
    Config, FileOp, FileRequest, FileResponse, Frame, FrameType, Local, LocalEvent, Misuse,
};
use trunkline_core::{Direction, Machine, Payload};

fn request(op: FileOp) -> FileRequest {
    FileRequest { op, path: "/srv".into(), ..FileRequest::default() }
}

fn read_at(size: i64) -> FileRequest {
    FileRequest { handle: 1, size, ..request(FileOp::READ_AT) }
}

fn answer(id: u32) -> FileResponse {
    FileResponse { id, ..FileResponse::default() }
}

fn opened(id: u32, handle: u32) -> FileResponse {
    FileResponse { handle, ..answer(id) }
}

fn answered(machine: &mut Local, response: FileResponse) {
    feed(machine, &[Frame::file_response(response)]);
}

/// A local side with so many requests in flight, all sent.
fn asking(config: Config, count: u32, op: FileOp) -> Local {
    let mut local = Local::new(config);
    for id in 1..=count {
        assert_eq!(local.request(request(op)), Ok(id));
    }
    assert_eq!(sent(&mut local).len(), count as usize);
    local
}

#[test]
fn requests_are_numbered_from_1_whatever_the_caller_put_in() {
    let mut local = Local::new(numbers_known());
    for id in 1..=3 {
        let asked = FileRequest { id: 77, ..request(FileOp::GETWD) };
        assert_eq!(local.request(asked), Ok(id));
    }
    let ids: Vec<u32> =
        sent(&mut local).iter().map(|frame| frame.file_request.as_ref().unwrap().id).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(local.in_flight(), 3);
}

#[test]
fn a_number_is_not_used_again_soon() {
    let mut local = asking(numbers_known(), 2, FileOp::STAT);
    answered(&mut local, answer(2));
    assert!(local.cancel(1));
    assert_eq!(local.request(request(FileOp::STAT)), Ok(3));
}

#[test]
fn answers_come_in_any_order_and_only_once() {
    let mut local = asking(numbers_known(), 3, FileOp::STAT);
    for id in [2, 3, 2, 1, 9, 0] {
        answered(&mut local, FileResponse { path: format!("{id}"), ..answer(id) });
    }
    let paths: Vec<String> = news(&mut local)
        .into_iter()
        .map(|event| match event {
            LocalEvent::Response(response) => response.path,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(paths, ["2", "3", "1"]);
    let stats = local.stats();
    assert_eq!((stats.responses_dropped, stats.last_dropped_response), (3, Some(0)));
    assert_eq!(local.in_flight(), 0);
}

#[test]
fn a_request_given_up_sends_nothing_and_its_answer_is_dropped() {
    let mut local = asking(numbers_known(), 2, FileOp::STAT);
    assert!(local.cancel(1));
    assert!(!local.cancel(1));
    assert!(!local.cancel(99));
    assert_eq!(local.in_flight(), 1);
    answered(&mut local, answer(1));
    answered(&mut local, answer(2));
    assert!(!local.cancel(2));
    assert_eq!(news(&mut local), [LocalEvent::Response(answer(2))]);
    assert_eq!(sent(&mut local), []);
    assert_eq!(local.stats().responses_dropped, 1);
}

#[test]
fn a_handle_that_comes_too_late_is_closed_by_the_machine() {
    for op in [FileOp::OPEN, FileOp::CREATE, FileOp::OPEN_FILE] {
        let mut local = asking(numbers_known(), 1, op);
        assert!(local.cancel(1));
        answered(&mut local, opened(1, 42));
        assert_eq!(news(&mut local), []);
        let frames = sent(&mut local);
        let close = frames[0].file_request.as_ref().unwrap();
        assert_eq!((frames.len(), close.op, close.handle, close.id), (1, FileOp::CLOSE, 42, 2));
        assert_eq!(local.in_flight(), 0);
        // Its answer is for nobody, and is none of those that nobody waited for.
        answered(&mut local, answer(2));
        assert_eq!(news(&mut local), []);
        assert_eq!(local.stats().responses_dropped, 1);
        assert_eq!(local.request(request(op)), Ok(3));
    }
}

#[test]
fn a_late_answer_without_a_handle_closes_nothing() {
    let mut local = asking(numbers_known(), 3, FileOp::OPEN);
    for id in 1..=3 {
        assert!(local.cancel(id));
    }
    answered(&mut local, FileResponse { errno: 2, ..answer(1) });
    answered(&mut local, FileResponse { errno: 2, ..opened(2, 7) });
    answered(&mut local, answer(3));
    assert_eq!(sent(&mut local), []);
    assert_eq!(local.stats().responses_dropped, 3);
}

#[test]
fn a_handle_that_comes_too_late_is_left_open_where_the_original_is_asked_for() {
    let mut local = asking(Config::reference(), 1, FileOp::OPEN);
    assert!(local.cancel(1));
    answered(&mut local, opened(1, 42));
    assert_eq!((sent(&mut local), news(&mut local)), (vec![], vec![]));
    assert_eq!(local.stats().responses_dropped, 1);
}

#[test]
fn a_table_full_of_requests_given_up_stays_small() {
    let mut local = Local::new(numbers_known());
    for _ in 0..10_000 {
        let id = local.request(request(FileOp::OPEN)).unwrap();
        sent(&mut local);
        assert!(local.cancel(id));
    }
    // Those that are still known get their handles closed; the others are dropped.
    for id in 1..=10_000 {
        answered(&mut local, opened(id, id));
    }
    assert!((1..=256).contains(&sent(&mut local).len()));
    assert_eq!(news(&mut local), []);
}

#[test]
fn an_unlimited_number_in_flight_does_not_panic() {
    let mut config = numbers_known();
    config.limits.in_flight = usize::MAX;
    let mut local = asking(config, 1, FileOp::OPEN);
    assert!(local.cancel(1));
}

#[test]
fn more_requests_than_may_be_in_flight_are_refused_as_busy() {
    let mut local = asking(numbers_known(), 128, FileOp::STAT);
    assert_eq!(local.request(request(FileOp::STAT)), Err(Misuse::Busy));
    assert_eq!(sent(&mut local), []);
    answered(&mut local, answer(5));
    assert_eq!(local.request(request(FileOp::STAT)), Ok(129));
}

#[test]
fn requests_that_cannot_leave_are_refused_as_busy_even_when_they_are_given_up() {
    let mut local = Local::new(numbers_known());
    let accepted = (0..10_000)
        .take_while(|_| local.request(request(FileOp::STAT)).is_ok_and(|id| local.cancel(id)))
        .count();
    assert!(accepted < 1_000, "{accepted} requests wait to be sent");
}

#[test]
fn a_refused_request_leaves_the_session_as_it_was() {
    let mut config = numbers_known();
    config.limits.in_flight = 0;
    let mut local = Local::new(config);
    assert_eq!(local.request(request(FileOp::STAT)), Err(Misuse::Busy));
    assert_eq!(local.exec(START, exec("/bin/x"), None), Ok(()));
}

#[test]
fn every_open_request_is_lost_at_the_end_and_later_ones_fail_at_once() {
    type End = fn(&mut Local);
    let ends: [(End, bool); 6] = [
        (|local| local.handle_eof(START), false),
        (|local| local.handle_failure(START, Direction::Read, None), false),
        (|local| local.handle_input(START, Bytes::from_static(b"\xff")), false),
        (|local| feed(local, &[Frame::exit(0, "")]), true),
        (Local::close, false),
        (Local::abort, false),
    ];
    for (end, by_exit) in ends {
        let mut local = asking(numbers_known(), 4, FileOp::STAT);
        assert!(local.cancel(2));
        answered(&mut local, answer(3));
        end(&mut local);
        let mut told = news(&mut local);
        assert_eq!(told.remove(0), LocalEvent::Response(answer(3)));
        assert!(matches!(told.pop(), Some(LocalEvent::Closed(_))));
        told.retain(|event| !(by_exit && matches!(event, LocalEvent::Exited { .. })));
        assert_eq!(told, [LocalEvent::RequestLost(1), LocalEvent::RequestLost(4)]);
        assert_eq!(local.request(request(FileOp::STAT)), Err(Misuse::Closed));
        assert_eq!(local.in_flight(), 0);
        answered(&mut local, answer(1));
        assert_eq!(news(&mut local), []);
        assert!(!local.cancel(4));
    }
}

#[test]
fn a_request_that_can_no_longer_be_sent_fails_at_once() {
    let mut local = asking(numbers_known(), 1, FileOp::STAT);
    local.handle_failure(START, Direction::Write, Some(32));
    assert!(local.request(request(FileOp::STAT)).is_err());
    // What was sent before may still be answered.
    answered(&mut local, answer(1));
    assert_eq!(news(&mut local), [LocalEvent::Response(answer(1))]);
}

#[test]
fn an_answer_to_a_read_is_held_to_what_was_asked_for() {
    let mut local = Local::new(numbers_known());
    let mut ask = |size, response: FileResponse| {
        let id = local.request(read_at(size)).unwrap();
        answered(&mut local, FileResponse { id, ..response });
        match news(&mut local).pop() {
            Some(LocalEvent::Response(response)) => response,
            other => panic!("{other:?}"),
        }
    };
    let with = |data: &'static [u8], count| FileResponse {
        data: Payload::from(data),
        count,
        ..FileResponse::default()
    };
    let right = ask(3, with(b"abc", 3));
    assert_eq!((right.data, right.errno), (Payload::from(&b"abc"[..]), 0));
    let long = ask(3, with(b"abcdef", 3));
    assert_eq!((long.data, long.errno), (Payload::from(&b"abc"[..]), 0));
    assert_eq!(ask(3, with(b"abc", 4)).errno, 5);
    assert_eq!(ask(3, with(b"abc", i64::MAX)).data.len(), 0);
    for size in [0, -1, i64::MIN] {
        let nothing = ask(size, with(b"abc", 0));
        assert_eq!((nothing.data.len(), nothing.errno), (0, 0));
        assert_eq!(ask(size, with(b"a", 1)).errno, 5);
    }
}

#[test]
fn an_answer_that_is_a_failure_keeps_its_number() {
    let mut local = Local::new(numbers_known());
    assert_eq!(local.request(read_at(3)), Ok(1));
    let failed = FileResponse { errno: 13, count: 9, ..answer(1) };
    answered(&mut local, failed);
    let told = news(&mut local);
    assert!(matches!(&told[..], [LocalEvent::Response(response)] if response.errno == 13));
}

#[test]
fn an_answer_to_a_write_does_not_say_that_more_was_written_than_was_sent() {
    for count in [4, i64::MAX] {
        let mut local = Local::new(numbers_known());
        let write = FileRequest { data: Payload::from(&b"abc"[..]), ..request(FileOp::WRITE_AT) };
        assert_eq!(local.request(write), Ok(1));
        answered(&mut local, FileResponse { count, ..answer(1) });
        let told = news(&mut local);
        let [LocalEvent::Response(response)] = &told[..] else { panic!("{told:?}") };
        assert!(response.errno != 0 || response.count <= 3, "{response:?}");
    }
}

#[test]
fn frames_of_other_purposes_are_dropped_and_counted() {
    let mut local = asking(numbers_known(), 1, FileOp::STAT);
    let foreign = [
        Frame::exec(exec("/bin/x")),
        Frame::path_info(Default::default()),
        Frame::signal(9),
        data(1, b"x"),
        Frame::eof(1),
        Frame::file_request(request(FileOp::STAT)),
        Frame::of(FrameType::FILE_RESPONSE),
        Frame::of(FrameType::ERROR),
    ];
    feed(&mut local, &foreign);
    assert_eq!((events(&mut local), sent(&mut local)), (vec![], vec![]));
    assert_eq!(local.stats().frames_dropped, foreign.len() as u64);
    assert_eq!(local.in_flight(), 1);
}
