//! A hostile or broken other side: the rows of section 15 that a session machine can see. Hazards
//! are in `session_hazards.rs`, memory is measured in `session_memory.rs`.

mod common;

use std::iter::repeat_n;
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use common::*;
use trunkline_core::agentproto::{
    Agent, AgentEvent, Config, FileRequest, Frame, FrameType, Level, Local, LocalEvent, LogRecord,
    Misuse, PathQuery, Read,
};
use trunkline_core::{CloseReason, Machine};

/// Every kind of session that can be attacked from the agent's side.
fn locals() -> [Local; 3] {
    let mut paths = Local::new(Config::default());
    paths.query_paths(START, PathQuery::default(), None).unwrap();
    let mut files = Local::new(Config::default());
    files.request(FileRequest::default()).unwrap();
    [running_local(Config::default(), exec("/bin/x")), paths, files]
}

/// Feeds both sides of every kind of session, and expects each to refuse with this kind of rule.
fn all_refuse(bytes: &[u8], kind: &str) {
    let begun = Clock::now();
    for mut local in locals() {
        local.handle_input(START, Bytes::copy_from_slice(bytes));
        assert_eq!(broken(&local), kind);
        assert!(!local.wants_input());
        assert!(matches!(news(&mut local).last(), Some(LocalEvent::Closed(_))));
    }
    let mut agent = Agent::new(Config::default());
    agent.handle_input(START, Bytes::copy_from_slice(bytes));
    assert_eq!(broken(&agent), kind);
    assert_eq!(agent.status(), 127);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_announced_length_beyond_the_frame_limit_is_refused_from_its_head() {
    let keys: [&[u8]; 4] =
        [b"\xa1\x61d", b"\xa1\x61e", b"\xa1\x61x\xa1\x63cwd", b"\xa1\x67unknown"];
    for (key, initial) in keys.into_iter().zip([0x40, 0x60, 0x60, 0x40]) {
        for length in [(16_u64 << 20) + 1, 1 << 31, 1 << 32, 1 << 60, (1 << 63) - 1] {
            let head = [&[initial | 27][..], &length.to_be_bytes()].concat();
            all_refuse(&[key, &head].concat(), "limit");
        }
        all_refuse(&[key, &[initial | 27], &[0x80; 8]].concat(), "malformed");
    }
}

#[test]
fn an_endless_string_list_or_map_is_refused_at_the_frame_limit() {
    let mut config = Config::default();
    config.limits.frame = 100_000;
    let starts: [(&[u8], &[u8]); 4] = [
        (b"\xa1\x61d\x5f", b"\x41x"),
        (b"\xa1\x61e\x7f", b"\x61x"),
        (b"\xa1\x61z\x9f", b"\x43xyz"),
        (b"\xa1\x61z\xbf", b"\x01\x43xyz"),
    ];
    for (start, more) in starts {
        let mut local = running_local(config.clone(), exec("/bin/x"));
        local.handle_input(START, Bytes::copy_from_slice(start));
        let piece = Bytes::from(more.repeat(100));
        let pieces = (0..).take_while(|_| {
            local.handle_input(START, piece.clone());
            local.closed().is_none()
        });
        assert!(pieces.count() * piece.len() <= 100_000);
        assert_eq!(broken(&local), "limit");
    }
}

#[test]
fn deep_nesting_and_chains_of_tags_are_refused_also_in_skipped_values() {
    for nest in [&[0x81][..], &[0x9f], &[0xc1], &[0xd9, 0xd9, 0xf7], b"\xa1\x61a"] {
        all_refuse(&[b"\xa1\x61z", &nest.repeat(40)[..]].concat(), "limit");
        all_refuse(&nest.repeat(1_000_000), if nest[0] < 0xa0 { "type" } else { "limit" });
    }
}

#[test]
fn huge_counts_of_elements_are_refused_from_the_head() {
    for head in [b"\x9a\x00\x02\x00\x01", b"\xba\x00\x02\x00\x01", b"\x9a\xff\xff\xff\xff"] {
        all_refuse(&[b"\xa1\x61z", &head[..]].concat(), "limit");
        all_refuse(&[b"\xa1\x61l\xa1\x61a", &head[..]].concat(), "limit");
    }
    all_refuse(b"\xa1\x61z\x9b\x80\x00\x00\x00\x00\x00\x00\x00", "malformed");
}

#[test]
fn a_frame_that_drips_in_costs_linear_work() {
    let payload = vec![0xab; 300_000];
    let mut local = running_local(Config::default(), exec("/bin/x"));
    let begun = Clock::now();
    for byte in wire(&[data(1, &payload)]).chunks(1) {
        local.handle_input(START, Bytes::copy_from_slice(byte));
    }
    assert_eq!(read_count(&mut local, 1, 0xab), (300_000, Read::Empty));
    let mut local = running_local(Config::default(), exec("/bin/x"));
    // Many small elements, of which each byte is one.
    let list = [&b"\xa2\x61z\x9a\x00\x01\xff\xff"[..], &[0xf6; 0x1_ffff], b"\x61t\x05"].concat();
    for byte in list.chunks(1) {
        local.handle_input(START, Bytes::copy_from_slice(byte));
    }
    assert_eq!(local.closed(), Some(&CloseReason::Peer { code: 0, text: String::new() }));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn extra_descriptors_out_of_range_doubled_or_too_many_are_exit_127() {
    for fds in [&[0][..], &[1], &[2], &[3, 256], &[u32::MAX], &[3, 4, 3], &[3; 65]] {
        let mut agent = Agent::new(Config::default());
        feed(&mut agent, &[Frame::exec(with_fds(fds)), Frame::signal(9), data(0, b"x")]);
        assert_eq!(events(&mut agent), [], "{fds:?}");
        assert_eq!(agent.status(), 127);
        let frames = sent_but_logs(&mut agent);
        assert_eq!((frames.len(), frames[0].kind, frames[0].code), (1, FrameType::EXIT, 127));
        assert!(frames[0].error.contains("descriptors"));
        agent.handle_eof(START);
        assert_eq!(events(&mut agent), [AgentEvent::Closed(eof(false))]);
    }
    let mut agent = Agent::new(Config::default());
    feed(&mut agent, &[Frame::exec(with_fds(&(192..=255).collect::<Vec<_>>()))]);
    assert!(matches!(events(&mut agent)[..], [AgentEvent::Exec(..)]));
}

#[test]
fn data_for_strange_streams_and_empty_frames_are_dropped_and_counted() {
    let strange =
        |n: u32| [data(n.wrapping_mul(40_503) + 3, b"x"), data(1, b""), Frame::eof(n + 3)];
    let flood: Vec<Frame> = (0..34_000).flat_map(strange).collect();
    let begun = Clock::now();
    let mut local = running_local(Config::default(), exec("/bin/x"));
    feed(&mut local, &flood);
    let stats = local.stats();
    assert_eq!((stats.frames_dropped, stats.queued_in, stats.bytes_received), (102_000, 0, 0));
    assert_eq!(events(&mut local), []);
    assert!(local.wants_input());
    assert_eq!(local.read(1, 9), Read::Empty);

    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    feed(&mut agent, &flood[..3_000]);
    assert_eq!(agent.stats().frames_dropped, 3_000);
    assert_eq!((events(&mut agent), sent(&mut agent)), (vec![], vec![]));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn data_behind_the_end_of_its_stream_is_dropped_unless_the_original_is_asked_for() {
    let frames = [data(1, b"a"), Frame::eof(1), data(1, b"late"), Frame::eof(1)];
    let mut local = running_local(Config::default(), exec("/bin/x"));
    feed(&mut local, &frames);
    assert_eq!(read_all(&mut local, 1), (b"a".to_vec(), Read::End));
    assert_eq!(local.stats().frames_dropped, 2);
    let mut local = running_local(Config::reference(), exec("/bin/x"));
    feed(&mut local, &frames);
    assert_eq!(read_all(&mut local, 1), (b"alate".to_vec(), Read::End));
    feed(&mut local, &[data(1, b"r")]);
    assert_eq!(events(&mut local).last(), Some(&LocalEvent::Readable(1)));
}

#[test]
fn a_flood_of_records_is_held_to_a_burst_and_a_rate() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    let record = wire(&[log("x")]);
    let mut flood = |at, count| {
        local.handle_input(at, record.repeat(count).into());
        (news(&mut local).len(), local.stats().logs_dropped)
    };
    assert_eq!(flood(at(0), 5_000), (1_000, 4_000));
    assert_eq!(flood(at(5), 10), (0, 4_010));
    assert_eq!(flood(at(100), 1_000), (10, 5_000));
    assert_eq!(flood(at(50), 10), (0, 5_010), "a clock that goes back gives nothing");
    assert_eq!(flood(at(1_100), 1_000), (100, 5_910));
    assert_eq!(flood(at(10_000_000), 5_000), (1_000, 9_910));
}

#[test]
fn records_that_nobody_takes_stop_the_link() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    flood(&mut local, &log("x"), 50_000);
    assert!(!local.wants_input());
    assert_eq!(local.stats().frames_received, 64);
    assert_eq!(news(&mut local).len(), 1_000);
    assert_eq!(local.stats().logs_dropped, 49_000);
    assert!(local.wants_input());
}

#[test]
fn a_giant_record_is_cut_and_one_without_a_body_is_dropped() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    let record = LogRecord {
        message: "é\u{1b}".repeat(100_000),
        attributes: vec!["k=v".repeat(10_000); 10],
        level: i64::MIN,
    };
    feed(&mut local, &[Frame::log(record), Frame::of(FrameType::LOG), Frame::eof(1)]);
    let [LocalEvent::Log(record)] = &news(&mut local)[..] else { panic!() };
    assert!((8_000..=8_192).contains(&record.message.len()));
    assert_eq!((record.attributes.len(), record.level().named()), (0, Level::TRACE));
    assert_eq!(local.stats().frames_dropped, 1);
}

