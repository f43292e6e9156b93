//! Two machines, the link between them, and time.

use std::fmt;
use std::time::Duration;

use trunkline_core::{Direction, Instant, Machine};

use super::clock::Clock;
use super::freight::{Freight, Outgoing};
use super::pipe::{Arrival, Offer, Pipe, Shape};
use super::rng::Rng;
use super::trace::{End, Trace, What};

/// Steps without a byte moving before a simulation counts as running in circles.
const PATIENCE: u32 = 100_000;

/// Two machines back to back, with everything between them under the test's control.
///
/// The pair moves bytes and time; code above the machines (a test's own, or the real thing) is
/// handed to [`run`](Self::run) as a closure that is called between any two moves, may use both
/// machines, and says whether it did anything. Nothing here reads a clock or a random number: a
/// pair that is built from the same seed does the same again.
///
/// ```
/// use trunkline_conformance::sim::{Fault, Pair, Script};
/// use trunkline_core::Machine as _;
/// use trunkline_core::agentproto::{Config, ExecRequest, Frame, Item as _, Local, Read};
///
/// let mut local = Local::new(Config::default());
/// local.exec(Default::default(), ExecRequest::default(), None).unwrap();
/// // An agent that says "hi" and nothing more; its last byte never arrives.
/// let hi = Frame::data(1, b"hi".to_vec()).to_bytes().unwrap();
/// let mut pair = Pair::new(local, Script::new().after(1).send(hi.clone()));
/// pair.back.fault(hi.len() as u64 - 1, Fault::Reset);
/// pair.run(|_| false).unwrap();
/// assert_eq!(pair.a.read(1, 100), Read::Lost);
/// assert!(pair.a.closed().is_some());
/// ```
pub struct Pair<A: Machine, B: Machine> {
    /// One machine.
    pub a: A,
    /// The other.
    pub b: B,
    /// From `a` to `b`.
    pub there: Pipe<B::Input>,
    /// From `b` to `a`.
    pub back: Pipe<A::Input>,
    /// The clock of `a`.
    pub clock_a: Clock,
    /// The clock of `b`.
    pub clock_b: Clock,
    /// What happened.
    pub trace: Trace,
    out_a: Out<B::Input>,
    out_b: Out<A::Input>,
    now: Instant,
    horizon: Instant,
    alarm: Option<Instant>,
}

/// What one end still has to hand to its transport.
struct Out<T> {
    rest: Option<T>,
    hung_up: bool,
}

impl<A, B> Pair<A, B>
where
    A: Machine<Output: Outgoing<Freight = B::Input>, Input: Freight>,
    B: Machine<Output: Outgoing<Freight = A::Input>, Input: Freight>,
{
    /// Two machines with a perfect link: 64 KiB of room, no delay, no pieces.
    #[must_use]
    pub fn new(a: A, b: B) -> Self {
        Self::with(a, b, Shape::default(), Shape::default(), &mut Rng::new(0))
    }

    /// Two machines with a link whose directions, there and back, are random.
    #[must_use]
    pub fn random(a: A, b: B, rng: &mut Rng) -> Self {
        let (there, back) = (Shape::random(rng), Shape::random(rng));
        Self::with(a, b, there, back, rng)
    }

    /// Two machines with a link whose directions, there and back, have these shapes.
    #[must_use]
    pub fn with(a: A, b: B, there: Shape, back: Shape, rng: &mut Rng) -> Self {
        Self {
            a,
            b,
            there: Pipe::new(there, rng.fork()),
            back: Pipe::new(back, rng.fork()),
            clock_a: Clock::default(),
            clock_b: Clock::default(),
            trace: Trace::default(),
            out_a: Out { rest: None, hung_up: false },
            out_b: Out { rest: None, hung_up: false },
            now: Instant::ORIGIN,
            horizon: Instant::from_millis(24 * 3_600_000),
            alarm: None,
        }
    }

    /// The simulation's own time, which is also the machines' as long as their clocks are right.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Wakes the code above at this time, if nothing does so earlier.
    pub fn wake_at(&mut self, at: Instant) {
        let alarm = self.alarm.filter(|alarm| *alarm > self.now);
        self.alarm = Some(alarm.map_or(at, |alarm| alarm.min(at)));
    }

    /// How long a simulation may go on, in its own time, before it fails. A day unless set.
    pub const fn set_horizon(&mut self, horizon: Instant) {
        self.horizon = horizon;
    }

    /// Adds a line to the trace.
    pub fn note(&mut self, end: End, text: impl Into<String>) {
        self.trace.push(self.now, end, What::Note(text.into()));
    }

    /// Moves what can move at this moment: deadlines that have come, one write and one read at each
    /// end. Says whether that was anything.
    pub fn step(&mut self) -> bool {
        let a = (End::A, self.clock_a.shows(self.now));
        let b = (End::B, self.clock_b.shows(self.now));
        let (now, trace) = (self.now, &mut self.trace);
        let mut moved =
            turn(&mut self.a, a, now, &mut self.out_a, &mut self.there, &mut self.back, trace);
        moved |= turn(&mut self.b, b, now, &mut self.out_b, &mut self.back, &mut self.there, trace);
        moved
    }

    /// Moves time to the next thing that will happen by itself; false when there is none.
    pub fn advance(&mut self) -> bool {
        let clocks = [
            self.a.poll_timeout().and_then(|at| self.clock_a.will_show(at)),
            self.b.poll_timeout().and_then(|at| self.clock_b.will_show(at)),
        ];
        // What has come is not waited for: an end that does not read it waits for its user.
        let links = [self.there.next_at(), self.back.next_at()];
        let links = links.map(|at| at.filter(|at| *at > self.now));
        let alarm = self.alarm.take_if(|at| *at <= self.now).or(self.alarm);
        let Some(next) = clocks.into_iter().chain(links).chain([alarm]).flatten().min() else {
            return false;
        };
        self.now = self.now.max(next);
        true
    }

    /// Runs until nothing happens any more and no time will change that.
    ///
    /// `above` is the code above the machines: it is called between any two moves and says whether
    /// it did anything.
    ///
    /// # Errors
    ///
    /// [`Stuck`] when it runs in circles, or on beyond the [horizon](Self::set_horizon).
    pub fn run(&mut self, mut above: impl FnMut(&mut Self) -> bool) -> Result<(), Stuck> {
        self.drive(&mut above, |_| false).map(|_| ())
    }

    /// Runs until `done`, which is asked between any two moves.
    ///
    /// # Errors
    ///
    /// [`Stuck`] when nothing happens any more before that, and as for [`run`](Self::run).
    pub fn run_until(
        &mut self,
        mut above: impl FnMut(&mut Self) -> bool,
        done: impl FnMut(&Self) -> bool,
    ) -> Result<(), Stuck> {
        if self.drive(&mut above, done)? { Ok(()) } else { Err(self.stuck(Why::Idle)) }
    }

    /// Runs for so long, in the simulation's own time.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub fn run_for(
        &mut self,
        time: Duration,
        mut above: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), Stuck> {
        let end = self.now + time;
        self.wake_at(end);
        let mut woken = |pair: &mut Self| {
            let moved = above(pair);
            pair.wake_at(end);
            moved
        };
        self.drive(&mut woken, |pair| pair.now >= end).map(|_| ())
    }

    /// Whether it came to be done.
    fn drive(
        &mut self,
        above: &mut dyn FnMut(&mut Self) -> bool,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<bool, Stuck> {
        let mut idle_steps = 0;
        let mut carried = (0, 0);
        loop {
            if done(self) {
                return Ok(true);
            }
            let carries = (self.there.delivered(), self.back.delivered());
            idle_steps = if carries == carried { idle_steps + 1 } else { 0 };
            carried = carries;
            if idle_steps > PATIENCE {
                return Err(self.stuck(Why::Circles));
            }
            let moved = above(self) | self.step();
            if !moved && !self.advance() {
                // What the code above did in its last call may be all that was missing.
                return Ok(done(self));
            }
            if self.now > self.horizon {
                return Err(self.stuck(Why::Horizon));
            }
        }
    }

    fn stuck(&self, why: Why) -> Stuck {
        Stuck { why, at: self.now, trace: self.trace.to_string() }
    }
}

