//! The hazards of section 14 that a session machine can see, and what must become of sessions that
//! are refused, ended or lost.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use trunkline_core::agentproto::{
    Agent, AgentConfig, AgentEvent, Config, ExecRequest, FileRequest, FileResponse, Frame,
    FrameType, Local, LocalEvent, LogArguments, LostInput, PathEntry, PathInfo, PathQuery, Read,
};
use trunkline_core::{CloseReason, Direction, Machine};

#[test]
fn a_second_purpose_or_configuration_is_ignored() {
    let config = AgentConfig::default();
    let late = [
        Frame::exec(exec("/bin/y")),
        Frame::config(config.clone()),
        Frame::path_query(PathQuery::default()),
        Frame::file_request(FileRequest::default()),
        Frame::file_response(FileResponse::default()),
        Frame::path_info(PathInfo::default()),
        Frame::of(FrameType::ERROR),
        Frame::of(FrameType(0)),
        Frame::of(FrameType(13)),
        Frame::of(FrameType(255)),
        log("x"),
    ];
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    feed(&mut agent, &late);
    assert_eq!((events(&mut agent), sent(&mut agent)), (vec![], vec![]));
    assert_eq!(agent.stats().frames_dropped, late.len() as u64);

    let mut local = running_local(Config::default(), exec("/bin/x"));
    feed(&mut local, &late);
    assert!(matches!(events(&mut local)[..], [LocalEvent::Log(_)]));
    assert_eq!(local.stats().frames_dropped, late.len() as u64 - 1);
}

#[test]
fn a_first_frame_without_a_purpose_is_refused_in_silence() {
    let config = || Frame::config(AgentConfig::default());
    let first = [
        vec![data(0, b"x")],
        vec![Frame::exit(0, "")],
        vec![Frame::of(FrameType(0))],
        vec![Frame::of(FrameType(200))],
        vec![Frame::of(FrameType::EXEC)],
        vec![Frame::of(FrameType::CONFIG)],
        vec![config(), config()],
        vec![config(), Frame::signal(9)],
    ];
    for frames in first {
        let mut agent = Agent::new(Config::default());
        feed(&mut agent, &frames);
        feed(&mut agent, &[Frame::exec(exec("/bin/x"))]);
        assert_eq!(broken(&agent), "first frame");
        assert_eq!(agent.status(), 127);
        assert!(matches!(events(&mut agent)[..], [AgentEvent::Closed(_)]));
        let logs = sent(&mut agent);
        assert!(logs.iter().all(|frame| frame.kind == FrameType::LOG), "no exit, no error");
        let last = logs.last().unwrap().log.as_ref().unwrap();
        assert_eq!(last.attributes, [format!("type={}", frames.last().unwrap().kind.0)]);
    }
    for (bytes, reason) in [(&b""[..], eof(false)), (b"\xa1", eof(true))] {
        let mut agent = Agent::new(Config::default());
        agent.handle_input(START, Bytes::copy_from_slice(bytes));
        agent.handle_eof(START);
        assert_eq!((agent.closed(), agent.status()), (Some(&reason), 127));
        assert_eq!(sent_logs(&mut agent)[0].message, "reading initial frame failed");
    }
}

#[test]
fn an_exit_from_the_caller_is_the_end_of_input() {
    let mut agent = running_agent(Config::default(), with_fds(&[3]));
    feed(&mut agent, &[data(0, b"a"), Frame::exit(0, ""), data(0, b"b"), Frame::signal(9)]);
    assert_eq!(read_all(&mut agent, 0), (b"a".to_vec(), Read::End));
    assert_eq!(read_all(&mut agent, 3), (vec![], Read::End));
    assert_eq!(news(&mut agent), []);
    assert!(agent.wants_input(), "to see the end");
    assert_eq!(agent.poll_timeout(), Some(at(5_000)));
}

#[test]
fn a_violation_by_the_caller_leaves_the_exit_to_be_reported() {
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    agent.handle_input(START, [&wire(&[data(0, b"a")])[..], b"\xff"].concat().into());
    assert_eq!(read_all(&mut agent, 0), (b"a".to_vec(), Read::End));
    assert_eq!(sent_logs(&mut agent)[0].message, "mux read loop ended with error");
    for output in [1, 2] {
        agent.finish(output);
    }
    agent.exited(3);
    assert_eq!(sent_but_logs(&mut agent).last(), Some(&Frame::exit(3, "")));
    agent.handle_input(START, Bytes::from(vec![0xff; 100_000]));
    agent.handle_eof(START);
    assert_eq!(agent.status(), 0);
    assert!(agent.closed().is_some());
}

