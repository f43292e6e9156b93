//! What `docs/` shows of a run: tables, charts and goals between two marks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::figures::Figures;
use super::machine::Run;
use super::{chart, goals, tables};
use crate::Failure;

const BEGIN: &str = "<!-- bench mux --docs writes what follows -->";
const END: &str = "<!-- and it ends here -->";

/// Writes tables and charts into `docs/benchmarks.md`, and goals into `docs/performance.md`.
pub(crate) fn write(figures: &Figures, run: &Run) -> Result<(), Failure> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let folder = docs.join("figures");
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
    let mut text = format!("{}\n", run.text());
    for chart in chart::all(figures, run) {
        let file = folder.join(&chart.file);
        fs::write(&file, chart.svg).map_err(|error| failed(&file, error))?;
        let _ = writeln!(text, "![{}](figures/{})\n", chart.title, chart.file);
    }
    text.push_str(tables::all(figures).trim_end());
    put(&docs.join("benchmarks.md"), (BEGIN, END), &text)?;
    let goals = format!("{}\n{}", run.text(), goals::text(figures));
    put(&docs.join("performance.md"), (BEGIN, END), goals.trim_end())
}

/// Puts a text between two marks of a page.
pub(crate) fn put(page: &Path, marks: (&str, &str), text: &str) -> Result<(), Failure> {
    let old = fs::read_to_string(page).map_err(|error| failed(page, error))?;
    let new = between(&old, marks, text)
        .ok_or_else(|| Failure::new(format!("{} has no place marked for it", page.display())))?;
    fs::write(page, new).map_err(|error| failed(page, error))
}

fn between(old: &str, (begin, end): (&str, &str), text: &str) -> Option<String> {
    let (before, rest) = old.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n\n{text}\n\n{end}{after}"))
}

fn failed(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_what_stands_around_the_marks() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let once = between(&page, (BEGIN, END), "new").unwrap();
        assert_eq!(once, format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
        assert_eq!(between(&once, (BEGIN, END), "new"), Some(once));
        assert_eq!(between("no marks\n", (BEGIN, END), "new"), None);
    }
}
