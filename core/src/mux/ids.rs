//! Which stream a wire id names: a hash table from id to slot that a peer cannot aim at.

use alloc::boxed::Box;
use alloc::vec;

/// A place without an entry: no slot has this number.
const EMPTY: u32 = u32::MAX;

/// The smallest table.
const FEWEST: usize = 16;

/// From wire id to slot. Open addressing with linear probing and no tombstones.
///
/// Peers choose ids, so the hash is seeded: without the seed nobody can make ids collide. Every
/// operation takes a bounded time on average; a table that grows moves its entries, which each of
/// them has paid for by its own insertion.
#[derive(Debug)]
pub(crate) struct Ids {
    entries: Box<[(u32, u32)]>,
    len: usize,
    seed: u64,
    /// Entries looked at, for the test that no operation walks.
    #[cfg(test)]
    pub(crate) steps: core::cell::Cell<u64>,
}

impl Ids {
    /// An empty table, which holds no memory yet.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            entries: Box::default(),
            len: 0,
            seed,
            #[cfg(test)]
            steps: core::cell::Cell::new(0),
        }
    }

    /// Gives a table that has no seed (0) one, as long as it is empty.
    pub(crate) const fn seed(&mut self, seed: u64) {
        if self.seed == 0 && self.len == 0 {
            self.seed = seed;
        }
    }

    /// Ids in the table.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Memory the table holds, in bytes.
    pub(crate) const fn memory(&self) -> usize {
        self.entries.len() * size_of::<(u32, u32)>()
    }

    /// The slot that `id` names.
    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<u32> {
        let (_, slot) = *self.entries.get(self.place(id))?;
        (slot != EMPTY).then_some(slot)
    }

    /// Lets `id` name `slot`; false, and nothing changes, when it names one already.
    pub(crate) fn insert(&mut self, id: u32, slot: u32) -> bool {
        if (self.len + 1) * 8 > self.entries.len() * 7 {
            self.resize((self.entries.len() * 2).max(FEWEST));
        }
        let place = self.place(id);
        match self.entries.get_mut(place) {
            Some(entry) if entry.1 == EMPTY => {
                *entry = (id, slot);
                self.len += 1;
                true
            }
            _ => false,
        }
    }

    /// Lets `id` name nothing, and says what it named.
    pub(crate) fn remove(&mut self, id: u32) -> Option<u32> {
        let mut hole = self.place(id);
        let slot = core::mem::replace(&mut self.entries.get_mut(hole)?.1, EMPTY);
        if slot == EMPTY {
            return None;
        }
        self.len -= 1;
        // Entries behind the hole move into it when their way from home leads over it.
        let mask = self.mask();
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            let Some(&(id, moved)) = self.entries.get(next) else { break };
            if moved == EMPTY {
                break;
            }
            let way = next.wrapping_sub(self.home(id)) & mask;
            if way >= (next.wrapping_sub(hole) & mask)
                && let Some([to, from]) = pair(&mut self.entries, hole, next)
            {
                *to = *from;
                from.1 = EMPTY;
                hole = next;
            }
        }
        // What a burst left behind goes back once it is far too large.
        if self.entries.len() > FEWEST && self.len * 8 < self.entries.len() {
            self.resize(self.entries.len() / 4);
        }
        Some(slot)
    }

    const fn mask(&self) -> usize {
        self.entries.len().saturating_sub(1)
    }

    fn home(&self, id: u32) -> usize {
        // The first steps of a multiply-and-fold hash: cheap, and unforeseeable without the seed.
        let mixed = (u64::from(id) ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15 | 1);
        let folded =
            (mixed ^ (mixed >> 32) ^ self.seed.rotate_left(23)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (folded >> 32) as usize & self.mask()
    }

    /// Where `id` stands, or the empty place where it would stand. Nowhere in a table of no places.
    #[inline]
    fn place(&self, id: u32) -> usize {
        let mut place = self.home(id);
        while let Some(&(found, slot)) = self.entries.get(place) {
            #[cfg(test)]
            self.steps.set(self.steps.get() + 1);
            if slot == EMPTY || found == id {
                break;
            }
            place = (place + 1) & self.mask();
        }
        place
    }

    fn resize(&mut self, places: usize) {
        let places = places.max(FEWEST);
        let old =
            core::mem::replace(&mut self.entries, vec![(0, EMPTY); places].into_boxed_slice());
        for (id, slot) in old.into_iter().filter(|&(_, slot)| slot != EMPTY) {
            let place = self.place(id);
            if let Some(entry) = self.entries.get_mut(place) {
                *entry = (id, slot);
            }
        }
    }
}

