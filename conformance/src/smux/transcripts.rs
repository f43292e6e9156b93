//! `transcripts.json`: whole sessions, step by step.

use serde::Deserialize;
use serde_json::{Map, Value};
use trunkline_core::mux::Side;

use super::replay::replay;
use crate::case::{self, Check, unknown};
use crate::notation::Hex;
use crate::report::Verdict;

/// One session.
#[derive(Clone, Debug, Deserialize)]
pub struct Transcript {
    /// The settings of both ends.
    pub config: Map<String, Value>,
    /// The ends that a machine of ours can take.
    pub roles: Vec<String>,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// One thing that an end did.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Which end.
    pub from: String,
    /// The call that caused it; a step without one is what follows from earlier ones.
    #[serde(rename = "do")]
    pub call: Option<String>,
    /// The frame that it wrote; empty when it wrote none.
    pub hex: Hex,
    /// The frame as a value.
    #[serde(rename = "decoded")]
    _decoded: Option<Value>,
    /// What the caller saw.
    pub observe: Option<String>,
}

/// The end of that name.
///
/// # Errors
///
/// [`Verdict::NotRun`] for another name than the two.
pub fn side(name: &str) -> Check<Side> {
    match name {
        "client" => Ok(Side::Client),
        "server" => Ok(Side::Server),
        other => Err(unknown("from", other)),
    }
}

/// Runs one case: once for each end that our machine can take, its input whole and in pieces.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    let transcript: Transcript = match case::read(case) {
        Ok(transcript) => transcript,
        Err(verdict) => return verdict,
    };
    if transcript.roles.is_empty() {
        return Verdict::NotRun("it is for reading only".into());
    }
    let all = || {
        for role in &transcript.roles {
            for size in [usize::MAX, 1, 7] {
                replay(&transcript, side(role)?, size).map_err(|verdict| match verdict {
                    Verdict::Fail(why) => Verdict::Fail(format!("as the {role}: {why}")),
                    other => other,
                })?;
            }
        }
        Ok(())
    };
    case::verdict(all())
}
