//! `transcripts.json`: whole sessions, message by message, replayed from either end under
//! `reference()`.

use serde::Deserialize;
use serde_json::{Map, Value};
use trunkline_core::{carrier, yamux};

use super::replay;
use crate::case::{self, Check, unknown};
use crate::notation::Hex;
use crate::report::Verdict;
use crate::yamux::transcripts::{Role, Transcript as Mux};

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    case::verdict(case::read(case).and_then(|transcript| check(&transcript)))
}

fn check(transcript: &Transcript) -> Check {
    if transcript.roles.is_empty() {
        return Err(Verdict::NotRun("it is for reading only".into()));
    }
    for role in &transcript.roles {
        let long = transcript.steps.iter().any(|step| step.bytes().len() > 10_000);
        for size in [usize::MAX, 12, if long { 4_099 } else { 1 }] {
            // One read of the original takes all that is there; of ours, a piece as it came. Credit
            // that follows from reads is therefore compared for whole frames only.
            if size < usize::MAX && transcript.credits(*role) {
                continue;
            }
            replay::replay(transcript, *role, size).map_err(|verdict| match verdict {
                Verdict::Fail(why) => Verdict::Fail(format!("as {}: {why}", role.name())),
                other => other,
            })?;
        }
    }
    Ok(())
}

/// One session.
#[derive(Clone, Debug, Deserialize)]
pub struct Transcript {
    /// The originals' settings.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// What was written, in order.
    pub steps: Vec<Step>,
    /// What calls returned.
    #[serde(default)]
    pub outcome: Vec<String>,
    /// The ends that a machine of ours can take.
    pub roles: Vec<Role>,
}

/// Which of the originals' agents took part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// The program, which answers what it cannot serve.
    Internal,
    /// The package, which closes the stream without a word.
    Sdk,
}

impl Transcript {
    /// Whether this end writes credit, because it reads.
    fn credits(&self, role: Role) -> bool {
        let own = self.steps.iter().filter(|step| step.from == role && step.ws == "binary");
        own.map(Step::bytes).any(|bytes| bytes.len() == 12 && bytes.starts_with(&[0, 1, 0, 0]))
    }

    /// Which agent it is about.
    ///
    /// # Errors
    ///
    /// [`Verdict::NotRun`] when it is none that is known.
    pub fn agent(&self) -> Check<Agent> {
        let name = self.config.get("agent").and_then(Value::as_str).unwrap_or("internal/agent");
        if name.starts_with("internal/agent") {
            Ok(Agent::Internal)
        } else if name.contains("agentsdk") {
            Ok(Agent::Sdk)
        } else {
            Err(unknown("agent", name))
        }
    }

    /// The settings of one end.
    ///
    /// # Errors
    ///
    /// [`Verdict::NotRun`] when a setting is not known.
    pub fn settings(&self, role: Role) -> Check<(yamux::Config, carrier::Config)> {
        const SETUP: [&str; 6] =
            ["agent", "omitted", "response_body", "request_body", "local_url", "local_token"];
        let mut config = self.config.clone();
        config.retain(|key, _| !SETUP.contains(&key.as_str()));
        let version = config.remove("version");
        let (mut keeps_alive, mut window) = (false, None);
        match version.as_ref().map(|version| version.as_str().unwrap_or_default()) {
            None => {}
            Some("v0.27.1") => keeps_alive = true,
            Some("v0.27.2") => window = Some(4 << 20),
            Some(other) if other.starts_with("v0.") && other > "v0.27.2" => {}
            Some(other) => return Err(unknown("version", other)),
        }
        let mux = Mux { config, steps: Vec::new(), outcome: Vec::new(), roles: Vec::new() };
        let mut config = mux.settings(role)?;
        if keeps_alive {
            config.keep_alive = Some(std::time::Duration::from_secs(20));
        }
        config.window = window.unwrap_or(config.window);
        config.frame_marks = true;
        let mut carrier = carrier::Config::reference(role.side());
        // The pings are made by the program around the tunnel, where there is one.
        let pings = |step: &Step| step.from == role && step.ws == "ping";
        carrier.pings = carrier.pings.filter(|_| self.steps.iter().any(pings));
        // Closes that were seen on the wire were sent by releases that sent them.
        let closes = |step: &&Step| step.ws == "close";
        if self.steps.iter().find(closes).is_some_and(|first| first.from == role) {
            carrier.close = carrier::Config::default().close;
        }
        Ok((config, carrier))
    }
}

/// A message, who wrote it, and what made it.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    /// The end that wrote it.
    pub from: Role,
    /// What it is: a message, or the end of the transport.
    #[serde(default = "binary")]
    pub ws: String,
    hex: Option<Hex>,
    parts: Option<Hex>,
    /// The call that made it; `None` when it came by itself.
    pub cause: Option<String>,
}

fn binary() -> String {
    "binary".to_owned()
}

impl Step {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.parts.as_ref().or(self.hex.as_ref()).map_or(&[], |hex| &hex.0)
    }
}
