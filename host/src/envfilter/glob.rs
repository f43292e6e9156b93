//! Shell globs as Go's `filepath.Match` reads them on Linux.
//!
//! A pattern falls into chunks between its stars. Each chunk is placed at the first position where
//! it fits and never moved again, so the work is at most name times chunk and cannot explode. This
//! also is what Go does, down to two habits kept here on purpose: a class can match a slash, and
//! skipping goes by bytes, so that after a star `?` may take one byte out of a longer character.

/// A pattern that parsed.
pub(super) struct Glob {
    chunks: Vec<Chunk>,
    /// Whether the pattern ends in a star.
    open_end: bool,
}

/// A run of tokens between stars.
struct Chunk {
    after_star: bool,
    tokens: Vec<Token>,
}

enum Token {
    Byte(u8),
    /// Any one character but a slash.
    Any,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    /// `None` for a malformed pattern, wherever in it the fault is.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let mut chunks = Vec::new();
        let mut chunk = Chunk { after_star: false, tokens: Vec::new() };
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            let after = rest.get(c.len_utf8()..)?;
            rest = match c {
                '*' => {
                    let next = Chunk { after_star: true, tokens: Vec::new() };
                    let full = std::mem::replace(&mut chunk, next);
                    if !full.tokens.is_empty() {
                        chunks.push(full);
                    }
                    after
                }
                '?' => {
                    chunk.tokens.push(Token::Any);
                    after
                }
                '[' => {
                    let (class, after) = parse_class(after)?;
                    chunk.tokens.push(class);
                    after
                }
                _ => {
                    let literal = if c == '\\' { after } else { rest };
                    let first = literal.chars().next()?;
                    let (literal, after) = literal.split_at(first.len_utf8());
                    chunk.tokens.extend(literal.bytes().map(Token::Byte));
                    after
                }
            };
        }
        let open_end = chunk.after_star && chunk.tokens.is_empty();
        if !chunk.tokens.is_empty() {
            chunks.push(chunk);
        }
        Some(Self { chunks, open_end })
    }

    pub(super) fn is_match(&self, name: &str) -> bool {
        let mut name = name.as_bytes();
        for (index, chunk) in self.chunks.iter().enumerate() {
            let must_end = !self.open_end && index + 1 == self.chunks.len();
            match chunk.place(name, must_end) {
                Some(rest) => name = rest,
                None => return false,
            }
        }
        if self.open_end { !name.contains(&b'/') } else { name.is_empty() }
    }
}

impl Chunk {
    /// What is left of `name` behind the first place where the chunk fits.
    fn place<'n>(&self, mut name: &'n [u8], must_end: bool) -> Option<&'n [u8]> {
        loop {
            match self.fit(name) {
                Some(rest) if rest.is_empty() || !must_end => return Some(rest),
                _ if !self.after_star => return None,
                _ => {}
            }
            match name.split_first() {
                Some((b'/', _)) | None => return None,
                Some((_, rest)) => name = rest,
            }
        }
    }

    /// What is left of `name` when the chunk matches its beginning.
    fn fit<'n>(&self, mut name: &'n [u8]) -> Option<&'n [u8]> {
        for token in &self.tokens {
            let (first, rest) = name.split_first()?;
            name = match token {
                Token::Byte(byte) if byte == first => rest,
                Token::Any if *first != b'/' => split_char(name).1,
                Token::Class { negated, ranges } => {
                    let (c, rest) = split_char(name);
                    let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                    if inside == *negated {
                        return None;
                    }
                    rest
                }
                _ => return None,
            };
        }
        Some(name)
    }
}

/// The first character of `name` and the rest; a stray continuation byte counts as U+FFFD.
fn split_char(name: &[u8]) -> (char, &[u8]) {
    let length = match name.first() {
        None | Some(0..=0xbf) => 1,
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..) => 4,
    };
    let (head, rest) = name.split_at(length.min(name.len()));
    let c = std::str::from_utf8(head).ok().and_then(|head| head.chars().next());
    (c.unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}

/// A class and what follows it; `pattern` begins behind the opening bracket.
fn parse_class(pattern: &str) -> Option<(Token, &str)> {
    let (negated, mut rest) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty()
            && let Some(rest) = rest.strip_prefix(']')
        {
            return Some((Token::Class { negated, ranges }, rest));
        }
        let (low, after_low) = class_char(rest)?;
        let (high, after) = match after_low.strip_prefix('-') {
            Some(high) => class_char(high)?,
            None => (low, after_low),
        };
        ranges.push((low, high));
        rest = after;
    }
}

/// A character inside a class, possibly escaped, and what follows it.
fn class_char(pattern: &str) -> Option<(char, &str)> {
    if pattern.starts_with(['-', ']']) {
        return None;
    }
    let mut chars = pattern.strip_prefix('\\').unwrap_or(pattern).chars();
    let c = chars.next()?;
    Some((c, chars.as_str()))
}

#[cfg(test)]
mod tests {
    use super::Glob;

    fn glob(pattern: &str, name: &str) -> bool {
        Glob::new(pattern).is_some_and(|glob| glob.is_match(name))
    }

    #[test]
    fn stars() {
        for (pattern, name, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "ab", true),
            ("*", "a/b", false),
            ("a*", "a/b", false),
            ("a*/b", "axx/b", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b", "abab", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn classes_and_escapes() {
        for (pattern, name, expected) in [
            ("[a-c]", "b", true),
            ("[^a-c]", "b", false),
            ("[^a]", "/", true),
            ("?", "/", false),
            ("[\\]]", "]", true),
            ("[\\-x]", "-", true),
            ("[a\\-c]", "b", false),
            ("[[]", "[", true),
            ("[*]", "*", true),
            ("[*]", "a", false),
            ("[!a]", "!", true),
            ("[!a]", "b", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "aXb", false),
            ("\\É", "É", true),
            ("[c-a]", "b", false),
            ("[À-ÿ]", "É", true),
            ("a]", "a]", true),
            ("*??", "€", true),
        ] {
            assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn malformed_patterns_never_match() {
        for pattern in [
            "[", "[]", "[]a]", "[^]", "[a", "[a-", "[a-]", "[-a]", "[x-]", "\\", "a\\", "[\\",
            "[a\\",
        ] {
            assert!(Glob::new(pattern).is_none(), "{pattern}");
            assert!(Glob::new(&format!("zzz*{pattern}")).is_none(), "{pattern}");
        }
    }

    #[test]
    fn a_long_name_takes_no_time() {
        let name = "a".repeat(100_000);
        let pattern = format!("{}b", "*a".repeat(100));
        assert!(!glob(&pattern, &name));
    }
}
