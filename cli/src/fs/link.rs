//! `trunkline fs ln`.

use std::collections::HashSet;
use std::io;

use trunkline_tokio::Files;

use super::paths::{base, join, parent};
use super::resolve::resolve;
use super::session::{errno, shown};
use super::target::{self, Targets};
use super::{Session, Stop};

/// Make links: hard ones, or symbolic ones with -s.
///
/// With one operand the link has the name of its target, in the agent's working directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Ln {
    /// Symbolic links: the target is stored as it is written.
    #[arg(short, long)]
    symbolic: bool,
    /// Replace a file or link in the way, in one step.
    #[arg(short, long)]
    force: bool,
    /// Take a last operand that is a link to a directory for the link itself.
    #[arg(short, long)]
    no_dereference: bool,
    /// Take the last operand for the name of the link, even when it is a directory.
    #[arg(short = 'T', long)]
    no_target_directory: bool,
    /// The target, and behind it the link's name or the directory it comes into.
    #[arg(required = true, value_name = "FILE", value_parser = super::path())]
    files: Vec<String>,
}

impl Ln {
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.files.len() {
            1 if !self.no_target_directory => Ok(()),
            _ => target::check(&self.files, self.no_target_directory),
        }
    }
}

pub(crate) async fn run(mut args: Ln, session: &Session) -> Result<(), Stop> {
    if args.files.len() == 1 {
        args.files.push(".".to_string());
    }
    let files = std::mem::take(&mut args.files);
    let targets =
        Targets::of(session, files, args.no_target_directory, !args.no_dereference).await?;
    let mut made = HashSet::new();
    for (to, link) in targets.0 {
        if made.contains(&link) {
            session.complain(target::just_created(&to, &link));
            continue;
        }
        match make(&args, session, &to, &link).await {
            Ok(()) => {
                made.insert(link);
            }
            Err(error) => session.failed(&link, &error)?,
        }
    }
    Ok(())
}

async fn make(args: &Ln, session: &Session, target: &str, link: &str) -> io::Result<()> {
    let files = &session.files;
    let put = async |at: String| match args.symbolic {
        true => files.symlink(target, at).await,
        false => files.link(target, at).await,
    };
    match put(link.to_string()).await {
        Err(error) if args.force && errno(&error) == 17 => {}
        result => return result,
    }
    if args.symbolic && is_itself(files, target, link).await {
        let (target, link) = (shown(target), shown(link));
        session.complain(format_args!("{target} and {link} are the same file"));
        return Ok(());
    }
    // Beside it, and then over it: there is always a file of that name.
    let beside = join(parent(link), &super::temporary(base(link)));
    put(beside.clone()).await?;
    let renamed = files.rename(&*beside, link).await;
    // It is still there after a failure, and where both were links to one file already.
    match files.remove(beside).await {
        Err(error) if errno(&error) != 2 => renamed.and(Err(error)),
        _ => renamed,
    }
}

/// Whether a symbolic link at `link` would lead to itself, and what is there be lost. It goes by
/// paths: a stat has no device number, and another name of the file may well be linked to.
async fn is_itself(files: &Files, target: &str, link: &str) -> bool {
    // A target that is no absolute path is one from where the link stands.
    let target =
        if target.starts_with('/') { target.to_string() } else { join(parent(link), target) };
    let Ok(dir) = resolve(files, parent(link)).await else { return false };
    let link = join(&dir, base(link));
    let named = resolve(files, parent(&target)).await.map(|dir| join(&dir, base(&target)));
    named.is_ok_and(|named| named == link)
        || resolve(files, &target).await.is_ok_and(|followed| followed == link)
}
