//! The runner: gives golden vectors to this implementation and says what holds.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use trunkline_conformance::fuzz::seeds;
use trunkline_conformance::report::{Report, Totals};
use trunkline_conformance::vectors::Suite;
use trunkline_conformance::{guard, run};

/// Something failed that was checked.
const FAILED: u8 = 1;
/// Nothing could be checked: wrong usage, or nothing to run.
const USAGE: u8 = 2;

/// Checks this implementation of Trunkline's wires.
#[derive(Parser)]
#[command(name = "trunkline-conformance", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the golden vectors of a folder.
    ///
    /// Ends with 0 when every case that was run passed, with 1 when one failed, and with 2 when
    /// nothing could be run.
    Vectors {
        /// The folder: one folder in it for each wire, as in conformance/vectors.
        dir: PathBuf,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
        /// Run only this wire; may be given several times.
        #[arg(long = "wire", value_name = "WIRE")]
        wires: Vec<String>,
    },
    /// Make fuzzing seeds from the golden vectors of a folder: one folder for each target.
    Seeds {
        /// The folder of vectors.
        dir: PathBuf,
        /// Where to write; made when it is not there.
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    guard::quiet_panics();
    match arguments.command {
        Command::Vectors { dir, json, wires } => vectors(&dir, json, &wires),
        Command::Seeds { dir, out } => write_seeds(&dir, &out),
    }
}

fn vectors(dir: &Path, json: bool, wires: &[String]) -> ExitCode {
    let report = match Suite::load(dir, wires) {
        Ok(suite) => run(&suite),
        Err(error) => return refuse(&error.to_string()),
    };
    match print(&report, json) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return refuse(&format!("the report cannot be written: {error}"));
        }
        _ => {}
    }
    match report.totals() {
        Totals { failed: 1.., .. } => ExitCode::from(FAILED),
        Totals { passed: 1.., .. } => ExitCode::SUCCESS,
        _ => refuse(&format!(
            "nothing in {} could be run; the report says why of each file",
            dir.display()
        )),
    }
}

fn write_seeds(dir: &Path, out: &Path) -> ExitCode {
    let seeds = match Suite::load(dir, &[]) {
        Ok(suite) => seeds::seeds(&suite),
        Err(error) => return refuse(&error.to_string()),
    };
    match seeds::write(&seeds, out) {
        Ok(count) => {
            println!("{count} seeds in {}", out.display());
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&format!("{} cannot be written: {error}", out.display())),
    }
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if json {
        writeln!(stdout, "{}", report.to_json())?;
    } else {
        report.write_text(&mut stdout)?;
    }
    stdout.flush()
}

fn refuse(line: &str) -> ExitCode {
    eprintln!("trunkline-conformance: {line}");
    ExitCode::from(USAGE)
}

/// Help as it is; everything else in one line.
fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            refuse("no command given; `trunkline-conformance --help` lists them")
        }
        _ => {
            let text = error.render().to_string();
            let first = text.split("\n\n").next().unwrap_or_default();
            let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
            refuse(&format!(
                "{}; `trunkline-conformance vectors --help` shows the usage",
                line.strip_prefix("error: ").unwrap_or(&line)
            ))
        }
    }
}
