//! `trunkline completions` and `trunkline man`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::args::Args;
use crate::report::{Failure, Outcome};

/// Prints a completion script.
pub(crate) fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "trunkline", &mut script);
    print(&script)
}

/// Prints the manual page, the subcommands' behind the command's own.
pub(crate) fn man() -> Outcome {
    let mut page = Vec::new();
    let mut command = Args::command();
    command.build();
    let rendered = render(&command, &mut page);
    rendered.map_err(|error| Failure::local(format!("cannot render the manual page: {error}")))?;
    print(&page)
}

/// A command, and those below it.
fn render(command: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    clap_mangen::Man::new(command.clone()).render(page)?;
    let below = command.get_subcommands().filter(|sub| sub.get_name() != "help");
    below.into_iter().try_for_each(|sub| render(sub, page))
}

fn print(bytes: &[u8]) -> Outcome {
    match io::stdout().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::local(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
