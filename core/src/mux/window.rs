//! Receive windows: when to grant, how much, and when a window grows or runs down.

use super::parts::{Pressure, Slot, Taken, Tuner};
use crate::Instant;
use crate::time::nanos;

/// The receive window of one stream, as arithmetic.
///
/// What the peer may still send and what nobody has read fit into the window together. A grant is
/// due when half of the window is free (an eighth, once the window has grown: the half is what the
/// originals do, the eighth is what keeps a long link full with little more than its bandwidth times
/// its delay).
///
/// # Growth
///
/// An *epoch* lasts one window of bytes read. A window doubles at the end of an epoch that took no
/// longer than 1.25 round trips, when no reader let data wait for a quarter of one, and when the
/// link is long enough to need it: so it stops at 1.25 times bandwidth times delay, stays where a
/// slow reader is the limit, and stays on a near link, where more in flight only leaves the
/// processor's cache. Four or eight times at once when the peer was seen to stand still for that
/// much of a round trip. A window that was not used up in ten seconds runs down to where it began: nothing more is
/// granted until what was granted fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    size: u32,
    /// What the peer may still send, as far as it can know.
    granted: u32,
    /// What was read and not granted again; less than nothing after the window was made smaller.
    owed: i32,
    /// Bytes read in this epoch, and [`SLOW`].
    epoch: u32,
    /// When the epoch began, in ticks.
    began: u32,
}

/// A time in four bytes: ticks of 65 us, which come round after three days. What is compared lies
/// seconds apart, and is no news below a fifth of a millisecond.
const fn tick(at: Instant) -> u32 {
    (at.as_nanos() >> 16) as u32
}

/// In `epoch`: somebody let data wait, so the link is not the limit.
const SLOW: u32 = 1 << 31;

impl Window {
    /// The largest window there can be, in bytes.
    pub(crate) const LARGEST: u32 = 1 << 30;

    /// A window as it begins: all of it granted.
    pub(crate) const fn new(size: u32) -> Self {
        let size = if size > Self::LARGEST { Self::LARGEST } else { size };
        Self { size, granted: size, owed: 0, epoch: 0, began: 0 }
    }

    /// The same, on a wire whose peer first believes that it may send `believed` bytes.
    #[must_use]
    pub(crate) const fn believed(self, believed: u32) -> Self {
        Self { granted: believed, ..self }
    }

    /// The same, of which the peer knows no more than `granted` bytes yet; the rest is owed.
    #[must_use]
    pub(crate) fn begun(self, granted: u32) -> Self {
        let granted = granted.min(self.size);
        let owed = i32::try_from(self.size.saturating_sub(granted)).unwrap_or(i32::MAX);
        Self { granted, owed, ..self }
    }

    /// The window's size now.
    pub(crate) const fn size(&self) -> u32 {
        self.size
    }

    /// What the peer may still send, as far as it can know.
    pub(crate) const fn granted(&self) -> u32 {
        self.granted
    }

