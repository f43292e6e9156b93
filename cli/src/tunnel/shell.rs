//! `trunkline shell`: a terminal on an agent's machine.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use bytes::Bytes;
use tokio::signal::unix::{SignalKind, signal};
use trunkline_core::ExitStatus;
use trunkline_core::agentproto::escape;
use trunkline_drive::Io as _;
use trunkline_tokio::FdIo;
use trunkline_tokio::tunnel::{
    Dialect, OwnTerminal, TerminalEvent, TerminalReader, TerminalWriter,
};

use super::{reach, tty};
use crate::report::{Failure, LOST, Outcome, say};

/// Bytes of input read at once.
const ROOM: usize = 8 << 10;

/// Open a terminal on an agent's machine, through a relay.
///
/// Without a command it is a login shell. The exit code is the command's own, 128+n for signal n,
/// 127 when it could not be started, and 255 when the link was lost. On a line of its own, ~. hangs
/// up.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    relay: reach::Relay,
    /// The agent's name.
    name: String,
    /// A command and its arguments instead of the shell.
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs `trunkline shell`.
pub(crate) async fn run(args: ShellArgs) -> Outcome {
    let tunnel = args.relay.tunnel(&args.name).await?;
    if tunnel.dialect() == Dialect::Original && !args.command.is_empty() {
        return Err(Failure::usage("this agent opens shells only: it is not one of ours"));
    }
    let (cols, rows) = tty::size().unwrap_or((120, 40));
    let wanted = OwnTerminal {
        term: std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned()),
        cols,
        rows,
        command: (!args.command.is_empty()).then_some(args.command),
    };
    let lost = |error: io::Error| Failure::local(format!("the terminal was lost: {error}"));
    let terminal = tunnel.open_terminal(wanted).await.map_err(lost)?;
    let (mut reader, writer) = terminal.split();
    let raw = tty::Raw::new()
        .map_err(|error| Failure::local(format!("cannot set up this terminal: {error}")))?;
    let ended = talk(&mut reader, &writer, raw.is_some()).await;
    drop(raw);
    finish(ended.map_err(lost)?)
}

/// How it ended.
enum End {
    Status(ExitStatus),
    HungUp,
}

fn finish(end: End) -> Outcome {
    match end {
        End::HungUp => Err(Failure::local("hung up")),
        End::Status(ExitStatus::Exited { code, text, .. }) => {
            if !text.is_empty() {
                say(escape(&text));
            }
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(LOST)))
        }
        End::Status(ExitStatus::Signaled(signal)) => {
            Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(LOST)))
        }
        End::Status(ExitStatus::Ended) => {
            Err(Failure::local("the terminal is over; this agent does not tell the exit code"))
        }
        End::Status(status) => Err(Failure::local(format!("the terminal was {status}"))),
    }
}

/// Moves what is typed there and what is shown here, until the end.
async fn talk(reader: &mut TerminalReader, writer: &TerminalWriter, raw: bool) -> io::Result<End> {
    let mut resized = signal(SignalKind::window_change())?;
    let mut stdout = FdIo::writer(io::stdout().as_fd())?;
    // None of these waits for another: a terminal that takes no output can still be left, and a
    // command that reads nothing still be watched.
    let shown = async {
        loop {
            match reader.next().await? {
                Some(TerminalEvent::Output(output)) => show(&mut stdout, &output).await?,
                Some(TerminalEvent::End(status)) => return Ok(End::Status(status)),
                _ => return Ok(End::Status(ExitStatus::Ended)),
            }
        }
    };
    let typed = async {
        if !type_in(writer.clone(), raw).await {
            std::future::pending::<()>().await;
        }
    };
    let sizes = async {
        while resized.recv().await.is_some() {
            if let Some((cols, rows)) = tty::size() {
                // Of a terminal that is over, reading tells.
                let _ = writer.resize(cols, rows).await;
            }
        }
        std::future::pending::<()>().await;
    };
    // A terminal that was set up is to be set back; without one a signal may do what it does.
    let told = match raw {
        true => Some(crate::signals::asked_to_end()?),
        false => None,
    };
    let told = async {
        match told {
            Some(told) => tokio::select! {
                number = told => number,
                _ = tokio::signal::ctrl_c() => SignalKind::interrupt().as_raw_value(),
            },
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        end = shown => end,
        () = typed => {
            writer.reset();
            Ok(End::HungUp)
        }
        number = told => {
            writer.reset();
            Ok(End::Status(ExitStatus::Signaled(number)))
        }
        () = sizes => Ok(End::HungUp),
    }
}

async fn show(stdout: &mut FdIo, mut output: &[u8]) -> io::Result<()> {
    while !output.is_empty() {
        let wrote = poll_fn(|cx| stdout.poll_write(cx, &[IoSlice::new(output)])).await?;
        output = output.get(wrote..).unwrap_or_default();
    }
    poll_fn(|cx| stdout.poll_flush(cx)).await
}

/// Sends what is typed, to the end of stdin; whether it was told to hang up.
async fn type_in(writer: TerminalWriter, escapes: bool) -> bool {
    let Ok(mut stdin) = FdIo::reader(io::stdin().as_fd()) else {
        // A closed stdin is one that is at its end.
        writer.finish();
        return false;
    };
    let mut watch = Escape::default();
    let mut buffer = Vec::with_capacity(ROOM);
    loop {
        buffer.clear();
        let read = poll_fn(|cx| stdin.poll_read(cx, &mut buffer)).await;
        if read.is_err() || buffer.is_empty() {
            writer.finish();
            return false;
        }
        if escapes && watch.hangs_up(&buffer) {
            return true;
        }
        if writer.write(Bytes::copy_from_slice(&buffer)).await.is_err() {
            return false;
        }
    }
}

/// Looks for `~.` at the beginning of a line.
#[derive(Debug)]
struct Escape {
    line_begins: bool,
    tilde: bool,
}

impl Default for Escape {
    fn default() -> Self {
        Self { line_begins: true, tilde: false }
    }
}

impl Escape {
    fn hangs_up(&mut self, typed: &[u8]) -> bool {
        for byte in typed {
            if self.tilde && *byte == b'.' {
                return true;
            }
            self.tilde = self.line_begins && *byte == b'~';
            self.line_begins = matches!(byte, b'\r' | b'\n');
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tilde_and_a_dot_at_the_beginning_of_a_line_hang_up() {
        let hangs_up = |pieces: &[&str]| {
            let mut watch = Escape::default();
            pieces.iter().any(|piece| watch.hangs_up(piece.as_bytes()))
        };
        assert!(hangs_up(&["~."]));
        assert!(hangs_up(&["ls\r~", "."]));
        assert!(!hangs_up(&["cd ~."]));
        assert!(!hangs_up(&["~/x.", "\r~~."]));
    }
}
