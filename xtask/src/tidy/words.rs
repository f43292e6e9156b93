//! Words that stand nowhere in Rust files, and those that stand nowhere in core.

use super::{Breach, Source, find_word};

/// Unfinished code and tests that do not run.
const NOWHERE: [&str; 3] = ["todo!", "unimplemented!", "#[ignore"];

/// Marks of unfinished work, in comments too. Written apart, so that this file does not trip.
const MARKS: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];

/// What core, which has no system under it and no clock, must not name outside its tests.
const NOT_IN_CORE: [&str; 14] = [
    "HashMap",
    "HashSet",
    "Instant::now",
    "SystemTime",
    "println!",
    "eprintln!",
    "print!",
    "eprint!",
    "std::",
    "extern crate std",
    "tokio",
    "smol",
    "async_io",
    "unsafe",
];

pub(super) fn check(source: &Source<'_>) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let code = &source.masked.code;
    for (index, line) in code.lines().enumerate() {
        for word in NOWHERE.iter().filter(|word| find_word(line, word).is_some()) {
            breaches.push(Breach::new(source.path, index + 1, format!("`{word}` in code")));
        }
    }
    for (index, line) in source.text.lines().enumerate() {
        for mark in MARKS.iter().filter(|mark| find_word(line, mark).is_some()) {
            breaches.push(Breach::new(
                source.path,
                index + 1,
                format!("`{mark}`: finish it or open an issue"),
            ));
        }
    }
    if source.path.starts_with("core/src/") && !is_test_file(source.path) {
        breaches.extend(core_words(source.path, code));
    }
    breaches
}

fn core_words(path: &str, code: &str) -> Vec<Breach> {
    let tests = test_ranges(code);
    let mut breaches = Vec::new();
    let mut start = 0;
    for (index, line) in code.split('\n').enumerate() {
        for word in NOT_IN_CORE {
            let Some(at) = find_word(line, word) else { continue };
            if !tests.iter().any(|&(from, to)| (from..to).contains(&(start + at))) {
                breaches.push(Breach::new(path, index + 1, format!("`{word}` in core")));
            }
        }
        start += line.len() + 1;
    }
    breaches
}

/// Files that only tests are made of: `tests.rs`, `*_tests.rs`, and what lies in a `tests` folder.
fn is_test_file(path: &str) -> bool {
    let mut parts = path.split('/').rev();
    let name = parts.next().unwrap_or_default();
    name == "tests.rs" || name.ends_with("_tests.rs") || parts.any(|folder| folder == "tests")
}

/// The byte ranges of modules, and of `extern crate` lines, that stand under `#[cfg(test)]`.
fn test_ranges(code: &str) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    for (at, attribute) in code.match_indices("#[cfg(test)]") {
        let mut rest = code[at + attribute.len()..].trim_start();
        while rest.starts_with("#[") {
            rest = rest.find(']').map_or("", |end| rest[end + 1..].trim_start());
        }
        let from = code.len() - rest.len();
        let item = rest
            .strip_prefix("pub(crate) ")
            .or_else(|| rest.strip_prefix("pub(super) "))
            .unwrap_or(rest);
        if item.starts_with("mod ") || item.starts_with("extern crate ") {
            ranges.push((from, from + item_len(rest)));
        }
    }
    ranges
}

/// The length of the item that `code` begins with: to its semicolon or to its closing brace.
fn item_len(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(c, ';' | '}') {
            return at + 1;
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text))
            .iter()
            .map(|b| format!("{}: {}", b.line, b.message))
            .collect()
    }

    #[test]
    fn unfinished_code_is_a_breach_and_talk_of_it_is_not() {
        assert_eq!(told("cli/src/a.rs", "fn a() {\n todo!()\n}\n"), ["2: `todo!` in code"]);
        assert_eq!(
            told("cli/src/a.rs", "fn a() { unimplemented!() }\n"),
            ["1: `unimplemented!` in code"]
        );
        assert!(told("cli/src/a.rs", "// no todo!() here\nlet a = \"todo!()\";\n").is_empty());
    }

    #[test]
    fn ignored_tests_are_breaches_with_and_without_a_reason() {
        assert_eq!(told("a.rs", "#[test]\n#[ignore]\nfn a() {}\n"), ["2: `#[ignore` in code"]);
        assert_eq!(told("a.rs", "#[ignore = \"slow\"]\n"), ["1: `#[ignore` in code"]);
    }

    #[test]
    fn marks_are_breaches_in_comments_and_strings_too() {
        for mark in MARKS {
            let expected = format!("1: `{mark}`: finish it or open an issue");
            assert_eq!(told("a.rs", &format!("// {mark}: later\n")), [expected.as_str()]);
            assert_eq!(told("a.rs", &format!("let a = \"{mark}\";\n")), [expected.as_str()]);
            assert!(told("a.rs", &format!("// {mark}Y\n")).is_empty());
        }
    }

    #[test]
    fn every_word_banned_from_core_is_found_there_and_only_there() {
        for word in NOT_IN_CORE {
            let text = format!("fn a() {{ {word} }}\n");
            assert_eq!(told("core/src/a.rs", &text), [format!("1: `{word}` in core")]);
            assert!(told("host/src/a.rs", &text).is_empty());
            assert!(told("core/src/a.rs", &format!("/// {word}\n")).is_empty());
        }
    }

    #[test]
    fn tests_in_core_may_use_the_standard_library() {
        let module = "#[cfg(test)]\n#[allow(a)]\nmod tests {\n use std::vec::Vec;\n fn a() {}\n}\n";
        assert!(told("core/src/a.rs", module).is_empty());
        assert!(told("core/src/lib.rs", "#[cfg(test)]\nextern crate std;\n").is_empty());
        for path in ["core/src/a/tests.rs", "core/src/a/codec_tests.rs", "core/src/tests/a.rs"] {
            assert!(told(path, "use std::vec::Vec;\n").is_empty(), "{path}");
        }
    }

    #[test]
    fn code_behind_a_test_module_is_no_test() {
        assert_eq!(
            told("core/src/a.rs", "#[cfg(test)]\nmod tests;\nuse std::vec;\n"),
            ["3: `std::` in core"]
        );
        assert_eq!(
            told("core/src/a.rs", "#[cfg(test)]\nmod tests { mod a {} }\nuse std::vec;\n"),
            ["3: `std::` in core"]
        );
    }

    #[test]
    fn the_standard_library_outside_of_tests_is_a_breach() {
        assert_eq!(
            told("core/src/lib.rs", "extern crate std;\n"),
            ["1: `extern crate std` in core"]
        );
        assert_eq!(
            told("core/src/a.rs", "#[cfg(test)]\nuse std::vec::Vec;\n"),
            ["2: `std::` in core"]
        );
    }
}
