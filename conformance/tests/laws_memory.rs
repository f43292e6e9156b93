//! P-MEM: what two machines and everything between them take at most, measured by an allocator that
//! counts. Each test runs in a thread of its own, and the counts are the thread's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use trunkline_conformance::laws::within;
use trunkline_conformance::model::agentproto::{Exchange, Exits};
use trunkline_conformance::sim::{Fault, Pair, Script, seeds};
use trunkline_core::agentproto::{Agent, Config, ExecRequest, Frame, Item as _, Local};
use trunkline_core::{Instant, Machine as _};

const MIB: usize = 1 << 20;

thread_local! {
    static USED: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: isize) {
    let _ = USED.try_with(|used| {
        used.set(used.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(used.get())));
    });
}

// SAFETY: every call goes on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `run` held at any one time.
fn peak(run: impl FnOnce()) -> usize {
    let before = USED.get();
    PEAK.set(before);
    run();
    usize::try_from(PEAK.get() - before).unwrap()
}

fn session(exchange: &Exchange) -> Pair<Local, Agent> {
    let mut local = Local::new(Config::default());
    local.exec(Instant::ORIGIN, exchange.request(), None).unwrap();
    Pair::new(local, Agent::new(Config::default()))
}

#[test]
fn p_mem_two_ends_that_nobody_reads_take_no_more_than_their_queues() {
    let streams: Vec<(u32, u64)> = (3..60).map(|stream| (stream, 64 << 20)).collect();
    let taken = peak(|| {
        let mut exchange = Exchange::new(&streams, &streams);
        (exchange.caller_sleeps, exchange.command_sleeps) = (true, true);
        exchange.exits = Exits::Never;
        let mut session = session(&exchange);
        session.run(|pair| exchange.turn(&mut pair.a, &mut pair.b)).unwrap();
        assert_eq!(exchange.there.totals().1, 0);
    });
    // Four queues of 8 MiB, a frame and a link each way, and the 57 blocks of the test itself.
    within("both ends", taken, 4 * 8 * MIB + 16 * MIB).unwrap();
    assert!(taken > 16 * MIB, "the queues were full: {taken}");
}

#[test]
fn p_mem_a_long_exchange_takes_no_more_than_a_short_one() {
    let through = |size: u64| {
        peak(|| {
            let mut exchange = Exchange::new(&[(0, size)], &[(1, size)]);
            let mut session = session(&exchange);
            session.run(|pair| exchange.turn(&mut pair.a, &mut pair.b)).unwrap();
            exchange.went_through(&session.a, &session.b).unwrap();
        })
    };
    let short = through(8 << 20);
    within("32 times as much", through(256 << 20), short + short / 4).unwrap();
}

#[test]
fn p_mem_a_stalled_peer_that_floods_takes_no_more_than_the_budget() {
    // It says one thing for ever and reads nothing: what it provokes cannot leave.
    seeds(14, |rng| {
        let frames = [
            Frame::data(1, rng.bytes(100)),
            Frame::data(77, Vec::new()),
            Frame::signal(99),
            Frame::file_request(Default::default()),
            Frame::log(Default::default()),
            Frame::path_query(Default::default()),
            Frame::eof(1),
        ];
        let frame = rng.pick(&frames).cloned().unwrap_or_default();
        let frame = frame.to_bytes().unwrap();
        let flood = Bytes::from(frame.repeat((64 << 10) / frame.len()));
        let (with_command, listens) = (rng.once_in(2), rng.once_in(2));
        let taken = peak(|| {
            let mut agent = Agent::new(Config::default());
            if with_command {
                let exec = Frame::exec(ExecRequest::default()).to_bytes().unwrap();
                agent.handle_input(Instant::ORIGIN, exec.into());
            }
            let script = (0..18).fold(Script::new(), |script, _| script.send(flood.clone()));
            let mut pair = Pair::new(agent, script);
            pair.there.fault(0, Fault::Stall(None));
            pair.run(|pair| {
                let mut told = false;
                while listens && pair.a.poll_event().is_some() {
                    told = true;
                }
                told
            })
            .unwrap();
        });
        within("an agent", taken, 64 * MIB)
    })
    .unwrap();
}
