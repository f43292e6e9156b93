//! A bound on wrong guesses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wrong tries that are free.
const FREE: u32 = 10;

/// After those, how long each next one takes.
const EACH: Duration = Duration::from_secs(6);

/// Most guessers that are remembered; when there are more, the one that may soonest forget its
/// mistakes is forgotten.
const MOST: usize = 10_000;

/// Counts wrong guesses by who made them: ten are free, then one in six seconds.
///
/// A guesser is an address (of IPv6 the network, which one customer has all of) and what was
/// guessed at: ten thousand of them are remembered.
#[derive(Debug, Default)]
pub(super) struct Limit(Mutex<BTreeMap<(IpAddr, String), Instant>>);

impl Limit {
    /// How long this guesser has to wait before the next try, if at all.
    pub(super) fn wait(&self, from: IpAddr, at: &str, now: Instant) -> Option<Duration> {
        // Each mistake is forgotten after so long, one after the other.
        let forgotten = *self.lock().get(&key(from, at))?;
        let longest = EACH * (FREE - 1);
        forgotten.saturating_duration_since(now).checked_sub(longest).filter(|wait| !wait.is_zero())
    }

    /// Notes a wrong guess.
    pub(super) fn wrong(&self, from: IpAddr, at: &str, now: Instant) {
        let mut guessers = self.lock();
        if guessers.len() >= MOST {
            guessers.retain(|_, forgotten| *forgotten > now);
        }
        if guessers.len() >= MOST
            && let Some(soonest) =
                guessers.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone())
        {
            guessers.remove(&soonest);
        }
        let forgotten = guessers.entry(key(from, at)).or_insert(now);
        *forgotten = (*forgotten).max(now) + EACH;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(IpAddr, String), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(from: IpAddr, at: &str) -> (IpAddr, String) {
    (network(from), at.to_owned())
}

/// The address, or the network of version six that one customer has all of.
pub(super) fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        address @ IpAddr::V6(_) if address.is_loopback() => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_guesses_are_free_and_then_one_in_six_seconds() {
        let limit = Limit::default();
        let (from, now) = (IpAddr::from([192, 0, 2, 1]), Instant::now());
        for _ in 0..FREE {
            assert_eq!(limit.wait(from, "box1", now), None);
            limit.wrong(from, "box1", now);
        }
        assert_eq!(limit.wait(from, "box1", now), Some(EACH));
        assert_eq!(limit.wait(from, "box2", now), None);
        assert_eq!(limit.wait(IpAddr::from([192, 0, 2, 2]), "box1", now), None);
        assert_eq!(limit.wait(from, "box1", now + EACH), None);
        limit.wrong(from, "box1", now + EACH);
        assert_eq!(limit.wait(from, "box1", now + EACH), Some(EACH));
        // All is forgotten in the end.
        let late = now + EACH * 20;
        for _ in 0..FREE {
            assert_eq!(limit.wait(from, "box1", late), None);
            limit.wrong(from, "box1", late);
        }
    }

    #[test]
    fn a_network_of_version_six_is_one_guesser_and_memory_is_bounded() {
        let limit = Limit::default();
        let now = Instant::now();
        let from = |last: u16| IpAddr::from([0x2001, 0xdb8, 1, 2, 0, 0, 0, last]);
        for last in 0..10 {
            limit.wrong(from(last), "", now);
        }
        assert!(limit.wait(from(99), "", now).is_some());
        for number in 0..(MOST + 10) {
            limit.wrong(from(1), &number.to_string(), now);
        }
        assert!(limit.lock().len() <= MOST);
        // Who guesses most is forgotten last.
        assert!(limit.wait(from(99), "", now).is_some());
    }
}
