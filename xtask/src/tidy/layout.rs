//! The outside of a Rust file: its length, its lines, its last byte.

use super::Breach;

const MAX_LINES: usize = 600;
const MAX_COLUMNS: usize = 140;

pub(super) fn check(path: &str, text: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut breach = |line: usize, message: String| breaches.push(Breach::new(path, line, message));
    let count = text.lines().count();
    if count > MAX_LINES {
        breach(count, format!("{count} lines, more than {MAX_LINES}: split the file by concept"));
    }
    for (index, line) in text.split('\n').enumerate() {
        let columns = line.chars().count();
        if columns > MAX_COLUMNS {
            breach(index + 1, format!("{columns} columns, more than {MAX_COLUMNS}"));
        }
        if line.contains('\t') {
            breach(index + 1, "a tab".to_owned());
        }
        if line.ends_with(char::is_whitespace) {
            breach(index + 1, "whitespace at the end of the line".to_owned());
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        breach(count, "no newline at the end of the file".to_owned());
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        check("a.rs", text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_plain_file_passes() {
        assert!(told("").is_empty());
        assert!(told("fn a() {\n    b();\n}\n").is_empty());
    }

    #[test]
    fn six_hundred_lines_pass_and_one_more_does_not() {
        assert!(told(&"a\n".repeat(600)).is_empty());
        assert_eq!(
            told(&"a\n".repeat(601)),
            ["a.rs:601: 601 lines, more than 600: split the file by concept"]
        );
    }

    #[test]
    fn columns_are_characters_not_bytes() {
        assert!(told(&format!("{}\n", "é".repeat(140))).is_empty());
        assert_eq!(
            told(&format!("\n{}\n", "a".repeat(141))),
            ["a.rs:2: 141 columns, more than 140"]
        );
    }

    #[test]
    fn tabs_and_trailing_whitespace_are_breaches() {
        assert_eq!(told("a\n\tb\n"), ["a.rs:2: a tab"]);
        assert_eq!(told("a \n"), ["a.rs:1: whitespace at the end of the line"]);
        assert_eq!(told("a\r\n"), ["a.rs:1: whitespace at the end of the line"]);
    }

    #[test]
    fn the_last_line_ends_with_a_newline() {
        assert_eq!(told("a\nb"), ["a.rs:2: no newline at the end of the file"]);
    }
}
