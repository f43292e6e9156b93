//! P-SAME: the same bytes give the same events, however they are cut and however polls interleave.

use std::fmt::Debug;

use bytes::Bytes;
use trunkline_core::{Direction, Instant, Machine};

use super::{Broken, hold};
use crate::sim::Rng;

/// Everything that can be seen of a machine, gathered while it runs.
///
/// What is not promised to be the same has no place in [`Seen`](Self::Seen): which pieces a stream's
/// bytes come in, and where among the other events a wake-up stands.
pub trait Watch<M: Machine> {
    /// What must be the same.
    type Seen: PartialEq + Debug;

    /// Does one thing that a user or a driver may do at any time, chosen by the numbers: polls an
    /// event or something to send, reads a piece of a stream, or nothing.
    fn act(&mut self, machine: &mut M, rng: &mut Rng);

    /// Does all of it until nothing comes any more.
    fn settle(&mut self, machine: &mut M);

    /// What was seen, all told.
    fn seen(self, machine: M) -> Self::Seen;
}

/// How an input ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It does not.
    Open,
    /// In order.
    Eof,
    /// Reading fails.
    Failure,
}

/// P-SAME: feeds a machine the same bytes whole, byte by byte and in random pieces with random acts
/// in between, and compares what was seen.
///
/// # Errors
///
/// [`Broken`] with the first difference.
pub fn same<M, W>(
    make: impl Fn() -> (M, W),
    input: &[u8],
    ending: Ending,
    rng: &mut Rng,
) -> Result<W::Seen, Broken>
where
    M: Machine<Input = Bytes>,
    W: Watch<M>,
{
    let whole = feed(make(), input, ending, &mut |_| usize::MAX, None);
    let longest = input.len();
    for (how, most, acts) in [
        ("byte by byte", 1, false),
        ("byte by byte, with acts", 1, true),
        ("in pieces of up to 5, with acts", 5, true),
        ("in pieces of any size, with acts", longest, true),
        ("whole, with acts", usize::MAX, true),
    ] {
        let mut sizes = rng.fork();
        let mut cut = |left: usize| if most == usize::MAX { left } else { sizes.up_to(most) };
        let mut acting = rng.fork();
        let seen = feed(make(), input, ending, &mut cut, acts.then_some(&mut acting));
        hold("P-SAME", seen == whole, || {
            format!("fed {how}, it differs.\n whole: {whole:?}\nso cut: {seen:?}")
        })?;
    }
    Ok(whole)
}

fn feed<M, W>(
    (mut machine, mut watch): (M, W),
    input: &[u8],
    ending: Ending,
    cut: &mut dyn FnMut(usize) -> usize,
    mut acts: Option<&mut Rng>,
) -> W::Seen
where
    M: Machine<Input = Bytes>,
    W: Watch<M>,
{
    let mut left = input;
    while !left.is_empty() {
        let (piece, rest) = left.split_at(cut(left.len()).clamp(1, left.len()));
        machine.handle_input(Instant::ORIGIN, Bytes::copy_from_slice(piece));
        left = rest;
        if let Some(rng) = acts.as_deref_mut() {
            for _ in 0..rng.below(4) {
                watch.act(&mut machine, rng);
            }
        }
    }
    match ending {
        Ending::Open => {}
        Ending::Eof => machine.handle_eof(Instant::ORIGIN),
        Ending::Failure => machine.handle_failure(Instant::ORIGIN, Direction::Read, Some(104)),
    }
    watch.settle(&mut machine);
    watch.seen(machine)
}
