//! The scenario `start`: what a command costs beyond its own start.

use std::process::{Command, Stdio};

use crate::command::{Cost, Programs, cost};
use crate::stats::Summary;
use crate::table::{Goal, Row};
use crate::{Failure, Options};

/// Starts `true` alone and through a local agent, in turns.
pub(crate) fn run(options: &Options, programs: &Programs) -> Result<Vec<Row>, Failure> {
    let times = if options.quick { 20 } else { 100 };
    let (mut ours, mut alone, mut go) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..times {
        let mut exec = programs.trunkline();
        exec.args(["exec", "--", "true"]).stdin(Stdio::null()).stdout(Stdio::null());
        ours.push(cost(&mut exec)?);
        alone.push(cost(Command::new("true").stdin(Stdio::null()))?);
        if let Some(peer) = &programs.go {
            let mut run = Command::new(peer);
            run.arg("run").arg(peer).args(["agent", "--", "true"]);
            go.push(cost(run.stdin(Stdio::null()))?);
        }
    }
    let mut rows = Vec::new();
    let case = format!("true, {times} times");
    let row = |who: &str, unit, figure| Row::new("start", case.clone(), who, unit, figure);
    let (Some(wall), Some(own)) = (wall(&ours), wall(&alone)) else { return Ok(rows) };
    let beyond = wall.map(|milliseconds| milliseconds - own.median);
    rows.push(row("trunkline beyond the command", "ms", beyond).goal(Goal::AtMost(5.0)));
    rows.push(row("trunkline", "ms", wall).beside("true", own));
    rows.extend(cpu(&ours).map(|figure| row("trunkline", "ms of CPU", figure)));
    if let Some(figure) = self::wall(&go) {
        rows.push(row("Go", "ms", figure).beside("true", own));
        rows.extend(cpu(&go).map(|figure| row("Go", "ms of CPU", figure)));
    }
    rows.push(row("true", "ms", own));
    Ok(rows)
}

fn wall(costs: &[Cost]) -> Option<Summary> {
    Summary::of(costs.iter().map(|cost| cost.wall.as_secs_f64() * 1e3))
}

/// The mean: one run is shorter than the system's unit of CPU time.
fn cpu(costs: &[Cost]) -> Option<Summary> {
    let sum: f64 = costs.iter().map(|cost| cost.cpu.as_secs_f64() * 1e3).sum();
    Summary::of((!costs.is_empty()).then(|| sum / costs.len() as f64))
}
