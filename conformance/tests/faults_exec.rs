//! Faults of a simulated link between our own two machines: pieces, room, stalls, clocks, races.
//! The table in `docs/testing.md` says which fault of the catalogue is which test.

use std::collections::BTreeMap;
use std::time::Duration;

use trunkline_conformance::laws::{Broken, FAULTS, hold, waits_for_something, within};
use trunkline_conformance::model::agentproto::{Exchange, Exits};
use trunkline_conformance::sim::{Chunks, Fault, Pair, Rng, Shape, Stuck, seeds};
use trunkline_core::agentproto::{Agent, Config, Local, LocalEvent, Write};
use trunkline_core::{CloseReason, Instant, Machine as _};

const MIB: u64 = 1 << 20;
const HOUR: Duration = Duration::from_secs(3_600);

type Session = Pair<Local, Agent>;

fn local(config: Config, exchange: &Exchange) -> Local {
    let mut local = Local::new(config);
    local.exec(Instant::ORIGIN, exchange.request(), None).unwrap();
    local
}

fn session(exchange: &Exchange) -> Session {
    Pair::new(local(Config::default(), exchange), Agent::new(Config::default()))
}

fn run(session: &mut Session, exchange: &mut Exchange) -> Result<(), Stuck> {
    session.run(|pair| exchange.turn(&mut pair.a, &mut pair.b))
}

