//! Pings that wait for their answers: of the user, of keep-alive, of the window tuner.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::parts::Every;
use crate::{CloseReason, Instant, TimeoutKind};

/// Pings of this side, and the keep-alive that is made of them.
///
/// A keep-alive ping goes out one interval after the start, and one interval after each answer; the
/// connection is over when its answer does not come within the timeout. Time counts from when a ping
/// is due, not from when the transport takes it.
#[derive(Debug)]
pub(crate) struct Pings {
    /// Oldest first.
    waiting: VecDeque<Waiting>,
    next: u32,
    beat: Every,
    timeout: Option<Duration>,
    answered: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    number: u32,
    sent: Instant,
    purpose: Purpose,
}

/// What a ping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The user wants to know: an event answers.
    User,
    /// The peer has to give a sign of life.
    KeepAlive,
    /// A window may have to grow.
    Probe,
}

/// An answer to one of our pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// What the ping was for.
    pub(crate) purpose: Purpose,
    /// How long it took.
    pub(crate) round_trip: Duration,
}

impl Pings {
    /// The most pings that wait at a time, by what they are for.
    const MOST: usize = 8;

    /// No pings yet; the first one has the number `first`. `interval` and `timeout` are those of
    /// keep-alive: `None` turns it off, or lets it wait for ever.
    pub(crate) const fn new(
        first: u32,
        interval: Option<Duration>,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            waiting: VecDeque::new(),
            next: first,
            beat: Every::new(interval),
            timeout,
            answered: 0,
        }
    }

    /// Starts keep-alive, if it does not run: call it wherever a time comes in.
    pub(crate) fn start(&mut self, now: Instant) {
        if !self.waits_for(Purpose::KeepAlive) {
            self.beat.start(now);
        }
    }

    /// A new ping's number, to be sent; `None` when as many wait as may.
    pub(crate) fn ping(&mut self, now: Instant, purpose: Purpose) -> Option<u32> {
        if purpose == Purpose::User && self.waiting.len() >= Self::MOST {
            return None;
        }
        if purpose != Purpose::User && self.waits_for(purpose) {
            return None;
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.waiting.push_back(Waiting { number, sent: now, purpose });
        Some(number)
    }

    /// The peer answered `number`; `None` when nobody asked.
    pub(crate) fn pong(&mut self, now: Instant, number: u32) -> Option<Answered> {
        let at = self.waiting.iter().position(|ping| ping.number == number)?;
        let ping = self.waiting.remove(at)?;
        if ping.purpose == Purpose::KeepAlive {
            self.beat.restart(now);
        }
        self.answered += 1;
        let round_trip = now.saturating_since(ping.sent);
        Some(Answered { purpose: ping.purpose, round_trip })
    }

    /// Pings of the user that wait.
    pub(crate) fn asked(&self) -> usize {
        self.waiting.iter().filter(|ping| ping.purpose == Purpose::User).count()
    }

    /// Answered pings, from the start.
    pub(crate) const fn answered(&self) -> u64 {
        self.answered
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let dead = self.waiting.iter().find(|ping| ping.purpose == Purpose::KeepAlive);
        let dead = dead.zip(self.timeout).map(|(ping, timeout)| ping.sent + timeout);
        super::parts::earliest([self.beat.poll_timeout(), dead])
    }

    /// The number of a keep-alive ping that is due now, or why the connection is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<Option<u32>, CloseReason> {
        let alive = self.waiting.iter().find(|ping| ping.purpose == Purpose::KeepAlive);
        if let Some((ping, timeout)) = alive.zip(self.timeout)
            && ping.sent + timeout <= now
        {
            return Err(CloseReason::Timeout(TimeoutKind::KeepAlive));
        }
        if !self.beat.fires(now) {
            return Ok(None);
        }
        // The next beat starts with the answer; without a timeout it does not wait for one.
        if self.timeout.is_some() {
            self.beat.stop();
        } else {
            self.waiting.retain(|ping| ping.purpose != Purpose::KeepAlive);
        }
        Ok(self.ping(now, Purpose::KeepAlive))
    }

    fn waits_for(&self, purpose: Purpose) -> bool {
        self.waiting.iter().any(|ping| ping.purpose == purpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    fn pings() -> Pings {
        Pings::new(1, Some(Duration::from_secs(30)), Some(Duration::from_secs(10)))
    }

    #[test]
    fn a_beat_follows_the_answer_to_the_one_before() {
        let mut pings = pings();
        pings.start(at(5));
        assert_eq!(pings.poll_timeout(), Some(at(35)));
        assert_eq!(pings.handle_timeout(at(34)), Ok(None));
        assert_eq!(pings.handle_timeout(at(35)), Ok(Some(1)));
        pings.start(at(36));
        assert_eq!(pings.poll_timeout(), Some(at(45)));
        assert_eq!(pings.pong(at(40), 2), None);
        let answered = pings.pong(at(40), 1).unwrap();
        assert_eq!(answered.round_trip, Duration::from_secs(5));
        assert_eq!(pings.poll_timeout(), Some(at(70)));
    }

    #[test]
    fn a_peer_that_answers_other_pings_is_dead_all_the_same() {
        let mut pings = pings();
        pings.start(at(0));
        let asked = pings.ping(at(29), Purpose::User).unwrap();
        let beat = pings.handle_timeout(at(30)).unwrap().unwrap();
        assert_ne!(asked, beat);
        assert!(pings.pong(at(31), asked).is_some());
        assert_eq!(pings.handle_timeout(at(39)), Ok(None));
        let dead = CloseReason::Timeout(TimeoutKind::KeepAlive);
        assert_eq!(pings.handle_timeout(at(40)), Err(dead));
    }

    #[test]
    fn without_a_timeout_beats_go_on_unanswered() {
        let mut pings = Pings::new(0, Some(Duration::from_secs(30)), None);
        pings.start(at(0));
        assert_eq!(pings.handle_timeout(at(30)), Ok(Some(0)));
        assert_eq!(pings.handle_timeout(at(60)), Ok(Some(1)));
        assert_eq!(pings.handle_timeout(at(90)), Ok(Some(2)));
        assert_eq!(pings.waiting.len(), 1);
    }

    #[test]
    fn no_more_pings_wait_than_may() {
        let mut pings = pings();
        let asked = core::iter::from_fn(|| pings.ping(at(0), Purpose::User)).count();
        assert_eq!(asked, Pings::MOST);
        assert!(pings.ping(at(0), Purpose::Probe).is_some());
        assert!(pings.ping(at(0), Purpose::Probe).is_none());
        assert!(pings.pong(at(0), 1).is_some());
        assert!(pings.pong(at(0), 1).is_none());
    }

    #[test]
    fn a_probe_that_is_never_answered_keeps_nothing_waiting_but_itself() {
        let mut pings = pings();
        pings.start(at(0));
        pings.ping(at(0), Purpose::Probe).unwrap();
        assert_eq!(pings.poll_timeout(), Some(at(30)));
    }
}
