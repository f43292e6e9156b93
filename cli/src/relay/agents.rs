//! The agents that have joined this relay, and what is known of them.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::tokens::Proof;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;
use trunkline_tokio::tunnel::{Dialect, Place, Registry, Tunnel};

/// How long it is remembered that an agent was here.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Longest text of an agent's document that is shown.
const LONGEST: usize = 200;

/// One agent, as long as its tunnel lives.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: String,
    /// What let it in.
    pub(super) proof: Proof,
    pub(super) tunnel: Tunnel,
    pub(super) address: SocketAddr,
    pub(super) since: u64,
    /// Another number for each tunnel, at whatever relay.
    pub(super) epoch: u64,
    info: Mutex<Value>,
    last_error: Mutex<Option<String>>,
    errors: AtomicU64,
    rate: Mutex<Rate>,
}

/// What went through a tunnel lately.
#[derive(Debug, Default)]
struct Rate {
    at: Option<Instant>,
    counted: [u64; 3],
    shown: [f64; 3],
}

impl Agent {
    pub(super) fn new(proof: Proof, tunnel: Tunnel, address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            id: proof.name.clone(),
            proof,
            tunnel,
            address,
            since: now_ms(),
            epoch: RandomState::new().build_hasher().finish(),
            info: Mutex::new(Value::Null),
            last_error: Mutex::new(None),
            errors: AtomicU64::new(0),
            rate: Mutex::default(),
        })
    }

    /// Takes the document that the agent tells about itself; one that is no JSON is kept out.
    pub(super) fn told(&self, document: &Bytes) {
        match serde_json::from_slice::<Value>(document) {
            Ok(info @ Value::Object(_)) => *lock(&self.info) = info,
            _ => tracing::debug!(agent = self.id, "the agent's document is no JSON object"),
        }
    }

    /// Notes a call that failed.
    pub(super) fn failed(&self, text: String) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        *lock(&self.last_error) = Some(text);
    }

    /// What the page shows.
    pub(super) fn show(&self, relay: &str) -> Shown {
        let info = lock(&self.info).clone();
        let text = |name: &str| {
            let text = info.get(name)?.as_str()?;
            Some(text.chars().take(LONGEST).collect::<String>())
        };
        let stats = self.tunnel.connection().stats();
        let calls = self.tunnel.stats();
        let own = self.tunnel.dialect() == Dialect::Own;
        let ours = info.get("trunkline");
        let can = |name: &str| ours.and_then(|ours| ours.get(name)?.as_bool());
        let forwards = ours.and_then(|ours| {
            let list = ours.get("forwards")?.as_array()?;
            Some(
                list.iter().filter_map(|text| text.as_str().map(str::to_owned)).take(100).collect(),
            )
        });
        let (up, down) = (stats.bytes_out, stats.bytes_in);
        let [requests, rate_up, rate_down] = self.rate([calls.opened, up, down]);
        Shown {
            id: self.id.clone(),
            since_ms: self.since,
            address: Some(self.address.to_string()),
            dialect: if own { "own" } else { "original" },
            relay: relay.to_owned(),
            version: text("agent_version"),
            hostname: text("hostname"),
            os: text("os"),
            platform: text("platform"),
            arch: text("kernel_arch"),
            cpus: info.get("cpu_count_logical").and_then(Value::as_u64),
            memory: info.get("memory_total").and_then(Value::as_u64),
            http: can("http"),
            shell: can("shell"),
            forwards,
            streams: Some(Streams {
                live: stats.streams as u64,
                opened: calls.opened,
                failed: calls.failed,
            }),
            bytes: Some(Both { up, down }),
            rate: Some(Rates { requests, up: rate_up, down: rate_down }),
            errors: self.errors.load(Ordering::Relaxed),
            last_error: lock(&self.last_error).clone(),
        }
    }

    /// What was counted since it was last asked for, a second; asked for more often than twice a
    /// second it says the same again.
    fn rate(&self, counted: [u64; 3]) -> [f64; 3] {
        let mut rate = lock(&self.rate);
        let now = Instant::now();
        let Some(at) = rate.at else {
            (rate.at, rate.counted) = (Some(now), counted);
            return rate.shown;
        };
        let past = now.duration_since(at).as_secs_f64();
        if past >= 0.5 {
            let last = rate.counted;
            for (shown, (now, last)) in rate.shown.iter_mut().zip(counted.into_iter().zip(last)) {
                *shown = now.saturating_sub(last) as f64 / past;
            }
            (rate.at, rate.counted) = (Some(now), counted);
        }
        rate.shown
    }
}

