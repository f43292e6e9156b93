//! PINGs and their answers: `docs/protocols/wormhole.md` section 7.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::{Config, Pongs};
use crate::Instant;
use crate::mux::parts::earliest;

/// The most questions of the user under way.
const MOST: usize = 64;

/// Answers before the question that [`Pongs::Any`] keeps.
const KEPT: u8 = 4;

/// How often the round trip is measured while data flows.
const MEASURE: Duration = Duration::from_secs(5);

/// Questions under way, and the clock of the keep-alive.
#[derive(Debug)]
pub(super) struct Pings {
    interval: Option<Duration>,
    timeout: Option<Duration>,
    rule: Pongs,
    /// The number of the last question.
    last: u32,
    /// When the keep-alive asks next.
    next: Option<Instant>,
    /// What the keep-alive waits for, and until when.
    awaited: Option<(u32, Instant)>,
    /// Answers that nobody had asked for, under [`Pongs::Any`].
    kept: u8,
    asked: VecDeque<Asked>,
    /// When the round trip is measured again.
    measure: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    number: u32,
    by_user: bool,
    sent: Option<Instant>,
}

/// What became due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// A PING with this number is to be sent.
    Ask(u32),
    /// The peer did not answer in time.
    Dead,
}

/// An answer to a question that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) by_user: bool,
    pub(super) round_trip: Duration,
}

impl Pings {
    pub(super) fn new(config: &Config) -> Self {
        let some = |duration: Duration| (!duration.is_zero()).then_some(duration);
        Self {
            interval: some(config.keep_alive_interval),
            timeout: some(config.keep_alive_timeout),
            rule: config.pongs,
            last: 0,
            next: None,
            awaited: None,
            kept: 0,
            asked: VecDeque::new(),
            measure: None,
        }
    }

    /// Starts the clock, if it does not run.
    #[inline]
    pub(super) fn start(&mut self, now: Instant) {
        if self.next.is_none() {
            self.next = self.interval.map(|interval| now + interval);
        }
    }

    /// A question of the user; `None` while as many wait as may.
    pub(super) fn ask(&mut self) -> Option<u32> {
        let waiting = self.asked.iter().filter(|asked| asked.by_user).count();
        (waiting < MOST).then(|| self.question(true))
    }

    /// A question for the sake of the round trip, where it is time for one.
    pub(super) fn measure(&mut self, now: Instant) -> Option<u32> {
        if self.measure.is_some_and(|at| now < at) || self.has_own() {
            return None;
        }
        self.measure = Some(now + MEASURE);
        Some(self.question(false))
    }

    /// A PING leaves now.
    pub(super) fn sent(&mut self, now: Instant, number: u32) {
        let asked = self.asked.iter_mut().find(|asked| asked.number == number);
        if let Some(asked) = asked {
            asked.sent = Some(now);
        }
    }

    /// A PONG came; `None` when nobody had asked. The one place that looks at [`Config::pongs`].
    pub(super) fn answer(&mut self, now: Instant, number: u32) -> Option<Answer> {
        // An answer to a question that has not left is none.
        let index =
            self.asked.iter().position(|asked| asked.number == number && asked.sent.is_some());
        let awaited = self.awaited.is_some_and(|(awaited, _)| awaited == number);
        match self.rule {
            Pongs::Matching if awaited && index.is_some() => self.awaited = None,
            Pongs::Any if self.awaited.take().is_none() => self.kept = KEPT.min(self.kept + 1),
            Pongs::Any if !awaited => self.kept = 0,
            Pongs::Matching | Pongs::Any => {}
        }
        let asked = self.asked.remove(index?)?;
        let round_trip = now.saturating_since(asked.sent?);
        Some(Answer { by_user: asked.by_user, round_trip })
    }

