//! Users above both ends of a multiplexer, whichever it is.
//!
//! ```
//! use trunkline_conformance::model::mux::{Talk, Talks};
//! use trunkline_conformance::sim::{End, Pair};
//! use trunkline_core::mux::Side;
//! use trunkline_core::yamux::{Config, Connection};
//!
//! let client = Connection::new(Side::Client, Config::default()).unwrap();
//! let server = Connection::new(Side::Server, Config::default()).unwrap();
//! let mut pair = Pair::new(client, server);
//! // A question of 10 bytes, an answer of a million.
//! let mut talks = Talks::new([Talk::new(End::A, 10, 1_000_000)]);
//! talks.run(&mut pair).unwrap();
//! talks.settled(&pair).unwrap();
//! ```

mod user;

use std::cell::Cell;

use trunkline_core::mux::{Mux, MuxStats};

use crate::laws::{Broken, Ledger, hold};
use crate::sim::{End, Pair, Rng, Why};

pub use user::User;

/// One stream: who opens it, and how many bytes go which way.
#[derive(Clone, Debug)]
pub struct Talk {
    /// Who opens it.
    pub opener: End,
    /// Bytes from the opener.
    pub there: u64,
    /// Bytes to the opener.
    pub back: u64,
    /// Who never reads a byte of it.
    pub asleep: Option<End>,
    /// Who gives it up by force once it has read and written so many bytes.
    pub gives_up: Option<(End, u64, Way)>,
}

/// How a stream is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is reset, and forgotten later.
    Reset,
    /// It is forgotten at once.
    Forget,
}

impl Talk {
    /// A stream that is opened by `opener`, carries so many bytes from it and to it, and ends in
    /// order.
    #[must_use]
    pub const fn new(opener: End, there: u64, back: u64) -> Self {
        Self { opener, there, back, asleep: None, gives_up: None }
    }

    /// The same, but one of its users never reads.
    #[must_use]
    pub const fn with_asleep(self, end: End) -> Self {
        Self { asleep: Some(end), ..self }
    }

    /// The same, but one of its users gives it up after so many bytes.
    #[must_use]
    pub const fn given_up(self, end: End, after: u64, way: Way) -> Self {
        Self { gives_up: Some((end, after, way)), ..self }
    }

    /// Whether it ends in order, if nothing goes wrong.
    #[must_use]
    pub const fn is_orderly(&self) -> bool {
        self.asleep.is_none() && self.gives_up.is_none()
    }
}

/// Users above both ends of a multiplexer that hold [`Talk`]s, and their books.
///
/// The users wait: one that was refused does nothing until the event comes that tells it otherwise,
/// so that an event that is missing, or comes twice, is noticed. Hand [`turn`](Self::turn) to a
/// [`Pair`], and ask [`settled`](Self::settled) or [`verdict`](Self::verdict) in the end.
#[derive(Debug)]
pub struct Talks {
    /// What is to be said.
    pub plan: Vec<Talk>,
    /// The user above `a`.
    pub a: User,
    /// The user above `b`.
    pub b: User,
    /// From openers, by the number of the talk.
    pub there: Ledger,
    /// To openers.
    pub back: Ledger,
    /// Who acts does so at random, a little at a time.
    pub moody: Option<Rng>,
    broken: Option<Broken>,
}

impl Talks {
    /// Users that hold these talks, opened in this order.
    #[must_use]
    pub fn new(plan: impl IntoIterator<Item = Talk>) -> Self {
        let plan: Vec<Talk> = plan.into_iter().collect();
        let numbers = |end: End| {
            let opens = |(number, talk): (usize, &Talk)| (talk.opener == end).then_some(number);
            plan.iter().enumerate().filter_map(opens).collect()
        };
        let (a, b) = (User::new(End::A, numbers(End::A)), User::new(End::B, numbers(End::B)));
        let (there, back) = (Ledger::default(), Ledger::default());
        Self { plan, a, b, there, back, moody: None, broken: None }
    }

    /// The same, whose users act at random.
    #[must_use]
    pub fn moody(self, rng: &mut Rng) -> Self {
        Self { moody: Some(rng.fork()), ..self }
    }