#[test]
fn a_lost_caller_is_the_end_of_every_stream_and_then_a_hang_up_and_a_kill() {
    let mut agent = running_agent(Config::default(), with_fds(&[3]));
    agent.handle_eof(at(0));
    assert_eq!((read_all(&mut agent, 0).1, read_all(&mut agent, 3).1), (Read::End, Read::End));
    agent.handle_timeout(at(4_999));
    assert_eq!(news(&mut agent), []);
    agent.handle_timeout(at(5_000));
    assert_eq!(news(&mut agent), [AgentEvent::Signal(1)]);
    assert_eq!(agent.poll_timeout(), Some(at(10_000)));
    agent.handle_timeout(at(10_000));
    assert_eq!(news(&mut agent), [AgentEvent::Signal(9)]);
    // What no signal reaches does not keep the session for ever.
    agent.handle_timeout(at(15_000));
    assert_eq!(agent.closed(), Some(&eof(false)));
    assert_eq!(agent.poll_timeout(), None);

    for policy in [LostInput::Ignore, LostInput::EndStreams] {
        let mut config = Config::default();
        config.lost_input = policy;
        let mut agent = running_agent(config, exec("/bin/x"));
        agent.handle_eof(START);
        let last = if policy == LostInput::Ignore { Read::Empty } else { Read::End };
        assert_eq!(read_all(&mut agent, 0).1, last);
        assert_eq!(agent.poll_timeout(), None);
    }
}

#[test]
fn arguments_are_kept_out_of_records_when_asked() {
    for (setting, shown) in [(LogArguments::Show, true), (LogArguments::Redact, false)] {
        let mut config = Config::default();
        config.log_arguments = setting;
        let mut agent = Agent::new(config);
        let secret = vec!["x".into(), "--password=hunter2".into()];
        let env = Some(vec!["TOKEN=hunter2".to_string()]);
        feed(&mut agent, &[Frame::exec(ExecRequest { argv: Some(secret), env, ..exec("x") })]);
        let text = format!("{:?}", sent(&mut agent));
        assert_eq!(text.contains("hunter2"), shown);
        assert!(!text.contains("TOKEN"));
    }
}

#[test]
fn a_command_is_accompanied_by_its_records_down_to_the_level_asked_for() {
    for (level, count) in [(-8, 4), (-4, 1), (0, 0)] {
        let mut config = Config::default();
        config.log_level = level;
        let mut agent = Agent::new(config);
        feed(&mut agent, &[Frame::exec(exec("/bin/x")), Frame::signal(2)]);
        agent.started(1);
        agent.exited(0);
        assert_eq!(sent_logs(&mut agent).len(), count);
    }
}

#[test]
fn a_login_banner_is_shown_with_its_first_bytes() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    local.handle_input(START, Bytes::from_static(b"Welcome to \x1b[1mbox\n"));
    assert_eq!(broken(&local), "type");
    let text = local.closed().unwrap().to_string();
    assert!(text.contains("Welcome to \\u{1b}[1mbox"), "{text}");
}

#[test]
fn an_answer_that_never_comes_ends_at_the_deadline() {
    let mut config = Config::default();
    config.answer_timeout = Some(Duration::from_secs(10));
    let mut paths = Local::new(config.clone());
    paths.query_paths(at(0), PathQuery::default(), None).unwrap();
    for mut local in [running_local(config, exec("/bin/x")), paths] {
        assert_eq!(local.poll_timeout(), Some(at(10_000)));
        local.handle_timeout(at(9_999));
        assert_eq!(local.closed(), None);
        local.handle_timeout(at(10_000));
        assert!(matches!(news(&mut local)[..], [LocalEvent::Closed(CloseReason::Timeout(_))]));
        assert_eq!(local.poll_timeout(), None);
    }
}

