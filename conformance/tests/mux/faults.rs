//! F1 to F18, as far as they concern a machine alone. F7, F16 and F17 are other wires' own; F9 and F11
//! concern futures and wakers, and stand with the bindings; F13 stands in `amounts.rs`, with the whole of
//! F12; F14 is a part of F1 here, because no handshake precedes a stream.

use std::cell::Cell;
use std::time::Duration;

use trunkline_conformance::laws::{Broken, cut_everywhere, hold, within};
use trunkline_conformance::model::mux::{Talk, Talks, Way};
use trunkline_conformance::sim::{Chunks, End, Fault, Pair, Rng, Shape, seeds};
use trunkline_core::mux::{Mux, Side};
use trunkline_core::{CloseReason, Instant, Limits, Machine as _, TimeoutKind};

use crate::wires::{Wire, each_wire};

each_wire! {
    f1_a_link_that_breaks_at_any_byte_is_told_from_an_end,
    f2_a_transport_that_takes_byte_by_byte_loses_nothing,
    f3_one_slow_reader_holds_up_nobody_else_where_streams_have_windows,
    f4_a_peer_that_falls_silent_is_noticed_in_time,
    f5_a_peer_that_is_gone_wakes_everybody_who_waits,
    f6_a_clock_that_jumps_harms_nobody,
    f8_a_small_budget_is_kept,
    f10_a_stream_can_be_dropped_in_every_state,
    f12_both_ends_may_write_before_either_reads,
    f15_closing_races_with_everything_and_nothing_is_made_up,
    f18_users_that_come_once_in_50_ms_lose_nothing,
}

fn ends<W: Wire>(limits: &Limits) -> (W::Mux, W::Mux) {
    (W::make(Side::Client, limits.clone()), W::make(Side::Server, limits.clone()))
}

fn fresh<W: Wire>() -> Pair<W::Mux, W::Mux> {
    let (a, b) = ends::<W>(&Limits::default());
    Pair::new(a, b)
}

fn few() -> Talks {
    Talks::new([Talk::new(End::A, 150, 300), Talk::new(End::B, 250, 0), Talk::new(End::A, 0, 200)])
}

fn f1_a_link_that_breaks_at_any_byte_is_told_from_an_end<W: Wire>() {
    let mut pair = fresh::<W>();
    let mut talks = few();
    talks.run(&mut pair).unwrap();
    talks.settled(&pair).unwrap();
    let lengths = (pair.there.delivered(), pair.back.delivered());
    for (there, length) in [(true, lengths.0), (false, lengths.1)] {
        let runs = cut_everywhere(
            length,
            |at| at < 16 || at % 29 == 0,
            |at, fault| {
                let mut pair = fresh::<W>();
                (if there { &mut pair.there } else { &mut pair.back }).fault(at, fault);
                let mut talks = few();
                talks.run(&mut pair)?;
                // What was over before may have ended in order; whatever was not is told.
                hold("P-HANG", talks.is_over(), || "somebody waits".to_owned())?;
                talks.cut(&pair)
            },
        );
        assert!(runs.unwrap() >= 60);
    }
}

fn f2_a_transport_that_takes_byte_by_byte_loses_nothing<W: Wire>() {
    for takes in [Chunks::Of(1), Chunks::Of(2), Chunks::Random(7)] {
        for room in [1, 3, 100] {
            let shape = Shape { takes: takes.clone(), room, ..Shape::default() };
            let (a, b) = ends::<W>(&Limits::default());
            let mut pair = Pair::with(a, b, shape.clone(), shape, &mut Rng::new(5));
            let mut talks = few();
            talks.run(&mut pair).unwrap();
            talks.settled(&pair).unwrap();
        }
    }
}

fn f3_one_slow_reader_holds_up_nobody_else_where_streams_have_windows<W: Wire>() {
    let mut pair = fresh::<W>();
    let sleeper = Talk::new(End::A, 20 << 20, 0).with_asleep(End::B);
    let others = (0..10).map(|_| Talk::new(End::A, 100_000, 100_000));
    let mut talks = Talks::new([sleeper].into_iter().chain(others));
    let windows = pair.a.abilities().windows;
    let over = Cell::new(false);
    let outcome = pair.run_until(
        |pair| {
            let moved = talks.turn(pair);
            over.set(talks.a.ends().len() == 10 && talks.b.ends().len() == 10);
            moved
        },
        |pair| over.get() || pair.now() > Instant::from_millis(5_000),
    );
    talks.verdict().unwrap();
    outcome.unwrap();
    // smux 1 has one budget for all streams: one that is never read may stop them.
    assert!(over.get() || !windows);
}

