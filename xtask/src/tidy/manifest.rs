//! Rules about `Cargo.toml`: which crate may name which, and what every crate inherits.

use std::collections::BTreeMap;

use super::{Breach, Tree};

/// The crates (by folder) that a crate's manifest may name; folders not listed may name any.
const MAY_NAME: [(&str, &[&str]); 9] = [
    ("core", &[]),
    ("drive", &["core", "host"]),
    ("host", &["core"]),
    ("bind-tokio", &["core", "drive", "host"]),
    ("bind-smol", &["core", "drive", "host"]),
    ("conformance", &["core", "drive", "host", "bind-tokio", "bind-smol"]),
    ("conformance/peers/rust", &["core", "drive", "host", "bind-tokio", "bind-smol"]),
    ("bench", &["core", "drive", "host", "bind-tokio", "bind-smol"]),
    ("xtask", &[]),
];

/// As much of a manifest as the rules ask for: `key = value` lines with the table they stand in.
pub(crate) struct Manifest {
    entries: Vec<Entry>,
}

struct Entry {
    line: usize,
    table: String,
    key: String,
    value: String,
}

impl Manifest {
    pub(crate) fn parse(text: &str) -> Self {
        let mut table = String::new();
        let mut entries = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = without_comment(line).trim();
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                table = name.trim_matches(['[', ']']).replace(['"', ' '], "");
                entries.push(Entry {
                    line: index + 1,
                    table: table.clone(),
                    key: String::new(),
                    value: String::new(),
                });
            } else if let Some((key, value)) = line.split_once('=') {
                let [key, value] = [key, value].map(|part| part.replace(['"', ' '], ""));
                entries.push(Entry { line: index + 1, table: table.clone(), key, value });
            }
        }
        Self { entries }
    }

    /// Whether `table` has `key`.
    pub(crate) fn has(&self, table: &str, key: &str) -> bool {
        self.entries.iter().any(|e| e.table == table && e.key == key)
    }

    fn value(&self, table: &str, key: &str) -> Option<&str> {
        self.entries.iter().find(|e| e.table == table && e.key == key).map(|e| e.value.as_str())
    }

    /// Whether the value at the dotted `path` is `wanted`, in any of the ways to write a path.
    fn is(&self, path: &str, wanted: &str) -> bool {
        self.entries.iter().any(|e| {
            let at = [e.table.as_str(), e.key.as_str()]
                .into_iter()
                .filter(|p| !p.is_empty())
                .collect::<Vec<_>>()
                .join(".");
            at == path && e.value == wanted
                || path.rsplit_once('.').is_some_and(|(outer, inner)| {
                    at == outer && e.value == format!("{{{inner}={wanted}}}")
                })
        })
    }

    /// The packages it depends on, of every kind and for every target, with the line of each.
    fn dependencies(&self) -> Vec<(usize, &str)> {
        let mut found = Vec::new();
        for entry in &self.entries {
            let Some(inner) = inside_dependencies(&entry.table) else { continue };
            let renamed = entry
                .value
                .split_once("package=")
                .map(|(_, v)| v.split([',', '}']).next().unwrap_or_default());
            let name = match (inner, entry.key.as_str()) {
                ("", "") => continue,
                ("", key) => renamed.unwrap_or(key.split('.').next().unwrap_or(key)),
                (name, "") => name,
                (_, "package") => &entry.value,
                _ => continue,
            };
            found.push((entry.line, name));
        }
        found
    }
}

/// The rest of a table's name behind `dependencies` and its like; `None` for other tables.
fn inside_dependencies(table: &str) -> Option<&str> {
    if table.starts_with("workspace.") {
        return None;
    }
    let at =
        table.find("dependencies").filter(|&at| at == 0 || table[..at].ends_with(['.', '-']))?;
    let rest = &table[at + "dependencies".len()..];
    if rest.is_empty() { Some("") } else { rest.strip_prefix('.') }
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

pub(super) fn check(tree: &Tree) -> Vec<Breach> {
    let crates: Vec<_> = tree
        .ending("Cargo.toml")
        .map(|(path, text)| (path, Manifest::parse(text)))
        .filter(|(_, manifest)| manifest.has("package", "name"))
        .collect();
    let folders: BTreeMap<&str, &str> = crates
        .iter()
        .filter_map(|(path, manifest)| Some((manifest.value("package", "name")?, folder_of(path))))
        .collect();
    let mut breaches = Vec::new();
    for (path, manifest) in &crates {
        if !manifest.is("lints.workspace", "true") {
            breaches.push(Breach::new(path, 1, "no `[lints] workspace = true`"));
        }
        if !manifest.is("package.license.workspace", "true") {
            breaches.push(Breach::new(path, 1, "no `license.workspace = true`"));
        }
        let folder = folder_of(path);
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == folder) else {
            continue;
        };
        for (line, package) in manifest.dependencies() {
            if folders.get(package).is_some_and(|target| !allowed.contains(target)) {
                breaches.push(Breach::new(
                    path,
                    line,
                    format!("{folder} must not depend on {package}"),
                ));
            }
        }
    }
    breaches
}

