//! A range of a file in pieces, answered in any order.

use alloc::collections::BTreeMap;
use core::fmt;
use core::ops::Range;

/// The largest offset and size that the wire can carry.
const HIGHEST: u64 = i64::MAX as u64;

/// A part of a file that one request reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Piece {
    /// Where it begins.
    pub offset: u64,
    /// Its length in bytes, at least 1.
    pub len: usize,
}

/// A request that was answered with nothing at all, although the file does not end there.
///
/// Whoever asked again would ask for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// Where nothing came, or went.
    pub offset: u64,
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the agent transfers nothing at offset {}, and no end either", self.offset)
    }
}

impl core::error::Error for Stalled {}

/// Reads or writes a range of a file with requests of at most `chunk` bytes each.
///
/// Ask [`next_piece`](Self::next_piece) as often as requests may be in flight, and hand in each
/// answer, in any order, with [`answer`](Self::answer). What an answer left out is asked for again,
/// before anything new. An end of the file cuts the range short.
///
/// ```
/// use trunkline_core::agentproto::RangePlan;
///
/// let mut plan = RangePlan::new(0..u64::MAX, 100); // to the end of the file
/// let (one, two) = (plan.next_piece().unwrap(), plan.next_piece().unwrap());
/// plan.answer(two, 20, true)?; // the file ends at 120
/// plan.answer(one, 60, false)?; // a short read
/// let rest = plan.next_piece().unwrap();
/// assert_eq!((rest.offset, rest.len), (60, 40));
/// plan.answer(rest, 40, false)?;
/// assert!(plan.is_done());
/// assert_eq!(plan.end(), 120);
/// # Ok::<(), trunkline_core::agentproto::Stalled>(())
/// ```
#[derive(Clone, Debug)]
pub struct RangePlan {
    /// What was never asked for begins here.
    next: u64,
    end: u64,
    chunk: usize,
    /// What is asked for, by offset.
    asked: BTreeMap<u64, usize>,
    /// What must be asked for again, by offset.
    again: BTreeMap<u64, usize>,
    done: u64,
}

impl RangePlan {
    /// Everything in `range`, in pieces of `chunk` bytes, which is at least 1.
    ///
    /// A range to `u64::MAX` goes to the end of the file, wherever that is.
    #[must_use]
    pub fn new(range: Range<u64>, chunk: usize) -> Self {
        let end = range.end.min(HIGHEST);
        Self {
            next: range.start.min(end),
            end,
            chunk: chunk.max(1),
            asked: BTreeMap::new(),
            again: BTreeMap::new(),
            done: 0,
        }
    }

    /// The next piece to ask for; `None` when everything is asked for at the moment.
    pub fn next_piece(&mut self) -> Option<Piece> {
        let piece = match self.again.pop_first() {
            Some((offset, len)) => Piece { offset, len },
            None => {
                let left =
                    usize::try_from(self.end.saturating_sub(self.next)).unwrap_or(usize::MAX);
                let len = left.min(self.chunk);
                if len == 0 {
                    return None;
                }
                let piece = Piece { offset: self.next, len };
                self.next = self.next.saturating_add(len as u64);
                piece
            }
        };
        self.asked.insert(piece.offset, piece.len);
        Some(piece)
    }

    /// Takes the answer to a piece in: so many bytes, from its beginning, and whether the file ends
    /// behind them.
    ///
    /// A piece that was not asked for changes nothing.
    ///
    /// # Errors
    ///
    /// When nothing was transferred and the file does not end there; the piece is not asked for again.
    pub fn answer(&mut self, piece: Piece, count: usize, eof: bool) -> Result<(), Stalled> {
        if self.asked.get(&piece.offset) != Some(&piece.len) {
            return Ok(());
        }
        self.asked.remove(&piece.offset);
        let count = count.min(piece.len);
        self.done = self.done.saturating_add(count as u64);
        let behind = piece.offset.saturating_add(count as u64);
        if eof {
            self.end_at(behind);
        } else if count == 0 && piece.offset < self.end {
            return Err(Stalled { offset: piece.offset });
        } else if count < piece.len && behind < self.end {
            self.again.insert(behind, piece.len - count);
        }
        Ok(())
    }

    /// Gives back a piece that was not asked for after all, or whose request failed: it is next.
    pub fn give_back(&mut self, piece: Piece) {
        if self.asked.get(&piece.offset) == Some(&piece.len) {
            self.asked.remove(&piece.offset);
            if piece.offset < self.end {
                self.again.insert(piece.offset, piece.len);
            }
        }
    }

