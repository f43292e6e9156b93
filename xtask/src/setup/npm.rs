//! The npm packages that drive a browser, as the lock file names them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::quietly;

/// Where `package.json` and its lock file stand, from the root.
pub(super) const FOLDER: &str = "cli/tests/browser";

/// Only what the lock file names, checked against its hashes; no script of a package is run.
const ARGS: [&str; 4] = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];

/// What one would type.
pub(super) fn command() -> String {
    format!("npm --prefix {FOLDER} {}", ARGS.join(" "))
}

/// Whether every package of the lock file is installed in its very version.
pub(super) fn is_here() -> bool {
    let read = |name: &str| fs::read_to_string(folder().join(name)).unwrap_or_default();
    holds_all(&read("package-lock.json"), &read("node_modules/.package-lock.json"))
}

/// Installs them, in place of what is there.
pub(super) fn install() -> Result<(), String> {
    quietly(Command::new("npm").args(ARGS).current_dir(folder()), "npm")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FOLDER)
}

/// npm writes down what it installed in the form of the lock file; the hashes name the versions.
fn holds_all(lock: &str, installed: &str) -> bool {
    let mut hashes = lock.lines().map(str::trim).filter(|l| l.starts_with("\"integrity\":"));
    let Some(first) = hashes.next() else { return false };
    installed.contains(first) && hashes.all(|hash| installed.contains(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_here_when_each_hash_of_the_lock_file_is() {
        let lock = "{\n  \"integrity\": \"sha512-a\",\n  \"integrity\": \"sha512-b\",\n}";
        assert!(holds_all(lock, "{ \"integrity\": \"sha512-b\",\"integrity\": \"sha512-a\", }"));
        assert!(!holds_all(lock, "{ \"integrity\": \"sha512-a\", }"), "one is missing");
        assert!(!holds_all(lock, ""), "nothing is installed");
        assert!(!holds_all("", "anything"), "the lock file is missing");
    }

    #[test]
    fn the_lock_file_names_packages() {
        let lock = fs::read_to_string(folder().join("package-lock.json")).unwrap();
        assert!(holds_all(&lock, &lock));
        assert!(lock.contains("node_modules/playwright-core"));
    }
}
