//! How much of one file is under way at once.

use std::time::Duration;

use trunkline_core::Instant;

/// The most of one request. With [`MOST`] under way this is some fifty requests.
pub(super) const CHUNK: usize = 512 << 10;

/// The most that is under way: what fills a link of 1 Gbit/s and 200 ms. Only there, and only when
/// the disk here is slow, can all of it be in memory, which is then some 35 MiB.
pub(super) const MOST: usize = 26 << 20;

/// What is under way before anything is known of the link: little enough for a slow one to answer in
/// time, and enough to see at once that a fast one is.
const FIRST: usize = 2 << 20;

/// The least that is under way.
const LEAST: usize = 64 << 10;

/// As much is under way as was answered in this time: no answer is much later than that, however
/// slow the link is.
const HORIZON: Duration = Duration::from_secs(5);

/// And no more than is answered in so many round trips: more would only wait in memory here, when
/// the other side is near and the disk is slower than it. From [`FIRST`] this still grows to
/// [`MOST`] within two.
const TRIPS: u32 = 6;

/// But at least as much as is answered in this time.
const SHORT: Duration = Duration::from_millis(20);

/// Decides how many bytes may be under way, and in what pieces.
///
/// A pure planner: it is told of each answer. More under way than the link carries in a while only
/// waits in queues, where it makes every answer late, until requests seem to have no answer at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    bytes: usize,
    /// What is measured: since when, and how many bytes were answered.
    since: Instant,
    moved: usize,
    /// The shortest round trip seen.
    trip: Duration,
}

impl Window {
    pub(super) const fn new(now: Instant) -> Self {
        Self { bytes: FIRST, since: now, moved: 0, trip: HORIZON }
    }

    /// The size of the next piece.
    pub(super) fn chunk(self) -> usize {
        (self.bytes / 16).next_power_of_two().clamp(LEAST, CHUNK)
    }

    /// Whether another piece may be sent with so many bytes under way.
    pub(super) fn has_room(self, under_way: usize) -> bool {
        under_way == 0 || under_way + self.chunk() <= self.bytes
    }

    /// An answer came so long after it was asked for.
    pub(super) fn saw(&mut self, trip: Duration) {
        self.trip = self.trip.min(trip);
    }

    /// So many bytes were answered just now, and are done with.
    pub(super) fn answered(&mut self, bytes: usize, now: Instant) {
        self.moved = self.moved.saturating_add(bytes);
        let took = now.saturating_since(self.since);
        let rate = self.moved as f64 / took.as_secs_f64().max(0.000_1);
        let horizon = (self.trip * TRIPS).clamp(SHORT, HORIZON);
        self.bytes = ((rate * horizon.as_secs_f64()) as usize).clamp(LEAST, MOST);
        if took > HORIZON {
            // The rate of the last while goes on to count for half as long.
            self.since = now - HORIZON / 2;
            self.moved = (rate * HORIZON.as_secs_f64() / 2.0) as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link of so many bytes a second and this round trip, for a while. Says how many bytes were
    /// answered, the window in the end, and the longest that an answer took.
    fn link(rate: usize, trip: Duration, time: Duration) -> (usize, Window, Duration) {
        let mut now = Instant::ORIGIN;
        let (mut window, mut answered, mut slowest) = (Window::new(now), 0, Duration::ZERO);
        let mut under_way = std::collections::VecDeque::<(usize, Instant, Instant)>::new();
        let mut free = now;
        while now.saturating_since(Instant::ORIGIN) < time {
            while window.has_room(under_way.iter().map(|(bytes, ..)| bytes).sum()) {
                let bytes = window.chunk();
                free = free.max(now) + Duration::from_secs_f64(bytes as f64 / rate as f64);
                under_way.push_back((bytes, now, free + trip));
            }
            let (bytes, asked, at) = under_way.pop_front().expect("always something");
            now = at;
            answered += bytes;
            slowest = slowest.max(now.saturating_since(asked));
            window.saw(now.saturating_since(asked));
            window.answered(bytes, now);
        }
        (answered, window, slowest)
    }

    #[test]
    fn a_long_thick_link_is_full_after_two_round_trips() {
        let trip = Duration::from_millis(200);
        let (answered, window, _) = link(125_000_000, trip, Duration::from_secs(8));
        assert!(answered > 125_000_000 * 73 / 10, "{answered}");
        assert!(window.chunk() == CHUNK && window.has_room(MOST - CHUNK));
        // 1 Gbit/s for 200 ms.
        const { assert!(MOST > 25_000_000) };
    }

    #[test]
    fn on_a_slow_link_no_answer_is_much_too_late() {
        for (rate, most) in [(12_500, 180), (125_000, 20), (1_250_000, 8)] {
            let (answered, _, slowest) =
                link(rate, Duration::from_millis(50), Duration::from_secs(600));
            assert!(answered > rate * 590, "{rate}: {answered}");
            assert!(slowest < Duration::from_secs(most), "{rate}: {slowest:?}");
        }
    }

    #[test]
    fn what_is_near_is_not_asked_for_far_ahead() {
        let (answered, window, _) =
            link(300 << 20, Duration::from_micros(300), Duration::from_secs(2));
        assert!(answered > 590 << 20, "{answered}");
        assert!(!window.has_room(7 << 20), "{window:?}");
    }

    #[test]
    fn a_window_follows_the_link() {
        let mut window = Window::new(Instant::ORIGIN);
        let second = |n: u64| Instant::ORIGIN + Duration::from_secs(n);
        (1..60).for_each(|n| window.answered(LEAST, second(n)));
        assert!(!window.has_room(6 * LEAST), "{window:?}");
        (60..80).for_each(|n| window.answered(50 << 20, second(n)));
        assert!(window.has_room(MOST - CHUNK), "{window:?}");
        (80..140).for_each(|n| window.answered(LEAST, second(n)));
        assert!(!window.has_room(8 * LEAST), "{window:?}");
    }
}
