//! The tables of tests in sections 14 and 15 of the protocol page name tests, and files of tests,
//! that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Every `fn name(` below a folder.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().map(|line| line.trim().trim_start_matches("pub "));
            let named = lines.filter_map(|line| line.strip_prefix("fn ")?.split_once('('));
            names.extend(named.map(|(name, _)| name.into()));
        }
    }
}

#[test]
fn every_test_in_the_tables_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut names = BTreeSet::new();
    for folder in ["core", "host", "drive", "cli/tests", "bind-tokio/tests", "conformance"] {
        functions(&root.join(folder), &mut names);
    }
    let page = fs::read_to_string(root.join("docs/protocols/agentproto.md")).unwrap();
    let tables = page.split("### Where each ").skip(1);
    let tables = tables.filter_map(|table| table.split("\n\nLimits").next()?.split("\n## ").next());
    let rows: Vec<&str> =
        tables.flat_map(str::lines).filter(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 50, "{} rows", rows.len());
    let quoted = rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2));
    let exists = |name: &str| match name.contains('/') {
        true => root.join(name).is_file(),
        false => names.contains(name),
    };
    let missing: Vec<&str> = quoted.filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "tests that do not exist: {missing:#?}");
}
