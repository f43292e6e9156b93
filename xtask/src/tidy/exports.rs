//! Both bindings export the same names: what a user writes over one runtime compiles over the other.

use std::collections::BTreeMap;

use super::{Breach, Source, Tree, line_at};

const BINDINGS: [&str; 2] = ["bind-tokio/src/lib.rs", "bind-smol/src/lib.rs"];

pub(super) fn check(tree: &Tree) -> Vec<Breach> {
    let mut lists = Vec::new();
    for path in BINDINGS {
        match tree.text(path) {
            Some(text) => lists.push((path, public_names(path, text))),
            None => {
                return vec![Breach::new(
                    path,
                    1,
                    "is not there, so that the bindings' names cannot be compared",
                )];
            }
        }
    }
    let mut breaches = Vec::new();
    for (this, other) in [(0, 1), (1, 0)] {
        let ((path, names), (other_path, other_names)) = (&lists[this], &lists[other]);
        for (name, &line) in names.iter().filter(|(name, _)| !other_names.contains_key(*name)) {
            breaches.push(Breach::new(
                path,
                line,
                format!("exports `{name}`, which {other_path} does not"),
            ));
        }
    }
    breaches
}

/// The public names at the top level of a file, each with its line. A glob is told by its path.
fn public_names(path: &str, text: &str) -> BTreeMap<String, usize> {
    let code = Source::new(path, text).masked.code;
    let tokens = tokens(&code);
    let mut names = BTreeMap::new();
    let mut depth = 0_usize;
    let mut exported_macro = false;
    for (index, &(_, token)) in tokens.iter().enumerate() {
        let rest = &tokens[index + 1..];
        match token {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            "macro_export" => exported_macro = true,
            "macro_rules" if depth == 0 && std::mem::take(&mut exported_macro) => {
                note(&mut names, text, rest.get(1));
            }
            "pub" if depth == 0 => public_item(&mut names, text, rest),
            _ => {}
        }
    }
    names
}

/// A token and where it stands.
type Token<'a> = (usize, &'a str);

fn tokens(code: &str) -> Vec<Token<'_>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = code[at..].chars().next() {
        let rest = &code[at..];
        let len = match first {
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        if !first.is_whitespace() {
            found.push((at, &rest[..len]));
        }
        at += len;
    }
    found
}

fn note(names: &mut BTreeMap<String, usize>, text: &str, name: Option<&Token<'_>>) {
    if let Some(&(at, name)) = name {
        names.insert(name.to_owned(), line_at(text, at));
    }
}

/// `tokens` follow a `pub` at the top level.
fn public_item(names: &mut BTreeMap<String, usize>, text: &str, tokens: &[Token<'_>]) {
    let mut rest = tokens;
    while let Some((&(_, token), tail)) = rest.split_first() {
        let next = tail.first().map_or("", |t| t.1);
        match token {
            "use" => {
                use_tree(names, text, tail, &mut Vec::new());
                return;
            }
            "const" if matches!(next, "fn" | "async" | "unsafe" | "extern") => {}
            "extern" if next == "crate" => {}
            "async" | "unsafe" | "extern" | "crate" if next == "fn" || next == "extern" => {}
            "crate" | "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "mod" => {
                return note(names, text, tail.first());
            }
            "static" => return note(names, text, tail.get(usize::from(next == "mut"))),
            "unsafe" if next == "trait" => {}
            _ => return,
        }
        rest = tail;
    }
}

/// Reads one tree of a `use` and returns what follows it: a comma, a closing brace, a semicolon.
fn use_tree<'t, 'a>(
    names: &mut BTreeMap<String, usize>,
    text: &str,
    tokens: &'t [Token<'a>],
    path: &mut Vec<&'a str>,
) -> &'t [Token<'a>] {
    let depth = path.len();
    let mut rest = tokens;
    let mut last = None;
    while let Some((&(at, token), tail)) = rest.split_first() {
        match token {
            "," | "}" | ";" => break,
            ":" => {}
            "{" => {
                last = None;
                rest = tail;
                while rest.first().is_some_and(|t| t.1 != "}") {
                    let after = use_tree(names, text, rest, path);
                    rest =
                        if after.first().is_some_and(|t| t.1 == ",") { &after[1..] } else { after };
                    if rest.is_empty() || rest[0].1 == ";" {
                        break;
                    }
                }
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            "*" => {
                names.insert(format!("{}::*", path.join("::")), line_at(text, at));
                last = None;
            }
            "as" => {
                last = tail.first().copied().filter(|t| t.1 != "_");
                rest = tail.get(1..).unwrap_or_default();
                continue;
            }
            "self" if !path.is_empty() => last = Some((at, path[path.len() - 1])),
            word => {
                last = Some((at, word));
                path.push(word);
            }
        }
        rest = tail;
    }
    path.truncate(depth);
    note(names, text, last.as_ref());
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        public_names("a.rs", text).into_keys().collect()
    }

    #[test]
    fn uses_are_read_with_braces_renames_and_globs() {
        let text = "pub use a::B;\npub use c::{\n    d::{self, E as F},\n    g::H, i as _,\n};\npub use j::k::*;\nuse l::M;\n";
        assert_eq!(names(text), ["B", "F", "H", "d", "j::k::*"]);
    }

    #[test]
    fn items_are_read_at_the_top_level_only() {
        let text = "pub struct A { pub b: C }\npub(crate) fn d() {}\nmod e { pub fn f() {} }\npub mod g { pub fn h() {} }\n\
                    impl A { pub fn i(&self) {} }\npub async fn j() {}\npub const fn k() {}\npub const L: u8 = 1;\n\
                    pub static mut M: u8 = 1;\npub trait N {}\npub type O = u8;\npub enum P {}\npub unsafe extern \"C\" fn q() {}\n";
        assert_eq!(names(text), ["A", "L", "M", "N", "O", "P", "g", "j", "k", "q"]);
    }

    #[test]
    fn exported_macros_count_and_others_do_not() {
        assert_eq!(
            names("#[macro_export]\nmacro_rules! a { () => {} }\nmacro_rules! b { () => {} }\n"),
            ["a"]
        );
    }

    #[test]
    fn comments_and_strings_export_nothing() {
        assert!(names("// pub fn a() {}\nconst B: &str = \"pub fn c() {}\";\n").is_empty());
    }

    #[test]
    fn equal_lists_pass_whatever_their_sources() {
        let tree = Tree::of(&[(BINDINGS[0], "pub use a::B;\n"), (BINDINGS[1], "pub struct B;\n")]);
        assert!(check(&tree).is_empty());
    }

    #[test]
    fn a_name_that_one_binding_lacks_is_a_breach() {
        let tree = Tree::of(&[
            (BINDINGS[0], "pub use a::{\n    B,\n    C,\n};\n"),
            (BINDINGS[1], "pub use a::B;\npub fn d() {}\n"),
        ]);
        let told: Vec<_> = check(&tree).iter().map(ToString::to_string).collect();
        let expected = [
            "bind-tokio/src/lib.rs:3: exports `C`, which bind-smol/src/lib.rs does not",
            "bind-smol/src/lib.rs:2: exports `d`, which bind-tokio/src/lib.rs does not",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_missing_binding_is_a_breach() {
        assert_eq!(check(&Tree::of(&[(BINDINGS[0], "")])).len(), 1);
    }

    #[test]
    fn broken_code_ends_all_the_same() {
        for text in [
            "pub use a::{b",
            "pub use a::{b;",
            "pub use",
            "pub",
            "pub use a::{b}}; pub const",
            "pub use x as",
        ] {
            let _ = names(text);
        }
    }
}
