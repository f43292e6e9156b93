//! Regular expressions in RE2's syntax on the `regex` crate.
//!
//! Both engines are linear and close relatives, but the same text can mean different things to
//! them: `\w`, `\d`, `\s` and `\b` are ASCII in RE2, `\Q..\E` and octal escapes exist only there,
//! an unfinished `{` is a literal there, and set operations inside a class, the flags `x`, `u` and
//! `R`, `\<` and stacked repetitions mean something only here. So a pattern is read by RE2's
//! grammar and written anew with nothing ambiguous left in it.

use std::fmt::Write as _;

use regex::{Error, Regex, RegexBuilder};

/// Largest program a pattern may become, in bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// Sizes that a program is tried for: how large it becomes is known only when it is there.
const SIZES: [usize; 3] = [16 << 10, 128 << 10, SIZE_LIMIT];

/// What the programs of one list of patterns may take together, in bytes. A thousand of the usual
/// size fit; a thousand of the largest would keep an agent busy for minutes.
pub(super) const BUDGET: usize = 32 << 20;

/// RE2's largest count of a repetition.
const MAX_REPEAT: u32 = 1000;

/// The POSIX classes both engines know.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// Compiles `pattern`; `None` when it is not valid, too large or beyond what is left of the budget.
pub(super) fn compile(pattern: &str, budget: &mut usize) -> Option<Regex> {
    let mut translator = Translator { rest: pattern, out: String::new(), flags: "" };
    translator.run()?;
    let mut builder = RegexBuilder::new(&translator.out);
    for size in SIZES {
        *budget = budget.checked_sub(size)?;
        match builder.size_limit(size).dfa_size_limit(SIZE_LIMIT).build() {
            Ok(regex) => return Some(regex),
            Err(Error::CompiledTooBig(_)) => {}
            Err(_) => return None,
        }
    }
    None
}

struct Translator<'p> {
    rest: &'p str,
    out: String,
    /// A change of flags not yet written: RE2 lets a repetition behind it reach over it.
    flags: &'p str,
}

