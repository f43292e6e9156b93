//! Writing a file with several requests under way.

use alloc::collections::BTreeMap;
use bytes::{Buf as _, Bytes};

use super::range::{Piece, Stalled};

/// What was written and not acknowledged, and the first error.
///
/// Whoever writes goes on before the answers have come, within a window. An error of any of them
/// stays: every later write and flush reports it, because what the file then holds is anyone's guess.
#[derive(Debug)]
pub struct WriteBehind<E> {
    unanswered: BTreeMap<u64, Bytes>,
    bytes: usize,
    window: usize,
    fault: Option<E>,
}

impl<E: From<Stalled>> WriteBehind<E> {
    /// Nothing written, with at most `window` bytes unanswered; a single request is always allowed.
    #[must_use]
    pub const fn new(window: usize) -> Self {
        Self { unanswered: BTreeMap::new(), bytes: 0, window, fault: None }
    }

    /// Whether so many bytes may be written now; none at all behind an error.
    #[must_use]
    pub fn has_room(&self, count: usize) -> bool {
        self.fault.is_none() && (self.is_idle() || self.bytes.saturating_add(count) <= self.window)
    }

    /// Bytes that are written and not answered.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.bytes
    }

    /// Whether everything written is answered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Notes a write, which must not overlap with one that is not answered; says what to send.
    pub fn write(&mut self, offset: u64, data: Bytes) -> Piece {
        let piece = Piece { offset, len: data.len() };
        self.bytes = self.bytes.saturating_add(data.len());
        self.unanswered.insert(offset, data);
        piece
    }

    /// Takes the answer to a write in: so many bytes were written. What is left, if anything, must be
    /// sent next; if nothing was written at all, that is an error.
    pub fn answer(&mut self, piece: Piece, count: usize) -> Option<(Piece, Bytes)> {
        let mut data = self.unanswered.remove(&piece.offset)?;
        let count = count.min(data.len());
        self.bytes = self.bytes.saturating_sub(count);
        data.advance(count);
        if data.is_empty() {
            return None;
        }
        if count == 0 {
            self.bytes = self.bytes.saturating_sub(data.len());
            self.fault.get_or_insert(Stalled { offset: piece.offset }.into());
            return None;
        }
        let offset = piece.offset.saturating_add(count as u64);
        let rest = Piece { offset, len: data.len() };
        self.unanswered.insert(offset, data.clone());
        Some((rest, data))
    }

    /// Notes that a write failed; the first error stays.
    pub fn fail(&mut self, piece: Piece, error: E) {
        if let Some(data) = self.unanswered.remove(&piece.offset) {
            self.bytes = self.bytes.saturating_sub(data.len());
        }
        self.fault.get_or_insert(error);
    }

    /// The first error.
    #[must_use]
    pub const fn fault(&self) -> Option<&E> {
        self.fault.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Fault {
        Text(&'static str),
        Stalled(u64),
    }

    impl From<Stalled> for Fault {
        fn from(stalled: Stalled) -> Self {
            Self::Stalled(stalled.offset)
        }
    }

    fn bytes(count: usize) -> Bytes {
        alloc::vec![7; count].into()
    }

    #[test]
    fn writes_go_on_within_the_window_and_one_always() {
        let mut behind = WriteBehind::<Fault>::new(100);
        assert!(behind.has_room(500));
        let first = behind.write(0, bytes(60));
        assert!(behind.has_room(40) && !behind.has_room(41));
        let second = behind.write(60, bytes(40));
        assert_eq!(behind.answer(second, 40), None);
        assert_eq!((behind.held(), behind.is_idle()), (60, false));
        assert_eq!(behind.answer(first, 60), None);
        assert!(behind.is_idle());
    }

    #[test]
    fn what_was_not_written_is_sent_again_and_nothing_at_all_is_an_error() {
        let mut behind = WriteBehind::<Fault>::new(100);
        let piece = behind.write(10, bytes(8));
        let (rest, data) = behind.answer(piece, 3).unwrap();
        assert_eq!((rest, data.len()), (Piece { offset: 13, len: 5 }, 5));
        assert_eq!(behind.answer(piece, 3), None, "answered twice");
        assert_eq!(behind.answer(rest, 0), None);
        assert_eq!(behind.fault(), Some(&Fault::Stalled(13)));
        assert_eq!(behind.held(), 0);
    }

    #[test]
    fn the_first_error_stays() {
        let mut behind = WriteBehind::new(100);
        let (one, two) = (behind.write(0, bytes(8)), behind.write(8, bytes(8)));
        behind.fail(two, Fault::Text("disk full"));
        behind.fail(one, Fault::Text("another"));
        assert_eq!(behind.fault(), Some(&Fault::Text("disk full")));
        assert!(behind.is_idle() && !behind.has_room(1));
    }
}