/// An agent, as the page and other relays see it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shown {
    id: String,
    since_ms: u64,
    address: Option<String>,
    dialect: &'static str,
    relay: String,
    version: Option<String>,
    hostname: Option<String>,
    os: Option<String>,
    platform: Option<String>,
    arch: Option<String>,
    cpus: Option<u64>,
    memory: Option<u64>,
    http: Option<bool>,
    shell: Option<bool>,
    forwards: Option<Vec<String>>,
    streams: Option<Streams>,
    bytes: Option<Both>,
    rate: Option<Rates>,
    errors: u64,
    last_error: Option<String>,
}

impl Shown {
    /// What is known of an agent that another relay holds.
    pub(super) fn elsewhere(id: String, place: Place) -> Self {
        Self {
            id,
            since_ms: place.since_ms,
            address: None,
            dialect: if place.dialect == Dialect::Own { "own" } else { "original" },
            relay: place.relay,
            version: None,
            hostname: None,
            os: None,
            platform: None,
            arch: None,
            cpus: None,
            memory: None,
            http: None,
            shell: None,
            forwards: None,
            streams: None,
            bytes: None,
            rate: None,
            errors: 0,
            last_error: None,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
struct Streams {
    live: u64,
    opened: u64,
    failed: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Both {
    up: u64,
    down: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Rates {
    requests: f64,
    up: f64,
    down: f64,
}

/// All agents of this relay.
#[derive(Debug, Default)]
pub(super) struct Agents {
    registry: Registry,
    known: Mutex<BTreeMap<String, Arc<Agent>>>,
    /// Agents that left, and when.
    left: Mutex<BTreeMap<String, Instant>>,
    joined: Notify,
}

impl Agents {
    /// Stores an agent, in the place of one with the same id, whose tunnel ends by it. Returns once
    /// its tunnel is over and it is taken out; says whether it was still the one that was stored.
    pub(super) async fn serve(&self, agent: &Arc<Agent>) -> bool {
        let generation = {
            // Both under one lock: of two that join at once the same one must win in both.
            let mut known = lock(&self.known);
            known.insert(agent.id.clone(), Arc::clone(agent));
            self.registry.register(&agent.id, agent.tunnel.clone())
        };
        lock(&self.left).remove(&agent.id);
        self.joined.notify_waiters();
        let reason = agent.tunnel.closed().await;
        tracing::info!(agent = agent.id, %reason, "an agent has left");
        let was = self.registry.unregister(&agent.id, generation);
        let mut known = lock(&self.known);
        if known.get(&agent.id).is_some_and(|known| Arc::ptr_eq(known, agent)) {
            known.remove(&agent.id);
            let mut left = lock(&self.left);
            left.retain(|_, at| at.elapsed() < REMEMBERED);
            left.insert(agent.id.clone(), Instant::now());
        }
        was
    }

    /// The agent with this id, if its tunnel takes streams: one that is about to leave has left.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Agent>> {
        let known = lock(&self.known).get(id).cloned();
        known.filter(|agent| agent.tunnel.connection().opens())
    }

    /// Whether an agent with this id has left a moment ago.
    pub(super) fn was_here(&self, id: &str) -> bool {
        lock(&self.left).get(id).is_some_and(|at| at.elapsed() < REMEMBERED)
            || lock(&self.known).contains_key(id)
    }

    /// Ready when some agent has joined since this was called.
    pub(super) fn joined(&self) -> impl Future<Output = ()> {
        self.joined.notified()
    }

    /// All of them, by id.
    pub(super) fn list(&self) -> Vec<Arc<Agent>> {
        lock(&self.known).values().cloned().collect()
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
