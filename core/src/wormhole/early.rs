//! DATA and CLOSE that overtook their HANDSHAKE: `docs/protocols/wormhole.md` section 6.3.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::Instant;

/// The most streams with early frames.
const STREAMS: usize = 16;

/// The most bytes held, over all of them.
const BYTES: usize = 64 << 10;

/// The most ids remembered of which something was dropped.
const LOST: usize = 64;

/// The most frames held of one stream.
const FRAMES: usize = 64;

/// What came for a stream before its HANDSHAKE.
#[derive(Debug)]
pub(super) struct Held {
    id: u32,
    /// Copied and joined: a held piece must not pin the chunk it came in.
    pub(super) data: Vec<u8>,
    frames: usize,
    /// A part of it could not be held, and the rest is gone too: with a hole the stream is worth
    /// nothing.
    pub(super) torn: bool,
    pub(super) closed: bool,
    since: Instant,
}

/// Frames that wait for the HANDSHAKE of their stream, within narrow bounds.
#[derive(Debug)]
pub(super) struct Early {
    /// Oldest first.
    held: VecDeque<Held>,
    /// Streams of which something could not be held, or was not for long enough; oldest first.
    lost: VecDeque<u32>,
    bytes: usize,
    hold: Option<Duration>,
}

impl Early {
    /// Holds for `hold`; nothing at all where that is `None`.
    pub(super) const fn new(hold: Option<Duration>) -> Self {
        Self { held: VecDeque::new(), lost: VecDeque::new(), bytes: 0, hold }
    }

    /// Whether `len` bytes for stream `id` can be held. They are then to be given to
    /// [`push`](Self::push), in any pieces. What was held of a stream for which they cannot is gone.
    pub(super) fn admits(&mut self, now: Instant, id: u32, len: usize) -> bool {
        if self.hold.is_none() || !self.entry(now, id) {
            return false;
        }
        let room = BYTES.saturating_sub(self.bytes);
        let Some(held) = self.held.iter_mut().find(|held| held.id == id) else { return false };
        if held.torn {
            return false;
        }
        held.torn = len > room || held.frames >= FRAMES;
        if held.torn {
            self.bytes = self.bytes.saturating_sub(core::mem::take(&mut held.data).len());
            return false;
        }
        held.frames += 1;
        true
    }

    /// Holds a part of DATA that was admitted. Its time begins anew: a long frame may take long.
    pub(super) fn push(&mut self, now: Instant, id: u32, piece: &Bytes) {
        let Some(held) = self.held.iter_mut().find(|held| held.id == id) else { return };
        held.since = now;
        held.data.extend_from_slice(piece);
        self.bytes = self.bytes.saturating_add(piece.len());
    }

    /// Holds a CLOSE; false when it cannot be held.
    pub(super) fn close(&mut self, now: Instant, id: u32) -> bool {
        if self.hold.is_none() || !self.entry(now, id) {
            return false;
        }
        let held = self.held.iter_mut().find(|held| held.id == id);
        held.is_some_and(|held| !core::mem::replace(&mut held.closed, true))
    }

    /// What came for `id` before its HANDSHAKE, which has come now.
    pub(super) fn take(&mut self, id: u32) -> Option<Held> {
        if let Some(index) = self.lost.iter().position(|lost| *lost == id) {
            self.lost.remove(index);
            let (data, since) = (Vec::new(), Instant::ORIGIN);
            return Some(Held { id, data, frames: 0, torn: true, closed: false, since });
        }
        let index = self.held.iter().position(|held| held.id == id)?;
        let held = self.held.remove(index)?;
        self.bytes = self.bytes.saturating_sub(held.data.len());
        Some(held)
    }

    /// Drops what has waited too long; says how many streams that were.
    pub(super) fn expire(&mut self, now: Instant) -> u32 {
        let mut gone = 0;
        while self.poll_timeout().is_some_and(|at| at <= now)
            && let Some(held) = self.held.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(held.data.len());
            self.lose(held.id);
            gone += 1;
        }
        gone
    }

    /// When something has waited too long.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.held.front().zip(self.hold).map(|(held, hold)| held.since + hold)
    }

    /// Remembers that something of a stream is missing.
    fn lose(&mut self, id: u32) {
        if self.lost.contains(&id) {
            return;
        }
        if self.lost.len() >= LOST {
            self.lost.pop_front();
        }
        self.lost.push_back(id);
    }

    /// Whether there is an entry for `id`, made if there was none and is room for one. Nothing is
    /// added behind a CLOSE.
    fn entry(&mut self, now: Instant, id: u32) -> bool {
        match self.held.iter().find(|held| held.id == id) {
            Some(held) => !held.closed,
            None if self.held.len() >= STREAMS || self.lost.contains(&id) => {
                self.lose(id);
                false
            }
            None => {
                let (data, since) = (Vec::new(), now);
                let held = Held { id, data, frames: 0, torn: false, closed: false, since };
                self.held.push_back(held);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn early() -> Early {
        Early::new(Some(Duration::from_secs(1)))
    }

    #[test]
    fn no_more_than_the_bounds_is_held() {
        let mut early = early();
        let now = Instant::ORIGIN;
        assert!(early.admits(now, 1, BYTES));
        early.push(Instant::ORIGIN, 1, &Bytes::from(std::vec![0; BYTES]));
        assert!(!early.admits(now, 3, 1) && early.close(now, 3));
        assert!(early.take(3).is_some_and(|held| held.torn));
        for id in 0..15 {
            assert!(early.close(now, 5 + id * 2), "{id}");
        }
        // Of a stream that found no room something is missing.
        assert!(!early.close(now, 99) && early.take(99).is_some_and(|held| held.torn));
        assert!(!early.admits(now, 99, 1) && early.take(99).is_some_and(|held| held.torn));
        assert!(early.take(1).is_some_and(|held| held.data.len() == BYTES && !held.torn));
        assert!(early.admits(now, 99, BYTES));
    }

    #[test]
    fn what_waits_too_long_is_dropped() {
        let mut early = early();
        assert!(
            early.close(Instant::from_millis(10), 1) && early.close(Instant::from_millis(20), 3)
        );
        assert_eq!(early.poll_timeout(), Some(Instant::from_millis(1_010)));
        assert_eq!(early.expire(Instant::from_millis(1_019)), 1);
        assert!(early.take(1).is_some_and(|held| held.torn));
        assert!(early.take(3).is_some_and(|held| held.closed));
        assert_eq!(early.poll_timeout(), None);
    }

    #[test]
    fn a_stream_of_which_a_part_cannot_be_held_is_not_held_at_all() {
        for parts in [&[BYTES, 1][..], &[1; FRAMES + 1]] {
            let mut early = early();
            for (at, part) in parts.iter().enumerate() {
                let fits = early.admits(Instant::ORIGIN, 1, *part);
                assert_eq!(fits, at + 1 < parts.len());
                if fits {
                    // The pieces in which a frame comes say nothing.
                    early.push(Instant::ORIGIN, 1, &Bytes::from(std::vec![b'x'; part - part / 2]));
                    early.push(Instant::ORIGIN, 1, &Bytes::from(std::vec![b'x'; part / 2]));
                }
            }
            assert!(!early.admits(Instant::ORIGIN, 1, 1) && early.bytes == 0);
            assert!(early.take(1).is_some_and(|held| held.torn && held.data.is_empty()));
        }
    }
}
