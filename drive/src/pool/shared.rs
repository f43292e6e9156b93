//! What the handles of a pool, its keeper and its dials share.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use trunkline_core::Instant;
use trunkline_core::pool::{Action, Got, Key, PoolConfig, PoolMachine, Refusal, Ticket, Warmth};

use super::{PoolError, Pooled};
use crate::Clock;
use crate::random::random;

pub(super) type Dial<C> =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<C>> + Send>> + Send + Sync>;

/// A pool's decisions and everything they are about, under one lock.
///
/// The lock is held for a few calls into the machine and the connections' counters, never across a
/// wake-up or an await.
pub(super) struct Shared<C> {
    state: Mutex<State<C>>,
    pub(super) dial: Dial<C>,
    pub(super) clock: Clock,
}

pub(super) struct State<C> {
    pub(super) machine: PoolMachine,
    held: BTreeMap<Key, Held<C>>,
    /// Dials under way; one that is given up is taken out and woken.
    dials: BTreeMap<Key, Option<Waker>>,
    waiters: BTreeMap<Ticket, Waiter<C>>,
    /// What the dial function failed with last.
    dial_error: Option<Arc<io::Error>>,
    /// What the keeper should start; `None` once it is gone.
    errands: Option<Vec<Errand<C>>>,
    /// Errands that have not ended, those not started included.
    under_way: usize,
    /// Who waits for the end of all errands, by a number of its own.
    closers: BTreeMap<u64, Waker>,
    next_closer: u64,
    keeper: Option<Waker>,
    /// The deadline that the keeper knows of.
    keeper_at: Option<Instant>,
}

struct Held<C> {
    connection: C,
    /// Callers that have it in order to open a stream, and have not done so yet.
    opening: usize,
}

struct Waiter<C> {
    waker: Option<Waker>,
    opens: bool,
    outcome: Option<Outcome<C>>,
}

/// What a caller that waited got.
pub(super) enum Outcome<C> {
    Given(Key, C),
    Warm,
    Refused(PoolError),
}

/// What a caller that asks got, at once.
pub(super) enum Asked<C> {
    Now(Outcome<C>),
    Wait(Ticket),
}

/// What the keeper starts as a task.
pub(super) enum Errand<C> {
    Dial(Key),
    Close(C),
}

/// What is done once the lock is released.
struct After<C> {
    wake: Vec<Waker>,
    drop: Vec<C>,
}

