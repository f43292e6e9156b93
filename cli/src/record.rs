//! `--record` and `--redact` of the commands that speak to an agent.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use trunkline_tokio::{Recording, RecordingOptions, Redaction};

use crate::args::Via;
use crate::exec::via_line;
use crate::report::{Failure, Outcome, say};

/// How long the end of a session that was given up may take to be recorded. A driver takes five
/// seconds to give a transport up.
const LAST_WORDS: Duration = Duration::from_secs(6);

/// Whether, and how, sessions are recorded.
#[derive(Debug, clap::Args)]
pub(crate) struct Record {
    /// Record every frame sent and received into this file, which only its owner may read. What is
    /// in it is shown by 'trunkline recording'.
    #[arg(long, value_name = "FILE", global = true)]
    record: Option<PathBuf>,
    /// Keep secrets out of the recording: the arguments of commands, the values of variables, the
    /// bytes of streams and files; all of them, or those given.
    #[arg(
        long,
        global = true,
        value_name = "argv,env,data",
        requires = "record",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    redact: Vec<Redact>,
}

/// What is kept out of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Redact {
    All,
    Argv,
    Env,
    Data,
}

impl Record {
    /// Does something with a recording, if there is to be one, and ends it.
    ///
    /// A file that cannot be created is told before anything runs; a recording that fails later is
    /// told at the end, and changes nothing else.
    pub(crate) async fn around(
        &self,
        via: &Via,
        run: impl AsyncFnOnce(Option<Recording>) -> Outcome,
    ) -> Outcome {
        let Some(path) = &self.record else { return run(None).await };
        let recording = Recording::create(path, self.options(via)).map_err(|error| {
            Failure::usage(format!("--record {}: cannot be recorded into: {error}", path.display()))
        })?;
        let outcome = run(Some(recording.clone())).await;
        // Sessions are over, or given up; their drivers may not have had their last turn.
        let _ = tokio::time::timeout(LAST_WORDS, recording.finished()).await;
        if let Err(error) = recording.close() {
            say(format_args!("the recording {} is not whole: {error}", path.display()));
        }
        outcome
    }

    fn options(&self, via: &Via) -> RecordingOptions {
        let has = |what| self.redact.contains(&Redact::All) || self.redact.contains(&what);
        let redaction = Redaction {
            arguments: has(Redact::Argv),
            environment: has(Redact::Env),
            payloads: has(Redact::Data),
        };
        let mut options = RecordingOptions::redacted(redaction);
        match via_line(via) {
            Some(line) => {
                options.backend_type = "via".to_owned();
                // A command line has arguments, too.
                if !(redaction.arguments || redaction.environment) {
                    options.backend_addr = line.to_string_lossy().into_owned();
                }
            }
            None => {
                let own = std::env::current_exe().unwrap_or_default();
                options.agent_path = own.to_string_lossy().into_owned();
            }
        }
        options
    }
}