/// How long after the last sign of life a dead peer may go unnoticed: interval and timeout, and on
/// smux twice the timeout.
fn notice<M: Mux>(mux: &M) -> Duration {
    Duration::from_secs(if mux.abilities().ping { 40 } else { 60 })
}

fn f4_a_peer_that_falls_silent_is_noticed_in_time<W: Wire>() {
    let mut pair = fresh::<W>();
    let mut talks = few();
    pair.back.fault(30, Fault::Stall(Some(Duration::from_secs(3_600))));
    let over = Cell::new(None);
    pair.run_until(
        |pair| {
            let moved = talks.turn(pair);
            over.set(over.get().or(pair.a.closed().map(|_| pair.now())));
            moved
        },
        |_| over.get().is_some(),
    )
    .unwrap();
    let took = over.get().unwrap().saturating_since(Instant::ORIGIN);
    assert!(took <= notice(&pair.a), "{took:?}");
    assert_eq!(pair.a.closed(), Some(&CloseReason::Timeout(TimeoutKind::KeepAlive)));
    talks.run(&mut pair).unwrap();
    talks.cut(&pair).unwrap();
}

fn f5_a_peer_that_is_gone_wakes_everybody_who_waits<W: Wire>() {
    let mut pair = fresh::<W>();
    // Readers and writers that wait, and both directions dead.
    let mut talks = Talks::new([
        Talk::new(End::A, 10, 10),
        Talk::new(End::A, 40 << 20, 0),
        Talk::new(End::B, 40 << 20, 40 << 20),
    ]);
    pair.run_for(Duration::from_millis(1), |pair| {
        pair.there.delivered() < 1 << 20 && talks.turn(pair)
    })
    .unwrap();
    pair.there.fault_now(Fault::Stall(None));
    pair.back.fault_now(Fault::Stall(None));
    let begin = pair.now();
    talks.run(&mut pair).unwrap();
    talks.cut(&pair).unwrap();
    assert!(pair.a.closed().is_some() && pair.b.closed().is_some());
    assert!(talks.is_over(), "{:?} {:?}", talks.a.waiting(), talks.b.waiting());
    let took = pair.now().saturating_since(begin);
    assert!(took <= notice(&pair.a) + Duration::from_secs(1), "{took:?}");
}

fn f6_a_clock_that_jumps_harms_nobody<W: Wire>() {
    let hour = Duration::from_secs(3_600);
    seeds(10, |rng| {
        let mut pair = fresh::<W>();
        let mut talks = Talks::new([Talk::new(End::A, 40_000, 90_000), Talk::new(End::B, 5, 0)]);
        talks = talks.moody(rng);
        let way = rng.below(4);
        pair.clock_a.forward(hour * 2);
        pair.run_for(Duration::from_millis(3), |pair| talks.turn(pair))
            .map_err(|stuck| Broken::new("P-HANG", stuck.to_string()))?;
        let now = pair.now();
        match way {
            0 => pair.clock_a.back(hour),
            1 => pair.clock_a.freeze(now),
            2 => pair.clock_a.set(now, Instant::from_nanos(u64::MAX - 5)),
            _ => pair.clock_a.forward(hour),
        }
        talks.run(&mut pair)?;
        // A clock that leaps ahead makes a peer look dead; one that goes back does not.
        if way < 2 { talks.settled(&pair) } else { talks.cut(&pair) }
    })
    .unwrap();
}

fn f8_a_small_budget_is_kept<W: Wire>() {
    seeds(4, |rng| {
        let mut limits = Limits::default();
        limits.connection_memory = 600_000;
        let (a, b) = ends::<W>(&limits);
        let mut pair = Pair::new(a, b);
        let plan = (0..20).map(|number| {
            let talk = Talk::new(End::A, 100_000, 0);
            if number % 2 == 0 { talk.with_asleep(End::B) } else { talk }
        });
        let mut talks = Talks::new(plan).moody(rng);
        let mut most = 0;
        let outcome = pair.run_for(Duration::from_secs(2), |pair| {
            let moved = talks.turn(pair);
            most = most.max(pair.b.stats().memory);
            moved
        });
        outcome.map_err(|stuck| Broken::new("P-HANG", stuck.to_string()))?;
        // A frame and a turn may come before the longest unread stream is given up.
        within("memory at b", most, limits.connection_memory + (128 << 10))
    })
    .unwrap();
}

