//! Which tunnel leads to which agent.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trunkline_core::tunnel::{Generation, Table};

use super::Tunnel;
use crate::Runtime;

/// The tunnels of a process, by the id of their agent (`docs/protocols/agent-tunnel.md`, "Registry").
///
/// Cheap to clone: all clones are the same registry.
pub struct Registry<R: Runtime>(Arc<Mutex<Table<Tunnel<R>>>>);

impl<R: Runtime> Registry<R> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Table::new())))
    }

    fn lock(&self) -> MutexGuard<'_, Table<Tunnel<R>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores an agent's tunnel. One that was stored for the same id is replaced and ended: its
    /// streams break, its [`closed`](Tunnel::closed) is ready.
    pub fn register(&self, id: &str, tunnel: Tunnel<R>) -> Generation {
        let (generation, replaced) = self.lock().register(id, tunnel);
        // Outside of the lock: nobody waits for it.
        if let Some(replaced) = replaced {
            replaced.abort();
        }
        generation
    }

    /// The tunnel of an agent.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Tunnel<R>> {
        self.lock().get(id).cloned()
    }

    /// Takes a tunnel out, if it is the one that was stored then; says whether it was. A late
    /// cleanup of a tunnel that was replaced changes nothing. The tunnel is not ended.
    pub fn unregister(&self, id: &str, generation: Generation) -> bool {
        let taken = self.lock().take(id, generation);
        // It may be the last handle: it goes outside of the lock, since others may wake by it.
        taken.is_some()
    }

    /// All ids and tunnels, by id.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Tunnel<R>)> {
        let table = self.lock();
        table.iter().map(|(id, tunnel)| (id.to_owned(), tunnel.clone())).collect()
    }
}

impl<R: Runtime> Default for Registry<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Runtime> Clone for Registry<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for Registry<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("agents", &self.lock().len()).finish()
    }
}