impl<A: Machine + fmt::Debug, B: Machine + fmt::Debug> fmt::Debug for Pair<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("a", &self.a)
            .field("b", &self.b)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// One end's share of a step.
fn turn<M>(
    machine: &mut M,
    (end, time): (End, Instant),
    now: Instant,
    out: &mut Out<<M::Output as Outgoing>::Freight>,
    to: &mut Pipe<<M::Output as Outgoing>::Freight>,
    from: &mut Pipe<M::Input>,
    trace: &mut Trace,
) -> bool
where
    M: Machine<Output: Outgoing, Input: Freight>,
{
    let mut moved = false;
    let mut tell = |what| {
        trace.push(now, end, what);
        true
    };
    if machine.poll_timeout().is_some_and(|at| at <= time) {
        machine.handle_timeout(time);
        moved = tell(What::Timeout);
    }
    while to.has_room() {
        if out.rest.is_none() {
            out.rest = machine.poll_transmit(time).map(Outgoing::load);
        }
        if out.rest.is_none() {
            break;
        }
        match to.offer(now, &mut out.rest) {
            Offer::Took(size) => moved = tell(What::Sent(size)),
            Offer::Full => {}
            Offer::Failed(error) => {
                out.rest = None;
                machine.handle_failure(time, Direction::Write, Some(error));
                moved = tell(What::Failed(Direction::Write, error));
                break;
            }
        }
        if out.rest.is_some() {
            // The transport would block.
            break;
        }
    }
    if machine.closed().is_some() && out.rest.is_none() && !out.hung_up && to.has_room() {
        // Drained above: there was room.
        out.hung_up = true;
        to.shut(now);
        from.discard();
        moved = tell(What::Shut);
    }
    if !out.hung_up && machine.wants_input() {
        match from.arrive(now) {
            Some(Arrival::Piece(piece)) => {
                moved = tell(What::Arrived(piece.size()));
                machine.handle_input(time, piece);
            }
            Some(Arrival::End) => {
                moved = tell(What::Eof);
                machine.handle_eof(time);
            }
            Some(Arrival::Failure(error)) => {
                moved = tell(What::Failed(Direction::Read, error));
                machine.handle_failure(time, Direction::Read, Some(error));
            }
            None => {}
        }
    }
    if out.hung_up {
        from.discard();
    }
    moved
}

/// Why a simulation goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Nothing happens any more, and what was waited for has not come.
    Idle,
    /// Something happens all the time, and no byte moves.
    Circles,
    /// It goes on and on.
    Horizon,
}

/// A simulation that goes nowhere; prints with what happened before.
#[derive(Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Why it does.
    pub why: Why,
    /// When that was.
    pub at: Instant,
    trace: String,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Why::Idle => "nothing happens any more, and it is not done",
            Why::Circles => "it runs in circles: no byte moves",
            Why::Horizon => "it goes on beyond its horizon",
        };
        write!(f, "{why}, at {:?}; what happened:\n{}", self.at, self.trace)
    }
}

impl fmt::Debug for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Stuck {}
