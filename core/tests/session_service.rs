//! The side that serves files: requests in, answers out in any order, and an end that waits for
//! them.

mod common;

use bytes::Bytes;
use common::*;
use trunkline_core::agentproto::{
    Agent, AgentEvent, Config, DirEntry, FileOp, FileRequest, FileResponse, Frame, FrameType,
    Local, LocalEvent, Stat,
};
use trunkline_core::{CloseReason, Machine};

fn request(op: FileOp) -> FileRequest {
    FileRequest { op, path: "/srv".into(), ..FileRequest::default() }
}

fn answer(id: u32) -> FileResponse {
    FileResponse { id, ..FileResponse::default() }
}

/// An agent that was asked so many times; the host has the requests.
fn serving(config: Config, ids: &[u32]) -> Agent {
    let mut agent = Agent::new(config);
    let ask = |id: &u32| Frame::file_request(FileRequest { id: *id, ..request(FileOp::STAT) });
    feed(&mut agent, &ids.iter().map(ask).collect::<Vec<_>>());
    let asked: Vec<u32> = events(&mut agent)
        .into_iter()
        .map(|event| match event {
            AgentEvent::FileRequest(request) => request.id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(asked, ids);
    agent
}

#[test]
fn an_agent_answers_in_any_order_and_id_0_like_any_other() {
    let mut agent = serving(Config::default(), &[5, 0, u32::MAX, 5]);
    for id in [u32::MAX, 5, 0] {
        agent.respond(answer(id));
    }
    let ids: Vec<u32> =
        sent(&mut agent).iter().map(|frame| frame.file_response.as_ref().unwrap().id).collect();
    assert_eq!(ids, [u32::MAX, 5, 0]);
}

#[test]
fn frames_of_other_purposes_are_dropped_and_counted_by_a_file_service() {
    let mut agent = serving(Config::default(), &[1]);
    let foreign = [
        Frame::exec(exec("/bin/x")),
        Frame::path_query(Default::default()),
        Frame::config(Default::default()),
        Frame::signal(9),
        data(0, b"x"),
        Frame::eof(0),
        Frame::of(FrameType::FILE_REQUEST),
        Frame::file_response(answer(1)),
        Frame::of(FrameType(77)),
    ];
    feed(&mut agent, &foreign);
    assert_eq!((events(&mut agent), sent(&mut agent)), (vec![], vec![]));
    assert_eq!(agent.stats().frames_dropped, foreign.len() as u64);
}

#[test]
fn a_first_request_without_a_body_chooses_the_purpose_and_gets_no_answer() {
    let mut agent = Agent::new(Config::default());
    feed(&mut agent, &[Frame::of(FrameType::FILE_REQUEST), Frame::exec(exec("/bin/x"))]);
    assert_eq!((events(&mut agent), sent(&mut agent)), (vec![], vec![]));
    assert_eq!(agent.stats().frames_dropped, 2);
    agent.handle_eof(START);
    assert_eq!((agent.closed(), agent.status()), (Some(&eof(false)), 0));
}

#[test]
fn the_end_of_input_waits_for_requests_that_are_not_answered() {
    let ends: [fn(&mut Agent); 3] = [
        |agent| agent.handle_eof(START),
        |agent| feed(agent, &[Frame::exit(0, "")]),
        |agent| agent.handle_input(START, Bytes::from_static(b"\xff")),
    ];
    for end in ends {
        let mut agent = serving(Config::default(), &[1, 2]);
        agent.respond(answer(2));
        end(&mut agent);
        assert_eq!(agent.closed(), None);
        agent.respond(answer(1));
        assert!(agent.closed().is_some());
        assert_eq!(agent.status(), 0);
        let answers = sent_but_logs(&mut agent);
        assert_eq!(answers, [2, 1].map(|id| Frame::file_response(answer(id))));
    }
}

#[test]
fn requests_that_had_arrived_are_answered_although_the_input_has_ended() {
    let mut agent = Agent::new(Config::default());
    let ask = |id| Frame::file_request(FileRequest { id, ..request(FileOp::STAT) });
    feed(&mut agent, &(1..=500).map(ask).collect::<Vec<_>>());
    agent.handle_eof(START);
    let mut answers = 0;
    while agent.closed().is_none() {
        for event in events(&mut agent) {
            if let AgentEvent::FileRequest(request) = event {
                agent.respond(answer(request.id));
            }
        }
        answers += sent(&mut agent).len();
    }
    assert_eq!(answers + sent(&mut agent).len(), 500);
}

#[test]
fn a_list_too_long_for_the_wire_becomes_errno_75() {
    let mut agent = serving(Config::default(), &[6]);
    agent.respond(FileResponse { entries: vec![DirEntry::default(); 131_073], ..answer(6) });
    let frames = sent(&mut agent);
    let response = frames[0].file_response.as_ref().unwrap();
    assert_eq!((frames.len(), response.id, response.errno), (1, 6, 75));
    assert!(response.entries.is_empty() && !response.message.is_empty());
}

#[test]
fn an_answer_too_large_for_the_wire_becomes_errno_75() {
    let entry = DirEntry { stat: Stat { name: "n".repeat(1_000), ..Stat::default() } };
    let mut agent = serving(Config::default(), &[6]);
    agent.respond(FileResponse { entries: vec![entry; 17_000], ..answer(6) });
    let mut local = Local::new(numbers_known());
    for id in 1..=6 {
        assert_eq!(local.request(request(FileOp::READ_DIR)), Ok(id));
    }
    let segment = agent.poll_transmit(START).unwrap();
    local.handle_input(START, segment.into_bytes());
    assert_eq!(local.closed(), None, "one large directory must not end the session");
    let told = news(&mut local);
    assert!(matches!(&told[..], [LocalEvent::Response(response)] if response.errno == 75));
}

#[test]
fn a_flood_of_requests_stops_the_link_until_they_are_answered() {
    let mut agent = Agent::new(Config::default());
    let ask = |id| Frame::file_request(FileRequest { id, ..request(FileOp::STAT) });
    feed(&mut agent, &(1..=1_000).map(ask).collect::<Vec<_>>());
    assert!(!agent.wants_input());
    assert_eq!(events(&mut agent).len(), 128);
    assert!(!agent.wants_input());
    assert_eq!(agent.stats().frames_received, 128);
    for id in 1..=10 {
        agent.respond(answer(id));
    }
    assert_eq!(events(&mut agent).len(), 10);
    assert!(!agent.wants_input());
}

#[test]
fn answers_that_nobody_takes_stop_the_link() {
    let mut agent = serving(Config::default(), &(1..=100).collect::<Vec<_>>());
    for id in 1..=64 {
        assert!(agent.wants_input());
        agent.respond(answer(id));
    }
    assert!(!agent.wants_input());
    assert!(send_one(&mut agent).is_some());
    assert!(agent.wants_input());
}

#[test]
fn large_answers_that_nobody_takes_stop_the_link_by_their_bytes() {
    let mut agent = serving(Config::default(), &(1..=100).collect::<Vec<_>>());
    let megabyte = Bytes::from(vec![0; 1 << 20]);
    for id in 1..=32 {
        agent.respond(FileResponse { data: megabyte.clone().into(), ..answer(id) });
    }
    assert!(agent.stats().queued_out >= 32 << 20, "{} counted", agent.stats().queued_out);
    assert!(!agent.wants_input(), "32 MiB of answers wait");
}

#[test]
fn an_answer_behind_the_end_is_harmless() {
    let mut agent = serving(Config::default(), &[1]);
    agent.end();
    agent.respond(answer(1));
    agent.respond(answer(1));
    assert_eq!(agent.closed(), Some(&CloseReason::Local));
    assert_eq!(events(&mut agent), [AgentEvent::Closed(CloseReason::Local)]);
    assert_eq!(sent_but_logs(&mut agent), [], "only what was queued before still leaves");
}

#[test]
fn a_host_that_answers_no_more_does_not_keep_a_session_whose_input_has_ended() {
    let mut agent = serving(Config::default(), &[1, 2, 3]);
    assert_eq!(agent.poll_timeout(), None);
    agent.handle_eof(at(0));
    assert_eq!(agent.poll_timeout(), Some(at(30_000)));
    agent.handle_timeout(at(20_000));
    agent.respond(answer(2));
    assert!(agent.poll_transmit(at(20_000)).is_some());
    assert_eq!(agent.poll_timeout(), Some(at(50_000)), "counted anew from each answer");
    agent.handle_timeout(at(50_000));
    assert_eq!((agent.closed(), agent.status()), (Some(&eof(false)), 0));
    assert_eq!(agent.poll_timeout(), None);
    agent.respond(answer(1));
    assert_eq!(sent(&mut agent), []);
}

#[test]
fn unread_requests_do_not_keep_a_session_whose_caller_is_gone() {
    let mut config = Config::default();
    config.limits.in_flight = 2;
    let mut agent = serving(config, &[1, 2]);
    let ask = |id| Frame::file_request(FileRequest { id, ..request(FileOp::STAT) });
    feed(&mut agent, &[ask(3), ask(4)]);
    assert!(!agent.wants_input() && events(&mut agent).is_empty());
    agent.handle_failure(at(0), trunkline_core::Direction::Write, Some(32));
    // Each answer gives the next one time, and room for a request that waits.
    agent.handle_timeout(at(20_000));
    agent.respond(answer(1));
    assert!(
        matches!(&events(&mut agent)[..], [AgentEvent::FileRequest(request)] if request.id == 3)
    );
    assert_eq!(agent.poll_timeout(), Some(at(50_000)));
    assert_eq!(agent.closed(), None);
    agent.handle_timeout(agent.poll_timeout().unwrap());
    assert_eq!(agent.closed(), Some(&CloseReason::Transport { os_error: Some(32) }));
}

#[test]
fn requests_sent_before_a_hang_up_are_performed_as_long_as_answers_come() {
    let mut config = Config::default();
    config.limits.in_flight = 1;
    let mut agent = serving(config, &[1]);
    agent.peer_gone(at(0));
    agent.peer_gone(at(10_000));
    assert_eq!(agent.poll_timeout(), Some(at(30_000)));
    agent.respond(answer(1));
    let ask = |id| Frame::file_request(FileRequest { id, ..request(FileOp::STAT) });
    feed(&mut agent, &[ask(2)]);
    assert_eq!(events(&mut agent).len(), 1);
    agent.handle_eof(at(20_000));
    agent.respond(answer(2));
    assert_eq!(agent.closed(), Some(&eof(false)));
}

#[test]
fn a_session_ended_by_its_owner_waits_for_no_answer() {
    let mut agent = serving(Config::default(), &[1, 2]);
    agent.respond(answer(1));
    agent.handle_eof(at(0));
    agent.end();
    assert_eq!(sent(&mut agent).len(), 1);
    assert_eq!(agent.poll_timeout(), None);
}

#[test]
fn the_original_waits_for_ever() {
    let mut agent = serving(Config::reference(), &[1]);
    agent.handle_eof(at(0));
    assert_eq!((agent.poll_timeout(), agent.closed()), (None, None));
}

#[test]
fn what_requests_brought_and_what_answers_take_count_together() {
    let mut agent = Agent::new(Config::default());
    let write = |id| {
        let (op, data) = (FileOp::WRITE_AT, vec![7; 1 << 20].into());
        Frame::file_request(FileRequest { id, op, data, ..FileRequest::default() })
    };
    feed(&mut agent, &[1, 2, 3, 4].map(write));
    assert_eq!(events(&mut agent).len(), 4);
    let reads: Vec<_> = (5..=8)
        .map(|id| Frame::file_request(FileRequest { id, ..request(FileOp::READ_AT) }))
        .collect();
    feed(&mut agent, &reads);
    assert_eq!(events(&mut agent).len(), 4);
    assert!(agent.wants_input() && agent.takes_answers());
    for id in 5..=8 {
        agent.respond(FileResponse { data: vec![0; 1 << 20].into(), ..answer(id) });
    }
    assert!(!agent.wants_input(), "4 MiB of writes and 4 MiB of answers");
    assert!(agent.takes_answers());
    assert!(send_one(&mut agent).is_some());
    agent.respond(answer(1));
    assert!(agent.wants_input());
}
