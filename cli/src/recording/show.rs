//! `trunkline recording show`.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use serde_json::json;
use trunkline_core::agentproto::Placed;
use trunkline_drive::ReadError;

use super::lines::Lines;
use super::{Operand, written};
use crate::report::Outcome;

/// List the records of a recording, one a line.
///
/// Time in seconds since the recording began, number of the command, direction (-> was sent to the
/// agent, <- came from it), type and a summary, in which long texts are cut.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    operand: Operand,
    /// One JSON object a record, whole, with its offset and length in bytes; at the end one more
    /// that says where and how the recording ends.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Show) -> Outcome {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut lines = Lines::default();
    let mut records = args.operand.open()?;
    let mut end = json!({"end": "clean"});
    let mut failure = None;
    for record in records.by_ref() {
        let shown = match record {
            Ok(placed) if args.json => writeln!(out, "{}", to_json(&placed)),
            Ok(placed) => writeln!(out, "{}", lines.line(&placed.record)),
            Err(error) => {
                if let ReadError::Damage(damage) = &error {
                    end = json!({"end": "damage", "error": damage.to_string()});
                } else {
                    end = json!({"end": "unread", "error": error.to_string()});
                }
                failure = Some(args.operand.failure(&error));
                Ok(())
            }
        };
        if let Err(error) = shown {
            return written(error);
        }
    }
    end["offset"] = records.position().into();
    let last = if args.json { writeln!(out, "{end}") } else { Ok(()) };
    if let Err(error) = last.and_then(|()| out.flush()) {
        return written(error);
    }
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn to_json(placed: &Placed) -> serde_json::Value {
    json!({"offset": placed.offset, "length": placed.length, "record": placed.record})
}