#[test]
fn a_record_of_many_empty_attributes_is_cut_too() {
    let record = LogRecord { attributes: vec![String::new(); 100_000], ..LogRecord::default() };
    let mut local = running_local(Config::default(), exec("/bin/x"));
    feed(&mut local, &[Frame::log(record)]);
    let [LocalEvent::Log(record)] = &news(&mut local)[..] else { panic!() };
    assert!(record.attributes.len() <= 8_192, "{} attributes", record.attributes.len());
}

#[test]
fn a_flood_of_signals_whose_replies_nobody_takes_stops_the_link() {
    for number in [10, -1] {
        let mut agent = running_agent(Config::default(), exec("/bin/x"));
        flood(&mut agent, &Frame::signal(number), 100_000);
        assert!(!agent.wants_input());
        let taken = agent.stats().frames_received;
        assert!(taken <= 1 + 64, "{taken} frames");
        while agent.poll_event().is_some() {}
        assert!(!agent.wants_input());
        assert!(agent.stats().frames_received <= 1 + 64);
    }
}

#[test]
fn a_flood_of_signals_goes_on_as_its_replies_are_taken() {
    for number in [10, i64::MAX] {
        let mut agent = running_agent(Config::default(), exec("/bin/x"));
        flood(&mut agent, &Frame::signal(number), 5_000);
        let mut replies = 0;
        while agent.poll_transmit(START).is_some() {
            replies += 1;
            while agent.poll_event().is_some() {}
        }
        assert_eq!(replies, 5_000);
        assert!(agent.wants_input());
    }
}

