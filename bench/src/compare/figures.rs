//! What came out, for each unit of each cell: medians, and how they stand to others.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trunkline_bench::mux::spec::{Sample, Scenario};

use super::plan::{Cell, Place, bare_of, is_bare, is_ours};
use crate::stats::Summary;

/// Medians of everything that was measured.
#[derive(Debug)]
pub(crate) struct Figures {
    cells: BTreeMap<Cell, BTreeMap<&'static str, Summary>>,
    /// What happened instead.
    pub(crate) told: BTreeMap<Cell, String>,
}

/// CPU seconds for a GB, or CPU microseconds for a round trip or a stream.
pub(crate) const CPU: &str = "cpu";
/// The same of the time that passed.
pub(crate) const WALL: &str = "wall";
/// Writes to transports for 32 KiB, a round trip or a stream.
pub(crate) const WRITES: &str = "writes";
/// Reads, likewise.
pub(crate) const READS: &str = "reads";
/// Allocations, likewise.
pub(crate) const ALLOCATIONS: &str = "allocations";
/// Resident memory at its peak, in MiB.
pub(crate) const PEAK: &str = "peak";

/// Figures that are what they are, by the names that processes tell them by.
const AS_THEY_ARE: [&str; 19] = [
    "first_ns",
    "last_ns",
    "resident_each",
    "held_each",
    "held_each_of_10",
    "bytes_per_second",
    "bytes_per_second_at_last",
    "most_held",
    "send_ns",
    "receive_ns",
    "send_of_8_ns",
    "receive_of_8_ns",
    "send_large_of_8_ns",
    "receive_large_of_8_ns",
    "send_crowded_ns",
    "receive_crowded_ns",
    "head_ns",
    "heap_each",
    "heap_each_of_10",
];

/// Bytes of a piece that calls and allocations of bulk are told for.
const PIECE: f64 = 32768.0;

impl Figures {
    pub(crate) fn of(samples: BTreeMap<Cell, Vec<Sample>>, told: BTreeMap<Cell, String>) -> Self {
        let cells = samples.into_iter().map(|(cell, samples)| {
            let figures = summed_up(cell.scenario(), &samples);
            (cell, figures)
        });
        let mut figures = Self { cells: cells.collect(), told };
        figures.move_counts();
        figures
    }

    /// What was counted stands beside what was timed.
    fn move_counts(&mut self) {
        let counted: Vec<_> = self.cells.keys().filter(|cell| cell.counts).cloned().collect();
        for cell in counted {
            let Some(counts) = self.cells.remove(&cell) else { continue };
            let timed = Cell { counts: false, ..cell };
            let Some(figures) = self.cells.get_mut(&timed) else { continue };
            for name in [ALLOCATIONS, "most_held", "held_each", "held_each_of_10"] {
                figures.extend(counts.get(name).map(|figure| (name, *figure)));
            }
        }
        // One line for each failure is enough.
        let timed: Vec<_> = self.told.keys().filter(|cell| !cell.counts).cloned().collect();
        self.told.retain(|cell, _| {
            !cell.counts || !timed.contains(&Cell { counts: false, ..cell.clone() })
        });
    }

    /// One figure.
    pub(crate) fn one(
        &self,
        scenario: Scenario,
        place: Place,
        subject: &str,
        what: &str,
    ) -> Option<Summary> {
        self.cells.get(&Cell::new(scenario, place, subject, false))?.get(what).copied()
    }

    /// Its median.
    pub(crate) fn median(
        &self,
        scenario: Scenario,
        place: Place,
        subject: &str,
        what: &str,
    ) -> Option<f64> {
        self.one(scenario, place, subject, what).map(|summary| summary.median)
    }

