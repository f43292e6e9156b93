//! `trunkline exec`.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use tokio::task::JoinHandle;
use trunkline_core::agentproto::escape;
use trunkline_drive::{pump_in, pump_out};
use trunkline_tokio::{Agent, Config, Exec, ExecOptions, ExitStatus, FdIo};

use crate::args;
use crate::environment;
use crate::report::{Failure, LOST, Outcome, say};
use crate::signals::{Signals, Wish};

/// A pump to the end of an output; what went wrong with writing it.
type Output = JoinHandle<io::Result<u64>>;

/// Runs a command on an agent.
pub(crate) async fn run(args: args::Exec) -> Outcome {
    let (request, agent_config) = environment::request(&args)?;
    let mut descriptors = Vec::new();
    for number in &args.fd {
        let fd = trunkline_host::fd::take(*number).map_err(|error| {
            Failure::usage(format!(
                "--fd {number}: this process has no such descriptor open: {error}"
            ))
        })?;
        descriptors.push((*number, fd));
    }
    let mut options = ExecOptions::new(request);
    options.agent_config = agent_config;
    options.config = config(&args.via);
    let mut signals =
        Signals::new().map_err(|error| Failure::local(format!("cannot take signals: {error}")))?;
    let mut exec = agent(&args.via)?.exec(options).map_err(|error| {
        Failure::local(format!("cannot start what leads to the agent: {error}"))
    })?;

    let outputs = connect(&mut exec, descriptors, args.no_stdin)?;
    let status = wait(&mut exec, &mut signals, outputs).await;
    let Some((status, write_failure)) = status else {
        return Err(Failure::local("interrupted twice: gave up; the agent hangs the command up"));
    };
    finish(&exec, &status, write_failure)
}

/// How the agent is reached.
pub(crate) fn agent(via: &args::Via) -> Result<Agent, Failure> {
    let agent = match &via.via {
        Some(line) => Agent::via(line),
        None => {
            let own = std::env::current_exe().map_err(|error| {
                Failure::local(format!("cannot find this program to start an agent: {error}"))
            })?;
            Agent::command(own, ["agent"])
        }
    };
    Ok(agent.with_config(config(via)))
}

fn config(via: &args::Via) -> Config {
    let mut config = Config::default();
    config.answer_timeout =
        Some(via.answer_timeout).filter(|wait| *wait > 0).map(Duration::from_secs);
    config
}

/// Joins the command's streams to this process's own.
fn connect(
    exec: &mut Exec,
    descriptors: Vec<(u32, OwnedFd)>,
    no_stdin: bool,
) -> Result<Vec<Output>, Failure> {
    let cannot =
        |what: &str, error: io::Error| Failure::local(format!("cannot use {what}: {error}"));
    if let Some(stdin) = exec.take_stdin()
        && !no_stdin
    {
        // A closed stdin is one that is at its end.
        if let Ok(own) = FdIo::reader(io::stdin().as_fd()) {
            feed(own, stdin.into_inner());
        }
    }
    let mut outputs = Vec::new();
    if let Some(stdout) = exec.take_stdout() {
        let own = FdIo::writer(io::stdout().as_fd()).map_err(|error| cannot("stdout", error))?;
        outputs.push(tokio::spawn(pump_out(stdout.into_inner(), own)));
    }
    if let Some(stderr) = exec.take_stderr() {
        let own = FdIo::writer(io::stderr().as_fd()).map_err(|error| cannot("stderr", error))?;
        outputs.push(tokio::spawn(pump_out(stderr.into_inner(), own)));
    }
    for (number, fd) in descriptors {
        let Some(stream) = exec.take_stream(number) else { continue };
        let (reader, writer) = stream.into_split();
        let (from, to) = (FdIo::reader(fd.as_fd()), FdIo::writer(fd.as_fd()));
        if let (Err(error), Err(_)) = (&from, &to) {
            return Err(Failure::local(format!("cannot use descriptor {number}: {error}")));
        }
        if let Ok(from) = from {
            feed(from, writer.into_inner());
        }
        if let Ok(to) = to {
            outputs.push(tokio::spawn(pump_out(reader.into_inner(), to)));
        }
    }
    Ok(outputs)
}

/// Feeds an input for as long as the command takes it; nobody waits for it.
fn feed(from: FdIo, to: trunkline_drive::StreamWriter) {
    tokio::spawn(async move {
        if let Err(error) = pump_in(from, to).await {
            tracing::debug!(%error, "an input ended early");
        }
    });
}

/// Waits for the command and its outputs, passing signals on; `None` when the user gave up.
async fn wait(
    exec: &mut Exec,
    signals: &mut Signals,
    mut outputs: Vec<Output>,
) -> Option<(ExitStatus, Option<io::Error>)> {
    const SIGPIPE: i32 = 13;
    let mut failure = None;
    while !outputs.is_empty() {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Forward(signal) => forward(exec, signal),
                Wish::GiveUp => return give_up(exec),
            },
            (index, result) = first_done(&mut outputs) => {
                drop(outputs.swap_remove(index));
                if let Err(error) = result
                    && !is_lost(&error)
                {
                    // Nobody takes this output any more: the command is told as a pipe would tell it.
                    let _ = exec.signal(SIGPIPE);
                    failure.get_or_insert(error);
                }
            }
        }
    }
    loop {
        let end = tokio::select! {
            wish = signals.next() => Err(wish),
            status = exec.wait() => Ok(status),
        };
        match end {
            Ok(status) => return Some((status, failure)),
            Err(Wish::Forward(signal)) => forward(exec, signal),
            Err(Wish::GiveUp) => return give_up(exec),
        }
    }
}

async fn first_done(outputs: &mut [Output]) -> (usize, io::Result<u64>) {
    std::future::poll_fn(|cx| {
        for (index, output) in outputs.iter_mut().enumerate() {
            if let std::task::Poll::Ready(result) = std::pin::Pin::new(output).poll(cx) {
                let result = result.unwrap_or_else(|panic| Err(io::Error::other(panic)));
                return std::task::Poll::Ready((index, result));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

fn forward(exec: &Exec, signal: i32) {
    if let Err(error) = exec.signal(signal) {
        tracing::debug!(signal, %error, "a signal was not passed on");
    }
}

fn give_up<T>(exec: &Exec) -> Option<T> {
    exec.abort();
    None
}

/// Whether an output failed because the session did, which is told elsewhere.
fn is_lost(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|source| source.is::<trunkline_tokio::SessionError>())
}

/// Says what is to be said about the end, and turns it into an exit code.
fn finish(exec: &Exec, status: &ExitStatus, write_failure: Option<io::Error>) -> Outcome {
    let code = match status {
        ExitStatus::Exited { code, text, clean } => {
            if !text.is_empty() {
                say(escape(text));
            }
            if !clean {
                tracing::info!(
                    status = exec.agent_code(),
                    "what led to the agent ended badly after the exit code"
                );
            }
            u8::try_from(*code).unwrap_or_else(|_| {
                say(format_args!("the agent reported exit code {code}, which is outside 0 to 255"));
                LOST
            })
        }
        status => {
            let led = match exec.agent_code() {
                Some(code) => format!(" (what led to it ended with status {code})"),
                None => String::new(),
            };
            return Err(Failure::local(format!("the agent was {status}{led}")));
        }
    };
    match write_failure {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::local(format!("cannot write the command's output: {error}")))
        }
        _ => Ok(ExitCode::from(code)),
    }
}
