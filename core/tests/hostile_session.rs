//! The rows of section 15 about what a peer does in a session, each under its name, in both roles
//! where it applies; with memory and work measured.
#![cfg(target_os = "linux")]

mod common;
mod hostile_common;

use bytes::Bytes;
use common::*;
use hostile_common::*;
use trunkline_core::agentproto::{
    Agent, AgentConfig, AgentEvent, Config, ExecRequest, FileOp, FileRequest, FileResponse, Frame,
    FrameType, Level, Local, LocalEvent, LogArguments, LogRecord, Misuse, PathEntry, PathInfo,
    PathQuery, Read,
};
use trunkline_core::{CloseReason, Machine};

/// An agent's answer to a request for these descriptors: the texts of its exits with 127.
fn refusals(fds: &[u32]) -> Vec<String> {
    let mut agent = Agent::new(Config::default());
    let (asked, most) = peak(|| {
        feed(&mut agent, &[Frame::exec(with_fds(fds)), data(0, b"x"), Frame::signal(9)]);
        let exec = |event: &&AgentEvent| matches!(event, AgentEvent::Exec(..));
        events(&mut agent).iter().filter(exec).count()
    });
    assert!(most < 64 * KIB + 32 * fds.len(), "{most} bytes for {fds:.20?}");
    let exits = sent_but_logs(&mut agent).into_iter().filter(|frame| frame.code == 127);
    let texts: Vec<String> = exits.map(|frame| frame.error).collect();
    assert_eq!(asked + texts.len(), 1, "either asked for or refused");
    assert_eq!(agent.status() == 127, asked == 0);
    texts
}

/// A local side does not even ask.
fn is_misuse(fds: &[u32]) -> bool {
    let mut local = Local::new(Config::default());
    local.exec(START, with_fds(fds), None) == Err(Misuse::Descriptors)
}

#[test]
fn fds_0_to_2() {
    for fd in 0..=2 {
        for fds in [&[fd][..], &[3, fd], &[fd, fd, fd]] {
            assert!(refusals(fds)[0].contains("descriptors must be 3 to 255"), "{fds:?}");
            assert!(is_misuse(fds));
        }
    }
}

#[test]
fn fds_huge() {
    for fds in [&[256][..], &[u32::MAX], &[3, 1 << 31], &[3, 3], &[4, 3, 5, 4]] {
        assert_eq!((refusals(fds).len(), is_misuse(fds)), (1, true), "{fds:?}");
    }
    let all: Vec<u32> = (3..=255).collect();
    assert_eq!((refusals(&all[..64]).len(), refusals(&all[253 - 64..]).len()), (0, 0));
    assert_eq!((refusals(&all[..65]).len(), is_misuse(&all[..65])), (1, true));
    assert_eq!(refusals(&vec![u32::MAX; 131_072]).len(), 1);
}

fn serving(config: Config) -> Agent {
    let mut agent = Agent::new(config);
    feed(&mut agent, &[Frame::of(FrameType::FILE_REQUEST)]);
    agent
}

/// A host that takes requests and does not answer them, as one on a stalled disk.
fn taken(agent: &mut Agent, bytes: &Bytes, turns: usize) -> Vec<AgentEvent> {
    let mut taken = Vec::new();
    for _ in 0..turns {
        if agent.wants_input() {
            agent.handle_input(START, bytes.clone());
        }
        taken.extend(events(agent));
    }
    taken
}

#[test]
fn floods_of_requests() {
    let stat = |id| Frame::file_request(FileRequest { id, op: FileOp::STAT, ..Default::default() });
    let bytes = wire(&(0..1_000).map(stat).collect::<Vec<_>>());
    let mut agent = serving(Config::default());
    let asked = taken(&mut agent, &bytes, 10);
    assert_eq!((asked.len(), agent.wants_input()), (128, false));
    // An answer to nothing makes no room, one to a request makes it for one.
    agent.respond(FileResponse { id: 999, ..Default::default() });
    assert_eq!((events(&mut agent).len(), sent(&mut agent).len()), (0, 0));
    agent.respond(FileResponse { id: 5, ..Default::default() });
    assert_eq!((events(&mut agent).len(), sent(&mut agent).len()), (1, 1));

    // At the local side it is the user who is refused.
    let mut local = Local::new(numbers_known());
    let accepted = (0..1_000).take_while(|_| local.request(FileRequest::default()).is_ok());
    assert_eq!(accepted.count(), 128);
}

