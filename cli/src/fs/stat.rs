//! `trunkline fs stat`.

use std::io;

use trunkline_core::agentproto::{Stat as Facts, escape, mode_bits};

use super::facts::{Kind, device, json, mode_letters};
use super::pipeline::pipeline;
use super::times::{Clock, TimeStyle};
use super::{Out, Session, Stop};

/// Show all that is known of files.
#[derive(Debug, clap::Args)]
pub(crate) struct Stat {
    /// Follow links.
    #[arg(short = 'L', long)]
    dereference: bool,
    /// One JSON object a line: path, name, type, mode, size, mtime, atime, ctime, uid, gid, links,
    /// inode, blocks (of 512 bytes), block_size, rdev, and target of a link. Times are nanoseconds
    /// since 1970; the mode has the permissions and special bits.
    #[arg(long)]
    json: bool,
    /// The files.
    #[arg(required = true, value_name = "FILE", value_parser = super::path())]
    files: Vec<String>,
}

pub(crate) async fn run(args: Stat, session: &Session) -> Result<(), Stop> {
    let mut out = Out::new()?;
    let clock = Clock::new();
    let follow = args.dereference;
    let mut stats =
        pipeline(&args.files, async |path: &String| (path, ask(session, path, follow).await));
    while let Some((path, result)) = stats.next().await {
        let Some((stat, target)) = session.check(path, result)? else { continue };
        if args.json {
            out.json(&json(path, &stat, target.as_deref())).await?;
        } else {
            out.line(text(path, &stat, target.as_deref(), &clock)).await?;
        }
    }
    out.finish().await
}

async fn ask(session: &Session, path: &str, follow: bool) -> io::Result<(Facts, Option<String>)> {
    let files = &session.files;
    let stat = if follow { files.stat(path).await? } else { files.lstat(path).await? };
    let target = match Kind::of(&stat) {
        Kind::Link => Some(files.readlink(path).await?),
        _ => None,
    };
    Ok((stat, target))
}

/// As GNU stat shows it, but for what the wire does not carry: the device, names of users and
/// groups, the time of birth.
fn text(path: &str, stat: &Facts, target: Option<&str>, clock: &Clock) -> String {
    let kind = Kind::of(stat);
    let name = match target {
        Some(target) => format!("{} -> {}", escape(path), escape(target)),
        None => escape(path).to_string(),
    };
    let rdev = if kind.is_device() {
        let (major, minor) = device(stat.rdev);
        format!("     Device type: {major},{minor}")
    } else {
        String::new()
    };
    let time = |time| clock.show(time, TimeStyle::FullIso);
    format!(
        "  File: {name}\n  Size: {:<10}\tBlocks: {:<10} IO Block: {:<6} {}\n Inode: {:<11} Links: \
         {}{rdev}\nAccess: ({:04o}/{})  Uid: {:5}   Gid: {:5}\nAccess: {}\nModify: {}\nChange: {}",
        stat.size,
        stat.blocks,
        stat.block_size,
        kind.description(stat.size),
        stat.inode,
        stat.links,
        mode_bits(stat.mode),
        mode_letters(stat),
        stat.uid,
        stat.gid,
        time(stat.atime),
        time(stat.mtime),
        time(stat.ctime),
    )
}
