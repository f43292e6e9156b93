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

/// One table; who took part and failed stands below with what happened. Columns that nobody has a
/// figure for are left out.
fn one(figures: &Figures, scenario: Scenario, place: Place) -> String {
    let (unit, calls) = match scenario {
        Scenario::Bulk(_) | Scenario::Latency => ("s/GB", "per 32 KiB"),
        Scenario::Ping(_) | Scenario::PingIdle => ("us", "per round trip"),
        Scenario::Churn(_) | Scenario::Idle | Scenario::Core => ("us", "per stream"),
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
    let extra = extra(scenario);
    head.extend(extra.iter().map(|(title, ..)| (*title).to_owned()));
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
        let to =
            |bare| figures.to_bare(scenario, place, subject, bare).map_or(String::new(), number);
        let calls = match (told(WRITES), told(READS)) {
            (writes, reads) if writes.is_empty() && reads.is_empty() => String::new(),
            (writes, reads) => format!("{writes} / {reads}"),
        };
        let mut line = vec![
            subject.to_owned(),
            told(CPU),
            cpu.map_or(String::new(), |cpu| format!("{}-{}", number(cpu.low), number(cpu.high))),
            to("raw"),
            to("raw-fc"),
            match (cpu, best) {
                (Some(cpu), Some(best)) if !is_bare(subject) => number(cpu.median / best),
                _ => String::new(),
            },
            told(WALL),
            calls,
            told(ALLOCATIONS),
            told(PEAK),
        ];
        for (_, name, times) in extra {
            line.push(own.get(name).map_or(String::new(), |sum| number(sum.median * times)));
        }
        lines.push(line);
    }
    let mut text = columns(&without_empty(lines));
    for (cell, told) in &figures.told {
        if cell.scenario() == scenario && cell.place == place {
            let _ = write!(text, "\n{} {told}.\n", cell.subject);
        }
    }
    text
}

/// Columns of some scenarios only: the heading, the figure, and what it is multiplied with.
const fn extra(scenario: Scenario) -> &'static [(&'static str, &'static str, f64)] {
    match scenario {
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
        Scenario::Bulk(_) => &[("heap KiB at the most", "most_held", 1.0 / 1024.0)],
        Scenario::Core => &[
            ("a head, coded and decoded, ns", "head_ns", 1.0),
            ("64 B sent ns", "send_ns", 1.0),
            ("received ns", "receive_ns", 1.0),
            ("sent beside 10,000", "send_crowded_ns", 1.0),
            ("received beside 10,000", "receive_crowded_ns", 1.0),
            ("64 B sent, 8 together", "send_of_8_ns", 1.0),
            ("received, 8 together", "receive_of_8_ns", 1.0),
            ("16 KiB sent, 8 together", "send_large_of_8_ns", 1.0),
            ("16 KiB received, 8 together", "receive_large_of_8_ns", 1.0),
            ("heap B an idle stream of 10", "heap_each_of_10", 1.0),
            ("of 10,000", "heap_each", 1.0),
        ],
        _ => &[],
    }
}

/// Leaves out columns that have a heading and nothing else.
fn without_empty(lines: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let is_told = |at: &usize| {
        lines.iter().skip(1).any(|line| line.get(*at).is_some_and(|cell| !cell.is_empty()))
    };
    let told: Vec<usize> = (0..lines.first().map_or(0, Vec::len)).filter(is_told).collect();
    let kept = |line: &Vec<String>| told.iter().filter_map(|at| line.get(*at).cloned()).collect();
    lines.iter().map(kept).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_without_figures_is_left_out() {
        let lines = [["subject", "CPU", "x raw-fc"], ["raw", "1", ""], ["h2", "", ""]];
        let lines = lines.map(|line| line.map(str::to_owned).to_vec()).to_vec();
        let kept = without_empty(lines);
        assert_eq!(kept, [["subject", "CPU"], ["raw", "1"], ["h2", ""]]);
    }
}
