//! The agent tunnel beside the Go peer: load generator, relay, agent and target, a process each.
//!
//! Everybody gets the same load generator and the same target, which are the Go peer's
//! (`conformance/peers/tunnel`). What is counted as CPU is that of relay and agent alone.

mod bare;
mod chain;
mod idle;
mod page;
mod plan;
mod rows;

pub(crate) use bare::play as play_bare;

use crate::Failure;
use crate::command::Programs;
use crate::compare::machine::Run;
use crate::table;

use chain::{Chain, Who};
use plan::{Case, Samples};

/// What is asked for on the command line.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    quick: bool,
    json: bool,
    docs: bool,
    rounds: Option<usize>,
    cases: Vec<String>,
}

impl Wanted {
    /// What the arguments behind `tunnel` ask for.
    pub(crate) fn parse(args: &[&str]) -> Result<Self, Failure> {
        let mut wanted = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "--quick" => wanted.quick = true,
                "--json" => wanted.json = true,
                "--docs" => wanted.docs = true,
                "--rounds" => {
                    let rounds = args.next().and_then(|number| number.parse().ok());
                    let rounds = rounds.filter(|rounds| *rounds > 0);
                    wanted.rounds = Some(rounds.ok_or_else(|| Failure::new("--rounds NUMBER"))?);
                }
                name if plan::names().any(|known| known == name) => {
                    wanted.cases.push(name.to_owned());
                }
                other => {
                    let known: Vec<_> = plan::names().collect();
                    let known = known.join(", ");
                    return Err(Failure::new(format!("no case `{other}`; there are {known}")));
                }
            }
        }
        if wanted.docs && !wanted.cases.is_empty() {
            return Err(Failure::new("--docs shows everything: name no case"));
        }
        Ok(wanted)
    }

    fn wants(&self, name: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|case| case == name)
    }

    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(3)
    }
}

/// Measures all that is wanted, in turns, and shows it.
pub(crate) fn run(wanted: &Wanted) -> Result<(), Failure> {
    let programs = chain::Players::build()?;
    let machine = Run::begin(&crate::compare::Wanted::default());
    let mut samples = Samples::default();
    let cases: Vec<Case> =
        plan::cases(wanted.quick).into_iter().filter(|case| wanted.wants(case.name())).collect();
    if !cases.is_empty() {
        let chains = Who::ALL
            .into_iter()
            .map(|who| Chain::begin(&programs, who))
            .collect::<Result<Vec<_>, _>>()?;
        for round in 0..wanted.rounds() {
            for case in &cases {
                eprintln!("bench: round {} of {}, {}", round + 1, wanted.rounds(), case.name());
                for chain in chains.iter().filter(|chain| case.takes(chain.who)) {
                    samples.add(*case, chain.who, case.play(&programs, chain)?);
                }
            }
        }
    }
    let mut rows = rows::all(&samples);
    if wanted.wants(idle::NAME) {
        eprintln!("bench: {}", idle::NAME);
        rows.extend(idle::rows(&programs, wanted.quick)?);
    }
    let machine = machine.end();
    if wanted.json {
        return crate::show(&rows, true);
    }
    let text = format!(
        "{} Medians of {} runs taken in turns.\n\n{}",
        machine.place(),
        wanted.rounds(),
        table::table(&rows)
    );
    print!("{text}");
    if wanted.docs { page::write(&text) } else { Ok(()) }
}

/// The programs of a build, which every part of the comparison starts.
impl chain::Players {
    fn build() -> Result<Self, Failure> {
        let programs = Programs::build()?;
        Self::beside(&programs.trunkline)
    }
}