    /// The subject of others that does best, bare transports apart.
    pub(crate) fn best_peer(&self, scenario: Scenario, place: Place) -> Option<(&str, f64)> {
        let peers = self
            .of_scenario(scenario, place)
            .filter(|(subject, _)| !is_bare(subject) && !is_ours(subject));
        let cpu = peers.filter_map(|(subject, figures)| Some((subject, figures.get(CPU)?.median)));
        cpu.min_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// Everyone's figures of one scenario in one place, by name.
    pub(crate) fn of_scenario(
        &self,
        scenario: Scenario,
        place: Place,
    ) -> impl Iterator<Item = (&str, &BTreeMap<&'static str, Summary>)> {
        let name = scenario.name();
        self.cells
            .iter()
            .filter(move |(cell, _)| cell.scenario.1 == name && cell.place == place)
            .map(|(cell, figures)| (cell.subject.as_str(), figures))
    }

    /// Scenarios and places that there are figures of, in the order of tables.
    pub(crate) fn tables(&self) -> Vec<(Scenario, Place)> {
        let mut tables: Vec<_> = self
            .cells
            .keys()
            .chain(self.told.keys())
            .map(|cell| (cell.scenario.0, cell.place))
            .collect();
        tables.sort_unstable();
        tables.dedup();
        let named = |(at, place): (usize, Place)| Some((*Scenario::ALL.get(at)?, place));
        tables.into_iter().filter_map(named).collect()
    }

    /// CPU beside that of the bare transport of the subject's own runtime: `raw` or `raw-fc`.
    pub(crate) fn to_bare(
        &self,
        scenario: Scenario,
        place: Place,
        subject: &str,
        bare: &str,
    ) -> Option<f64> {
        let bare = self.median(scenario, place, &bare_of(subject, bare), CPU)?;
        Some(self.median(scenario, place, subject, CPU)? / bare)
    }

    /// One object for each cell: its figures, or what happened instead.
    pub(crate) fn json(&self) -> Vec<Value> {
        let mut rows = Vec::new();
        for (cell, figures) in &self.cells {
            let (scenario, place, subject) = (cell.scenario(), cell.place, cell.subject.as_str());
            let best = self.best_peer(scenario, place);
            let cpu = figures.get(CPU).map(|cpu| cpu.median);
            let figures: BTreeMap<_, Value> = figures
                .iter()
                .map(|(name, figure)| {
                    (
                        *name,
                        json!({"median": figure.median, "low": figure.low, "high": figure.high}),
                    )
                })
                .collect();
            rows.push(json!({
                "scenario": cell.scenario.1,
                "place": place.name(),
                "subject": subject,
                "figures": figures,
                "to_raw": self.to_bare(scenario, place, subject, "raw"),
                "to_raw_fc": self.to_bare(scenario, place, subject, "raw-fc"),
                "best_peer": best.map(|best| best.0),
                "to_best_peer": cpu.zip(best).map(|(cpu, best)| cpu / best.1),
            }));
        }
        for (cell, told) in &self.told {
            let (scenario, place) = (&cell.scenario.1, cell.place.name());
            let row = json!({
                "scenario": scenario, "place": place, "subject": cell.subject, "told": told,
            });
            rows.push(row);
        }
        rows
    }
}

fn summed_up(scenario: Scenario, samples: &[Sample]) -> BTreeMap<&'static str, Summary> {
    let bulk = matches!(scenario, Scenario::Bulk(_) | Scenario::Latency);
    let mut figures = BTreeMap::new();
    let mut sum = |name: &'static str, of: &dyn Fn(&Sample) -> Option<f64>| {
        figures.extend(Summary::of(samples.iter().filter_map(of)).map(|summary| (name, summary)));
    };
    let per_unit = |sample: &Sample, what: &str, times: f64| {
        let units = *sample.get("units")?;
        (units > 0.0).then(|| Some(sample.get(what)? * times / units))?
    };
    // Nanoseconds a byte are seconds a GB.
    let time = if bulk { 1.0 } else { 1e-3 };
    let calls = if bulk { PIECE } else { 1.0 };
    sum(CPU, &|sample| per_unit(sample, "cpu_ns", time));
    sum(WALL, &|sample| per_unit(sample, "wall_ns", time));
    sum(WRITES, &|sample| per_unit(sample, "writes", calls));
    sum(READS, &|sample| per_unit(sample, "reads", calls));
    sum(ALLOCATIONS, &|sample| per_unit(sample, "blocks", calls));
    sum(PEAK, &|sample| Some(sample.get("peak_bytes")? / f64::from(1 << 20)));
    for name in AS_THEY_ARE {
        sum(name, &|sample| sample.get(name).copied());
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(units: f64, cpu: f64) -> Sample {
        [("units", units), ("cpu_ns", cpu), ("writes", units * 2.0)]
            .map(|(name, figure)| (name.to_owned(), figure))
            .into()
    }

    fn figures() -> Figures {
        let cell = |subject| Cell::new(Scenario::Ping(1), Place::TCP, subject, false);
        let samples = [
            (cell("raw"), vec![sample(10.0, 40_000.0)]),
            (
                cell("h2"),
                vec![sample(10.0, 80_000.0), sample(10.0, 60_000.0), sample(5.0, 50_000.0)],
            ),
            (cell("smux"), vec![sample(10.0, 90_000.0)]),
        ];
        Figures::of(samples.into(), BTreeMap::new())
    }

    #[test]
    fn figures_are_medians_for_each_unit() {
        let cpu = figures().one(Scenario::Ping(1), Place::TCP, "h2", CPU).unwrap();
        assert_eq!(cpu, Summary { median: 8.0, low: 6.0, high: 10.0 });
        let writes = figures().median(Scenario::Ping(1), Place::TCP, "smux", WRITES);
        assert_eq!(writes, Some(2.0));
    }

    #[test]
    fn a_bare_transport_is_no_peer() {
        assert_eq!(figures().best_peer(Scenario::Ping(1), Place::TCP), Some(("h2", 8.0)));
        assert_eq!(figures().best_peer(Scenario::Ping(1), Place::DUPLEX), None);
    }

    #[test]
    fn each_stands_beside_the_bare_transport_of_its_runtime() {
        let cell = |subject| Cell::new(Scenario::Ping(1), Place::TCP, subject, false);
        let samples = [
            (cell("raw"), vec![sample(10.0, 40_000.0)]),
            (cell("raw@smol"), vec![sample(10.0, 80_000.0)]),
            (cell("trunkline yamux"), vec![sample(10.0, 80_000.0)]),
            (cell("trunkline yamux@smol"), vec![sample(10.0, 80_000.0)]),
        ];
        let figures = Figures::of(samples.into(), BTreeMap::new());
        let to = |subject| figures.to_bare(Scenario::Ping(1), Place::TCP, subject, "raw");
        assert_eq!(to("trunkline yamux"), Some(2.0));
        assert_eq!(to("trunkline yamux@smol"), Some(1.0));
    }

    #[test]
    fn every_row_of_json_says_what_it_is_about() {
        let lost = Cell::new(Scenario::Ping(1), Place::TCP, "async_smux", false);
        let told = [(lost, "hangs: not over after 20 s".to_owned())];
        let mut figures = figures();
        figures.told = told.into();
        let rows = figures.json();
        assert_eq!(rows.len(), 4);
        for row in &rows {
            let row: Value = serde_json::from_str(&row.to_string()).unwrap();
            assert_eq!(row["scenario"], "ping1");
            assert_eq!(row["place"], "tcp, one thread");
            assert!(row["subject"].is_string());
            assert!(row["told"].is_string() != row["figures"].is_object());
        }
        let h2 = rows.iter().find(|row| row["subject"] == "h2").unwrap();
        assert_eq!(h2["figures"]["cpu"], json!({"median": 8.0, "low": 6.0, "high": 10.0}));
        assert_eq!((&h2["to_raw"], &h2["best_peer"]), (&json!(2.0), &json!("h2")));
        assert_eq!(h2["to_raw_fc"], Value::Null);
    }
}
