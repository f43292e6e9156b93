//! `trunkline fs ls`.

use std::cmp::{Ordering, Reverse};
use std::io;

use trunkline_core::agentproto::{Stat, escape};

use super::facts::{Kind, json};
use super::listing::Listing;
use super::paths::{join, trimmed};
use super::pipeline::pipeline;
use super::session::errno;
use super::times::{Clock, TimeStyle};
use super::{Out, Session, Stop};

/// List directories.
///
/// One name a line, by the bytes of the names. Users and groups are numbers. Control characters of
/// names are shown as escapes; --json has every name as it is.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Ls {
    /// Mode, links, user, group, size and time too, and the targets of links.
    #[arg(short, long = "long", visible_short_alias = 'n')]
    long: bool,
    /// Names that begin with a dot too, with "." and "..".
    #[arg(short, long)]
    all: bool,
    /// Names that begin with a dot too, without "." and "..".
    #[arg(short = 'A', long)]
    almost_all: bool,
    /// The directory itself, not what is in it.
    #[arg(short, long)]
    directory: bool,
    /// One name a line; that is always so.
    #[arg(short = '1')]
    one: bool,
    /// What is below too.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Newest first.
    #[arg(short = 't', overrides_with = "by_size")]
    by_time: bool,
    /// Largest first.
    #[arg(short = 'S', overrides_with = "by_time")]
    by_size: bool,
    /// The other way round.
    #[arg(short, long)]
    reverse: bool,
    /// Sizes such as 1.2K and 34M.
    #[arg(short, long)]
    human_readable: bool,
    /// How -l shows times, which are in this side's time zone.
    #[arg(long, value_enum, value_name = "STYLE", default_value_t = TimeStyle::Locale)]
    time_style: TimeStyle,
    /// One JSON object a line, with the keys of 'fs stat --json'.
    #[arg(long)]
    json: bool,
    /// Print help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// The directories and files [default: the agent's working directory].
    #[arg(value_name = "PATH", value_parser = super::path())]
    paths: Vec<String>,
}

/// One line of a listing.
pub(crate) struct Entry {
    /// What is shown.
    pub(crate) name: String,
    /// How it is reached.
    pub(crate) path: String,
    pub(crate) stat: Stat,
    pub(crate) target: Option<String>,
}

pub(crate) async fn run(mut args: Ls, session: &Session) -> Result<(), Stop> {
    if args.paths.is_empty() {
        args.paths.push(".".to_string());
    }
    let paths = std::mem::take(&mut args.paths);
    let mut ls = Lister {
        headers: paths.len() > 1 || args.recursive,
        args,
        session,
        out: Out::new()?,
        begun: false,
        clock: Clock::new(),
    };
    ls.operands(paths).await?;
    ls.out.finish().await
}

struct Lister<'a> {
    args: Ls,
    session: &'a Session,
    out: Out,
    clock: Clock,
    /// Whether each directory is named above what is in it.
    headers: bool,
    /// Whether something stands above already.
    begun: bool,
}

