//! Every implementation of others against both of our bindings, in both roles, through every scenario,
//! with default settings on both sides; and our bindings with each other over every wire.

use trunkline_peers::WireName;
use trunkline_peers::matrix::{Amounts, Plan, Play, Verdict, foreign, ours, rows};

/// Plays everything there is on a wire, and returns how many cells were played as they should be.
fn play_all(wire: WireName) -> usize {
    let ours = ours();
    let theirs: Vec<_> = foreign().into_iter().chain(ours.clone()).collect();
    let mut rows = rows(&ours, &theirs);
    rows.retain(|row| row.wire == wire);
    let plan =
        Plan { plays: &Play::ALL, amounts: &Amounts::REDUCED, seed: 1, at_once: 2, tell: false };
    let mut played = 0;
    let mut failed = Vec::new();
    for (title, verdict) in plan.run(&rows).into_iter().flatten() {
        match verdict {
            Verdict::Played { .. } => played += 1,
            Verdict::Impossible(_) => {}
            Verdict::Failed(how) => failed.push(format!("{title}: {how}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    played
}

// Three peers with each binding, and the bindings with each other, in both roles, through all columns.
#[test]
fn yamux_understands_every_peer() {
    assert_eq!(play_all(WireName::Yamux), (3 * 2 + 1) * 2 * 8);
}

// Two releases with each binding, and the bindings; no go-away, and no half-close with the old one.
#[test]
fn smux_version_1_understands_every_peer() {
    assert_eq!(play_all(WireName::Smux1), (2 * 2 + 1) * 2 * 7 - 4);
}

#[test]
fn smux_version_2_understands_every_peer() {
    assert_eq!(play_all(WireName::Smux2), (2 * 2 + 1) * 2 * 7 - 4);
}

// The bindings with each other; neither half-close nor go-away.
#[test]
fn wormhole_understands_itself() {
    assert_eq!(play_all(WireName::Wormhole), 2 * 6);
}