#[test]
fn requests_that_stay_pending_with_all_they_brought() {
    let write =
        FileRequest { op: FileOp::WRITE_AT, data: vec![0; MIB].into(), ..Default::default() };
    let bytes = wire(&[Frame::file_request(write)]);
    let (held, most) = peak(|| {
        let mut agent = serving(Config::default());
        let mut held = Vec::new();
        for _ in 0..128 {
            if agent.wants_input() {
                // As from a transport: memory of its own.
                agent.handle_input(START, Bytes::copy_from_slice(&bytes));
            }
            held.extend(events(&mut agent));
        }
        assert!(!agent.wants_input());
        for _ in 0..held.len() {
            agent.respond(FileResponse::default());
            sent(&mut agent);
        }
        assert!(agent.wants_input(), "all are answered");
        held.len()
    });
    assert_eq!(held, 8, "as many as the session's queue holds");
    assert!(most < 12 * MIB, "{most} bytes");
}

#[test]
fn requests_of_one_number_are_counted_apart() {
    let mut agent = serving(Config::default());
    let request = Frame::file_request(FileRequest { id: 7, ..Default::default() });
    feed(&mut agent, &[request.clone(), request]);
    assert_eq!(events(&mut agent).len(), 2);
    agent.handle_eof(START);
    for left in [1, 0, 0] {
        agent.respond(FileResponse { id: 7, ..Default::default() });
        assert_eq!(agent.closed().is_some(), left == 0);
    }
    assert_eq!(sent(&mut agent).len(), 2);
}

#[test]
fn responses_nobody_asked_for() {
    let response = Frame::file_response(FileResponse { id: 77, handle: 3, ..Default::default() });
    let flood = bytes_of(&response).repeat(10_000);
    for config in [Config::default(), numbers_known()] {
        let mut local = Local::new(config);
        local.request(FileRequest::default()).unwrap();
        sent(&mut local);
        let ((), most) = peak(|| local.handle_input(START, Bytes::copy_from_slice(&flood)));
        assert!(most < flood.len() + 16 * KIB, "{most} bytes");
        assert_eq!((events(&mut local), sent(&mut local)), (vec![], vec![]));
        assert_eq!((local.stats().responses_dropped, local.wants_input()), (10_000, true));
    }
    // In another kind of session they are frames like any other of no meaning.
    let mut local = running_local(Config::default(), exec("/bin/x"));
    local.handle_input(START, flood.into());
    assert_eq!(local.stats().frames_dropped, 10_000);
}

#[test]
fn response_of_the_wrong_shape() {
    let mut local = Local::new(numbers_known());
    let mut answer = |op, size, response: FileResponse| {
        let request = FileRequest { op, size, data: vec![1; 10].into(), ..Default::default() };
        let id = local.request(request).unwrap();
        feed(&mut local, &[Frame::file_response(FileResponse { id, ..response })]);
        match events(&mut local).pop() {
            Some(LocalEvent::Response(response)) => response,
            other => panic!("{other:?}"),
        }
    };
    let read = |count, data: &[u8]| FileResponse {
        count,
        data: data.to_vec().into(),
        ..FileResponse::default()
    };
    // Data longer than asked for is cut; a count is a hint, but not beyond what was asked for.
    assert_eq!(answer(FileOp::READ_AT, 4, read(4, b"abcdef")).data.into_bytes(), "abcd");
    assert_eq!(answer(FileOp::READ_AT, 4, read(2, b"abcd")).data.into_bytes(), "abcd");
    for count in [5, i64::MAX, -1, i64::MIN] {
        let failed = answer(FileOp::READ_AT, 4, read(count, b"abcd"));
        assert_eq!((failed.errno, failed.data.len(), failed.count), (5, 0, 0), "{count}");
        let failed = answer(FileOp::WRITE_AT, 0, read(count.saturating_mul(3), b""));
        assert_eq!((failed.errno, failed.count), (5, 0), "{count}");
    }
    for size in [0, -1, i64::MIN] {
        assert!(answer(FileOp::READ_AT, size, read(0, b"abcd")).data.is_empty());
    }
}

