//! `trunkline agent`.

use std::process::ExitCode;
use std::time::Duration;

use trunkline_core::agentproto::{LogArguments, LostInput};
use trunkline_tokio::{BadNames, Commands, FilePolicy, ServeOptions, serve_stdio};

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
    options.serve_files = !args.served.no_files;
    if args.served.allow_exec {
        options.commands = Commands::Allowed;
    }
    options.files = policy(args.served);
    if let Some(root) = options.files.root.clone() {
        options.open_files().map_err(|error| {
            let reason = trunkline_host::error_text(&error);
            Failure::usage(format!("cannot serve {}: {reason}", root.display()))
        })?;
    }
    let asked =
        asked_to_end().map_err(|error| Failure::local(format!("cannot take signals: {error}")))?;
    let serve = serve_stdio(options).map_err(|error| {
        Failure::local(format!("stdin and stdout cannot carry a session: {error}"))
    })?;
    Ok(ExitCode::from(serve.stop_when(asked).await))
}

/// What the file service may do.
fn policy(args: args::Served) -> FilePolicy {
    let mut policy = FilePolicy::default();
    policy.root = args.root;
    policy.read_only = args.read_only;
    policy.max_file_size = args.max_file_size.map(i64::unsigned_abs);
    policy.devices = args.allow_devices;
    policy.set_id = args.allow_set_id;
    policy.hard_links = args.allow_hard_links;
    policy.mounts = args.allow_mounts;
    if args.skip_bad_names {
        policy.bad_names = BadNames::Skip;
    }
    policy
}
