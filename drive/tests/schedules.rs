//! Sessions under every schedule that a seed can think of: tasks polled in any order, rarely, or for
//! nothing, wake-ups that come late, transports that take a byte, futures dropped at any poll and
//! begun again in another task, and everything that can go wrong on the way.
//!
//! Nobody is polled for ever: a wake-up that is lost stops the world, which fails and names the
//! seed. `TRUNKLINE_SEEDS=100000` tries so many, `TRUNKLINE_SEED=17` one.

mod sim;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use trunkline_core::ExitStatus;
use trunkline_core::agentproto::{Config, Direction, ExecRequest, FrameType, PathQuery, Verifier};
use trunkline_drive::{
    ExecOptions, Io, Recording, Records, Session, StreamReader, StreamWriter, pump_in, pump_out,
};

use sim::agent::{Host, entries, pattern};
use sim::mux::echoes;
use sim::wire::{End, Fate, Way, wire};
use sim::{Timer, chance, clock, few, give_up, random, run, spawn, time_has_passed, turn};

/// The seeds that one test tries.
fn seeds(usual: u64) -> impl Iterator<Item = u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("TRUNKLINE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TRUNKLINE_SEEDS").unwrap_or(usual),
    }
}

/// What one stream of the command came to.
#[derive(Debug, Default)]
struct Stream {
    /// Bytes that a write took.
    taken: usize,
    /// Its writer has said that there is no more.
    finished: bool,
    /// Bytes that were read, and how that ended.
    seen: usize,
    end: Option<io::Result<()>>,
}

impl Stream {
    /// Notes what a read brought; says whether that was the last.
    fn note(&mut self, read: io::Result<Bytes>) -> bool {
        match read {
            Ok(bytes) if bytes.is_empty() => self.end = Some(Ok(())),
            Ok(bytes) => {
                assert_eq!(bytes, pattern(self.seen, bytes.len()), "other bytes");
                self.seen += bytes.len();
            }
            Err(error) => self.end = Some(Err(error)),
        }
        self.end.is_some()
    }
}

/// What a whole session came to.
#[derive(Debug, Default)]
struct Report {
    streams: [RefCell<Stream>; 4],
    status: RefCell<Option<ExitStatus>>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// The way to the agent, or back, ends behind so many bytes.
    Cut(usize, usize, Fate),
    Abort,
    /// The driver, or the agent, is dropped at this poll.
    Driver(usize),
    Agent(usize),
    /// Readers and writers go before they are done.
    Leave,
}

impl Fault {
    fn any() -> Self {
        match random(10) {
            0 => Self::Cut(0, few(6_000), if chance(50) { Fate::End } else { Fate::Reset }),
            1 => Self::Cut(1, few(6_000), if chance(50) { Fate::End } else { Fate::Reset }),
            2 => Self::Abort,
            3 => Self::Driver(few(60)),
            4 => Self::Agent(few(60)),
            5 => Self::Leave,
            _ => Self::Nothing,
        }
    }
}

/// How many polls a future gets: as many as it wants, mostly.
fn patience() -> usize {
    if chance(40) { 1 + random(3) } else { usize::MAX }
}

fn write(mut to: StreamWriter, stream: usize, count: usize, leaves: bool, report: Rc<Report>) {
    spawn("a writer", async move {
        loop {
            let taken = report.streams[stream].borrow().taken;
            let mut data = pattern(taken, few(3_000).min(count - taken));
            if data.is_empty() || leaves && chance(5) {
                report.streams[stream].borrow_mut().finished = true;
                if chance(50) {
                    to.finish();
                }
                return;
            }
            let attempt = poll_fn(|cx| {
                if chance(50) {
                    to.poll_write(cx, &data)
                } else {
                    to.poll_write_bytes(cx, &mut data)
                }
            });
            match give_up(patience(), attempt).await {
                Some(Ok(count)) => report.streams[stream].borrow_mut().taken += count,
                Some(Err(_)) => return,
                None => turn().await,
            }
            if chance(10) {
                // Goes on in another task, which nobody knows of yet.
                return write(to, stream, count, leaves, report);
            }
        }
    });
}

