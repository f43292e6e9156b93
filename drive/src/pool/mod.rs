//! A pool of connections over any wire, by any way to dial.
//!
//! What it decides stands in [`trunkline_core::pool`]; here are its handles, its timer and its dials.
//! `docs/pool.md` has the rules as tables.

mod error;
mod keeper;
mod pooled;
mod shared;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use trunkline_core::pool::{Key, PoolConfig, PoolStats, Ticket};

pub use error::PoolError;
pub use pooled::Pooled;

use crate::Runtime;
use keeper::Keeper;
use shared::{Asked, Outcome, Shared};

/// A pool of connections: dials, shares, warms up, takes out what has ended, closes what is idle.
///
/// Cloning gives another handle of the same pool; any number of tasks may use it at the same time,
/// also from outside of the runtime it was made in. When the last handle is dropped, dials under way
/// are given up and the pool's own handles of its connections are dropped: a connection that
/// somebody else still holds lives on. [`close`](Self::close) ends them all in order.
pub struct Pool<R, C: Pooled> {
    handle: Arc<Handle<C>>,
    runtime: PhantomData<fn() -> R>,
}

/// Ends the pool with its last handle.
struct Handle<C: Pooled>(Arc<Shared<C>>);

impl<C: Pooled> Drop for Handle<C> {
    fn drop(&mut self) {
        self.0.unkept();
    }
}

impl<R: Runtime, C: Pooled> Pool<R, C> {
    /// An empty pool; nothing is dialled before it is needed. Call it from within the runtime.
    ///
    /// `dial` makes one connection, with the side and the settings of its choice. It runs as a task
    /// of its own, which is dropped when it takes longer than
    /// [`connect_timeout`](PoolConfig::connect_timeout) or the pool is closed; a panic in it is a
    /// dial that failed.
    #[must_use]
    pub fn new<D, F>(config: PoolConfig, dial: D) -> Self
    where
        D: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<C>> + Send + 'static,
    {
        let shared = Shared::new(config, Box::new(move || Box::pin(dial())), R::clock());
        R::spawn(Keeper::<R, C>::new(Arc::clone(&shared)));
        Self { handle: Arc::new(Handle(shared)), runtime: PhantomData }
    }

    fn shared(&self) -> &Arc<Shared<C>> {
        &self.handle.0
    }

    /// A connection, by the [policy](PoolConfig::policy); connections are shared, so it need not be
    /// given back. Waits while one is dialled, and for the pause behind a dial that failed.
    ///
    /// It can end at any moment, and the idle clean-up may close it when it has no streams and
    /// neither `get` nor [`put`](Self::put) was called for it for long. [`open`](Self::open) takes
    /// care of both.
    ///
    /// Cancel safe: whoever gives up loses its place, and the dial goes on for others.
    ///
    /// # Errors
    ///
    /// When the pool is closed or exhausted, or the dial failed or took too long: [`PoolError`] is
    /// the source.
    pub async fn get(&self) -> io::Result<C> {
        self.obtain(false).await.map(|(_, connection)| connection)
    }

    /// Opens a stream on a connection of the pool; tries another one when that connection had died
    /// in between, once.
    ///
    /// Cancel safe in that nothing is left open when the future is dropped.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and what the connection says when it opens no stream.
    pub async fn open(&self) -> io::Result<C::Stream> {
        let mut first = true;
        loop {
            let (key, connection) = self.obtain(true).await?;
            let opening = Opening { shared: self.shared(), key };
            let opened = connection.open().await;
            drop(opening);
            let again = match &opened {
                Ok(_) => self.shared().opened(key),
                Err(error) => {
                    let ended = connection.is_final(error);
                    self.shared().open_failed(key, ended, std::mem::take(&mut first))
                }
            };
            if !again {
                return opened;
            }
        }
    }

    /// Tops up to [`min_size`](PoolConfig::min_size) connections. The first dial that fails ends it;
    /// others that are under way go on.
    ///
    /// Cancel safe: the dials go on.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn warm_up(&self) -> io::Result<()> {
        match self.wait(self.shared().ask_for_warmth()).await {
            Outcome::Refused(error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Notes that a connection was in use until now, which puts the idle clean-up off. One that has
    /// ended, or is not of this pool, changes nothing.
    pub fn put(&self, connection: &C) {
        self.shared().act(|state, now| {
            if let Some(key) = state.key_of(connection) {
                state.machine.put(now, key);
            }
        });
    }

    /// Closes the pool: refuses who waits and who comes, gives up dials, closes every connection in
    /// order, and waits for that.
    ///
    /// Cancel safe: everything goes on when the future is dropped, once it was polled. A second call
    /// waits as well, and does nothing else.
    pub async fn close(&self) {
        self.shared().act(|state, _| state.machine.close());
        let mut closing = Closing { shared: self.shared(), number: None };
        poll_fn(|cx| closing.shared.poll_idle(cx, &mut closing.number)).await;
    }

    /// Whether the pool was closed, or its runtime is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared().act(|state, _| state.machine.is_closed())
    }

    /// Connections that live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared().act(|state, _| state.machine.len())
    }

    /// Whether no connection lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pool's numbers at the moment.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.shared().act(|state, _| state.machine.stats())
    }

    async fn obtain(&self, opens: bool) -> io::Result<(Key, C)> {
        match self.wait(self.shared().ask(opens)).await {
            Outcome::Given(key, connection) => Ok((key, connection)),
            Outcome::Refused(error) => Err(error.into()),
            Outcome::Warm => Err(PoolError::Exhausted.into()),
        }
    }

    async fn wait(&self, asked: Asked<C>) -> Outcome<C> {
        match asked {
            Asked::Now(outcome) => outcome,
            Asked::Wait(ticket) => {
                let waiting = Waiting { shared: self.shared(), ticket };
                poll_fn(|cx| waiting.shared.poll_outcome(cx, ticket)).await
            }
        }
    }
}

/// A caller that waits; takes its request back when it gives up.
struct Waiting<'a, C: Pooled> {
    shared: &'a Shared<C>,
    ticket: Ticket,
}

impl<C: Pooled> Drop for Waiting<'_, C> {
    fn drop(&mut self) {
        self.shared.forget(self.ticket);
    }
}

/// A caller that has a connection in order to open a stream.
struct Opening<'a, C: Pooled> {
    shared: &'a Shared<C>,
    key: Key,
}

impl<C: Pooled> Drop for Opening<'_, C> {
    fn drop(&mut self) {
        self.shared.opens_no_more(self.key);
    }
}

/// A caller that waits for the end of everything.
struct Closing<'a, C: Pooled> {
    shared: &'a Shared<C>,
    number: Option<u64>,
}

impl<C: Pooled> Drop for Closing<'_, C> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.shared.stop_waiting(number);
        }
    }
}

impl<R, C: Pooled> Clone for Pool<R, C> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle), runtime: PhantomData }
    }
}

impl<R, C: Pooled> fmt::Debug for Pool<R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.handle.0.act(|state, _| state.machine.stats());
        f.debug_struct("Pool").field("stats", &stats).finish_non_exhaustive()
    }
}