fn folder_of(manifest: &str) -> &str {
    manifest.strip_suffix("Cargo.toml").unwrap_or(manifest).trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    const INHERITS: &str = "license.workspace = true\n[lints]\nworkspace = true\n";

    fn package(name: &str, rest: &str) -> String {
        format!("[package]\nname = \"{name}\"\n{INHERITS}{rest}")
    }

    fn told(folder: &str, rest: &str) -> Vec<String> {
        let path = format!("{folder}/Cargo.toml");
        let mut tree = Tree::default();
        for folder in ["core", "drive", "host", "cli", "conformance", "bind-tokio"] {
            tree.files.insert(
                format!("{folder}/Cargo.toml"),
                package(&format!("trunkline-{folder}"), ""),
            );
        }
        tree.files.insert(path, package("trunkline-this", rest));
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dependencies_in_the_right_direction_pass() {
        assert!(told("core", "[dependencies]\nbytes.workspace = true\n").is_empty());
        assert!(told("drive", "[dependencies]\ntrunkline-core.workspace = true\n").is_empty());
        assert!(
            told(
                "bind-smol",
                "[dependencies]\ntrunkline-host = { workspace = true, optional = true }\n"
            )
            .is_empty()
        );
        assert!(told("cli", "[dependencies]\ntrunkline-bind-tokio = \"1\"\n").is_empty());
    }

    #[test]
    fn dependencies_against_it_are_breaches_however_written() {
        let breach = |folder: &str, line: usize, package: &str| {
            format!("{folder}/Cargo.toml:{line}: {folder} must not depend on {package}")
        };
        assert_eq!(
            told("core", "[dev-dependencies]\ntrunkline-drive.workspace = true\n"),
            [breach("core", 7, "trunkline-drive")]
        );
        assert_eq!(
            told("drive", "[dependencies.trunkline-cli]\nworkspace = true\n"),
            [breach("drive", 6, "trunkline-cli")]
        );
        assert_eq!(
            told("host", "[dependencies]\nd = { package = \"trunkline-drive\" }\n"),
            [breach("host", 7, "trunkline-drive")]
        );
        assert_eq!(
            told("bind-smol", "[build-dependencies]\ntrunkline-cli = \"1\"\n"),
            [breach("bind-smol", 7, "trunkline-cli")]
        );
        assert_eq!(
            told("bind-smol", "[target.'cfg(unix)'.dependencies]\ntrunkline-conformance = \"1\"\n"),
            [breach("bind-smol", 7, "trunkline-conformance")]
        );
        assert_eq!(
            told("xtask", "[dependencies]\ntrunkline-core = \"1\"\n"),
            [breach("xtask", 7, "trunkline-core")]
        );
    }

    #[test]
    fn a_crate_inherits_lints_and_licence() {
        let told = |text: &str| {
            check(&Tree::of(&[("a/Cargo.toml", text)]))
                .into_iter()
                .map(|b| b.message)
                .collect::<Vec<_>>()
        };
        assert!(told("[package]\nname = \"a\"\nlicense = { workspace = true }\n[lints]\nworkspace = true # all\n").is_empty());
        assert!(
            told("lints.workspace = true\n[package]\nname = \"a\"\nlicense.workspace = true\n")
                .is_empty()
        );
        assert_eq!(
            told("[package]\nname = \"a\"\nlicense.workspace = true\n"),
            ["no `[lints] workspace = true`"]
        );
        assert_eq!(
            told("[package]\nname = \"a\"\nlicense = \"MIT\"\n[lints]\nworkspace = true\n"),
            ["no `license.workspace = true`"]
        );
        assert!(told("[workspace]\nmembers = []\n").is_empty());
    }
}