fn read(mut from: StreamReader, stream: usize, leaves: bool, report: Rc<Report>) {
    spawn("a reader", async move {
        loop {
            let attempt = poll_fn(|cx| {
                if chance(50) {
                    return from.poll_chunk(cx).map_ok(Option::unwrap_or_default);
                }
                let mut bytes = Bytes::new();
                let read = from.poll_read_into(cx, few(2_000), |slice| {
                    bytes = Bytes::copy_from_slice(slice);
                });
                read.map_ok(|_| bytes)
            });
            if let Some(read) = give_up(patience(), attempt).await
                && report.streams[stream].borrow_mut().note(read)
            {
                return;
            }
            if leaves && chance(3) {
                return;
            }
            match random(10) {
                0 => return read_elsewhere(from, stream, leaves, report),
                1 | 2 => turn().await,
                _ => {}
            }
        }
    });
}

/// Goes on in another task, which nobody knows of yet.
fn read_elsewhere(from: StreamReader, stream: usize, leaves: bool, report: Rc<Report>) {
    read(from, stream, leaves, report);
}

fn wait(session: Session, aborts: bool, report: Rc<Report>) {
    spawn("a waiter", async move {
        for _ in 0..few(30) {
            if aborts && chance(20) {
                session.abort();
            }
            // A signal, which overtakes what waits to be sent; refused once too many wait.
            let _ = session.signal(10);
            turn().await;
        }
        if aborts {
            session.abort();
        }
        loop {
            let waited = give_up(patience(), poll_fn(|cx| session.poll_wait(cx))).await;
            if let Some(status) = waited {
                *report.status.borrow_mut() = Some(status);
                return;
            }
            turn().await;
            if chance(20) {
                return wait(session, aborts, report);
            }
        }
    });
}

/// Runs a future up to its n-th poll.
fn spawn_up_to(polls: usize, name: &'static str, future: impl Future<Output = ()> + 'static) {
    spawn(name, async move {
        give_up(polls, future).await;
    });
}

/// The most bytes of a stream: a few times what all queues on the way hold, or far more.
const MOST: usize = 8_000;

const ERRORS: usize = 1_500;
const CODE: i64 = 6;

/// A file in memory.
#[derive(Clone, Debug, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The recording is whole and in order, and has what was read.
fn check_recording(seed: u64, paper: &Paper, report: &Report) {
    let bytes = paper.0.lock().unwrap().clone();
    let mut verifier = Verifier::default();
    let mut received = [const { Vec::new() }; 4];
    for placed in Records::new(&*bytes) {
        let record = placed.unwrap().record;
        assert_eq!(verifier.record(&record), [], "seed {seed}");
        let Some(body) = record.frame else { continue };
        if body.direction == Direction::RECEIVED && body.frame.kind == FrameType::DATA {
            let data = body.frame.data.into_bytes();
            received[usize::try_from(body.frame.stream).unwrap()].extend_from_slice(&data);
        }
    }
    assert_eq!(verifier.finish(), [], "seed {seed}");
    for (stream, received) in report.streams.iter().zip(received) {
        assert!(received.len() >= stream.borrow().seen, "seed {seed}: read and not recorded");
        assert_eq!(received, pattern(0, received.len()), "seed {seed}");
    }
}

/// A command's session and its agent's end, with queues of any size, and the driver running.
fn begin(fault: Fault, recording: Option<Recording>) -> Session {
    let (near, far, ways) = wire(20 + few(3_000));
    let mut options = ExecOptions::default();
    options.request = ExecRequest { path: "echo".into(), fds: vec![3], ..ExecRequest::default() };
    options.config.limits.stream_queue = 200 + few(4_000);
    options.config.limits.session_queue = 300 + few(9_000);
    options.config.data_chunk = 10 + few(3_000);
    options.recording = recording;
    let (mut agent, mut driver) = (usize::MAX, usize::MAX);
    match fault {
        Fault::Cut(way, left, fate) => Way::cut(&ways[way], left, fate),
        Fault::Agent(polls) => agent = polls,
        Fault::Driver(polls) => driver = polls,
        _ => {}
    }
    let (session, drives) = trunkline_drive::exec(options, near, Timer, clock()).unwrap();
    spawn_up_to(driver, "the driver", drives);
    spawn_up_to(agent, "the agent", Host::new(far, ERRORS, CODE).serve());
    session
}

fn exited(status: &ExitStatus) -> bool {
    matches!(status, ExitStatus::Exited { code: CODE, .. })
}

