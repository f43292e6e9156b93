//! The directory of agents in Redis, which several relays share.
//!
//! One key for each agent, with the number of its tunnel in front of the value and a time to live
//! that its relay renews; what is compared with the number is compared by the store itself, so that
//! no late message of one relay undoes what another has said since. A set of the ids makes the list.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use trunkline_tokio::tunnel::{Directory, Place, Told, Unreachable};

use super::place::{decode, encode, epoch_text};

/// What the store does with a key that nobody renews, in milliseconds.
const TIME_TO_LIVE: u64 = 12_000;

/// How often keys are renewed.
const RENEWAL: Duration = Duration::from_secs(2);

/// How soon it is tried again when the store did not answer.
const RETRY: Duration = Duration::from_millis(300);

/// How long an answer of the store is waited for, and a connection to it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a place is believed in while the store is gone.
const BELIEVED: Duration = Duration::from_secs(60);

/// Most places of other relays that are kept.
const MOST: usize = 10_000;

/// Commands in one pipeline.
const AT_ONCE: usize = 500;

/// How long a list is given out again.
const LIST_AGE: Duration = Duration::from_secs(1);

/// The set of all ids. The braces keep all keys together where the store is a cluster.
const INDEX: &str = "{trunkline}:agents";

/// Renews a key that is still ours, or is gone; 0 when somebody else has it.
const RENEW: &str = "local now = redis.call('GET', KEYS[1]) \
    if now and string.sub(now, 1, 16) ~= string.sub(ARGV[1], 1, 16) then return 0 end \
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) \
    redis.call('SADD', KEYS[2], ARGV[3]) return 1";

/// Takes a key out that is still ours.
const WITHDRAW: &str = "local now = redis.call('GET', KEYS[1]) \
    if not now or string.sub(now, 1, 16) ~= ARGV[1] then return 0 end \
    redis.call('DEL', KEYS[1]) redis.call('SREM', KEYS[2], ARGV[2]) return 1";

/// A directory in Redis, by a connection that is made again whenever it breaks.
///
/// While the store is gone, agents of this relay are served as before, others are looked for where
/// they were last seen, for a minute; that is one warning in the log, and one line when it is over.
/// What was announced meanwhile is announced when it is back. Dropping it stops the renewals, and
/// the store forgets within twelve seconds.
pub(super) struct RedisDirectory {
    shared: Arc<Shared>,
    renewals: JoinHandle<()>,
    taken: tokio::sync::Mutex<mpsc::Receiver<(String, u64)>>,
}

struct Shared {
    client: Client,
    /// Made when it is needed, and given up with the first answer that does not come: the library's
    /// own manager keeps one whose answers are only late, as they are from a host that is gone.
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
    state: Mutex<State>,
    announced: Notify,
    taken: mpsc::Sender<(String, u64)>,
}

#[derive(Default)]
struct State {
    own: BTreeMap<String, Own>,
    /// Where agents were last seen, and when.
    seen: BTreeMap<String, (Place, Instant)>,
    listed: Option<(Instant, Vec<(String, Place)>)>,
    /// Since when the store does not answer, and when that was last found.
    gone: Option<Instant>,
    /// When it answered again after that: what it says may not be all yet.
    back: Option<Instant>,
}

struct Own {
    place: Place,
    /// Whether the store knows: until then it is told whatever else it has.
    told: bool,
}

impl RedisDirectory {
    /// A directory in the store at this address; call it within the runtime. It is reached for at
    /// once, and whether that succeeds shows in the log.
    ///
    /// The error is one line, without the address: that may hold a password.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let unusable = |error: RedisError| format!("the store's address is of no use: {error}");
        let client = Client::open(url).map_err(|error| match error.kind() {
            redis::ErrorKind::InvalidClientConfig => {
                "the store's address is no redis://HOST:PORT/DB \
                and no unix:///PATH"
                    .to_owned()
            }
            _ => unusable(error),
        })?;
        let (sender, taken) = mpsc::channel(64);
        let shared = Arc::new(Shared {
            client,
            connection: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            announced: Notify::new(),
            taken: sender,
        });
        let renewing = Arc::clone(&shared);
        let renewals = tokio::spawn(async move { renewing.renew_for_ever().await });
        Ok(Self { shared, renewals, taken: tokio::sync::Mutex::new(taken) })
    }
}

impl Drop for RedisDirectory {
    fn drop(&mut self) {
        self.renewals.abort();
    }
}

impl fmt::Debug for RedisDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisDirectory").field("own", &self.shared.lock().own.len()).finish()
    }
}

