//! The command line.

#[cfg(unix)]
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

#[cfg(unix)]
use crate::record::Record;

/// Run commands on a remote agent through nothing but a byte pipe.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Say more on stderr; repeat for still more. RUST_LOG overrides it.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: the command's own (128+n for signal n, 127 when it could not be started); 255 when the \
link or the agent was lost; 2 for bad usage; 1 for bad input to decode, encode and recording, and when fs \
could not do all it was asked for.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[cfg(unix)]
    Exec(Exec),
    #[cfg(unix)]
    Paths(Paths),
    #[cfg(unix)]
    Fs(Box<crate::fs::Fs>),
    #[cfg(unix)]
    Agent(Agent),
    #[cfg(unix)]
    Relay(Box<crate::relay::RelayArgs>),
    #[cfg(unix)]
    Join(Box<crate::tunnel::JoinArgs>),
    #[cfg(unix)]
    Shell(Box<crate::tunnel::ShellArgs>),
    #[cfg(unix)]
    Forward(Box<crate::tunnel::ForwardArgs>),
    Recording(crate::recording::Recording),
    Decode(Decode),
    Encode(Encode),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, in roff.
    Man,
}

/// How an agent is reached.
#[derive(Debug, clap::Args)]
#[cfg(unix)]
pub(crate) struct Via {
    /// Shell command line whose stdin and stdout lead to an agent, such as 'ssh host trunkline
    /// agent' or 'docker exec -i box trunkline agent'. Without it the environment variable
    /// TRUNKLINE_VIA names the line; where that is empty too, an agent is started here.
    #[arg(long, value_name = "LINE", global = true)]
    pub(crate) via: Option<OsString>,
    /// Give up when the agent says nothing at all for so many seconds after the start; 0 waits for
    /// ever. Until it does, no file request is given up either.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, global = true)]
    pub(crate) answer_timeout: u64,
    /// Give up a file request (fs) when the agent says nothing for so many seconds while it waits,
    /// and after ten times as many in any case, which is all that fsync and close have; 0 waits for
    /// ever.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, global = true)]
    pub(crate) request_timeout: u64,
}

