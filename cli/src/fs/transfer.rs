//! `trunkline fs get` and `trunkline fs put`.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use trunkline_tokio::{TransferError, TransferOptions, TransferSummary};

use super::progress::Progress;
use super::session::shown;
use super::{Out, Session, Stop};

/// How files are transferred.
#[derive(Debug, clap::Args)]
pub(crate) struct How {
    /// Transfer directories with everything below them.
    #[arg(short, long)]
    recursive: bool,
    /// Give copies the permission bits and the times of their sources.
    #[arg(short, long)]
    preserve: bool,
    /// Below a directory, transfer what symbolic links lead to, instead of the links.
    #[arg(short = 'L', long = "dereference")]
    follow: bool,
    /// Read both sides again in the end and compare them byte for byte.
    #[arg(long)]
    verify: bool,
    /// Go on where a broken transfer stopped, and leave files alone that have the size and the time
    /// of their source already (as -p makes them have).
    #[arg(long)]
    resume: bool,
    /// Show no progress.
    #[arg(short, long)]
    quiet: bool,
    /// Show progress also where stderr is no terminal.
    #[arg(long, conflicts_with = "quiet")]
    progress: bool,
    /// Print one JSON object with what was done: files, directories, links, bytes, skipped,
    /// unchanged, failed.
    #[arg(long)]
    json: bool,
}

/// Get files from the agent.
///
/// A file appears under its name when it is whole; until then it is beside it, hidden, with .part at
/// the end of its name, and stays there when the link is lost or the agent stalls: --resume goes on
/// with it. What is neither a file nor a directory nor a link is left out, with a line.
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    #[command(flatten)]
    how: How,
    /// Turn blocks of zeros into holes.
    #[arg(long)]
    sparse: bool,
    /// Files and directories of the agent, and where they go: a directory that is there, or, for one
    /// source, another name.
    #[arg(required = true, num_args = 2.., value_names = ["REMOTE", "LOCAL"])]
    paths: Vec<OsString>,
}

/// Put files to the agent.
///
/// As get, the other way. Holes in files are not transferred, and are holes again.
#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    #[command(flatten)]
    how: How,
    /// Files and directories, and where they go: a directory of the agent that is there, or, for one
    /// source, another name.
    #[arg(required = true, num_args = 2.., value_names = ["LOCAL", "REMOTE"])]
    paths: Vec<OsString>,
}

impl How {
    fn options(&self) -> TransferOptions {
        let mut options = TransferOptions::default();
        options.recursive = self.recursive;
        options.into_dir = true;
        options.preserve = self.preserve;
        options.follow = self.follow;
        options.verify = self.verify;
        options.resume = self.resume;
        options
    }
}

pub(crate) async fn get(args: Get, session: &Session) -> Result<(), Stop> {
    let Get { how, sparse, mut paths } = args;
    let mut options = how.options();
    options.sparse = sparse;
    let target = PathBuf::from(paths.pop().unwrap_or_default());
    if paths.len() > 1 && !target.is_dir() {
        let target = shown(&target.to_string_lossy());
        let line = format!("{target}: not a directory, and there are several sources");
        return Err(session.usage(line).into());
    }
    let sources =
        paths.into_iter().map(|path| remote(path, session)).collect::<Result<Vec<_>, _>>()?;
    let mut run = Run::new("get", &how, session);
    for source in sources {
        if run.is_taken(&source) {
            continue;
        }
        run.begin();
        let progress = &mut run.progress;
        let done =
            session.files.get(&*source, &target, options.clone(), |event| progress.take(&event));
        let done = done.await;
        run.done(&source, done)?;
    }
    run.end().await
}

