//! `trunkline paths`.

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use trunkline_core::agentproto::escape;
use trunkline_tokio::{PathEntry, PathQuery, Recording};

use crate::args;
use crate::report::{Failure, Outcome};
use crate::signals::Signals;

/// Lists the programs of an agent.
pub(crate) async fn run(args: args::Paths) -> Outcome {
    args.record.around(&args.via, async |recording| run_recorded(&args, recording).await).await
}

async fn run_recorded(args: &args::Paths, recording: Option<Recording>) -> Outcome {
    let query = PathQuery { paths: args.dirs.clone() };
    let mut signals =
        Signals::new().map_err(|error| Failure::local(format!("cannot take signals: {error}")))?;
    let agent = crate::exec::recorded_agent(&args.via, recording)?;
    let entries = tokio::select! {
        entries = agent.paths(query) => entries,
        signal = signals.ending() => {
            // Dropping the query has ended what led to the agent.
            return Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(crate::report::LOST)));
        }
    };
    let entries = entries
        .map_err(|error| Failure::local(format!("cannot list the agent's programs: {error}")))?;
    match print(&entries, args.json) {
        // Whoever read the list has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => {
            printed.map_err(|error| Failure::local(format!("cannot write the list: {error}")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(entries: &[PathEntry], json: bool) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for entry in entries {
        if json {
            serde_json::to_writer(&mut out, entry)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", escape(&entry.path))?;
        }
    }
    out.flush()
}