    /// Both users' turn; says whether anything was done.
    pub fn turn<A: Mux, B: Mux>(&mut self, pair: &mut Pair<A, B>) -> bool {
        let times = (pair.clock_a.shows(pair.now()), pair.clock_b.shows(pair.now()));
        let mut books = Books {
            plan: &self.plan,
            there: &mut self.there,
            back: &mut self.back,
            broken: &mut self.broken,
        };
        let a = self.a.turn(&mut pair.a, times.0, &mut books, self.moody.as_mut());
        let b = self.b.turn(&mut pair.b, times.1, &mut books, self.moody.as_mut());
        a | b
    }

    /// Runs the pair until every talk is over at both ends and nothing of it is left in the
    /// machines, or until both connections are over, or nothing happens any more.
    ///
    /// # Errors
    ///
    /// When a law is broken on the way, or the simulation is [`Stuck`](crate::sim::Stuck).
    pub fn run<A: Mux, B: Mux>(&mut self, pair: &mut Pair<A, B>) -> Result<(), Broken> {
        let over = Cell::new(false);
        let turn = |pair: &mut Pair<A, B>| {
            let moved = self.turn(pair);
            let live = |stats: MuxStats| stats.streams + stats.queued_in + stats.queued_out;
            let left = live(pair.a.stats()) + live(pair.b.stats());
            let closed = pair.a.closed().is_some() && pair.b.closed().is_some();
            over.set(self.broken.is_some() || (self.is_over() && (left == 0 || closed)));
            moved
        };
        let outcome = pair.run_until(turn, |_| over.get());
        // The last move may have left something to be told.
        for _ in 0..8 {
            self.turn(pair);
        }
        self.verdict()?;
        outcome.or_else(|stuck| match stuck.why {
            Why::Idle => Ok(()),
            _ => Err(Broken::new("P-HANG", stuck.to_string())),
        })
    }

    /// Whether every talk is over at both ends.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.a.is_done() && self.b.is_done()
    }

    /// The first law that was broken on the way, whether or not everything is over.
    ///
    /// # Errors
    ///
    /// That law.
    pub fn verdict(&self) -> Result<(), Broken> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Everything is over in order: all bytes and all ends have arrived, nothing is left in either
    /// machine, and every talk is over.
    ///
    /// # Errors
    ///
    /// The first law that does not hold.
    pub fn settled<A: Mux, B: Mux>(&self, pair: &Pair<A, B>) -> Result<(), Broken> {
        self.verdict()?;
        hold("P-HANG", self.is_over(), || {
            format!("not over:\nat a {:?}\nat b {:?}", self.a.waiting(), self.b.waiting())
        })?;
        if self.plan.iter().all(Talk::is_orderly) {
            self.there.settled()?;
            self.back.settled()?;
        }
        for (end, stats) in [(End::A, pair.a.stats()), (End::B, pair.b.stats())] {
            let left = (stats.streams, stats.waiting, stats.queued_in, stats.queued_out);
            hold("P-CANCEL", left == (0, 0, 0, 0), || format!("left at {end:?}: {stats:?}"))?;
        }
        Ok(())
    }

    /// The link broke: both connections are over, told it once, and every stream that was not over
    /// says so.
    ///
    /// # Errors
    ///
    /// The first law that does not hold.
    pub fn cut<A: Mux, B: Mux>(&self, pair: &Pair<A, B>) -> Result<(), Broken> {
        self.verdict()?;
        for (end, user, closed) in
            [(End::A, &self.a, pair.a.closed()), (End::B, &self.b, pair.b.closed())]
        {
            hold("P-ERR", user.closed() == closed, || {
                format!("{end:?} was told {:?}, and it is {closed:?}", user.closed())
            })?;
            hold("P-HANG", closed.is_none() || user.nobody_waits(&self.plan), || {
                format!("{end:?} is over, and these wait: {:?}", user.waiting())
            })?;
        }
        Ok(())
    }
}

/// What the users write down.
pub(super) struct Books<'a> {
    pub(super) plan: &'a [Talk],
    pub(super) there: &'a mut Ledger,
    pub(super) back: &'a mut Ledger,
    broken: &'a mut Option<Broken>,
}

impl Books<'_> {
    /// Keeps the first law that is broken.
    pub(super) fn note(&mut self, law: Result<(), Broken>) {
        if let Err(broken) = law {
            self.broken.get_or_insert(broken);
        }
    }

    /// The books of what the opener, or the other one, of a talk writes.
    pub(super) fn ledger(&mut self, opener_writes: bool) -> &mut Ledger {
        if opener_writes { self.there } else { self.back }
    }
}
