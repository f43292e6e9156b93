//! `trunkline fs cat`.

use std::io;

use super::pieces::{PIECE, pieces};
use super::pipeline::pipeline;
use super::{Out, Session, Stop};

/// Write files to stdout, byte for byte.
#[derive(Debug, clap::Args)]
pub(crate) struct Cat {
    /// The files.
    #[arg(required = true, value_name = "FILE", value_parser = super::path())]
    files: Vec<String>,
}

pub(crate) async fn run(args: Cat, session: &Session) -> Result<(), Stop> {
    let mut out = Out::new()?;
    for file in &args.files {
        match cat(session, file, &mut out).await? {
            Ok(()) => {}
            Err(error) => session.failed(file, &error)?,
        }
    }
    out.finish().await
}

/// Writes one file; the inner result is the agent's.
async fn cat(session: &Session, file: &str, out: &mut Out) -> Result<io::Result<()>, Stop> {
    let handle = match session.files.open(file).await {
        Ok(handle) => handle,
        Err(error) => return Ok(Err(error)),
    };
    // Files that claim to be empty, as those of /proc do, may have something in them.
    let size = match handle.stat().await {
        Ok(stat) => stat.size,
        Err(error) => return Ok(Err(error)),
    };
    let handle = &handle;
    let mut read =
        pipeline(
            pieces(size),
            |offset| async move { (offset, handle.read_at(offset, PIECE).await) },
        );
    let mut behind = 0;
    loop {
        let (offset, result) = match read.next().await {
            Some(piece) => piece,
            // It has grown, or is of a kind that has no size.
            None => (behind, handle.read_at(behind, PIECE).await),
        };
        let data = match result {
            Ok(data) => data,
            Err(error) => return Ok(Err(error)),
        };
        out.bytes(&data).await?;
        if data.len() < PIECE {
            return Ok(Ok(()));
        }
        behind = offset + PIECE as u64;
    }
}
