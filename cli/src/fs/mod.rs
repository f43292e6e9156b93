//! `trunkline fs`: the files of an agent.
//!
//! Each command stands in a file of its own: its arguments, and a `run` that works on a
//! [`Session`]. What the agent could not do for one operand is told in a line by
//! [`Session::failed`] and the others go on; what ends everything is a [`Stop`].

mod cat;
mod chmod;
mod chown;
mod copy;
mod facts;
mod fsync;
mod link;
mod listing;
mod ls;
mod make_dir;
mod modes;
mod output;
mod paths;
mod pieces;
mod pipeline;
mod progress;
mod pwd;
mod readlink;
mod remove;
mod rename;
mod resolve;
mod session;
pub(crate) mod sizes;
mod space;
mod stat;
mod target;
mod times;
mod touch;
mod transfer;
mod tree;
mod truncate;
mod work;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use clap::builder::{OsStringValueParser, TypedValueParser};
use tokio::time::timeout;
use trunkline_tokio::Recording;

use crate::args::Via;
use crate::record::Record;
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
    /// Whether the session is recorded.
    #[command(flatten)]
    pub(crate) record: Record,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: FsCommand,
}

/// How long after a failure a signal counts as its cause.
const SAME_SIGNAL: Duration = Duration::from_millis(20);

const EXIT_CODES: &str = "\
Exit codes: 0 when all was done; 1 when something could not be done for some file; 2 for bad usage; \
128+n when signal n ended it; 255 when the link or the agent was lost.";

/// What to do with files.
#[derive(Debug, Subcommand)]
pub(crate) enum FsCommand {
    Ls(ls::Ls),
    Stat(stat::Stat),
    Cat(cat::Cat),
    Get(transfer::Get),
    Put(transfer::Put),
    Mkdir(make_dir::Mkdir),
    Rm(remove::Rm),
    Mv(rename::Mv),
    Cp(copy::Cp),
    Ln(link::Ln),
    Readlink(readlink::Readlink),
    Chmod(chmod::Chmod),
    Chown(chown::Chown),
    Touch(touch::Touch),
    Truncate(truncate::Truncate),
    Df(space::Df),
    Fsync(fsync::Fsync),
    Pwd(pwd::Pwd),
}

impl FsCommand {
    /// Its name on the command line, for its messages.
    const fn name(&self) -> &'static str {
        match self {
            Self::Ls(_) => "ls",
            Self::Stat(_) => "stat",
            Self::Cat(_) => "cat",
            Self::Get(_) => "get",
            Self::Put(_) => "put",
            Self::Mkdir(_) => "mkdir",
            Self::Rm(_) => "rm",
            Self::Mv(_) => "mv",
            Self::Cp(_) => "cp",
            Self::Ln(_) => "ln",
            Self::Readlink(_) => "readlink",
            Self::Chmod(_) => "chmod",
            Self::Chown(_) => "chown",
            Self::Touch(_) => "touch",
            Self::Truncate(_) => "truncate",
            Self::Df(_) => "df",
            Self::Fsync(_) => "fsync",
            Self::Pwd(_) => "pwd",
        }
    }

    /// Refuses what no parser of single arguments could, before anything is started.
    fn check(&self) -> Result<(), Failure> {
        let checked = match self {
            Self::Mv(args) => args.check(),
            Self::Cp(args) => args.check(),
            Self::Ln(args) => args.check(),
            _ => Ok(()),
        };
        checked.map_err(|why| Failure::usage(format!("fs {}: {why}", self.name())))
    }

    async fn run(self, session: &Session) -> Result<(), Stop> {
        match self {
            Self::Ls(args) => ls::run(args, session).await,
            Self::Stat(args) => stat::run(args, session).await,
            Self::Cat(args) => cat::run(args, session).await,
            Self::Get(args) => transfer::get(args, session).await,
            Self::Put(args) => transfer::put(args, session).await,
            Self::Mkdir(args) => make_dir::run(args, session).await,
            Self::Rm(args) => remove::run(args, session).await,
            Self::Mv(args) => rename::run(args, session).await,
            Self::Cp(args) => copy::run(args, session).await,
            Self::Ln(args) => link::run(args, session).await,
            Self::Readlink(args) => readlink::run(args, session).await,
            Self::Chmod(args) => chmod::run(args, session).await,
            Self::Chown(args) => chown::run(args, session).await,
            Self::Touch(args) => touch::run(args, session).await,
            Self::Truncate(args) => truncate::run(args, session).await,
            Self::Df(args) => space::run(args, session).await,
            Self::Fsync(args) => fsync::run(args, session).await,
            Self::Pwd(args) => pwd::run(args, session).await,
        }
    }
}

/// Does what was asked for over one session with an agent.
pub(crate) async fn run(args: Fs) -> Outcome {
    let Fs { via, record, command } = args;
    command.check()?;
    record.around(&via, async |recording| run_recorded(&via, command, recording).await).await
}

async fn run_recorded(via: &Via, command: FsCommand, recording: Option<Recording>) -> Outcome {
    let mut signals =
        Signals::new().map_err(|error| Failure::local(format!("cannot take signals: {error}")))?;
    let session = Session::open(via, recording, command.name())?;
    // Dropping what is under way, and the session, ends what leads to the agent.
    let interrupted = |signal: i32| Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(LOST)));
    let ended = tokio::select! {
        biased;
        signal = signals.ending() => return interrupted(signal),
        ended = command.run(&session) => ended,
    };
    match ended {
        Ok(()) | Err(Stop::Deaf) => Ok(session.code()),
        // A signal to the whole group reaches what leads to the agent too, and possibly first.
        Err(Stop::Failed(failure)) => match timeout(SAME_SIGNAL, signals.ending()).await {
            Ok(signal) => interrupted(signal),
            Err(_) => Err(failure),
        },
    }
}

/// Parses a path of the agent, which has to be UTF-8 to be sent.
pub(crate) fn path() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|text: OsString| {
        text.into_string().map_err(|_| "paths on the wire are UTF-8 text, and this is not")
    })
}

/// A name beside `name` that nobody else takes, most likely: hidden, and not longer than names may be.
pub(crate) fn temporary(name: &str) -> String {
    // Whole characters that fit into 255 bytes together with the rest.
    let end = (0..=200.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    let name = name.get(..end).unwrap_or_default();
    format!(".{name}.{}-{}.trunkline", std::process::id(), times::now() % 1_000_000_000)
}
