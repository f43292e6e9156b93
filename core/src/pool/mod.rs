//! A pool of connections over any wire: what it decides, without a connection.
//!
//! The rules are those of `docs/pool.md`, without the faults listed there.
//! [`PoolMachine`] holds keys where a pool holds connections: its embedder dials, opens, closes and
//! reports; time and randomness are arguments, so that every rule is tested under virtual time.
//!
//! Two rules keep callers from hanging. Whoever waits has a dial under way or a pause that ends with
//! a dial, and each dial has its limit. And when the last dial under way fails, everybody who waits
//! is told, instead of one.

mod action;
mod config;
mod dials;
mod stats;
mod sweep;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

pub use action::{Action, Got, Key, Refusal, Ticket, Warmth};
pub use config::{PoolConfig, PoolPolicy};
pub use stats::PoolStats;

use crate::Instant;
use dials::Dial;

/// One connection that was dialled and kept.
#[derive(Debug)]
struct Entry {
    key: Key,
    /// It has ended, and stays until something sweeps it.
    ended: bool,
    /// Open streams, as last reported.
    streams: usize,
    /// Times it was given away since, without a stream to show for it yet.
    given: usize,
    used: Instant,
}

impl Entry {
    const fn load(&self) -> usize {
        self.streams.saturating_add(self.given)
    }
}

/// The decisions of a pool of connections, as a plain value.
///
/// | call | what it does |
/// |---|---|
/// | [`get`](Self::get) | a connection by the [policy](PoolPolicy), at once or later |
/// | [`warm_up`](Self::warm_up) | tops up to the smallest size |
/// | [`put`](Self::put) | notes that a connection was in use until now |
/// | [`close`](Self::close) | closes all, refuses who waits, gives up dials |
/// | [`forget`](Self::forget) | takes back a request that waits |
///
/// | report | what it does |
/// |---|---|
/// | [`dialled`](Self::dialled), [`dial_failed`](Self::dial_failed) | how a dial ended |
/// | [`ended`](Self::ended) | a connection has ended by itself |
/// | [`stream_opened`](Self::stream_opened), [`stream_ended`](Self::stream_ended), [`streams`](Self::streams) | the load of a connection |
/// | [`open_failed`](Self::open_failed) | whether to try once more |
///
/// After any call with `&mut self`, do what [`poll_action`](Self::poll_action) says until it says
/// nothing, and call [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) is reached. A report about a key that the pool does not hold
/// changes nothing, but for a late [`dialled`](Self::dialled), which is told to close.
#[derive(Debug)]
pub struct PoolMachine {
    config: PoolConfig,
    /// In order of creation.
    entries: Vec<Entry>,
    dials: Vec<Dial>,
    /// Who waits for a connection, in order of asking.
    gets: VecDeque<Ticket>,
    /// Who waits for the smallest size.
    warm_ups: Vec<Ticket>,
    actions: VecDeque<Action>,
    /// Keys and tickets, which share one counter.
    next: u64,
    /// Dials that failed in a row; those of one burst count once.
    failures: u32,
    /// No dial before this.
    pause: Option<Instant>,
    next_health_check: Option<Instant>,
    next_idle_sweep: Option<Instant>,
    closed: bool,
    total_connections: u64,
    total_streams: u64,
    failed_connections: u64,
    health_check_failures: u64,
}

impl PoolMachine {
    /// An empty pool, whose sweeps run from now on.
    #[must_use]
    pub fn new(config: PoolConfig, now: Instant) -> Self {
        Self {
            next_health_check: config.health_sweep().map(|time| now + time),
            next_idle_sweep: config.idle_sweep().map(|time| now + time),
            config,
            entries: Vec::new(),
            dials: Vec::new(),
            gets: VecDeque::new(),
            warm_ups: Vec::new(),
            actions: VecDeque::new(),
            next: 0,
            failures: 0,
            pause: None,
            closed: false,
            total_connections: 0,
            total_streams: 0,
            failed_connections: 0,
            health_check_failures: 0,
        }
    }

    /// A connection by the policy: at once, or when one is made. Being given away counts as use.
    pub fn get(&mut self, now: Instant) -> Got {
        if self.closed {
            return Got::Refused(Refusal::Closed);
        }
        if let Some(key) = self.with_room() {
            return Got::Ready(self.give(now, key));
        }
        if self.waiting() < self.config.max_waiting {
            let ticket = Ticket(self.number());
            self.gets.push_back(ticket);
            self.begin_dials(now);
            if self.can_wait() {
                return Got::Wait(ticket);
            }
            self.gets.pop_back();
        }
        match self.least_loaded() {
            Some(key) => Got::Ready(self.give(now, key)),
            None => Got::Refused(Refusal::Exhausted),
        }
    }

    /// Tops up to the smallest size; connections that are being dialled count. The first dial that
    /// fails ends it.
    pub fn warm_up(&mut self, now: Instant) -> Warmth {
        if self.closed {
            return Warmth::Refused(Refusal::Closed);
        }
        if self.len() >= self.config.warm_size() {
            return Warmth::Warm;
        }
        if self.waiting() >= self.config.max_waiting {
            return Warmth::Refused(Refusal::Exhausted);
        }
        let ticket = Ticket(self.number());
        self.warm_ups.push(ticket);
        self.begin_dials(now);
        Warmth::Wait(ticket)
    }

    /// Takes back a request that waits. A dial that was begun for it goes on.
    pub fn forget(&mut self, ticket: Ticket) {
        self.gets.retain(|waiting| *waiting != ticket);
        self.warm_ups.retain(|waiting| *waiting != ticket);
    }