    /// The file ends here: what is behind is not asked for.
    fn end_at(&mut self, end: u64) {
        self.end = self.end.min(end);
        self.next = self.next.min(self.end);
        self.again.split_off(&self.end);
        if let Some(mut last) = self.again.last_entry() {
            let left = self.end.saturating_sub(*last.key());
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            *last.get_mut() = left.min(*last.get());
        }
    }

    /// The size of pieces that were never asked for.
    #[must_use]
    pub const fn chunk(&self) -> usize {
        self.chunk
    }

    /// Changes the size of pieces that were never asked for; at least 1.
    pub fn set_chunk(&mut self, chunk: usize) {
        self.chunk = chunk.max(1);
    }

    /// Whether the next piece is one that an answer left out, or that was given back.
    #[must_use]
    pub fn has_left_over(&self) -> bool {
        !self.again.is_empty()
    }

    /// Where the next piece begins, if there is one.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.again.first_key_value().map_or(self.next, |(offset, _)| *offset)
    }

    /// Pieces that are asked for and not answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.asked.len()
    }

    /// Whether everything is asked for and answered.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.asked.is_empty() && self.again.is_empty() && self.next >= self.end
    }

    /// The end of the range: where it was cut short, if the file's end was met.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that answers have transferred so far.
    #[must_use]
    pub const fn transferred(&self) -> u64 {
        self.done
    }

    /// Everything in front of this offset is transferred.
    #[must_use]
    pub fn complete_to(&self) -> u64 {
        let asked = self.asked.first_key_value().map(|(offset, _)| *offset);
        let again = self.again.first_key_value().map(|(offset, _)| *offset);
        [asked, again].into_iter().flatten().fold(self.next, u64::min).min(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_range_is_asked_for_once_and_in_order() {
        let mut plan = RangePlan::new(5..12, 3);
        let pieces: Vec<_> = core::iter::from_fn(|| plan.next_piece()).collect();
        assert_eq!(pieces, [(5, 3), (8, 3), (11, 1)].map(|(offset, len)| Piece { offset, len }));
        for piece in pieces.into_iter().rev() {
            assert_eq!(plan.complete_to(), 5);
            plan.answer(piece, piece.len, false).unwrap();
        }
        assert!(plan.is_done());
        assert_eq!((plan.complete_to(), plan.transferred()), (12, 7));
    }

    #[test]
    fn what_was_left_out_is_asked_for_again_first() {
        let mut plan = RangePlan::new(0..30, 10);
        let first = plan.next_piece().unwrap();
        plan.answer(first, 4, false).unwrap();
        assert_eq!(plan.complete_to(), 4);
        assert_eq!(plan.next_piece(), Some(Piece { offset: 4, len: 6 }));
        assert_eq!(plan.next_piece(), Some(Piece { offset: 10, len: 10 }));
    }

    #[test]
    fn an_end_cuts_what_is_behind_it_off() {
        let mut plan = RangePlan::new(0..u64::MAX, 10);
        let pieces: Vec<_> = (0..4).filter_map(|_| plan.next_piece()).collect();
        plan.answer(pieces[2], 3, false).unwrap();
        plan.answer(pieces[1], 5, true).unwrap();
        assert_eq!(plan.end(), 15);
        // What was asked for behind it may be answered with anything.
        plan.answer(pieces[3], 0, false).unwrap();
        plan.answer(pieces[0], 10, false).unwrap();
        assert_eq!(plan.next_piece(), None);
        assert!(plan.is_done());
    }

    #[test]
    fn an_answer_without_progress_is_an_error() {
        let mut plan = RangePlan::new(0..20, 10);
        let piece = plan.next_piece().unwrap();
        assert_eq!(plan.answer(piece, 0, false), Err(Stalled { offset: 0 }));
    }

    #[test]
    fn a_piece_given_back_is_next() {
        let mut plan = RangePlan::new(0..20, 10);
        let first = plan.next_piece().unwrap();
        let second = plan.next_piece().unwrap();
        plan.give_back(first);
        plan.give_back(Piece { offset: 3, len: 1 });
        assert_eq!(plan.next_piece(), Some(first));
        assert_eq!(plan.in_flight(), 2);
        plan.answer(second, 10, false).unwrap();
        assert_eq!(plan.complete_to(), 0);
    }

    #[test]
    fn offsets_beyond_the_wire_are_never_asked_for() {
        let mut plan = RangePlan::new(HIGHEST - 1..u64::MAX, 10);
        assert_eq!(plan.next_piece(), Some(Piece { offset: HIGHEST - 1, len: 1 }));
        assert_eq!(plan.next_piece(), None);
        assert_eq!(RangePlan::new(u64::MAX..u64::MAX, 1).next_piece(), None);
    }
}