#[test]
fn data_for_unregistered_or_closed_streams() {
    let strange = |n: u32| [data(n.wrapping_mul(40_503) | 1 << 20, b"x"), Frame::eof(n + 256)];
    let flood = wire(&(0..5_000).flat_map(strange).collect::<Vec<_>>());
    let closed = [data(1, b"a"), Frame::eof(1), data(1, b"late"), Frame::eof(1)];
    let mut local = running_local(Config::default(), exec("/bin/x"));
    let ((), most) = peak(|| local.handle_input(START, flood.clone()));
    assert!(most < 16 * KIB, "{most} bytes for streams that do not exist");
    feed(&mut local, &closed);
    assert_eq!((local.stats().frames_dropped, local.wants_input()), (10_002, true));
    assert_eq!(read_all(&mut local, 1), (b"a".to_vec(), Read::End));

    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    let ((), most) = peak(|| agent.handle_input(START, flood.clone()));
    assert!(most < 16 * KIB, "{most} bytes for streams that do not exist");
    // Outputs are no inputs either.
    feed(&mut agent, &[data(1, b"x"), data(2, b"x"), Frame::eof(1)]);
    assert_eq!((agent.stats().frames_dropped, agent.wants_input()), (10_003, true));
    assert_eq!((events(&mut agent), sent(&mut agent)), (vec![], vec![]));
}

#[test]
fn endless_empty_frames() {
    for frame in [data(1, b""), data(0, b""), Frame::of(FrameType(0)), Frame::of(FrameType::LOG)] {
        is_linear(5_000, |count| {
            let bytes = bytes_of(&frame).repeat(count);
            let mut local = running_local(Config::default(), exec("/bin/x"));
            let mut agent = running_agent(Config::default(), exec("/bin/x"));
            for chunk in bytes.chunks(64 * KIB) {
                local.handle_input(START, Bytes::copy_from_slice(chunk));
                agent.handle_input(START, Bytes::copy_from_slice(chunk));
            }
            let dropped = (local.stats().frames_dropped, agent.stats().frames_dropped);
            assert_eq!(dropped, (count as u64, count as u64));
            assert!(local.wants_input() && agent.wants_input());
            assert_eq!((events(&mut local), events(&mut agent)), (vec![], vec![]));
        });
    }
}

#[test]
fn payload_in_tiny_chunks_on_an_unread_stream() {
    // {"t": 2, "d": (_ h'61', h'61', ..)}: two bytes each, and a piece each if they were kept so.
    let chunks = |size: usize| {
        [&b"\xa3\x61s\x01\x61t\x02\x61d\x5f"[..], &b"\x41a".repeat(size), b"\xff"].concat()
    };
    let bytes = chunks(2 * MIB);
    let (read, most) = peak(|| {
        let mut local = running_local(Config::default(), exec("/bin/x"));
        for chunk in bytes.chunks(64 * KIB) {
            local.handle_input(START, Bytes::copy_from_slice(chunk));
        }
        assert!(!local.wants_input());
        read_count(&mut local, 1, b'a')
    });
    assert_eq!(read, (2 * MIB, Read::Empty));
    assert!(most < 5 * bytes.len(), "{most} bytes for {}", bytes.len());
}

#[test]
fn a_million_frames_in_one_piece() {
    // A driver may hand in as much as it likes at once.
    let bytes = Bytes::from(bytes_of(&data(1, b"x")).repeat(MIB));
    let (queued, most) = peak(|| {
        let mut local = running_local(Config::default(), exec("/bin/x"));
        local.handle_input(START, bytes.clone());
        local.stats().queued_in
    });
    assert_eq!(queued, MIB);
    assert!(most < 4 * MIB, "{most} bytes for a queue of {queued}");
}

#[test]
fn log_floods() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    let ((), most) = peak(|| {
        for _ in 0..100 {
            local.handle_input(START, bytes_of(&log("x")).repeat(1_000).into());
            while local.poll_event().is_some() {}
        }
    });
    assert_eq!(local.stats().logs_dropped, 99_000);
    assert!(most < MIB, "{most} bytes");
    // Records nobody takes stop the link, and so do those an agent makes that nobody reads.
    let mut local = running_local(Config::default(), exec("/bin/x"));
    flood(&mut local, &log("x"), 10_000);
    assert_eq!((local.wants_input(), local.stats().frames_received), (false, 64));
    // The two limits are apart.
    let mut config = Config::default();
    (config.limits.events, config.limits.replies) = (5, 9);
    let mut local = running_local(config.clone(), exec("/bin/x"));
    flood(&mut local, &log("x"), 100);
    assert_eq!(local.stats().frames_received, 5);
    assert_eq!((0..100).take_while(|_| local.signal(10).is_ok()).count(), 9);
    config.limits.events = 100;
    let mut agent = running_agent(config, exec("/bin/x"));
    flood(&mut agent, &Frame::signal(10), 100);
    assert_eq!(agent.stats().frames_received, 1 + 9);
}

