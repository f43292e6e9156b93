//! Finds the end of a CBOR item while its bytes arrive: `docs/protocols/agentproto.md` section 3.
//!
//! Every byte is looked at once, whatever the pieces: state is kept between calls, so a frame that
//! drips in costs no more than one that comes whole (section 15). Only form and limits are checked
//! here; whether an item fits a message is for [`super::input`].

use super::violation::{FirstBytes, Malformed, Violation};
use crate::Limits;

/// The most levels that can be open at once, whatever the limits say.
const MOST_DEPTH: usize = 64;

/// The head of an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) major: u8,
    pub(super) info: u8,
    pub(super) argument: u64,
}

impl Head {
    /// How many bytes follow the initial byte, or why the byte cannot begin a head.
    pub(super) const fn extra(initial: u8) -> Result<usize, Malformed> {
        match (initial >> 5, initial & 31) {
            (_, 0..=23) => Ok(0),
            (_, 24) => Ok(1),
            (_, 25) => Ok(2),
            (_, 26) => Ok(4),
            (_, 27) => Ok(8),
            (2..=5 | 7, 31) => Ok(0),
            (_, info) => Err(Malformed::Info(info)),
        }
    }

    /// A head from its initial byte and the bytes that follow it.
    pub(super) fn new(initial: u8, rest: &[u8]) -> Result<Self, Malformed> {
        let (major, info) = (initial >> 5, initial & 31);
        let argument = if rest.is_empty() {
            u64::from(info)
        } else {
            rest.iter().fold(0, |argument, byte| argument << 8 | u64::from(*byte))
        };
        if major == 7 && info == 24 && argument < 32 {
            return Err(Malformed::Simple(argument as u8));
        }
        if (2..=5).contains(&major) && info != 31 && argument > i64::MAX as u64 {
            return Err(Malformed::Length(argument));
        }
        Ok(Self { major, info, argument })
    }

    pub(super) const fn is_indefinite(self) -> bool {
        self.info == 31
    }

    const fn is_break(self) -> bool {
        self.major == 7 && self.info == 31
    }
}

/// An item that has begun and not ended.
#[derive(Clone, Copy, Debug)]
enum Open {
    /// A definite array or map: this many items still to come.
    Items(u32),
    /// An indefinite array: this many items have come.
    Array(u32),
    /// An indefinite map: this many keys and values have come.
    Map(u32),
    /// An indefinite string of this major type.
    Chunks(u8),
}

#[derive(Clone, Copy, Debug)]
struct Level {
    open: Open,
    /// Nesting of what stands inside.
    depth: usize,
}

/// What may stand at the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Top {
    /// Only what can be a message: a map, null, undefined, or one of them tagged.
    Message,
    /// Anything.
    Any,
}

/// Finds the end of one item after the other.
#[derive(Clone, Debug)]
pub(super) struct Scanner {
    top: Top,
    max_bytes: usize,
    max_depth: usize,
    max_elements: usize,
    /// Bytes of the present item seen so far.
    seen: usize,
    /// Bytes of a string still to be passed over.
    skip: usize,
    /// A head that has not arrived whole.
    partial: [u8; 9],
    partial_len: usize,
    levels: [Level; MOST_DEPTH],
    open: usize,
    /// Nesting of the next item.
    depth: usize,
    after_tag: bool,
}

impl Scanner {
    pub(super) fn new(top: Top, limits: &Limits) -> Self {
        Self {
            top,
            max_bytes: limits.frame,
            max_depth: limits.depth.min(MOST_DEPTH - 1),
            // Keys and values of one pair more than allowed must still be countable.
            max_elements: limits.elements.min(u32::MAX as usize / 2 - 1),
            seen: 0,
            skip: 0,
            partial: [0; 9],
            partial_len: 0,
            levels: [Level { open: Open::Items(0), depth: 0 }; MOST_DEPTH],
            open: 0,
            depth: 0,
            after_tag: false,
        }
    }

