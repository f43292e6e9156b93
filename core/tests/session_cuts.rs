//! Sessions cut off at every byte, and clocks that go wrong: nothing is made up, nothing is lost
//! that had arrived, and no deadline fires that is not due.

mod common;

use std::time::Duration;

use common::*;
use proptest::prelude::*;
use trunkline_core::agentproto::{
    Agent, AgentConfig, AgentEvent, Config, FileRequest, FileResponse, Frame, FrameType, Local,
    LocalEvent, Read,
};
use trunkline_core::{CloseReason, Direction, Instant, Machine};

#[derive(Clone, Copy, PartialEq)]
enum End {
    Eof,
    Failure,
}

/// Feeds what came before the link was cut, and the cut.
fn cut_off(machine: &mut impl Side, bytes: &[u8], end: End) {
    machine.handle_input(START, bytes.to_vec().into());
    match end {
        End::Eof => machine.handle_eof(START),
        End::Failure => machine.handle_failure(START, Direction::Read, Some(104)),
    }
}

/// Where each of these frames ends in their bytes.
fn ends(frames: &[Frame]) -> Vec<usize> {
    let sizes = frames.iter().map(|frame| wire(std::slice::from_ref(frame)).len());
    sizes
        .scan(0, |end, size| {
            *end += size;
            Some(*end)
        })
        .collect()
}

#[test]
fn a_command_cut_at_any_byte_makes_nothing_up() {
    let frames = [
        log("x"),
        data(1, b"one"),
        data(2, &[2; 40]),
        Frame::eof(1),
        data(3, b"three"),
        Frame::eof(3),
        Frame::exit(0, "text"),
    ];
    let (bytes, ends) = (wire(&frames), ends(&frames));
    for (cut, end) in (0..=bytes.len()).flat_map(|cut| [(cut, End::Eof), (cut, End::Failure)]) {
        let mut local = running_local(Config::default(), with_fds(&[3]));
        cut_off(&mut local, &bytes[..cut], end);
        let exited = cut == bytes.len();
        let told = news(&mut local);
        assert_eq!(told.iter().any(|event| matches!(event, LocalEvent::Exited { .. })), exited);
        let boundary = cut == 0 || ends.contains(&cut);
        let reason = match end {
            _ if exited => CloseReason::Peer { code: 0, text: "text".into() },
            End::Eof => eof(!boundary),
            _ => CloseReason::Transport { os_error: Some(104) },
        };
        assert_eq!(told.last(), Some(&LocalEvent::Closed(reason)), "cut at {cut}");
        let last = |arrived| if exited || arrived { Read::End } else { Read::Lost };
        let part = |arrived: bool, bytes: &[u8]| if arrived { bytes.to_vec() } else { vec![] };
        assert_eq!(read_all(&mut local, 1), (part(cut >= ends[1], b"one"), last(cut >= ends[3])));
        assert_eq!(read_all(&mut local, 2), (part(cut >= ends[2], &[2; 40]), last(false)));
        assert_eq!(read_all(&mut local, 3), (part(cut >= ends[4], b"three"), last(cut >= ends[5])));
    }
}

#[test]
fn file_answers_cut_at_any_byte_are_whole_or_lost() {
    let answer = |id| FileResponse { id, path: "/srv/x".into(), ..FileResponse::default() };
    let frames = [2, 1, 3].map(|id| Frame::file_response(answer(id)));
    let (bytes, ends) = (wire(&frames), ends(&frames));
    for cut in 0..=bytes.len() {
        let mut local = Local::new(numbers_known());
        for _ in 0..3 {
            local.request(FileRequest::default()).unwrap();
        }
        local.handle_input(START, bytes.slice(..cut));
        local.handle_eof(START);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let mut told = news(&mut local);
        assert!(matches!(told.pop(), Some(LocalEvent::Closed(CloseReason::Eof { .. }))));
        let lost = told.split_off(whole);
        let came = [2, 1, 3].map(|id| LocalEvent::Response(answer(id)));
        assert_eq!(told, came[..whole]);
        let mut left = [2, 1, 3][whole..].to_vec();
        left.sort_unstable();
        assert_eq!(lost, left.into_iter().map(LocalEvent::RequestLost).collect::<Vec<_>>());
    }
}

