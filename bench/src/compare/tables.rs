//! One table for each scenario and place: figures, and ratios to the limit and to the best peer.

use std::fmt::Write as _;

use trunkline_bench::mux::spec::Scenario;

use super::figures::{ALLOCATIONS, CPU, Figures, PEAK, READS, WALL, WRITES};
use super::plan::{Place, is_bare, is_go, is_ours};
use crate::table::{columns, number};

/// All tables, each under its heading.
pub(crate) fn all(figures: &Figures) -> String {
    let mut text = String::new();
    for (scenario, place) in figures.tables() {
        let _ = writeln!(text, "\n### {}: {}\n", scenario.name(), place.name());
        text.push_str(&one(figures, scenario, place));
    }
    text.push('\n');
    text
}

/// One table; who took part and failed stands below with what happened.
pub(crate) fn one(figures: &Figures, scenario: Scenario, place: Place) -> String {
    let (unit, calls) = match scenario {
        Scenario::Bulk(_) | Scenario::Latency => ("s/GB", "per 32 KiB"),
        Scenario::Ping(_) | Scenario::PingIdle => ("us", "per round trip"),
        Scenario::Churn(_) | Scenario::Idle => ("us", "per stream"),
    };
    let mut head = vec![
        "subject".to_owned(),
        format!("CPU {unit}"),
        "min-max".to_owned(),
        "x raw".to_owned(),
        "x raw-fc".to_owned(),
        "x best peer".to_owned(),
        format!("wall {unit}"),
        format!("writes / reads {calls}"),
        format!("allocations {calls}"),
        "peak MiB".to_owned(),
    ];
    let extra: &[(&str, &str, f64)] = match scenario {
        Scenario::Idle => &[
            ("opens first us", "first_ns", 1e-3),
            ("opens last us", "last_ns", 1e-3),
            ("resident B a pair", "resident_each", 1.0),
            ("heap B a pair", "held_each", 1.0),
            ("heap B a pair of 10", "held_each_of_10", 1.0),
        ],
        Scenario::Latency => &[
            ("MB/s", "bytes_per_second", 1e-6),
            ("MB/s in the last quarter", "bytes_per_second_at_last", 1e-6),
        ],
        _ => &[],
    };
    head.extend(extra.iter().map(|(title, ..)| (*title).to_owned()));
    let median = |subject: &str| figures.median(scenario, place, subject, CPU);
    let (raw, fc) = (median("raw"), median("raw-fc"));
    let best = figures.best_peer(scenario, place).map(|(_, best)| best);
    let mut rows: Vec<_> = figures.of_scenario(scenario, place).collect();
    rows.sort_by_key(|(subject, figures)| {
        let cpu = figures.get(CPU).map_or(u64::MAX, |cpu| (cpu.median * 1e6) as u64);
        (rank(subject), cpu)
    });
    let mut lines = vec![head];
    for (subject, own) in rows {
        let cpu = own.get(CPU).copied();
        let told = |name: &str| own.get(name).map_or(String::new(), |sum| number(sum.median));
        let ratio = |to: Option<f64>| match (cpu, to) {
            (Some(cpu), Some(to)) => number(cpu.median / to),
            _ => String::new(),
        };
        let mut line = vec![
            subject.to_owned(),
            told(CPU),
            cpu.map_or(String::new(), |cpu| format!("{}-{}", number(cpu.low), number(cpu.high))),
            ratio(raw),
            ratio(fc),
            if is_bare(subject) { String::new() } else { ratio(best) },
            told(WALL),
            format!("{} / {}", told(WRITES), told(READS)),
            told(ALLOCATIONS),
            told(PEAK),
        ];
        for (_, name, times) in extra {
            line.push(own.get(name).map_or(String::new(), |sum| number(sum.median * times)));
        }
        lines.push(line);
    }
    let mut text = columns(&lines);
    for (cell, told) in &figures.told {
        if cell.scenario() == scenario && cell.place == place {
            let _ = write!(text, "\n{} {told}.\n", cell.subject);
        }
    }
    text
}

/// Bare transports first, then ours, then crates, then Go.
pub(crate) fn rank(subject: &str) -> usize {
    match subject {
        _ if is_go(subject) => 3,
        _ if is_bare(subject) => 0,
        _ if is_ours(subject) => 1,
        _ => 2,
    }
}
