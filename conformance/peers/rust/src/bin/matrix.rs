//! Runs every implementation against ours, in both roles, through every scenario, and prints the table
//! of `docs/interop.md`.

use std::process::ExitCode;

use clap::Parser;
use trunkline_peers::WireName;
use trunkline_peers::matrix::{Amounts, Plan, Play, Program, Verdict, foreign, ours, rows, table};

/// Runs every implementation of the multiplexers against ours and prints a table in Markdown.
#[derive(Parser)]
#[command(name = "matrix")]
struct Options {
    /// One more peer, or one in place of the others: `NAME=COMMAND`, a command that speaks the command
    /// line of conformance/peers/README.md. May be given several times.
    #[arg(long = "peer", value_name = "NAME=COMMAND")]
    peers: Vec<String>,
    /// Only these peers: part of a name, such as `hashicorp` or `crate yamux`.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only this wire.
    #[arg(long)]
    wire: Option<WireName>,
    /// Only these columns, by their heads.
    #[arg(long, value_name = "COLUMN")]
    play: Vec<String>,
    /// The amounts of the test command in place of 1 GiB and 10,000 streams.
    #[arg(long)]
    reduced: bool,
    /// Chooses the moments at which a side dies.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many cells to play at the same time; times mean something only one by one.
    #[arg(long, default_value_t = 1)]
    at_once: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let ours = ours();
    let mut theirs = match options.named() {
        Ok(named) => named,
        Err(why) => {
            eprintln!("matrix: {why}");
            return ExitCode::from(2);
        }
    };
    if theirs.is_empty() {
        theirs = foreign();
        theirs.extend(ours.iter().cloned());
    }
    theirs.retain(|program| {
        options.only.is_empty() || options.only.iter().any(|part| program.title().contains(part))
    });
    let mut rows = rows(&ours, &theirs);
    rows.retain(|row| options.wire.is_none_or(|wire| row.wire == wire));
    let plays: Vec<Play> = Play::ALL
        .into_iter()
        .filter(|play| options.play.is_empty() || options.play.iter().any(|n| n == play.name()))
        .collect();
    let amounts = if options.reduced { Amounts::REDUCED } else { Amounts::FULL };
    let plan = Plan {
        plays: &plays,
        amounts: &amounts,
        seed: options.seed,
        at_once: options.at_once.max(1),
        tell: true,
    };
    let verdicts = plan.run(&rows);
    println!("{}", table(&rows, &plays, &verdicts));
    let cells: Vec<_> = verdicts.iter().flatten().collect();
    let failed = cells.iter().filter(|(_, v)| matches!(v, Verdict::Failed(_))).count();
    let played = cells.iter().filter(|(_, v)| matches!(v, Verdict::Played { .. })).count();
    println!("{played} cells played as they should be, {failed} failed.");
    if played == 0 || failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Options {
    /// The peers of the command line, under the names it gives them.
    fn named(&self) -> Result<Vec<Program>, String> {
        let ask = |peer: &String| {
            let (name, command) = peer.split_once('=').ok_or("--peer takes NAME=COMMAND")?;
            let mut program =
                Program::ask(command.split_whitespace().map(str::to_owned).collect())?;
            program.about.name = name.to_owned();
            Ok(program)
        };
        self.peers.iter().map(ask).collect()
    }
}
