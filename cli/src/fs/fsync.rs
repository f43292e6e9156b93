//! `trunkline fs fsync`.

use std::io;

use super::pipeline::pipeline;
use super::{Session, Stop};

/// Wait until what was written to files is on the agent's disk.
#[derive(Debug, clap::Args)]
pub(crate) struct Fsync {
    /// The files; directories may be among them.
    #[arg(required = true, value_name = "FILE", value_parser = super::path())]
    files: Vec<String>,
}

pub(crate) async fn run(args: Fsync, session: &Session) -> Result<(), Stop> {
    let mut synced = pipeline(&args.files, |file| async move { (file, sync(session, file).await) });
    while let Some((file, result)) = synced.next().await {
        session.check(file, result)?;
    }
    Ok(())
}

async fn sync(session: &Session, file: &str) -> io::Result<()> {
    let mut handle = session.files.open(file).await?;
    handle.sync().await?;
    handle.close().await
}
