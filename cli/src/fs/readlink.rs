//! `trunkline fs readlink`.

use serde_json::json;
use trunkline_core::agentproto::escape;

use super::pipeline::pipeline;
use super::{Out, Session, Stop};

/// Print the targets of symbolic links, as they are stored.
#[derive(Debug, clap::Args)]
pub(crate) struct Readlink {
    /// One JSON object a line, with path and target.
    #[arg(long)]
    json: bool,
    /// The links.
    #[arg(required = true, value_name = "LINK", value_parser = super::path())]
    links: Vec<String>,
}

pub(crate) async fn run(args: Readlink, session: &Session) -> Result<(), Stop> {
    let mut out = Out::new()?;
    let mut targets =
        pipeline(&args.links, async |link: &String| (link, session.files.readlink(&**link).await));
    while let Some((link, target)) = targets.next().await {
        let Some(target) = session.check(link, target)? else { continue };
        if args.json {
            out.json(&json!({ "path": link, "target": target })).await?;
        } else {
            out.line(escape(&target)).await?;
        }
    }
    out.finish().await
}
