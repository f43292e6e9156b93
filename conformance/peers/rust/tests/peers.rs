//! The peers among themselves: the instrument has to be right before it judges us.

use trunkline_peers::WireName;
use trunkline_peers::matrix::{Amounts, Plan, Play, Program, Verdict, foreign, rows};

/// Plays everything between every two of those that speak a wire, and returns how many cells were played.
fn play_all(wire: WireName, programs: &[Program]) -> usize {
    let speak: Vec<_> = programs.iter().filter(|program| program.speaks(wire)).cloned().collect();
    let rows: Vec<_> = rows(&speak, &speak).into_iter().filter(|row| row.wire == wire).collect();
    let plan =
        Plan { plays: &Play::ALL, amounts: &Amounts::SMALL, seed: 1, at_once: 2, tell: false };
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

#[test]
fn every_two_peers_of_yamux_understand_each_other() {
    let programs = foreign();
    // Three programs, each with each in both roles, through all but their own view of a loss.
    assert_eq!(play_all(WireName::Yamux, &programs), 3 * 3 * 2 * 7);
}

#[test]
fn every_two_releases_of_smux_understand_each_other() {
    let programs = foreign();
    for wire in [WireName::Smux1, WireName::Smux2] {
        // Two programs; no go-away, and half-close only between the newest and itself.
        assert_eq!(play_all(wire, &programs), 2 * 2 * 2 * 5 + 2);
    }
}

#[test]
fn each_says_what_it_is() {
    let titles: Vec<_> = foreign().iter().map(Program::title).collect();
    assert_eq!(titles[..3], ["hashicorp/yamux v0.1.2", "xtaci/smux v1.5.57", "xtaci/smux v1.5.15"]);
    assert!(titles[3].starts_with("crate yamux 0.14."), "{titles:?}");
    assert!(titles[4].starts_with("crate tokio-yamux 0.3."), "{titles:?}");
}