impl<C: Pooled> Shared<C> {
    pub(super) fn new(config: PoolConfig, dial: Dial<C>, clock: Clock) -> Arc<Self> {
        let state = State {
            machine: PoolMachine::new(config, clock.now()),
            held: BTreeMap::new(),
            dials: BTreeMap::new(),
            waiters: BTreeMap::new(),
            dial_error: None,
            errands: Some(Vec::new()),
            under_way: 0,
            closers: BTreeMap::new(),
            next_closer: 0,
            keeper: None,
            keeper_at: None,
        };
        Arc::new(Self { state: Mutex::new(state), dial, clock })
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        // A panic elsewhere leaves the machine as it was between two calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the machine what became of the connections, calls into it, and does what it says.
    pub(super) fn act<T>(&self, call: impl FnOnce(&mut State<C>, Instant) -> T) -> T {
        let mut after = After { wake: Vec::new(), drop: Vec::new() };
        let mut state = self.lock();
        // Read under the lock, so that the machine's time does not go back.
        let now = self.clock.now();
        state.look(now, &mut after);
        let result = call(&mut state, now);
        state.hand_out(&mut after);
        drop(state);
        after.wake.into_iter().for_each(Waker::wake);
        drop(after.drop);
        result
    }

    /// Asks for a connection, whether to open a stream on it or not.
    pub(super) fn ask(&self, opens: bool) -> Asked<C> {
        self.act(|state, now| match state.machine.get(now) {
            Got::Ready(key) => Asked::Now(state.given(key, opens)),
            Got::Wait(ticket) => state.wait(ticket, opens),
            Got::Refused(why) => Asked::Now(state.refused(why)),
        })
    }

    pub(super) fn ask_for_warmth(&self) -> Asked<C> {
        self.act(|state, now| match state.machine.warm_up(now) {
            Warmth::Warm => Asked::Now(Outcome::Warm),
            Warmth::Wait(ticket) => state.wait(ticket, false),
            Warmth::Refused(why) => Asked::Now(state.refused(why)),
        })
    }

    /// Ready with what a caller that waits got, once.
    pub(super) fn poll_outcome(&self, cx: &Context<'_>, ticket: Ticket) -> Poll<Outcome<C>> {
        let mut state = self.lock();
        let Some(waiter) = state.waiters.get_mut(&ticket) else {
            return Poll::Ready(Outcome::Refused(PoolError::Closed));
        };
        match waiter.outcome.take() {
            Some(outcome) => {
                state.waiters.remove(&ticket);
                Poll::Ready(outcome)
            }
            None => {
                waiter.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Takes back a request that waits, and what it got meanwhile.
    pub(super) fn forget(&self, ticket: Ticket) {
        // Dropped when the lock is released.
        let _waiter = self.act(|state, _| {
            state.machine.forget(ticket);
            let waiter = state.waiters.remove(&ticket)?;
            if let Some(Outcome::Given(key, _)) = &waiter.outcome
                && waiter.opens
            {
                state.opens_no_more(*key);
            }
            Some(waiter)
        });
    }

    /// For a dial: whether it was given up; if not, it is woken when that happens.
    pub(super) fn given_up(&self, cx: &Context<'_>, key: Key) -> bool {
        match self.lock().dials.get_mut(&key) {
            Some(waker) => {
                *waker = Some(cx.waker().clone());
                false
            }
            None => true,
        }
    }

    /// Takes a connection in, or gives it back when it comes too late.
    pub(super) fn dialled(&self, key: Key, connection: C) -> Result<(), C> {
        self.act(|state, now| {
            if state.dials.remove(&key).is_none() {
                return Err(connection);
            }
            state.held.insert(key, Held { connection, opening: 0 });
            state.machine.dialled(now, key);
            Ok(())
        })
    }

    pub(super) fn dial_failed(&self, key: Key, error: io::Error) {
        self.act(|state, now| {
            if state.dials.remove(&key).is_some() {
                state.dial_error = Some(Arc::new(error));
                state.machine.dial_failed(now, key, random());
            }
        });
    }

    /// Notes that a stream was opened; there is no need to try again.
    pub(super) fn opened(&self, key: Key) -> bool {
        self.act(|state, now| state.machine.stream_opened(now, key));
        false
    }

    /// Notes that a stream could not be opened; says whether to try again.
    pub(super) fn open_failed(&self, key: Key, ended: bool, first: bool) -> bool {
        let (again, _held) = self.act(|state, now| {
            let held = if ended { state.held.remove(&key) } else { None };
            (state.machine.open_failed(now, key, ended, first), held)
        });
        again
    }

    /// Somebody who had a connection in order to open a stream has done so, or has given up.
    pub(super) fn opens_no_more(&self, key: Key) {
        self.act(|state, _| state.opens_no_more(key));
    }

    /// Ready once no dial and no closing is under way.
    pub(super) fn poll_idle(&self, cx: &Context<'_>, closer: &mut Option<u64>) -> Poll<()> {
        let mut state = self.lock();
        if state.under_way == 0 {
            return Poll::Ready(());
        }
        let number = *closer.get_or_insert_with(|| {
            state.next_closer += 1;
            state.next_closer
        });
        state.closers.insert(number, cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn stop_waiting(&self, closer: u64) {
        let _waker = self.lock().closers.remove(&closer);
    }

    /// One errand has ended.
    pub(super) fn errand_over(&self) {
        self.errands_over(|_| 1);
    }

    fn errands_over(&self, count: impl FnOnce(&mut State<C>) -> usize) {
        let mut state = self.lock();
        let count = count(&mut state);
        state.under_way = state.under_way.saturating_sub(count);
        let woken = match state.under_way {
            0 => std::mem::take(&mut state.closers),
            _ => BTreeMap::new(),
        };
        drop(state);
        woken.into_values().for_each(Waker::wake);
    }

    /// For the keeper: what to start, when to come back, and whether that was all.
    pub(super) fn keep(&self, waker: &Waker) -> (Vec<Errand<C>>, Option<Instant>, bool) {
        let mut state = self.lock();
        state.keeper = Some(waker.clone());
        state.keeper_at = state.machine.poll_timeout();
        let errands = state.errands.as_mut().map(std::mem::take).unwrap_or_default();
        (errands, state.keeper_at, state.machine.is_closed())
    }

    pub(super) fn tick(&self, at: Instant) {
        // Timers may be a little early, which must not make this a loop.
        self.act(|state, now| state.machine.handle_timeout(now.max(at), random()));
    }

    /// The keeper is gone, or the last handle: nothing is dialled, closed in order or looked after
    /// any more.
    pub(super) fn unkept(&self) {
        // First, so that connections are dropped and not closed: others may still hold them.
        let mut left = None;
        self.errands_over(|state| {
            left = state.errands.take();
            left.as_ref().map_or(0, Vec::len)
        });
        self.act(|state, _| state.machine.close());
    }
}

impl<C: Pooled> State<C> {
    /// Takes out what has ended, and counts the streams of the others.
    fn look(&mut self, now: Instant, after: &mut After<C>) {
        let ended: Vec<Key> = self
            .held
            .iter()
            .filter(|(_, held)| !held.connection.is_usable())
            .map(|(key, _)| *key)
            .collect();
        for key in ended {
            after.drop.extend(self.held.remove(&key).map(|held| held.connection));
            self.machine.ended(now, key);
        }
        for (key, held) in &self.held {
            let count = held.connection.streams().saturating_add(held.opening);
            self.machine.streams(now, *key, count);
        }
    }

    fn hand_out(&mut self, after: &mut After<C>) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Dial(key) => {
                    self.dials.insert(key, None);
                    self.errand(Errand::Dial(key), after);
                }
                Action::GiveUp(key) => after.wake.extend(self.dials.remove(&key).flatten()),
                Action::Close(key) => {
                    if let Some(held) = self.held.remove(&key) {
                        self.errand(Errand::Close(held.connection), after);
                    }
                }
                Action::Grant(ticket, key) => {
                    let opens = self.waiters.get(&ticket).is_some_and(|waiter| waiter.opens);
                    let outcome = self.given(key, opens);
                    self.settle(ticket, outcome, after);
                }
                Action::Warm(ticket) => self.settle(ticket, Outcome::Warm, after),
                Action::Refuse(ticket, why) => {
                    let outcome = self.refused(why);
                    self.settle(ticket, outcome, after);
                }
            }
        }
        let earlier = match (self.machine.poll_timeout(), self.keeper_at) {
            (Some(at), Some(known)) => at < known,
            (at, _) => at.is_some(),
        };
        if earlier || self.machine.is_closed() {
            after.wake.extend(self.keeper.take());
        }
    }

    fn errand(&mut self, errand: Errand<C>, after: &mut After<C>) {
        match (&mut self.errands, errand) {
            (Some(errands), errand) => {
                errands.push(errand);
                self.under_way += 1;
                after.wake.extend(self.keeper.take());
            }
            (None, Errand::Close(connection)) => after.drop.push(connection),
            (None, Errand::Dial(_)) => {}
        }
    }

    fn settle(&mut self, ticket: Ticket, outcome: Outcome<C>, after: &mut After<C>) {
        if let Some(waiter) = self.waiters.get_mut(&ticket) {
            waiter.outcome = Some(outcome);
            after.wake.extend(waiter.waker.take());
        }
    }

    fn wait(&mut self, ticket: Ticket, opens: bool) -> Asked<C> {
        self.waiters.insert(ticket, Waiter { waker: None, opens, outcome: None });
        Asked::Wait(ticket)
    }

    fn given(&mut self, key: Key, opens: bool) -> Outcome<C> {
        match self.held.get_mut(&key) {
            Some(held) => {
                held.opening += usize::from(opens);
                Outcome::Given(key, held.connection.clone())
            }
            None => Outcome::Refused(PoolError::Exhausted),
        }
    }

    fn refused(&self, why: Refusal) -> Outcome<C> {
        Outcome::Refused(PoolError::new(why, self.dial_error.as_ref()))
    }

    pub(super) fn opens_no_more(&mut self, key: Key) {
        if let Some(held) = self.held.get_mut(&key) {
            held.opening = held.opening.saturating_sub(1);
        }
    }

    /// The key of a connection of this pool.
    pub(super) fn key_of(&self, connection: &C) -> Option<Key> {
        self.held.iter().find(|(_, held)| held.connection.is_same(connection)).map(|(key, _)| *key)
    }
}
