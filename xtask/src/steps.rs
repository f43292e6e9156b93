//! The steps of `cargo xtask test`: what each one runs, in which order, and how it is told.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::line::Line;
use crate::setup::{self, BARE_TARGET, Need, PROGRAMS, VALGRIND};
use crate::{again, fuzz, tidy};

/// One step, by the name it is called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Fmt,
    Tidy,
    Clippy,
    Doc,
    Build,
    Test,
    Vectors,
    NoStd,
    Bench,
    Fuzz,
    Miri,
}

/// Every step, in the order in which they run: the quick ones first.
const ALL: [Step; 11] = [
    Step::Fmt,
    Step::Tidy,
    Step::Clippy,
    Step::Doc,
    Step::Build,
    Step::Test,
    Step::Vectors,
    Step::NoStd,
    Step::Bench,
    Step::Fuzz,
    Step::Miri,
];

/// Tests of core that Miri interprets, those of the codec and of a session that take it seconds and
/// not minutes: what is about megabytes or about hundreds of thousands of elements is left out.
const INTERPRETED: [&str; 2] = [
    "test -p trunkline-core --all-features --test codec -- \
     a_claim a_frame_as_long a_head_that a_prefix any_legal",
    "test -p trunkline-core --all-features --lib --test session_exec -- \
     --skip megabyte --skip leaves_behind --skip cannot_be_sent \
     --skip recorder:: --skip playback:: --skip files:: --skip mux:: --skip pool:: \
     --skip used:: --skip pings::",
];

/// A target whose bytes stand the other way round, and whose pointers are as wide.
const BIG_ENDIAN: &str = "s390x-unknown-linux-gnu";

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Tidy => "tidy",
            Self::Clippy => "clippy",
            Self::Doc => "doc",
            Self::Build => "build",
            Self::Test => "test",
            Self::Vectors => "vectors",
            Self::NoStd => "nostd",
            Self::Bench => "bench",
            Self::Fuzz => "fuzz",
            Self::Miri => "miri",
        }
    }

    fn needs(self) -> Vec<Need> {
        match self {
            Self::Fmt => vec![Need::Rustfmt],
            Self::Clippy => vec![Need::Clippy],
            Self::NoStd => vec![Need::BareTarget],
            Self::Test => {
                let programs = PROGRAMS.map(Need::Program).into_iter();
                programs.chain([Need::BrowserTests]).collect()
            }
            Self::Bench => vec![Need::Program(VALGRIND)],
            Self::Fuzz => vec![Need::Nightly, Need::CargoFuzz],
            Self::Miri => vec![Need::Nightly, Need::Miri],
            Self::Tidy | Self::Doc | Self::Build | Self::Vectors => Vec::new(),
        }
    }

    /// The command lines of this step; none for tidy.
    fn lines(self, root: &Path) -> Vec<Line> {
        let line = match self {
            Self::Tidy => return Vec::new(),
            Self::NoStd => {
                return bare_builds(has_feature(&read(&root.join("core/Cargo.toml")), "serde"));
            }
            Self::Fuzz => return fuzz::lines(&fuzz::targets(root)),
            Self::Miri => {
                let target = format!(" --target {BIG_ENDIAN} -- ");
                let native = INTERPRETED.map(str::to_owned);
                let big = INTERPRETED.map(|line| line.replacen(" -- ", &target, 1));
                let lines = native.into_iter().chain(big);
                return lines.map(|line| Line::nightly(format!("miri {line}"))).collect();
            }
            Self::Fmt => "fmt --all -- --check",
            Self::Clippy => "clippy --workspace --all-targets --all-features -- -D warnings",
            Self::Doc => {
                let line = Line::stable("doc --workspace --no-deps --all-features");
                return vec![line.with("RUSTDOCFLAGS", "-D warnings")];
            }
            // The command's integration tests start the real binary.
            Self::Build => "build --release -p trunkline",
            Self::Test => "test --workspace --all-features",
            Self::Bench => "run --release -p trunkline-bench -- gate",
            Self::Vectors => {
                "run --release -p trunkline-conformance -- vectors conformance/vectors"
            }
        };
        vec![Line::stable(line)]
    }

    /// What the step runs, as one would type it.
    fn told(self, root: &Path) -> Vec<String> {
        if self == Self::Tidy {
            return vec!["cargo xtask tidy".to_owned()];
        }
        self.lines(root).iter().map(Line::to_string).collect()
    }
}

/// The steps that the arguments name, in running order; every step when they name none.
pub(crate) fn choose(names: &[String]) -> Result<Vec<Step>, String> {
    if let Some(unknown) = names.iter().find(|n| !ALL.iter().any(|s| s.name() == n.as_str())) {
        let known = ALL.map(Step::name).join(", ");
        return Err(format!("unknown step `{unknown}`; the steps are {known}"));
    }
    Ok(ALL
        .into_iter()
        .filter(|s| names.is_empty() || names.iter().any(|n| n == s.name()))
        .collect())
}

