//! What happened in a simulation, to be read by people.

use std::collections::VecDeque;
use std::fmt;

use trunkline_core::Instant;

/// The most lines that a trace keeps, unless told otherwise: the last ones.
const LINES: usize = 200;

/// One of the two ends of a simulated link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first of the two.
    A,
    /// The second.
    B,
}

/// What happened at one end. Bytes that go the same way at the same moment are one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The transport took so many of its bytes.
    Sent(usize),
    /// So many bytes arrived.
    Arrived(usize),
    /// It ended its direction.
    Shut,
    /// The other direction ended.
    Eof,
    /// A read or a write failed.
    Failed(trunkline_core::Direction, i32),
    /// One of its deadlines came.
    Timeout,
    /// What a test had to say.
    Note(String),
}

/// The last things that happened in a simulation; prints one line for each.
#[derive(Clone, Debug)]
pub struct Trace {
    lines: VecDeque<(Instant, End, What)>,
    keep: usize,
    dropped: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self { lines: VecDeque::new(), keep: LINES, dropped: 0 }
    }
}

impl Trace {
    /// Keeps so many lines from now on.
    pub const fn keep(&mut self, lines: usize) {
        self.keep = lines;
    }

    /// What is kept, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &(Instant, End, What)> {
        self.lines.iter()
    }

    pub(super) fn push(&mut self, now: Instant, end: End, what: What) {
        // A line for each of a thousand single bytes would push out everything else.
        if let Some((at, last, before)) = self.lines.back_mut()
            && (*at, *last) == (now, end)
            && let (What::Arrived(sum), What::Arrived(more)) | (What::Sent(sum), What::Sent(more)) =
                (before, &what)
        {
            *sum = sum.saturating_add(*more);
            return;
        }
        self.lines.push_back((now, end, what));
        while self.lines.len() > self.keep {
            self.lines.pop_front();
            self.dropped += 1;
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dropped > 0 {
            writeln!(f, "  ({} lines before these)", self.dropped)?;
        }
        for (at, end, what) in &self.lines {
            writeln!(f, "  {at:?} {end:?}: {what}")?;
        }
        Ok(())
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(size) => write!(f, "{size} bytes taken"),
            Self::Arrived(size) => write!(f, "{size} bytes arrive"),
            Self::Shut => f.write_str("ends its direction"),
            Self::Eof => f.write_str("the other direction has ended"),
            Self::Failed(direction, error) => write!(f, "{direction:?} fails (os error {error})"),
            Self::Timeout => f.write_str("deadline"),
            Self::Note(text) => f.write_str(text),
        }
    }
}
