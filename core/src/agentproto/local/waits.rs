//! How long requests wait for their answers: `docs/protocols/agentproto.md` section 14, H13.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use crate::Instant;

/// How many times the patience with a silent agent an answer may take at an agent that talks, and
/// that of a slow operation at any agent.
const TALKING: u32 = 10;

/// Requests that were sent and not answered, by the time of sending.
///
/// One rule: a request is given up once the agent has been silent for the patience, counted from
/// the later of the request's sending and the last bytes that came; and after ten times the patience
/// since its sending, silent or not. On a slow link the answers to a whole window pass one by one,
/// so that other answers excuse a late one, but not for ever.
///
/// Of a slow operation only the second half holds: flushing gigabytes takes minutes in which the
/// agent has nothing to say.
#[derive(Debug)]
pub(super) struct Waits {
    patience: Option<Duration>,
    by_time: BTreeSet<(Instant, u32)>,
    /// Apart, because the first of both need not be the first that is due.
    slow: BTreeSet<(Instant, u32)>,
    by_id: BTreeMap<u32, Instant>,
    heard: Instant,
    /// Nothing counts from before this.
    began: Instant,
}

impl Waits {
    pub(super) const fn new(patience: Option<Duration>) -> Self {
        Self {
            patience,
            by_time: BTreeSet::new(),
            slow: BTreeSet::new(),
            by_id: BTreeMap::new(),
            heard: Instant::ORIGIN,
            began: Instant::ORIGIN,
        }
    }

    /// Bytes have come.
    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The agent is there at last: what was sent to it before counts as sent now.
    pub(super) const fn begin(&mut self, now: Instant) {
        self.began = now;
    }

    /// A request leaves.
    pub(super) fn sent(&mut self, id: u32, slow: bool, now: Instant) {
        if self.patience.is_some() {
            let by_time = if slow { &mut self.slow } else { &mut self.by_time };
            by_time.insert((now, id));
            self.by_id.insert(id, now);
        }
    }

    /// A request is answered, or given up.
    pub(super) fn over(&mut self, id: u32) {
        if let Some(sent) = self.by_id.remove(&id)
            && !self.by_time.remove(&(sent, id))
        {
            self.slow.remove(&(sent, id));
        }
    }

    pub(super) fn clear(&mut self) {
        self.by_time.clear();
        self.slow.clear();
        self.by_id.clear();
    }

    /// When the next request is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next().map(|(deadline, _)| deadline)
    }

    /// A request to be given up now.
    pub(super) fn due(&mut self, now: Instant) -> Option<u32> {
        let (_, id) = self.next().filter(|(deadline, _)| *deadline <= now)?;
        self.over(id);
        Some(id)
    }

    /// The next request that is given up, and when: of each kind the one that was sent first.
    fn next(&self) -> Option<(Instant, u32)> {
        let patience = self.patience?;
        let longest = |sent: Instant| sent.max(self.began) + patience.saturating_mul(TALKING);
        let first = self.by_time.first().map(|&(sent, id)| {
            ((sent.max(self.heard).max(self.began) + patience).min(longest(sent)), id)
        });
        let slow = self.slow.first().map(|&(sent, id)| (longest(sent), id));
        first.into_iter().chain(slow).min()
    }
}
