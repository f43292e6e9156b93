//! Where, when and with which versions a run was made: what stands beside every figure of it.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::Wanted;
use super::plan::CRATES;

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    date: String,
    commit: String,
    machine: String,
    versions: String,
    lto: String,
    quick: bool,
    own: bool,
    rounds: usize,
    loads: [String; 2],
}

impl Run {
    /// Looks at the machine before anything is measured.
    pub(crate) fn begin(wanted: &Wanted) -> Self {
        let cpu = read("/proc/cpuinfo");
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let cpu = cpu.trim_start_matches([' ', '\t', ':']).to_owned();
        let threads = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = read("/proc/sys/kernel/osrelease");
        // A tree with changes is no commit.
        let changed = !said("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
        let commit = said("git", &["rev-parse", "--short", "HEAD"]);
        // What the profile says is overruled by cargo's variable alone.
        let lto = env::var("CARGO_PROFILE_RELEASE_LTO").unwrap_or_else(|_| "thin".to_owned());
        Self {
            date: said("date", &["-u", "+%Y-%m-%d %H:%M"]),
            commit: if changed { format!("{commit} with changes") } else { commit },
            machine: format!("{cpu}, {threads} threads, Linux {}", kernel.trim()),
            versions: versions(),
            lto,
            quick: wanted.quick,
            own: wanted.own,
            rounds: wanted.rounds(),
            loads: [load(), String::new()],
        }
    }

    /// Looks at its load once more.
    pub(crate) fn end(mut self) -> Self {
        self.loads[1] = load();
        self
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let Self { date, commit, machine, versions, rounds, .. } = self;
        let [first, last] = &self.loads;
        let time = if self.quick { "0.08 s (`--quick`)" } else { "0.3 s" };
        format!(
            "{date} UTC, commit {commit}, {machine}. Load average {first} at the start and {last} \
             at the end{}. {versions}; release build, LTO {}. Medians of {rounds} runs of {time} \
             taken in turns, a process for each pair.\n",
            if self.is_loaded() {
                ": **not a quiet machine, so these figures claim nothing**"
            } else {
                ""
            },
            self.lto,
        )
    }

    /// One line for a chart.
    pub(crate) fn line(&self) -> String {
        let quick = if self.quick { ", --quick" } else { "" };
        let [first, last] = &self.loads;
        format!("{}, {}, load {first} to {last}{quick}", self.date, self.machine)
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "run": {
                "date": self.date, "commit": self.commit, "machine": self.machine,
                "versions": self.versions, "lto": self.lto, "quick": self.quick, "own": self.own,
                "rounds": self.rounds, "load_at_start": self.loads[0],
                "load_at_end": self.loads[1],
            }
        })
    }

    /// Whether others ran beside it: what it does itself is one process at a time, of two threads
    /// now and then.
    fn is_loaded(&self) -> bool {
        let [first, last] = &self.loads;
        let load = |text: &str| text.parse::<f64>().unwrap_or_default();
        load(first) > 1.0 || load(last) > 2.0
    }
}

fn versions() -> String {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = fs::read_to_string(bench.join("peers/Cargo.lock")).unwrap_or_default();
    let mut all: Vec<_> =
        CRATES.iter().chain(&["tokio", "smol"]).filter_map(|name| locked(&lock, name)).collect();
    let go = fs::read_to_string(bench.join("go/go.mod")).unwrap_or_default();
    all.extend(
        go.lines()
            .map(|line| line.trim().trim_start_matches("require "))
            .filter(|line| line.starts_with("github.com/"))
            .map(str::to_owned),
    );
    all.push(env!("BENCH_RUSTC").to_owned());
    all.push(said("go", &["env", "GOVERSION"]));
    all.retain(|version| !version.is_empty());
    all.join(", ")
}

fn locked(lock: &str, name: &str) -> Option<String> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(format!("{name} {}", rest.split('"').next()?))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Of the last minute.
fn load() -> String {
    read("/proc/loadavg").split_whitespace().next().unwrap_or_default().to_owned()
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock_file() {
        let lock = "[[package]]\nname = \"h2\"\nversion = \"0.4.20\"\nsource = \"x\"\n";
        assert_eq!(locked(lock, "h2"), Some("h2 0.4.20".to_owned()));
        assert_eq!(locked(lock, "h"), None);
        assert!(versions().contains("yamux 0.14.1"));
    }

    #[test]
    fn figures_of_a_busy_machine_say_so() {
        let mut run = Run::begin(&Wanted::default());
        run.loads = ["0.2".to_owned(), "1.1".to_owned()];
        assert!(!run.text().contains("not a quiet machine"));
        run.loads = ["9.0".to_owned(), "1.1".to_owned()];
        assert!(run.text().contains("not a quiet machine"));
        assert_eq!(run.json()["run"]["load_at_start"], "9.0");
    }
}
