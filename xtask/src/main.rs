//! The project's chores, run as `cargo xtask`: the one test command and the tidy rules.

#![forbid(unsafe_code)]

mod again;
mod coverage;
mod fuzz;
mod line;
mod setup;
mod steps;
mod tidy;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask COMMAND

  test            run every step: formatting, lints, docs, tests, vectors, the no_std build,
                  fuzzing, Miri; installs what is missing and says so
  test STEP...    run only the named steps
  test --list     list the steps and what each one runs
  matrix [ARG...] run every implementation of the multiplexers against ours, in full size, and print
                  the table of docs/interop.md; docs/testing.md has the arguments
  coverage        print how many of core's lines its tests reach
  tidy            check the house rules alone
  help            print this text
";

/// Why a command ended badly: which exit code, and the one line that says what happened.
struct Failure {
    code: u8,
    line: String,
}

impl Failure {
    /// Something checked and found wrong, or not possible here.
    fn failed(line: impl Into<String>) -> Self {
        Self { code: 1, line: line.into() }
    }

    /// The command line itself was wrong.
    fn usage(line: impl Into<String>) -> Self {
        Self { code: 2, line: line.into() }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> =
        env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {}", failure.line);
            ExitCode::from(failure.code)
        }
    }
}

fn run(args: &[String]) -> Result<(), Failure> {
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => return Err(Failure::usage("no command given; `cargo xtask help` lists them")),
    };
    if matches!(command, "help" | "--help" | "-h")
        || rest.iter().any(|a| a == "--help" || a == "-h")
    {
        print!("{HELP}");
        return Ok(());
    }
    match command {
        "test" if rest.iter().any(|a| a == "--list") => {
            print!("{}", steps::list(&root()?));
            Ok(())
        }
        "test" => steps::run(&root()?, &steps::choose(rest).map_err(Failure::usage)?),
        "tidy" | "coverage" => match rest.first() {
            Some(extra) => {
                Err(Failure::usage(format!("{command} takes no arguments, but got `{extra}`")))
            }
            None if command == "tidy" => tidy::run(&root()?),
            None => coverage::run(&root()?),
        },
        "matrix" => matrix(&root()?, rest),
        other => {
            Err(Failure::usage(format!("unknown command `{other}`; `cargo xtask help` lists them")))
        }
    }
}

/// Builds every program of the matrix, and runs it with what the caller says.
fn matrix(root: &Path, args: &[String]) -> Result<(), Failure> {
    steps::run_line(root, &line::Line::stable("build --release -p trunkline-peers --bins"))?;
    let status = setup::cargo()
        .args(["run", "--release", "--quiet", "-p", "trunkline-peers", "--bin", "matrix", "--"])
        .args(args)
        .current_dir(root)
        .status()
        .map_err(|error| Failure::failed(format!("cargo cannot be run: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::failed("the matrix has failed cells")) }
}

/// The top of the workspace: the nearest folder upwards whose `Cargo.toml` has a `[workspace]`.
fn root() -> Result<PathBuf, Failure> {
    let here = env::current_dir()
        .map_err(|e| Failure::failed(format!("the current folder cannot be read: {e}")))?;
    here.ancestors().find(|folder| is_workspace(folder)).map(Path::to_path_buf).ok_or_else(|| {
        Failure::failed(format!(
            "no workspace at or above {}; run it inside the repository",
            here.display()
        ))
    })
}

fn is_workspace(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("Cargo.toml"))
        .is_ok_and(|text| text.lines().any(|l| l.trim() == "[workspace]"))
}