fn check(seed: u64, fault: Fault, counts: [usize; 4], report: &Report) {
    let status = report.status.borrow();
    let status = status.as_ref().expect("a status");
    let told = || format!("seed {seed}, {fault:?}: {report:?}");
    for (number, expected) in [(1, counts[0]), (2, ERRORS), (3, counts[3])] {
        let input = report.streams[if number == 1 { 0 } else { number }].borrow();
        let stream = report.streams[number].borrow();
        let sent = if number == 2 { ERRORS } else { input.taken };
        assert!(stream.seen <= sent, "more than was sent: {}", told());
        match (fault, &stream.end) {
            (Fault::Nothing, end) => {
                assert!(matches!(end, Some(Ok(()))) && stream.seen == expected, "{}", told());
            }
            // An agent that sees its input end passes that on to the command.
            (Fault::Cut(0, ..), Some(Ok(()))) => {}
            // An end is the command's own, or nothing.
            (_, Some(Ok(()))) => {
                let whole = stream.seen == sent && (number == 2 || input.finished);
                assert!(whole, "an end that nobody sent: {}", told());
            }
            (Fault::Leave, Some(Err(_))) => panic!("an error for nothing: {}", told()),
            (_, Some(Err(_))) => {}
            // Its reader left.
            (_, None) => assert_eq!(fault, Fault::Leave, "{}", told()),
        }
    }
    match fault {
        Fault::Nothing | Fault::Leave => assert!(exited(status), "{}", told()),
        _ => assert!(exited(status) || matches!(status, ExitStatus::Lost(_)), "{}", told()),
    }
    if fault == Fault::Nothing {
        assert!(!time_has_passed(), "somebody needed a timer to be woken: {}", told());
    }
}

#[test]
fn every_schedule_delivers_everything_or_says_what_it_did_not() {
    for seed in seeds(300) {
        let report = Rc::new(Report::default());
        let counts = Cell::new(([0; 4], Fault::Nothing));
        let paper = Paper::default();
        let recorded = seed % 2 == 1;
        run(seed, || {
            let fault = Fault::any();
            counts.set(([few(MOST), 0, 0, few(MOST)], fault));
            let leaves = fault == Fault::Leave;
            let recording =
                recorded.then(|| Recording::to_writer(paper.clone(), Default::default()).unwrap());
            let session = begin(fault, recording);
            for stream in [1, 2, 3] {
                let reader = session.reader(u32::try_from(stream).unwrap());
                read(reader, stream, leaves, Rc::clone(&report));
            }
            for stream in [0, 3] {
                let writer = session.writer(u32::try_from(stream).unwrap());
                write(writer, stream, counts.get().0[stream], leaves, Rc::clone(&report));
            }
            wait(session, fault == Fault::Abort, Rc::clone(&report));
        });
        let (counts, fault) = counts.get();
        check(seed, fault, counts, &report);
        if recorded {
            check_recording(seed, &paper, &report);
        }
    }
}

/// Feeds a transport with the pattern, and ends it.
async fn feed(mut end: End, count: usize) {
    let data = pattern(0, count);
    let mut rest = data.as_ref();
    while !rest.is_empty() {
        let slice = [io::IoSlice::new(rest)];
        match poll_fn(|cx| end.poll_write(cx, &slice)).await {
            Ok(count) => rest.advance(count),
            // Whoever takes it has been given up.
            Err(_) => return,
        }
    }
    let _ = poll_fn(|cx| end.poll_close(cx)).await;
}

/// Takes the pattern from a transport to its end.
async fn collect(mut end: End, seen: Rc<Cell<usize>>) {
    loop {
        let mut buf = Vec::with_capacity(few(3_000));
        match poll_fn(|cx| end.poll_read(cx, &mut buf)).await {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                assert_eq!(buf, pattern(seen.get(), count));
                seen.set(seen.get() + count);
            }
        }
    }
}