fn f10_a_stream_can_be_dropped_in_every_state<W: Wire>() {
    // Before anything is passed, in the middle, with unread data, behind the end of one direction.
    for way in [Way::Reset, Way::Forget] {
        for who in [End::A, End::B] {
            for after in [0, 1, 4_000, 300_000, 399_999, 400_000] {
                let mut pair = fresh::<W>();
                let dropped = Talk::new(End::A, 400_000, 100).given_up(who, after, way);
                let other = Talk::new(End::B, 60_000, 60_000);
                let mut talks = Talks::new([dropped, other]);
                let place = |it: Broken| it.at(format_args!("{way:?} {who:?} {after}"));
                // smux 2 cannot tell a writer that its reader is gone: it waits for the peer's end,
                // as its page says; everything else is over.
                let can = pair.a.abilities();
                if can.windows && can.half_close && !can.reset && who == End::B {
                    let outcome = pair.run_for(Duration::from_secs(5), |pair| talks.turn(pair));
                    outcome.unwrap();
                    talks.verdict().map_err(place).unwrap();
                    assert!(talks.a.waiting().len() <= 1 && talks.b.is_done());
                    continue;
                }
                talks.run(&mut pair).map_err(place).unwrap();
                talks.settled(&pair).map_err(place).unwrap();
            }
        }
    }
}

fn f12_both_ends_may_write_before_either_reads<W: Wire>() {
    let mut pair = fresh::<W>();
    let mut talks = Talks::new([
        Talk::new(End::A, 8 << 20, 8 << 20).with_asleep(End::B),
        Talk::new(End::B, 8 << 20, 8 << 20).with_asleep(End::A),
    ]);
    pair.run_for(Duration::from_secs(1), |pair| talks.turn(pair)).unwrap();
    talks.plan.iter_mut().for_each(|talk| talk.asleep = None);
    talks.a.look_again();
    talks.b.look_again();
    talks.run(&mut pair).unwrap();
    talks.settled(&pair).unwrap();
}

fn f15_closing_races_with_everything_and_nothing_is_made_up<W: Wire>() {
    seeds(120, |rng| {
        let shape = Shape {
            delay: Duration::from_micros(rng.below(3_000)),
            rate: Some(5_000_000),
            ..Shape::default()
        };
        let (a, b) = ends::<W>(&Limits::default());
        let mut pair = Pair::with(a, b, shape.clone(), shape, rng);
        let mut talks = Talks::new([
            Talk::new(End::A, rng.below(20_000), rng.below(5_000)),
            Talk::new(End::B, rng.below(3_000), rng.below(3_000)),
        ]);
        let at = Instant::from_nanos(rng.below(9_000_000));
        let both = rng.once_in(2);
        let abort = rng.once_in(4);
        let mut done = false;
        pair.wake_at(at);
        pair.run(|pair| {
            let moved = talks.turn(pair);
            if done || pair.now() < at {
                return moved;
            }
            done = true;
            let now = pair.now();
            if abort {
                pair.a.abort(now);
            } else {
                pair.a.close(now);
            }
            if both {
                pair.b.close(now);
            }
            true
        })
        .map_err(|stuck| Broken::new("P-HANG", stuck.to_string()))?;
        hold("P-HANG", pair.a.closed().is_some() && pair.b.closed().is_some(), || {
            format!("{:?} {:?}", pair.a.closed(), pair.b.closed())
        })?;
        talks.cut(&pair)
    })
    .unwrap();
}

fn f18_users_that_come_once_in_50_ms_lose_nothing<W: Wire>() {
    let mut pair = fresh::<W>();
    let mut talks = Talks::new([
        Talk::new(End::A, 300_000, 300_000),
        Talk::new(End::B, 300_000, 10),
        Talk::new(End::A, 10, 10),
    ]);
    let mut next = Instant::ORIGIN;
    let over = Cell::new(false);
    pair.run_until(
        |pair| {
            if pair.now() < next {
                pair.wake_at(next);
                return false;
            }
            next = pair.now() + Duration::from_millis(50);
            pair.wake_at(next);
            let moved = talks.turn(pair);
            let left = pair.a.stats().streams + pair.b.stats().streams;
            over.set(talks.is_over() && left == 0);
            moved
        },
        |_| over.get(),
    )
    .unwrap();
    talks.settled(&pair).unwrap();
}