#[test]
fn giant_or_binary_log_text() {
    let giants = [
        LogRecord { message: "\u{1b}\u{0}é".repeat(MIB), level: i64::MIN, ..Default::default() },
        LogRecord { attributes: vec!["k=v".repeat(1_000); 1_000], ..Default::default() },
        LogRecord { attributes: vec![String::new(); 131_072], ..Default::default() },
        LogRecord { attributes: vec!["=".into(); 131_072], level: i64::MAX, ..Default::default() },
    ];
    for record in giants {
        let mut local = running_local(Config::default(), exec("/bin/x"));
        feed(&mut local, &[Frame::log(record)]);
        let [LocalEvent::Log(record)] = &news(&mut local)[..] else { panic!() };
        let texts = record.attributes.iter().map(|text| text.len() + 1).sum::<usize>();
        assert!(record.message.len() + texts <= 8_192 + 1_001);
        let shown = trunkline_core::agentproto::escape(&record.message).to_string();
        assert!(!shown.contains(char::is_control), "fit for a terminal");
        assert!([Level::TRACE, Level::INFO, Level::ERROR].contains(&record.level().named()));
    }
    // What no text is at all is a violation, and told in words.
    let mut local = running_local(Config::default(), exec("/bin/x"));
    local.handle_input(START, Bytes::from_static(b"\xa2\x61l\xa1cmsg\x62\xff\xfe\x61t\x07"));
    assert_eq!(broken(&local), "utf8");
    assert_eq!(local.closed().unwrap().to_string(), "log.msg is not UTF-8");
}

#[test]
fn lying_exit_then_more_data() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    let lie = [data(1, b"a"), Frame::exit(0, ""), data(1, b"b"), Frame::exit(9, ""), log("x")];
    local.handle_input(START, [&wire(&lie)[..], b"\xff\xff"].concat().into());
    flood(&mut local, &data(2, &[0; 1_000]), 1_000);
    assert_eq!(read_all(&mut local, 1), (b"a".to_vec(), Read::End));
    let exits = news(&mut local).into_iter().filter(|e| matches!(e, LocalEvent::Exited { .. }));
    assert_eq!(exits.count(), 1);
    assert_eq!(local.closed(), Some(&CloseReason::Peer { code: 0, text: String::new() }));
    assert_eq!((local.wants_input(), local.stats().queued_in), (false, 0));
}

#[test]
fn exit_text_of_any_length() {
    let text = "é".repeat(7 * MIB);
    let frame = bytes_of(&Frame::exit(1, text.clone()));
    let (told, most) = peak(|| {
        let mut local = running_local(Config::default(), exec("/bin/x"));
        for chunk in frame.chunks(64 * KIB) {
            local.handle_input(START, Bytes::copy_from_slice(chunk));
        }
        news(&mut local)
    });
    assert!(most < 3 * frame.len(), "{most} bytes");
    let LocalEvent::Exited { code: 1, text: cut } = &told[0] else { panic!("{told:.200?}") };
    assert_eq!((cut.len(), &text[..8 * KIB] == cut), (8 * KIB, true));
    let closed = CloseReason::Peer { code: 1, text: cut.clone() };
    assert_eq!(told[1..], [LocalEvent::Closed(closed)]);
    // So is that of a failed query, and so are those an agent sends: its host may say anything.
    let mut local = Local::new(Config::default());
    local.query_paths(START, PathQuery::default(), None).unwrap();
    feed(&mut local, &[Frame { error: text.clone(), ..Frame::of(FrameType::ERROR) }]);
    assert!(matches!(&news(&mut local)[0], LocalEvent::QueryFailed(text) if text.len() == 8 * KIB));
    for fail in [Agent::start_failed, Agent::build_failed] {
        let mut agent = Agent::new(Config::default());
        feed(&mut agent, &[Frame::exec(exec("/bin/x"))]);
        fail(&mut agent, &"x".repeat(17 * MIB));
        let frames = sent(&mut agent);
        assert!(frames.iter().all(|frame| bytes_of(frame).len() < 10 * KIB));
        assert_eq!(
            frames.last().map(|frame| (frame.code, frame.error.len())),
            Some((127, 8 * KIB))
        );
    }
}