impl Directory for RedisDirectory {
    fn announce<'a>(&'a self, id: &'a str, place: Place) -> Told<'a, ()> {
        self.shared.lock().own.insert(id.to_owned(), Own { place, told: false });
        Box::pin(async {
            if self.shared.renew(Some(id)).await.is_err() {
                self.shared.announced.notify_one();
            }
        })
    }

    fn withdraw<'a>(&'a self, id: &'a str, epoch: u64) -> Told<'a, ()> {
        let mut state = self.shared.lock();
        if state.own.get(id).is_some_and(|own| own.place.epoch == epoch) {
            state.own.remove(id);
        }
        drop(state);
        Box::pin(async move {
            let mut command = redis::cmd("EVAL");
            command.arg(WITHDRAW).arg(2).arg(key(id)).arg(INDEX).arg(epoch_text(epoch)).arg(id);
            let told: Result<i64, Gone> = self.shared.ask(&command).await;
            // Then its time to live does it.
            if told.is_err() {
                tracing::debug!(agent = id, "the store was not told that an agent has left");
            }
        })
    }

    fn find<'a>(&'a self, id: &'a str) -> Told<'a, Result<Option<Place>, Unreachable>> {
        Box::pin(async move {
            if let Some(own) = self.shared.lock().own.get(id) {
                return Ok(Some(own.place.clone()));
            }
            let answer = match self.shared.is_gone_for_sure() {
                true => Err(Gone),
                false => self.shared.ask::<Option<Vec<u8>>>(redis::cmd("GET").arg(key(id))).await,
            };
            self.shared.seen_or_last_seen(id, answer)
        })
    }

    fn list(&self) -> Told<'_, Vec<(String, Place)>> {
        Box::pin(async {
            if let Some((at, list)) = &self.shared.lock().listed
                && at.elapsed() < LIST_AGE
            {
                return list.clone();
            }
            let list = match self.shared.is_gone_for_sure() {
                true => Err(Gone),
                false => self.shared.list().await,
            };
            let mut state = self.shared.lock();
            match list {
                Ok(list) => {
                    for (id, place) in &list {
                        state.see(id, place.clone());
                    }
                    state.listed = Some((Instant::now(), list.clone()));
                    list
                }
                Err(Gone) => state.believed(),
            }
        })
    }

    fn taken(&self) -> Told<'_, (String, u64)> {
        Box::pin(async {
            match self.taken.lock().await.recv().await {
                Some(taken) => taken,
                None => std::future::pending().await,
            }
        })
    }
}