#[test]
fn signals_out_of_range_are_a_record_and_nothing_else() {
    for number in [-1, -9, 65, 1 << 32, (1 << 32) + 9, i64::MIN, i64::MAX] {
        let mut agent = running_agent(Config::default(), exec("/bin/x"));
        feed(&mut agent, &[Frame::signal(number)]);
        assert_eq!(events(&mut agent), []);
        let logs = sent_logs(&mut agent);
        assert_eq!((logs.len(), logs[0].level()), (1, Level::WARN));
        assert_eq!(logs[0].attributes[0], format!("signal={number}"));
    }
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    feed(&mut agent, &[0, 1, 64].map(Frame::signal));
    assert_eq!(events(&mut agent), [0, 1, 64].map(AgentEvent::Signal));
}

#[test]
fn more_signals_than_the_transport_takes_are_refused_as_busy() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    let accepted = (0..1_000).take_while(|_| local.signal(10).is_ok()).count();
    assert_eq!(accepted, 64);
    assert_eq!(local.signal(10), Err(Misuse::Busy));
    assert!(send_one(&mut local).is_some());
    assert_eq!(local.signal(10), Ok(()));
}

#[test]
fn limits_at_either_end_never_panic() {
    for most in [0, 1, 16, usize::MAX] {
        let mut config = Config::default();
        let limits = &mut config.limits;
        (limits.frame, limits.frame_memory, limits.depth) = (most, most, most);
        (limits.elements, limits.stream_queue, limits.session_queue) = (most, most, most);
        (limits.extra_streams, limits.in_flight, limits.replies) = (most, most, most);
        (limits.log_record, limits.patterns) = (most, most);
        let mut local = Local::new(config.clone());
        let _ = local.exec(START, with_fds(&[3]), None);
        let _ = local.write(0, &Bytes::from_static(b"abc"));
        feed(&mut local, &[log("x"), data(1, b"x"), Frame::eof(1), Frame::exit(0, "")]);
        let mut agent = Agent::new(config.clone());
        feed(&mut agent, &[Frame::exec(with_fds(&[3])), data(0, b"x"), Frame::signal(9)]);
        agent.start_failed("text");
        sent(&mut agent);
    }
}

#[test]
fn a_repeated_frame_of_no_meaning_costs_time_only() {
    // Top-level null, the cheapest frame there is.
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    let begun = Clock::now();
    agent.handle_input(START, repeat_n(0xf6, 100_000).collect());
    assert_eq!(agent.stats().frames_dropped, 100_000);
    assert_eq!(agent.closed(), None);
    assert!(begun.elapsed() < Duration::from_secs(5));
}
