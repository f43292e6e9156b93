//! `trunkline fs df`.

use serde_json::json;
use trunkline_core::agentproto::{Statfs, escape};

use super::pipeline::pipeline;
use super::sizes::human;
use super::{Out, Session, Stop};

/// Show how much room file systems have.
///
/// In KiB, or in files with -i. Available is what others than root may take.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Df {
    /// Sizes such as 1.2K and 34M.
    #[arg(short, long)]
    human_readable: bool,
    /// Files instead of bytes.
    #[arg(short, long)]
    inodes: bool,
    /// One JSON object a line: path, and in bytes size, used, free, available; files and files_free;
    /// block_size, fragment_size, name_length.
    #[arg(long)]
    json: bool,
    /// Print help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Files or directories on the file systems [default: the agent's working directory].
    #[arg(value_name = "PATH", value_parser = super::path())]
    paths: Vec<String>,
}

/// The columns, as wide as most numbers of KiB.
const WIDTHS: [usize; 3] = [12, 12, 12];

pub(crate) async fn run(mut args: Df, session: &Session) -> Result<(), Stop> {
    if args.paths.is_empty() {
        args.paths.push(".".to_string());
    }
    let mut out = Out::new()?;
    let mut head = !args.json;
    let mut found = pipeline(&args.paths, |path: &String| async move {
        (path, session.files.statfs(&**path).await)
    });
    while let Some((path, result)) = found.next().await {
        let Some(statfs) = session.check(path, result)? else { continue };
        if std::mem::take(&mut head) {
            let (size, free) = match (args.inodes, args.human_readable) {
                (true, _) => ("Inodes", "IFree"),
                (false, true) => ("Size", "Avail"),
                (false, false) => ("1K-blocks", "Available"),
            };
            let used = if args.inodes { "IUsed" } else { "Used" };
            let percent = if args.inodes { "IUse%" } else { "Use%" };
            out.line(row([size, used, free], percent, "Path")).await?;
        }
        if args.json {
            out.json(&facts(path, &statfs)).await?;
        } else {
            out.line(line(&args, path, &statfs)).await?;
        }
    }
    out.finish().await
}

fn row(columns: [&str; 3], percent: &str, path: &str) -> String {
    let [a, b, c] = WIDTHS;
    let [size, used, free] = columns;
    format!("{size:>a$} {used:>b$} {free:>c$} {percent:>5} {path}")
}

fn line(args: &Df, path: &str, statfs: &Statfs) -> String {
    let room = Room::of(statfs);
    let columns = if args.inodes {
        let used = statfs.files.saturating_sub(statfs.files_free);
        let show = |count: u64| if args.human_readable { human(count) } else { count.to_string() };
        return row_of(
            [show(statfs.files), show(used), show(statfs.files_free)],
            percent(used, statfs.files_free),
            path,
        );
    } else {
        [room.size, room.used, room.available]
    };
    let show = |bytes: u64| match args.human_readable {
        true => human(bytes),
        false => bytes.div_ceil(1024).to_string(),
    };
    row_of(columns.map(show), percent(room.used, room.available), path)
}

fn row_of(columns: [String; 3], percent: String, path: &str) -> String {
    row(columns.each_ref().map(String::as_str), &percent, &escape(path).to_string())
}

/// Room in bytes.
struct Room {
    size: u64,
    used: u64,
    free: u64,
    available: u64,
}

impl Room {
    fn of(statfs: &Statfs) -> Self {
        // Blocks are counted in fragments; a system that has none sends 0.
        let unit = if statfs.fragment_size == 0 { statfs.block_size } else { statfs.fragment_size };
        let bytes = |blocks: u64| blocks.saturating_mul(u64::from(unit));
        Self {
            size: bytes(statfs.blocks),
            used: bytes(statfs.blocks.saturating_sub(statfs.blocks_free)),
            free: bytes(statfs.blocks_free),
            available: bytes(statfs.blocks_available),
        }
    }
}

/// How much of what one may have is used, rounded up.
fn percent(used: u64, available: u64) -> String {
    let (used, all) = (u128::from(used), u128::from(used) + u128::from(available));
    if all == 0 { "-".to_string() } else { format!("{}%", (used * 100).div_ceil(all)) }
}

fn facts(path: &str, statfs: &Statfs) -> serde_json::Value {
    let room = Room::of(statfs);
    json!({
        "path": path,
        "size": room.size,
        "used": room.used,
        "free": room.free,
        "available": room.available,
        "files": statfs.files,
        "files_free": statfs.files_free,
        "block_size": statfs.block_size,
        "fragment_size": statfs.fragment_size,
        "name_length": statfs.name_length,
    })
}
