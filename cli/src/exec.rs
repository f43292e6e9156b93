//! `trunkline exec`.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use trunkline_core::agentproto::{self, escape};
use trunkline_core::{CloseReason, Violation};
use trunkline_tokio::{Agent, Config, Exec, ExecOptions, ExitStatus, Recording};

use crate::args;
use crate::environment;
use crate::report::{Failure, LOST, Outcome, say};
use crate::signals::Signals;
use crate::streams::{End, Streams};

/// Runs a command on an agent.
pub(crate) async fn run(args: args::Exec) -> Outcome {
    args.record.around(&args.via, async |recording| run_recorded(&args, recording).await).await
}

async fn run_recorded(args: &args::Exec, recording: Option<Recording>) -> Outcome {
    let (request, agent_config) = environment::request(args)?;
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
    options.recording = recording;
    let mut signals =
        Signals::new().map_err(|error| Failure::local(format!("cannot take signals: {error}")))?;
    let mut exec = agent(&args.via)?.exec(options).map_err(|error| {
        if error.get_ref().is_some_and(|source| source.is::<trunkline_tokio::SessionError>()) {
            return Failure::usage(format!("the command cannot be sent: {error}"));
        }
        Failure::local(format!("cannot start what leads to the agent: {error}"))
    })?;
    let streams = Streams::connect(&mut exec, descriptors, args.no_stdin)?;
    let end = streams.wait(&mut exec, &mut signals).await?;
    finish(&exec, &end)
}

/// How the agent is reached.
pub(crate) fn agent(via: &args::Via) -> Result<Agent, Failure> {
    let agent = match via_line(via) {
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

/// The same, with every session recorded.
pub(crate) fn recorded_agent(
    via: &args::Via,
    recording: Option<Recording>,
) -> Result<Agent, Failure> {
    let agent = agent(via)?;
    Ok(match recording {
        Some(recording) => agent.with_recording(recording),
        None => agent,
    })
}

/// The command line that leads to the agent; none where one is started here.
pub(crate) fn via_line(via: &args::Via) -> Option<OsString> {
    let preset = || std::env::var_os("TRUNKLINE_VIA").filter(|line| !line.is_empty());
    via.via.clone().or_else(preset)
}

fn config(via: &args::Via) -> Config {
    let mut config = Config::default();
    // For ever is a time too, and not none: with none, requests for files would have their own.
    let wait = if via.answer_timeout == 0 { u64::MAX } else { via.answer_timeout };
    config.answer_timeout = Some(Duration::from_secs(wait));
    config.request_timeout =
        Some(via.request_timeout).filter(|wait| *wait > 0).map(Duration::from_secs);
    config
}

/// Says what is to be said about the end, and turns it into an exit code.
fn finish(exec: &Exec, end: &End) -> Outcome {
    let code = match &end.status {
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
            return Err(Failure::local(format!(
                "the agent was {status}{}",
                circumstances(exec, status)
            )));
        }
    };
    Ok(ExitCode::from(if end.trouble { LOST } else { code }))
}

/// What else is known about an agent that was lost: how its output began when it never was one, and
/// what led to it ended with.
fn circumstances(exec: &Exec, status: &ExitStatus) -> String {
    let mut text = String::new();
    let shown = matches!(
        status,
        ExitStatus::Lost(CloseReason::Violation(Violation::Agentproto(
            agentproto::Violation::NotAFrame { .. }
        )))
    );
    let began = exec.began_with();
    if exec.stats().frames_received == 0 && !began.is_empty() && !shown {
        text.push_str(&format!("; its output begins with \"{began}\""));
    }
    if let Some(code) = exec.agent_code() {
        text.push_str(&format!(" (what led to it ended with status {code})"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests for files would end an agent's wait that nothing bounds.
    #[test]
    fn for_ever_is_a_time_of_its_own() {
        let of = |answer_timeout| {
            config(&args::Via { via: None, answer_timeout, request_timeout: answer_timeout })
        };
        assert_eq!(of(200).answer_timeout, Some(Duration::from_secs(200)));
        assert_eq!(of(0).answer_timeout, Some(Duration::from_secs(u64::MAX)));
        assert_eq!(of(200).request_timeout, Some(Duration::from_secs(200)));
        assert_eq!(of(0).request_timeout, None);
    }
}
