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
    match session.files.getwd().await {
        Ok(path) if args.json => out.json(&json!({ "path": path })).await?,
        Ok(path) => out.line(format_args!("{}", escape(&path))).await?,
        Err(error) => session.failed(".", &error)?,
    }
    out.finish().await
}
