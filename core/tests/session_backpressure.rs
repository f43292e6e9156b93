//! Room and the lack of it: unread streams, full queues, writers that wait, and an end of the
//! link that comes while something is full.

mod common;

use bytes::Bytes;
use common::*;
use trunkline_core::agentproto::{
    Agent, AgentEvent, Config, Frame, FrameType, Local, LocalEvent, Read, Write,
};
use trunkline_core::{CloseReason, Direction, Machine};

fn limited(stream: usize, session: usize) -> Config {
    let mut config = Config::default();
    config.limits.stream_queue = stream;
    config.limits.session_queue = session;
    config
}

/// So many bytes, in frames of 100.
fn hundreds(stream: u32, count: usize) -> Vec<Frame> {
    vec![data(stream, &[stream as u8; 100]); count]
}

#[test]
fn a_stream_that_nobody_reads_delays_nothing_else_while_there_is_room() {
    let mut agent = running_agent(limited(1_000, 8_000), with_fds(&[3]));
    feed(&mut agent, &hundreds(0, 9));
    feed(&mut agent, &[Frame::signal(2), data(3, b"x"), Frame::eof(3), Frame::eof(0)]);
    assert!(agent.wants_input());
    assert_eq!(
        events(&mut agent),
        [AgentEvent::Readable(0), AgentEvent::Signal(2), AgentEvent::Readable(3)]
    );
    assert_eq!(read_all(&mut agent, 3), (b"x".to_vec(), Read::End));
    assert_eq!(read_count(&mut agent, 0, 0), (900, Read::End));

    let mut local = running_local(limited(1_000, 8_000), exec("/bin/x"));
    feed(&mut local, &hundreds(1, 9));
    feed(&mut local, &[log("a"), data(2, b"x"), Frame::eof(2), Frame::exit(0, "")]);
    assert_eq!(read_all(&mut local, 2), (b"x".to_vec(), Read::End));
    assert!(local.closed().is_some());
    assert_eq!(read_count(&mut local, 1, 1), (900, Read::End));
}

#[test]
fn a_full_stream_stops_the_link_and_reading_it_starts_the_link_again() {
    let mut local = running_local(limited(1_000, 8_000), exec("/bin/x"));
    feed(&mut local, &hundreds(1, 15));
    feed(&mut local, &[log("behind"), Frame::exit(7, "")]);
    assert!(!local.wants_input());
    assert_eq!(events(&mut local), [LocalEvent::Readable(1)]);
    let stats = local.stats();
    assert_eq!((stats.stalled, stats.stalls, stats.queued_in), (Some(1), 1, 1_000));
    assert_eq!(local.closed(), None);
    // Not at the first byte, but well before the last.
    assert_eq!(local.read(1, 100).clone(), Read::Data(vec![1; 100].into()));
    assert!(!local.wants_input());
    for _ in 0..4 {
        assert!(matches!(local.read(1, 100), Read::Data(_)));
    }
    // What had arrived was parsed by the read itself.
    assert_eq!(local.stats().stalled, Some(1));
    assert_eq!(read_count(&mut local, 1, 1), (1_000, Read::End));
    assert_eq!(local.stats().stalled, None);
    let told = news(&mut local);
    assert!(matches!(told[..], [LocalEvent::Log(_), LocalEvent::Exited { code: 7, .. }, _]));
}

#[test]
fn a_stream_given_up_starts_the_link_again_and_takes_no_room() {
    let mut agent = running_agent(limited(1_000, 8_000), exec("/bin/x"));
    feed(&mut agent, &hundreds(0, 10));
    feed(&mut agent, &[Frame::signal(15)]);
    assert!(!agent.wants_input());
    agent.forget(0);
    assert!(agent.wants_input());
    assert_eq!(events(&mut agent), [AgentEvent::Readable(0), AgentEvent::Signal(15)]);
    feed(&mut agent, &hundreds(0, 100));
    assert_eq!(agent.stats().queued_in, 0);
    assert_eq!(agent.stats().frames_dropped, 100);
    assert_eq!(agent.read(0, 9), Read::Unknown);
}

