//! The promises, each as a law over every wire.

use std::collections::BTreeMap;
use std::time::Duration;

use trunkline_conformance::laws::{Ending, Watch, same};
use trunkline_conformance::model::mux::{Talk, Talks, Way};
use trunkline_conformance::sim::{Chunks, End, Pair, Rng, Shape, seeds};
use trunkline_core::mux::{Mux, MuxEvent, Opened, Pinged, Received, Side, StreamEnd, StreamKey};
use trunkline_core::{Instant, Limits, Machine as _};

use crate::ends::hands_out;
use crate::wires::{Wire, Wormhole, Yamux, each_wire};

each_wire! {
    p_loss_every_byte_and_every_end_arrives_over_any_link,
    p_loss_what_is_given_up_harms_nobody_else,
    p_iso_bulk_streams_share_a_link_evenly,
    p_iso_a_small_talk_waits_for_no_bulk_but_one_turn_of_the_round,
    p_same_a_machine_sees_the_same_however_the_bytes_come,
    p_mem_small_limits_slow_talks_down_and_lose_nothing,
}

/// A link that cuts, delays and holds back, but not so slowly that it seems dead.
fn shape(rng: &mut Rng) -> Shape {
    let chunks = |rng: &mut Rng| match rng.below(5) {
        0 => Chunks::AsSent,
        1 => Chunks::Random(30),
        2 => Chunks::Random(700),
        3 => Chunks::Random(40_000),
        _ => Chunks::Whole,
    };
    Shape {
        chunks: chunks(rng),
        takes: chunks(rng),
        delay: Duration::from_micros(if rng.once_in(2) { 0 } else { rng.below(20_000) }),
        rate: rng.once_in(3).then(|| 500_000 + rng.below(10_000_000)),
        room: 2_000 + rng.up_to(100_000),
    }
}

fn pair<W: Wire>(rng: &mut Rng, limits: Limits) -> Pair<W::Mux, W::Mux> {
    over(rng, W::make(Side::Client, limits.clone()), W::make(Side::Server, limits))
}

fn over<M: Mux>(rng: &mut Rng, a: M, b: M) -> Pair<M, M> {
    let (there, back) = (shape(rng), shape(rng));
    Pair::with(a, b, there, back, rng)
}

/// A number that is small, middling or large.
fn size(rng: &mut Rng) -> u64 {
    match rng.below(10) {
        0..3 => rng.below(3),
        3..6 => rng.below(500),
        6..9 => rng.below(8_000),
        _ => rng.below(60_000),
    }
}

fn end(rng: &mut Rng) -> End {
    if rng.once_in(2) { End::A } else { End::B }
}

fn talks(rng: &mut Rng, most: usize) -> Vec<Talk> {
    (0..rng.up_to(most)).map(|_| Talk::new(end(rng), size(rng), size(rng))).collect()
}

fn p_loss_every_byte_and_every_end_arrives_over_any_link<W: Wire>() {
    seeds(8, |rng| {
        let mut talks = Talks::new(talks(rng, 6));
        if rng.once_in(2) {
            talks = talks.moody(rng);
        }
        let mut pair = pair::<W>(rng, Limits::default());
        talks.run(&mut pair)?;
        talks.settled(&pair)
    })
    .unwrap();
}

fn p_loss_what_is_given_up_harms_nobody_else<W: Wire>() {
    seeds(8, |rng| {
        let plan = talks(rng, 6).into_iter().map(|talk| match rng.below(3) {
            0 => talk,
            way => {
                let way = if way == 1 { Way::Reset } else { Way::Forget };
                talk.given_up(end(rng), size(rng), way)
            }
        });
        let plan: Vec<Talk> = plan.collect();
        let mut talks = Talks::new(plan).moody(rng);
        let mut pair = pair::<W>(rng, Limits::default());
        talks.run(&mut pair)?;
        talks.settled(&pair)
    })
    .unwrap();
}

// What the original of smux loses by its own settings, its vectors show.
#[test]
fn yamux_as_the_original_has_it_loses_nothing_either() {
    settings_of_the_original_lose_nothing_either::<Yamux>();
}

#[test]
fn wormhole_as_the_original_has_it_loses_nothing_either() {
    settings_of_the_original_lose_nothing_either::<Wormhole>();
}

