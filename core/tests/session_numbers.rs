//! Hazard H2: version 1.2 gave other numbers to file operations. Nothing that could destroy
//! something is sent, or performed, before the numbers are known to mean the same.

mod common;

use common::*;
use trunkline_core::agentproto::{
    Agent, AgentEvent, Config, FileOp, FileRequest, FileResponse, Frame, FrameType, Level, Local,
    LocalEvent, Misuse, OpNumbers, Violation,
};
use trunkline_core::{CloseReason, Direction, Machine};

fn request(op: FileOp) -> FileRequest {
    FileRequest { op, path: "/srv/a.txt".into(), ..FileRequest::default() }
}

/// A local side that wants a mode changed, and the question it asks first.
fn asking() -> (Local, FileRequest) {
    let mut local = Local::new(Config::default());
    assert_eq!(local.request(request(FileOp::CHMOD)), Ok(1));
    let mut frames = requests(&mut local);
    assert_eq!(frames.len(), 1, "the question and nothing else");
    (local, frames.remove(0))
}

fn requests(local: &mut Local) -> Vec<FileRequest> {
    sent(local).into_iter().map(|frame| *frame.file_request.unwrap()).collect()
}

fn answered(local: &mut Local, response: FileResponse) {
    feed(local, &[Frame::file_response(response)]);
}

fn refused(id: u32, errno: u32) -> FileResponse {
    FileResponse { id, errno, message: "unknown file op".into(), ..FileResponse::default() }
}

fn unknown_operations(errno: u32) -> CloseReason {
    CloseReason::Violation(trunkline_core::Violation::Agentproto(Violation::UnknownOperations {
        errno,
    }))
}

#[test]
fn requests_wait_until_the_agent_has_shown_its_numbers() {
    let (mut local, question) = asking();
    assert_eq!((question.op, question.path.as_str()), (FileOp::GETWD, ""));
    for id in 2..=10 {
        assert_eq!(local.request(request(FileOp::REMOVE)), Ok(id));
    }
    assert_eq!((sent(&mut local), local.in_flight()), (vec![], 10));
    let path = "/srv".into();
    answered(&mut local, FileResponse { id: question.id, path, ..FileResponse::default() });
    assert_eq!(events(&mut local), [], "the question is nobody else's business");
    let sent = requests(&mut local);
    assert!(sent.iter().map(|request| request.id).eq(1..=10), "in their order");
    assert_eq!((sent[0].op, sent[1].op), (FileOp::CHMOD, FileOp::REMOVE));
    answered(&mut local, FileResponse { id: 1, ..FileResponse::default() });
    assert!(matches!(&events(&mut local)[..], [LocalEvent::Response(answer)] if answer.id == 1));
    // Asked once, and never again.
    assert_eq!(local.request(request(FileOp::STAT)), Ok(11));
    assert_eq!(requests(&mut local)[0].op, FileOp::STAT);
    assert_eq!(local.stats().responses_dropped, 0);
}

#[test]
fn what_means_the_same_in_every_version_need_not_wait() {
    let mut local = Local::new(Config::default());
    let same = (1..=7).map(FileOp);
    for op in same.clone() {
        local.request(request(op)).unwrap();
    }
    local.request(request(FileOp(0))).unwrap();
    local.request(request(FileOp::LSTAT)).unwrap();
    let sent = requests(&mut local);
    assert_eq!(sent[0].op, FileOp::GETWD, "the question goes first");
    assert!(sent[1..].iter().map(|request| request.op).eq(same));
    // An answer that overtakes the question's counts, and decides nothing.
    answered(&mut local, FileResponse { id: 1, handle: 3, ..FileResponse::default() });
    assert!(matches!(&events(&mut local)[..], [LocalEvent::Response(answer)] if answer.id == 1));
    assert_eq!((requests(&mut local).len(), local.closed()), (0, None));
    answered(&mut local, FileResponse { id: sent[0].id, ..FileResponse::default() });
    let waited = requests(&mut local);
    assert!(waited.iter().map(|request| request.op).eq([FileOp(0), FileOp::LSTAT]));
}

