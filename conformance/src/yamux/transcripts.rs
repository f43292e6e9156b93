//! `transcripts.json`: whole sessions, frame by frame, replayed from either end under
//! `Config::reference()`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use trunkline_core::mux::Side;
use trunkline_core::yamux::Config;

use super::replay;
use crate::case::{self, Check, unknown};
use crate::notation::Hex;
use crate::report::Verdict;

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    case::verdict(Transcript::read(case).and_then(|transcript| check(&transcript)))
}

fn check(transcript: &Transcript) -> Check {
    if transcript.roles.is_empty() {
        return Err(Verdict::NotRun("it is for reading only".into()));
    }
    for role in &transcript.roles {
        let long = transcript.steps.iter().any(|step| step.hex.0.len() > 10_000);
        for size in [usize::MAX, 12, if long { 4_099 } else { 1 }] {
            // One read of the original takes all that is there; of ours, a piece as it came. Credit
            // that follows from reads is therefore compared for whole frames only.
            if size < usize::MAX && transcript.reads(*role) {
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
    pub config: Map<String, Value>,
    /// What was written, in order.
    pub steps: Vec<Step>,
    /// What calls returned, and how it ended.
    pub outcome: Vec<String>,
    /// The ends that a machine of ours can take.
    pub roles: Vec<Role>,
}

impl Transcript {
    /// Reads a case.
    ///
    /// # Errors
    ///
    /// [`Verdict::NotRun`] when it lacks something.
    pub fn read(case: &Value) -> Check<Self> {
        case::read(case)
    }

    /// The settings of one end, and whether bytes for the other are held back.
    ///
    /// # Errors
    ///
    /// [`Verdict::NotRun`] when a setting is not known.
    pub fn settings(&self, role: Role) -> Check<Config> {
        let mut config = Config::reference();
        let mut interval = config.keep_alive;
        let mut keeps_alive = true;
        for (key, value) in &self.config {
            let other = format!("{}_", role.other().name());
            let own = format!("{}_", role.name());
            if key.starts_with(&other) && key != "client" && key != "server" {
                continue;
            }
            let time = || value.as_u64().map(Duration::from_millis);
            let number = || value.as_u64();
            match (key.strip_prefix(&own).unwrap_or(key), value) {
                ("client" | "server" | "delivery" | "write", Value::String(_)) => {}
                ("keepalive_side", Value::String(side)) => {
                    keeps_alive &= side == role.name() || side == "both";
                }
                ("keepalive" | "enable_keepalive", Value::Bool(on)) => keeps_alive &= *on,
                ("keepalive_interval_ms" | "keep_alive_interval_ms", _) => interval = time(),
                ("accept_backlog", _) => {
                    let backlog = number().and_then(|number| usize::try_from(number).ok());
                    let backlog = backlog.ok_or_else(|| unknown("config", key))?;
                    config.limits.backlog = backlog;
                    config.limits.opens_waiting = backlog;
                }
                ("next_id_base" | "next_stream_id", _) => {
                    let first = number().and_then(|number| u32::try_from(number).ok());
                    config.first_id = Some(first.ok_or_else(|| unknown("config", key))?);
                }
                ("max_stream_window" | "max_stream_window_size", _) => {
                    let window = number().and_then(|number| u32::try_from(number).ok());
                    config.window = window.ok_or_else(|| unknown("config", key))?;
                }
                ("stream_open_timeout_ms", _) => config.open_timeout = time(),
                ("stream_close_timeout_ms", _) => config.close_timeout = time(),
                ("connection_write_timeout_ms", _) => config.write_timeout = time(),
                _ => return Err(unknown("config", key)),
            }
        }
        // An interop session's Go end had its keep-alive off, and so has one that says nothing.
        let said = self.config.contains_key("keepalive");
        config.keep_alive = interval.filter(|_| keeps_alive && said);
        Ok(config)
    }

    /// Whether this end writes something because it reads.
    fn reads(&self, role: Role) -> bool {
        let causes = self.steps.iter().filter(|step| step.from == role);
        causes.filter_map(|step| step.cause.as_ref()).any(|cause| cause.contains(" reads "))
    }

    /// Whether frames that end a stream reach the other end only behind all that it writes.
    #[must_use]
    pub fn holds_ends(&self) -> bool {
        self.config.contains_key("delivery")
    }
}

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The end that opens odd ids.
    Client,
    /// The end that opens even ids.
    Server,
}

impl Role {
    /// As it stands in texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// In core's words.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Self::Client => Side::Client,
            Self::Server => Side::Server,
        }
    }
}

/// A frame, who wrote it, and what made it.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    /// The end that wrote it.
    pub from: Role,
    /// Its bytes; a step may have none.
    #[serde(alias = "parts", default)]
    pub hex: Hex,
    /// The call that made it; `None` when it came by itself.
    pub cause: Option<String>,
}
