//! Whether a recording is whole and in order: `docs/protocols/agentproto.md` section 12.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use super::frame::FrameType;
use super::record::{Direction, Record, RecordType};

/// What is wrong with a recording; nothing of it keeps anybody from reading on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The first record is no header.
    NoHeader,
    /// A header that is not the first record.
    LateHeader,
    /// A record of a type that nobody knows.
    UnknownType(RecordType),
    /// A record whose body, and no other, is not that of its type.
    Body(RecordType),
    /// A command begins under another number than the next.
    Number {
        /// The number that was to come.
        expected: u32,
        /// The number that came.
        found: u32,
    },
    /// A frame, or the end, of a command that did not begin.
    NotBegun {
        /// The command's number.
        seq: u32,
    },
    /// A frame, or another end, of a command that has ended.
    AlreadyEnded {
        /// The command's number.
        seq: u32,
    },
    /// A frame that was neither sent nor received.
    Direction(Direction),
    /// A second Exit of one command.
    SecondExit {
        /// The command's number.
        seq: u32,
    },
    /// A command ended with another code than its Exit, or than -1 when there was none.
    ExitCode {
        /// The command's number.
        seq: u32,
        /// The code of its Exit.
        exit: Option<i64>,
        /// The code that was recorded.
        recorded: i64,
    },
    /// A record behind the footer.
    BehindFooter,
    /// The footer counts another number of commands.
    Count {
        /// How many began.
        begun: u32,
        /// How many it says.
        recorded: u32,
    },
    /// The recording ends before this command has.
    NotEnded {
        /// The command's number.
        seq: u32,
    },
    /// The recording ends without a footer: whoever wrote it did not close it.
    NoFooter,
}

impl Finding {
    /// A short name of the rule.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoHeader => "no header",
            Self::LateHeader => "late header",
            Self::UnknownType(_) => "unknown type",
            Self::Body(_) => "body",
            Self::Number { .. } => "number",
            Self::NotBegun { .. } => "not begun",
            Self::AlreadyEnded { .. } => "already ended",
            Self::Direction(_) => "direction",
            Self::SecondExit { .. } => "second exit",
            Self::ExitCode { .. } => "exit code",
            Self::BehindFooter => "behind footer",
            Self::Count { .. } => "count",
            Self::NotEnded { .. } => "not ended",
            Self::NoFooter => "no footer",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => write!(f, "the recording does not begin with a header"),
            Self::LateHeader => write!(f, "a header that is not the first record"),
            Self::UnknownType(kind) => write!(f, "a record of the unknown type {}", kind.0),
            Self::Body(kind) => {
                write!(f, "a record of type {} without its body, or with another", kind.0)
            }
            Self::Number { expected, found } => {
                write!(f, "command {found} begins where command {expected} was to come")
            }
            Self::NotBegun { seq } => write!(f, "command {seq} did not begin"),
            Self::AlreadyEnded { seq } => write!(f, "command {seq} has ended already"),
            Self::Direction(direction) => {
                write!(f, "a frame of the unknown direction {}", direction.0)
            }
            Self::SecondExit { seq } => write!(f, "a second exit of command {seq}"),
            Self::ExitCode { seq, exit: Some(exit), recorded } => {
                write!(f, "command {seq} ended with {recorded}, but its exit says {exit}")
            }
            Self::ExitCode { seq, exit: None, recorded } => {
                write!(f, "command {seq} ended with {recorded}, but no exit came")
            }
            Self::BehindFooter => write!(f, "a record behind the footer"),
            Self::Count { begun, recorded } => {
                write!(f, "the footer counts {recorded} commands, but {begun} began")
            }
            Self::NotEnded { seq } => write!(f, "the recording ends before command {seq} has"),
            Self::NoFooter => write!(f, "the recording has no footer: it was not closed"),
        }
    }
}

