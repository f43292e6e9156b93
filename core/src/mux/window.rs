//! Receive windows: when to grant, how much, and when a window grows or runs down.

use core::time::Duration;

use super::parts::RoundTrip;
use crate::Instant;

/// The bandwidth beyond which a window need not grow, in bytes a second: a near and fast link fills
/// up with what stays in the processor's cache.
const FASTEST: u128 = 1_250_000_000;

/// After so long without data a grown window runs down.
const IDLE: Duration = Duration::from_secs(10);

/// How a wire's windows begin, end and grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowRule {
    /// The window at the start, in bytes.
    pub(crate) initial: u32,
    /// The largest window, in bytes; never less than `initial`.
    pub(crate) largest: u32,
    /// Whether windows grow at all.
    pub(crate) grows: bool,
}

/// What the windows of a connection have in common.
#[derive(Clone, Debug)]
pub(crate) struct Tuner {
    /// How they begin, end and grant.
    pub(crate) rule: WindowRule,
    /// What is known of the link. The wire puts in what it measures.
    pub(crate) round_trip: RoundTrip,
    /// Bytes by which windows are larger than they began, over all streams.
    grown: u64,
    /// The most of that.
    most: u64,
}

impl Tuner {
    /// Windows by `rule`, which may grow by `most` bytes over all streams.
    pub(crate) fn new(rule: WindowRule, most: u64) -> Self {
        Self { rule, round_trip: RoundTrip::default(), grown: 0, most }
    }

    /// Bytes by which windows are larger than they began, over all streams.
    pub(crate) const fn grown(&self) -> u64 {
        self.grown
    }
}

/// The receive window of one stream, as arithmetic.
///
/// `granted + unread <= size` always holds: what the peer may still send and what nobody has read
/// fit into the window together. A grant is due when half of the window is free (an eighth, once the
/// window has grown: the half is what originals do, the eighth is what fills a long link).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    size: u32,
    /// What the peer may still send.
    granted: u32,
    /// Bytes read in this epoch, which lasts one window.
    read: u32,
    /// Somebody let data wait in this epoch: the link is not the limit.
    slow: bool,
    /// When the epoch began.
    began: Instant,
}

impl Window {
    /// A window as it begins.
    pub(crate) const fn new(rule: &WindowRule) -> Self {
        Self {
            size: rule.initial,
            granted: rule.initial,
            read: 0,
            slow: false,
            began: Instant::ORIGIN,
        }
    }

    /// The window's size now.
    pub(crate) const fn size(&self) -> u32 {
        self.size
    }

    /// What the peer may still send.
    pub(crate) const fn granted(&self) -> u32 {
        self.granted
    }

    /// The peer sends `len` bytes: false, and nothing changes, when that is more than was granted.
    #[must_use]
    pub(crate) fn receive(&mut self, len: u32) -> bool {
        match self.granted.checked_sub(len) {
            Some(left) => {
                self.granted = left;
                true
            }
            None => false,
        }
    }

    /// The user took `len` bytes, the oldest of which came at `since`; `unread` are left. Answers
    /// what to grant now, if anything: it counts as granted.
    #[must_use]
    pub(crate) fn read(
        &mut self,
        now: Instant,
        tuner: &mut Tuner,
        len: usize,
        since: Instant,
        unread: usize,
    ) -> Option<u32> {
        self.tune(now, tuner, len, since);
        let free = self.free(unread);
        let step = if self.size > tuner.rule.initial { self.size / 8 } else { self.size / 2 };
        (free > 0 && free >= step).then(|| self.grant(free))
    }

    /// What could be granted now, however little.
    pub(crate) fn free(&self, unread: usize) -> u32 {
        let unread = u32::try_from(unread).unwrap_or(u32::MAX);
        self.size.saturating_sub(unread).saturating_sub(self.granted)
    }

    /// Counts `more` bytes as granted, and gives them back to be announced.
    pub(crate) fn grant(&mut self, more: u32) -> u32 {
        self.granted = self.granted.saturating_add(more);
        more
    }

    /// The stream is over: its share of the connection's growth is free again.
    pub(crate) fn end(&mut self, tuner: &mut Tuner) {
        let more = self.size.saturating_sub(tuner.rule.initial);
        tuner.grown = tuner.grown.saturating_sub(u64::from(more));
        self.size -= more;
    }

    fn tune(&mut self, now: Instant, tuner: &mut Tuner, len: usize, since: Instant) {
        let rule = tuner.rule;
        if !rule.grows {
            return;
        }
        if self.read == 0 {
            if self.size > rule.initial && now.saturating_since(self.began) > IDLE {
                self.end(tuner);
            }
            self.began = since;
        }
        self.read = self.read.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        let Some(trip) = tuner.round_trip.shortest() else {
            if self.read >= self.size {
                self.read = 0;
            }
            return;
        };
        // Data that waited for its reader shows that the link is not the limit.
        self.slow |= now.saturating_since(since) > trip / 4;
        if self.read < self.size {
            return;
        }
        let took = now.saturating_since(self.began);
        let slow = core::mem::take(&mut self.slow);
        self.read = 0;
        let enough = trip.as_nanos().saturating_mul(FASTEST) / 1_000_000_000;
        if slow || took > trip * 5 / 4 || u128::from(self.size) >= enough {
            return;
        }
        let factor = if took * 5 < trip { 4 } else { 2 };
        let wanted = self.size.saturating_mul(factor).min(rule.largest);
        let room = tuner.most.saturating_sub(tuner.grown);
        let more = u64::from(wanted.saturating_sub(self.size)).min(room);
        tuner.grown += more;
        self.size = self.size.saturating_add(u32::try_from(more).unwrap_or(0));
    }
}