/// One line for each command of each step.
pub(crate) fn list(root: &Path) -> String {
    let mut text = String::new();
    for step in ALL {
        for line in step.told(root) {
            let _ = writeln!(text, "{:<8} {line}", step.name());
        }
    }
    text
}

/// Sets the machine up for `steps` and runs them, up to the first that fails.
pub(crate) fn run(root: &Path, steps: &[Step]) -> Result<(), Failure> {
    let needs: Vec<_> = steps
        .iter()
        .flat_map(|step| step.needs().into_iter().map(|need| (need, step.name())))
        .collect();
    setup::prepare(&needs)?;
    let start = Instant::now();
    let (mut times, mut excused) = (Vec::new(), Vec::new());
    for &step in steps {
        let began = Instant::now();
        let outcome = run_one(root, step);
        let took = shown(began.elapsed());
        match outcome {
            Ok(names) => excused.extend(names),
            Err(failure) => {
                let name = step.name();
                return Err(Failure::failed(format!(
                    "step {name} failed after {took}: {}; run it alone with: cargo xtask test {name}",
                    failure.line
                )));
            }
        }
        println!("== {}: ok, {took}\n", step.name());
        times.push(format!("{} {took}", step.name()));
    }
    println!(
        "xtask: {} of {} steps run, all passed in {}: {}",
        steps.len(),
        ALL.len(),
        shown(start.elapsed()),
        times.join(", ")
    );
    for name in excused {
        println!("xtask: flaky: `{name}` failed, and passed when it was run again alone");
    }
    Ok(())
}

/// Runs one step; gives the names of tests that passed only at the second try.
fn run_one(root: &Path, step: Step) -> Result<Vec<String>, Failure> {
    if step == Step::Tidy {
        println!("== tidy: cargo xtask tidy");
        return tidy::run(root).map(|()| Vec::new());
    }
    if step == Step::Fuzz {
        fuzz::prepare(root)?;
    }
    let mut excused = Vec::new();
    for line in step.lines(root) {
        println!("== {}: {line}", step.name());
        if step == Step::Test {
            excused.extend(again::run(root, &line)?);
        } else {
            run_line(root, &line)?;
        }
    }
    Ok(excused)
}

/// Runs one command line, in the root.
pub(crate) fn run_line(root: &Path, line: &Line) -> Result<(), Failure> {
    // No input: a test that reads stdin must see the same end of file everywhere.
    let status = line
        .command()
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .map_err(|e| Failure::failed(format!("`{line}` could not be started: {e}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::failed(format!("`{line}` ended with {status}")))
}

fn bare_builds(with_serde: bool) -> Vec<Line> {
    let bare = format!("build -p trunkline-core --target {BARE_TARGET} --no-default-features");
    let serde = with_serde.then(|| format!("{bare} --features serde"));
    [bare].into_iter().chain(serde).map(Line::stable).collect()
}

fn has_feature(manifest: &str, feature: &str) -> bool {
    tidy::manifest::Manifest::parse(manifest).has("features", feature)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A duration for people: tenths of a second, minutes from the first one on.
fn shown(took: Duration) -> String {
    match took.as_secs() {
        0..=59 => format!("{:.1} s", took.as_secs_f64()),
        s => format!("{} min {:02} s", s / 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    #[test]
    fn no_name_means_every_step() {
        assert_eq!(choose(&[]), Ok(ALL.to_vec()));
    }

    #[test]
    fn named_steps_run_once_and_in_order() {
        assert_eq!(choose(&strings(&["nostd", "fmt", "fmt"])), Ok(vec![Step::Fmt, Step::NoStd]));
    }

    #[test]
    fn an_unknown_step_is_told_with_the_known_ones() {
        let line = choose(&strings(&["fmt", "lint"])).unwrap_err();
        assert_eq!(
            line,
            "unknown step `lint`; the steps are fmt, tidy, clippy, doc, build, test, vectors, nostd, \
             bench, fuzz, miri"
        );
    }

    #[test]
    fn the_serde_build_exists_where_the_feature_does() {
        let with = "[features]\n# a comment\nserde = [\"dep:serde\"]\n[dependencies]\n";
        let without = "[features]\n[dependencies]\nserde = \"1\"\n";
        assert_eq!(bare_builds(has_feature(with, "serde")).len(), 2);
        assert_eq!(bare_builds(has_feature(without, "serde")).len(), 1);
    }

    #[test]
    fn the_list_shows_what_would_be_typed() {
        let text = list(Path::new("/nonexistent"));
        assert!(text.contains("fmt      cargo fmt --all -- --check\n"));
        assert!(text.contains(
            "doc      RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --no-deps --all-features\n"
        ));
        assert!(text.contains("tidy     cargo xtask tidy\n"));
        assert!(text.contains("miri     cargo +nightly miri test -p trunkline-core"));
    }

    #[test]
    fn durations_are_told_in_seconds_then_minutes() {
        assert_eq!(shown(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(shown(Duration::from_secs(125)), "2 min 05 s");
    }
}
