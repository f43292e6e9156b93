//! `trunkline fs cp`.

use std::collections::HashSet;
use std::io;

use trunkline_core::agentproto::{Stat, mode_bits};

use trunkline_drive::File;
use trunkline_tokio::{FileError, OpenOptions};

use super::facts::Kind;
use super::paths::{base, join, parent};
use super::pieces::{PIECE, pieces};
use super::pipeline::pipeline;
use super::resolve::resolve;
use super::session::{errno, shown};
use super::target::{self, Targets};
use super::work::{Step, work};
use super::{Session, Stop};

/// Copy files of the agent to other files of the agent.
///
/// The bytes travel to this side and back: the wire has no copying. Each file is written under a
/// temporary name and renamed, so that no half file ever has the name, except through a link or
/// into a device: what is behind that is written in place.
#[derive(Debug, clap::Args)]
pub(crate) struct Cp {
    /// Directories too, with all that is in them; links are copied as links.
    #[arg(short, long, visible_short_alias = 'R')]
    recursive: bool,
    /// Keep mode, times and, where the agent may, owner.
    #[arg(short, long)]
    preserve: bool,
    /// Leave what is in the way alone.
    #[arg(short, long)]
    no_clobber: bool,
    /// Take the last operand for the new name, even when it is a directory.
    #[arg(short = 'T', long)]
    no_target_directory: bool,
    /// What to copy, and behind it the new name or the directory to copy into.
    #[arg(required = true, value_name = "FILE", value_parser = super::path())]
    files: Vec<String>,
}

impl Cp {
    pub(crate) fn check(&self) -> Result<(), String> {
        target::check(&self.files, self.no_target_directory)
    }
}

enum Job {
    /// What the user named, where it goes, and whether an earlier operand goes there too.
    Operand(String, String, bool),
    /// Something in a directory.
    Entry(String, String, Stat),
    /// A directory whose content is copied.
    Through(String, Stat),
}

pub(crate) async fn run(mut args: Cp, session: &Session) -> Result<(), Stop> {
    let files = std::mem::take(&mut args.files);
    let targets = Targets::of(session, files, args.no_target_directory, true).await?;
    // Found out here, for they are copied at once.
    let mut taken = HashSet::new();
    let jobs = targets.0.into_iter().map(|(from, to)| {
        let again = !taken.insert(to.clone());
        Job::Operand(from, to, again)
    });
    let args = &args;
    let lists =
        |job: &Job| matches!(job, Job::Entry(_, _, stat) if Kind::of(stat) == Kind::Directory);
    work(jobs, lists, |job, _| step(args, session, job)).await
}

async fn step(args: &Cp, session: &Session, job: Job) -> Result<Step<Job>, Stop> {
    match job {
        Job::Operand(from, to, again) => {
            let files = &session.files;
            let stat =
                if args.recursive { files.lstat(&*from).await } else { files.stat(&*from).await };
            let Some(stat) = session.check(&from, stat)? else { return Ok(Step::Failed) };
            if Kind::of(&stat) == Kind::Directory && !args.recursive {
                session.complain(format_args!("{}: Is a directory (-r copies it)", shown(&from)));
                return Ok(Step::Failed);
            }
            // Directories of one name become one, as with cp.
            if again && Kind::of(&stat) != Kind::Directory {
                if args.no_clobber {
                    return Ok(Step::Done);
                }
                session.complain(target::just_created(&from, &to));
                return Ok(Step::Failed);
            }
            if Kind::of(&stat) == Kind::Directory && is_inside(session, &from, &to).await? {
                session.complain(format_args!(
                    "{}: cannot be copied into itself, {}",
                    shown(&from),
                    shown(&to)
                ));
                return Ok(Step::Failed);
            }
            Ok(Step::Into(vec![Job::Entry(from, to, stat)], None))
        }
        Job::Entry(from, to, stat) => match Kind::of(&stat) {
            Kind::Directory => directory(args, session, from, to, stat).await,
            Kind::Link => told(session, &to, link(args, session, &from, &to).await),
            Kind::File => file(args, session, &from, &to, &stat).await,
            kind => {
                session.complain(format_args!("{}: a {} is not copied", shown(&from), kind.word()));
                Ok(Step::Failed)
            }
        },
        // Last, or what is written into it would change its times again, or be forbidden.
        Job::Through(to, stat) => told(session, &to, keep(args, session, &to, &stat).await),
    }
}

