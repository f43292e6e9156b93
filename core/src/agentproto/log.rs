//! Log records: `docs/protocols/agentproto.md` section 11.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::frame::LogRecord;

/// The level of a log record; any number can stand on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub i64);

impl Level {
    /// Everything.
    pub const TRACE: Self = Self(-8);
    /// For developers.
    pub const DEBUG: Self = Self(-4);
    /// For users.
    pub const INFO: Self = Self(0);
    /// Something is odd.
    pub const WARN: Self = Self(4);
    /// Something failed.
    pub const ERROR: Self = Self(8);

    /// The named level at or below this number; anything under -4 is trace.
    #[must_use]
    pub const fn named(self) -> Self {
        match self.0 {
            ..=-5 => Self::TRACE,
            -4..=-1 => Self::DEBUG,
            0..=3 => Self::INFO,
            4..=7 => Self::WARN,
            _ => Self::ERROR,
        }
    }
}

impl LogRecord {
    /// A record without attributes.
    #[must_use]
    pub fn new(level: Level, message: impl Into<String>) -> Self {
        Self { attributes: Vec::new(), level: level.0, message: message.into() }
    }

    /// The record with one more attribute, as `key=value` without any quoting.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.attributes.push(format!("{key}={value}"));
        self
    }

    /// The record's level.
    #[must_use]
    pub const fn level(&self) -> Level {
        Level(self.level)
    }

    /// The attributes, split at their first `=`; one without it is a key with an empty value.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|attribute| attribute.split_once('=').unwrap_or((attribute, "")))
    }

    /// Cuts the record to about `most` bytes of text, at a character; says whether it was longer.
    pub fn truncate(&mut self, most: usize) -> bool {
        let mut left = most;
        let mut cut = shorten(&mut self.message, &mut left);
        let mut keep = 0;
        for attribute in &mut self.attributes {
            if left == 0 || keep == most {
                break;
            }
            cut |= shorten(attribute, &mut left);
            // An empty one costs something too.
            left = left.saturating_sub(1);
            keep += 1;
        }
        cut |= keep < self.attributes.len();
        self.attributes.truncate(keep);
        self.attributes.shrink_to_fit();
        cut
    }
}

/// Cuts `text` to at most `most` bytes, at a character; says whether it was longer.
pub(super) fn cut(text: &mut String, most: usize) -> bool {
    let longer = text.len() > most;
    if longer {
        text.truncate(text.floor_char_boundary(most));
        text.shrink_to_fit();
    }
    longer
}

/// Cuts `text` to `left` bytes and counts what remains of them.
fn shorten(text: &mut String, left: &mut usize) -> bool {
    let longer = cut(text, *left);
    *left = if longer { 0 } else { *left - text.len() };
    longer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_fold_into_the_named_ones() {
        for (number, named) in [
            (-100, -8),
            (-8, -8),
            (-5, -8),
            (-4, -4),
            (-1, -4),
            (0, 0),
            (4, 4),
            (7, 4),
            (8, 8),
            (i64::MAX, 8),
        ] {
            assert_eq!(Level(number).named(), Level(named), "{number}");
        }
    }

    #[test]
    fn a_long_record_is_cut_at_a_character() {
        let mut record = LogRecord::new(Level::INFO, "éé").with("a", 1).with("b", "22");
        assert!(!record.clone().truncate(12));
        assert!(record.truncate(9));
        assert_eq!(record.attributes, ["a=1", "b"]);
        assert!(record.truncate(3));
        assert_eq!((record.message.as_str(), record.attributes.len()), ("é", 0));
    }

    #[test]
    fn attributes_split_at_the_first_equals_sign() {
        let record = LogRecord {
            attributes: alloc::vec!["a=b=c".into(), "d".into()],
            ..LogRecord::default()
        };
        assert!(record.pairs().eq([("a", "b=c"), ("d", "")]));
    }
}