#[test]
fn a_caller_cut_off_at_any_byte_leaves_an_agent_that_ends() {
    let frames = [
        Frame::config(AgentConfig::default()),
        Frame::exec(with_fds(&[3])),
        data(0, b"zero"),
        Frame::signal(2),
        Frame::eof(0),
        data(3, b"three"),
    ];
    let (bytes, ends) = (wire(&frames), ends(&frames));
    for (cut, end) in (0..=bytes.len()).flat_map(|cut| [(cut, End::Eof), (cut, End::Failure)]) {
        for config in [Config::default(), Config::reference()] {
            let ignores = config == Config::reference();
            let mut agent = Agent::new(config);
            cut_off(&mut agent, &bytes[..cut], end);
            let started = cut >= ends[1];
            assert_eq!(agent.closed().is_none(), started, "cut at {cut}");
            assert_eq!(agent.status(), if started { 0 } else { 127 });
            assert_eq!(agent.poll_timeout().is_some(), started && !ignores);
            assert_eq!(sent_but_logs(&mut agent), []);
            if !started {
                continue;
            }
            let last = |arrived| if arrived || !ignores { Read::End } else { Read::Empty };
            let zero = if cut >= ends[2] { b"zero".to_vec() } else { vec![] };
            assert_eq!(read_all(&mut agent, 0), (zero, last(cut >= ends[4])));
            assert_eq!(read_all(&mut agent, 3).1, last(false));
            agent.start_failed("x");
            assert_eq!(sent_but_logs(&mut agent), [Frame::exit(127, "x")]);
            assert!(agent.closed().is_some());
        }
    }
}

#[test]
fn a_deadline_does_not_mind_a_clock_that_goes_back_or_ends() {
    let mut config = Config::default();
    config.answer_timeout = Some(Duration::from_secs(10));
    let mut local = running_local(config.clone(), exec("/bin/x"));
    for now in [Instant::ORIGIN, at(0), at(0), at(9_999), Instant::ORIGIN] {
        local.handle_timeout(now);
        assert_eq!((local.closed(), local.poll_timeout()), (None, Some(at(10_000))));
    }
    // Any frame is an answer, one without a meaning too.
    local.handle_input(Instant::ORIGIN, wire(&[Frame::of(FrameType(0))]));
    assert_eq!(local.poll_timeout(), None);
    local.handle_timeout(Instant::from_nanos(u64::MAX));
    assert_eq!(local.closed(), None);

    let end = Instant::from_nanos(u64::MAX);
    let mut local = Local::new(config);
    local.exec(end, exec("/bin/x"), None).unwrap();
    assert_eq!(local.poll_timeout(), Some(end));
    local.handle_timeout(end);
    assert!(matches!(local.closed(), Some(CloseReason::Timeout(_))));

    let mut agent = running_agent(Config::default(), exec("/bin/x"));
    agent.handle_eof(Instant::from_nanos(u64::MAX - 1));
    for signal in [1, 9] {
        assert_eq!(agent.poll_timeout(), Some(end));
        agent.handle_timeout(end);
        assert_eq!(news(&mut agent), [AgentEvent::Signal(signal)]);
    }
    agent.handle_timeout(end);
    assert!(agent.closed().is_some());
    assert_eq!(agent.poll_timeout(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_hang_up_happens_at_most_once_whatever_the_clock_does(
        times in prop::collection::vec(prop_oneof![0..20_000_u64, any::<u64>()], 1..30),
        reference in any::<bool>(),
    ) {
        let config = if reference { Config::reference() } else { Config::default() };
        let mut agent = running_agent(config, exec("/bin/x"));
        let mut times = times.into_iter().map(Instant::from_millis);
        agent.handle_eof(times.next().unwrap());
        let mut signals = Vec::new();
        for now in times {
            let due = agent.poll_timeout().is_some_and(|due| due <= now);
            agent.handle_timeout(now);
            let told = news(&mut agent);
            prop_assert_eq!(!told.is_empty(), due);
            signals.extend(told);
        }
        let reason = CloseReason::Eof { mid_frame: false };
        let all = [AgentEvent::Signal(1), AgentEvent::Signal(9), AgentEvent::Closed(reason)];
        prop_assert!(all.starts_with(&signals));
        prop_assert!(!reference || signals.is_empty());
    }
}
