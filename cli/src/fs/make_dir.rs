//! `trunkline fs mkdir`.

use std::io;

use super::modes::{ModeChange, umask};
use super::{Session, Stop};

/// Make directories.
#[derive(Debug, clap::Args)]
pub(crate) struct Mkdir {
    /// Make parents as needed, and do not complain of what is there already.
    #[arg(short, long)]
    parents: bool,
    /// Give them this mode, such as 700 or go-rx, instead of what the agent's umask leaves of 777.
    #[arg(short, long, value_parser = ModeChange::parse)]
    mode: Option<ModeChange>,
    /// The directories.
    #[arg(required = true, value_name = "DIR", value_parser = super::path())]
    dirs: Vec<String>,
}

pub(crate) async fn run(args: Mkdir, session: &Session) -> Result<(), Stop> {
    let mode = args.mode.as_ref().map(|change| change.apply(0o777, true, umask()));
    // One after the other: each may stand in the one before.
    for dir in &args.dirs {
        if let Err(error) = make(&args, session, dir, mode).await {
            session.failed(dir, &error)?;
        }
    }
    Ok(())
}

async fn make(args: &Mkdir, session: &Session, dir: &str, mode: Option<u32>) -> io::Result<()> {
    let files = &session.files;
    if args.parents {
        // The mode is for what is made now.
        let there = mode.is_some() && files.stat(dir).await.is_ok();
        files.mkdir_all(dir, 0o777).await?;
        if there {
            return Ok(());
        }
    } else {
        files.mkdir(dir, mode.unwrap_or(0o777)).await?;
    }
    match mode {
        // The agent's umask took its part, and must not.
        Some(mode) => files.chmod(dir, mode).await,
        None => Ok(()),
    }
}
