//! Streams that do nothing: what they cost to have, and what they cost others.

use std::io;

use super::count::{cpu, resident};
use super::frames::median;
use super::runtime::Runtime;
use super::scenario::{Mark, Phase, establish, ping_pong};
use super::spec::{Sample, Spec};
use super::{Mux, Stream};
use crate::allocator;

/// So many streams.
const STREAMS: usize = 10_000;

/// How many of the first and of the last opens are timed apart, in pieces of so many.
const TIMED: usize = 1_000;
const PIECE: usize = 50;

/// Streams that are opened and closed before anything is timed.
const WARMING: usize = 30;

/// Opens them one after the other: bytes for each, and whether the last took longer than the first.
pub(crate) async fn open<M: Mux>(spec: &Spec, client: &M, server: &M) -> io::Result<Sample> {
    for _ in 0..WARMING {
        let (mut one, mut other) = establish(client, server).await?;
        one.close().await?;
        other.close().await?;
    }
    let (before, mark) = (resident().0, Mark::now(spec.counts));
    let held = allocator::held();
    let mut pairs = Vec::with_capacity(STREAMS);
    let (mut early, mut first, mut last) = (0, Vec::new(), Vec::new());
    let mut begun = cpu();
    for at in 1..=STREAMS {
        pairs.push(establish(client, server).await?);
        if at % PIECE == 0 {
            let now = cpu();
            let each = (now - begun).as_nanos() as f64 / PIECE as f64;
            begun = now;
            if at <= TIMED {
                first.push(each);
            } else if at > STREAMS - TIMED {
                last.push(each);
            }
        }
        if at == 10 {
            early = allocator::held() - held;
        }
    }
    let mut sample = mark.since(spec.counts, STREAMS as u64);
    let mut put = |name: &str, figure: f64| sample.extend([(name.to_owned(), figure)]);
    put("first_ns", median(first));
    put("last_ns", median(last));
    put("resident_each", resident().0.saturating_sub(before) as f64 / STREAMS as f64);
    if spec.counts {
        // The list of pairs is the scenario's own.
        let own = (pairs.capacity() * size_of::<(M::Stream, M::Stream)>()) as i64;
        put("held_each", (allocator::held() - held - own) as f64 / STREAMS as f64);
        put("held_each_of_10", (early - own) as f64 / 10.0);
    }
    Ok(sample)
}

/// One stream's ping-pong beside them.
pub(crate) async fn ping<R: Runtime, M: Mux>(
    spec: &Spec,
    client: &M,
    server: &M,
) -> io::Result<Sample> {
    let mut idle = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        idle.push(establish(client, server).await?);
    }
    ping_pong::<R, M>(vec![establish(client, server).await?], Phase::warming(spec)).await?;
    let pair = establish(client, server).await?;
    let mark = Mark::now(spec.counts);
    let round_trips = ping_pong::<R, M>(vec![pair], Phase::measured(spec)).await?;
    Ok(mark.since(spec.counts, round_trips))
}
