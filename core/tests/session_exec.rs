//! A command's session from end to end: a local side and an agent back to back, and each of them
//! alone where the other would hide what happens.

mod common;

use bytes::Bytes;
use common::*;
use trunkline_core::agentproto::{
    AgentConfig, AgentEvent, Config, ExecRequest, Frame, FrameType, Local, LocalEvent, Misuse,
    PathQuery, Read, Write,
};
use trunkline_core::{CloseReason, Machine};

fn peer(code: i64, text: &str) -> CloseReason {
    CloseReason::Peer { code, text: text.into() }
}

#[test]
fn what_is_written_comes_back_and_both_sides_end() {
    let mut pair = Pair::new(exec("/bin/cat"), None, Host::copying(&[(0, 1)], 0));
    write_all(&mut pair.local, 0, b"hello, ");
    write_all(&mut pair.local, 0, b"far side");
    assert!(pair.local.finish(0));
    pair.run();
    assert_eq!(pair.read[&1], (b"hello, far side".to_vec(), Read::End));
    assert_eq!(pair.read[&2], (vec![], Read::End));
    assert_eq!(pair.exits(), [(0, String::new())]);
    assert_eq!(pair.told.last(), Some(&LocalEvent::Closed(peer(0, ""))));
    assert_eq!(pair.local.closed(), Some(&peer(0, "")));
    assert_eq!(pair.agent.closed(), Some(&eof(false)));
    assert_eq!(pair.agent.status(), 0);
}

#[test]
fn a_megabyte_passes_in_frames_of_the_usual_size() {
    // Under Miri, which takes a while for each byte, a tenth of it.
    let length = if cfg!(miri) { 100_000_usize } else { 1_000_000 };
    let text: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
    let mut pair = Pair::new(exec("/bin/cat"), None, Host::copying(&[(0, 1)], 0));
    write_all(&mut pair.local, 0, &text);
    assert!(pair.local.finish(0));
    pair.run();
    assert_eq!(pair.read[&1].0, text);

    let mut local = running_local(Config::default(), exec("/bin/cat"));
    write_all(&mut local, 0, &text);
    let sizes: Vec<usize> = sent(&mut local).iter().map(|frame| frame.data.len()).collect();
    let full = length / 32_768;
    assert!(sizes[..full].iter().all(|size| *size == 32_768));
    assert_eq!(sizes[full..], [length - full * 32_768]);
}

#[test]
fn both_outputs_and_extra_descriptors_are_kept_apart() {
    let host = Host::copying(&[(0, 2), (3, 1), (9, 9)], 3);
    let mut pair = Pair::new(with_fds(&[9, 3]), None, host);
    for (stream, text) in [(0, "zero"), (3, "three"), (9, "nine")] {
        write_all(&mut pair.local, stream, text.as_bytes());
        assert!(pair.local.finish(stream));
    }
    // The host's command does not use 3 as an output.
    pair.run();
    pair.agent.finish(3);
    pair.run();
    assert_eq!(pair.read[&2], (b"zero".to_vec(), Read::End));
    assert_eq!(pair.read[&1], (b"three".to_vec(), Read::End));
    assert_eq!(pair.read[&9], (b"nine".to_vec(), Read::End));
    assert_eq!(pair.read[&3], (vec![], Read::End));
    assert_eq!(pair.exits(), [(3, String::new())]);
}

#[test]
fn exit_codes_arrive_as_they_were_reported() {
    for code in [0, 1, 127, 128 + 9, 255, -1, i64::MAX, i64::MIN] {
        let mut pair = Pair::new(exec("/bin/x"), None, Host::copying(&[(0, 1)], code));
        assert!(pair.local.finish(0));
        pair.run();
        assert_eq!(pair.exits(), [(code, String::new())]);
    }
}

#[test]
fn a_failed_start_is_exit_127_with_its_text_and_status_0() {
    let host = Host { start: Start::Fails("no such file"), ..Host::default() };
    let mut pair = Pair::new(exec("/no/such"), None, host);
    write_all(&mut pair.local, 0, b"for nobody");
    pair.run();
    assert_eq!(pair.exits(), [(127, "no such file".into())]);
    assert_eq!(pair.read[&1], (vec![], Read::End));
    assert_eq!(pair.agent.status(), 0);
    assert_eq!(pair.logs(), ["building command", "start command failed"]);
}