#[test]
fn second_exec_or_config_later() {
    let again = [
        Frame::config(AgentConfig::default()),
        Frame::exec(exec("/bin/y")),
        Frame::path_query(PathQuery::default()),
        Frame::file_request(FileRequest::default()),
    ];
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    feed(&mut agent, &again);
    assert_eq!((events(&mut agent), sent(&mut agent)), (vec![], vec![]));
    assert_eq!((agent.stats().frames_dropped, agent.closed()), (4, None));
    let mut listing = Agent::new(Config::default());
    feed(&mut listing, &[Frame::path_query(PathQuery::default())]);
    feed(&mut listing, &again);
    assert_eq!(events(&mut listing).len(), 1);
    let mut local = running_local(Config::default(), exec("/bin/x"));
    feed(&mut local, &again);
    assert_eq!((events(&mut local), local.stats().frames_dropped), (vec![], 4));
}

#[test]
fn exit_from_local_to_agent() {
    let mut agent = running_agent(Config::default(), with_fds(&[3]));
    feed(&mut agent, &[data(0, b"a"), Frame::exit(7, "x"), data(0, b"b"), Frame::signal(9)]);
    assert_eq!(read_all(&mut agent, 0), (b"a".to_vec(), Read::End));
    assert_eq!((read_all(&mut agent, 3).1, news(&mut agent)), (Read::End, vec![]));
    // Nothing behind it is parsed, and none of it is kept.
    let ((), most) = peak(|| flood(&mut agent, &data(0, &[0; 1_000]), 1_000));
    assert!(most < 4 * MIB && agent.stats().queued_in == 0, "{most} bytes");
    assert_eq!((agent.poll_timeout(), agent.wants_input()), (Some(at(5_000)), true));
    let mut agent = serving(Config::default());
    feed(&mut agent, &[Frame::exit(7, "x"), Frame::file_request(FileRequest::default())]);
    let peer = CloseReason::Peer { code: 7, text: "x".into() };
    assert_eq!(events(&mut agent), [AgentEvent::Closed(peer)]);
}

#[test]
fn signal_numbers_out_of_range() {
    for number in [-1, -9, -64, 65, 128, 1 << 31, 1 << 32, (1 << 32) + 9, i64::MIN, i64::MAX] {
        let mut agent = running_agent(Config::default(), exec("/bin/x"));
        feed(&mut agent, &[Frame::signal(number)]);
        assert_eq!(events(&mut agent), [], "{number}");
        let logs = sent_logs(&mut agent);
        assert_eq!((logs.len(), logs[0].level()), (1, Level::WARN));
        assert_eq!(logs[0].attributes[0], format!("signal={number}"));
    }
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    feed(&mut agent, &[0, 1, 64].map(Frame::signal));
    assert_eq!(events(&mut agent), [0, 1, 64].map(AgentEvent::Signal));
}

#[test]
fn signal_floods() {
    // Nobody reads the agent's records: it stops to listen, however the flood goes on.
    for number in [10, -1] {
        let mut agent = running_agent(Config::default(), exec("/bin/x"));
        let bytes = Bytes::from(bytes_of(&Frame::signal(number)).repeat(10_000));
        let (told, most) = peak(|| {
            let mut told = 0;
            for _ in 0..100 {
                if agent.wants_input() {
                    agent.handle_input(START, bytes.clone());
                }
                told += events(&mut agent).len();
            }
            told
        });
        assert!(told <= 64 && most < 256 * KIB, "{told} signals, {most} bytes");
        assert!(!agent.wants_input());
    }
}

#[test]
fn environment_injection() {
    // What the peer asks for is handed to the host as it came, and nothing is added: the filter is
    // the host's (host/tests/envfilter.rs).
    let env = ["LD_PRELOAD=/tmp/x.so", "PATH=/tmp", "PATH=/bin", "=", "no equals sign", "A=\u{1b}"];
    let request = ExecRequest { env: Some(env.map(String::from).to_vec()), ..exec("/bin/x") };
    let config = AgentConfig { env_keep: Some(vec!["PATH".into()]), env_remove: None };
    let mut agent = Agent::new(Config::default());
    feed(&mut agent, &[Frame::config(config.clone()), Frame::exec(request.clone())]);
    assert_eq!(events(&mut agent), [AgentEvent::Exec(request, Some(config))]);
}

