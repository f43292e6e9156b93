//! What the command says, and what it exits with.

use std::fmt::Display;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

/// The link or the agent was lost, or this side failed.
pub(crate) const LOST: u8 = 255;

/// Bad input, where it is not bad usage.
pub(crate) const BAD_INPUT: u8 = 1;

/// What a subcommand ends with.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// One clear line, and an exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    line: String,
    code: u8,
}

impl Failure {
    /// The link or the agent was lost, or this side failed: exit code 255.
    pub(crate) fn local(line: impl Into<String>) -> Self {
        Self { line: line.into(), code: LOST }
    }

    /// The input was bad: exit code 1.
    pub(crate) fn input(line: impl Into<String>) -> Self {
        Self { line: line.into(), code: BAD_INPUT }
    }

    /// The command line was bad: exit code 2.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self { line: line.into(), code: 2 }
    }

    /// Prints the line and gives the code.
    pub(crate) fn report(self) -> ExitCode {
        say(self.line);
        ExitCode::from(self.code)
    }
}

/// Prints one line for the user to stderr; that it cannot be printed is nobody's business.
pub(crate) fn say(line: impl Display) {
    use std::io::Write as _;
    // In one piece: others write there, too, and somebody reads.
    let _ = io::stderr().lock().write_all(format!("trunkline: {line}\n").as_bytes());
}

/// Sets logging up: warnings, more with each `-v`, or what `RUST_LOG` says.
pub(crate) fn init(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .without_time()
        .init();
}