fn settings_of_the_original_lose_nothing_either<W: Wire>() {
    seeds(6, |rng| {
        let mut talks = Talks::new(talks(rng, 5));
        let a = W::reference(Side::Client, Limits::default());
        let b = W::reference(Side::Server, Limits::default());
        let mut pair = over(rng, a, b);
        talks.run(&mut pair)?;
        talks.settled(&pair)
    })
    .unwrap();
}

fn p_mem_small_limits_slow_talks_down_and_lose_nothing<W: Wire>() {
    seeds(6, |rng| {
        let mut limits = Limits::default();
        limits.send_queue = 4_000 + rng.up_to(60_000);
        limits.backlog = 8;
        limits.opens_waiting = rng.up_to(4);
        limits.replies = rng.up_to(8);
        let mut talks = Talks::new(talks(rng, 6)).moody(rng);
        let mut pair = pair::<W>(rng, limits);
        talks.run(&mut pair)?;
        talks.settled(&pair)
    })
    .unwrap();
}

/// A link with a rate, on which little is under way.
fn narrow<W: Wire>() -> Pair<W::Mux, W::Mux> {
    let limits = Limits::default();
    let shape = Shape {
        delay: Duration::from_millis(1),
        rate: Some(10_000_000),
        room: 16 << 10,
        ..Shape::default()
    };
    let (a, b) = (W::make(Side::Client, limits.clone()), W::make(Side::Server, limits));
    Pair::with(a, b, shape.clone(), shape, &mut Rng::new(1))
}

fn p_iso_bulk_streams_share_a_link_evenly<W: Wire>() {
    let mut pair = narrow::<W>();
    let mut talks = Talks::new((0..8).map(|_| Talk::new(End::A, 4 << 20, 0)));
    // Who comes first may fill the send queue; from then on nobody gets more than a few frames ahead.
    let mut before: Option<Vec<u64>> = None;
    for _ in 0..8 {
        pair.run_for(Duration::from_millis(100), |pair| talks.turn(pair)).unwrap();
        let got: Vec<u64> = (0..8).map(|talk| talks.there.got(talk)).collect();
        let before = before.get_or_insert_with(|| got.clone());
        let gained: Vec<u64> =
            got.iter().zip(before.iter()).map(|(now, then)| now - then).collect();
        let (most, least) = (gained.iter().max().unwrap(), gained.iter().min().unwrap());
        assert!(most - least <= 3 * (32 << 10), "{gained:?}");
    }
    talks.verdict().unwrap();
    assert!(talks.there.totals().1 > 2 << 20);
}

fn p_iso_a_small_talk_waits_for_no_bulk_but_one_turn_of_the_round<W: Wire>() {
    let mut pair = narrow::<W>();
    let mut bulk = Talks::new((0..4).map(|_| Talk::new(End::A, 64 << 20, 64 << 20)));
    pair.run_for(Duration::from_millis(200), |pair| bulk.turn(pair)).unwrap();
    if pair.a.abilities().ping {
        let now = pair.now();
        let pinged = pair.a.ping(now);
        assert!(matches!(pinged, Pinged::Number(_)), "{pinged:?}");
    }
    bulk.plan.push(Talk::new(End::A, 100, 100));
    bulk.a.also_open(4);
    let before = pair.now();
    while !bulk.a.ends().iter().any(|(talk, _)| *talk == 4) {
        pair.run_for(Duration::from_millis(1), |pair| bulk.turn(pair)).unwrap();
        // There and back: what the link holds, and a frame of each stream, with room to spare.
        let took = pair.now().saturating_since(before);
        assert!(took <= Duration::from_millis(200), "{took:?}");
    }
    let pong = bulk.a.told().iter().find_map(|event| match event {
        MuxEvent::Pong { round_trip, .. } => Some(*round_trip),
        _ => None,
    });
    assert_eq!(pong.is_some(), pair.a.abilities().ping);
    assert!(pong.is_none_or(|took| took <= Duration::from_millis(50)), "{pong:?}");
    bulk.verdict().unwrap();
}

/// What a user sees of a machine that is fed.
#[derive(Default)]
struct Watcher {
    streams: Vec<StreamKey>,
    read: BTreeMap<StreamKey, (Vec<u8>, Option<StreamEnd>)>,
    events: Vec<MuxEvent>,
}

impl Watcher {
    fn event<M: Mux>(&mut self, mux: &mut M) -> bool {
        let event = mux.poll_event();
        let told = event.is_some();
        // Where wake-ups stand among the others is not promised.
        self.events.extend(event.filter(|event| {
            !matches!(
                event,
                MuxEvent::Readable(_)
                    | MuxEvent::Writable(_)
                    | MuxEvent::Acceptable
                    | MuxEvent::Openable
            )
        }));
        told
    }