#[test]
fn an_agent_of_1_2_gets_no_request_that_it_would_mistake_and_is_named() {
    // 38 is its answer on Linux, 78 the same on other systems; whatever else it says proves nothing.
    for errno in [38, 78, 22, 5, u32::MAX] {
        let (mut local, question) = asking();
        assert_eq!(local.request(request(FileOp::REMOVE)), Ok(2));
        answered(&mut local, refused(question.id, errno));
        let reason = unknown_operations(errno);
        let lost = [LocalEvent::RequestLost(1), LocalEvent::RequestLost(2)];
        let told = events(&mut local);
        assert_eq!(told[..2], lost);
        assert_eq!(told[2..], [LocalEvent::Closed(reason.clone())]);
        assert_eq!(sent(&mut local), [], "neither chmod nor remove");
        assert_eq!(local.request(request(FileOp::STAT)), Err(Misuse::Closed));
        let text = reason.to_string();
        assert!(text.contains("version 1.2") && text.contains(&errno.to_string()), "{text}");
        assert_eq!(broken(&local), "operations");
    }
}

#[test]
fn a_failure_that_only_an_agent_of_1_3_has_is_proof_too() {
    for errno in [2, 13] {
        let (mut local, question) = asking();
        answered(&mut local, refused(question.id, errno));
        assert_eq!(requests(&mut local)[0].op, FileOp::CHMOD);
        assert_eq!((events(&mut local), local.closed()), (vec![], None));
    }
}

#[test]
fn an_error_text_alone_is_no_proof() {
    let (mut local, question) = asking();
    answered(&mut local, refused(question.id, 0));
    assert_eq!(local.closed(), Some(&unknown_operations(0)));
}

#[test]
fn the_users_own_question_serves() {
    let mut local = Local::new(Config::default());
    assert_eq!(local.request(FileRequest { op: FileOp::GETWD, ..Default::default() }), Ok(1));
    assert_eq!(local.request(request(FileOp::CHMOD)), Ok(2));
    assert_eq!(requests(&mut local).len(), 1, "one question, not two");
    answered(&mut local, FileResponse { id: 1, path: "/srv".into(), ..Default::default() });
    assert!(matches!(&events(&mut local)[..], [LocalEvent::Response(answer)] if answer.id == 1));
    assert_eq!(requests(&mut local)[0].op, FileOp::CHMOD);

    let mut local = Local::new(Config::default());
    local.request(FileRequest { op: FileOp::GETWD, ..Default::default() }).unwrap();
    local.request(request(FileOp::CHMOD)).unwrap();
    sent(&mut local);
    answered(&mut local, refused(1, 38));
    let told = events(&mut local);
    assert!(matches!(&told[0], LocalEvent::Response(answer) if answer.errno == 38));
    let closed = LocalEvent::Closed(unknown_operations(38));
    assert_eq!(told[1..], [LocalEvent::RequestLost(2), closed]);
    assert_eq!(sent(&mut local), []);
}

#[test]
fn a_question_that_was_given_up_still_decides() {
    for (errno, sends) in [(0, 1), (38, 0)] {
        let mut local = Local::new(Config::default());
        local.request(FileRequest { op: FileOp::GETWD, ..Default::default() }).unwrap();
        local.request(request(FileOp::CHMOD)).unwrap();
        assert!(local.cancel(1));
        sent(&mut local);
        let message = if errno == 0 { String::new() } else { "no".into() };
        answered(&mut local, FileResponse { id: 1, errno, message, ..Default::default() });
        assert_eq!(sent(&mut local).len(), sends);
        assert_eq!(local.closed().is_some(), errno != 0);
    }
}

#[test]
fn a_request_given_up_while_it_waits_is_never_sent() {
    let (mut local, question) = asking();
    local.request(request(FileOp::READLINK)).unwrap();
    assert!(local.cancel(1) && local.cancel(2));
    assert!(!local.cancel(1) && !local.cancel(7));
    assert_eq!(local.in_flight(), 0);
    answered(&mut local, FileResponse { id: question.id, ..Default::default() });
    assert_eq!((sent(&mut local), events(&mut local)), (vec![], vec![]));
    // An answer to one of them closes nothing: there was no request.
    answered(&mut local, FileResponse { id: 2, handle: 9, ..Default::default() });
    assert_eq!((sent(&mut local), local.stats().responses_dropped), (vec![], 1));
}

