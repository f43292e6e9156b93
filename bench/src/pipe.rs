//! The scenario `pipe`: a large file through a command on a local agent, five pipes end to end.

use std::process::{Command, Stdio};

use crate::command::{Cost, Input, Programs, cost};
use crate::stats::Summary;
use crate::table::{Goal, Row};
use crate::{Failure, Options};

/// Runs everybody in turns, and compares seconds and CPU seconds.
pub(crate) fn run(options: &Options, programs: &Programs) -> Result<Vec<Row>, Failure> {
    let gib = if options.quick { 1 } else { 4 };
    let input = Input::new(gib << 30)?;
    let path = input.path().display().to_string();
    let (mut ours, mut cats, mut go) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.runs(5) {
        let mut exec = programs.trunkline();
        exec.args(["exec", "--", "cat"]).stdin(input.open()?).stdout(Stdio::null());
        ours.push(cost(&mut exec)?);
        let mut shell = Command::new("sh");
        shell.args(["-c", "cat \"$0\" | cat | cat >/dev/null", &path]);
        cats.push(cost(shell.stdin(Stdio::null()))?);
        if let Some(peer) = &programs.go {
            let mut run = Command::new(peer);
            run.arg("run").arg(peer).args(["agent", "--", "cat"]);
            go.push(cost(run.stdin(input.open()?).stdout(Stdio::null()))?);
        }
    }
    let case = format!("{gib} GiB through cat");
    let mut rows = Vec::new();
    let wall = |costs: &[Cost]| Summary::of(costs.iter().map(|cost| cost.wall.as_secs_f64()));
    let cpu = |costs: &[Cost]| Summary::of(costs.iter().map(|cost| cost.cpu.as_secs_f64()));
    let rate = |seconds: Summary| seconds.map(|seconds| gib as f64 / seconds);
    let ours = wall(&ours).map(rate).zip(cpu(&ours));
    let cats = wall(&cats).map(rate).zip(cpu(&cats));
    let go = wall(&go).map(rate).zip(cpu(&go));
    let (Some((rate, burnt)), Some((cat_rate, cat_burnt))) = (ours, cats) else { return Ok(rows) };
    let row = |who: &str, unit, figure| Row::new("pipe", case.clone(), who, unit, figure);
    const CATS: &str = "cat|cat|cat";
    rows.push(row("trunkline", "GiB/s", rate).beside(CATS, cat_rate).goal(Goal::RatioAtLeast(0.6)));
    rows.push(
        row("trunkline", "s of CPU", burnt).beside(CATS, cat_burnt).goal(Goal::RatioAtMost(2.0)),
    );
    if let Some((go_rate, go_burnt)) = go {
        rows.push(
            row("trunkline", "GiB/s", rate).beside("Go", go_rate).goal(Goal::RatioAtLeast(2.0)),
        );
        rows.push(row("Go", "GiB/s", go_rate).beside(CATS, cat_rate));
        rows.push(row("Go", "s of CPU", go_burnt).beside(CATS, cat_burnt));
    }
    rows.push(row(CATS, "GiB/s", cat_rate));
    rows.push(row(CATS, "s of CPU", cat_burnt));
    Ok(rows)
}