    /// Looks at the next bytes. `Some(n)`: the item ends after `n` of them, and the scanner is
    /// ready for the next one. `None`: all were looked at, and more are needed.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, Violation> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let (used, ended) = if self.skip > 0 {
                let used = self.skip.min(rest.len());
                self.skip -= used;
                (used, self.skip == 0 && self.ended()?)
            } else {
                self.head(rest)?
            };
            at += used;
            self.seen += used;
            if ended {
                self.seen = 0;
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Takes a head, or as much of one as there is; says how many bytes and whether the item ended.
    fn head(&mut self, rest: &[u8]) -> Result<(usize, bool), Violation> {
        let Some(initial) = self.partial.first().filter(|_| self.partial_len > 0).or(rest.first())
        else {
            return Ok((0, false));
        };
        let initial = *initial;
        let wanted = 1 + Head::extra(initial).map_err(Violation::Malformed)?;
        if self.partial_len == 0 {
            // All that the initial byte tells is checked at once, so that the verdict is the same
            // however the head is cut.
            self.check_top(initial, rest)?;
            if let Some(Open::Chunks(major)) = self.innermost()
                && initial != 0xff
                && initial >> 5 != major
            {
                return Err(Violation::Malformed(Malformed::ChunkType));
            }
            if self.seen + wanted > self.max_bytes {
                return Err(Violation::FrameSize { limit: self.max_bytes });
            }
            if let Some(whole) = rest.get(1..wanted) {
                return Ok((wanted, self.item(initial, whole, wanted)?));
            }
        }
        let used = (wanted - self.partial_len).min(rest.len());
        for (to, from) in self.partial.iter_mut().skip(self.partial_len).zip(rest).take(used) {
            *to = *from;
        }
        self.partial_len += used;
        if self.partial_len < wanted {
            return Ok((used, false));
        }
        self.partial_len = 0;
        let partial = self.partial;
        Ok((used, self.item(initial, partial.get(1..wanted).unwrap_or_default(), used)?))
    }

    /// What the next item stands in, if in anything.
    fn innermost(&self) -> Option<Open> {
        let last = self.open.checked_sub(1)?;
        self.levels.get(last).map(|level| level.open)
    }

    /// Refuses at its first byte what cannot be a message (R2, H20).
    fn check_top(&self, initial: u8, rest: &[u8]) -> Result<(), Violation> {
        if self.top == Top::Any || self.open > 0 || self.after_tag {
            return Ok(());
        }
        match initial {
            0xff => Err(Violation::Malformed(Malformed::Break)),
            0xa0..=0xdf | 0xf6 | 0xf7 => Ok(()),
            _ => Err(Violation::NotAFrame { first: FirstBytes::of(rest) }),
        }
    }

    /// Acts on a whole head, of which `fresh` bytes are not counted yet; says whether the outermost
    /// item ended with it.
    fn item(&mut self, initial: u8, extra: &[u8], fresh: usize) -> Result<bool, Violation> {
        let head = Head::new(initial, extra).map_err(Violation::Malformed)?;
        let top = self.innermost();
        if head.is_break() {
            return match top {
                Some(Open::Chunks(_) | Open::Array(_)) if !self.after_tag => self.close(),
                Some(Open::Map(count)) if count % 2 == 0 && !self.after_tag => self.close(),
                _ => Err(Violation::Malformed(Malformed::Break)),
            };
        }
        if matches!(top, Some(Open::Chunks(_))) && head.is_indefinite() {
            return Err(Violation::Malformed(Malformed::ChunkIndefinite));
        }
        match head.major {
            2 | 3 if head.is_indefinite() => self.open(Open::Chunks(head.major), self.depth),
            2 | 3 => self.string(head.argument, fresh),
            4 | 5 => self.container(head),
            6 => self.tag(),
            _ => self.ended(),
        }
    }

    fn string(&mut self, length: u64, fresh: usize) -> Result<bool, Violation> {
        let room = self.max_bytes.saturating_sub(self.seen + fresh);
        match usize::try_from(length) {
            Ok(0) => self.ended(),
            Ok(length) if length <= room => {
                self.skip = length;
                Ok(false)
            }
            _ => Err(Violation::FrameSize { limit: self.max_bytes }),
        }
    }

    fn container(&mut self, head: Head) -> Result<bool, Violation> {
        let depth = self.depth + 1;
        if depth > self.max_depth {
            return Err(Violation::Depth { limit: self.max_depth });
        }
        if head.is_indefinite() {
            return self.open(if head.major == 4 { Open::Array(0) } else { Open::Map(0) }, depth);
        }
        let count =
            u32::try_from(head.argument).ok().filter(|count| *count as usize <= self.max_elements);
        let Some(count) = count else {
            return Err(Violation::Elements { limit: self.max_elements });
        };
        if count == 0 {
            return self.ended();
        }
        self.open(Open::Items(if head.major == 4 { count } else { count * 2 }), depth)
    }

    /// A tag: the first of a chain is free, each further one counts as a level (R9).
    fn tag(&mut self) -> Result<bool, Violation> {
        if self.after_tag {
            self.depth += 1;
            if self.depth > self.max_depth {
                return Err(Violation::Depth { limit: self.max_depth });
            }
        }
        self.after_tag = true;
        Ok(false)
    }

    fn open(&mut self, open: Open, depth: usize) -> Result<bool, Violation> {
        let Some(level) = self.levels.get_mut(self.open) else {
            return Err(Violation::Depth { limit: self.max_depth });
        };
        *level = Level { open, depth };
        self.open += 1;
        self.depth = depth;
        self.after_tag = false;
        Ok(false)
    }

    fn close(&mut self) -> Result<bool, Violation> {
        self.open = self.open.saturating_sub(1);
        self.ended()
    }

    /// Counts an ended item in what surrounds it; says whether nothing surrounds it.
    fn ended(&mut self) -> Result<bool, Violation> {
        self.after_tag = false;
        while let Some(level) = self.open.checked_sub(1).and_then(|last| self.levels.get_mut(last))
        {
            self.depth = level.depth;
            let (count, per_element) = match &mut level.open {
                Open::Items(left) => {
                    *left = left.saturating_sub(1);
                    if *left > 0 {
                        return Ok(false);
                    }
                    self.open -= 1;
                    continue;
                }
                Open::Chunks(_) => return Ok(false),
                Open::Array(count) => (count, 1),
                Open::Map(count) => (count, 2),
            };
            *count += 1;
            if *count as usize / per_element > self.max_elements {
                return Err(Violation::Elements { limit: self.max_elements });
            }
            return Ok(false);
        }
        self.depth = 0;
        Ok(true)
    }
}
