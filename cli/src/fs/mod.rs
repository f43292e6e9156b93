//! `trunkline fs`: the files of an agent.
//!
//! Each command stands in a file of its own: its arguments, and a `run` that works on a
//! [`Session`]. What the agent could not do for one operand is told in a line by
//! [`Session::failed`] and the others go on; what ends everything is a [`Stop`].
#![allow(dead_code)] // The commands that use the rest come next.

mod modes;
mod output;
mod pwd;
mod session;
mod sizes;
mod times;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Subcommand;
use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::args::Via;
use crate::report::{Failure, LOST, Outcome};
use crate::signals::Signals;

pub(crate) use output::Out;
pub(crate) use session::{Session, Stop};

/// Use the files of an agent.
///
/// Paths are the agent's, absolute or relative to the directory it was started in. They travel as
/// UTF-8 text; users and groups are numbers. What fails for one file is told in a line, and the
/// others go on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Fs {
    /// How the agent is reached.
    #[command(flatten)]
    pub(crate) via: Via,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: FsCommand,
}

const EXIT_CODES: &str = "\
Exit codes: 0 when all was done; 1 when something could not be done for some file; 2 for bad usage; \
128+n when signal n ended it; 255 when the link or the agent was lost.";

/// What to do with files.
#[derive(Debug, Subcommand)]
pub(crate) enum FsCommand {
    Pwd(pwd::Pwd),
}

impl FsCommand {
    /// Its name on the command line, for its messages.
    const fn name(&self) -> &'static str {
        match self {
            Self::Pwd(_) => "pwd",
        }
    }

    async fn run(self, session: &Session) -> Result<(), Stop> {
        match self {
            Self::Pwd(args) => pwd::run(args, session).await,
        }
    }
}

/// Does what was asked for over one session with an agent.
pub(crate) async fn run(args: Fs) -> Outcome {
    let mut signals =
        Signals::new().map_err(|error| Failure::local(format!("cannot take signals: {error}")))?;
    let session = Session::open(&args.via, args.command.name())?;
    let ended = tokio::select! {
        ended = args.command.run(&session) => ended,
        signal = signals.ending() => {
            // Dropping what was under way, and the session, has ended what led to the agent.
            return Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(LOST)));
        }
    };
    match ended {
        Ok(()) | Err(Stop::Deaf) => Ok(session.code()),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// Parses a path of the agent, which has to be UTF-8 to be sent.
pub(crate) fn path() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|text: OsString| {
        text.into_string().map_err(|_| "paths on the wire are UTF-8 text, and this is not")
    })
}
