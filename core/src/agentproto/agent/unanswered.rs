//! Requests that the host has and has not answered: `docs/protocols/agentproto.md` section 15.

use alloc::vec::Vec;

/// What requests that are not answered take, by their numbers, which the peer chooses and may
/// choose twice.
///
/// The host holds each of them, with the bytes it brought, until it answers: the bytes count as
/// unread until then. A plain list: it is as short as the limit of requests in flight.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    requests: Vec<(u32, usize)>,
    cost: usize,
}

impl Unanswered {
    /// Counts a request that takes this much memory.
    pub(super) fn charge(&mut self, id: u32, cost: usize) {
        self.requests.push((id, cost));
        self.cost = self.cost.saturating_add(cost);
    }

    /// Forgets a request that was answered; false when there is none of this number.
    pub(super) fn release(&mut self, id: u32) -> bool {
        let Some(at) = self.requests.iter().position(|(waiting, _)| *waiting == id) else {
            return false;
        };
        let (_, cost) = self.requests.swap_remove(at);
        self.cost = self.cost.saturating_sub(cost);
        true
    }

    /// Requests that wait for their answer.
    pub(super) const fn len(&self) -> usize {
        self.requests.len()
    }

    /// Memory that they take.
    pub(super) const fn cost(&self) -> usize {
        self.cost
    }
}
