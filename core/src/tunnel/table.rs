//! Which tunnel an id has: `docs/protocols/agent-tunnel.md` section 9.

use alloc::collections::BTreeMap;
use alloc::string::String;

/// Tells one registration of an id from all others of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(u64);

/// What is registered under which id, at most one thing under each.
///
/// It closes nothing: what a registration replaced is given to who registered, to be closed outside
/// of any lock.
#[derive(Clone, Debug)]
pub struct Table<T> {
    entries: BTreeMap<String, (Generation, T)>,
    next: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), next: 1 }
    }
}

impl<T> Table<T> {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a value under an id, and gives back the one that it replaces, if any.
    pub fn register(&mut self, id: &str, value: T) -> (Generation, Option<T>) {
        let generation = Generation(self.next);
        self.next = self.next.saturating_add(1);
        let old = self.entries.insert(id.into(), (generation, value));
        (generation, old.map(|(_, value)| value))
    }

    /// What is registered under an id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&T> {
        self.entries.get(id).map(|(_, value)| value)
    }

    /// As [`get`](Self::get), to be changed.
    #[must_use]
    pub fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.entries.get_mut(id).map(|(_, value)| value)
    }

    /// Which registration of an id counts.
    #[must_use]
    pub fn generation(&self, id: &str) -> Option<Generation> {
        self.entries.get(id).map(|(generation, _)| *generation)
    }

    /// Takes a registration out if it is still the one that counts. So who was replaced cannot take
    /// its successor out.
    pub fn take(&mut self, id: &str, generation: Generation) -> Option<T> {
        if self.generation(id) != Some(generation) {
            return None;
        }
        self.entries.remove(id).map(|(_, value)| value)
    }

    /// As [`take`](Self::take); says whether it was.
    pub fn unregister(&mut self, id: &str, generation: Generation) -> bool {
        self.take(id, generation).is_some()
    }

    /// What is registered, in the order of the ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.entries.iter().map(|(id, (_, value))| (id.as_str(), value))
    }

    /// Ids that have something.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no id has anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
