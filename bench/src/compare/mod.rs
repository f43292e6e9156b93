//! Multiplexers beside each other: who takes part, in what, and what came out.

mod chart;
mod figures;
mod goals;
mod held;
pub(crate) mod machine;
pub(crate) mod page;
mod plan;
mod players;
mod tables;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use trunkline_bench::mux::spec::Sample;

use crate::Failure;
use figures::Figures;
use machine::Run;
use plan::Cell;
use players::{Outcome, Players};

/// How often to say how far it is.
const TELL: Duration = Duration::from_secs(10);

/// What is asked for on the command line.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Fewer and shorter runs.
    pub(crate) quick: bool,
    /// One JSON object for each figure instead of tables.
    pub(crate) json: bool,
    /// Write tables and charts into `docs/`.
    pub(crate) docs: bool,
    /// Nobody who would have to be built: the bare transports and our wires.
    pub(crate) own: bool,
    /// How many rounds, when it is told.
    rounds: Option<usize>,
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
                "--own" => wanted.own = true,
                "--rounds" => {
                    let rounds = args.next().and_then(|number| number.parse().ok());
                    let rounds = rounds.filter(|rounds| *rounds > 0);
                    wanted.rounds = Some(rounds.ok_or_else(|| Failure::new("--rounds NUMBER"))?);
                }
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
        if wanted.docs && !(wanted.scenarios.is_empty() && wanted.only.is_empty() && !wanted.own) {
            return Err(Failure::new("--docs shows everything: name no scenario and no subject"));
        }
        Ok(wanted)
    }

    /// How often everything is measured that does not take long.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 })
    }
}

/// Measures all that is wanted, in rounds, and shows it.
pub(crate) fn run(wanted: &Wanted) -> Result<(), Failure> {
    let players = if wanted.own { Players::own()? } else { Players::build()? };
    let cells = plan::cells(wanted, &players);
    let run = Run::begin(wanted);
    let figures = measure(wanted, &players, &cells)?;
    let run = run.end();
    if wanted.json {
        println!("{}", run.json());
        figures.json().iter().for_each(|row| println!("{row}"));
        goals::held(&figures).iter().for_each(|held| println!("{}", held.json()));
    } else {
        println!("{}", run.text());
        print!("{}", tables::all(&figures));
        print!("{}", goals::text(&figures));
    }
    if wanted.docs { page::write(&figures, &run) } else { Ok(()) }
}

fn measure(wanted: &Wanted, players: &Players, cells: &[Cell]) -> Result<Figures, Failure> {
    let planned: Vec<_> = (0..wanted.rounds())
        .flat_map(|round| cells.iter().map(move |cell| (round, cell)))
        .filter(|(round, cell)| *round < cell.rounds(wanted))
        .collect();
    let likely = |from: usize| -> Duration {
        planned.iter().skip(from).map(|(_, cell)| cell.expected(wanted.quick)).sum()
    };
    let whole = likely(0);
    eprintln!(
        "bench: {} processes in {} rounds, one after the other; that takes about {}",
        planned.len(),
        wanted.rounds(),
        minutes(whole)
    );
    let mut samples: BTreeMap<Cell, Vec<Sample>> = BTreeMap::new();
    let mut told: BTreeMap<Cell, String> = BTreeMap::new();
    let (begun, mut said) = (Instant::now(), Instant::now());
    for (at, (round, cell)) in planned.iter().enumerate() {
        if said.elapsed() >= TELL {
            said = Instant::now();
            let (left, done) = (likely(at), whole.saturating_sub(likely(at)));
            let slower = begun.elapsed().as_secs_f64() / done.as_secs_f64().max(0.1);
            eprintln!(
                "bench: round {} of {}, {at} of {} processes, about {} left; {} {}",
                round + 1,
                wanted.rounds(),
                planned.len(),
                minutes(left.mul_f64(slower)),
                cell.scenario.1,
                cell.place.name(),
            );
        }
        if told.contains_key(cell) {
            continue;
        }
        match players.play(&cell.spec(wanted.quick))? {
            Outcome::Figures(sample) => samples.entry((*cell).clone()).or_default().push(sample),
            // It gets no second chance to take as long.
            Outcome::Told(mut line) => {
                if cell.counts {
                    line.insert_str(0, "while its allocations are counted: ");
                }
                let place = cell.place.name();
                eprintln!("bench: {} in {}, {place}: {line}", cell.subject, cell.scenario.1);
                told.insert((*cell).clone(), line);
            }
        }
    }
    eprintln!("bench: measured in {}", minutes(begun.elapsed()));
    Ok(Figures::of(samples, told))
}

fn minutes(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds => format!("{} min", (seconds + 30) / 60),
    }
}
