//! Where, when and with which versions a run was made: what stands beside every figure of it.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

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
    /// At the start and at the end.
    moments: [Moment; 2],
}

/// What else the machine does, while nothing of the run's own is under way.
#[derive(Debug, Default)]
struct Moment {
    /// The load average of the last minute: whoever just built something is still in it.
    load: String,
    /// The share of the processors' time that is taken.
    busy: f64,
}

/// For how long to look at it.
const LOOK: Duration = Duration::from_millis(200);

/// Above this share the machine is not quiet.
const QUIET: f64 = 0.1;

impl Moment {
    fn now() -> Self {
        let load = read("/proc/loadavg").split_whitespace().next().unwrap_or_default().to_owned();
        let before = ticks(&read("/proc/stat"));
        std::thread::sleep(LOOK);
        let after = ticks(&read("/proc/stat"));
        let (all, idle) = (after.0 - before.0, after.1 - before.1);
        Self { load, busy: if all > 0.0 { 1.0 - idle / all } else { 0.0 } }
    }
}

/// The processors' time so far, and what of it nobody took.
fn ticks(stat: &str) -> (f64, f64) {
    let line = stat.lines().next().unwrap_or_default();
    let spent: Vec<f64> =
        line.split_whitespace().skip(1).take(8).filter_map(|text| text.parse().ok()).collect();
    // The fourth is idle time, the fifth that of waiting for a disk.
    (spent.iter().sum(), spent.iter().skip(3).take(2).sum())
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
            moments: [Moment::now(), Moment::default()],
        }
    }

    /// Looks at it once more.
    pub(crate) fn end(mut self) -> Self {
        self.moments[1] = Moment::now();
        self
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let time = if self.quick { "0.08 s (`--quick`)" } else { "0.3 s" };
        format!(
            "{} Medians of {} runs of {time} taken in turns, a process for each pair.\n",
            self.place(),
            self.rounds
        )
    }

    /// Where and when, and with what.
    pub(crate) fn place(&self) -> String {
        let Self { date, commit, machine, versions, .. } = self;
        let [first, last] = &self.moments;
        let loud = match self.is_loud() {
            true => ": **not a quiet machine, so these figures claim nothing**",
            false => "",
        };
        format!(
            "{date} UTC, commit {commit}, {machine}. Before the run {:.0} % of the processors were \
             busy, at a load average of {}, after it {:.0} %, at {}{loud}. {versions}; release \
             build, LTO {}.",
            first.busy * 100.0,
            first.load,
            last.busy * 100.0,
            last.load,
            self.lto,
        )
    }

    /// One line for a chart.
    pub(crate) fn line(&self) -> String {
        let quick = if self.quick { ", --quick" } else { "" };
        let [first, last] = &self.moments;
        format!("{}, {}, load {} to {}{quick}", self.date, self.machine, first.load, last.load)
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "run": {
                "date": self.date, "commit": self.commit, "machine": self.machine,
                "versions": self.versions, "lto": self.lto, "quick": self.quick, "own": self.own,
                "rounds": self.rounds,
                "load_at_start": self.moments[0].load, "load_at_end": self.moments[1].load,
                "busy_at_start": self.moments[0].busy, "busy_at_end": self.moments[1].busy,
            }
        })
    }

    /// Whether others ran beside it.
    fn is_loud(&self) -> bool {
        self.moments.iter().any(|moment| moment.busy > QUIET)
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
        let moment = |busy| Moment { load: "3.0".to_owned(), busy };
        run.moments = [moment(0.01), moment(0.02)];
        assert!(!run.text().contains("not a quiet machine"));
        run.moments = [moment(0.9), moment(0.02)];
        assert!(run.text().contains("90 % of the processors"));
        assert!(run.text().contains("not a quiet machine"));
        assert_eq!(run.json()["run"]["load_at_start"], "3.0");
    }

    #[test]
    fn time_that_nobody_took_is_told_apart() {
        let stat = "cpu  10 0 20 60 10 0 0 0 5 0\ncpu0 1 2 3\n";
        assert_eq!(ticks(stat), (100.0, 70.0));
        assert_eq!(ticks(""), (0.0, 0.0));
    }
}