#[test]
fn secrets() {
    let request = ExecRequest {
        argv: Some(vec!["x".into(), "--password=hunter2".into()]),
        env: Some(vec!["TOKEN=hunter2".into()]),
        ..exec("/bin/x")
    };
    for (setting, shown) in [(LogArguments::Show, true), (LogArguments::Redact, false)] {
        let mut config = Config::default();
        config.log_arguments = setting;
        let mut agent = Agent::new(config);
        feed(&mut agent, &[Frame::exec(request.clone())]);
        agent.started(1);
        let text = format!("{:?}", sent(&mut agent));
        assert_eq!((text.contains("--password"), text.contains("TOKEN")), (shown, false));
    }
}

#[test]
fn fairness() {
    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    for stream in [1, 2] {
        write_all(&mut agent, stream, &[stream as u8; 200_000]);
        agent.finish(stream);
    }
    for _ in 0..200 {
        agent.signal_failed(1, "x");
    }
    agent.exited(0);
    let frames = sent(&mut agent);
    let place = |wanted: &dyn Fn(&Frame) -> bool| frames.iter().position(wanted).unwrap();
    // Records do not keep data back for ever, streams take turns, no end overtakes its data.
    assert!(place(&|frame| frame.kind == FrameType::DATA) <= 33);
    let turns = frames.iter().filter(|frame| frame.kind == FrameType::DATA);
    let turns: Vec<u32> = turns.map(|frame| frame.stream).collect();
    assert_eq!(turns, [1, 2].repeat(7));
    for stream in [1, 2] {
        let last = frames.iter().rposition(|f| f.kind == FrameType::DATA && f.stream == stream);
        assert!(last.unwrap() < place(&|f| f.kind == FrameType::EOF && f.stream == stream));
    }
    assert_eq!(frames.last().map(|frame| frame.kind), Some(FrameType::EXIT));
}

#[test]
fn program_lists_of_any_size_and_text() {
    let entry =
        |name: &str| PathEntry { name: name.into(), path: name.into(), ..Default::default() };
    let mut local = Local::new(Config::default());
    local.query_paths(START, PathQuery::default(), None).unwrap();
    let entries = vec![entry("\u{1b}[2J"), entry(""), entry(&"x".repeat(MIB))];
    let bytes = bytes_of(&Frame::path_info(PathInfo { entries: Some(entries.clone()) }));
    local.handle_input(START, bytes.repeat(2).into());
    let told = events(&mut local);
    assert_eq!((told.len(), &told[0]), (2, &LocalEvent::Paths(entries)));
    // A host that found too much is held to what any receiver takes.
    let mut agent = Agent::new(Config::default());
    feed(&mut agent, &[Frame::path_query(PathQuery::default())]);
    agent.paths(vec![entry(&"x".repeat(100)); 140_000]);
    let frames = sent(&mut agent);
    assert!(bytes_of(frames.last().unwrap()).len() <= 16 * MIB);
}

#[test]
fn limits_of_nothing_still_let_a_session_end() {
    let mut config = Config::default();
    let limits = &mut config.limits;
    (limits.stream_queue, limits.session_queue, limits.in_flight) = (0, 0, 0);
    (limits.events, limits.replies, limits.exit_text, limits.log_record) = (0, 0, 0, 0);
    let mut local = running_local(config.clone(), exec("/bin/x"));
    feed(&mut local, &[data(1, b"ab"), log("x"), data(2, b"c"), Frame::exit(3, "text")]);
    let mut told = Vec::new();
    for _ in 0..20 {
        told.extend(news(&mut local));
        read_all(&mut local, 1);
        read_all(&mut local, 2);
    }
    assert!(told.contains(&LocalEvent::Exited { code: 3, text: String::new() }), "{told:?}");
    let mut agent = Agent::new(config);
    feed(&mut agent, &[Frame::exec(exec("/bin/x")), Frame::signal(9)]);
    let mut told = Vec::new();
    for _ in 0..20 {
        told.extend(news(&mut agent));
        sent(&mut agent);
    }
    assert!(matches!(told[..], [AgentEvent::Exec(..), AgentEvent::Signal(9)]), "{told:?}");
}
