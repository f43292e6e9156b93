//! Multiplexers beside each other: who takes part, in what, and what came out.

mod chart;
mod figures;
mod goals;
mod page;
mod plan;
mod players;
mod tables;

use std::collections::BTreeMap;

use trunkline_bench::mux::spec::Sample;

use crate::Failure;
use figures::Figures;
use plan::Cell;
use players::{Outcome, Players};

/// What is asked for on the command line.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Fewer and shorter runs.
    pub(crate) quick: bool,
    /// One JSON object for each figure instead of tables.
    pub(crate) json: bool,
    /// Write tables and charts into `docs/`.
    pub(crate) docs: bool,
    /// Scenarios, or all of them.
    pub(crate) scenarios: Vec<String>,
    /// Words of which a subject's name must have one, or all subjects; the bare transports are
    /// always there.
    pub(crate) only: Vec<String>,
}

impl Wanted {
    /// What the arguments behind `mux` ask for.
    pub(crate) fn parse(args: &[&str]) -> Result<Self, Failure> {
        let mut wanted = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "--quick" => wanted.quick = true,
                "--json" => wanted.json = true,
                "--docs" => wanted.docs = true,
                "--only" => {
                    let words = args.next().ok_or_else(|| Failure::new("--only WORD[,WORD..]"))?;
                    wanted.only.extend(words.split(',').map(str::to_owned));
                }
                name if plan::is_scenario(name) => wanted.scenarios.push(name.to_owned()),
                other => {
                    let known = plan::scenarios().join(", ");
                    return Err(Failure::new(format!("no scenario `{other}`; there are {known}")));
                }
            }
        }
        if wanted.docs && !(wanted.scenarios.is_empty() && wanted.only.is_empty()) {
            return Err(Failure::new("--docs shows everything: name no scenario and no subject"));
        }
        Ok(wanted)
    }
}

/// Measures all that is wanted, in rounds, and shows it.
pub(crate) fn run(wanted: &Wanted) -> Result<(), Failure> {
    let players = Players::build()?;
    let cells = plan::cells(wanted, &players);
    let runs = if wanted.quick { 3 } else { 5 };
    let mut samples: BTreeMap<Cell, Vec<Sample>> = BTreeMap::new();
    let mut told: BTreeMap<Cell, String> = BTreeMap::new();
    for round in 0..runs {
        eprintln!("bench: round {} of {runs}, {} measurements", round + 1, cells.len());
        for cell in &cells {
            if told.contains_key(cell) || round >= cell.rounds(runs) {
                continue;
            }
            match players.play(&cell.spec(wanted.quick))? {
                Outcome::Figures(sample) => samples.entry(cell.clone()).or_default().push(sample),
                // It gets no second chance to take as long.
                Outcome::Told(line) => drop(told.insert(cell.clone(), line)),
            }
        }
    }
    let figures = Figures::of(samples, told);
    if wanted.json {
        figures.print_json()?;
    } else {
        print!("{}", tables::all(&figures));
        print!("{}", goals::table(&figures));
    }
    if wanted.docs { page::write(&figures, wanted.quick) } else { Ok(()) }
}