fn told(session: &Session, path: &str, result: io::Result<()>) -> Result<Step<Job>, Stop> {
    Ok(if session.check(path, result)?.is_some() { Step::Done } else { Step::Failed })
}

/// Whether a directory would be copied into itself, however it is named.
async fn is_inside(session: &Session, from: &str, to: &str) -> Result<bool, Stop> {
    let (files, dir) = (&session.files, parent(to));
    let both = async {
        let from = resolve(files, from).await?;
        // The target need not be there yet, but what it stands in is.
        let to = match resolve(files, to).await {
            Err(error) if errno(&error) == 2 => join(&resolve(files, dir).await?, base(to)),
            to => to?,
        };
        Ok::<_, io::Error>((from, to))
    };
    match both.await {
        Ok((from, to)) => Ok(to == from || to.starts_with(&join(&from, ""))),
        // What cannot be looked at cannot be copied to either, and that says why.
        Err(error) if errno(&error) != 0 => Ok(false),
        Err(error) => session.failed(to, &error).map(|()| false),
    }
}

async fn directory(
    args: &Cp,
    session: &Session,
    from: String,
    to: String,
    stat: Stat,
) -> Result<Step<Job>, Stop> {
    let files = &session.files;
    // Listed before anything is made: what is copied into it is no part of it.
    let Some(entries) = session.check(&from, files.list_dir(&*from).await)? else {
        return Ok(Step::Failed);
    };
    // Its owner has to be able to fill it.
    let mode = mode_bits(stat.mode) & 0o777;
    let made = match files.mkdir(&*to, mode | 0o700).await {
        Err(error) if errno(&error) == 17 => {
            let there = files.stat(&*to).await;
            if there.is_ok_and(|there| Kind::of(&there) == Kind::Directory) {
                Ok(false)
            } else {
                Err(error)
            }
        }
        made => made.map(|()| true),
    };
    let Some(made) = session.check(&to, made)? else { return Ok(Step::Failed) };
    let child = |entry: Stat| Job::Entry(join(&from, &entry.name), join(&to, &entry.name), entry);
    let children = entries.into_iter().map(child).collect();
    let last = args.preserve || made && mode | 0o700 != mode;
    Ok(Step::Into(children, last.then_some(Job::Through(to, stat))))
}

async fn link(args: &Cp, session: &Session, from: &str, to: &str) -> io::Result<()> {
    let files = &session.files;
    let target = files.readlink(from).await?;
    match files.symlink(&*target, to).await {
        Err(error) if errno(&error) == 17 && args.no_clobber => Ok(()),
        Err(error) if errno(&error) == 17 => {
            let beside = join(parent(to), &super::temporary(base(to)));
            files.symlink(target, &*beside).await?;
            over(session, &beside, to).await
        }
        result => result,
    }
}

async fn file(
    args: &Cp,
    session: &Session,
    from: &str,
    to: &str,
    stat: &Stat,
) -> Result<Step<Job>, Stop> {
    let there = match session.files.stat(to).await {
        Ok(there) => Some(there),
        Err(error) if errno(&error) == 2 => None,
        Err(error) => return told(session, to, Err(error)),
    };
    match &there {
        Some(_) if args.no_clobber => return Ok(Step::Done),
        // A stat has no device number: this is as sure as it can be.
        Some(there) if same(there, stat) => {
            session.complain(format_args!("{} and {} are the same file", shown(from), shown(to)));
            return Ok(Step::Failed);
        }
        Some(there) if Kind::of(there) == Kind::Directory => {
            session.complain(format_args!("{}: Is a directory", shown(to)));
            return Ok(Step::Failed);
        }
        _ => {}
    }
    let copied = copy(args, session, from, to, stat, there).await;
    // What went wrong at the target, or at its temporary name, is told of the target.
    let at_target = copied.as_ref().err().and_then(FileError::of).is_some_and(|e| e.path != from);
    told(session, if at_target { to } else { from }, copied)
}

