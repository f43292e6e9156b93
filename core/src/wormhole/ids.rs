//! Which ids are given out, and which a peer has used: `docs/protocols/wormhole.md` section 2.2.

use alloc::collections::BTreeSet;

use super::{Config, PeerIds};
use crate::mux::Side;

/// The most ids below the peer's highest that are remembered as not opened yet.
const MISSING: usize = 64;

/// Ids of both sides.
#[derive(Debug)]
pub(super) struct Ids {
    side: Side,
    check: PeerIds,
    /// The next id of this side; `None` once they are used up.
    next: Option<u32>,
    /// The highest id that the peer opened; 0 before the first.
    highest: u32,
    /// Ids of the peer below that which it has not opened: HANDSHAKEs may swap.
    missing: BTreeSet<u32>,
}

impl Ids {
    pub(super) fn new(side: Side, config: &Config) -> Self {
        let first = match side {
            Side::Client => 1,
            Side::Server => 2,
        };
        let next = Some(config.first_id.map_or(first, |id| (id & !1 | first & 1).max(first)));
        Self { side, check: config.peer_ids, next, highest: 0, missing: BTreeSet::new() }
    }

    /// Gives out an id; none once the counter would wrap.
    pub(super) fn give(&mut self) -> Option<u32> {
        let id = self.next?;
        self.next = id.checked_add(2);
        Some(id)
    }

    /// Whether there has been a stream `id`, of either side.
    pub(super) fn was_used(&self, id: u32) -> bool {
        if self.is_peers(id) {
            return !self.is_new(id);
        }
        id != 0 && self.next.is_none_or(|next| id < next)
    }

    /// Whether a peer may open a stream with `id`. The one place that looks at
    /// [`Config::peer_ids`].
    pub(super) fn may_open(&self, id: u32) -> bool {
        self.check == PeerIds::Any || self.is_peers(id)
    }

    /// Whether the peer's stream `id` was not opened before on this connection.
    pub(super) fn is_new(&self, id: u32) -> bool {
        self.is_peers(id) && (id > self.highest || self.missing.contains(&id))
    }

    /// Notes that the peer opened `id`.
    pub(super) fn opened(&mut self, id: u32) {
        if !self.is_peers(id) {
            return;
        }
        if id < self.highest {
            self.missing.remove(&id);
            return;
        }
        // The few nearest of those left out; who leaves out many never means to open them.
        let first = match self.highest {
            0 => 2 - (id & 1),
            highest => highest.saturating_add(2),
        };
        let nearest = id.saturating_sub(2 * MISSING as u32);
        let first = first.max(nearest | (id & 1)).max(nearest);
        let mut left_out = first;
        while left_out < id {
            self.missing.insert(left_out);
            left_out = left_out.saturating_add(2);
        }
        while self.missing.len() > MISSING {
            self.missing.pop_first();
        }
        self.highest = id;
    }

    const fn is_peers(&self, id: u32) -> bool {
        match self.side {
            Side::Client => id != 0 && id.is_multiple_of(2),
            Side::Server => !id.is_multiple_of(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn ids(side: Side, first: Option<u32>) -> Ids {
        Ids::new(side, &Config { first_id: first, ..Config::default() })
    }

    #[test]
    fn ids_go_up_in_twos_and_end_before_they_wrap() {
        let mut client = ids(Side::Client, None);
        assert_eq!([client.give(), client.give()], [Some(1), Some(3)]);
        let mut client = ids(Side::Client, Some(u32::MAX - 2));
        assert_eq!(
            [client.give(), client.give(), client.give()],
            [Some(u32::MAX - 2), Some(u32::MAX), None]
        );
        let mut server = ids(Side::Server, Some(u32::MAX));
        assert_eq!([server.give(), server.give()], [Some(u32::MAX - 1), None]);
        assert!(server.was_used(2) && server.was_used(u32::MAX - 1));
        assert!(!server.was_used(0) && !server.was_used(1));
    }

    #[test]
    fn ids_that_were_left_out_are_new_until_they_are_opened() {
        let mut server = ids(Side::Server, None);
        assert!(server.is_new(1) && !server.is_new(2) && !server.is_new(0));
        server.opened(7);
        let new: Vec<u32> = (0..12).filter(|id| server.is_new(*id)).collect();
        assert_eq!(new, [1, 3, 5, 9, 11]);
        server.opened(3);
        server.opened(7);
        let new: Vec<u32> = (0..9).filter(|id| server.is_new(*id)).collect();
        assert_eq!(new, [1, 5]);
    }

    #[test]
    fn only_the_few_nearest_ids_left_out_are_remembered() {
        let mut client = ids(Side::Client, None);
        client.opened(2);
        client.opened(4_000_000_000);
        assert_eq!(client.missing.len(), MISSING);
        assert!(client.is_new(3_999_999_998) && !client.is_new(4));
        assert!(client.missing.iter().all(|id| id % 2 == 0));
    }
}