pub(crate) async fn put(args: Put, session: &Session) -> Result<(), Stop> {
    let Put { how, mut paths } = args;
    let mut target = remote(paths.pop().unwrap_or_default(), session)?;
    if paths.len() > 1 && !target.ends_with('/') {
        // It can only be a directory, and need not be asked for.
        target.push('/');
    }
    let mut run = Run::new("put", &how, session);
    for source in paths {
        let named = source.to_string_lossy().into_owned();
        if run.is_taken(&named) {
            continue;
        }
        run.begin();
        let progress = &mut run.progress;
        let (source, options) = (Path::new(&source), how.options());
        let done =
            session.files.put(source, &*target, options, |event| progress.take(&event)).await;
        run.done(&named, done)?;
    }
    run.end().await
}

/// A path of the agent.
fn remote(path: OsString, session: &Session) -> Result<String, Stop> {
    path.into_string().map_err(|path| {
        let path = shown(&path.to_string_lossy());
        let line = format!("{path}: paths on the wire are UTF-8 text");
        session.usage(line).into()
    })
}

/// The name that a source has in a directory; none for one that means what is in it.
fn own_name(path: &str) -> Option<&str> {
    let name = path.trim_end_matches('/').rsplit('/').next();
    name.filter(|name| !matches!(*name, "" | "." | ".."))
}

/// Takes all the descriptors that may be had: every directory above where a transfer is takes some.
///
/// Whoever serves was started before, with what was allowed then.
fn raise_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Without it, only what is very deep fails, and says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// All the transfers of one command.
struct Run<'a> {
    session: &'a Session,
    progress: Progress,
    started: Instant,
    json: bool,
    total: TransferSummary,
    /// A source is on its way.
    busy: bool,
    /// The names of the sources that were transferred: of several, all go into one directory.
    taken: HashSet<String>,
}

impl<'a> Run<'a> {
    fn new(command: &'static str, how: &How, session: &'a Session) -> Self {
        raise_open_files();
        Self {
            session,
            progress: Progress::new(command, how.quiet, how.progress),
            started: Instant::now(),
            json: how.json,
            total: TransferSummary::default(),
            busy: false,
            taken: HashSet::new(),
        }
    }

    /// Whether a source would take the place of one before it; that is told.
    fn is_taken(&mut self, source: &str) -> bool {
        let taken = own_name(source).is_some_and(|name| self.taken.contains(name));
        if taken {
            self.total.failed += 1;
            self.session.fail();
            let source = shown(source);
            self.progress.say(format!("{source}: will not overwrite what was just transferred"));
        }
        taken
    }

    fn begin(&mut self) {
        self.busy = true;
        self.progress.next();
    }

    /// Takes in what became of one source. Only a lost session stops the others.
    fn done(&mut self, source: &str, done: io::Result<TransferSummary>) -> Result<(), Stop> {
        self.busy = false;
        if done.is_ok() {
            self.taken.extend(own_name(source).map(str::to_owned));
        }
        match done {
            Ok(summary) => {
                let total = &mut self.total;
                total.files += summary.files;
                total.directories += summary.directories;
                total.links += summary.links;
                total.bytes += summary.bytes;
                total.skipped += summary.skipped;
                total.unchanged += summary.unchanged;
                total.failed += summary.failed;
                if summary.failed > 0 {
                    self.session.fail();
                }
            }
            Err(error) if TransferError::of(&error).is_some_and(TransferError::is_lost) => {
                self.progress.finish();
                return Err(self.session.over(&error).into());
            }
            Err(error) => {
                self.total.failed += 1;
                self.session.fail();
                self.progress.say(error);
            }
        }
        Ok(())
    }

    async fn end(mut self) -> Result<(), Stop> {
        self.progress.finish();
        if !self.json {
            return Ok(());
        }
        let total = self.total;
        let mut out = Out::new()?;
        let summary = json!({
            "files": total.files,
            "directories": total.directories,
            "links": total.links,
            "bytes": total.bytes,
            "skipped": total.skipped,
            "unchanged": total.unchanged,
            "failed": total.failed,
            "seconds": self.started.elapsed().as_secs_f64(),
        });
        out.json(&summary).await?;
        out.finish().await
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if self.busy {
            self.progress
                .say("interrupted; with --resume the same command goes on where it stopped");
        }
    }
}
