//! The pool against a model: the books of a caller that knows the rules and none of the code.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use trunkline_core::Instant;
use trunkline_core::pool::{
    Action, Got, Key, PoolConfig, PoolMachine, PoolPolicy, Refusal, Ticket, Warmth,
};

#[derive(Clone, Debug)]
enum Op {
    Get,
    WarmUp,
    Put(usize),
    /// Time passes, in milliseconds.
    Pass(u32),
    Dialled(usize),
    Failed(usize, u64),
    Ended(usize),
    Opened(usize),
    StreamEnded(usize),
    OpenFailed(usize, bool),
    Forget(usize),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    let one = any::<usize>;
    prop_oneof![
        6 => Just(Op::Get),
        1 => Just(Op::WarmUp),
        2 => one().prop_map(Op::Put),
        4 => prop_oneof![0..200_u32, 0..60_000_u32].prop_map(Op::Pass),
        5 => one().prop_map(Op::Dialled),
        3 => (one(), any::<u64>()).prop_map(|(at, random)| Op::Failed(at, random)),
        2 => one().prop_map(Op::Ended),
        4 => one().prop_map(Op::Opened),
        4 => one().prop_map(Op::StreamEnded),
        1 => (one(), any::<bool>()).prop_map(|(at, ended)| Op::OpenFailed(at, ended)),
        1 => one().prop_map(Op::Forget),
        1 => Just(Op::Close),
    ]
}

fn config() -> impl Strategy<Value = PoolConfig> {
    let policy = prop_oneof![
        Just(PoolPolicy::Shared),
        (0..4_usize).prop_map(|grow_at| PoolPolicy::LeastStreams { grow_at }),
    ];
    let millis = || prop_oneof![1 => Just(0), 9 => 2_000..100_000_u64];
    let time = || prop::option::of(millis().prop_map(Duration::from_millis));
    (0..5_usize, 0..4_usize, time(), time(), time(), 0..9_usize, policy).prop_map(
        |(max_size, min_size, idle, health, connect, max_waiting, policy)| {
            let mut config = PoolConfig::default();
            (config.max_size, config.min_size, config.max_waiting) =
                (max_size, min_size, max_waiting);
            (config.max_idle_time, config.health_check_interval) = (idle, health);
            (config.connect_timeout, config.policy) = (connect, policy);
            config
        },
    )
}

#[derive(Debug, Default)]
struct Live {
    streams: usize,
    given: usize,
    used: Instant,
}

/// What a caller knows: who lives, who is dialled since when, who waits.
struct Model {
    config: PoolConfig,
    pool: PoolMachine,
    now: Instant,
    /// In order of creation.
    order: Vec<Key>,
    live: BTreeMap<Key, Live>,
    /// When each began, and behind how many failures.
    dials: BTreeMap<Key, (Instant, u32)>,
    gets: Vec<Ticket>,
    warm_ups: Vec<Ticket>,
    seen: BTreeSet<Key>,
    over: Vec<Key>,
    /// Failures in a row; those of dials that were under way together count once.
    failures: u32,
    /// The shortest and the longest pause that there may be, as the times when they end.
    pause: (Instant, Instant),
    closed: bool,
    total: u64,
    failed: u64,
    opened: u64,
}

fn pick<T: Copy>(from: impl Iterator<Item = T>, at: usize) -> Option<T> {
    let all: Vec<T> = from.collect();
    (!all.is_empty()).then(|| all[at % all.len()])
}

impl Model {
    fn new(config: PoolConfig) -> Self {
        Self {
            pool: PoolMachine::new(config.clone(), Instant::ORIGIN),
            config,
            now: Instant::ORIGIN,
            order: vec![],
            live: BTreeMap::new(),
            dials: BTreeMap::new(),
            gets: vec![],
            warm_ups: vec![],
            seen: BTreeSet::new(),
            over: vec![],
            failures: 0,
            pause: (Instant::ORIGIN, Instant::ORIGIN),
            closed: false,
            total: 0,
            failed: 0,
            opened: 0,
        }
    }

    fn load(&self, key: Key) -> usize {
        self.live[&key].streams + self.live[&key].given
    }

    fn least(&self) -> Option<usize> {
        self.live.keys().map(|key| self.load(*key)).min()
    }

    /// A connection that is given away is the one that the policy says.
    fn given(&mut self, key: Key) {
        match self.config.policy {
            PoolPolicy::Shared => assert_eq!(self.order.first(), Some(&key), "not the oldest"),
            _ => assert_eq!(Some(self.load(key)), self.least(), "not the one with the fewest"),
        }
        let now = self.now;
        let live = self.live.get_mut(&key).expect("a live one");
        (live.used, live.given) = (now, live.given + 1);
    }