#[test]
fn a_file_session_that_nobody_answers_ends_at_the_deadline_too() {
    let mut config = Config::default();
    config.answer_timeout = Some(Duration::from_secs(10));
    let mut local = Local::new(config);
    local.handle_timeout(START);
    local.request(FileRequest::default()).unwrap();
    assert_eq!(sent(&mut local).len(), 1);
    assert_eq!(local.poll_timeout(), Some(at(10_000)));
    local.handle_timeout(at(20_000));
    assert!(matches!(
        news(&mut local)[..],
        [LocalEvent::RequestLost(1), LocalEvent::Closed(CloseReason::Timeout(_))]
    ));
}

#[test]
fn zero_is_absent_on_the_wire_and_is_zero_again_behind_it() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    local.signal(0).unwrap();
    write_all(&mut local, 0, b"x");
    local.finish(0);
    let bytes: Vec<Bytes> =
        std::iter::from_fn(|| local.poll_transmit(START)).map(|s| s.into_bytes()).collect();
    assert_eq!(bytes, [&b"\xa1\x61t\x04"[..], b"\xa2\x61d\x41x\x61t\x02", b"\xa1\x61t\x03"]);
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    agent.handle_input(START, bytes.concat().into());
    assert_eq!(events(&mut agent), [AgentEvent::Signal(0), AgentEvent::Readable(0)]);
    assert_eq!(read_all(&mut agent, 0), (b"x".to_vec(), Read::End));
}

#[test]
fn after_the_exit_the_agent_waits_for_its_caller_to_hang_up_and_no_longer() {
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    agent.start_failed("x");
    agent.handle_timeout(at(1_000_000));
    assert_eq!((agent.closed(), agent.poll_timeout()), (None, None));
    feed(&mut agent, &[data(0, b"x"), Frame::signal(9), Frame::exit(0, "")]);
    assert_eq!((events(&mut agent), agent.closed()), (vec![], None));
    assert!(agent.wants_input());
    agent.handle_eof(START);
    assert_eq!(events(&mut agent), [AgentEvent::Closed(eof(false))]);
    assert_eq!(sent_but_logs(&mut agent).len(), 1, "the exit still leaves");
}

#[test]
fn an_agent_that_lists_programs_leaves_by_itself() {
    let mut agent = Agent::new(Config::default());
    feed(&mut agent, &[Frame::config(AgentConfig::default()), Frame::of(FrameType::PATH_QUERY)]);
    assert_eq!(events(&mut agent), [AgentEvent::PathQuery(PathQuery::default())]);
    feed(&mut agent, &[Frame::signal(9), Frame::exec(exec("/bin/x"))]);
    let entry = PathEntry { name: "x".into(), path: "/x".into(), ..PathEntry::default() };
    agent.paths(vec![entry.clone()]);
    agent.paths(vec![]);
    assert!(agent.closed().is_some());
    assert_eq!(agent.status(), 0);
    let frames = sent(&mut agent);
    let kinds: Vec<u8> = frames.iter().map(|frame| frame.kind.0).collect();
    assert_eq!(kinds, [7, 7, 10]);

    let mut local = Local::new(Config::default());
    local.query_paths(START, PathQuery::default(), None).unwrap();
    feed(&mut local, &[data(1, b"x"), Frame::exit(1, "")]);
    assert_eq!((news(&mut local), local.stats().frames_dropped), (vec![], 2));
    feed(&mut local, &frames);
    let told = news(&mut local);
    assert_eq!(told[2], LocalEvent::Paths(vec![entry]));
    assert!(matches!(told[3], LocalEvent::Closed(CloseReason::Peer { code: 0, .. })));
}

#[test]
fn a_path_query_ends_with_a_result_a_failure_or_a_loss() {
    let asked = || {
        let mut local = Local::new(Config::default());
        local.query_paths(START, PathQuery::default(), None).unwrap();
        local
    };
    for empty in [None, Some(PathInfo { entries: None })] {
        let mut local = asked();
        let frame = Frame { path_info: empty.map(Box::new), ..Frame::of(FrameType::PATH_INFO) };
        feed(&mut local, &[frame]);
        assert_eq!(news(&mut local)[0], LocalEvent::Paths(vec![]));
    }
    let mut local = asked();
    feed(&mut local, &[Frame { error: "no".into(), ..Frame::of(FrameType::ERROR) }]);
    assert_eq!(news(&mut local)[0], LocalEvent::QueryFailed("no".into()));
    let mut local = asked();
    local.handle_eof(START);
    assert_eq!(news(&mut local), [LocalEvent::Closed(eof(false))]);
}