/// The store does not answer; who asked may say so in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gone;

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store was found gone a moment ago: who asks now need not wait for that again.
    fn is_gone_for_sure(&self) -> bool {
        self.lock().gone.is_some()
    }

    /// Asks the store one thing, in bounded time.
    async fn ask<T: redis::FromRedisValue>(&self, command: &Cmd) -> Result<T, Gone> {
        let answer = async { command.query_async(&mut self.connected().await?).await };
        self.within(answer).await
    }

    async fn ask_all<T: redis::FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Gone> {
        let answer = async { commands.query_async(&mut self.connected().await?).await };
        self.within(answer).await
    }

    async fn connected(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let made = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        *connection = Some(made.clone());
        Ok(made)
    }

    async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, Gone> {
        let answer = tokio::time::timeout(PATIENCE * 2, answer).await;
        let failed = match answer {
            Ok(Ok(answer)) => {
                self.answered();
                return Ok(answer);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        // Whoever makes one this very moment has its own time for that.
        if let Ok(mut connection) = self.connection.try_lock() {
            *connection = None;
        }
        let mut state = self.lock();
        if state.gone.replace(Instant::now()).is_none() {
            drop(state);
            tracing::warn!(
                "the store does not answer ({failed}); agents are looked for where they were last seen"
            );
        }
        Err(Gone)
    }

    fn answered(&self) {
        let mut state = self.lock();
        if state.gone.take().is_some() {
            state.back = Some(Instant::now());
            drop(state);
            tracing::warn!("the store answers again");
        }
    }

    async fn renew_for_ever(&self) {
        loop {
            let pause = if self.renew(None).await.is_ok() { RENEWAL } else { RETRY };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // What could not be announced is tried again sooner, but not at once.
                () = self.announced.notified() => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Tells the store of one agent of this relay, or of all; asks for its health when there is none.
    async fn renew(&self, only: Option<&str>) -> Result<(), Gone> {
        let own: Vec<(String, Place, bool)> = {
            let state = self.lock();
            let chosen = state.own.iter().filter(|(id, _)| only.is_none_or(|only| only == *id));
            chosen.map(|(id, own)| (id.clone(), own.place.clone(), own.told)).collect()
        };
        if own.is_empty() {
            return self.ask::<String>(&redis::cmd("PING")).await.map(|_| ());
        }
        for some in own.chunks(AT_ONCE) {
            let mut commands = redis::pipe();
            for (id, place, told) in some {
                let value = encode(place);
                if *told {
                    let renew = commands.cmd("EVAL").arg(RENEW).arg(2).arg(key(id)).arg(INDEX);
                    renew.arg(value).arg(TIME_TO_LIVE).arg(id);
                } else {
                    commands.cmd("SADD").arg(INDEX).arg(id).ignore();
                    commands.cmd("SET").arg(key(id)).arg(value).arg("PX").arg(TIME_TO_LIVE);
                }
            }
            let answers: Vec<redis::Value> = self.ask_all(&commands).await?;
            for ((id, place, _), answer) in some.iter().zip(answers) {
                self.was_renewed(id, place.epoch, answer != redis::Value::Int(0));
            }
        }
        Ok(())
    }

    fn was_renewed(&self, id: &str, epoch: u64, ours: bool) {
        let mut state = self.lock();
        let Some(own) = state.own.get_mut(id).filter(|own| own.place.epoch == epoch) else {
            return;
        };
        if ours {
            own.told = true;
        } else if self.taken.try_send((id.to_owned(), epoch)).is_ok() {
            // Else it is found again with the next renewal.
            state.own.remove(id);
        }
    }

    /// What the store says of an agent, and what was seen before where that does not count.
    fn seen_or_last_seen(
        &self,
        id: &str,
        answer: Result<Option<Vec<u8>>, Gone>,
    ) -> Result<Option<Place>, Unreachable> {
        let mut state = self.lock();
        match answer.map(|value| value.and_then(|value| decode(&value))) {
            Ok(Some(place)) => {
                state.see(id, place.clone());
                Ok(Some(place))
            }
            // A store that has just come back may have forgotten all, and be told again only now.
            Ok(None) if state.back.is_some_and(|back| back.elapsed() < RENEWAL * 2) => {
                Ok(state.last_seen(id))
            }
            Ok(None) => {
                state.seen.remove(id);
                Ok(None)
            }
            Err(Gone) => state.last_seen(id).map(Some).ok_or(Unreachable),
        }
    }

    async fn list(&self) -> Result<Vec<(String, Place)>, Gone> {
        let ids: Vec<String> = self.ask(redis::cmd("SMEMBERS").arg(INDEX)).await?;
        let mut list = Vec::new();
        let mut over = Vec::new();
        for some in ids.chunks(AT_ONCE) {
            let keys: Vec<String> = some.iter().map(|id| key(id)).collect();
            let values: Vec<Option<Vec<u8>>> = self.ask(redis::cmd("MGET").arg(keys)).await?;
            for (id, value) in some.iter().zip(values) {
                match value.and_then(|value| decode(&value)) {
                    Some(place) => list.push((id.clone(), place)),
                    None => over.push(id),
                }
            }
        }
        if !over.is_empty() {
            // One that is announced this very moment is put back with its next renewal.
            let _: i64 = self.ask(redis::cmd("SREM").arg(INDEX).arg(over)).await?;
        }
        list.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(list)
    }
}

impl State {
    fn see(&mut self, id: &str, place: Place) {
        if self.seen.len() >= MOST && !self.seen.contains_key(id) {
            self.seen.retain(|_, (_, at)| at.elapsed() < BELIEVED);
            if self.seen.len() >= MOST {
                self.seen.pop_first();
            }
        }
        self.seen.insert(id.to_owned(), (place, Instant::now()));
    }

    fn last_seen(&self, id: &str) -> Option<Place> {
        let (place, at) = self.seen.get(id)?;
        (at.elapsed() < BELIEVED).then(|| place.clone())
    }

    fn believed(&self) -> Vec<(String, Place)> {
        let seen = self.seen.iter().filter(|(_, (_, at))| at.elapsed() < BELIEVED);
        let mut all: BTreeMap<_, _> =
            seen.map(|(id, (place, _))| (id.clone(), place.clone())).collect();
        all.extend(self.own.iter().map(|(id, own)| (id.clone(), own.place.clone())));
        all.into_iter().collect()
    }
}

fn key(id: &str) -> String {
    format!("{{trunkline}}:agent:{id}")
}