    /// The peer sends `len` bytes: false, and nothing changes, when that is more than was granted.
    /// Call it with a frame's head, before its payload.
    #[inline]
    #[must_use]
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        tuner: &mut Tuner,
        slot: Slot,
        len: u32,
    ) -> bool {
        if len > self.granted {
            return false;
        }
        self.receive_any(now, tuner, slot, len);
        true
    }

    /// The peer sends `len` bytes, which may be more than was granted: for wires on which it cannot
    /// know, and which bound what is unread in another way.
    pub(crate) fn receive_any(&mut self, now: Instant, tuner: &mut Tuner, slot: Slot, len: u32) {
        self.granted = self.granted.saturating_sub(len);
        let factor = tuner.note_arrival(now, slot, len);
        if factor > 1 {
            self.grow(tuner, factor);
        }
    }

    /// The user took bytes. Answers how many are to be granted now, if any: that is up to
    /// [`grant`](Self::grant) or [`announce`](Self::announce).
    #[inline]
    #[must_use]
    pub(crate) fn read(&mut self, now: Instant, tuner: &mut Tuner, taken: &Taken) -> Option<u32> {
        self.tune(now, tuner, taken);
        let len = i32::try_from(taken.bytes.len()).unwrap_or(i32::MAX);
        self.owed = self.owed.saturating_add(len);
        let step = if self.size > tuner.rule.initial { self.size / 8 } else { self.size / 2 };
        Some(self.owed()).filter(|owed| *owed >= step.max(1))
    }

    /// What could be granted now, however little.
    pub(crate) fn owed(&self) -> u32 {
        u32::try_from(self.owed).unwrap_or(0)
    }

    /// Grants all that is owed, and answers how much that is: the increment to announce.
    pub(crate) fn grant(&mut self, now: Instant, tuner: &mut Tuner, slot: Slot) -> u32 {
        tuner.note_grant(now, slot, self.granted);
        self.grant_first()
    }

    /// The same for a grant of which the peer's data will say nothing: one that opens or accepts a
    /// stream, or that nothing waited for.
    pub(crate) fn grant_first(&mut self) -> u32 {
        let more = self.owed();
        self.granted = self.granted.saturating_add(more);
        self.owed = self.owed.min(0);
        more
    }

    /// Grants `more` bytes beyond the window: for a wire that counts by itself.
    pub(crate) const fn grant_more(&mut self, more: u32) {
        self.granted = self.granted.saturating_add(more);
    }

    /// The same for a wire that announces a total: beyond what was read until now the peer may send
    /// as much as the answer, of which `unread` bytes have come already.
    pub(crate) fn announce(
        &mut self,
        now: Instant,
        tuner: &mut Tuner,
        slot: Slot,
        unread: usize,
    ) -> u32 {
        tuner.note_grant(now, slot, self.granted);
        // What the peer sent before it hears of a smaller window is still on its way.
        let left = self.size.saturating_sub(u32::try_from(unread).unwrap_or(u32::MAX));
        self.granted = self.granted.max(left);
        self.owed = 0;
        self.size
    }

    /// The stream is over: its share of the connection's growth is free again.
    pub(crate) fn end(&mut self, tuner: &mut Tuner) {
        let more = self.size.saturating_sub(tuner.rule.initial);
        tuner.shrink(more);
        self.size -= more;
        self.owed = self.owed.saturating_sub_unsigned(more);
    }

    /// How long the epoch has lasted, in nanoseconds.
    #[inline]
    fn lasted(&self, now: Instant) -> u64 {
        // A clock that went back says nothing.
        let ticks = tick(now).wrapping_sub(self.began).cast_signed().max(0);
        u64::from(ticks.cast_unsigned()) << 16
    }

    fn grow(&mut self, tuner: &mut Tuner, factor: u32) {
        let more = tuner.grow(self.size, factor);
        self.size = self.size.saturating_add(more);
        self.owed = self.owed.saturating_add_unsigned(more);
    }

    #[inline]
    fn tune(&mut self, now: Instant, tuner: &mut Tuner, taken: &Taken) {
        if !tuner.rule.grows {
            return;
        }
        let waited = now.as_nanos().saturating_sub(taken.since.as_nanos());
        tuner.note_wait(waited);
        if self.lasted(now) > nanos(tuner.rule.idle) {
            self.end(tuner);
            self.epoch = 0;
        }
        if self.epoch == 0 {
            self.began = tick(taken.since);
        }
        let len = u32::try_from(taken.bytes.len()).unwrap_or(u32::MAX);
        let read = (self.epoch & !SLOW).saturating_add(len).min(Self::LARGEST);
        let mut slow = self.epoch & SLOW;
        if read >= self.size / 4 {
            tuner.want_probe(now);
        }
        // Most data is read in the turn in which it came.
        if waited > 0 && tuner.round_trip.shortest().is_some_and(|trip| waited > nanos(trip) / 4) {
            slow = SLOW;
        }
        self.epoch = read | slow;
        if read < self.size {
            return;
        }
        self.epoch = 0;
        let took = self.lasted(now);
        let trip = tuner.round_trip.shortest();
        let needed =
            slow == 0 && trip.is_some_and(|trip| took <= nanos(trip).saturating_mul(5) / 4);
        if needed && taken.pressure == Pressure::Free {
            self.grow(tuner, 2);
        }
    }
}