#[test]
fn a_stream_that_was_read_empty_does_not_stop_a_link_that_has_room() {
    let mut local = running_local(limited(1_000, 4_000), with_fds(&[3]));
    feed(&mut local, &[hundreds(2, 9), hundreds(3, 9), hundreds(1, 10)].concat());
    assert_eq!(local.stats().stalled, Some(1));
    // 2,800 of 4,000 bytes are held: stream 1 stopped the link, so reading it starts the link.
    assert_eq!(read_count(&mut local, 1, 1), (1_000, Read::Empty));
    assert_eq!(local.stats().queued_in, 1_800);
    assert!(local.wants_input());
    feed(&mut local, &hundreds(2, 1));
    assert_eq!(read_all(&mut local, 2).0.len(), 1_000);

    let mut local = running_local(limited(1_000, 3_000), with_fds(&[3]));
    feed(&mut local, &[hundreds(2, 9), hundreds(3, 9), hundreds(1, 10)].concat());
    assert_eq!(read_count(&mut local, 1, 1), (1_000, Read::Empty));
    assert_eq!(local.stats().queued_in, 1_800, "of 3,000: there is room");
    assert!(local.wants_input());
}

#[test]
fn the_stream_said_to_stop_the_link_is_one_that_holds_bytes() {
    let mut local = running_local(limited(1_000, 2_000), with_fds(&[3]));
    feed(&mut local, &[hundreds(2, 9), hundreds(3, 9), hundreds(1, 2)].concat());
    assert!(!local.wants_input());
    read_all(&mut local, 1);
    if let Some(stream) = local.stats().stalled {
        assert_ne!(stream, 1, "it was read empty");
    }
}

/// A local side that is full of stream 1, with `behind` arrived and not looked at.
fn full_local(behind: &[Frame]) -> Local {
    let mut local = running_local(limited(1_000, 8_000), exec("/bin/x"));
    feed(&mut local, &[hundreds(1, 25), behind.to_vec()].concat());
    assert!(!local.wants_input());
    local
}

#[test]
fn an_end_of_input_while_a_stream_is_full_loses_nothing_that_had_arrived() {
    let mut local = full_local(&[Frame::eof(1), Frame::exit(3, "")]);
    local.handle_eof(START);
    assert_eq!(local.closed(), None);
    assert_eq!(read_count(&mut local, 1, 1), (2_500, Read::End));
    assert_eq!(read_all(&mut local, 2), (vec![], Read::End));
    assert!(matches!(news(&mut local)[..], [LocalEvent::Exited { code: 3, .. }, _]));

    let mut local = full_local(&[Frame::eof(1)]);
    local.handle_eof(START);
    assert_eq!(read_count(&mut local, 1, 1), (2_500, Read::End));
    assert_eq!(read_all(&mut local, 2), (vec![], Read::Lost));
    assert_eq!(news(&mut local), [LocalEvent::Closed(eof(false))]);

    let mut local = full_local(&[]);
    local.handle_input(START, Bytes::from_static(b"\xa2\x61d"));
    local.handle_failure(START, Direction::Read, None);
    assert_eq!(read_count(&mut local, 1, 1), (2_500, Read::Lost));
    assert_eq!(news(&mut local), [LocalEvent::Closed(CloseReason::Transport { os_error: None })]);

    let mut local = full_local(&[]);
    local.handle_input(START, Bytes::from_static(b"\xa2\x61d"));
    local.handle_eof(START);
    assert_eq!(read_count(&mut local, 1, 1), (2_500, Read::Lost));
    assert_eq!(news(&mut local), [LocalEvent::Closed(eof(true))]);
}

/// An agent whose command reads no stdin, with `behind` arrived and not looked at.
fn full_agent(behind: &[Frame]) -> Agent {
    let mut agent = running_agent(limited(1_000, 8_000), exec("/bin/x"));
    feed(&mut agent, &[hundreds(0, 25), behind.to_vec()].concat());
    assert!(!agent.wants_input());
    agent
}