impl<'p> Translator<'p> {
    fn run(&mut self) -> Option<()> {
        let mut repeated = false;
        while let Some(c) = self.rest.chars().next() {
            let count = if c == '{' { counted(self.rest) } else { None };
            let is_repeat = matches!(c, '*' | '+' | '?') || count.is_some();
            if is_repeat && repeated {
                return None;
            }
            repeated = is_repeat;
            if !is_repeat {
                self.out.push_str(std::mem::take(&mut self.flags));
            }
            match (c, count) {
                (_, Some(count)) => self.repeat(count.checked()?),
                ('*' | '+' | '?', _) => self.repeat(1),
                ('.' | '^' | '$' | '|' | ')', _) => self.copy(1),
                ('(', _) => self.group()?,
                ('[', _) => self.class()?,
                ('\\', _) => self.escape()?,
                _ => {
                    self.literal(c);
                    self.skip(c.len_utf8());
                }
            }
        }
        self.out.push_str(self.flags);
        Some(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.skip(c.len_utf8());
        Some(c)
    }

    fn copy(&mut self, bytes: usize) {
        self.out.push_str(self.rest.get(..bytes).unwrap_or_default());
        self.skip(bytes);
    }

    /// Copies a repetition of `bytes` with the question mark that may make it reluctant.
    fn repeat(&mut self, bytes: usize) {
        self.copy(bytes);
        if self.rest.starts_with('?') {
            self.copy(1);
        }
    }

    /// Writes `c` so that it can only be read as itself, inside a class or out.
    fn literal(&mut self, c: char) {
        if c.is_alphanumeric() {
            self.out.push(c);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(self.out, "\\x{{{:X}}}", u32::from(c));
        }
    }

    /// An opening parenthesis. Names of groups are checked and dropped: nothing is captured.
    fn group(&mut self) -> Option<()> {
        let Some(after) = self.rest.strip_prefix("(?") else {
            self.copy(1);
            return Some(());
        };
        let named = after.strip_prefix("P<").or_else(|| after.strip_prefix('<'));
        if let Some(named) = named {
            let (name, rest) = named.split_once('>')?;
            let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if name.is_empty() || !name.bytes().all(word) {
                return None;
            }
            self.out.push('(');
            self.rest = rest;
            return Some(());
        }
        let end = after.find([':', ')'])?;
        let flags = after.get(..end)?;
        if !flags.chars().all(|flag| matches!(flag, 'i' | 'm' | 's' | 'U' | '-')) {
            return None;
        }
        let length = "(?".len() + end + 1;
        if after.get(end..)?.starts_with(':') {
            self.copy(length);
        } else {
            // `(?)` changes nothing, and is not valid in the other syntax.
            self.flags = if flags.is_empty() { "" } else { self.rest.get(..length)? };
            self.skip(length);
        }
        Some(())
    }

    /// An escape outside a class.
    fn escape(&mut self) -> Option<()> {
        let mut after = self.rest.chars();
        after.next();
        match after.next()? {
            'A' | 'z' => self.copy(2),
            c @ ('b' | 'B') => {
                self.skip(2);
                let _ = write!(self.out, "(?-u:\\{c})");
            }
            'Q' => {
                let quoted = self.rest.get(2..)?;
                let (literal, rest) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                self.rest = rest;
                literal.chars().for_each(|c| self.literal(c));
            }
            'p' | 'P' => self.unicode_class()?,
            c => match perl_class(c) {
                Some((negated, members)) => {
                    self.skip(2);
                    let _ = write!(self.out, "[{}{members}]", if negated { "^" } else { "" });
                }
                None => {
                    let c = self.escaped_char()?;
                    self.literal(c);
                }
            },
        }
        Some(())
    }

    /// `\pN`, `\p{Name}`, `\p{^Name}` or the same with a capital P.
    fn unicode_class(&mut self) -> Option<()> {
        let mut negated = self.rest.starts_with("\\P");
        self.skip(2);
        let first = self.take()?;
        let mut single = [0; 4];
        let mut name: &str = if first == '{' {
            let (name, rest) = self.rest.split_once('}')?;
            self.rest = rest;
            name
        } else {
            first.encode_utf8(&mut single)
        };
        if let Some(rest) = name.strip_prefix('^') {
            negated = !negated;
            name = rest;
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        let _ = write!(self.out, "\\{}{{{name}}}", if negated { 'P' } else { 'p' });
        Some(())
    }

    /// A bracketed class.
    fn class(&mut self) -> Option<()> {
        self.copy(1);
        if self.rest.starts_with('^') {
            self.copy(1);
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if self.posix_class()? {
                continue;
            }
            let mut ahead = self.rest.chars();
            if let (Some('\\'), Some(c)) = (ahead.next(), ahead.next()) {
                if matches!(c, 'p' | 'P') {
                    self.unicode_class()?;
                    continue;
                }
                if let Some((negated, members)) = perl_class(c) {
                    self.skip(2);
                    let _ = if negated {
                        write!(self.out, "[^{members}]")
                    } else {
                        write!(self.out, "{members}")
                    };
                    continue;
                }
            }
            let low = self.class_char()?;
            self.literal(low);
            // A minus before the closing bracket stands for itself.
            if self.rest.starts_with('-') && self.rest.len() > 1 && !self.rest.starts_with("-]") {
                self.copy(1);
                let high = self.class_char()?;
                self.literal(high);
            }
        }
        self.copy(1);
        Some(())
    }

    /// `[:name:]` inside a class; whether there was one.
    fn posix_class(&mut self) -> Option<bool> {
        let Some(end) = self.rest.strip_prefix("[:").and_then(|rest| rest.find(":]")) else {
            return Some(false);
        };
        let name = self.rest.get(2..2 + end)?;
        if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return None;
        }
        self.copy(2 + end + 2);
        Some(true)
    }

    fn class_char(&mut self) -> Option<char> {
        if self.rest.starts_with('\\') { self.escaped_char() } else { self.take() }
    }

    /// The character an escape stands for.
    fn escaped_char(&mut self) -> Option<char> {
        self.take()?;
        Some(match self.take()? {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => return self.hex(),
            c @ '0'..='7' => return self.octal(c),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return None,
        })
    }

    /// Behind `\x`: two digits, or any number in braces.
    fn hex(&mut self) -> Option<char> {
        let digits = if let Some(braced) = self.rest.strip_prefix('{') {
            let (digits, rest) = braced.split_once('}')?;
            self.rest = rest;
            digits
        } else {
            let digits = self.rest.get(..2)?;
            self.skip(2);
            digits
        };
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let significant = digits.trim_start_matches('0');
        let value = if significant.is_empty() && !digits.is_empty() { "0" } else { significant };
        u32::from_str_radix(value, 16).ok().and_then(char::from_u32)
    }

    /// Up to three digits; a single one other than 0 would be a back reference.
    fn octal(&mut self, first: char) -> Option<char> {
        let mut value = first.to_digit(8)?;
        let more = self.rest.bytes().take(2).take_while(|b| matches!(b, b'0'..=b'7')).count();
        if first != '0' && more == 0 {
            return None;
        }
        for _ in 0..more {
            value = value * 8 + self.take()?.to_digit(8)?;
        }
        char::from_u32(value)
    }
}

/// The members of `\d`, `\s`, `\w` and whether the letter asks for the others.
fn perl_class(letter: char) -> Option<(bool, &'static str)> {
    let members = match letter.to_ascii_lowercase() {
        'd' => "0-9",
        's' => "\\t\\n\\f\\r\\x20",
        'w' => "0-9A-Za-z_",
        _ => return None,
    };
    Some((letter.is_ascii_uppercase(), members))
}

/// A repetition in braces.
struct Counted {
    length: usize,
    min: Option<u32>,
    /// Inner `None`: a number beyond counting. Outer `None`: no upper bound.
    max: Option<Option<u32>>,
}

impl Counted {
    /// Its length in bytes, when RE2 accepts the numbers.
    fn checked(&self) -> Option<usize> {
        let min = self.min.filter(|min| *min <= MAX_REPEAT)?;
        match self.max {
            None => Some(self.length),
            Some(max) => max.filter(|max| (min..=MAX_REPEAT).contains(max)).map(|_| self.length),
        }
    }
}

/// Reads `{n}`, `{n,}` or `{n,m}`; anything else is a literal brace.
fn counted(text: &str) -> Option<Counted> {
    let (inside, _) = text.strip_prefix('{')?.split_once('}')?;
    let length = inside.len() + 2;
    let is_number = |s: &str| {
        let leading_zero = s.len() > 1 && s.starts_with('0');
        !s.is_empty() && !leading_zero && s.bytes().all(|b| b.is_ascii_digit())
    };
    let (min, max) = match inside.split_once(',') {
        None => (inside, Some(inside)),
        Some((min, "")) => (min, None),
        Some((min, max)) => (min, Some(max)),
    };
    if !is_number(min) || !max.is_none_or(is_number) {
        return None;
    }
    Some(Counted { length, min: min.parse().ok(), max: max.map(|max| max.parse().ok()) })
}

#[cfg(test)]
mod tests {
    use super::compile;

