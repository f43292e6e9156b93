//! Which grants `docs/protocols/wormhole.md` section 5.4 asks for, counted on their own.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::Check;
use crate::diff;
use crate::report::Verdict;

/// What was read of each stream and not granted, and what should have been.
#[derive(Debug)]
pub struct Grants {
    threshold: usize,
    read: BTreeMap<u32, usize>,
    /// Streams that either side has closed.
    closed: BTreeSet<u32>,
    due: Vec<Vec<u8>>,
}

impl Grants {
    /// Grants of an end whose window is `window` bytes.
    #[must_use]
    pub fn new(window: u32) -> Self {
        let threshold = usize::try_from(window / 2).unwrap_or(usize::MAX).max(1);
        Self { threshold, read: BTreeMap::new(), closed: BTreeSet::new(), due: Vec::new() }
    }

    /// The application read `count` bytes, in whatever pieces.
    pub fn note_read(&mut self, id: u32, count: usize) {
        if self.closed.contains(&id) {
            return;
        }
        let read = self.read.entry(id).or_default();
        *read += count;
        if *read >= self.threshold {
            let increment = u32::try_from(std::mem::take(read)).unwrap_or(u32::MAX);
            let mut frame = vec![1, 2];
            frame.extend_from_slice(&id.to_be_bytes());
            frame.extend_from_slice(&4_u32.to_be_bytes());
            frame.extend_from_slice(&increment.to_be_bytes());
            self.due.push(frame);
        }
    }

    /// This end closed a stream.
    pub fn note_closed(&mut self, id: u32) {
        self.closed.insert(id);
    }

    /// The other end sent this frame.
    pub fn note_fed(&mut self, frame: &[u8]) {
        if let [1, 5 | 7, a, b, c, d, ..] = frame {
            self.closed.insert(u32::from_be_bytes([*a, *b, *c, *d]));
        }
    }

    /// The grants that were written since the last time are the ones that were due.
    ///
    /// # Errors
    ///
    /// [`Verdict::Fail`] when they are others.
    pub fn expect(&mut self, seen: &[Vec<u8>]) -> Check {
        let due = std::mem::take(&mut self.due);
        diff::bytes(&due.concat(), &seen.concat())
            .map_or(Ok(()), |why| Err(Verdict::Fail(format!("grants: differ at {why}"))))
    }
}
