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
use trunkline_tokio::tunnel::{Dialect, Generation, Place, Registry, Tunnel};

/// How long it is remembered that an agent was here.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Longest text of an agent's document that is shown.
const LONGEST: usize = 200;

/// Most ports of its list that are shown.
const FORWARDS: usize = 100;

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
    info: Mutex<Info>,
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
            info: Mutex::default(),
            last_error: Mutex::new(None),
            errors: AtomicU64::new(0),
            rate: Mutex::default(),
        })
    }

    /// Takes the document that the agent tells about itself, and keeps what is shown of it; one that
    /// is no JSON is kept out.
    pub(super) fn told(&self, document: &Bytes) {
        match serde_json::from_slice::<Value>(document) {
            Ok(told @ Value::Object(_)) => *lock(&self.info) = Info::of(&told),
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
        let stats = self.tunnel.connection().stats();
        let calls = self.tunnel.stats();
        let own = self.tunnel.dialect() == Dialect::Own;
        let (up, down) = (stats.bytes_out, stats.bytes_in);
        let [requests, rate_up, rate_down] = self.rate([calls.opened, up, down]);
        Shown {
            id: self.id.clone(),
            since_ms: self.since,
            address: Some(self.address.to_string()),
            dialect: if own { "own" } else { "original" },
            relay: relay.to_owned(),
            info,
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
    #[serde(flatten)]
    info: Info,
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
            info: Info::default(),
            streams: None,
            bytes: None,
            rate: None,
            errors: 0,
            last_error: None,
        }
    }
}

/// What an agent tells about itself, as far as it is shown; nothing in it is long.
#[derive(Clone, Debug, Default, Serialize)]
struct Info {
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
}

impl Info {
    fn of(told: &Value) -> Self {
        let short = |value: &Value| Some(value.as_str()?.chars().take(LONGEST).collect::<String>());
        let text = |name: &str| short(told.get(name)?);
        let number = |name: &str| told.get(name).and_then(Value::as_u64);
        let ours = told.get("trunkline");
        let can = |name: &str| ours.and_then(|ours| ours.get(name)?.as_bool());
        let forwards = ours.and_then(|ours| ours.get("forwards")?.as_array());
        Self {
            version: text("agent_version"),
            hostname: text("hostname"),
            os: text("os"),
            platform: text("platform"),
            arch: text("kernel_arch"),
            cpus: number("cpu_count_logical"),
            memory: number("memory_total"),
            http: can("http"),
            shell: can("shell"),
            forwards: forwards.map(|list| list.iter().take(FORWARDS).filter_map(short).collect()),
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
    /// Stores an agent, in the place of one with the same id, whose tunnel ends by it. What `tell`
    /// does is done for the agents of one id in the order in which they are stored.
    pub(super) fn store<T>(&self, agent: &Arc<Agent>, tell: impl FnOnce() -> T) -> (Generation, T) {
        let stored = {
            // All under one lock: of two that join at once the same one must win everywhere.
            let mut known = lock(&self.known);
            known.insert(agent.id.clone(), Arc::clone(agent));
            (self.registry.register(&agent.id, agent.tunnel.clone()), tell())
        };
        lock(&self.left).remove(&agent.id);
        self.joined.notify_waiters();
        stored
    }

    /// Returns once the agent's tunnel is over and it is taken out.
    pub(super) async fn serve(&self, agent: &Arc<Agent>, generation: Generation) {
        let reason = agent.tunnel.closed().await;
        tracing::info!(agent = agent.id, %reason, "an agent has left");
        self.registry.unregister(&agent.id, generation);
        let mut known = lock(&self.known);
        if known.get(&agent.id).is_some_and(|known| Arc::ptr_eq(known, agent)) {
            known.remove(&agent.id);
            let mut left = lock(&self.left);
            left.retain(|_, at| at.elapsed() < REMEMBERED);
            left.insert(agent.id.clone(), Instant::now());
        }
    }

    /// The name of the agent that a part of a host name means, which has no case: one that is here,
    /// or has left a moment ago.
    pub(super) fn meant(&self, label: &str) -> Option<String> {
        let same = |id: &&String| id.eq_ignore_ascii_case(label);
        let known = lock(&self.known);
        if known.contains_key(label) {
            return Some(label.to_owned());
        }
        let here = known.keys().find(same).cloned();
        here.or_else(|| lock(&self.left).keys().find(same).cloned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_an_agent_tells_is_kept_at_length() {
        let long = "x".repeat(100_000);
        let told = serde_json::json!({
            "hostname": long, "os": 5, "memory_total": -1, "cpu_count_logical": 8, "else": long,
            "trunkline": { "shell": true, "forwards": vec![long.clone(); 1000] },
        });
        let info = Info::of(&told);
        assert_eq!(info.hostname.as_deref(), Some(&long[..LONGEST]));
        assert_eq!((info.os.as_deref(), info.memory, info.cpus), (None, None, Some(8)));
        assert_eq!((info.http, info.shell), (None, Some(true)));
        let forwards = info.forwards.clone().unwrap();
        assert_eq!(forwards.len(), FORWARDS);
        assert!(forwards.iter().all(|text| text.len() == LONGEST));
        assert!(serde_json::to_string(&info).unwrap().len() < 32_000);
        // The keys are there even when nothing was told.
        let nothing = serde_json::to_value(Info::of(&Value::Null)).unwrap();
        assert!(nothing["forwards"].is_null() && nothing.as_object().unwrap().len() == 10);
    }
}
