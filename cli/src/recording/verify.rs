//! `trunkline recording verify`.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use serde_json::json;
use trunkline_core::agentproto::{Finding, Verifier};
use trunkline_drive::ReadError;

use super::{Operand, written};
use crate::report::{BAD_INPUT, Outcome};

/// Check that a recording is whole and in order.
///
/// Header and footer, numbers and order of the commands, their exit codes against what the agent
/// said, damage. Prints a line for each finding; the exit code is 1 when there is one, and 0 when
/// there is none.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    operand: Operand,
    /// One JSON object a finding: offset, kind and text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Verify) -> Outcome {
    let mut findings =
        Findings { out: BufWriter::new(io::stdout().lock()), json: args.json, any: false };
    let mut verifier = Verifier::default();
    let mut records = args.operand.open()?;
    let result = loop {
        let offset = records.position();
        let told = match records.next() {
            Some(Ok(placed)) => findings.tell_all(offset, verifier.record(&placed.record)),
            Some(Err(ReadError::Damage(damage))) => {
                let text = format_args!("the recording {damage}");
                let told = findings.tell(offset, "damage", text);
                break Ok(told.and_then(|()| findings.tell_all(offset, verifier.finish())));
            }
            Some(Err(error)) => break Err(args.operand.failure(&error)),
            None => break Ok(findings.tell_all(offset, verifier.finish())),
        };
        if let Err(error) = told {
            break Ok(Err(error));
        }
    };
    if let Err(error) = result?.and_then(|()| findings.out.flush()) {
        return written(error);
    }
    Ok(ExitCode::from(if findings.any { BAD_INPUT } else { 0 }))
}

/// Where findings are told.
struct Findings<W> {
    out: W,
    json: bool,
    any: bool,
}

impl<W: Write> Findings<W> {
    fn tell_all(&mut self, offset: u64, findings: Vec<Finding>) -> io::Result<()> {
        findings.iter().try_for_each(|finding| self.tell(offset, finding.kind(), finding))
    }

    fn tell(&mut self, offset: u64, kind: &str, text: impl Display) -> io::Result<()> {
        self.any = true;
        if self.json {
            let line = json!({"offset": offset, "kind": kind, "text": text.to_string()});
            writeln!(self.out, "{line}")
        } else {
            writeln!(self.out, "at {offset}: {text}")
        }
    }
}
