//! Tells code, comments and literals of a Rust file apart, so that a rule about code does not trip
//! over a comment and this crate's own texts trip over none.

/// Two views of one file, both as long as it and with the same lines: what the other view holds,
/// and every literal, is blank.
pub(super) struct Masked {
    /// The code, without comments and without the insides of string and character literals.
    pub(super) code: String,
    /// The comments, with their markers.
    pub(super) comments: String,
}

impl Masked {
    pub(super) fn new(text: &str) -> Self {
        let mut views = [blank(text), blank(text)];
        let mut at = 0;
        while at < text.len() {
            let (kind, len) = next_piece(text, at);
            let view = match kind {
                Kind::Code => Some(0),
                Kind::Comment => Some(1),
                Kind::Literal => None,
            };
            if let Some(view) = view {
                views[view][at..at + len].copy_from_slice(&text.as_bytes()[at..at + len]);
            }
            at += len;
        }
        let [code, comments] = views.map(|v| String::from_utf8_lossy(&v).into_owned());
        Self { code, comments }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Code,
    Comment,
    Literal,
}

fn blank(text: &str) -> Vec<u8> {
    text.bytes().map(|b| if b == b'\n' { b'\n' } else { b' ' }).collect()
}

/// What begins at `at`, and how many bytes of it there are.
fn next_piece(text: &str, at: usize) -> (Kind, usize) {
    let rest = &text[at..];
    let first = rest.chars().next().unwrap_or(' ');
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Kind::Comment, block_comment(rest));
    }
    if first == '"' {
        return (Kind::Literal, quoted(rest, b'"'));
    }
    if first == '\'' {
        return character(rest);
    }
    if first.is_alphanumeric() || first == '_' {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        return match (&rest[..word], raw_string(&rest[word..])) {
            ("r" | "br" | "cr", Some(len)) => (Kind::Literal, word + len),
            _ => (Kind::Code, word),
        };
    }
    (Kind::Code, first.len_utf8())
}

/// The length of the block comment that `rest` begins with; they nest.
fn block_comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut depth, mut i) = (0_usize, 0);
    while i + 1 < bytes.len() {
        match &bytes[i..i + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return i;
        }
    }
    rest.len()
}

/// The length of the literal that `rest` begins with, up to the unescaped `end`.
fn quoted(rest: &str, end: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut i = 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b if b == end => return i + 1,
            _ => i += 1,
        }
    }
    rest.len()
}

/// `rest` begins with an apostrophe: a character literal or a lifetime.
fn character(rest: &str) -> (Kind, usize) {
    let mut inside = rest.chars().skip(1);
    match (inside.next(), inside.next()) {
        (Some('\\'), _) => (Kind::Literal, quoted(rest, b'\'')),
        (Some(c), Some('\'')) => (Kind::Literal, c.len_utf8() + 2),
        _ => (Kind::Code, 1),
    }
}

/// The length of `#"..."#` at the start of `rest`, with any number of hashes.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let inside = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(inside.find(&end).map_or(rest.len(), |at| hashes + 1 + at + end.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let masked = Masked::new(text);
        assert_eq!((masked.code.len(), masked.comments.len()), (text.len(), text.len()));
        masked.code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_are_not_code() {
        assert_eq!(code("a // b\n/* c /* d */ e */ f"), "a f");
        assert_eq!(Masked::new("a // b\n c").comments, "  // b\n  ");
    }

    #[test]
    fn literals_are_neither_code_nor_comment() {
        assert_eq!(code(r#"a("// b \" c", b"d", 'e', '\'', '"') f"#), "a( , b , , , ) f");
        assert_eq!(code("a(r\"b\\\", r#\"c \" d\"#, br##\"e\"# f\"##) g"), "a( , , ) g");
        assert_eq!(Masked::new("\"// a\"").comments.trim(), "");
    }

    #[test]
    fn lifetimes_and_raw_identifiers_are_code() {
        assert_eq!(code("fn a<'b>(c: &'b d) { r#match }"), "fn a<'b>(c: &'b d) { r#match }");
        assert_eq!(code("loop { break 'é' }"), "loop { break }");
    }

    #[test]
    fn what_never_ends_reaches_to_the_end() {
        assert_eq!(code("a /* b"), "a");
        assert_eq!(code("a \"b\\"), "a");
        assert_eq!(code("a r#\"b\""), "a");
    }
}
