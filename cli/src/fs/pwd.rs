//! `trunkline fs pwd`.

use serde_json::json;
use trunkline_core::agentproto::escape;

use super::{Out, Session, Stop};

/// Print the directory that relative paths begin in.
#[derive(Debug, clap::Args)]
pub(crate) struct Pwd {
    /// One JSON object, with path.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Pwd, session: &Session) -> Result<(), Stop> {
    let mut out = Out::new()?;
    // Until sessions of files are here.
    session.complain(format_args!("{:?} cannot be asked yet", session.agent));
    if args.json {
        out.json(&json!({ "path": null })).await?;
    } else {
        out.line(escape("")).await?;
    }
    out.finish().await
}