#[test]
fn a_failed_build_is_exit_127_with_its_text_and_status_127() {
    let host = Host { start: Start::BuildFails("cannot"), ..Host::default() };
    let mut pair = Pair::new(exec("/bin/x"), None, host);
    pair.run();
    assert_eq!(pair.exits(), [(127, "cannot".into())]);
    assert_eq!(pair.agent.status(), 127);
    assert_eq!(pair.logs(), ["building command", "build command failed"]);
}

#[test]
fn a_failed_start_sends_no_end_of_a_stream() {
    let mut agent = running_agent(Config::default(), with_fds(&[3]));
    agent.start_failed("no");
    assert_eq!(sent_but_logs(&mut agent), [Frame::exit(127, "no")]);
}

#[test]
fn no_output_is_taken_once_the_exit_is_queued() {
    let mut agent = running_agent(Config::default(), with_fds(&[3]));
    agent.start_failed("no");
    assert_eq!(agent.write(1, &Bytes::from_static(b"x")), Write::Closed);
    assert_eq!(sent_but_logs(&mut agent), [Frame::exit(127, "no")]);
    assert_eq!(agent.write(2, &Bytes::from_static(b"x")), Write::Closed);
    assert_eq!(sent_but_logs(&mut agent), []);
}

#[test]
fn the_host_gets_the_request_and_the_configuration_as_they_were_sent() {
    for env in [None, Some(vec![]), Some(vec!["A=b".to_string(), "=".into(), String::new()])] {
        let config = AgentConfig { env_keep: Some(vec!["A*".into()]), env_remove: None };
        let request = ExecRequest {
            cwd: "/tmp".into(),
            argv: Some(vec!["x".into(), "é\0\n".into()]),
            env,
            ..with_fds(&[5, 4])
        };
        for config in [None, Some(config)] {
            let host = Host::copying(&[(0, 1)], 0);
            let mut pair = Pair::new(request.clone(), config.clone(), host);
            pair.run();
            assert_eq!(pair.host.exec, Some((request.clone(), config)));
        }
    }
}

#[test]
fn log_records_arrive_in_order_before_and_behind_the_output() {
    let config = AgentConfig { env_keep: Some(vec!["A".into(); 3]), env_remove: Some(vec![]) };
    let mut pair = Pair::new(exec("/bin/cat"), Some(config), Host::copying(&[(0, 1)], 0));
    pair.local.signal(10).unwrap();
    assert!(pair.local.finish(0));
    pair.run();
    assert_eq!(
        pair.logs(),
        [
            "received agent config",
            "building command",
            "child started",
            "forwarding signal to child",
            "child exited"
        ]
    );
    let LocalEvent::Log(first) = &pair.told[0] else { panic!("{:?}", pair.told) };
    assert!(first.pairs().eq([("env_keep", "3"), ("env_remove", "0")]));
    assert_eq!(pair.host.signals, [10]);
}

#[test]
fn a_signal_leaves_before_bytes_that_wait() {
    let mut local = running_local(Config::default(), with_fds(&[3]));
    write_all(&mut local, 0, &[7; 100_000]);
    write_all(&mut local, 3, b"three");
    assert!(local.finish(0));
    assert_eq!(send_one(&mut local).unwrap().kind, FrameType::DATA);
    local.signal(15).unwrap();
    local.signal(0).unwrap();
    let kinds: Vec<_> = sent(&mut local).into_iter().map(|f| (f.kind, f.signal)).collect();
    assert_eq!(kinds[..2], [(FrameType::SIGNAL, 15), (FrameType::SIGNAL, 0)]);
    assert!(kinds[2..].iter().all(|(kind, _)| *kind != FrameType::SIGNAL));
}

