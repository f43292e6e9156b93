//! `trunkline agent`.

use std::process::ExitCode;
use std::time::Duration;

use trunkline_core::agentproto::{LogArguments, LostInput};
use trunkline_tokio::{ServeOptions, serve_stdio};

use crate::args;
use crate::report::{Failure, Outcome};
use crate::signals::asked_to_end;

/// Serves one session on stdin and stdout.
pub(crate) async fn run(args: args::Agent) -> Outcome {
    let mut options = ServeOptions::default();
    options.config.log_level = args.log_level;
    options.config.lost_input = match args.hangup_after {
        0 => LostInput::EndStreams,
        seconds => LostInput::HangUp { grace: Duration::from_secs(seconds) },
    };
    if args.redact {
        options.config.log_arguments = LogArguments::Redact;
    }
    let asked =
        asked_to_end().map_err(|error| Failure::local(format!("cannot take signals: {error}")))?;
    let serve = serve_stdio(options).map_err(|error| {
        Failure::local(format!("stdin and stdout cannot carry a session: {error}"))
    })?;
    Ok(ExitCode::from(serve.stop_when(asked).await))
}
