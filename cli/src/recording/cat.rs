//! `trunkline recording cat`.

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use trunkline_core::agentproto::{Direction, FrameType, Placed, RecordType, RecordedFrame};

use super::{Operand, written};
use crate::report::{Failure, Outcome};

/// Write the bytes of a command's stream, exactly as they were sent or received.
#[derive(Debug, clap::Args)]
pub(crate) struct Cat {
    #[command(flatten)]
    operand: Operand,
    /// The stream: stdin, stdout, stderr, or the number of an extra descriptor.
    #[arg(long, value_name = "STREAM", value_parser = stream)]
    stream: u32,
    /// Of an extra descriptor, what the command was sent instead of what it wrote.
    #[arg(long)]
    sent: bool,
    /// The number of the command, counted from 0 [default: the only one].
    #[arg(long, value_name = "SEQ")]
    command: Option<u32>,
}

fn stream(text: &str) -> Result<u32, String> {
    match text {
        "stdin" => Ok(0),
        "stdout" => Ok(1),
        "stderr" => Ok(2),
        number => number
            .parse()
            .map_err(|_| "expected stdin, stdout, stderr or the number of a stream".to_string()),
    }
}

pub(super) fn run(args: &Cat) -> Outcome {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut only = args.command;
    let mut begun = false;
    for placed in args.operand.open()? {
        let placed = match placed {
            Ok(placed) => placed,
            Err(error) => {
                // What is whole is given, whatever comes after it.
                let failure = args.operand.failure(&error);
                return out.flush().map_or_else(written, |()| Err(failure));
            }
        };
        let Some(seq) = seq(&placed) else { continue };
        if seq != *only.get_or_insert(seq) {
            if args.command.is_none() {
                let failure = several(&args.operand);
                return out.flush().map_or_else(written, |()| Err(failure));
            }
            continue;
        }
        begun = true;
        let Some(frame) = placed.record.frame.filter(|frame| args.wants(frame)) else { continue };
        for piece in frame.frame.data.pieces() {
            if let Err(error) = out.write_all(piece) {
                return written(error);
            }
        }
    }
    if let Err(error) = out.flush() {
        return written(error);
    }
    match (begun, args.command) {
        (false, Some(seq)) => {
            Err(Failure::input(format!("{} has no command {seq}", args.operand.name())))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn several(operand: &Operand) -> Failure {
    Failure::input(format!(
        "{} holds several commands: choose one with --command (recording show lists them)",
        operand.name()
    ))
}

/// The command that a record belongs to.
fn seq(placed: &Placed) -> Option<u32> {
    let record = &placed.record;
    match record.kind {
        RecordType::COMMAND_START => record.command_start.as_ref().map(|start| start.seq),
        RecordType::FRAME => record.frame.as_ref().map(|frame| frame.seq),
        _ => None,
    }
}

impl Cat {
    fn wants(&self, frame: &RecordedFrame) -> bool {
        let sent = self.stream == 0 || self.sent && self.stream > 2;
        let direction = if sent { Direction::SENT } else { Direction::RECEIVED };
        frame.direction == direction
            && frame.frame.kind == FrameType::DATA
            && frame.frame.stream == self.stream
    }
}