    /// `why` is what a refusal may say at this moment.
    fn actions(&mut self, why: Option<Refusal>) {
        while let Some(action) = self.pool.poll_action() {
            match action {
                Action::Dial(key) => {
                    assert!(!self.closed && self.seen.insert(key), "{key:?}");
                    assert!(self.now >= self.pause.0, "a dial during a pause");
                    let waits = !self.gets.is_empty() || !self.warm_ups.is_empty();
                    assert!(waits, "for nobody");
                    self.dials.insert(key, (self.now, self.failures));
                    assert!(self.failures == 0 || self.dials.len() == 1, "one tries for all");
                    assert!(self.dials.len() + self.live.len() <= self.config.max_size);
                }
                Action::GiveUp(key) => {
                    let (begun, burst) = self.dials.remove(&key).expect("a dial under way");
                    let limit = self.config.connect_timeout.filter(|limit| !limit.is_zero());
                    let late = limit.is_some_and(|limit| self.now >= begun + limit);
                    assert!(late || self.closed);
                    self.over.push(key);
                    if !self.closed {
                        self.failed(burst);
                    }
                }
                Action::Close(key) => self.close(key),
                Action::Grant(ticket, key) => {
                    let at = self.gets.iter().position(|waiting| *waiting == ticket);
                    self.gets.remove(at.expect("somebody who waits"));
                    self.given(key);
                }
                Action::Warm(ticket) => {
                    let at = self.warm_ups.iter().position(|waiting| *waiting == ticket);
                    self.warm_ups.remove(at.expect("somebody who waits"));
                    let enough = self.config.min_size.min(self.config.max_size);
                    assert!(self.live.len() >= enough);
                }
                Action::Refuse(ticket, reason) => {
                    assert_eq!(Some(reason), why);
                    let waiting = self.gets.len() + self.warm_ups.len();
                    self.gets.retain(|waiting| *waiting != ticket);
                    self.warm_ups.retain(|waiting| *waiting != ticket);
                    assert_eq!(self.gets.len() + self.warm_ups.len(), waiting - 1, "not waiting");
                }
            }
        }
        self.check();
    }

    /// Only a late one, or one that is idle, or every one when the pool is closed.
    fn close(&mut self, key: Key) {
        if let Some(live) = self.live.remove(&key) {
            self.order.retain(|other| *other != key);
            if !self.closed {
                let limit = self.config.max_idle_time.expect("a limit");
                assert!(live.streams == 0 && self.now.saturating_since(live.used) > limit);
                assert!(self.live.len() >= self.config.min_size);
            }
        }
        self.over.push(key);
    }

    /// What holds after every call.
    fn check(&self) {
        let stats = self.pool.stats();
        assert_eq!((self.pool.len(), stats.active_connections), (self.live.len(), self.live.len()));
        let idle = self.live.values().filter(|live| live.streams == 0).count();
        assert_eq!(stats.idle_connections, idle);
        assert_eq!((stats.total_connections, stats.total_streams), (self.total, self.opened));
        assert_eq!((stats.failed_connections, stats.dialling), (self.failed, self.dials.len()));
        assert_eq!(stats.waiting, self.gets.len() + self.warm_ups.len());
        assert!(stats.waiting <= self.config.max_waiting);
        let deadline = self.pool.poll_timeout();
        if self.closed {
            assert_eq!((deadline, stats.waiting), (None, 0));
        }
        // Whoever waits has a dial under way, or the end of a pause ahead.
        let hope = !self.dials.is_empty() || deadline.is_some_and(|at| at <= self.pause.1);
        assert!(stats.waiting == 0 || hope, "somebody waits for nothing");
        // And nobody waits although there is one to be had.
        if self.config.policy == PoolPolicy::Shared && !self.live.is_empty() {
            assert!(self.gets.is_empty());
        }
    }

    fn failed(&mut self, burst: u32) {
        self.failed += 1;
        if burst == self.failures {
            let whole =
                Duration::from_millis(100 << self.failures.min(7)).min(Duration::from_secs(10));
            self.pause = (self.now + whole / 2, self.now + whole);
            self.failures += 1;
        }
    }

