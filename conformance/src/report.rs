//! What became of each case, for people and for programs.

use std::fmt::Write as _;
use std::io;

use serde_json::{Value, json};

/// The longest reason that is told; the rest is cut.
const LONGEST: usize = 600;

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that the case says holds.
    Pass,
    /// Something does not hold: what was expected and what was seen.
    Fail(String),
    /// It was not checked, for this reason.
    NotRun(String),
}

/// A case and what became of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The case's name.
    pub case: String,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of the cases of a file.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// The wire: the folder's name.
    pub wire: String,
    /// The file's name.
    pub file: String,
    /// Whether anything runs files of this wire.
    pub built: bool,
    /// One for each case, in the file's order.
    pub outcomes: Vec<Outcome>,
}

/// What became of everything that was loaded.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One for each file.
    pub files: Vec<FileReport>,
}

/// How many cases passed, failed and were not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Not run.
    pub skipped: usize,
}

impl FileReport {
    /// The counts of this file.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for outcome in &self.outcomes {
            match outcome.verdict {
                Verdict::Pass => totals.passed += 1,
                Verdict::Fail(_) => totals.failed += 1,
                Verdict::NotRun(_) => totals.skipped += 1,
            }
        }
        totals
    }

    /// A case's name for ever: wire, file and case.
    fn id(&self, outcome: &Outcome) -> String {
        let file = self.file.strip_suffix(".json").unwrap_or(&self.file);
        one_line(&format!("{}/{file}/{}", self.wire, outcome.case))
    }

    /// Each failed case with its reason.
    fn failures(&self) -> impl Iterator<Item = (String, String)> {
        self.outcomes.iter().filter_map(|outcome| match &outcome.verdict {
            Verdict::Fail(why) => Some((self.id(outcome), one_line(why))),
            _ => None,
        })
    }

    /// Each reason for not running, with the cases it holds for, in the order they came.
    fn skips(&self) -> Vec<(String, Vec<String>)> {
        let mut skips: Vec<(String, Vec<String>)> = Vec::new();
        for outcome in &self.outcomes {
            let Verdict::NotRun(why) = &outcome.verdict else { continue };
            let (why, case) = (one_line(why), one_line(&outcome.case));
            match skips.iter_mut().find(|(known, _)| *known == why) {
                Some((_, cases)) => cases.push(case),
                None => skips.push((why, vec![case])),
            }
        }
        skips
    }
}

impl Report {
    /// The counts of all files together.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.files.iter().map(FileReport::totals).fold(Totals::default(), |all, file| Totals {
            passed: all.passed + file.passed,
            failed: all.failed + file.failed,
            skipped: all.skipped + file.skipped,
        })
    }

    /// The report for people: failures, a table, what was not run, and the totals last.
    ///
    /// # Errors
    ///
    /// When `to` cannot be written.
    pub fn write_text(&self, to: &mut impl io::Write) -> io::Result<()> {
        for (id, why) in self.files.iter().flat_map(FileReport::failures) {
            writeln!(to, "FAIL {id}: {why}")?;
        }
        writeln!(to, "{}", self.table())?;
        for file in self.files.iter().filter(|file| file.built) {
            for (why, cases) in file.skips() {
                writeln!(to, "not run: {}/{}: {}: {why}", file.wire, file.file, some(&cases))?;
            }
        }
        for (wire, count) in self.wires_not_built() {
            writeln!(to, "not run: {wire}: {}: the wire is not built yet", cases(count))?;
        }
        let Totals { passed, failed, skipped } = self.totals();
        writeln!(to, "{passed} passed, {failed} failed, {skipped} skipped")
    }

    /// The report for programs: one object with the same facts.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let totals = self.totals();
        json!({
            "passed": totals.passed,
            "failed": totals.failed,
            "skipped": totals.skipped,
            "wires_not_built": self.wires_not_built().into_iter().map(|(wire, _)| wire).collect::<Vec<_>>(),
            "files": self.files.iter().map(FileReport::to_json).collect::<Vec<_>>(),
        })
    }

    /// Wires that nothing runs, with the number of their cases.
    fn wires_not_built(&self) -> Vec<(&str, usize)> {
        let mut wires: Vec<(&str, usize)> = Vec::new();
        for file in self.files.iter().filter(|file| !file.built) {
            let count = file.outcomes.len();
            match wires.iter_mut().find(|(wire, _)| *wire == file.wire) {
                Some((_, cases)) => *cases += count,
                None => wires.push((&file.wire, count)),
            }
        }
        wires
    }

    fn table(&self) -> String {
        let mut rows =
            vec![["wire", "file", "cases", "passed", "failed", "not run"].map(str::to_owned)];
        for file in &self.files {
            let Totals { passed, failed, skipped } = file.totals();
            let counts =
                [file.outcomes.len(), passed, failed, skipped].map(|count| count.to_string());
            let [cases, passed, failed, skipped] = counts;
            rows.push([one_line(&file.wire), one_line(&file.file), cases, passed, failed, skipped]);
        }
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut table = String::new();
        for row in rows {
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                // Names stand left, counts right. Writing to a string cannot fail.
                let _ = match column {
                    0 => write!(table, "{cell:<width$}"),
                    1 => write!(table, "  {cell:<width$}"),
                    _ => write!(table, "  {cell:>width$}"),
                };
            }
            table.push('\n');
        }
        table
    }
}

