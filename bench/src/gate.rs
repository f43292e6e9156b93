//! The gate: counts that no machine changes, held to the figures stored in `bench/gate.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::calls;
use crate::count::per_frame;
use crate::gate_mux;
use crate::table::number;
use crate::work::Work;

/// How much more than stored a count may be.
const SLACK: f64 = 1.03;

/// How much more instructions may be under another compiler than the stored figures were made with.
const OTHER_COMPILER: f64 = 1.25;

/// Below this a count is noise: a call that falls into one run and not into the other.
const NOISE: f64 = 0.02;

/// What is counted: the work, the bytes of a payload and the frames of a run.
const COUNTED: [(Work, usize, usize); 12] = [
    (Work::Scan, 64, 20_000),
    (Work::Scan, 32 << 10, 20_000),
    (Work::Decode, 64, 20_000),
    (Work::Decode, 32 << 10, 4_000),
    (Work::Local, 64, 20_000),
    (Work::Local, 32 << 10, 4_000),
    (Work::Agent, 64, 20_000),
    (Work::Agent, 32 << 10, 4_000),
    (Work::Send, 64, 20_000),
    (Work::Send, 32 << 10, 4_000),
    (Work::Head, 64, 20_000),
    (Work::Head, 32 << 10, 20_000),
];

/// Counts by name, and which compiler made the program that they were counted in.
#[derive(Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    rustc: String,
    target: String,
    counts: BTreeMap<String, f64>,
}

impl Figures {
    fn count() -> Result<Self, Failure> {
        let mut counts = BTreeMap::new();
        for (work, payload, frames) in COUNTED {
            let counted = per_frame(work, payload, frames)?;
            let name = format!("{} {payload} B", work.name());
            counts.insert(format!("{INSTRUCTIONS}{name}"), rounded(counted.instructions));
            counts.insert(format!("allocations per frame: {name}"), rounded(counted.allocations));
        }
        for payload in [64, 32 << 10] {
            let reads = rounded(calls::reads_per_mib(payload)?);
            counts.insert(format!("reads per MiB: frames of {payload} B"), reads);
            let writes = rounded(calls::writes_per_mib(payload)?);
            counts.insert(format!("writes per MiB: pieces of {payload} B"), writes);
        }
        for (name, count) in gate_mux::counts()? {
            counts.insert(name, rounded(count));
        }
        Ok(Self { rustc: env!("BENCH_RUSTC").into(), target: env!("BENCH_TARGET").into(), counts })
    }
}

const INSTRUCTIONS: &str = "instructions per frame: ";

/// Counts, shows every count beside its stored figure, and fails when one is worse.
pub(crate) fn hold() -> Result<(), Failure> {
    let path = path();
    let text = fs::read_to_string(&path).map_err(|error| {
        Failure::new(format!(
            "{} cannot be read: {error}; `gate --store` writes it",
            path.display()
        ))
    })?;
    let stored: Figures = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("{} is damaged: {error}", path.display())))?;
    let verdict = compare(&stored, &Figures::count()?);
    print!("{}", verdict.text);
    match verdict.worse {
        0 => Ok(()),
        worse => Err(Failure::new(format!(
            "{worse} counts are worse than stored; make them better, or say in the commit why not \
             and store them: cargo run --release -p trunkline-bench -- gate --store"
        ))),
    }
}

/// Counts, and makes that the figures that later runs are held to.
pub(crate) fn store() -> Result<(), Failure> {
    let figures = Figures::count()?;
    let text = serde_json::to_string_pretty(&figures).map_err(|e| Failure::new(e.to_string()))?;
    fs::write(path(), text + "\n").map_err(|error| {
        Failure::new(format!("{} cannot be written: {error}", path().display()))
    })?;
    println!("gate: {} counts stored in {}", figures.counts.len(), path().display());
    Ok(())
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gate.json")
}

#[derive(Debug)]
struct Verdict {
    text: String,
    worse: usize,
}

fn compare(stored: &Figures, now: &Figures) -> Verdict {
    let same = (&stored.rustc, &stored.target) == (&now.rustc, &now.target);
    let mut text = String::new();
    if !same {
        text.push_str(&format!(
            "gate: stored with {} for {}, this is {} for {}: instructions may be {:.0} % more; \
             `gate --store` makes it exact again\n",
            stored.rustc,
            stored.target,
            now.rustc,
            now.target,
            (OTHER_COMPILER - 1.0) * 100.0
        ));
    }
    let (mut worse, mut better) = (0, 0);
    let names: std::collections::BTreeSet<_> =
        stored.counts.keys().chain(now.counts.keys()).collect();
    for name in names {
        let pair = (stored.counts.get(name), now.counts.get(name));
        let (Some(before), Some(after)) = pair else {
            worse += 1;
            text.push_str(&format!("gate: {name}: stored or counted, not both\n"));
            continue;
        };
        let slack = if name.starts_with("instructions ") && !same { OTHER_COMPILER } else { SLACK };
        let word = if *after > before * slack + NOISE {
            worse += 1;
            "WORSE"
        } else if *after < before / SLACK - NOISE {
            better += 1;
            "better"
        } else {
            "same"
        };
        let (before, after) = (number(*before), number(*after));
        text.push_str(&format!("gate: {word:<6} {after:>8} (stored {before:>8})  {name}\n"));
        if word == "WORSE"
            && let Some(command) = gate_mux::why(name)
        {
            text.push_str(&format!("gate:        why: {command}\n"));
        }
    }
    if better > 0 {
        text.push_str(&format!(
            "gate: {better} counts are better than stored: `gate --store` keeps that\n"
        ));
    }
    Verdict { text, worse }
}

/// Figures are stored with as many digits as repeat from run to run.
fn rounded(count: f64) -> f64 {
    (count * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rustc: &str, counts: &[(&str, f64)]) -> Figures {
        let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Figures { rustc: rustc.into(), target: "here".into(), counts }
    }

    #[test]
    fn three_percent_more_passes_and_four_does_not() {
        let stored = figures("one", &[("instructions per frame: scan", 100.0)]);
        let verdict = |count| {
            compare(&stored, &figures("one", &[("instructions per frame: scan", count)])).worse
        };
        assert_eq!([verdict(90.0), verdict(103.0), verdict(104.0)], [0, 0, 1]);
    }

    #[test]
    fn another_compiler_widens_instructions_alone() {
        let names = ["instructions per frame: scan", "allocations per frame: scan"];
        let stored = figures("one", &names.map(|name| (name, 10.0)));
        let verdict = compare(&stored, &figures("two", &names.map(|name| (name, 12.0))));
        assert_eq!(verdict.worse, 1);
        assert!(verdict.text.contains("stored with one"));
        assert_eq!(
            compare(&stored, &figures("two", &[(names[0], 12.6), (names[1], 10.0)])).worse,
            1
        );
    }

    #[test]
    fn a_count_that_is_new_or_gone_fails() {
        let (one, two) = (figures("one", &[("a", 1.0)]), figures("one", &[("b", 1.0)]));
        assert_eq!(compare(&one, &two).worse, 2);
    }

    #[test]
    fn what_allocated_nothing_may_not_begin_to() {
        let stored = figures("one", &[("allocations per frame: scan", 0.0)]);
        let now = |count| figures("one", &[("allocations per frame: scan", count)]);
        assert_eq!(compare(&stored, &now(0.01)).worse, 0);
        assert_eq!(compare(&stored, &now(0.25)).worse, 1);
    }
}
