//! `trunkline fs truncate`.

use std::io;

use trunkline_tokio::OpenOptions;

use super::pipeline::pipeline;
use super::session::errno;
use super::sizes::SizeChange;
use super::{Session, Stop};

/// Set the sizes of files: cut them, or extend them with zeros.
#[derive(Debug, clap::Args)]
pub(crate) struct Truncate {
    /// The size in bytes, with K, M, G and so on where wanted; behind + or - relative to what there
    /// is, behind < or > only where there is more or less.
    #[arg(short, long, required = true, value_parser = SizeChange::parse, allow_hyphen_values = true)]
    size: SizeChange,
    /// Make no files.
    #[arg(short = 'c', long)]
    no_create: bool,
    /// The files.
    #[arg(required = true, value_name = "FILE", value_parser = super::path())]
    files: Vec<String>,
}

pub(crate) async fn run(args: Truncate, session: &Session) -> Result<(), Stop> {
    let (size, create) = (args.size, !args.no_create);
    let mut done = pipeline(&args.files, |file| async move {
        let result = if create {
            create_and_set(session, file, size).await
        } else {
            set(session, file, size).await
        };
        (file, result)
    });
    while let Some((file, result)) = done.next().await {
        session.check(file, result)?;
    }
    Ok(())
}

/// By path; a file that is not there is none that was asked for.
async fn set(session: &Session, file: &str, size: SizeChange) -> io::Result<()> {
    let result = match size {
        SizeChange::To(size) => {
            session.files.truncate(file, u64::try_from(size).unwrap_or(0)).await
        }
        _ => match session.files.stat(file).await {
            Ok(stat) => {
                let size = size.apply(stat.size).ok_or(io::ErrorKind::FileTooLarge)?;
                session.files.truncate(file, u64::try_from(size).unwrap_or(0)).await
            }
            Err(error) => Err(error),
        },
    };
    result.or_else(|error| if errno(&error) == 2 { Ok(()) } else { Err(error) })
}

async fn create_and_set(session: &Session, file: &str, size: SizeChange) -> io::Result<()> {
    let files = &session.files;
    if size == SizeChange::To(0) {
        return files.create(file).await?.close().await;
    }
    let touch = OpenOptions::new().write(true).create(true);
    let mut handle = files.open_with(file, &touch).await?;
    let now = match size {
        SizeChange::To(_) => 0,
        _ => handle.stat().await?.size,
    };
    let size = size.apply(now).ok_or(io::ErrorKind::FileTooLarge)?;
    handle.set_len(u64::try_from(size).unwrap_or(0)).await?;
    handle.close().await
}