#[test]
fn answers_to_requests_that_were_not_sent_are_dropped() {
    let (mut local, question) = asking();
    answered(&mut local, FileResponse { id: 1, ..Default::default() });
    answered(&mut local, refused(0, 38));
    assert_eq!((events(&mut local), local.closed()), (vec![], None));
    assert_eq!((local.stats().responses_dropped, local.in_flight()), (2, 1));
    answered(&mut local, FileResponse { id: question.id, ..Default::default() });
    answered(&mut local, FileResponse { id: question.id, ..Default::default() });
    assert_eq!((local.stats().responses_dropped, requests(&mut local).len()), (3, 1));
}

#[test]
fn what_waits_is_lost_with_the_session_and_bounded_in_it() {
    let (mut local, _) = asking();
    let accepted = (1..1_000).take_while(|_| local.request(request(FileOp::STAT)).is_ok()).count();
    assert_eq!((accepted, local.in_flight()), (127, 128));
    let ends: [fn(&mut Local); 4] = [
        |local| local.handle_eof(START),
        |local| local.handle_failure(START, Direction::Read, Some(104)),
        Local::abort,
        Local::close,
    ];
    for end in ends {
        let (mut local, _) = asking();
        end(&mut local);
        assert!(matches!(
            news(&mut local)[..],
            [LocalEvent::RequestLost(1), LocalEvent::Closed(_)]
        ));
        assert_eq!(sent(&mut local), []);
    }
}

#[test]
fn a_request_no_agent_could_take_asks_nothing() {
    let mut local = Local::new(Config::default());
    let huge = FileRequest { path: "x".repeat(17 << 20), ..request(FileOp::STAT) };
    assert!(matches!(local.request(huge), Err(Misuse::TooLarge { .. })));
    assert_eq!(sent(&mut local), []);
    assert_eq!(local.exec(START, exec("/bin/x"), None), Ok(()));
}

#[test]
fn nothing_is_asked_where_the_original_is_asked_for() {
    assert_eq!(Config::reference().op_numbers, OpNumbers::Assumed);
    let mut local = Local::new(Config::reference());
    local.request(request(FileOp::CHMOD)).unwrap();
    assert_eq!(requests(&mut local)[0].op, FileOp::CHMOD);
    answered(&mut local, refused(1, 38));
    assert!(
        matches!(&events(&mut local)[..], [LocalEvent::Response(answer)] if answer.errno == 38)
    );
}

#[test]
fn a_client_of_1_2_is_refused_at_its_first_request() {
    let getwd = FileRequest { id: 1, op: FileOp(15), ..FileRequest::default() };
    // Whatever follows is not performed: its 14 is a truncation, and would be a mode change here.
    let follows = FileRequest { id: 2, ..request(FileOp(14)) };
    for first in [vec![], vec![Frame::of(FrameType::FILE_REQUEST)]] {
        let requests = [getwd.clone(), follows.clone()].map(Frame::file_request);
        let mut agent = Agent::new(Config::default());
        feed(&mut agent, &[first, requests.to_vec()].concat());
        assert!(matches!(events(&mut agent)[..], [AgentEvent::Closed(_)]));
        assert_eq!((broken(&agent), agent.status()), ("operations", 127));
        let frames = sent(&mut agent);
        let record = frames[0].log.as_ref().unwrap();
        assert_eq!(record.level(), Level::ERROR);
        let answer = frames[1].file_response.as_ref().unwrap();
        assert_eq!((frames.len(), answer.id, answer.errno), (2, 1, 38));
        assert!(answer.message.contains("1.2"), "{}", answer.message);
    }
}

#[test]
fn only_a_first_request_tells_a_client_of_1_2() {
    let truncate = |path: &str| FileRequest { path: path.into(), ..request(FileOp::TRUNCATE) };
    let serves = |config: Config, requests: &[FileRequest]| {
        let mut agent = Agent::new(config);
        let frames: Vec<Frame> = requests.iter().cloned().map(Frame::file_request).collect();
        agent.handle_input(START, wire(&frames));
        let asked = |event: &&AgentEvent| matches!(event, AgentEvent::FileRequest(_));
        events(&mut agent).iter().filter(asked).count()
    };
    assert_eq!(serves(Config::default(), &[truncate("/srv/a.txt")]), 1);
    assert_eq!(serves(Config::default(), &[request(FileOp::STAT), truncate("")]), 2);
    assert_eq!(serves(Config::reference(), &[truncate("")]), 1);
}
