//! What an original's connection ended with, as the vectors tell it.

use trunkline_core::yamux::Violation as Rule;
use trunkline_core::{CloseReason, Violation};

/// Whether `reason` is what the original calls `text`; `None` when it has no such text.
///
/// "EOF" is told for a link that ended anywhere, and "session shutdown" for whatever this side did,
/// timeouts included.
#[must_use]
pub fn is_told_as(reason: &CloseReason, text: &str) -> Option<bool> {
    let rule = match reason {
        CloseReason::Violation(Violation::Yamux(rule)) => Some(rule),
        _ => None,
    };
    let peer = match reason {
        CloseReason::Peer { code, .. } => Some(*code),
        _ => None,
    };
    Some(match text {
        "EOF" => matches!(reason, CloseReason::Eof { .. }),
        "unexpected EOF" => *reason == CloseReason::Eof { mid_frame: true },
        "session shutdown" => matches!(reason, CloseReason::Local | CloseReason::Timeout(_)),
        "keepalive timeout" => matches!(reason, CloseReason::Timeout(_)),
        "invalid protocol version" => matches!(rule, Some(Rule::Version(_))),
        "invalid msg type" => matches!(rule, Some(Rule::FrameType(_))),
        "recv window exceeded" => matches!(rule, Some(Rule::Window { .. })),
        "duplicate stream initiated" => matches!(rule, Some(Rule::DuplicateStream(_))),
        "unexpected flag" => matches!(rule, Some(Rule::SecondFin(_))),
        "yamux protocol error" => peer == Some(1),
        "remote yamux internal error" => peer == Some(2),
        "unexpected go away received" => peer.is_some_and(|code| code > 2),
        _ => return None,
    })
}
