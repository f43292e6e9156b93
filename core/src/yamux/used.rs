//! Which ids a peer has used: each of them opens one stream (section 4).

use alloc::vec::Vec;

/// The most gaps that are remembered; a peer that opens in order leaves none.
const MOST: usize = 256;

/// The ids that a peer has used, in a bounded space.
///
/// Peers give ids out in order and may announce them in another, so some below the highest are
/// still to come. Only these gaps are remembered. Where there are too many the lowest counts as
/// used: whoever leaves 256 of them open is not a little out of order.
#[derive(Clone, Debug, Default)]
pub(super) struct UsedIds {
    highest: Option<u32>,
    /// Ids that were passed over, as first and last, in order; all of one parity.
    gaps: Vec<(u32, u32)>,
}

impl UsedIds {
    /// Nothing is used yet.
    pub(super) const fn new() -> Self {
        Self { highest: None, gaps: Vec::new() }
    }

    /// Whether a stream was opened under `id` before.
    pub(super) fn contains(&self, id: u32) -> bool {
        self.highest.is_some_and(|highest| id <= highest) && self.gap(id).is_none()
    }

    /// Marks `id` as used.
    pub(super) fn insert(&mut self, id: u32) {
        let first = 2 - id % 2;
        match self.highest {
            Some(highest) if id <= highest => self.close(id),
            before => {
                let from = before.map_or(first, |highest| highest.saturating_add(2));
                if from < id {
                    self.open(from, id.saturating_sub(2));
                }
                self.highest = Some(id);
            }
        }
    }

    /// Memory that this holds, in bytes.
    pub(super) const fn memory(&self) -> usize {
        self.gaps.capacity() * size_of::<(u32, u32)>()
    }

    fn gap(&self, id: u32) -> Option<usize> {
        let after = self.gaps.partition_point(|&(first, _)| first <= id);
        let index = after.checked_sub(1)?;
        self.gaps.get(index).filter(|&&(_, last)| id <= last).map(|_| index)
    }

    fn open(&mut self, first: u32, last: u32) {
        if self.gaps.len() >= MOST {
            self.gaps.remove(0);
        }
        self.gaps.push((first, last));
    }

    fn close(&mut self, id: u32) {
        let Some(index) = self.gap(id) else { return };
        let (first, last) = self.gaps.remove(index);
        if id < last {
            self.gaps.insert(index, (id.saturating_add(2), last));
        }
        if first < id {
            self.gaps.insert(index, (first, id.saturating_sub(2)));
        }
        if self.gaps.len() > MOST {
            self.gaps.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_in_any_order_are_used_once_each() {
        for order in [[1, 3, 5, 7, 9], [5, 3, 1, 9, 7], [9, 5, 1, 3, 7]] {
            let mut used = UsedIds::new();
            for id in order {
                assert!(!used.contains(id), "{id} of {order:?}");
                used.insert(id);
                assert!(used.contains(id), "{id} of {order:?}");
            }
            assert!(used.gaps.is_empty(), "{used:?}");
            assert!(!used.contains(11));
        }
    }

    #[test]
    fn ids_like_those_of_a_model_are_used_or_not() {
        for (parity, seed) in [(1, 7_u32), (2, 11)] {
            let (mut used, mut model, mut random) = (UsedIds::new(), BTreeSet::new(), seed);
            for _ in 0..2_000 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let id = (random >> 16) % 200 * 2 + parity;
                assert_eq!(used.contains(id), model.contains(&id), "{id}");
                if model.insert(id) {
                    used.insert(id);
                }
            }
        }
    }

    #[test]
    fn memory_stays_bounded_and_the_last_ids_stay_usable() {
        let mut used = UsedIds::new();
        for id in (1..100_000).step_by(4) {
            used.insert(id);
        }
        assert!(used.memory() <= 4 * MOST * size_of::<(u32, u32)>());
        assert!(used.contains(3) && !used.contains(99_995));
        used.insert(u32::MAX);
        assert!(used.contains(u32::MAX) && !used.contains(u32::MAX - 2));
    }
}
