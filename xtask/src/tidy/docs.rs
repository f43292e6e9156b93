//! Rules about texts: what a comment or a page points at exists, and nothing points out of the tree.

use super::{Breach, Source, Tree, line_at};

const PAGES: &str = "docs/protocols/";

/// Folders of one developer's machine. Written apart, so that this file does not trip.
const OUTSIDE: [&str; 2] = [concat!("..", "/shared"), concat!("/wo", "rk/")];

/// Every protocol page that a comment names exists, and so does the section named right after it.
pub(super) fn protocol_pages(source: &Source<'_>, tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let comments = without_markers(&source.masked.comments);
    for (at, _) in comments.match_indices(PAGES) {
        let name = page_name(&comments[at + PAGES.len()..]);
        if name.is_empty() {
            continue;
        }
        let page = format!("{PAGES}{name}");
        let mut breach = |message: String| {
            breaches.push(Breach::new(source.path, line_at(&comments, at), message));
        };
        let Some(text) = tree.text(&page) else {
            breach(format!("names {page}, which does not exist"));
            continue;
        };
        for section in sections(&comments[at + page.len()..]) {
            if !has_section(text, &section) {
                breach(format!("names section {section} of {page}, which has no such heading"));
            }
        }
    }
    breaches
}

/// Comments with their markers blank, so that a sentence goes on over the end of a line.
fn without_markers(comments: &str) -> String {
    let blank = |line: &str| {
        let body = line.trim_start().trim_start_matches(['/', '!', '*']);
        format!("{}{body}", " ".repeat(line.len() - body.len()))
    };
    comments.split('\n').map(blank).collect::<Vec<_>>().join("\n")
}

/// `NAME.md` at the start of `rest`; empty when something else stands there, a pattern say.
fn page_name(rest: &str) -> &str {
    let end = rest
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')
        .unwrap_or(rest.len());
    if end > 0 && rest[end..].starts_with(".md") { &rest[..end + 3] } else { "" }
}

/// The numbers in `section 4`, `sections 4 and 5`, `sections 4, 5.1 to 7` right behind a page.
fn sections(rest: &str) -> Vec<String> {
    let mut words = rest.trim_start_matches(['`', ')', ']', ',']).split_whitespace();
    let mut found = Vec::new();
    if !matches!(words.next(), Some("section" | "sections")) {
        return found;
    }
    for word in words {
        let number = word.trim_end_matches(|c: char| !c.is_ascii_digit());
        let is_number = number.starts_with(|c: char| c.is_ascii_digit())
            && number.chars().all(|c| c.is_ascii_digit() || c == '.');
        match is_number {
            true => found.push(number.to_owned()),
            false if matches!(word, "and" | "or" | "to") && !found.is_empty() => continue,
            false => break,
        }
        if !word.ends_with(',') && word != number {
            break;
        }
    }
    found
}

/// `## 4. Frame` is section 4, `### 4.1 Length` is section 4.1.
fn has_section(page: &str, section: &str) -> bool {
    page.lines().filter_map(|l| l.strip_prefix("##")).any(|heading| {
        let number = heading.trim_start_matches('#').split_whitespace().next().unwrap_or_default();
        number.strip_suffix('.').unwrap_or(number) == section
    })
}

/// Every relative link of a Markdown page points at a file or a folder of the repository.
pub(super) fn links(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (path, text) in tree.ending(".md") {
        let mut fenced = false;
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
                fenced = !fenced;
            }
            if fenced {
                continue;
            }
            for target in targets(&without_code(line)) {
                if resolve(path, &target).is_none_or(|file| !tree.has(&file)) {
                    breaches.push(Breach::new(
                        path,
                        index + 1,
                        format!("links to {target}, which does not exist"),
                    ));
                }
            }
        }
    }
    breaches
}

/// A line with its `code` blank.
fn without_code(line: &str) -> String {
    let parts: Vec<_> = line.split('`').collect();
    let paired = parts.len() - (parts.len() + 1) % 2;
    parts
        .iter()
        .enumerate()
        .map(|(i, part)| if i % 2 == 1 && i < paired { "" } else { part })
        .collect::<Vec<_>>()
        .join("`")
}

/// The relative targets of the links in a line, `[text](target)` and `[label]: target`.
fn targets(line: &str) -> Vec<String> {
    let definition = line
        .trim_start()
        .strip_prefix('[')
        .filter(|l| !l.starts_with('^'))
        .and_then(|l| l.split_once("]: "));
    let inline = line.split("](").skip(1).map(|rest| rest.split(')').next().unwrap_or_default());
    let all = inline.chain(definition.map(|(_, target)| target));
    all.filter_map(|target| {
        let target = target.split_whitespace().next()?.trim_matches(['<', '>']);
        let file = target.split('#').next().unwrap_or_default();
        let has_scheme = target
            .split_once(':')
            .is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()));
        (!file.is_empty() && !has_scheme).then(|| file.to_owned())
    })
    .collect()
}

/// The path from the root that `target` means on the page `page`; `None` when it leads out.
fn resolve(page: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => page.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev().collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// No file names a folder that only one machine has.
pub(super) fn outside_paths(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (path, text) in &tree.files {
        for (index, line) in text.lines().enumerate() {
            for outside in OUTSIDE.iter().filter(|outside| names_path(line, outside)) {
                breaches.push(Breach::new(
                    path,
                    index + 1,
                    format!("mentions {outside}, which is outside the repository"),
                ));
            }
        }
    }
    breaches
}

/// Whether `path` begins in `line`, rather than going on from the name of another folder.
fn names_path(line: &str, path: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    line.match_indices(path).any(|(at, _)| path.starts_with('.') || !line[..at].ends_with(is_name))
}

#[cfg(test)]
mod tests;
