//! `trunkline recording`: what is in a recording.

mod cat;
mod lines;
mod show;
mod verify;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use trunkline_drive::{ReadError, Records};

use crate::report::{Failure, Outcome};

/// Look into a recording made with --record.
///
/// Of a file that is cut or damaged everything whole is shown; then a line on stderr says where and
/// why it ends, and the exit code is 1.
#[derive(Debug, Args)]
pub(crate) struct Recording {
    /// What to do.
    #[command(subcommand)]
    command: RecordingCommand,
}

#[derive(Debug, Subcommand)]
enum RecordingCommand {
    Show(show::Show),
    Cat(cat::Cat),
    Verify(verify::Verify),
}

/// A recording as an operand.
#[derive(Debug, Args)]
pub(crate) struct Operand {
    /// The recording; - is stdin.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Does what was asked for.
pub(crate) fn run(args: &Recording) -> Outcome {
    match &args.command {
        RecordingCommand::Show(args) => show::run(args),
        RecordingCommand::Cat(args) => cat::run(args),
        RecordingCommand::Verify(args) => verify::run(args),
    }
}

impl Operand {
    fn open(&self) -> Result<Records<Box<dyn Read>>, Failure> {
        let reader: Box<dyn Read> = match self.file.as_os_str() {
            dash if dash == "-" => Box::new(io::stdin().lock()),
            _ => Box::new(File::open(&self.file).map_err(|error| {
                Failure::input(format!("cannot open {}: {error}", self.file.display()))
            })?),
        };
        Ok(Records::new(reader))
    }

    fn name(&self) -> std::path::Display<'_> {
        match self.file.as_os_str() {
            dash if dash == "-" => Path::new("stdin").display(),
            _ => self.file.display(),
        }
    }

    /// Where and why the recording ends before its end.
    fn failure(&self, error: &ReadError) -> Failure {
        Failure::input(format!("{} {error}", self.name()))
    }
}

/// What a failed write to stdout means: nothing when the reader has seen enough.
fn written(error: io::Error) -> Outcome {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::local(format!("cannot write to stdout: {error}")))
}
