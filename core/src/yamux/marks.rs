//! Where the frames of unread data end, for who speaks messages in frames: `Config::frame_marks`.

use alloc::collections::{BTreeMap, VecDeque};

use crate::Budget;
use crate::mux::parts::Slot;

/// What an entry costs beside the lengths in it.
const ENTRY: usize = 64;

/// The lengths of the data frames of which bytes are unread, of the streams that have such.
///
/// Charged to the connection's budget. A peer that sends one byte in each frame pays for it with
/// more of the budget than its window is, as it does for the pieces themselves.
#[derive(Debug, Default)]
pub(super) struct FrameMarks {
    on: bool,
    frames: BTreeMap<u32, VecDeque<u32>>,
}

impl FrameMarks {
    pub(super) const fn new(on: bool) -> Self {
        Self { on, frames: BTreeMap::new() }
    }

    /// A frame of so many bytes begins.
    #[inline]
    pub(super) fn begin(&mut self, budget: &mut Budget, slot: Slot, length: u32) {
        if self.on {
            let lengths = self.frames.entry(slot.0).or_default();
            let before = charge(lengths);
            lengths.push_back(length);
            budget.charge(charge(lengths).saturating_sub(before));
        }
    }

    /// Bytes of the first frame that are unread, arrived or not.
    #[inline]
    pub(super) fn left(&self, slot: Slot) -> Option<usize> {
        if !self.on {
            return None;
        }
        self.frames.get(&slot.0)?.front().map(|left| *left as usize)
    }

    /// So many bytes were read, all of the first frame.
    #[inline]
    pub(super) fn read(&mut self, budget: &mut Budget, slot: Slot, count: usize) {
        if !self.on {
            return;
        }
        let Some(lengths) = self.frames.get_mut(&slot.0) else { return };
        let Some(first) = lengths.front_mut() else { return };
        *first = first.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
        if *first == 0 {
            lengths.pop_front();
            if lengths.is_empty() {
                self.forget(budget, slot);
            }
        }
    }

    /// Nothing of the stream will be read any more.
    #[inline]
    pub(super) fn forget(&mut self, budget: &mut Budget, slot: Slot) {
        if self.on
            && let Some(lengths) = self.frames.remove(&slot.0)
        {
            budget.release(charge(&lengths));
        }
    }
}

/// What the lengths of one stream cost, while there are any.
fn charge(lengths: &VecDeque<u32>) -> usize {
    match lengths.capacity() {
        0 => 0,
        room => ENTRY + room * size_of::<u32>(),
    }
}
