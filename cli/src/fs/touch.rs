//! `trunkline fs touch`.

use std::io;

use super::pipeline::pipeline;
use super::session::errno;
use super::times::{Clock, now};
use super::{Session, Stop};

/// Set the times of files, and make those that are not there.
///
/// "Now" is this side's. Links are followed.
#[derive(Debug, clap::Args)]
pub(crate) struct Touch {
    /// Only the time of access.
    #[arg(short)]
    access: bool,
    /// Only the time of modification.
    #[arg(short)]
    modification: bool,
    /// Make no files.
    #[arg(short = 'c', long)]
    no_create: bool,
    /// This time: 'now', '@SECONDS' since 1970, '2026-11-21', '2026-11-21 17:02:25' in this side's
    /// time zone, or '2026-11-21T17:02:25+01:00'.
    #[arg(
        short,
        long,
        value_name = "TIME",
        conflicts_with = "reference",
        value_parser = time
    )]
    date: Option<i64>,
    /// The times of this file of the agent.
    #[arg(short, long, value_name = "FILE", value_parser = super::path())]
    reference: Option<String>,
    /// The files.
    #[arg(required = true, value_name = "FILE", value_parser = super::path())]
    files: Vec<String>,
}

fn time(text: &str) -> Result<i64, String> {
    Clock::new().parse(text)
}

/// The times to set; `None` stays as it is.
#[derive(Clone, Copy)]
struct Times {
    access: Option<i64>,
    modification: Option<i64>,
    create: bool,
}

pub(crate) async fn run(args: Touch, session: &Session) -> Result<(), Stop> {
    let (access, modification) = match &args.reference {
        Some(file) => {
            let stat = session.check(file, session.files.stat(&**file).await)?;
            let Some(stat) = stat else { return Ok(()) };
            (stat.atime, stat.mtime)
        }
        None => {
            let time = args.date.unwrap_or_else(now);
            (time, time)
        }
    };
    let both = args.access == args.modification;
    let times = Times {
        access: Some(access).filter(|_| args.access || both),
        modification: Some(modification).filter(|_| args.modification || both),
        create: !args.no_create,
    };
    let mut touched =
        pipeline(&args.files, |file| async move { (file, touch(session, file, times).await) });
    while let Some((file, result)) = touched.next().await {
        session.check(file, result)?;
    }
    Ok(())
}

async fn touch(session: &Session, file: &str, times: Times) -> io::Result<()> {
    match set(session, file, times).await {
        Err(error) if errno(&error) == 2 && times.create => {}
        Err(error) if errno(&error) == 2 => return Ok(()),
        result => return result,
    }
    session.create(file).await?;
    set(session, file, times).await
}

async fn set(session: &Session, file: &str, times: Times) -> io::Result<()> {
    // The wire sets both: the one that stays has to be known.
    let (access, modification) = match (times.access, times.modification) {
        (Some(access), Some(modification)) => (access, modification),
        (access, modification) => {
            let stat = session.files.stat(file).await?;
            (access.unwrap_or(stat.atime), modification.unwrap_or(stat.mtime))
        }
    };
    session.files.chtimes(file, access, modification).await
}
