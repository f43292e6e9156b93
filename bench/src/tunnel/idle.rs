//! What a relay keeps for agents that have joined and have nothing to do.

use std::process::Command;
use std::time::Duration;

use super::chain::{self, Players, Process, Who};
use crate::Failure;
use crate::command::told_of;
use crate::stats::Summary;
use crate::table::{Goal, Row};

/// Its name on the command line.
pub(crate) const NAME: &str = "idle";

/// How long everything is left alone before it is looked at.
const SETTLE: Duration = Duration::from_secs(5);

/// MiB that a relay with 10,000 agents may have.
const MOST: f64 = 400.0;

/// The memory of each relay, with the same agents.
pub(crate) fn rows(players: &Players, quick: bool) -> Result<Vec<Row>, Failure> {
    let agents = if quick { 1_000 } else { 10_000 };
    let [ours, go] =
        [Who::Ours, Who::Go].map(|who| resident(players, who, agents).map(Summary::of_one));
    let (ours, go) = (ours?, go?);
    let row = |who: Who, told| {
        Row::new("tunnel", format!("{agents} idle agents"), who.name(), "MiB of the relay", told)
    };
    let mut beside = row(Who::Ours, ours).beside(Who::Go.name(), go);
    if !quick {
        beside = beside.goal(Goal::AtMost(MOST));
    }
    Ok(vec![beside, row(Who::Go, go)])
}

/// Resident memory in MiB of a relay that so many agents have joined, all of them originals.
fn resident(players: &Players, who: Who, agents: u64) -> Result<f64, Failure> {
    let relay = chain::relay(players, who)?;
    let at = relay.address()?;
    let mut join = Command::new(&players.go);
    join.args(["agent", "--server", &format!("http://{at}"), "--count", &agents.to_string()]);
    let joined = Process::start(&mut join)?;
    let last = format!("\"total\":{agents}}}");
    while !joined.line()?.contains(&last) {}
    std::thread::sleep(SETTLE);
    let kib = told_of(relay.id(), "status", "VmRSS")
        .ok_or_else(|| Failure::new("the relay's memory cannot be told"))?;
    Ok(kib as f64 / 1024.0)
}
