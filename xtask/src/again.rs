//! The tests, with a second try for the few that failed.
//!
//! Tests here start processes, agents and servers by the hundred on machines that others use too.
//! One that fails there and passes alone was short of time, not wrong; it is told as such, by name,
//! and at the end once more. What fails twice fails, and so does a run in which many failed or one
//! ended without a result.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use crate::Failure;
use crate::line::Line;

/// More failures than these are no bad luck.
const MOST: usize = 3;

/// What the output of a run of tests says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Tests that failed, by name.
    failed: Vec<String>,
    /// How many passed and failed, as the results say.
    passed: usize,
    failures: usize,
    /// Programs of tests that were started, and those that told a result.
    started: usize,
    ended: usize,
}

impl Told {
    fn line(&mut self, line: &str) {
        let words = line.trim_start();
        if words.starts_with("Running ") || words.starts_with("Doc-tests ") {
            self.started += 1;
        } else if words.starts_with("test result: ") {
            self.ended += 1;
            self.passed += count(words, " passed");
            self.failures += count(words, " failed");
        } else if let Some(test) = line.strip_prefix("test ")
            && let Some(name) = test.strip_suffix(" ... FAILED")
        {
            // One that should panic says so behind its name.
            self.failed.push(name.trim_end_matches(" - should panic").to_owned());
        }
    }

    /// The tests that a second try may excuse, if it may.
    fn excusable(&self) -> Option<&[String]> {
        let all_told = self.started == self.ended && self.failures == self.failed.len();
        (all_told && (1..=MOST).contains(&self.failed.len())).then_some(&*self.failed)
    }
}

/// The number in front of `what` in a result.
fn count(result: &str, what: &str) -> usize {
    let before = result.split(what).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Runs the tests of `line`, and once more those that failed; gives the names of those that passed
/// only then.
pub(crate) fn run(root: &Path, line: &Line) -> Result<Vec<String>, Failure> {
    let (told, success) = watch(root, line, &["--no-fail-fast"], &[])?;
    if success {
        return Ok(Vec::new());
    }
    let ended = || Failure::failed(format!("`{line}` failed; failing tests: {:?}", told.failed));
    let names = told.excusable().ok_or_else(ended)?;
    println!("== test: once more, alone: {}", names.join(", "));
    let alone: Vec<&str> = ["--exact", "--test-threads=1"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    let (again, success) = watch(root, line, &[], &alone)?;
    if success && again.passed >= names.len() {
        return Ok(names.to_vec());
    }
    Err(ended())
}

/// Runs `line` with further arguments, shows what it says, and reads it.
fn watch(
    root: &Path,
    line: &Line,
    options: &[&str],
    test_options: &[&str],
) -> Result<(Told, bool), Failure> {
    let failed = |what: &str, e: std::io::Error| Failure::failed(format!("`{line}` {what}: {e}"));
    let (output, input) = std::io::pipe().map_err(|e| failed("got no pipe", e))?;
    let errors = input.try_clone().map_err(|e| failed("got no pipe", e))?;
    let mut command = line.command();
    command.args(options).arg("--").args(test_options).current_dir(root);
    // No input: a test that reads stdin must see the same end of file everywhere.
    command.stdin(Stdio::null()).stdout(input).stderr(errors);
    let mut child = command.spawn().map_err(|e| failed("could not be started", e))?;
    // It holds the pipe's other end, and would keep it open.
    drop(command);
    let (mut told, mut out) = (Told::default(), std::io::stdout());
    let mut lines = BufReader::new(output);
    let mut bytes = Vec::new();
    while lines.read_until(b'\n', &mut bytes).map_err(|e| failed("could not be read", e))? > 0 {
        // Whoever reads this may be gone; the tests go on.
        let _ = out.write_all(&bytes);
        told.line(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
    let status = child.wait().map_err(|e| failed("could not be awaited", e))?;
    Ok((told, status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Told {
        let mut told = Told::default();
        text.lines().for_each(|line| told.line(line));
        told
    }

    #[test]
    fn failures_are_read_from_what_the_tests_say() {
        let told = told(
            "     Running tests/a.rs (target/debug/deps/a-1)\n\
             test one ... ok\ntest two::three ... FAILED\ntest four - should panic ... FAILED\n\
             test result: FAILED. 1 passed; 2 failed; 0 ignored\n\
             \x20  Doc-tests core\ntest result: ok. 5 passed; 0 failed; 0 ignored\n",
        );
        assert_eq!((told.passed, told.failures, told.started, told.ended), (6, 2, 2, 2));
        assert_eq!(told.excusable(), Some(&["two::three".to_owned(), "four".to_owned()][..]));
    }

    #[test]
    fn a_program_without_a_result_is_not_excused() {
        let told = told("     Running tests/a.rs (target/debug/deps/a-1)\ntest one ... FAILED\n");
        assert_eq!(told.excusable(), None);
    }

    #[test]
    fn many_failures_are_not_excused() {
        let failed = |count: usize, said: usize| {
            let lines: String = (0..count).map(|n| format!("test t{n} ... FAILED\n")).collect();
            told(&format!(
                "Running a\n{lines}test result: FAILED. 0 passed; {said} failed; 0 ignored\n"
            ))
        };
        assert!(failed(MOST, MOST).excusable().is_some());
        assert_eq!(failed(MOST + 1, MOST + 1).excusable(), None);
        // A name that was not read.
        assert_eq!(failed(1, 2).excusable(), None);
    }
}
