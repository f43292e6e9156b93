//! The scenario `small`: a command that writes line by line.

use std::process::{Command, Stdio};

use crate::command::{Cost, Programs, cost};
use crate::stats::Summary;
use crate::table::Row;
use crate::{Failure, Options};

/// Compares with the same lines through three pipes.
pub(crate) fn run(options: &Options, programs: &Programs) -> Result<Vec<Row>, Failure> {
    let lines: u64 = if options.quick { 100_000 } else { 500_000 };
    // The unbuffered writer makes one write of each line.
    let script = format!(
        "i=0; while [ $i -lt {lines} ]; do echo 'a line of thirty-two characters'; i=$((i+1)); done"
    );
    let (mut ours, mut cats, mut go) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.runs(5) {
        let mut exec = programs.trunkline();
        exec.args(["exec", "--", "sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::null());
        ours.push(cost(&mut exec)?);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("({script}) | cat | cat >/dev/null")]);
        cats.push(cost(shell.stdin(Stdio::null()))?);
        if let Some(peer) = &programs.go {
            let mut run = Command::new(peer);
            run.arg("run").arg(peer).args(["agent", "--", "sh", "-c", &script]);
            go.push(cost(run.stdin(Stdio::null()).stdout(Stdio::null()))?);
        }
    }
    let case = format!("{lines} lines, a write each");
    let mut rows = Vec::new();
    let per_line = |seconds: f64| seconds * 1e9 / lines as f64;
    let cpu =
        |costs: &[Cost]| Summary::of(costs.iter().map(|cost| per_line(cost.cpu.as_secs_f64())));
    let wall =
        |costs: &[Cost]| Summary::of(costs.iter().map(|cost| per_line(cost.wall.as_secs_f64())));
    const CATS: &str = "sh|cat|cat";
    for (unit, of) in [("ns a line", &wall as &dyn Fn(&[Cost]) -> _), ("ns of CPU", &cpu)] {
        let Some(peer) = of(&cats) else { continue };
        let row = |who: &str, figure| Row::new("small", case.clone(), who, unit, figure);
        rows.extend(of(&ours).map(|figure| row("trunkline", figure).beside(CATS, peer)));
        rows.extend(of(&go).map(|figure| row("Go", figure).beside(CATS, peer)));
        rows.push(row(CATS, peer));
    }
    Ok(rows)
}
