//! What each cell of the matrix has to come to: the one place that knows how implementations differ.

use super::{Pair, Play};
use crate::{Role, Scenario, WireName};

/// The outcomes that are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Of our side.
    pub ours: &'static str,
    /// Of the other: one of these.
    pub theirs: &'static [&'static str],
}

const DONE: Expect = Expect { ours: "done", theirs: &["done"] };
const REFUSED: Expect = Expect { ours: "refused", theirs: &["refused"] };
const ENDED: Expect = Expect { ours: "ended", theirs: &["ended"] };

/// What a pair has to come to; why it cannot be played where it cannot.
///
/// # Errors
///
/// The reason, where an implementation or the wire has no such thing.
pub fn expected(pair: &Pair<'_>) -> Result<Expect, &'static str> {
    match pair.play {
        Play::Both(Scenario::HalfClose) => half_close(pair),
        Play::Both(Scenario::GoAway) => go_away(pair),
        Play::Both(_) => Ok(DONE),
        // Our reader is never told of an end that the peer did not send; theirs mostly are.
        Play::TheyDie if pair.ours.is_ours() => Ok(Expect { ours: "error", theirs: &["died"] }),
        // Peers among themselves.
        Play::TheyDie => Err("only our side is held to what it says of a loss"),
        Play::WeDie => Ok(Expect { ours: "died", theirs: &["error", "eof"] }),
    }
}

fn half_close(pair: &Pair<'_>) -> Result<Expect, &'static str> {
    let old = |name: &str, version: &str| name == "xtaci/smux" && version == "v1.5.15";
    if pair.wire == WireName::Wormhole {
        return Err("the wire ends both directions of a stream at once");
    }
    if [pair.ours, pair.theirs].iter().any(|side| old(&side.about.name, &side.about.version)) {
        return Err("smux before v1.5.54 has no half-close");
    }
    Ok(DONE)
}

fn go_away(pair: &Pair<'_>) -> Result<Expect, &'static str> {
    if pair.wire != WireName::Yamux {
        return Err("the wire has no go-away");
    }
    let (client, server) = match pair.role {
        Role::Client => (pair.ours, pair.theirs),
        Role::Server => (pair.theirs, pair.ours),
    };
    // To both crates the peer's go-away is the end of the connection; and the only go-away that the
    // crate yamux sends is that of its own end.
    let ends = matches!(server.about.name.as_str(), "crate yamux" | "crate tokio-yamux")
        || client.about.name == "crate yamux";
    Ok(if ends { ENDED } else { REFUSED })
}
