//! The tables of tests in sections 14 and 15 of the protocol page name tests that exist.

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
            let named = text.lines().filter_map(|line| line.trim().strip_prefix("fn "));
            names
                .extend(named.filter_map(|line| line.split_once('(')).map(|(name, _)| name.into()));
        }
    }
}

#[test]
fn every_test_in_the_tables_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut names = BTreeSet::new();
    for folder in ["core/tests", "host", "cli/tests", "bind-tokio/tests"] {
        functions(&root.join(folder), &mut names);
    }
    let page = fs::read_to_string(root.join("docs/protocols/agentproto.md")).unwrap();
    let tables = page.split("### Where each ").skip(1);
    let tables = tables.filter_map(|table| table.split("\n\nLimits").next()?.split("\n## ").next());
    let rows: Vec<&str> =
        tables.flat_map(str::lines).filter(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 50, "{} rows", rows.len());
    let quoted = rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2));
    let missing: Vec<&str> = quoted.filter(|name| !names.contains(*name)).collect();
    assert!(missing.is_empty(), "tests that do not exist: {missing:#?}");
}