#[test]
fn pumps_given_up_at_any_poll_hold_nobody_up() {
    for seed in seeds(150) {
        let report = Rc::new(Report::default());
        let seen = Rc::new(Cell::new(0));
        let expected = Rc::new(Cell::new((0, usize::MAX, usize::MAX)));
        run(seed, || {
            let session = begin(Fault::Nothing, None);
            let polls = || if chance(50) { usize::MAX } else { few(100) };
            let (count, into, out) = (few(MOST), polls(), polls());
            expected.set((count, into, out));
            let (source, taker, _) = wire(10 + few(3_000));
            let (giver, sink, _) = wire(10 + few(3_000));
            spawn("the source", feed(source, count));
            spawn("the sink", collect(sink, Rc::clone(&seen)));
            let (stdin, stdout) = (session.writer(0), session.reader(1));
            spawn_up_to(into, "the pump into stdin", async move {
                assert_eq!(pump_in(taker, stdin).await.unwrap(), count as u64);
            });
            spawn_up_to(out, "the pump out of stdout", async move {
                // Fails when the other pump was given up only in that it is shorter.
                pump_out(stdout, giver).await.unwrap();
            });
            drop((session.writer(3), session.reader(3), session.reader(2)));
            wait(session, false, Rc::clone(&report));
        });
        let (count, into, out) = expected.get();
        let status = report.status.borrow();
        assert!(exited(status.as_ref().unwrap()), "seed {seed}: {status:?}");
        assert!(seen.get() <= count);
        if into == usize::MAX && out == usize::MAX {
            assert_eq!(seen.get(), count, "seed {seed}");
        }
    }
}

#[test]
fn a_driver_given_up_at_any_poll_loses_its_session_and_says_so() {
    for seed in 0..4 {
        let mut polls = 1;
        loop {
            let report = Rc::new(Report::default());
            run(seed, || {
                let session = begin(Fault::Driver(polls), None);
                for stream in [1, 2, 3] {
                    let reader = session.reader(u32::try_from(stream).unwrap());
                    read(reader, stream, false, Rc::clone(&report));
                }
                for stream in [0, 3] {
                    let writer = session.writer(u32::try_from(stream).unwrap());
                    write(writer, stream, 500, false, Rc::clone(&report));
                }
                wait(session, false, Rc::clone(&report));
            });
            check(seed, Fault::Driver(polls), [500, 0, 0, 500], &report);
            if exited(report.status.borrow().as_ref().unwrap()) {
                break;
            }
            // Each at first; later steps are long and alike.
            polls += 1 + polls / 30;
        }
        assert!(polls > 1, "seed {seed}");
    }
}

#[test]
fn a_query_s_driver_given_up_at_any_poll_loses_the_query_and_says_so() {
    for seed in 0..10 {
        let answered = Rc::new(Cell::new(false));
        let mut polls = 1;
        while !answered.get() {
            let answered = Rc::clone(&answered);
            run(seed, move || {
                let (near, far, _) = wire(1_000);
                let query = PathQuery::default();
                let (session, drives) =
                    trunkline_drive::paths(query, Config::default(), None, near, Timer, clock())
                        .unwrap();
                spawn_up_to(polls, "the driver", drives);
                spawn("the agent", Host::new(far, 0, 0).serve());
                spawn("the asker", async move {
                    let mut asked = pin!(poll_fn(|cx| session.poll_paths(cx)));
                    let answer = loop {
                        if let Some(answer) = give_up(patience(), asked.as_mut()).await {
                            break answer;
                        }
                        turn().await;
                    };
                    if let Ok(found) = answer {
                        assert_eq!(found, entries());
                        answered.set(true);
                    }
                });
            });
            polls += 1;
        }
        assert!(polls > 2, "seed {seed}");
    }
}

#[test]
fn an_agent_that_never_answers_is_given_up_at_the_deadline_and_not_before() {
    const WAIT: Duration = Duration::from_secs(3);
    for seed in seeds(200) {
        run(seed, || {
            let (near, far, _) = wire(10 + few(3_000));
            let mut options = ExecOptions::default();
            options.config.answer_timeout = Some(WAIT);
            let clock = clock();
            let (session, drives) = trunkline_drive::exec(options, near, Timer, clock).unwrap();
            let begun = clock.now();
            spawn("the driver", drives);
            spawn("the waiter", async move {
                let status = poll_fn(|cx| session.poll_wait(cx)).await;
                assert!(matches!(status, ExitStatus::Lost(_)), "{status:?}");
                assert_eq!(clock.now(), begun + WAIT);
                drop(far);
            });
        });
    }
}

#[test]
fn streams_of_yamux_that_are_read_lose_no_wake_up() {
    seeds(16).for_each(|seed| echoes(seed, 0));
}

#[test]
fn streams_of_smux_1_that_are_read_lose_no_wake_up() {
    seeds(16).for_each(|seed| echoes(seed, 1));
}

#[test]
fn streams_of_smux_2_that_are_read_lose_no_wake_up() {
    seeds(16).for_each(|seed| echoes(seed, 2));
}

#[test]
fn streams_of_wormhole_that_are_read_lose_no_wake_up() {
    seeds(16).for_each(|seed| echoes(seed, 3));
}