#[test]
fn a_list_of_programs_that_no_receiver_takes_is_cut_short_and_says_so() {
    let mut agent = Agent::new(Config::default());
    feed(&mut agent, &[Frame::path_query(PathQuery::default())]);
    agent.paths(vec![PathEntry::default(); 131_073]);
    let frames = sent(&mut agent);
    assert_eq!(frames[0].log.as_ref().unwrap().attributes, ["found=131073", "sent=131072"]);
    let entries = frames.last().unwrap().path_info.as_ref().unwrap().entries.as_ref().unwrap();
    assert_eq!(entries.len(), 131_072);
}

#[test]
fn a_tiny_frame_limit_does_not_make_a_list_of_programs_panic() {
    let mut config = Config::default();
    config.limits.frame = 20;
    let mut agent = Agent::new(config);
    feed(&mut agent, &[Frame::path_query(PathQuery::default())]);
    agent.paths(vec![PathEntry::default()]);
    assert!(agent.closed().is_some());
}

#[test]
fn a_hang_up_is_cancelled_by_the_exit() {
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    feed(&mut agent, &[Frame::exit(0, "")]);
    agent.handle_timeout(at(5_000));
    assert_eq!(news(&mut agent), [AgentEvent::Signal(1)]);
    agent.finish(1);
    agent.finish(2);
    agent.exited(129);
    assert_eq!(agent.poll_timeout(), None);
    agent.handle_timeout(at(100_000));
    assert_eq!(news(&mut agent), []);
}

#[test]
fn a_hang_up_that_was_done_is_not_begun_again() {
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    agent.handle_eof(at(0));
    agent.handle_timeout(at(5_000));
    agent.handle_timeout(at(10_000));
    assert_eq!(news(&mut agent), [AgentEvent::Signal(1), AgentEvent::Signal(9)]);
    agent.handle_failure(at(11_000), Direction::Write, Some(32));
    assert_eq!(agent.poll_timeout(), Some(at(15_000)));
}

#[test]
fn a_link_that_fails_under_an_agent_ends_the_session_once_the_command_has() {
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    write_all(&mut agent, 1, b"goes nowhere");
    agent.handle_failure(START, Direction::Write, Some(32));
    assert_eq!(agent.poll_timeout(), Some(at(5_000)));
    agent.exited(0);
    assert_eq!(sent(&mut agent), []);
    assert!(agent.closed().is_some());
}

#[test]
fn an_exit_that_could_not_be_sent_is_not_shown_as_an_end_in_order() {
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    agent.handle_failure(START, Direction::Write, Some(32));
    agent.exited(0);
    assert_eq!(agent.closed(), Some(&CloseReason::Transport { os_error: Some(32) }));
}

#[test]
fn a_file_service_says_what_ended_it() {
    let serving = || {
        let mut agent = Agent::new(Config::default());
        feed(&mut agent, &[Frame::of(FrameType::FILE_REQUEST)]);
        agent
    };
    let mut agent = serving();
    agent.handle_input(START, Bytes::from_static(b"\xa1"));
    agent.handle_eof(START);
    assert_eq!(agent.closed(), Some(&eof(true)));
    let mut agent = serving();
    agent.handle_failure(START, Direction::Read, Some(104));
    assert_eq!(agent.closed(), Some(&CloseReason::Transport { os_error: Some(104) }));
    let mut agent = serving();
    agent.handle_input(START, Bytes::from_static(b"\xff"));
    assert_eq!(broken(&agent), "malformed");
    assert_eq!(sent_logs(&mut agent)[0].message, "file-op read loop ended with error");
    assert_eq!(agent.status(), 0);
}

#[test]
fn a_path_query_that_hangs_does_not_keep_an_agent_whose_caller_is_gone() {
    let mut agent = Agent::new(Config::default());
    feed(&mut agent, &[Frame::path_query(PathQuery::default())]);
    agent.handle_eof(at(1_000));
    assert_eq!(agent.closed(), None, "the answer may still come");
    let due = agent.poll_timeout().expect("it is not waited for without end");
    agent.handle_timeout(due);
    assert_eq!(agent.closed(), Some(&CloseReason::Eof { mid_frame: false }));
}