    fn accept<M: Mux>(&mut self, mux: &mut M) -> bool {
        let accepted = mux.accept(Instant::ORIGIN);
        self.streams.extend(accepted);
        accepted.is_some()
    }

    fn read<M: Mux>(&mut self, mux: &mut M, key: StreamKey, most: usize) -> bool {
        let (bytes, end) = self.read.entry(key).or_default();
        if end.is_some() {
            return false;
        }
        match mux.read(Instant::ORIGIN, key, most) {
            Received::Data(data) => bytes.extend_from_slice(&data),
            Received::End(why) => {
                while let Some(data) = mux.drain(key, usize::MAX) {
                    bytes.extend_from_slice(&data);
                }
                *end = Some(why);
            }
            _ => return false,
        }
        true
    }
}

/// The bytes and ends of the streams by id, the other events, and how often what came.
type Seen = (BTreeMap<u32, (Vec<u8>, Option<StreamEnd>)>, Vec<MuxEvent>, [u64; 4]);

impl<M: Mux> Watch<M> for Watcher {
    type Seen = Seen;

    fn act(&mut self, mux: &mut M, rng: &mut Rng) {
        match rng.below(4) {
            0 => drop(self.event(mux)),
            1 => drop(mux.poll_transmit(Instant::ORIGIN)),
            2 => drop(self.accept(mux)),
            _ => {
                if let Some(key) = rng.pick(&self.streams).copied() {
                    self.read(mux, key, rng.up_to(100));
                }
            }
        }
    }

    fn settle(&mut self, mux: &mut M) {
        while self.accept(mux) {}
        for key in self.streams.clone() {
            while self.read(mux, key, usize::MAX) {}
        }
        while self.event(mux) || mux.poll_transmit(Instant::ORIGIN).is_some() {}
        for key in self.streams.clone() {
            while self.read(mux, key, usize::MAX) {}
        }
    }

    fn seen(self, mux: M) -> Seen {
        let stats = mux.stats();
        let counts = [stats.received, stats.frames_in, stats.bytes_in, stats.refused];
        // One that was given up before it was met never is, and of one that is given up later, even
        // behind its end, it matters when somebody looked.
        // Where nothing is accepted behind the end, it matters who accepted in time.
        let same = mux.closed().is_none() || hands_out(&mux);
        let streams = self.read.into_iter().filter(|(key, (_, end))| {
            same && matches!(end, None | Some(StreamEnd::Finished | StreamEnd::Connection(_)))
                && mux.read_end(*key) == *end
        });
        let by_id =
            streams.filter_map(|(key, seen)| Some((mux.stream_stats(key)?.id, seen))).collect();
        (by_id, self.events, counts)
    }
}

/// What one end says in a few talks, by itself.
fn recorded<W: Wire>(rng: &mut Rng) -> Vec<u8> {
    let mut mux = W::make(Side::Client, Limits::default());
    let mut said = Vec::new();
    let mut keys = Vec::new();
    for _ in 0..rng.up_to(12) {
        if let Opened::Stream(key) = mux.open(Instant::ORIGIN) {
            keys.push(key);
        }
        let key = *rng.pick(&keys).unwrap();
        match rng.below(8) {
            0 => drop(mux.finish(Instant::ORIGIN, key)),
            1 => mux.reset(Instant::ORIGIN, key),
            2 => mux.go_away(Instant::ORIGIN),
            3 => drop(mux.ping(Instant::ORIGIN)),
            _ => {
                let count = rng.up_to(300);
                mux.write(Instant::ORIGIN, key, &mut rng.bytes(count).into());
            }
        }
        while let Some(segment) = mux.poll_transmit(Instant::ORIGIN) {
            said.extend_from_slice(&segment.into_bytes());
        }
    }
    said
}

fn p_same_a_machine_sees_the_same_however_the_bytes_come<W: Wire>() {
    seeds(60, |rng| {
        let mut bytes = recorded::<W>(rng);
        for _ in 0..rng.below(3).min(bytes.len() as u64) {
            let place = rng.up_to(bytes.len()) - 1;
            bytes[place] = rng.next() as u8;
        }
        let ending = [Ending::Open, Ending::Eof, Ending::Failure][rng.below(3) as usize];
        let make = || (W::make(Side::Server, Limits::default()), Watcher::default());
        same(make, &bytes, ending, rng).map(drop)
    })
    .unwrap();
}
