//! `envfilter.json`: which entries of an environment an agent's configuration lets through.

use serde::Deserialize;
use serde_json::{Value, json};
use trunkline_core::agentproto::AgentConfig;
use trunkline_host::envfilter::{PatternLimits, filter};

use crate::case::{self, Check};
use crate::diff;
use crate::report::Verdict;

#[derive(Deserialize)]
struct EnvCase {
    env: Option<Vec<String>>,
    keep: Option<Vec<String>>,
    remove: Option<Vec<String>>,
    out: Vec<String>,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    case::verdict(check(case))
}

fn check(case: &Value) -> Check {
    let EnvCase { env, keep, remove, out } = case::read(case)?;
    let config = AgentConfig { env_keep: keep, env_remove: remove };
    let seen = filter(env.as_deref(), &config, PatternLimits::default());
    match diff::json(&json!(out), &json!(seen)) {
        Some(why) => Err(Verdict::Fail(why)),
        None => Ok(()),
    }
}
