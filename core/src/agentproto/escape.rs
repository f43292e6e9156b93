//! Text from a peer, made fit for a terminal: `docs/protocols/agentproto.md` sections 11 and 15.

use core::fmt;

/// Text with its control characters escaped, ready to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a str);

/// Escapes control characters (also those of Unicode, and the marks that turn the direction of
/// writing), so that a peer's text cannot move the cursor, colour or forge a line.
#[must_use]
pub const fn escape(text: &str) -> Escaped<'_> {
    Escaped(text)
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain = 0;
        for (at, c) in self.0.char_indices() {
            if !is_unsafe(c) {
                continue;
            }
            f.write_str(self.0.get(plain..at).unwrap_or_default())?;
            write!(f, "{}", c.escape_default())?;
            plain = at + c.len_utf8();
        }
        f.write_str(self.0.get(plain..).unwrap_or_default())
    }
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn control_characters_are_shown_and_plain_text_is_left_alone() {
        assert_eq!(escape("naïve ツール").to_string(), "naïve ツール");
        assert_eq!(escape("a\x1b[31mb\nc\u{202e}d").to_string(), "a\\u{1b}[31mb\\nc\\u{202e}d");
        assert_eq!(escape("").to_string(), "");
    }
}