/// Run a command on an agent.
///
/// stdin, stdout and stderr are the command's, byte for byte. INT, TERM, HUP, QUIT, USR1, USR2 and
/// WINCH sent here reach the command's process group; a second Ctrl-C within a second gives up, and
/// so does one that asks for the end when no agent has said anything 3 seconds later.
#[derive(Debug, clap::Args)]
#[cfg(unix)]
pub(crate) struct Exec {
    /// How the agent is reached.
    #[command(flatten)]
    pub(crate) via: Via,
    /// Whether the session is recorded.
    #[command(flatten)]
    pub(crate) record: Record,
    /// Directory to run in [default: where the agent was started].
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// Set a variable, on top of the agent's own environment or of what the other options make.
    #[arg(long, value_name = "K=V", value_parser = assignment)]
    pub(crate) env: Vec<String>,
    /// Start from an empty environment: only what --env sets.
    #[arg(long, conflicts_with_all = ["env_keep", "env_remove"])]
    pub(crate) env_only: bool,
    /// Send this environment, and keep the variables whose names match: a glob, or a regular
    /// expression between slashes. Repeat for more.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) env_keep: Vec<String>,
    /// Send this environment, and drop the variables whose names match, kept or not. Nothing is
    /// kept without --env-keep. Repeat for more.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) env_remove: Vec<String>,
    /// Pass this process's own descriptor N (3 and up) to the command, under the same number and in
    /// the directions it is open for. Repeat for more.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=255))]
    pub(crate) fd: Vec<u32>,
    /// Give the command no input: its stdin is at its end.
    #[arg(short = 'n', long)]
    pub(crate) no_stdin: bool,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// List the programs in an agent's PATH.
#[derive(Debug, clap::Args)]
#[cfg(unix)]
pub(crate) struct Paths {
    /// How the agent is reached.
    #[command(flatten)]
    pub(crate) via: Via,
    /// Whether the session is recorded.
    #[command(flatten)]
    pub(crate) record: Record,
    /// One JSON object a line, with name, path, mode, size and mtime.
    #[arg(long)]
    pub(crate) json: bool,
    /// Look in these directories instead of the agent's PATH.
    #[arg(value_name = "DIR")]
    pub(crate) dirs: Vec<String>,
}

/// Be an agent, on stdin and stdout.
///
/// Serves one session and exits: with 0, or with 127 when nothing could be made of its first frame.
/// Started as root by sudo, it runs the command as the user who called sudo.
///
/// Files are served as the user it runs as, whatever that user may do; devices and FIFOs only with
/// --allow-devices. With --root nothing outside of DIR can be reached, and set-id bits, changes of
/// owner, hard links, other mounts and commands are refused too, unless allowed.
#[derive(Debug, clap::Args)]
#[cfg(unix)]
pub(crate) struct Agent {
    /// When the input ends before the command has, hang the command up after so many seconds, and
    /// kill it after as many more; 0 lets it run.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) hangup_after: u64,
    /// The lowest level of log records to send: -8 trace, -4 debug, 0 info, 4 warn, 8 error.
    #[arg(long, value_name = "LEVEL", default_value_t = -8, allow_hyphen_values = true)]
    pub(crate) log_level: i64,
    /// Leave the command's arguments out of log records.
    #[arg(long)]
    pub(crate) redact: bool,
    /// Which files are served.
    #[command(flatten)]
    pub(crate) served: Served,
}

/// What an agent's file service may do.
#[derive(Debug, clap::Args)]
#[cfg(unix)]
#[command(next_help_heading = "Files")]
pub(crate) struct Served {
    /// Serve the directory DIR as /, and nothing else.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Refuse every change of a file.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Refuse to make a file larger than N bytes; K, M, G and T stand for powers of 1024.
    #[arg(long, value_name = "N", value_parser = crate::fs::sizes::parse)]
    pub(crate) max_file_size: Option<i64>,
    /// Let devices, FIFOs and sockets be opened; refused otherwise, with --root and without.
    #[arg(long)]
    pub(crate) allow_devices: bool,
    /// With --root: let set-id bits and owners be set. Allowed anyway without.
    #[arg(long)]
    pub(crate) allow_set_id: bool,
    /// With --root: let hard links be made. Allowed anyway without.
    #[arg(long)]
    pub(crate) allow_hard_links: bool,
    /// With --root: let paths lead into other mounts below DIR. Allowed anyway without.
    #[arg(long)]
    pub(crate) allow_mounts: bool,
    /// With --root: run commands and list programs, neither of which is confined to DIR. Allowed
    /// anyway without.
    #[arg(long)]
    pub(crate) allow_exec: bool,
    /// Leave names that are not UTF-8 out of listings, where the whole listing fails otherwise.
    #[arg(long)]
    pub(crate) skip_bad_names: bool,
    /// Serve no files at all.
    #[arg(long, conflicts_with_all = ["root", "read_only", "max_file_size", "allow_devices",
        "allow_set_id", "allow_hard_links", "allow_mounts", "allow_exec", "skip_bad_names"])]
    pub(crate) no_files: bool,
}

/// A wire that can be decoded.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Wire {
    /// CBOR frames between a local side and an agent.
    Agentproto,
    /// smux, version 1 or 2 as each frame says: an 8-byte head and a payload.
    Smux,
    /// yamux: a 12-byte head and a payload.
    Yamux,
    /// wormhole: a 10-byte head and a payload.
    Wormhole,
}

/// Which encodings are taken.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Strictness {
    /// Everything the original takes.
    Lenient,
    /// Other legal encodings, but none of the original's coercions.
    Format,
    /// Only the one canonical encoding.
    Canonical,
}

/// Print the frames of a byte stream, one JSON object a line.
///
/// Each line has the frame's offset and length in bytes and the frame itself. Where the stream does
/// not end after a whole frame, a line on stderr says where and why, and the exit code is 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Decode {
    /// The wire.
    #[arg(long, value_enum)]
    pub(crate) wire: Wire,
    /// End with one more JSON object on stdout that says where and why decoding stopped.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which encodings are taken [default: lenient]. Only agentproto has more than one.
    #[arg(long, value_enum)]
    pub(crate) accept: Option<Strictness>,
    /// The byte stream [default: stdin].
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// Turn JSON frames into their canonical bytes.
///
/// Takes what decode prints, or bare frames, one JSON value after the other.
#[derive(Debug, clap::Args)]
pub(crate) struct Encode {
    /// The wire.
    #[arg(long, value_enum)]
    pub(crate) wire: Wire,
    /// The frames [default: stdin].
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// `K=V`, with a name that the far side's `env` takes for one.
#[cfg(unix)]
fn assignment(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some(("", _)) | None => Err("expected NAME=VALUE".to_string()),
        Some((name, _)) if name.starts_with('-') => {
            Err("a name cannot begin with a dash".to_string())
        }
        Some(_) if text.contains('\0') => Err("a NUL cannot be passed".to_string()),
        Some(_) => Ok(text.to_string()),
    }
}