impl FileReport {
    fn to_json(&self) -> Value {
        let totals = self.totals();
        let failures = self.failures().map(|(id, why)| json!({ "case": id, "why": why }));
        let skips =
            self.skips().into_iter().map(|(why, cases)| json!({ "why": why, "cases": cases }));
        json!({
            "wire": self.wire,
            "file": self.file,
            "built": self.built,
            "cases": self.outcomes.len(),
            "passed": totals.passed,
            "failed": totals.failed,
            "skipped": totals.skipped,
            "failures": failures.collect::<Vec<_>>(),
            "not_run": skips.collect::<Vec<_>>(),
        })
    }
}

/// A few names in full, many as their number.
fn some(names: &[String]) -> String {
    if names.len() <= 3 { names.join(", ") } else { cases(names.len()) }
}

fn cases(count: usize) -> String {
    format!("{count} {}", if count == 1 { "case" } else { "cases" })
}

/// A text on one line, control characters escaped, cut when long.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        if line.len() > LONGEST {
            line.push_str("..");
            break;
        }
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Report {
        let outcome = |case: &str, verdict| Outcome { case: case.into(), verdict };
        let file = |wire: &str, file: &str, built, outcomes| FileReport {
            wire: wire.into(),
            file: file.into(),
            built,
            outcomes,
        };
        let skipped = || Verdict::NotRun("the wire is not built yet".into());
        Report {
            files: vec![
                file(
                    "agentproto",
                    "frames.json",
                    true,
                    vec![
                        outcome("one", Verdict::Pass),
                        outcome("two", Verdict::Fail("expected 1,\nseen 2".into())),
                        outcome("three", Verdict::NotRun("odd".into())),
                    ],
                ),
                file(
                    "smux",
                    "a.json",
                    false,
                    vec![outcome("x", skipped()), outcome("y", skipped())],
                ),
                file("smux", "b.json", false, vec![outcome("z", skipped())]),
            ],
        }
    }

    #[test]
    fn people_read_failures_first_and_totals_last() {
        let mut text = Vec::new();
        sample().write_text(&mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "FAIL agentproto/frames/two: expected 1,\\nseen 2\n\
             wire        file         cases  passed  failed  not run\n\
             agentproto  frames.json      3       1       1        1\n\
             smux        a.json           2       0       0        2\n\
             smux        b.json           1       0       0        1\n\
             \n\
             not run: agentproto/frames.json: three: odd\n\
             not run: smux: 3 cases: the wire is not built yet\n\
             1 passed, 1 failed, 4 skipped\n"
        );
    }

    #[test]
    fn programs_read_the_same_facts() {
        let json = sample().to_json();
        assert_eq!(json["passed"], 1);
        assert_eq!(json["skipped"], 4);
        assert_eq!(json["wires_not_built"], json!(["smux"]));
        assert_eq!(json["files"][0]["failures"][0]["case"], "agentproto/frames/two");
        assert_eq!(json["files"][0]["not_run"][0], json!({ "why": "odd", "cases": ["three"] }));
        assert_eq!(json["files"][2]["cases"], 1);
    }

    #[test]
    fn reasons_stay_on_one_line_of_bearable_length() {
        assert_eq!(one_line("a\tb\u{1b}[0m"), "a\\tb\\u{1b}[0m");
        let long = one_line(&"é".repeat(5_000));
        assert!(long.len() < LONGEST + 10 && long.ends_with(".."));
    }
}
