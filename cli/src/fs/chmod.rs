//! `trunkline fs chmod`.

use trunkline_core::agentproto::{Stat, mode_bits};

use super::facts::Kind;
use super::modes::{ModeChange, umask};
use super::tree::each;
use super::{Session, Stop};

/// Change the modes of files.
///
/// Links are followed where they are named, and left alone in trees. A mode that names nobody, such
/// as +w, spares the bits of this side's umask.
#[derive(Debug, clap::Args)]
pub(crate) struct Chmod {
    /// All that is in directories too.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// An octal number such as 644, or symbols such as u+x,go-w.
    #[arg(value_name = "MODE", value_parser = ModeChange::parse, allow_hyphen_values = true)]
    mode: ModeChange,
    /// The files.
    #[arg(required = true, value_name = "FILE", value_parser = super::path())]
    files: Vec<String>,
}

pub(crate) async fn run(args: Chmod, session: &Session) -> Result<(), Stop> {
    let (change, umask) = (&args.mode, umask());
    each(session, &args.files, args.recursive, |path, stat| async move {
        let changed = set(session, change, umask, &path, stat).await;
        Ok(session.check(&path, changed)?.is_some())
    })
    .await
}

async fn set(
    session: &Session,
    change: &ModeChange,
    umask: u32,
    path: &str,
    known: Option<Stat>,
) -> std::io::Result<()> {
    // What does not depend on the file saves the question.
    let stat = match known {
        None if change.is_relative(true) => Some(session.files.stat(path).await?),
        known => known,
    };
    let mode = match &stat {
        Some(stat) => change.apply(mode_bits(stat.mode), Kind::of(stat) == Kind::Directory, umask),
        None => change.apply(0, false, umask),
    };
    session.files.chmod(path, mode).await
}
