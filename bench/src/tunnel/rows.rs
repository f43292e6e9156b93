//! The figures of a run beside each other, and the goals that they are held against.

use std::collections::BTreeMap;

use super::chain::{Report, Who};
use super::plan::{Case, Samples};
use crate::stats::Summary;
use crate::table::{Goal, Row};

const SCENARIO: &str = "tunnel";

/// A figure of one run: its unit, how it is told, and what ours is held against.
struct Figure {
    unit: &'static str,
    of: fn(&Report) -> f64,
    /// Beside the Go peer.
    go: Option<Goal>,
    /// Beside the bare WebSocket library.
    bare: Option<Goal>,
}

/// Every figure of every case.
pub(crate) fn all(samples: &Samples) -> Vec<Row> {
    let mut rows = Vec::new();
    for (case, everybody) in samples.iter() {
        for figure in figures(case) {
            rows.extend(rows_of(case, &figure, everybody));
        }
    }
    rows
}

fn figures(case: Case) -> Vec<Figure> {
    let plain = |unit, of| Figure { unit, of, go: None, bare: None };
    match case {
        Case::Small { in_flight, .. } => {
            // Requests for each second of CPU: at least twice the peer's, or 1.8 times one by one.
            let most = if in_flight == 1 { 1.0 / 1.8 } else { 0.5 };
            vec![
                plain("requests/s", |report| report.per_second),
                Figure {
                    go: Some(Goal::RatioAtMost(most)),
                    ..plain("us of CPU a request", |report| report.cpu * 1e6 / report.requests)
                },
            ]
        }
        Case::Down(_) | Case::Up(_) => vec![
            Figure {
                go: Some(Goal::RatioAtMost(1.0)),
                bare: Some(Goal::RatioAtMost(1.3)),
                ..plain("s a GB", |report| report.seconds * 1e9 / report.bytes)
            },
            Figure {
                bare: Some(Goal::RatioAtMost(1.3)),
                ..plain("s of CPU a GB", |report| report.cpu * 1e9 / report.bytes)
            },
        ],
        Case::Beside(_) => vec![
            plain("ms, median", |report| report.p50_us / 1e3),
            plain("ms, 99th percentile", |report| report.p99_us / 1e3),
            plain("MB/s of the other answer", |report| report.beside / report.seconds / 1e6),
        ],
    }
}

fn rows_of(case: Case, figure: &Figure, everybody: &BTreeMap<Who, Vec<Report>>) -> Vec<Row> {
    let sum = |who| Summary::of(everybody.get(&who)?.iter().map(figure.of));
    let row = |who: Who, sum| Row::new(SCENARIO, case.text(), who.name(), figure.unit, sum);
    let [ours, go, bare] = Who::ALL.map(sum);
    let mut rows = Vec::new();
    if let Some(ours) = ours {
        for (peer, told, goal) in [(Who::Go, go, figure.go), (Who::Bare, bare, figure.bare)] {
            let Some(told) = told else { continue };
            let beside = row(Who::Ours, ours).beside(peer.name(), told);
            rows.push(match goal {
                Some(goal) => beside.goal(goal),
                None => beside,
            });
        }
    }
    rows.extend(go.map(|go| row(Who::Go, go)));
    rows.extend(bare.map(|bare| row(Who::Bare, bare)));
    rows
}