impl Lister<'_> {
    /// Files first, then directories.
    async fn operands(&mut self, paths: Vec<String>) -> Result<(), Stop> {
        let (mut files, mut dirs) = (Vec::new(), Vec::new());
        let (session, follow) = (self.session, !self.args.long && !self.args.directory);
        let mut stats = pipeline(paths, |path| async move {
            let stat = look(session, &path, follow).await;
            (path, stat)
        });
        while let Some((path, result)) = stats.next().await {
            let Some(stat) = session.check(&path, result)? else { continue };
            let entry = Entry { name: path.clone(), path, stat, target: None };
            let list = Kind::of(&entry.stat) == Kind::Directory && !self.args.directory;
            (if list { &mut dirs } else { &mut files }).push(entry);
        }
        self.sort(&mut files);
        if !files.is_empty() {
            self.show(files, None, &dirs).await?;
        }
        self.sort(&mut dirs);
        // What is below comes before what is beside.
        let mut open: Vec<String> = dirs.into_iter().rev().map(|entry| entry.path).collect();
        while let Some(dir) = open.pop() {
            let below = self.directory(dir).await?;
            open.extend(below.into_iter().rev());
        }
        Ok(())
    }

    /// Lists a directory, and gives the directories in it if they are wanted.
    async fn directory(&mut self, dir: String) -> Result<Vec<String>, Stop> {
        let listed = self.session.files.list_dir(&*dir).await;
        let Some(stats) = self.session.check(&dir, listed)? else { return Ok(Vec::new()) };
        let hidden = self.args.all || self.args.almost_all;
        let mut entries = if self.args.all { self.dots(&dir).await? } else { Vec::new() };
        let shown = stats.into_iter().filter(|stat| hidden || !stat.name.starts_with('.'));
        entries.extend(shown.map(|stat| Entry {
            name: stat.name.clone(),
            path: join(&dir, &stat.name),
            stat,
            target: None,
        }));
        self.sort(&mut entries);
        let below = |entry: &&Entry| {
            Kind::of(&entry.stat) == Kind::Directory && !matches!(&*entry.name, "." | "..")
        };
        let below = if self.args.recursive {
            entries.iter().filter(below).map(|entry| entry.path.clone()).collect()
        } else {
            Vec::new()
        };
        self.show(entries, Some(dir), &[]).await?;
        Ok(below)
    }

    /// The directory itself and the one above, which no agent lists.
    async fn dots(&self, dir: &str) -> Result<Vec<Entry>, Stop> {
        let mut dots: Vec<Entry> = Vec::new();
        let session = self.session;
        let mut stats = pipeline([".", ".."], |name| {
            let path = join(dir, name);
            async move {
                let stat = session.files.lstat(&*path).await;
                (name, path, stat)
            }
        });
        while let Some((name, path, result)) = stats.next().await {
            let result = match (result, dots.first()) {
                // Nothing is above the root of an agent: there it is the root itself, as in a chroot.
                (Err(error), Some(here)) if name == ".." && errno(&error) == 13 => {
                    Ok(here.stat.clone())
                }
                (result, _) => result,
            };
            if let Some(mut stat) = session.check(&path, result)? {
                stat.name = name.to_string();
                dots.push(Entry { name: name.to_string(), path, stat, target: None });
            }
        }
        Ok(dots)
    }

    fn sort(&self, entries: &mut [Entry]) {
        let first = |entry: &Entry| match () {
            () if self.args.by_time => Reverse(entry.stat.mtime),
            () if self.args.by_size => Reverse(entry.stat.size),
            () => Reverse(0),
        };
        let order = |one: &Entry, other: &Entry| {
            first(one).cmp(&first(other)).then_with(|| one.name.cmp(&other.name))
        };
        entries.sort_by(|one, other| {
            let order = order(one, other);
            if self.args.reverse { Ordering::reverse(order) } else { order }
        });
    }

    /// Prints entries: those of a directory, or the operands that are none, in columns wide enough
    /// for those `beside` them too.
    async fn show(
        &mut self,
        mut entries: Vec<Entry>,
        dir: Option<String>,
        beside: &[Entry],
    ) -> Result<(), Stop> {
        if self.args.long || self.args.json {
            self.find_targets(&mut entries).await?;
        }
        if self.args.json {
            for entry in &entries {
                self.out.json(&json(&entry.path, &entry.stat, entry.target.as_deref())).await?;
            }
            return Ok(());
        }
        if std::mem::replace(&mut self.begun, true) && dir.is_some() {
            self.out.line("").await?;
        }
        if let Some(dir) = dir.as_ref().filter(|_| self.headers) {
            self.out.line(format_args!("{}:", escape(dir))).await?;
        }
        if !self.args.long {
            for entry in &entries {
                self.out.line(escape(&entry.name)).await?;
            }
            return Ok(());
        }
        let (human, style) = (self.args.human_readable, self.args.time_style);
        let listing = Listing::new(entries.iter().chain(beside), human, style, &self.clock);
        if dir.is_some() {
            self.out.line(listing.total(&entries)).await?;
        }
        for entry in &entries {
            self.out.line(listing.line(entry)).await?;
        }
        Ok(())
    }

    /// Asks for the targets of all links at once.
    async fn find_targets(&self, entries: &mut [Entry]) -> Result<(), Stop> {
        let session = self.session;
        let links = entries.iter_mut().filter(|entry| Kind::of(&entry.stat) == Kind::Link);
        let mut targets = pipeline(links, |entry| async move {
            let target = session.files.readlink(&*entry.path).await;
            (entry, target)
        });
        while let Some((entry, target)) = targets.next().await {
            entry.target = session.check(&entry.path, target)?;
        }
        Ok(())
    }
}

/// The attributes of an operand. A link to a directory is that directory if it is to be followed; a
/// link to anything else is a link.
async fn look(session: &Session, path: &str, follow: bool) -> io::Result<Stat> {
    let stat = session.files.lstat(path).await?;
    if follow && Kind::of(&stat) == Kind::Link && trimmed(path) == path {
        return match session.files.stat(path).await {
            Ok(to) if Kind::of(&to) == Kind::Directory => Ok(to),
            _ => Ok(stat),
        };
    }
    Ok(stat)
}
