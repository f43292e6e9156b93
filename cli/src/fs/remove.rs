//! `trunkline fs rm`.

use trunkline_core::agentproto::Stat;

use super::facts::Kind;
use super::paths::{join, trimmed};
use super::session::{errno, shown};
use super::work::{Step, work};
use super::{Session, Stop};

/// Remove files.
///
/// Links are removed, never followed. "/", "." and ".." are refused.
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Directories too, with all that is in them.
    #[arg(short, long, visible_short_alias = 'R')]
    recursive: bool,
    /// Do not complain of files that are not there.
    #[arg(short, long)]
    force: bool,
    /// Empty directories too.
    #[arg(short, long)]
    dir: bool,
    /// The files.
    #[arg(required_unless_present = "force", value_name = "FILE", value_parser = super::path())]
    files: Vec<String>,
}

enum Job {
    /// What the user named.
    Operand(String),
    /// A directory and all that is in it.
    Tree(String),
    /// Anything else, or a directory that was emptied.
    One(String),
}

pub(crate) async fn run(args: Rm, session: &Session) -> Result<(), Stop> {
    let jobs: Vec<_> = args.files.iter().cloned().map(Job::Operand).collect();
    let args = &args;
    let lists = |job: &Job| matches!(job, Job::Tree(_));
    work(jobs, lists, |job, clean| step(args, session, job, clean)).await
}

async fn step(args: &Rm, session: &Session, job: Job, clean: bool) -> Result<Step<Job>, Stop> {
    match job {
        Job::Operand(path) => operand(args, session, path).await,
        Job::Tree(path) => match session.files.list_dir(&*path).await {
            Ok(entries) => {
                let child = |entry: Stat| {
                    let path = join(&path, &entry.name);
                    if Kind::of(&entry) == Kind::Directory {
                        Job::Tree(path)
                    } else {
                        Job::One(path)
                    }
                };
                let children = entries.into_iter().map(child).collect();
                Ok(Step::Into(children, Some(Job::One(path))))
            }
            Err(error) => failed(args, session, &path, &error),
        },
        // What is left in it was told.
        Job::One(_) if !clean => Ok(Step::Failed),
        Job::One(path) => match session.files.remove(&*path).await {
            Ok(()) => Ok(Step::Done),
            Err(error) => failed(args, session, &path, &error),
        },
    }
}

async fn operand(args: &Rm, session: &Session, path: String) -> Result<Step<Job>, Stop> {
    let bare = trimmed(&path);
    if matches!(bare.rsplit('/').next(), Some("." | "..")) || bare == "/" {
        session
            .complain(format_args!("{}: refused, it is not to be removed like this", shown(&path)));
        return Ok(Step::Failed);
    }
    // Behind a slash a link would be followed.
    let stat = match session.files.lstat(bare).await {
        Ok(stat) => stat,
        Err(error) => return failed(args, session, &path, &error),
    };
    let is_dir = Kind::of(&stat) == Kind::Directory;
    if !is_dir && bare != path {
        session.complain(format_args!("{}: Not a directory", shown(&path)));
        return Ok(Step::Failed);
    }
    if is_dir && !args.recursive && !args.dir {
        session.complain(format_args!("{}: Is a directory", shown(&path)));
        return Ok(Step::Failed);
    }
    let job = if is_dir && args.recursive { Job::Tree } else { Job::One };
    Ok(Step::Into(vec![job(bare.to_string())], None))
}

fn failed(
    args: &Rm,
    session: &Session,
    path: &str,
    error: &std::io::Error,
) -> Result<Step<Job>, Stop> {
    // Somebody else may have been faster.
    if args.force && errno(error) == 2 {
        return Ok(Step::Done);
    }
    session.failed(path, error).map(|()| Step::Failed)
}