#[test]
fn an_end_leaves_behind_all_bytes_of_its_stream_and_streams_take_turns() {
    let mut local = running_local(Config::default(), with_fds(&[3]));
    write_all(&mut local, 0, &[0; 90_000]);
    write_all(&mut local, 3, &[3; 50_000]);
    assert!(local.finish(3));
    assert!(local.finish(0));
    let order: Vec<_> = sent(&mut local).into_iter().map(|f| (f.stream, f.kind.0)).collect();
    assert_eq!(order, [(0, 2), (3, 2), (0, 2), (3, 2), (0, 2), (3, 3), (0, 3)]);
}

#[test]
fn the_exit_leaves_behind_all_output_and_every_end() {
    let mut agent = running_agent(Config::default(), with_fds(&[3]));
    for stream in [1, 2, 3] {
        write_all(&mut agent, stream, &[stream as u8; 500_000]);
    }
    agent.exited(5);
    agent.finish(3);
    agent.finish(1);
    assert!(!sent(&mut agent).iter().any(|frame| frame.kind == FrameType::EXIT));
    write_all(&mut agent, 2, &[2; 500_000]);
    agent.finish(2);
    let frames = sent_but_logs(&mut agent);
    assert_eq!(frames.last(), Some(&Frame::exit(5, "")));
    assert_eq!(frames[frames.len() - 2], Frame::eof(2));
    let rest: usize = frames.iter().map(|frame| frame.data.len()).sum();
    assert_eq!(rest, 500_000);
}

#[test]
fn the_exit_waits_for_outputs_that_are_still_open() {
    let mut agent = running_agent(Config::default(), with_fds(&[3]));
    agent.exited(0);
    agent.finish(1);
    agent.finish(2);
    assert_eq!(sent_but_logs(&mut agent), [Frame::eof(1), Frame::eof(2)]);
    write_all(&mut agent, 3, b"of a grandchild");
    agent.finish(3);
    assert_eq!(
        sent_but_logs(&mut agent),
        [data(3, b"of a grandchild"), Frame::eof(3), Frame::exit(0, "")]
    );
}

#[test]
fn nothing_behind_the_exit_is_looked_at() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    write_all(&mut local, 0, b"nobody reads this");
    let mut bytes = wire(&[data(1, b"out"), Frame::exit(4, "text"), log("late"), data(1, b"more")]);
    bytes = [&bytes[..], b"\xff\xff garbage"].concat().into();
    local.handle_input(START, bytes);
    local.handle_input(START, wire(&[Frame::exit(0, ""), Frame::eof(1)]));
    local.handle_eof(START);
    local.handle_failure(START, trunkline_core::Direction::Read, Some(5));
    let exited = LocalEvent::Exited { code: 4, text: "text".into() };
    assert_eq!(news(&mut local), [exited, LocalEvent::Closed(peer(4, "text"))]);
    assert_eq!(read_all(&mut local, 1), (b"out".to_vec(), Read::End));
    assert_eq!(read_all(&mut local, 2), (vec![], Read::End));
    assert_eq!(sent(&mut local), []);
    assert!(!local.wants_input());
}

#[test]
fn a_lost_link_is_never_an_end_of_a_stream() {
    for failed in [false, true] {
        let mut local = running_local(Config::default(), with_fds(&[3]));
        feed(&mut local, &[data(1, b"one"), data(2, b"two"), Frame::eof(2), data(3, b"3")]);
        let reason = if failed {
            local.handle_failure(START, trunkline_core::Direction::Read, Some(104));
            CloseReason::Transport { os_error: Some(104) }
        } else {
            local.handle_eof(START);
            eof(false)
        };
        assert_eq!(news(&mut local), [LocalEvent::Closed(reason)]);
        assert_eq!(read_all(&mut local, 1), (b"one".to_vec(), Read::Lost));
        assert_eq!(read_all(&mut local, 2), (b"two".to_vec(), Read::End));
        assert_eq!(read_all(&mut local, 3), (b"3".to_vec(), Read::Lost));
        assert_eq!(local.read(4, 1), Read::Unknown);
    }
}