#[test]
fn an_agent_whose_stdin_is_full_loses_nothing_at_the_end_of_input() {
    let mut agent = full_agent(&[Frame::signal(10)]);
    agent.handle_eof(START);
    assert_eq!(read_count(&mut agent, 0, 0), (2_500, Read::End));
    assert_eq!(news(&mut agent), [AgentEvent::Signal(10)]);
}

#[test]
fn an_agent_whose_stdin_is_full_loses_nothing_at_a_failed_read() {
    let mut agent = full_agent(&[Frame::signal(10)]);
    agent.handle_failure(START, Direction::Read, None);
    assert_eq!(read_count(&mut agent, 0, 0), (2_500, Read::End));
    assert_eq!(news(&mut agent), [AgentEvent::Signal(10)]);
}

#[test]
fn a_command_that_reads_no_stdin_is_hung_up_all_the_same() {
    // Its caller is gone, and the machine knows: H8 holds although stdin is full.
    let mut agent = full_agent(&[]);
    agent.handle_eof(START);
    assert_eq!(agent.poll_timeout(), Some(at(5_000)));
    agent.handle_timeout(at(5_000));
    assert_eq!(news(&mut agent), [AgentEvent::Signal(1)]);
}

#[test]
fn a_command_whose_output_nobody_takes_is_hung_up_all_the_same() {
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    flood(&mut agent, &Frame::signal(999), 200);
    assert!(!agent.wants_input());
    agent.handle_eof(START);
    assert_eq!(agent.poll_timeout(), Some(at(5_000)));
}

#[test]
fn a_full_stdin_does_not_hold_up_the_end_of_a_session_whose_command_has_exited() {
    let mut agent = full_agent(&[]);
    for output in [1, 2] {
        agent.finish(output);
    }
    agent.exited(0);
    assert!(agent.wants_input(), "only the end of input matters now");
    agent.handle_input(START, Bytes::from_static(b"\xff\xff not even frames"));
    agent.handle_eof(START);
    assert_eq!(news(&mut agent), [AgentEvent::Closed(eof(false))]);
    assert_eq!(sent_but_logs(&mut agent).last(), Some(&Frame::exit(0, "")));
    assert_eq!(agent.stats().queued_in, 0);
}

#[test]
fn a_refused_writer_is_told_when_there_is_room() {
    let mut local = running_local(limited(1_000, 8_000), exec("/bin/x"));
    let Write::Accepted(taken) = local.write(0, &vec![0; 5_000].into()) else { panic!() };
    assert!((500..=1_000).contains(&taken), "{taken}");
    assert_eq!(local.write(0, &Bytes::from_static(b"x")), Write::Blocked);
    assert_eq!(events(&mut local), []);
    assert_eq!(send_one(&mut local).unwrap().data.len(), taken);
    assert_eq!(events(&mut local), [LocalEvent::Writable(0)]);
    assert_eq!(local.write(0, &Bytes::from_static(b"x")), Write::Accepted(1));
}

#[test]
fn a_writer_whose_bytes_were_taken_in_part_is_told_when_there_is_room() {
    let mut agent = running_agent(limited(1_000, 8_000), exec("/bin/x"));
    assert!(matches!(agent.write(1, &vec![0; 5_000].into()), Write::Accepted(1..5_000)));
    assert_eq!(sent_but_logs(&mut agent).len(), 1);
    assert_eq!(events(&mut agent), [AgentEvent::Writable(1)]);
}

#[test]
fn a_refused_writer_is_told_when_the_transport_takes_nothing_more() {
    let mut local = running_local(limited(1_000, 8_000), exec("/bin/x"));
    while local.write(0, &vec![0; 5_000].into()) != Write::Blocked {}
    local.handle_failure(START, Direction::Write, Some(32));
    assert_eq!(local.write(0, &Bytes::from_static(b"x")), Write::Closed);
    assert_eq!(events(&mut local), [LocalEvent::Writable(0)]);
}

