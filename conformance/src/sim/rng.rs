//! Pseudo-random numbers from a seed, and tests that run once for each of many seeds.

use std::fmt;
use std::num::ParseIntError;

/// The variable that names the one seed to run.
const SEED: &str = "TRUNKLINE_SEED";

/// The variable that says how many seeds to run.
const RUNS: &str = "TRUNKLINE_RUNS";

/// A generator of pseudo-random numbers: the same seed gives the same numbers on every machine.
///
/// This is splitmix64: small, and good enough to choose what a simulated world does next.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that begins with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, any of 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        // The bias is smaller than anybody can see in a simulation.
        match self.next().checked_rem(bound) {
            Some(number) => number,
            None => 0,
        }
    }

    /// A number from 1 to `most`; 1 when that is 0.
    pub fn up_to(&mut self, most: usize) -> usize {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        usize::try_from(self.below(most)).unwrap_or(0).saturating_add(1)
    }

    /// True once in `times`, on average.
    pub const fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of the choices; `None` when there are none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.up_to(choices.len()).saturating_sub(1))
    }

    /// A generator of its own, so that what one part draws does not change another's numbers.
    #[must_use]
    pub const fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count.saturating_add(7));
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// Runs `test` with `count` seeds, one after the other, and stops at the first that fails.
///
/// The seeds are 0, 1, 2 and so on, so that a test does the same on every run and every machine.
/// `TRUNKLINE_RUNS=100000` runs that many instead, `TRUNKLINE_SEED=17` runs that one alone. A test
/// fails by returning an error or by panicking; both name the seed.
///
/// ```
/// use trunkline_conformance::sim::{Rng, seeds};
///
/// let outcome = seeds(100, |rng: &mut Rng| match rng.below(10) {
///     0..10 => Ok(()),
///     number => Err(format!("{number} is no digit")),
/// });
/// assert!(outcome.is_ok());
/// ```
///
/// # Errors
///
/// [`Failed`] with the seed and what the test returned, or when a variable holds no number.
pub fn seeds<E: fmt::Display>(
    count: u64,
    test: impl FnMut(&mut Rng) -> Result<(), E>,
) -> Result<(), Failed> {
    let (seed, runs) = (variable(SEED)?, variable(RUNS)?);
    run(seed.map_or(0..runs.unwrap_or(count), |seed| seed..seed.saturating_add(1)), test)
}

fn run<E: fmt::Display>(
    seeds: std::ops::Range<u64>,
    mut test: impl FnMut(&mut Rng) -> Result<(), E>,
) -> Result<(), Failed> {
    for seed in seeds {
        let told = TellOnPanic(seed);
        test(&mut Rng::new(seed)).map_err(|why| Failed::of(seed, &why))?;
        drop(told);
    }
    Ok(())
}

fn variable(name: &str) -> Result<Option<u64>, Failed> {
    let number = |text: String| {
        text.parse().map_err(|why: ParseIntError| Failed(format!("{name}={text}: {why}")))
    };
    std::env::var(name).ok().map(number).transpose()
}

/// Why a test over many seeds has failed, with the seed; prints as it should be read.
#[derive(Clone, PartialEq, Eq)]
pub struct Failed(String);

impl Failed {
    fn of(seed: u64, why: &dyn fmt::Display) -> Self {
        Self(format!("with seed {seed} (run it again with {SEED}={seed}): {why}"))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failed {}

/// Names the seed when the test panics instead of returning.
struct TellOnPanic(u64);

impl Drop for TellOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {0}; run it again with {SEED}={0}", self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let mut rng = Rng::new(1_234_567);
        let numbers = [rng.next(), rng.next(), rng.next()];
        let known =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(numbers, known);
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut rng = Rng::new(3);
        assert!((0..1_000).all(|_| (1..=7).contains(&rng.up_to(7)) && rng.below(7) < 7));
        assert_eq!((rng.below(0), rng.up_to(0), rng.bytes(9).len()), (0, 1, 9));
        assert_eq!(rng.pick::<u8>(&[]), None);
        assert_eq!(rng.pick(&[5]), Some(&5));
    }

    #[test]
    fn the_seed_that_fails_is_named_and_the_rest_does_not_run() {
        let mut ran = 0;
        let failed = run(0..10, |rng| {
            ran += 1;
            if rng.0 == 4 { Err("four") } else { Ok(()) }
        });
        assert_eq!(ran, 5);
        let told = failed.unwrap_err().to_string();
        assert_eq!(told, "with seed 4 (run it again with TRUNKLINE_SEED=4): four");
    }
}