    fn pass(&mut self, millis: u32) {
        let end = self.now + Duration::from_millis(millis.into());
        let mut turns = 0;
        while let Some(at) = self.pool.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.pool.handle_timeout(self.now, 0);
            self.actions(Some(Refusal::DialTimedOut));
            turns += 1;
            assert!(turns < 300_000, "time stands still");
        }
        self.now = end;
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Get => match self.pool.get(self.now) {
                Got::Ready(key) => self.given(key),
                Got::Wait(ticket) => self.gets.push(ticket),
                Got::Refused(Refusal::Closed) => assert!(self.closed),
                Got::Refused(why) => {
                    assert_eq!(why, Refusal::Exhausted);
                    let full = self.gets.len() + self.warm_ups.len() >= self.config.max_waiting;
                    assert!(self.live.is_empty() && (full || self.config.max_size == 0));
                }
            },
            Op::WarmUp => match self.pool.warm_up(self.now) {
                Warmth::Warm => {
                    let enough = self.config.min_size.min(self.config.max_size);
                    assert!(self.live.len() >= enough);
                }
                Warmth::Wait(ticket) => self.warm_ups.push(ticket),
                Warmth::Refused(Refusal::Closed) => assert!(self.closed),
                Warmth::Refused(_) => {
                    let waiting = self.gets.len() + self.warm_ups.len();
                    assert!(waiting >= self.config.max_waiting);
                }
            },
            Op::Put(at) => {
                if let Some(key) = pick(self.order.iter().chain(&self.over).copied(), at) {
                    let now = self.now;
                    if let Some(live) = self.live.get_mut(&key) {
                        (live.used, live.given) = (now, live.given.saturating_sub(1));
                    }
                    self.pool.put(now, key);
                }
            }
            Op::Pass(millis) => self.pass(millis),
            Op::Dialled(at) => {
                let Some(key) = pick(self.dials.keys().chain(&self.over).copied(), at) else {
                    return;
                };
                if self.dials.remove(&key).is_some() {
                    self.order.push(key);
                    self.live.insert(key, Live { used: self.now, ..Live::default() });
                    (self.total, self.failures) = (self.total + 1, 0);
                    self.pause = (Instant::ORIGIN, Instant::ORIGIN);
                }
                self.pool.dialled(self.now, key);
            }
            Op::Failed(at, random) => {
                let Some(key) = pick(self.dials.keys().copied(), at) else { return };
                let (_, burst) = self.dials.remove(&key).expect("a dial");
                self.failed(burst);
                self.pool.dial_failed(self.now, key, random);
                return self.actions(Some(Refusal::DialFailed));
            }
            Op::Ended(at) => {
                if let Some(key) = pick(self.order.iter().copied(), at) {
                    self.lose(key);
                    self.pool.ended(self.now, key);
                }
            }
            Op::Opened(at) => {
                if let Some(key) = pick(self.order.iter().copied(), at) {
                    let now = self.now;
                    let live = self.live.get_mut(&key).expect("a live one");
                    live.given = live.given.saturating_sub(1);
                    (live.streams, live.used) = (live.streams + 1, now);
                    self.opened += 1;
                    self.pool.stream_opened(now, key);
                }
            }
            Op::StreamEnded(at) => {
                if let Some(key) = pick(self.order.iter().copied(), at) {
                    let now = self.now;
                    let live = self.live.get_mut(&key).expect("a live one");
                    (live.streams, live.used) = (live.streams.saturating_sub(1), now);
                    self.pool.stream_ended(now, key);
                }
            }
            Op::OpenFailed(at, ended) => {
                if let Some(key) = pick(self.order.iter().copied(), at) {
                    if ended {
                        self.lose(key);
                    } else {
                        let live = self.live.get_mut(&key).expect("a live one");
                        live.given = live.given.saturating_sub(1);
                    }
                    assert_eq!(self.pool.open_failed(self.now, key, ended, true), ended);
                }
            }
            Op::Forget(at) => {
                let waiting = self.gets.iter().chain(&self.warm_ups).copied();
                if let Some(ticket) = pick(waiting, at) {
                    self.gets.retain(|other| *other != ticket);
                    self.warm_ups.retain(|other| *other != ticket);
                    self.pool.forget(ticket);
                }
            }
            Op::Close => {
                self.closed = true;
                self.pool.close();
                return self.actions(Some(Refusal::Closed));
            }
        }
        self.actions(None);
    }

    fn lose(&mut self, key: Key) {
        self.live.remove(&key);
        self.order.retain(|other| *other != key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pool_keeps_its_rules_whatever_happens(
        config in config(),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut model = Model::new(config);
        ops.into_iter().for_each(|op| model.apply(op));
        // What is under way ends, and then nobody waits any more.
        let mut turns = 0;
        while !model.dials.is_empty() || model.pool.stats().waiting > 0 {
            model.apply(Op::Failed(0, 0));
            model.apply(Op::Pass(11_000));
            turns += 1;
            assert!(turns < 100, "somebody waits for ever");
        }
    }
}
