//! `trunkline fs mv`.

use std::collections::HashSet;

use super::session::{errno, shown};
use super::target::{self, Targets};
use super::{Session, Stop};

/// The errno of a rename from one file system to another.
const OTHER_FILE_SYSTEM: u32 = 18;

/// Rename or move files at the agent.
///
/// A file in the way is replaced in one step; a directory never is.
#[derive(Debug, clap::Args)]
pub(crate) struct Mv {
    /// Replace what is in the way; that is the default, and overrides an earlier -n.
    #[arg(short, long, overrides_with = "no_clobber")]
    force: bool,
    /// Leave what is in the way alone.
    #[arg(short, long, overrides_with = "force")]
    no_clobber: bool,
    /// Take the last operand for the new name, even when it is a directory.
    #[arg(short = 'T', long)]
    no_target_directory: bool,
    /// What to rename, and behind it the new name or the directory to move into.
    #[arg(required = true, value_name = "FILE", value_parser = super::path())]
    files: Vec<String>,
}

impl Mv {
    pub(crate) fn check(&self) -> Result<(), String> {
        target::check(&self.files, self.no_target_directory)
    }
}

pub(crate) async fn run(args: Mv, session: &Session) -> Result<(), Stop> {
    let targets = Targets::of(session, args.files, args.no_target_directory, true).await?;
    let mut made = HashSet::new();
    for (from, to) in targets.0 {
        if from == to {
            session.complain(format_args!("{}: cannot be renamed to itself", shown(&from)));
            continue;
        }
        if args.no_clobber {
            match session.files.lstat(&*to).await {
                Ok(_) => continue,
                Err(error) if errno(&error) == 2 => {}
                // What cannot be looked at may be there.
                Err(error) => {
                    session.failed(&to, &error)?;
                    continue;
                }
            }
        }
        if made.contains(&to) {
            session.complain(target::just_created(&from, &to));
            continue;
        }
        match session.files.rename(&*from, &*to).await {
            Ok(()) => {
                made.insert(to);
            }
            Err(error) if errno(&error) == OTHER_FILE_SYSTEM => session.complain(format_args!(
                "{} to {}: they are on different file systems: copy with 'trunkline fs cp -rp' and \
                 remove with 'trunkline fs rm -r'",
                shown(&from),
                shown(&to),
            )),
            Err(error) => session.failed(&format!("{from} to {to}"), &error)?,
        }
    }
    Ok(())
}
