//! The coverage command: which lines of core its tests and the fuzz bodies over their seeds reach.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::line::Line;
use crate::setup::{self, Need};

/// Builds, profiles and reports: kept apart from other builds, whose flags differ.
const FOLDER: &str = "target/coverage";

/// Wanted: this part of core's lines.
const WANTED: f64 = 95.0;

/// Runs core's tests and the conformance crate's, instrumented, and prints the coverage of core by
/// file. Ends badly when it is less than wanted.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    setup::prepare(&[(Need::LlvmTools, "coverage")])?;
    let folder = root.join(FOLDER);
    let profiles = folder.join("profiles");
    // Profiles of an earlier build fit no more.
    let _ = fs::remove_dir_all(&profiles);
    // With a target named, what only builds (macros, build scripts) is not instrumented.
    let host = setup::host().ok_or_else(|| Failure::failed("rustc does not say what it is for"))?;
    let tests = Line::stable(format!(
        "test -p trunkline-core -p trunkline-conformance --all-features --target {host} \
         --target-dir {FOLDER}"
    ))
    .with("RUSTFLAGS", "-Cinstrument-coverage")
    .with("LLVM_PROFILE_FILE", profiles.join("%p-%m.profraw").display().to_string());
    println!("== coverage: {tests}");
    crate::steps::run_line(root, &tests)?;

    let merged = folder.join("merged.profdata");
    let raw = files(&profiles, "profraw");
    tool(root, "llvm-profdata", |command| {
        command.args(["merge", "-sparse", "-o"]).arg(&merged).args(&raw);
    })?;
    let report = tool(root, "llvm-cov", |command| {
        command.arg("report").arg(with_equals("-instr-profile=", &merged));
        for (index, object) in
            tests_of(&folder.join(host).join("debug/deps")).into_iter().enumerate()
        {
            if index > 0 {
                command.arg("-object");
            }
            command.arg(object);
        }
        command.arg("--sources").arg(root.join("core/src"));
    })?;
    println!("{report}");
    let seen = lines_covered(&report)
        .ok_or_else(|| Failure::failed("llvm-cov's report has no total in it"))?;
    if seen < WANTED {
        let line = format!("{seen:.2} % of core's lines are covered, less than {WANTED} %");
        return Err(Failure::failed(line));
    }
    println!("coverage: {seen:.2} % of core's lines");
    Ok(())
}

/// Runs a tool of the component llvm-tools and gives what it wrote.
fn tool(root: &Path, name: &str, args: impl FnOnce(&mut Command)) -> Result<String, Failure> {
    let path = setup::llvm_tool(name).unwrap_or_else(|| name.into());
    let mut command = Command::new(path);
    args(&mut command);
    let output = command
        .current_dir(root)
        .output()
        .map_err(|e| Failure::failed(format!("{name} could not be started: {e}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::failed(format!("{name} ended with {}: {text}", output.status)))
}

fn with_equals(option: &str, path: &Path) -> OsString {
    let mut word = OsString::from(option);
    word.push(path);
    word
}

/// The files in a folder whose name ends so, in order.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == end)).collect();
    found.sort();
    found
}

/// The test programs: files without an ending that may be started.
fn tests_of(folder: &Path) -> Vec<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries
        .filter(|path| path.extension().is_none())
        .filter(|path| {
            path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 1 != 0)
        })
        .collect();
    found.sort();
    found
}

/// The part of the lines in the line `TOTAL`, which has regions, functions, lines and branches, each
/// as a count, how many of them were missed, and a part.
fn lines_covered(report: &str) -> Option<f64> {
    let total = report.lines().rfind(|line| line.starts_with("TOTAL"))?;
    let mut parts = total.split_whitespace().filter_map(|word| word.strip_suffix('%'));
    parts.nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_the_third_part_of_the_total() {
        let report = "Filename  Regions\na.rs 1 0 100.00%\n\
                      TOTAL  10  1  90.00%  4  1  75.00%  200  8  96.00%  0  0  -\n";
        assert_eq!(lines_covered(report), Some(96.0));
        assert_eq!(lines_covered("nothing"), None);
    }
}