    /// Notes that a connection was in use until now. Connections that have ended, or were never of
    /// this pool, change nothing.
    pub fn put(&mut self, now: Instant, key: Key) {
        if let Some(entry) = self.live_entry(key) {
            entry.given = entry.given.saturating_sub(1);
            entry.used = now;
            self.settle(now);
        }
    }

    /// Closes every connection, gives up every dial and refuses everybody who waits. A second time
    /// it does nothing.
    pub fn close(&mut self) {
        self.closed = true;
        for entry in self.entries.drain(..).filter(|entry| !entry.ended) {
            self.actions.push_back(Action::Close(entry.key));
        }
        for dial in self.dials.drain(..) {
            self.actions.push_back(Action::GiveUp(dial.key));
        }
        for ticket in self.gets.drain(..).chain(self.warm_ups.drain(..)) {
            self.actions.push_back(Action::Refuse(ticket, Refusal::Closed));
        }
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Reports that a connection has ended by itself. It stays until a health check counts it, or
    /// its place is needed.
    pub fn ended(&mut self, now: Instant, key: Key) {
        if let Some(entry) = self.live_entry(key) {
            entry.ended = true;
            self.settle(now);
        }
    }

    /// Reports a stream that was opened through the pool.
    pub fn stream_opened(&mut self, now: Instant, key: Key) {
        self.total_streams = self.total_streams.saturating_add(1);
        if let Some(entry) = self.live_entry(key) {
            entry.given = entry.given.saturating_sub(1);
            entry.streams = entry.streams.saturating_add(1);
            entry.used = now;
        }
    }

    /// Reports that a stream of a connection has ended.
    pub fn stream_ended(&mut self, now: Instant, key: Key) {
        if let Some(entry) = self.live_entry(key) {
            entry.streams = entry.streams.saturating_sub(1);
            entry.used = now;
            self.settle(now);
        }
    }

    /// Reports how many streams a connection has, whoever opened them. That there are fewer counts
    /// as use until now.
    ///
    /// For embedders that can ask their connections; they do so before each other call.
    pub fn streams(&mut self, now: Instant, key: Key, count: usize) {
        if let Some(entry) = self.live_entry(key) {
            if count < entry.streams {
                entry.used = now;
            }
            entry.streams = count;
            entry.given = 0;
            self.settle(now);
        }
    }

    /// Reports that a stream could not be opened on a connection, and whether that has ended; says
    /// whether to ask for another one and try again. That is so once: when the connection had died
    /// in between, and this was the first attempt.
    pub fn open_failed(&mut self, now: Instant, key: Key, ended: bool, first: bool) -> bool {
        if ended {
            self.entries.retain(|entry| entry.key != key);
            self.settle(now);
        } else if let Some(entry) = self.live_entry(key) {
            entry.given = entry.given.saturating_sub(1);
            self.settle(now);
        }
        ended && first && !self.closed
    }

    /// Connections that live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live().count()
    }

    /// Whether no connection lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live().next().is_none()
    }

    /// The numbers at the moment.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            total_connections: self.total_connections,
            active_connections: self.len(),
            idle_connections: self.live().filter(|entry| entry.streams == 0).count(),
            total_streams: self.total_streams,
            failed_connections: self.failed_connections,
            health_check_failures: self.health_check_failures,
            dialling: self.dials.len(),
            waiting: self.waiting(),
        }
    }

    /// The next thing to do, if any.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn waiting(&self) -> usize {
        self.gets.len().saturating_add(self.warm_ups.len())
    }

    fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    fn live(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.ended)
    }

    fn live_entry(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key == key && !entry.ended)
    }

    /// The connection for the next caller, unless another one should be made first.
    fn with_room(&self) -> Option<Key> {
        match self.config.policy {
            PoolPolicy::Shared => self.live().next().map(|entry| entry.key),
            PoolPolicy::LeastStreams { grow_at } => {
                let least = self.live().min_by_key(|entry| entry.load())?;
                (least.load() < grow_at.max(1)).then_some(least.key)
            }
        }
    }

    /// The connection with the fewest streams; of several the oldest.
    fn least_loaded(&self) -> Option<Key> {
        self.live().min_by_key(|entry| entry.load()).map(|entry| entry.key)
    }

    fn give(&mut self, now: Instant, key: Key) -> Key {
        if let Some(entry) = self.live_entry(key) {
            entry.given = entry.given.saturating_add(1);
            entry.used = now;
        }
        key
    }

    /// Whether the caller that asked last has something to wait for.
    fn can_wait(&self) -> bool {
        match self.is_empty() {
            true => !self.dials.is_empty() || self.pause.is_some(),
            // A dial serves so many; who comes behind them shares what there is.
            false => self.gets.len() <= self.served_by_dials(),
        }
    }

    fn served_by_dials(&self) -> usize {
        self.dials.len().saturating_mul(self.config.policy.callers_a_dial())
    }

    /// After every change: gives what there is to those who wait, and begins the dials they need.
    fn settle(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        while let Some(key) = self.with_room()
            && let Some(ticket) = self.gets.pop_front()
        {
            self.grant(now, ticket, key);
        }
        if self.len() >= self.config.warm_size() {
            self.actions.extend(self.warm_ups.drain(..).map(Action::Warm));
        }
        self.begin_dials(now);
        while self.gets.len() > self.served_by_dials()
            && let Some(key) = self.least_loaded()
            && let Some(ticket) = self.gets.pop_back()
        {
            self.grant(now, ticket, key);
        }
    }

    fn grant(&mut self, now: Instant, ticket: Ticket, key: Key) {
        let key = self.give(now, key);
        self.actions.push_back(Action::Grant(ticket, key));
    }
}
