//! What was measured, as one table or as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::stats::Summary;

/// A bound that a figure, or its ratio to a peer, is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// The figure is at most this.
    AtMost(f64),
    /// The ratio is at most this.
    RatioAtMost(f64),
    /// The ratio is at least this.
    RatioAtLeast(f64),
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    scenario: &'static str,
    case: String,
    who: String,
    unit: &'static str,
    median: f64,
    low: f64,
    high: f64,
    /// The figure divided by the peer's, both from this run.
    ratio: Option<f64>,
    /// The peer it was divided by.
    of: Option<String>,
    /// What it is held against, in words.
    goal: Option<String>,
    met: Option<bool>,
}

impl Row {
    /// A figure on its own.
    pub(crate) fn new(
        scenario: &'static str,
        case: impl Into<String>,
        who: impl Into<String>,
        unit: &'static str,
        figure: Summary,
    ) -> Self {
        let Summary { median, low, high } = figure;
        let (case, who) = (case.into(), who.into());
        let (ratio, of, goal, met) = (None, None, None, None);
        Self { scenario, case, who, unit, median, low, high, ratio, of, goal, met }
    }

    /// Sets it beside a peer's figure of the same run.
    pub(crate) fn beside(mut self, peer: &str, figure: Summary) -> Self {
        self.ratio = Some(self.median / figure.median);
        self.of = Some(peer.to_owned());
        self
    }

    /// Holds it against a goal; one for a ratio needs a peer.
    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        let (text, met) = match goal {
            Goal::AtMost(bound) => {
                (format!("<= {} {}", number(bound), self.unit), Some(self.median <= bound))
            }
            Goal::RatioAtMost(bound) => {
                (format!("<= {} x", number(bound)), self.ratio.map(|ratio| ratio <= bound))
            }
            Goal::RatioAtLeast(bound) => {
                (format!(">= {} x", number(bound)), self.ratio.map(|ratio| ratio >= bound))
            }
        };
        (self.goal, self.met) = (Some(text), met);
        self
    }

    /// Whether a goal was set and not reached.
    pub(crate) fn is_missed(&self) -> bool {
        self.met == Some(false)
    }

    fn cells(&self) -> [String; 7] {
        let ratio = match (self.ratio, &self.of) {
            (Some(ratio), Some(of)) => format!("{ratio:.2} x {of}"),
            _ => String::new(),
        };
        let goal = match (&self.goal, self.met) {
            (Some(goal), Some(true)) => format!("{goal}: met"),
            (Some(goal), Some(false)) => format!("{goal}: MISSED"),
            (Some(goal), None) => format!("{goal}: not told"),
            (None, _) => String::new(),
        };
        [
            self.scenario.to_owned(),
            self.case.clone(),
            self.who.clone(),
            format!("{} {}", number(self.median), self.unit),
            format!("{}-{}", number(self.low), number(self.high)),
            ratio,
            goal,
        ]
    }
}

const HEAD: [&str; 7] = ["scenario", "case", "who", "median", "min-max", "ratio", "goal"];

/// The rows as a table that is Markdown too.
pub(crate) fn table(rows: &[Row]) -> String {
    let head = HEAD.map(str::to_owned).to_vec();
    let cells = rows.iter().map(|row| row.cells().to_vec());
    columns(&[head].into_iter().chain(cells).collect::<Vec<_>>())
}

/// Lines of cells as a table that is Markdown too; the first line is its head.
pub(crate) fn columns(lines: &[Vec<String>]) -> String {
    let Some(head) = lines.first() else { return String::new() };
    let mut widths = vec![3; head.len()];
    for row in lines {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    line(&mut text, head, &widths);
    let rule: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
    line(&mut text, &rule, &widths);
    for row in lines.iter().skip(1) {
        line(&mut text, row, &widths);
    }
    text
}

fn line(text: &mut String, cells: &[String], widths: &[usize]) {
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(text, "| {cell:<width$} ");
    }
    text.push_str("|\n");
}

/// A number for people: three digits that count, never an exponent.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.0..0.1 => format!("{value:.3}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(median: f64) -> Summary {
        Summary { median, low: median, high: median }
    }

    fn row(median: f64) -> Row {
        Row::new("pipe", "4 GiB", "trunkline", "s", figure(median))
    }

    #[test]
    fn a_ratio_is_held_against_its_goal() {
        let met = row(3.0).beside("cat", figure(2.0)).goal(Goal::RatioAtMost(1.5));
        assert!(!met.is_missed());
        let missed = row(3.0).beside("cat", figure(2.0)).goal(Goal::RatioAtLeast(2.0));
        assert!(missed.is_missed());
        assert!(table(&[missed]).contains("| 1.50 x cat | >= 2.00 x: MISSED |"));
    }

    #[test]
    fn a_ratio_without_a_peer_is_neither_met_nor_missed() {
        let row = row(3.0).goal(Goal::RatioAtLeast(2.0));
        assert!(!row.is_missed());
        assert!(table(&[row]).contains(">= 2.00 x: not told"));
    }

    #[test]
    fn a_figure_is_held_against_its_bound() {
        assert!(!row(5.0).goal(Goal::AtMost(5.0)).is_missed());
        assert!(row(5.1).goal(Goal::AtMost(5.0)).is_missed());
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = table(&[row(3.0), row(1234.5)]);
        let widths: Vec<_> = text.lines().map(str::len).collect();
        assert!(widths.iter().all(|width| *width == widths[0]));
        assert!(text.contains("| 1234 s |") || text.contains("| 1235 s |"));
    }
}