/// Two places of a table at once.
fn pair<T>(entries: &mut [T], one: usize, two: usize) -> Option<[&mut T; 2]> {
    entries.get_disjoint_mut([one, two]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 4 } else { 256 }, ..ProptestConfig::default()
        })]
        #[test]
        fn it_behaves_as_a_map(
            seed: u64,
            // Few ids, so that they meet again; those of one place of the table among them.
            ops in proptest::collection::vec((any::<bool>(), 0..48_u32, 0..3_u32), 0..300)
        ) {
            let (mut ids, mut model) = (Ids::new(seed), BTreeMap::new());
            for (number, (add, low, high)) in (0..).zip(ops) {
                let id = low | (high << 30);
                if add {
                    prop_assert_eq!(ids.insert(id, number), !model.contains_key(&id));
                    model.entry(id).or_insert(number);
                } else {
                    prop_assert_eq!(ids.remove(id), model.remove(&id));
                }
                prop_assert_eq!(ids.len(), model.len());
                for (id, slot) in &model {
                    prop_assert_eq!(ids.get(*id), Some(*slot));
                }
            }
        }
    }

    #[test]
    fn a_seed_is_taken_once_and_only_by_an_empty_table() {
        let mut ids = Ids::new(0);
        assert!(ids.insert(1, 1));
        ids.seed(5);
        assert_eq!((ids.seed, ids.get(1)), (0, Some(1)));
        assert_eq!(ids.remove(1), Some(1));
        ids.seed(6);
        ids.seed(7);
        assert_eq!(ids.seed, 6);
        let mut set = Ids::new(8);
        set.seed(9);
        assert_eq!(set.seed, 8);
    }

    /// Entries looked at for each look-up among `count` ids, `stride` apart.
    fn steps(count: u32, stride: u32) -> u64 {
        let mut ids = Ids::new(0x1234_5678_9abc_def0);
        for index in 0..count {
            assert!(ids.insert(index.wrapping_mul(stride), index));
        }
        ids.steps.set(0);
        for index in 0..count {
            assert_eq!(ids.get(index.wrapping_mul(stride)), Some(index));
            assert_eq!(ids.get(index.wrapping_mul(stride) ^ 1), None);
        }
        ids.steps.get() / u64::from(count)
    }

    #[test]
    fn a_look_up_takes_as_long_among_ten_thousand_as_among_ten() {
        let many = if cfg!(miri) { 200 } else { 10_000 };
        for stride in [2, 4, 1 << 10, 1 << 16] {
            assert!(steps(10, stride) <= 12);
            assert!(steps(many, stride) <= 12, "stride {stride}: {}", steps(many, stride));
        }
    }

    #[test]
    fn memory_follows_the_number_of_ids_up_and_down() {
        let count = if cfg!(miri) { 200_u32 } else { 10_000 };
        let mut ids = Ids::new(7);
        assert_eq!(ids.memory(), 0);
        (0..count).for_each(|id| assert!(ids.insert(id, id)));
        assert!(ids.memory() <= count as usize * 19);
        (0..count).for_each(|id| assert_eq!(ids.remove(id), Some(id)));
        assert!(ids.memory() <= 16 * FEWEST);
    }
}
