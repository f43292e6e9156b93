//! Replays of recorded sessions over a link that breaks.

pub(crate) mod agent_end;
pub(crate) mod local_end;

use trunkline_conformance::agentproto::transcripts::{Action, Side, Transcript};
use trunkline_conformance::sim::Script;
use trunkline_core::agentproto::Frame;

/// A script that plays this side of a session: each thing it says comes behind all that it had heard
/// when it said so.
pub(crate) fn script(transcript: &Transcript, side: Side) -> Script {
    let (mut script, mut heard) = (Script::new(), 0);
    for step in &transcript.steps {
        script = match (&step.action, step.from == side) {
            (Action::Write { bytes, .. }, true) => script.send(bytes.clone()),
            (Action::Write { bytes, .. }, false) => {
                heard += bytes.len();
                script.after(heard)
            }
            (Action::End, true) => script.end(),
            (Action::End, false) => script.after_end(),
            (Action::Cancel(_), _) => script,
        };
    }
    script
}

/// For each step, how many bytes the other side had written before it.
pub(crate) fn heard_before(transcript: &Transcript, side: Side) -> Vec<u64> {
    let mut heard = 0;
    let before = transcript.steps.iter().map(|step| {
        let before = heard;
        if let (true, Action::Write { bytes, .. }) = (step.from != side, &step.action) {
            heard += bytes.len() as u64;
        }
        before
    });
    before.collect()
}

/// The frames of a side that end within its first `bytes` bytes, up to one that is none.
pub(crate) fn whole_frames(transcript: &Transcript, side: Side, bytes: u64) -> Vec<&Frame> {
    let mut end = 0;
    let writes = transcript.steps.iter().filter(|step| step.from == side);
    writes
        .filter_map(|step| match &step.action {
            Action::Write { bytes, frame } => Some((bytes.len() as u64, frame.as_deref())),
            _ => None,
        })
        .take_while(|(size, frame)| {
            end += size;
            end <= bytes && frame.is_some()
        })
        .filter_map(|(_, frame)| frame)
        .collect()
}

/// Whether a frame of a side ends exactly there, or none has begun.
pub(crate) fn is_boundary(transcript: &Transcript, side: Side, at: u64) -> bool {
    let mut end = 0;
    at == 0
        || transcript.steps.iter().filter(|step| step.from == side).any(|step| {
            if let Action::Write { bytes, .. } = &step.action {
                end += bytes.len() as u64;
            }
            end == at
        })
}
