//! What `docs/` shows of a run: tables and charts between two marks, with machine and date.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use trunkline_bench::mux::spec::Scenario::{Bulk, Churn, Ping};

use super::figures::Figures;
use super::plan::{CRATES, Place};
use super::{chart, goals, tables};
use crate::Failure;

const BEGIN: &str = "<!-- bench mux --docs writes what follows -->";
const END: &str = "<!-- and it ends here -->";

/// Writes tables and charts into `docs/benchmarks.md`, and goals into `docs/performance.md`.
pub(crate) fn write(figures: &Figures, quick: bool) -> Result<(), Failure> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let folder = docs.join("figures");
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
    let mut text = about(quick);
    for scenario in [Bulk(1), Bulk(100), Ping(1), Ping(100), Churn(1), Churn(64)] {
        if let Some(svg) = chart::bars(figures, scenario, Place::TCP) {
            let name = format!("mux-{}.svg", scenario.name());
            let file = folder.join(&name);
            fs::write(&file, svg).map_err(|error| failed(&file, error))?;
            let _ = writeln!(text, "![{} over TCP](figures/{name})\n", scenario.name());
        }
    }
    text.push_str(tables::all(figures).trim_end());
    put(&docs.join("benchmarks.md"), &text)?;
    let goals = format!("{}{}", about(quick), goals::table(figures));
    put(&docs.join("performance.md"), goals.trim_end())
}

/// Machine, versions and date of this run.
fn about(quick: bool) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cpu = cpu.trim_start_matches([' ', '\t', ':']);
    let threads = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = fs::read_to_string(bench.join("peers/Cargo.lock")).unwrap_or_default();
    let versions: Vec<_> = CRATES.iter().filter_map(|name| locked(&lock, name)).collect();
    let go = fs::read_to_string(bench.join("go/go.mod")).unwrap_or_default();
    let go: Vec<_> =
        go.lines().map(str::trim).filter(|line| line.starts_with("github.com/")).collect();
    let date = said("date", &["-u", "+%Y-%m-%d"]);
    let commit = said("git", &["rev-parse", "--short", "HEAD"]);
    let (rustc, go_version) = (env!("BENCH_RUSTC"), said("go", &["env", "GOVERSION"]));
    let runs = if quick { "3 runs of 0.1 s (`--quick`)" } else { "5 runs of 0.3 s" };
    format!(
        "{date}, commit {commit}: {cpu}, {threads} threads, Linux {}; load at the end {load}; {rustc}, {go_version}. \
         {}; {}. Medians of {runs}, taken in turns, a process for each pair.\n\n",
        kernel.trim(),
        versions.join(", "),
        go.join(", "),
    )
}

fn locked(lock: &str, name: &str) -> Option<String> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(format!("{name} {}", rest.split('"').next()?))
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

/// Puts a text between the marks of a page.
fn put(page: &PathBuf, text: &str) -> Result<(), Failure> {
    let old = fs::read_to_string(page).map_err(|error| failed(page, error))?;
    let new = between(&old, text)
        .ok_or_else(|| Failure::new(format!("{} has no place marked for it", page.display())))?;
    fs::write(page, new).map_err(|error| failed(page, error))
}

fn between(old: &str, text: &str) -> Option<String> {
    let (before, rest) = old.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{text}\n\n{END}{after}"))
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
        let once = between(&page, "new").unwrap();
        assert_eq!(once, format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
        assert_eq!(between(&once, "new"), Some(once));
        assert_eq!(between("no marks\n", "new"), None);
    }
}
