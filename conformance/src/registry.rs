//! Which function runs the cases of which file.

use serde_json::Value;

use crate::agent_tunnel;
use crate::agentproto;
use crate::report::Verdict;
use crate::smux;
use crate::wormhole;
use crate::yamux;

/// Runs one case of a file.
pub type Run = fn(&Value) -> Verdict;

/// Every file that can be run: its wire, its name, and what runs a case of it.
pub const FILES: &[(&str, &str, Run)] = &[
    ("agent-tunnel", "headers.json", agent_tunnel::headers::run),
    ("agent-tunnel", "rejects.json", agent_tunnel::rejects::run),
    ("agent-tunnel", "transcripts.json", agent_tunnel::transcripts::run),
    ("agentproto", "envfilter.json", agentproto::envfilter::run),
    ("agentproto", "frames.json", agentproto::frames::run),
    ("agentproto", "lenient.json", agentproto::lenient::run),
    ("agentproto", "modes.json", agentproto::modes::run),
    ("agentproto", "recordings.json", agentproto::recordings::run),
    ("agentproto", "rejects.json", agentproto::rejects::run),
    ("agentproto", "transcripts.json", agentproto::transcripts::run),
    ("smux", "frames.json", smux::frames::run),
    ("smux", "rejects.json", smux::rejects::run),
    ("smux", "transcripts.json", smux::transcripts::run),
    ("wormhole", "frames.json", wormhole::frames::run),
    ("wormhole", "rejects.json", wormhole::rejects::run),
    ("wormhole", "transcripts.json", wormhole::transcripts::run),
    ("yamux", "frames.json", yamux::frames::run),
    ("yamux", "rejects.json", yamux::rejects::run),
    ("yamux", "transcripts.json", yamux::transcripts::run),
];

/// What runs the cases of this file; `None` when nothing does.
#[must_use]
pub fn runner(wire: &str, file: &str) -> Option<Run> {
    FILES.iter().find(|(of, name, _)| *of == wire && *name == file).map(|(_, _, run)| *run)
}

/// Whether any file of this wire can be run.
#[must_use]
pub fn is_built(wire: &str) -> bool {
    FILES.iter().any(|(of, _, _)| *of == wire)
}
