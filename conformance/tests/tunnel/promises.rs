//! The promises of a multiplexer, inside messages, by default and as the original has it.

use std::cell::Cell;
use std::time::Duration;

use trunkline_conformance::laws::{Broken, cut_everywhere, hold};
use trunkline_conformance::model::mux::{Talk, Talks, Way};
use trunkline_conformance::sim::{Chunks, End, Fault, Pair, Rng, Shape, seeds};
use trunkline_core::carrier;
use trunkline_core::mux::{Mux as _, Side};
use trunkline_core::yamux::Config;
use trunkline_core::{CloseReason, Instant, Machine as _, TimeoutKind};

use crate::link::Linked;

fn end_of(side: Side, reference: bool) -> Linked {
    match reference {
        true => {
            let carrier = carrier::Config::reference(side);
            Linked::new(side, Config::agent_tunnel_reference(), carrier)
        }
        false => Linked::new(side, Config::agent_tunnel(), carrier::Config::default()),
    }
}

fn ends(reference: bool) -> (Linked, Linked) {
    (end_of(Side::Client, reference), end_of(Side::Server, reference))
}

fn fresh(reference: bool) -> Pair<Linked, Linked> {
    let (a, b) = ends(reference);
    Pair::new(a, b)
}

fn few() -> Talks {
    Talks::new([Talk::new(End::A, 150, 300), Talk::new(End::B, 250, 0), Talk::new(End::A, 0, 200)])
}

fn shape(rng: &mut Rng) -> Shape {
    let chunks = |rng: &mut Rng| match rng.below(4) {
        0 => Chunks::AsSent,
        1 => Chunks::Random(30),
        2 => Chunks::Random(40_000),
        _ => Chunks::Whole,
    };
    Shape {
        chunks: chunks(rng),
        takes: chunks(rng),
        delay: Duration::from_micros(rng.below(20_000)),
        rate: rng.once_in(3).then(|| 500_000 + rng.below(10_000_000)),
        room: 2_000 + rng.up_to(100_000),
    }
}

#[test]
fn every_byte_and_every_end_arrives_over_any_link() {
    for reference in [false, true] {
        seeds(6, |rng| {
            let end = |rng: &mut Rng| if rng.once_in(2) { End::A } else { End::B };
            let plan = (0..rng.up_to(6)).map(|_| {
                let who = end(rng);
                let talk = Talk::new(who, rng.below(40_000), rng.below(40_000));
                match rng.below(5) {
                    0 => talk.given_up(end(rng), rng.below(9_000), Way::Reset),
                    _ => talk,
                }
            });
            let plan: Vec<Talk> = plan.collect();
            let mut talks = Talks::new(plan);
            if rng.once_in(2) {
                talks = talks.moody(rng);
            }
            let (there, back) = (shape(rng), shape(rng));
            let (a, b) = ends(reference);
            let mut pair = Pair::with(a, b, there, back, rng);
            talks.run(&mut pair)?;
            talks.settled(&pair)
        })
        .unwrap();
    }
}

#[test]
fn a_link_that_breaks_in_or_between_messages_is_told_from_an_end() {
    for reference in [false, true] {
        let mut pair = fresh(reference);
        let mut talks = few();
        talks.run(&mut pair).unwrap();
        talks.settled(&pair).unwrap();
        let lengths = (pair.there.delivered(), pair.back.delivered());
        for (there, length) in [(true, lengths.0), (false, lengths.1)] {
            let runs = cut_everywhere(
                length,
                |at| at < 24 || at % 41 == 0,
                |at, fault| {
                    let mut pair = fresh(reference);
                    (if there { &mut pair.there } else { &mut pair.back }).fault(at, fault);
                    let mut talks = few();
                    talks.run(&mut pair)?;
                    // The original's agents never ask whether their server lives: there a silence
                    // may last.
                    let silent = reference && matches!(fault, Fault::Stall(_));
                    hold("P-HANG", silent || talks.is_over(), || "somebody waits".to_owned())?;
                    talks.cut(&pair)
                },
            );
            assert!(runs.unwrap() >= 120);
        }
    }
}

#[test]
fn a_peer_that_falls_silent_is_noticed_by_its_missing_pong() {
    let mut pair = fresh(false);
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
    assert!(took <= Duration::from_secs(41), "{took:?}");
    assert_eq!(pair.a.closed(), Some(&CloseReason::Timeout(TimeoutKind::KeepAlive)));
    talks.run(&mut pair).unwrap();
    talks.cut(&pair).unwrap();
}

#[test]
fn an_idle_tunnel_lives_by_its_pings() {
    for reference in [false, true] {
        let mut pair = fresh(reference);
        let mut talks = few();
        pair.run_for(Duration::from_secs(600), |pair| talks.turn(pair)).unwrap();
        talks.settled(&pair).unwrap();
        assert_eq!((pair.a.closed(), pair.b.closed()), (None, None));
    }
}

#[test]
fn closing_races_with_everything_and_nothing_is_made_up() {
    seeds(60, |rng| {
        let shape = Shape {
            delay: Duration::from_micros(rng.below(3_000)),
            rate: Some(5_000_000),
            ..Shape::default()
        };
        let (a, b) = ends(rng.once_in(2));
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
        pair.run_until(
            |pair| {
                let moved = talks.turn(pair);
                if done || pair.now() < at {
                    return moved;
                }
                done = true;
                let now = pair.now();
                match abort {
                    true => pair.a.abort(now),
                    false => pair.a.close(now),
                }
                if both {
                    pair.b.close(now);
                }
                true
            },
            |pair| pair.a.closed().is_some() && pair.b.closed().is_some(),
        )
        .map_err(|stuck| Broken::new("P-HANG", stuck.to_string()))?;
        for _ in 0..8 {
            talks.turn(&mut pair);
        }
        let took = pair.now().saturating_since(at);
        hold("P-HANG", took < Duration::from_secs(8), || format!("it took {took:?}"))?;
        talks.cut(&pair)
    })
    .unwrap();
}
