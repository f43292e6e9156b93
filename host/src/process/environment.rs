//! A child's environment by the rules of Go's `os/exec`, which peers rely on.

use std::collections::HashSet;
use std::env;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt as _;

use crate::path::clean;

/// The environment's entries as the child gets them; an error says what is wrong with one.
///
/// Without `env` it is this process's own, with PWD when the child runs elsewhere.
pub(super) fn entries(env: Option<Vec<String>>, cwd: &str) -> Result<Vec<CString>, &'static str> {
    let entries = match env {
        Some(env) => env.into_iter().map(String::into_bytes).collect(),
        None => own(cwd),
    };
    let entries = without_duplicates(entries).into_iter().map(CString::new);
    entries.collect::<Result<_, _>>().map_err(|_| "environment variable contains NUL")
}

fn own(cwd: &str) -> Vec<Vec<u8>> {
    let entry = |(mut entry, value): (OsString, OsString)| {
        entry.push("=");
        entry.push(value);
        entry.into_vec()
    };
    let mut entries: Vec<Vec<u8>> = env::vars_os().map(entry).collect();
    if let Some(pwd) = absolute(cwd) {
        entries.push(format!("PWD={pwd}").into_bytes());
    }
    entries
}

/// `None` when there is no directory, or its absolute name cannot be told.
fn absolute(cwd: &str) -> Option<String> {
    if cwd.is_empty() {
        None
    } else if cwd.starts_with('/') {
        Some(clean(cwd))
    } else {
        let here = env::current_dir().ok()?;
        Some(clean(&format!("{}/{cwd}", here.to_str()?)))
    }
}

/// Of several entries for one name the last stays, at its place. Entries without a name to compare
/// (no `=` at all) all stay, except empty ones.
fn without_duplicates(entries: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut seen = HashSet::new();
    let keep: Vec<bool> = entries
        .iter()
        .rev()
        .map(|entry| match name(entry) {
            Some(name) => seen.insert(name),
            None => !entry.is_empty(),
        })
        .collect();
    let keep = keep.into_iter().rev();
    entries.iter().zip(keep).filter(|(_, keep)| *keep).map(|(entry, _)| entry.clone()).collect()
}

/// The name; an `=` in front belongs to it, when there is a second one.
fn name(entry: &[u8]) -> Option<&[u8]> {
    let equals = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'=');
    let end = match equals(entry)? {
        0 => entry.get(1..).and_then(equals).map_or(0, |at| at + 1),
        at => at,
    };
    entry.get(..end)
}

#[cfg(test)]
mod tests {
    use super::{absolute, entries};

    fn list(env: &[&str]) -> Vec<String> {
        let env = env.iter().map(|entry| (*entry).to_owned()).collect();
        let entries = entries(Some(env), "/elsewhere").unwrap();
        entries.into_iter().map(|entry| entry.into_string().unwrap()).collect()
    }

    #[test]
    fn the_last_of_a_name_stays_in_its_place() {
        assert_eq!(list(&["A=1", "B=2", "A=3"]), ["B=2", "A=3"]);
        assert_eq!(list(&["=x", "=y", "A="]), ["=y", "A="]);
        assert_eq!(list(&["=C:=1", "=D:=2", "=C:=3"]), ["=D:=2", "=C:=3"]);
        assert_eq!(list(&["NOEQ", "", "NOEQ"]), ["NOEQ", "NOEQ"]);
        assert_eq!(list(&[]), [""; 0]);
    }

    #[test]
    fn nul_is_refused() {
        assert!(entries(Some(vec!["A=\0".to_owned()]), "").is_err());
    }

    #[test]
    fn own_environment_names_the_directory() {
        let pwd = |cwd: &str| {
            let entries = entries(None, cwd).unwrap();
            let text = |entry: std::ffi::CString| entry.into_string().unwrap_or_default();
            let mut pwds = entries.into_iter().map(text).filter(|entry| entry.starts_with("PWD="));
            let last = pwds.next();
            assert_eq!(pwds.next(), None);
            last
        };
        assert_eq!(pwd("/tmp/../usr/").as_deref(), Some("PWD=/usr"));
        assert_eq!(pwd(""), std::env::var("PWD").ok().map(|pwd| format!("PWD={pwd}")));
        assert!(absolute("x").unwrap().ends_with("/x"));
    }
}