fn same(one: &Stat, other: &Stat) -> bool {
    let facts = |stat: &Stat| (stat.inode, stat.size, stat.mtime, stat.ctime, stat.links);
    one.inode != 0 && facts(one) == facts(other)
}

async fn copy(
    args: &Cp,
    session: &Session,
    from: &str,
    to: &str,
    stat: &Stat,
    there: Option<Stat>,
) -> io::Result<()> {
    let files = &session.files;
    let source = files.open(from).await?;
    // What is there keeps mode and owner, and what is no plain file is written into as it is.
    let mode = mode_bits(there.as_ref().map_or(stat.mode, |there| there.mode)) & 0o777;
    let plain = match &there {
        Some(_) => Kind::of(&files.lstat(to).await?) == Kind::File,
        None => true,
    };
    if !plain {
        let overwrite = OpenOptions::new().write(true).truncate(true);
        let mut target = files.open_with(to, &overwrite).await?;
        fill(&source, &target, stat.size).await?;
        target.close().await?;
        // Its mode is its own, as that of a plain file in the way is.
        return if args.preserve { keep(args, session, to, stat).await } else { Ok(()) };
    }
    let beside = join(parent(to), &super::temporary(base(to)));
    let written = async {
        let new = OpenOptions::new().write(true).create_new(true).mode(mode | 0o200);
        let mut target = files.open_with(&*beside, &new).await?;
        fill(&source, &target, stat.size).await?;
        let ours = match &there {
            Some(_) if !args.preserve => Some(target.stat().await?),
            _ => None,
        };
        target.close().await?;
        if let (Some(there), Some(ours)) = (&there, ours) {
            keep_owner(session, &beside, there, &ours).await?;
        }
        if args.preserve {
            keep(args, session, &beside, stat).await?;
        } else if there.is_some() || mode | 0o200 != mode {
            files.chmod(&*beside, mode).await?;
        }
        Ok(())
    };
    match written.await {
        Ok(()) => over(session, &beside, to).await,
        Err(error) => {
            let _ = files.remove(&*beside).await;
            Err(error)
        }
    }
}

/// Gives a finished file its name, or takes it away.
async fn over(session: &Session, beside: &str, to: &str) -> io::Result<()> {
    let renamed = session.files.rename(beside, to).await;
    if renamed.is_err() {
        let _ = session.files.remove(beside).await;
    }
    renamed
}

/// Copies the bytes, many pieces at once.
async fn fill(source: &File, target: &File, size: i64) -> io::Result<()> {
    let piece = |offset: u64| async move {
        let data = source.read_at(offset, PIECE).await?;
        let length = data.len();
        target.write_at(offset, data).await?;
        Ok::<_, io::Error>((offset, length))
    };
    let mut copied = pipeline(pieces(size), piece);
    let mut behind = 0;
    loop {
        let (offset, length) = match copied.next().await {
            Some(copied) => copied?,
            None => piece(behind).await?,
        };
        if length < PIECE {
            return Ok(());
        }
        behind = offset + PIECE as u64;
    }
}

/// Gives a new file the owner of the one that it is to replace, where the agent may.
async fn keep_owner(session: &Session, path: &str, there: &Stat, ours: &Stat) -> io::Result<()> {
    if (there.uid, there.gid) == (ours.uid, ours.gid) {
        return Ok(());
    }
    match session.files.chown(path, Some(there.uid), Some(there.gid)).await {
        Err(error) if matches!(errno(&error), 1 | 22) => Ok(()),
        result => result,
    }
}

/// Gives a copy what is to be kept of the original.
async fn keep(args: &Cp, session: &Session, path: &str, stat: &Stat) -> io::Result<()> {
    let (files, mut mode) = (&session.files, mode_bits(stat.mode));
    if !args.preserve {
        return files.chmod(path, mode & 0o777).await;
    }
    // As cp does it: who may not give files away keeps them, without their set-id bits.
    if let Err(error) = files.chown(path, Some(stat.uid), Some(stat.gid)).await {
        if !matches!(errno(&error), 1 | 22) {
            return Err(error);
        }
        mode &= !0o6_000;
    }
    files.chmod(path, mode).await?;
    files.chtimes(path, stat.atime, stat.mtime).await
}
