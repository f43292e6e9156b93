//! The house rules that a compiler does not hold: every breach is told as `path:line: message`.
//!
//! The rules are functions of a [`Tree`], which is files in memory; only [`files`] reads the disk.

mod docs;
mod exports;
mod files;
mod layout;
pub(crate) mod manifest;
mod mask;
mod unsafety;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::Failure;
use mask::Masked;

/// A rule broken, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Breach {
    path: String,
    line: usize,
    message: String,
}

impl Breach {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// The repository's files by path (with `/`, from its root). Bytes that are not UTF-8 are replaced.
#[derive(Default)]
struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Files whose name ends with `suffix`, with their text.
    fn ending<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(suffix))
            .map(|(p, t)| (p.as_str(), t.as_str()))
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether `path` is a file, or a folder that holds one; the empty path is the root.
    fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.keys().any(|p| p.starts_with(&folder))
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|&(p, t)| (p.to_owned(), t.to_owned())).collect() }
    }
}

/// One Rust file, with its code and its comments apart.
struct Source<'a> {
    path: &'a str,
    text: &'a str,
    masked: Masked,
}

impl<'a> Source<'a> {
    fn new(path: &'a str, text: &'a str) -> Self {
        Self { path, text, masked: Masked::new(text) }
    }
}

/// Checks the repository at `root` and prints every breach.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let tree = files::read(root).map_err(Failure::failed)?;
    let breaches = check(&tree);
    for breach in &breaches {
        println!("{breach}");
    }
    match breaches.len() {
        0 => {
            println!("tidy: {} files, no breach", tree.files.len());
            Ok(())
        }
        1 => Err(Failure::failed("tidy found 1 breach, told above")),
        n => Err(Failure::failed(format!("tidy found {n} breaches, told above"))),
    }
}

/// Every breach of every rule, in the order of paths and lines.
fn check(tree: &Tree) -> Vec<Breach> {
    let sources: Vec<_> = tree.ending(".rs").map(|(path, text)| Source::new(path, text)).collect();
    let mut breaches = Vec::new();
    for source in &sources {
        breaches.extend(layout::check(source.path, source.text));
        breaches.extend(words::check(source));
        breaches.extend(docs::protocol_pages(source, tree));
    }
    breaches.extend(unsafety::check(&sources));
    breaches.extend(exports::check(tree));
    breaches.extend(manifest::check(tree));
    breaches.extend(docs::links(tree));
    breaches.extend(docs::outside_paths(tree));
    breaches.sort();
    breaches
}

/// The line (from 1) in which the byte at `offset` stands.
fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&b| b == b'\n').count() + 1
}

/// Where `word` stands in `code` on its own: not as a part of a longer identifier.
fn find_word(code: &str, word: &str) -> Option<usize> {
    let is_ident = |c: char| c.is_alphanumeric() || c == '_';
    let opens = word.starts_with(is_ident);
    let closes = word.ends_with(is_ident);
    code.match_indices(word).map(|(at, _)| at).find(|&at| {
        let before = code.get(..at).and_then(|s| s.chars().next_back());
        let after = code.get(at + word.len()..).and_then(|s| s.chars().next());
        !(opens && before.is_some_and(is_ident) || closes && after.is_some_and(is_ident))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_reads_like_a_compiler_message() {
        assert_eq!(Breach::new("a/b.rs", 7, "too long").to_string(), "a/b.rs:7: too long");
    }

    #[test]
    fn words_are_found_whole() {
        assert_eq!(find_word("a std::x", "std::"), Some(2));
        assert_eq!(find_word("::std::x", "std::"), Some(2));
        assert_eq!(find_word("my_std::x", "std::"), None);
        assert_eq!(find_word("smolder smol", "smol"), Some(8));
    }

    #[test]
    fn a_folder_is_there_when_a_file_in_it_is() {
        let tree = Tree::of(&[("docs/a.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/a.md") && tree.has(""));
        assert!(!tree.has("doc") && !tree.has("docs/b.md"));
    }

    #[test]
    fn breaches_of_all_rules_come_sorted() {
        let tree = Tree::of(&[("b.rs", "fn a() { todo!() }\n"), ("a.rs", "\tfn a() {}\n")]);
        let paths: Vec<_> =
            check(&tree).into_iter().filter(|b| b.path.len() == 4).map(|b| b.to_string()).collect();
        assert_eq!(paths, ["a.rs:1: a tab", "b.rs:1: `todo!` in code"]);
    }
}
