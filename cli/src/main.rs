//! The command `trunkline`: run commands on a remote agent through nothing but a byte pipe.
#![forbid(unsafe_code)]

#[cfg(unix)]
mod agent;
mod args;
mod codec;
#[cfg(unix)]
mod environment;
#[cfg(unix)]
mod exec;
mod extras;
#[cfg(unix)]
mod fs;
#[cfg(unix)]
mod paths;
#[cfg(unix)]
mod record;
mod recording;
#[cfg(unix)]
mod relay;
mod report;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod streams;
#[cfg(unix)]
mod tunnel;
#[cfg(unix)]
mod watch;
mod wires;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    report::init(args.verbose);
    let result = match args.command {
        #[cfg(unix)]
        Command::Exec(args) => with_runtime(|| exec::run(args)),
        #[cfg(unix)]
        Command::Paths(args) => with_runtime(|| paths::run(args)),
        #[cfg(unix)]
        Command::Fs(args) => with_runtime(|| fs::run(*args)),
        #[cfg(unix)]
        Command::Agent(args) => with_runtime(|| agent::run(args)),
        #[cfg(unix)]
        Command::Relay(args) => with_runtime(|| relay::run(*args)),
        #[cfg(unix)]
        Command::Join(args) => with_runtime(|| tunnel::join(*args)),
        #[cfg(unix)]
        Command::Shell(args) => with_runtime(|| tunnel::shell(*args)),
        #[cfg(unix)]
        Command::Forward(args) => with_runtime(|| tunnel::forward(*args)),
        Command::Recording(args) => recording::run(&args),
        Command::Decode(args) => codec::decode(&args),
        Command::Encode(args) => codec::encode(&args),
        Command::Completions { shell } => extras::completions(shell),
        Command::Man => extras::man(),
    };
    result.unwrap_or_else(|failure| failure.report())
}

/// Runs a future to its end on this thread.
///
/// Everything here waits for a few descriptors: a second thread would only add hops. Threads that
/// are stuck in a read of this process's own stdin are not waited for.
#[cfg(unix)]
fn with_runtime<F: Future<Output = report::Outcome>>(start: impl FnOnce() -> F) -> report::Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Signals are looked for after so many turns of tasks, and a flood makes every turn a long
        // one: the default of 61 would put a Ctrl-C off for seconds.
        .event_interval(1)
        .build();
    let runtime =
        runtime.map_err(|error| report::Failure::local(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(async { start().await });
    runtime.shutdown_background();
    outcome
}