    /// What the clock says.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Due {
        if self.awaited.is_some_and(|(_, until)| until <= now) {
            return Due::Dead;
        }
        let Some((at, interval)) = self.next.zip(self.interval) else { return Due::Nothing };
        if at > now {
            return Due::Nothing;
        }
        // A clock that stood still does not make up for what it missed.
        self.next = Some(if at + interval > now { at + interval } else { now + interval });
        let unsent = self.asked.iter().any(|asked| !asked.by_user && asked.sent.is_none());
        if self.awaited.is_some() || unsent && self.timeout.is_none() {
            return Due::Nothing;
        }
        let number = self.question(false);
        let answered = core::mem::take(&mut self.kept) > 0;
        if !answered {
            self.awaited = self.timeout.map(|timeout| (number, now + timeout));
        }
        Due::Ask(number)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        earliest([self.next, self.awaited.map(|(_, until)| until)])
    }

    fn has_own(&self) -> bool {
        self.asked.iter().any(|asked| !asked.by_user)
    }

    fn question(&mut self, by_user: bool) -> u32 {
        if !by_user {
            // One of this side's own is remembered: an older one will not be answered any more, or
            // nobody waits for it.
            self.asked.retain(|asked| asked.by_user);
        }
        self.last = self.last.wrapping_add(1);
        self.asked.push_back(Asked { number: self.last, by_user, sent: None });
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn pings(pongs: Pongs) -> Pings {
        let mut pings = Pings::new(&Config {
            keep_alive_interval: Duration::from_millis(200),
            keep_alive_timeout: Duration::from_millis(100),
            pongs,
            ..Config::default()
        });
        pings.start(at(0));
        pings
    }

    #[test]
    fn a_peer_that_does_not_answer_is_dead_after_interval_and_timeout() {
        let mut pings = pings(Pongs::Matching);
        assert_eq!(pings.poll_timeout(), Some(at(200)));
        assert_eq!(pings.handle_timeout(at(199)), Due::Nothing);
        assert_eq!(pings.handle_timeout(at(200)), Due::Ask(1));
        assert_eq!(pings.poll_timeout(), Some(at(300)));
        assert_eq!(pings.handle_timeout(at(299)), Due::Nothing);
        assert_eq!(pings.handle_timeout(at(300)), Due::Dead);
    }

    #[test]
    fn only_the_answer_with_the_number_counts() {
        let mut pings = pings(Pongs::Matching);
        assert_eq!(pings.answer(at(1), 1), None);
        pings.handle_timeout(at(200));
        assert_eq!(pings.answer(at(200), 1), None, "it has not left");
        pings.sent(at(210), 1);
        assert_eq!(pings.answer(at(220), 2), None);
        let answer = Answer { by_user: false, round_trip: Duration::from_millis(20) };
        assert_eq!(pings.answer(at(230), 1), Some(answer));
        assert_eq!(pings.answer(at(231), 1), None);
        assert_eq!(pings.handle_timeout(at(400)), Due::Ask(2));
    }

    #[test]
    fn the_original_takes_any_answer_and_keeps_four() {
        let mut pings = pings(Pongs::Any);
        for number in 90..99 {
            pings.answer(at(1), number);
        }
        assert_eq!(pings.handle_timeout(at(200)), Due::Ask(1));
        assert_eq!(pings.poll_timeout(), Some(at(400)), "answered before it was asked");
        assert_eq!(pings.handle_timeout(at(400)), Due::Ask(2));
        assert_eq!(pings.poll_timeout(), Some(at(500)));
        pings.answer(at(450), 77);
        assert_eq!(pings.handle_timeout(at(500)), Due::Nothing);
    }

    #[test]
    fn a_bounded_number_of_questions_is_under_way() {
        let mut pings = pings(Pongs::Matching);
        assert!((0..MOST).all(|_| pings.ask().is_some()));
        assert_eq!(pings.ask(), None);
        assert_eq!(pings.handle_timeout(at(200)), Due::Ask(MOST as u32 + 1));
        pings.sent(at(201), 1);
        assert!(pings.answer(at(202), 1).is_some_and(|answer| answer.by_user));
        assert!(pings.ask().is_some());
    }
}