#[track_caller]
fn goes_through(session: &mut Session, exchange: &mut Exchange) {
    run(session, exchange).unwrap();
    if let Err(broken) = exchange.went_through(&session.a, &session.b) {
        panic!("{broken}\n{}", session.trace);
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[test]
fn f2_partial_writes_lose_nothing() {
    let takes = [Chunks::Of(1), Chunks::Of(2), Chunks::Random(20)];
    for takes in takes {
        let mut exchange =
            Exchange::new(&[(0, 5_000), (3, 500)], &[(1, 5_000), (2, 1_000), (3, 9)]);
        let mut session = session(&exchange);
        session.there.shape.takes = takes.clone();
        session.back.shape = Shape { takes, room: 3, ..Shape::default() };
        goes_through(&mut session, &mut exchange);
    }
}

#[test]
fn f2_a_frame_taken_but_for_its_last_byte_is_sent_whole() {
    // n-1 bytes of a frame of n, and the last one after the room has come back.
    let mut exchange = Exchange::new(&[(0, 5_000)], &[(1, 5_000)]);
    for room in 40..60 {
        let mut exchange = exchange.clone();
        let mut session = session(&exchange);
        (session.there.shape.room, session.back.shape.room) = (room, room);
        goes_through(&mut session, &mut exchange);
    }
    let mut session = session(&exchange);
    goes_through(&mut session, &mut exchange);
}

#[test]
fn f15_an_exit_never_passes_the_last_bytes_of_any_output() {
    seeds(1_000, |rng| {
        let count =
            |rng: &mut Rng| [0, 1, 100, 5_000, 70_000][rng.below(5) as usize] + rng.below(3);
        let output = [(1, count(rng)), (2, count(rng)), (3, count(rng))];
        let mut exchange = Exchange::new(&[(0, count(rng))], &output);
        exchange.exits = if rng.once_in(2) { Exits::AtTheEnd } else { Exits::WhenWritten };
        exchange.moody = Some(rng.fork());
        let machines = (local(Config::default(), &exchange), Agent::new(Config::default()));
        // Single bytes take long here and find nothing that small pieces do not.
        let pieces = || Chunks::Random(9_000);
        let shape = |rng: &mut Rng| {
            let room = [700, 4_000, 64 << 10][rng.below(3) as usize];
            Shape { room, chunks: pieces(), takes: pieces(), ..Shape::random(rng) }
        };
        let (there, back) = (shape(rng), shape(rng));
        let mut session = Pair::with(machines.0, machines.1, there, back, rng);
        run(&mut session, &mut exchange).map_err(text)?;
        exchange.went_through(&session.a, &session.b).map_err(text)
    })
    .unwrap();
}

#[test]
fn f15_a_close_at_any_moment_is_a_close_at_both_ends() {
    seeds(1_000, |rng| {
        let mut exchange = Exchange::new(&[(0, 1_000)], &[(1, 1_000), (2, 100)]);
        exchange.moody = Some(rng.fork());
        let machines = (local(Config::default(), &exchange), Agent::new(Config::default()));
        let mut session = Pair::random(machines.0, machines.1, rng);
        session.there.shape.room = session.there.shape.room.max(100);
        session.back.shape.room = session.back.shape.room.max(100);
        let (mut steps, abort) = (rng.below(300), rng.once_in(2));
        let outcome = session.run(|pair| {
            steps = steps.saturating_sub(1);
            if steps == 0 && pair.a.closed().is_none() {
                if abort {
                    pair.a.abort();
                } else {
                    pair.a.close();
                }
                return true;
            }
            exchange.turn(&mut pair.a, &mut pair.b)
        });
        outcome.map_err(text)?;
        exchange.verdict(&session.a, &session.b).map_err(text)?;
        let over = session.a.closed().is_some() && session.b.closed().is_some();
        hold("P-HANG", over, || format!("not both are over: {}", session.trace)).map_err(text)
    })
    .unwrap();
}

#[test]
fn f1_our_two_machines_survive_any_fault_at_any_moment_and_both_know() {
    seeds(300, |rng| {
        let mut exchange = Exchange::new(&[(0, 900), (3, 50)], &[(1, 900), (2, 100), (3, 50)]);
        exchange.moody = Some(rng.fork());
        let machines = (local(Config::default(), &exchange), Agent::new(Config::default()));
        let mut session = Pair::random(machines.0, machines.1, rng);
        let fault = FAULTS[rng.below(3) as usize];
        let at = rng.below(1_600);
        if rng.once_in(2) {
            session.there.fault(at, fault);
        } else {
            session.back.fault(at, fault);
        }
        let outcome = run(&mut session, &mut exchange);
        outcome.map_err(text)?;
        exchange.verdict(&session.a, &session.b).map_err(text)?;
        if exchange.went_through(&session.a, &session.b).is_ok() {
            // It came behind the last byte.
            return Ok(());
        }
        // An exit that was heard was the command's own: the books above saw every end.
        let told = matches!(
            session.a.closed(),
            Some(
                CloseReason::Eof { .. } | CloseReason::Transport { .. } | CloseReason::Peer { .. }
            )
        );
        let heard = exchange.exited.is_some()
            == matches!(session.a.closed(), Some(CloseReason::Peer { .. }));
        hold("P-ERR", told || session.a.closed().is_none(), || format!("{:?}", session.a.closed()))
            .map_err(text)?;
        hold("P-ERR", heard, || format!("{:?} and {:?}", exchange.exited, session.a.closed()))
            .map_err(text)?;
        if matches!(fault, Fault::Stall(_)) {
            return waits_for_something(&session.a, |_| Some("a reliable link")).map_err(text);
        }
        // Whoever lost its input is over, or on its way; nobody is left with a link that is gone
        // and no word of it.
        let knows = session.a.closed().is_some() || session.a.sending_failed().is_some();
        hold("P-ERR", knows || session.b.closed().is_some(), || {
            format!("nobody knows of {fault:?} at {at}: {}", session.trace)
        })
        .map_err(text)
    })
    .unwrap();
}

#[test]
fn f4_a_peer_that_stalls_for_an_hour_costs_no_more_than_the_queues_and_then_goes_on() {
    let mut exchange = Exchange::new(&[(0, 4 * MIB)], &[(1, 4 * MIB), (2, MIB)]);
    let mut session = session(&exchange);
    session.there.fault(100_000, Fault::Stall(Some(HOUR)));
    session.back.fault(100_000, Fault::Stall(Some(HOUR)));
    let limits = Config::default().limits;
    let mut most = (0, 0);
    let outcome = session.run(|pair| {
        let (local, agent) = (pair.a.stats(), pair.b.stats());
        most.0 = most.0.max(local.queued_out).max(agent.queued_out);
        most.1 = most.1.max(local.queued_in).max(agent.queued_in);
        exchange.turn(&mut pair.a, &mut pair.b)
    });
    outcome.unwrap();
    exchange.went_through(&session.a, &session.b).unwrap();
    assert!(session.now() >= Instant::ORIGIN + HOUR);
    within("unsent", most.0, limits.session_queue).unwrap();
    within("unread", most.1, limits.session_queue + (64 << 10)).unwrap();
    assert!(most.0 > 900_000, "a queue was full: {most:?}");
}

#[test]
fn f5_a_link_that_is_half_open_is_a_documented_wait_unless_a_deadline_was_asked_for() {
    // Decision 11: the wire has no keep-alive; the library waits for ever by default.
    let silent = |timeout| {
        let mut config = Config::default();
        config.answer_timeout = timeout;
        let exchange = Exchange::new(&[(0, 5 * MIB)], &[(1, 10)]);
        let mut session = Pair::new(local(config, &exchange), Agent::new(Config::default()));
        session.there.fault(0, Fault::Stall(None));
        session.back.fault(0, Fault::Stall(None));
        (session, exchange)
    };
    let (mut session, mut exchange) = silent(None);
    run(&mut session, &mut exchange).unwrap();
    assert_eq!((session.a.closed(), session.now()), (None, Instant::ORIGIN));
    assert!(session.a.wants_input());
    waits_for_something(&session.a, |_| Some("decision 11")).unwrap();
    assert!(waits_for_something(&session.a, |_| None).is_err());

    let (mut session, mut exchange) = silent(Some(Duration::from_secs(60)));
    run(&mut session, &mut exchange).unwrap();
    assert!(matches!(session.a.closed(), Some(CloseReason::Timeout(_))));
    assert_eq!(session.now(), Instant::ORIGIN + Duration::from_secs(60));
    exchange.verdict(&session.a, &session.b).unwrap();
    assert_eq!(exchange.lost, [1, 2], "it waited for an output, and was woken");
}

#[test]
fn f5_an_agent_whose_caller_is_gone_ends_its_command_within_three_graces() {
    // Nothing ends this command, not even SIGKILL.
    let mut exchange = Exchange::new(&[(0, 10)], &[(1, 10)]);
    exchange.exits = Exits::Never;
    let mut session = session(&exchange);
    session.there.fault(54, Fault::Eof);
    run(&mut session, &mut exchange).unwrap();
    exchange.verdict(&session.a, &session.b).unwrap();
    assert_eq!(exchange.signals, [1, 9], "{}", session.trace);
    assert!(session.a.closed().is_some() && session.b.closed().is_some());
    assert_eq!(session.now(), Instant::ORIGIN + Duration::from_secs(15));
}

#[test]
fn f6_wrong_clocks_change_nothing_that_arrives() {
    seeds(300, |rng| {
        let mut exchange = Exchange::new(&[(0, 100_000)], &[(1, 100_000)]);
        exchange.moody = Some(rng.fork());
        let mut config = Config::default();
        config.answer_timeout = Some(HOUR * 3);
        let machines = (local(config, &exchange), Agent::new(Config::default()));
        let delay = Duration::from_millis(20);
        let shape = Shape { delay, room: 9_000, ..Shape::default() };
        let mut session = Pair::with(machines.0, machines.1, shape.clone(), shape, rng);
        let mut dice = rng.fork();
        let outcome = session.run(|pair| {
            let now = pair.now();
            let clock = if dice.once_in(2) { &mut pair.clock_a } else { &mut pair.clock_b };
            match dice.below(60) {
                0 => clock.forward(HOUR),
                1 => clock.back(HOUR),
                2 => clock.freeze(now),
                3 => clock.set(now, Instant::from_nanos(u64::MAX - 1)),
                4 => clock.set(now, now),
                _ => {}
            }
            exchange.turn(&mut pair.a, &mut pair.b)
        });
        outcome.map_err(text)?;
        if matches!(session.a.closed(), Some(CloseReason::Timeout(_))) {
            // Hours forward before the first frame: that is what the deadline is for.
            return exchange.verdict(&session.a, &session.b).map_err(text);
        }
        exchange.went_through(&session.a, &session.b).map_err(text)
    })
    .unwrap();
}

#[test]
fn f6_a_clock_that_goes_back_or_stands_still_fires_no_deadline() {
    let mut config = Config::default();
    config.answer_timeout = Some(Duration::from_secs(10));
    let mut exchange = Exchange::new(&[], &[(1, 10)]);
    let mut session = Pair::new(local(config, &exchange), Agent::new(Config::default()));
    session.back.shape.delay = Duration::from_secs(60);
    session.clock_a.freeze(Instant::ORIGIN);
    goes_through(&mut session, &mut exchange);
}

#[test]
fn f8_any_budget_gives_a_session_or_an_error_and_never_a_standstill() {
    let sizes = [0, 1, 2, 3, 63, 64, 65, 127, 128, 129, 191, 192, 193, 300, 1_000, 40_000];
    for size in sizes {
        for which in 0..7 {
            let mut config = Config::default();
            let limits = &mut config.limits;
            match which {
                0 => limits.stream_queue = size,
                1 => limits.session_queue = size,
                2 => limits.frame = size,
                3 => limits.replies = size,
                4 => limits.in_flight = size,
                5 => limits.frame_memory = size,
                _ => {
                    (limits.stream_queue, limits.session_queue, config.data_chunk) =
                        (size, size, size);
                }
            }
            let mut exchange =
                Exchange::new(&[(0, 5_000), (3, 10)], &[(1, 5_000), (2, 9), (3, 10)]);
            let mut local = Local::new(config.clone());
            if local.exec(Instant::ORIGIN, exchange.request(), None).is_err() {
                assert_eq!(which, 2, "only a frame can be too large to begin with");
                continue;
            }
            let mut session = Pair::new(local, Agent::new(config));
            run(&mut session, &mut exchange).unwrap();
            exchange.verdict(&session.a, &session.b).unwrap();
            let through = exchange.went_through(&session.a, &session.b);
            let failed = matches!(
                session.a.closed(),
                Some(CloseReason::Violation(_) | CloseReason::Eof { .. })
            ) || matches!(session.b.closed(), Some(CloseReason::Violation(_)));
            assert!(
                through.is_ok() || failed,
                "limit {which} of {size}: {through:?}; {:?} {:?}\n{}",
                session.a.stats(),
                session.b.stats(),
                session.trace
            );
        }
    }
}

#[test]
fn f12_both_ends_may_write_a_hundred_mebibytes_before_they_read() {
    // The documented limit: a queue each, then writers wait. Nothing deadlocks once somebody reads.
    let mut exchange = Exchange::new(&[(0, 100 * MIB)], &[(1, 100 * MIB)]);
    (exchange.caller_sleeps, exchange.command_sleeps) = (true, true);
    let mut session = session(&exchange);
    run(&mut session, &mut exchange).unwrap();
    let (accepted, delivered) = exchange.there.totals();
    assert_eq!(delivered, 0);
    assert!((MIB..4 * MIB).contains(&accepted), "{accepted}");
    assert_eq!(session.a.stats().stalled, Some(1));
    assert_eq!(session.b.stats().stalled, Some(0));
    waits_for_something(&session.a, |local| local.stats().stalled.map(|_| "an unread stream"))
        .unwrap();
    (exchange.caller_sleeps, exchange.command_sleeps) = (false, false);
    goes_through(&mut session, &mut exchange);
    assert_eq!(exchange.there.totals(), (100 * MIB, 100 * MIB));
}

#[test]
fn f13_four_gibibytes_and_one_byte_are_no_number_too_large() {
    let size = (4 << 30) + 1;
    let mut exchange = Exchange::new(&[(0, size)], &[(1, 1)]);
    let mut session = session(&exchange);
    session.there.shape = Shape { room: 1 << 20, ..Shape::default() };
    goes_through(&mut session, &mut exchange);
    assert_eq!(exchange.there.totals(), (size, size));
    assert_eq!(session.b.stats().bytes_received, size);
}

#[test]
fn f13_a_write_larger_than_every_queue_is_taken_in_part() {
    let exchange = Exchange::new(&[(0, 0)], &[]);
    let mut local = local(Config::default(), &exchange);
    let bytes = bytes::Bytes::from(vec![0; 64 << 20]);
    let Write::Accepted(taken) = local.write(0, &bytes) else { panic!("there is room") };
    assert!(taken < 1 << 20);
    assert_eq!(local.write(0, &bytes.slice(taken..)), Write::Blocked);
}

#[test]
fn f18_slow_and_spurious_turns_lose_nothing() {
    let mut exchange = Exchange::new(&[(0, 300_000), (3, 9)], &[(1, 300_000), (2, 5), (3, 9)]);
    let mut session = session(&exchange);
    let tick = Duration::from_millis(50);
    let mut next = Instant::ORIGIN;
    let outcome = session.run(|pair| {
        let (now_a, now_b) = (pair.clock_a.shows(pair.now()), pair.clock_b.shows(pair.now()));
        // Spurious: nothing is due, and nothing is there.
        pair.a.handle_timeout(now_a);
        pair.b.handle_timeout(now_b);
        pair.a.handle_input(now_a, bytes::Bytes::new());
        pair.b.handle_input(now_b, bytes::Bytes::new());
        if pair.now() < next {
            return false;
        }
        next = pair.now() + tick;
        let open = pair.a.closed().is_none() || pair.b.closed().is_none();
        if open {
            pair.wake_at(next);
        }
        exchange.turn(&mut pair.a, &mut pair.b)
    });
    outcome.unwrap();
    // The last turns, after both are over.
    while exchange.turn(&mut session.a, &mut session.b) {}
    exchange.went_through(&session.a, &session.b).unwrap();
    assert!(session.now() >= Instant::ORIGIN + tick * 5);
}

#[test]
fn f3_a_slow_reader_of_one_stream_delays_no_other_while_there_is_room() {
    // P-ISO, as far as this wire goes: the limit is the stream's queue.
    let mut exchange = Exchange::new(&[], &[(1, 900_000), (2, 100_000), (3, 100)]);
    let mut session = session(&exchange);
    let mut got = BTreeMap::from([(2, 0), (3, 0)]);
    let outcome = session.run(|pair| {
        let mut moved = exchange.command(&mut pair.b);
        for (stream, count) in &mut got {
            while let trunkline_core::agentproto::Read::Data(bytes) = pair.a.read(*stream, 4_096) {
                *count += bytes.len();
                moved = true;
            }
        }
        moved
    });
    outcome.unwrap();
    assert_eq!(got, BTreeMap::from([(2, 100_000), (3, 100)]));
    let events: Vec<_> = std::iter::from_fn(|| session.a.poll_event()).collect();
    assert!(events.iter().any(|event| matches!(event, LocalEvent::Exited { code: 7, .. })));
    assert_eq!(session.a.stats().queued_in, 900_000);
}

#[test]
fn a_broken_law_is_told_with_its_name() {
    let broken = Broken::new("P-LOSS", "a byte").at("seed 3");
    assert_eq!(broken.to_string(), "P-LOSS is broken: seed 3: a byte");
}
