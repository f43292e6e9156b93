//! Sizes as people write and read them.

/// The powers of 1024 and of 1000.
const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];

/// A size for people, as `ls -h` shows it: rounded up, one decimal below 10.
pub(crate) fn human(size: u64) -> String {
    if size < 1024 {
        return size.to_string();
    }
    let mut unit = 1_u128;
    for (index, name) in UNITS.into_iter().enumerate() {
        unit *= 1024;
        let size = u128::from(size);
        let tenths = (size * 10).div_ceil(unit);
        if tenths < 100 {
            return format!("{}.{}{name}", tenths / 10, tenths % 10);
        }
        let whole = size.div_ceil(unit);
        if whole < 1024 || index + 1 == UNITS.len() {
            return format!("{whole}{name}");
        }
    }
    size.to_string()
}

/// A number of bytes with an optional unit: `K`, `KiB` and so on for powers of 1024, `KB` and so
/// on for powers of 1000.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let wrong = || "expected a number of bytes, with K, M, G, T, P or E where wanted".to_string();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let count: i64 = digits.parse().map_err(|_| wrong())?;
    let mut chars = unit.chars();
    let Some(first) = chars.next() else { return Ok(count) };
    let power = UNITS.iter().position(|name| *name == first.to_ascii_uppercase());
    let power = u32::try_from(power.ok_or_else(wrong)? + 1).unwrap_or(u32::MAX);
    let base: i64 = match chars.as_str() {
        "" | "iB" => 1024,
        "B" => 1000,
        _ => return Err(wrong()),
    };
    let unit = base.checked_pow(power);
    unit.and_then(|unit| count.checked_mul(unit)).ok_or_else(|| "that is too large".to_string())
}

/// A size given outright, or by what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SizeChange {
    /// This size.
    To(i64),
    /// So much more.
    Grow(i64),
    /// So much less.
    Shrink(i64),
    /// This size where there is more.
    AtMost(i64),
    /// This size where there is less.
    AtLeast(i64),
}

impl SizeChange {
    /// Parses a size behind `+`, `-`, `<`, `>` or nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let kind = match text.chars().next() {
            Some('+') => Self::Grow,
            Some('-') => Self::Shrink,
            Some('<') => Self::AtMost,
            Some('>') => Self::AtLeast,
            _ => return parse(text).map(Self::To),
        };
        parse(text.get(1..).unwrap_or_default()).map(kind)
    }

    /// The new size of a file that has this one; `None` when no file can have it.
    pub(crate) fn apply(self, size: i64) -> Option<i64> {
        match self {
            Self::To(to) => Some(to),
            Self::Grow(by) => size.checked_add(by),
            Self::Shrink(by) => Some(size.saturating_sub(by).max(0)),
            Self::AtMost(most) => Some(size.min(most)),
            Self::AtLeast(least) => Some(size.max(least)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `ls -h` and `numfmt --to=iec --round=up` have them.
    #[test]
    fn sizes_for_people_are_rounded_up() {
        for (size, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1025, "1.1K"),
            (10 * 1024 - 1, "10K"),
            (10 * 1024 + 1, "11K"),
            (1023 * 1024, "1023K"),
            (1023 * 1024 + 1, "1.0M"),
            (1 << 30, "1.0G"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(human(size), text, "{size}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, size) in
            [("0", 0), ("12", 12), ("1K", 1024), ("1k", 1024), ("2KiB", 2048), ("3MB", 3_000_000)]
        {
            assert_eq!(parse(text), Ok(size), "{text}");
        }
        for text in ["", "K", "1x", "-1", "1.5", "1KB2", "8E", "9223372036854775808", " 1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_can_be_relative() {
        for (text, from, to) in [
            ("5", 9, Some(5)),
            ("+5", 9, Some(14)),
            ("-5", 9, Some(4)),
            ("-1K", 9, Some(0)),
            ("<5", 9, Some(5)),
            (">5", 9, Some(9)),
            ("+1", i64::MAX, None),
        ] {
            assert_eq!(SizeChange::parse(text).expect(text).apply(from), to, "{text}");
        }
        assert!(SizeChange::parse("++1").is_err());
    }
}