#[test]
fn a_session_takes_no_second_purpose_and_no_call_before_its_first() {
    let now = START;
    let mut local = Local::new(Config::default());
    assert_eq!(local.write(0, &Bytes::from_static(b"x")), Write::Unknown);
    assert!(!local.finish(0));
    assert_eq!(local.read(1, 9), Read::Unknown);
    assert_eq!(local.signal(1), Err(Misuse::NotStarted));
    for fds in [&[2][..], &[3, 3], &[256], &[u32::MAX]] {
        assert_eq!(local.exec(now, with_fds(fds), None), Err(Misuse::Descriptors), "{fds:?}");
    }
    let many: Vec<u32> = (3..68).collect();
    assert_eq!(local.exec(now, with_fds(&many), None), Err(Misuse::Descriptors));
    assert_eq!(local.closed(), None);
    local.exec(now, with_fds(&many[..64]), None).unwrap();
    assert_eq!(local.exec(now, exec("/bin/x"), None), Err(Misuse::AlreadyStarted));
    assert_eq!(local.query_paths(now, PathQuery::default(), None), Err(Misuse::AlreadyStarted));
    assert_eq!(local.request(Default::default()), Err(Misuse::AlreadyStarted));
    assert_eq!(local.write(1, &Bytes::from_static(b"x")), Write::Unknown);
    assert_eq!(local.read(0, 9), Read::Unknown);
    assert_eq!(local.write(0, &Bytes::new()), Write::Accepted(0));
    assert!(local.finish(0));
    assert!(!local.finish(0));
    assert_eq!(local.write(0, &Bytes::from_static(b"x")), Write::Closed);
    assert_eq!(sent(&mut local).len(), 2);
    feed(&mut local, &[Frame::exit(0, "")]);
    assert_eq!(local.signal(1), Err(Misuse::Closed));
    assert_eq!(local.request(Default::default()), Err(Misuse::Closed));
    assert_eq!(local.exec(now, exec("/bin/x"), None), Err(Misuse::Closed));
    assert_eq!(local.write(3, &Bytes::from_static(b"x")), Write::Closed);
    assert!(!local.finish(3));
}

#[test]
fn a_request_that_cannot_be_sent_leaves_the_session_as_it_was() {
    let mut local = Local::new(Config::default());
    let huge = ExecRequest { argv: Some(vec![String::new(); 131_073]), ..exec("/bin/x") };
    assert!(matches!(local.exec(START, huge.clone(), None), Err(Misuse::Encode(_))));
    let config = AgentConfig { env_keep: huge.argv, env_remove: None };
    assert!(matches!(local.exec(START, exec("/bin/x"), Some(config)), Err(Misuse::Encode(_))));
    assert_eq!(sent(&mut local), []);
    local.exec(START, exec("/bin/x"), None).unwrap();
    assert_eq!(sent(&mut local), [Frame::exec(exec("/bin/x"))]);
}

#[test]
fn a_closed_session_still_sends_what_it_has_and_an_aborted_one_does_not() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    write_all(&mut local, 0, b"accepted");
    local.close();
    assert_eq!(sent(&mut local), [data(0, b"accepted")]);
    assert_eq!(news(&mut local), [LocalEvent::Closed(CloseReason::Local)]);
    assert_eq!(read_all(&mut local, 1).1, Read::Lost);
    let mut local = running_local(Config::default(), exec("/bin/x"));
    write_all(&mut local, 0, b"discarded");
    local.abort();
    assert_eq!(sent(&mut local), []);
    assert_eq!(local.closed(), Some(&CloseReason::Local));
}

#[test]
fn a_closed_session_takes_no_more_bytes() {
    let mut local = running_local(Config::default(), with_fds(&[3]));
    local.close();
    assert_eq!(local.write(0, &Bytes::from_static(b"late")), Write::Closed);
    assert!(!local.finish(3));
    assert_eq!(sent(&mut local), []);
}

#[test]
fn an_ended_agent_session_takes_no_more_output() {
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    agent.end();
    assert_eq!(agent.write(1, &Bytes::from_static(b"x")), Write::Closed);
    assert_eq!(sent_but_logs(&mut agent), []);
}

#[test]
fn input_that_an_ended_agent_session_cut_short_is_lost() {
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    feed(&mut agent, &[data(0, b"stdin")]);
    agent.end();
    assert_eq!(news(&mut agent), [AgentEvent::Closed(CloseReason::Local)]);
    assert_eq!(read_all(&mut agent, 0), (b"stdin".to_vec(), Read::Lost));
}