/// Looks at the records of a recording, one after the other.
///
/// Memory grows with the number of commands that run at once, not with the recording.
#[derive(Debug, Default)]
pub struct Verifier {
    begun: u32,
    any: bool,
    footer: bool,
    /// What runs, with the code of its Exit once that has come.
    running: BTreeMap<u32, Option<i64>>,
}

impl Verifier {
    /// Looks at the next record.
    pub fn record(&mut self, record: &Record) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.footer {
            findings.push(Finding::BehindFooter);
        }
        let first = !core::mem::replace(&mut self.any, true);
        if first && record.kind != RecordType::HEADER {
            findings.push(Finding::NoHeader);
        }
        if !(RecordType::HEADER.0..=RecordType::FOOTER.0).contains(&record.kind.0) {
            findings.push(Finding::UnknownType(record.kind));
            return findings;
        }
        if !has_its_body(record) {
            findings.push(Finding::Body(record.kind));
        }
        if record.kind == RecordType::HEADER && !first {
            findings.push(Finding::LateHeader);
        }
        self.command(record, &mut findings);
        findings
    }

    fn command(&mut self, record: &Record, findings: &mut Vec<Finding>) {
        match record.kind {
            RecordType::COMMAND_START => {
                let Some(start) = &record.command_start else { return };
                if start.seq != self.begun {
                    findings.push(Finding::Number { expected: self.begun, found: start.seq });
                }
                // From here on it is the number that counts.
                self.begun = start.seq.wrapping_add(1).max(self.begun);
                self.running.insert(start.seq, None);
            }
            RecordType::FRAME => {
                let Some(body) = &record.frame else { return };
                if !matches!(body.direction, Direction::SENT | Direction::RECEIVED) {
                    findings.push(Finding::Direction(body.direction));
                }
                let exit =
                    body.frame.kind == FrameType::EXIT && body.direction == Direction::RECEIVED;
                let Some(exited) = self.running(body.seq, findings) else { return };
                if exit && exited.replace(body.frame.code).is_some() {
                    findings.push(Finding::SecondExit { seq: body.seq });
                }
            }
            RecordType::COMMAND_END => {
                let Some(end) = &record.command_end else { return };
                let Some(exit) = self.running(end.seq, findings).copied() else { return };
                self.running.remove(&end.seq);
                if exit.unwrap_or(-1) != end.exit_code {
                    let (seq, recorded) = (end.seq, end.exit_code);
                    findings.push(Finding::ExitCode { seq, exit, recorded });
                }
            }
            RecordType::FOOTER => {
                let Some(footer) = &record.footer else { return };
                self.footer = true;
                if footer.command_count != self.begun {
                    let (begun, recorded) = (self.begun, footer.command_count);
                    findings.push(Finding::Count { begun, recorded });
                }
            }
            _ => {}
        }
    }

    fn running(&mut self, seq: u32, findings: &mut Vec<Finding>) -> Option<&mut Option<i64>> {
        let running = self.running.get_mut(&seq);
        if running.is_none() {
            let ended = seq < self.begun;
            findings.push(match ended {
                true => Finding::AlreadyEnded { seq },
                false => Finding::NotBegun { seq },
            });
        }
        running
    }

    /// The recording has ended, in order or not.
    pub fn finish(&mut self) -> Vec<Finding> {
        let missing = [(!self.any, Finding::NoHeader), (!self.footer, Finding::NoFooter)];
        let running = core::mem::take(&mut self.running);
        running
            .into_keys()
            .map(|seq| Finding::NotEnded { seq })
            .chain(missing.into_iter().filter_map(|(is, finding)| is.then_some(finding)))
            .collect()
    }
}

fn has_its_body(record: &Record) -> bool {
    let bodies = [
        record.header.is_some(),
        record.command_start.is_some(),
        record.frame.is_some(),
        record.command_end.is_some(),
        record.footer.is_some(),
    ];
    (1..).zip(bodies).all(|(kind, is)| is == (kind == record.kind.0))
}
