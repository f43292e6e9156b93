//! `transcripts.json`: whole sessions, step by step, and what they must come to.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use trunkline_core::agentproto::Frame;

use super::{replay_agent, replay_local};
use crate::case::{self, Check};
use crate::notation::Hex;
use crate::report::Verdict;

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    match Transcript::read(case) {
        Ok(transcript) if transcript.roles.is_empty() => {
            Verdict::NotRun("it is for reading only".into())
        }
        Ok(transcript) => case::verdict(replay(&transcript)),
        Err(verdict) => verdict,
    }
}

/// Replays a session once for each end that our machines can take, its bytes whole and in pieces.
fn replay(transcript: &Transcript) -> Check {
    for size in [usize::MAX, 1, 7] {
        for role in &transcript.roles {
            match role {
                Side::Local => replay_local::replay(transcript, size)?,
                Side::Agent => replay_agent::replay(transcript, size)?,
            }
        }
    }
    Ok(())
}

/// One session.
#[derive(Clone, Debug, Deserialize)]
pub struct Transcript {
    /// What the session is for.
    pub mode: Mode,
    /// The ends that a machine of ours can take.
    pub roles: BTreeSet<Side>,
    /// What happened, in order.
    pub steps: Vec<Step>,
    /// What it must come to.
    pub expect: Expect,
    /// The exit status of the original's agent.
    pub agent_status: Option<i64>,
    /// Written by hand, not captured.
    #[serde(default)]
    pub scripted: bool,
}

impl Transcript {
    /// Reads a case.
    ///
    /// # Errors
    ///
    /// [`Verdict::NotRun`] when it lacks something, or says something that is not known here.
    pub fn read(case: &Value) -> Check<Self> {
        case::read(case)
    }
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A command.
    Exec,
    /// A PATH query.
    PathQuery,
    /// File requests.
    FileOp,
    /// The agent refuses how it begins.
    Refused,
}

/// One end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The end that wants something.
    Local,
    /// The end that does it.
    Agent,
}

/// One thing that an end did.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawStep")]
pub struct Step {
    /// Which end.
    pub from: Side,
    /// What it did.
    pub action: Action,
    /// Places in the frame whose values depend on the machine or the moment, such as `l.a[0]`.
    pub volatile: Vec<String>,
}

/// What an end did.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It wrote these bytes.
    Write {
        /// The bytes.
        bytes: Vec<u8>,
        /// The frame they hold; `None` when they hold none.
        frame: Option<Box<Frame>>,
    },
    /// It closed its direction.
    End,
    /// Its caller gave up the request of this number; nothing goes on the wire.
    Cancel(u32),
}

/// What a session must come to. What is `None` or empty is not said.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// The exit code; `Some(None)`: none arrived.
    #[serde(deserialize_with = "even_null")]
    pub exit_code: Option<Option<i64>>,
    /// The text of the Exit frame.
    pub exit_error: Option<String>,
    /// All the bytes of each stream.
    pub streams: BTreeMap<u32, Hex>,
    /// The streams that ended.
    pub eof_set: Option<BTreeSet<u32>>,
    /// How many log records came.
    pub logs: Option<u64>,
    /// How many answers to file requests came.
    pub file_responses: Option<u64>,
    /// What each request came to: a path, `errno N`, `cancelled` or `unexpected end`.
    pub results: BTreeMap<u32, String>,
    /// The numbers of answers that no caller got.
    pub dropped_responses: Vec<u32>,
    /// Handles open at the agent that nobody knows of; Trunkline closes them by default.
    pub leaked_handles: Vec<u32>,
    /// How the query failed.
    pub error: Option<String>,
    /// What the original's read loop returned.
    pub loop_result: Option<i64>,
    /// The error of the original's read loop.
    pub loop_error: Option<String>,
    /// What the original's runner exited with.
    pub runner_status: Option<i64>,
}

fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<i64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    from: Side,
    hex: Option<Hex>,
    decoded: Option<Frame>,
    #[serde(default)]
    end: bool,
    cancel: Option<u32>,
    #[serde(default)]
    volatile: Vec<String>,
    #[serde(rename = "note")]
    _note: Option<String>,
}

impl TryFrom<RawStep> for Step {
    type Error = &'static str;

    fn try_from(raw: RawStep) -> Result<Self, Self::Error> {
        let action = match (raw.hex, raw.end, raw.cancel) {
            (Some(Hex(bytes)), false, None) => {
                Action::Write { bytes, frame: raw.decoded.map(Box::new) }
            }
            (None, true, None) => Action::End,
            (None, false, Some(id)) => Action::Cancel(id),
            _ => return Err("a step is one of `hex`, `end` and `cancel`"),
        };
        Ok(Self { from: raw.from, action, volatile: raw.volatile })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn session(step: &Value, expect: &Value) -> Value {
        json!({"name": "a", "mode": "file-op", "roles": ["local"], "steps": [step], "expect": expect})
    }

    #[test]
    fn a_transcript_is_read_with_all_it_says() {
        let case = session(
            &json!({"from": "local", "hex": "a1617404", "decoded": {"t": 4}, "volatile": ["c"], "note": ""}),
            &json!({"exit_code": null, "streams": {"1": {"repeat": {"hex": "00", "count": 2}}}}),
        );
        let transcript = Transcript::read(&case).unwrap();
        let bytes = b"\xa1at\x04".to_vec();
        let action = Action::Write { bytes, frame: Some(Box::new(Frame::signal(0))) };
        let step = Step { from: Side::Local, action, volatile: vec!["c".into()] };
        assert_eq!(transcript.steps, [step]);
        let streams = BTreeMap::from([(1, Hex(vec![0, 0]))]);
        let expect = Expect { exit_code: Some(None), streams, ..Expect::default() };
        assert_eq!(transcript.expect, expect);
        assert_eq!((transcript.mode, transcript.scripted), (Mode::FileOp, false));
    }

    #[test]
    fn what_is_not_known_is_not_run() {
        let good = json!({"from": "agent", "end": true});
        for case in [
            session(&json!({"from": "agent"}), &json!({})),
            session(&json!({"from": "agent", "end": true, "cancel": 1}), &json!({})),
            session(&json!({"from": "middle", "end": true}), &json!({})),
            session(&json!({"from": "agent", "end": true, "after": 3}), &json!({})),
            session(&json!({"from": "agent", "hex": "a1", "decoded": {"zz": 3}}), &json!({})),
            session(&good, &json!({"mood": "fine"})),
            json!({"mode": "sing", "roles": [], "steps": [], "expect": {}}),
        ] {
            let Err(Verdict::NotRun(why)) = Transcript::read(&case) else { panic!("{case}") };
            assert!(why.starts_with("the case cannot be read"), "{why}");
        }
        assert!(Transcript::read(&session(&good, &json!({}))).is_ok());
    }
}