#[test]
fn a_failed_write_leaves_the_exit_to_be_heard() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    write_all(&mut local, 0, b"never arrives");
    local.handle_failure(START, Direction::Write, Some(32));
    assert_eq!(sent(&mut local), []);
    assert!(local.wants_input());
    feed(&mut local, &[data(1, b"out"), Frame::eof(1), Frame::exit(1, "")]);
    assert_eq!(read_all(&mut local, 1), (b"out".to_vec(), Read::End));
    assert!(matches!(news(&mut local)[..], [LocalEvent::Exited { code: 1, .. }, _]));
}

#[test]
fn nothing_is_told_behind_the_end_of_the_session() {
    let mut local = running_local(limited(1_000, 8_000), exec("/bin/x"));
    while local.write(0, &vec![0; 5_000].into()) != Write::Blocked {}
    local.close();
    assert_eq!(events(&mut local), [LocalEvent::Closed(CloseReason::Local)]);
    assert!(!sent(&mut local).is_empty());
    assert_eq!(events(&mut local), []);

    let mut agent = running_agent(limited(1_000, 8_000), exec("/bin/x"));
    while agent.write(1, &vec![0; 5_000].into()) != Write::Blocked {}
    agent.end();
    assert_eq!(events(&mut agent), [AgentEvent::Closed(CloseReason::Local)]);
    assert!(!sent(&mut agent).is_empty());
    assert_eq!(events(&mut agent), []);
}

#[test]
fn a_read_of_at_most_nothing_does_not_give_empty_data() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    feed(&mut local, &[data(1, b"abc")]);
    let mut bytes = match local.read(1, 0) {
        Read::Data(piece) => piece.to_vec(),
        other => panic!("{other:?}: there is data"),
    };
    assert!(!bytes.is_empty());
    bytes.extend(read_all(&mut local, 1).0);
    assert_eq!(bytes, b"abc");
}

#[test]
fn a_stream_is_announced_once_and_again_after_it_was_found_empty() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    feed(&mut local, &hundreds(1, 50));
    assert_eq!(events(&mut local), [LocalEvent::Readable(1)]);
    feed(&mut local, &hundreds(1, 50));
    assert_eq!(events(&mut local), []);
    assert_eq!(read_all(&mut local, 1).0.len(), 10_000);
    feed(&mut local, &hundreds(1, 1));
    assert_eq!(events(&mut local), [LocalEvent::Readable(1)]);
    feed(&mut local, &[Frame::eof(1)]);
    assert_eq!(read_all(&mut local, 1).1, Read::End);
    feed(&mut local, &[Frame::eof(1), data(1, b"late")]);
    assert_eq!(events(&mut local), []);
    assert_eq!(local.stats().frames_dropped, 2);
}

#[test]
fn reading_waits_while_frames_that_arrived_wait_for_room_among_the_events() {
    let mut agent = Agent::new(Config::default());
    flood(&mut agent, &Frame::file_request(Default::default()), 100);
    assert!(!agent.wants_input());
    assert!(agent.poll_event().is_some());
    assert!(!agent.wants_input(), "36 requests are in the machine, not looked at");

    let mut local = running_local(Config::default(), exec("/bin/x"));
    flood(&mut local, &log("x"), 100);
    assert!(!local.wants_input());
    assert!(local.poll_event().is_some());
    assert!(!local.wants_input(), "36 records are in the machine, not looked at");
    assert_eq!(events(&mut local).len(), 99);
    assert!(local.wants_input());
}

#[test]
fn log_records_do_not_keep_output_from_leaving() {
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    write_all(&mut agent, 1, b"out");
    flood(&mut agent, &Frame::signal(10), 1_000);
    let place = (0..1_001).position(|_| {
        while agent.poll_event().is_some() {}
        send_one(&mut agent).is_some_and(|frame| frame.kind == FrameType::DATA)
    });
    assert!(place.is_some_and(|place| place <= 64), "place {place:?}");
}