    fn matches(pattern: &str, name: &str) -> bool {
        compile(pattern, &mut { super::BUDGET }).is_some_and(|regex| regex.is_match(name))
    }

    #[test]
    fn what_differs_between_the_engines_follows_re2() {
        for (pattern, name, expected) in [
            ("^\\w$", "É", false),
            ("^\\W$", "É", true),
            ("^[\\W]$", "É", true),
            ("^[^\\w]$", "É", true),
            ("^\\d+$", "٣", false),
            ("É\\b", "É", false),
            ("A\\b", "AÉ", true),
            ("^\\Qa.b\\E$", "a.b", true),
            ("^\\Qa.b\\E$", "aXb", false),
            ("\\Q(", "x(", true),
            ("^\\101$", "A", true),
            ("^a{$", "a{", true),
            ("^a{,2}$", "a{,2}", true),
            ("^a{02}$", "a{02}", true),
            ("^[a&&b]$", "&", true),
            ("^[[a]$", "[", true),
            ("^[a~~b]$", "~", true),
            ("^\\<a$", "<a", true),
            ("^\\_$", "_", true),
            ("^[]a]$", "]", true),
            ("^[a-]$", "-", true),
            ("^[[:upper:]_]+$", "A_B", true),
            ("^[[:^upper:]]$", "A", false),
            ("^\\p{^Lu}$", "a", true),
            ("^\\PL$", "1", true),
            ("(?P<n>a)(?<m>b)", "ab", true),
            ("(?i:É)", "é", true),
            ("^(?i)[a-c]$", "B", true),
            ("(?)a", "a", true),
            ("^a(?i)*b$", "aaB", true),
            ("a(?i)", "a", true),
            ("a b", "a b", true),
            ("^a{2,3}?$", "aaa", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        for pattern in [
            "(",
            ")",
            "[",
            "[a",
            "a**",
            "a*+",
            "a+??",
            "a{2}{3}",
            "*",
            "(*)",
            "\\8",
            "\\1",
            "\\C",
            "\\e",
            "\\",
            "(?x)a",
            "(?u)a",
            "(?R)a",
            "(?=a)",
            "(?P<>a)",
            "(?P<n.>a)",
            "(?i",
            "(?i-)",
            "a{1001}",
            "a{2,1}",
            "[b-a]",
            "[[:none:]]",
            "[a-\\d]",
            "\\p{Nope}",
            "\\pé",
            "\\x{}",
            "\\x{110000}",
            "\\xZ1",
        ] {
            assert!(compile(pattern, &mut { super::BUDGET }).is_none(), "{pattern}");
        }
    }
}
