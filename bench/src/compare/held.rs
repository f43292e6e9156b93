//! Figures held against goals, and how they are told.

use std::fmt::Write as _;

use serde_json::{Value, json};
use trunkline_bench::mux::wires::WIRES;

use crate::table::{columns, number};

/// What a goal is about, for its heading.
const TITLES: [(&str, &str); 12] = [
    ("P1", "bulk over one stream"),
    ("P2", "bulk over 100 streams"),
    ("P3", "one ping-pong"),
    ("P4", "100 ping-pongs"),
    ("P5", "short streams"),
    ("P6", "allocations"),
    ("P7", "memory"),
    ("P8", "beside 10,000 streams"),
    ("P9", "a long link"),
    ("P10", "core alone"),
    ("P13", "two workers"),
    ("P14", "both bindings"),
];

/// One figure held against one goal.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) goal: &'static str,
    /// What is told, and beside what.
    pub(crate) what: String,
    /// By which calls, on which runtime.
    pub(crate) how: String,
    pub(crate) wire: &'static str,
    /// A ratio, or a count.
    pub(crate) figure: f64,
    /// The figure that the ratio was made of, with its unit.
    pub(crate) own: Option<(f64, &'static str)>,
    pub(crate) bound: f64,
    /// Whether the bound is one from below.
    pub(crate) at_least: bool,
}

impl Held {
    pub(crate) fn is_met(&self) -> bool {
        if self.at_least { self.figure >= self.bound } else { self.figure <= self.bound }
    }

    /// How far beyond the bound, as a share of it; below zero when it is met.
    fn distance(&self) -> f64 {
        let beyond = self.figure / self.bound - 1.0;
        if self.at_least { -beyond } else { beyond }
    }

    fn bound(&self) -> String {
        format!("{} {}", if self.at_least { ">=" } else { "<=" }, number(self.bound))
    }

    fn cell(&self) -> String {
        let own = match self.own {
            Some((own, unit)) => format!(" ({} {unit})", number(own)),
            None => String::new(),
        };
        let told = match self.is_met() {
            true => "met".to_owned(),
            false => format!("**missed by {:.0} %**", (self.distance() * 100.0).ceil()),
        };
        format!("{}{own}: {told}", number(self.figure))
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "goal": self.goal, "what": self.what, "how": self.how, "wire": self.wire,
            "figure": self.figure, "bound": self.bound, "at_least": self.at_least,
            "met": self.is_met(),
        })
    }
}

/// A summary, and a table for each goal with a column for each wire.
pub(crate) fn text(held: &[Held]) -> String {
    if held.is_empty() {
        return String::new();
    }
    let mut summary = vec![
        ["goal", "what", "figures that meet it", "farthest from it"].map(str::to_owned).to_vec(),
    ];
    let mut sections = String::new();
    for (goal, title) in TITLES {
        let of: Vec<_> = held.iter().filter(|held| held.goal == goal).collect();
        let Some(worst) =
            of.iter().max_by(|one, other| one.distance().total_cmp(&other.distance()))
        else {
            continue;
        };
        let met = of.iter().filter(|held| held.is_met()).count();
        summary.push(vec![
            goal.to_owned(),
            title.to_owned(),
            format!("{met} of {}", of.len()),
            match worst.is_met() {
                true => String::new(),
                false => format!(
                    "{}, {}, {}: {} instead of {}",
                    worst.what,
                    worst.wire,
                    worst.how,
                    number(worst.figure),
                    worst.bound()
                ),
            },
        ]);
        let _ = write!(sections, "\n### {goal}: {title}\n\n{}", section(&of));
    }
    format!("{}{sections}", columns(&summary))
}

fn section(of: &[&Held]) -> String {
    let head = ["what", "how", "goal"].into_iter().chain(WIRES).map(str::to_owned).collect();
    let (mut lines, mut seen): (Vec<Vec<String>>, Vec<[&str; 2]>) = (vec![head], Vec::new());
    for held in of {
        let key = [held.what.as_str(), held.how.as_str()];
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let mut line = vec![held.what.clone(), held.how.clone(), held.bound()];
        for wire in WIRES {
            let same = |other: &&&Held| {
                other.wire == wire && [other.what.as_str(), other.how.as_str()] == key
            };
            line.push(of.iter().find(same).map_or(String::new(), |held| held.cell()));
        }
        lines.push(line);
    }
    columns(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(figure: f64, at_least: bool) -> Held {
        let (what, how) = ("bulk1, tcp: x raw-fc".to_owned(), "owned, tokio".to_owned());
        let own = Some((0.13, "s/GB"));
        Held { goal: "P1", what, how, wire: "yamux", figure, own, bound: 1.25, at_least }
    }

    #[test]
    fn a_goal_that_is_missed_says_by_how_much() {
        assert_eq!(held(1.0, false).cell(), "1.00 (0.13 s/GB): met");
        assert_eq!(held(1.5, false).cell(), "1.50 (0.13 s/GB): **missed by 20 %**");
        assert_eq!(held(1.0, true).cell(), "1.00 (0.13 s/GB): **missed by 20 %**");
        assert_eq!(held(1.25, true).cell(), "1.25 (0.13 s/GB): met");
    }

    #[test]
    fn the_summary_counts_what_is_met_and_names_the_worst() {
        let text = text(&[held(1.0, false), Held { wire: "smux v1", ..held(2.5, false) }]);
        assert!(text.contains("| 1 of 2 "), "{text}");
        assert!(
            text.contains(
                "| bulk1, tcp: x raw-fc, smux v1, owned, tokio: 2.50 instead of <= 1.25 |"
            )
        );
        let rows = text.lines().filter(|line| line.starts_with("| bulk1, tcp: x raw-fc "));
        assert_eq!(rows.count(), 1);
        assert!(text.contains("1.00 (0.13 s/GB): met"));
        assert!(text.contains("2.50 (0.13 s/GB): **missed by 100 %**"));
    }

    #[test]
    fn every_goal_in_json_says_whether_it_is_met() {
        let row: Value = serde_json::from_str(&held(1.5, false).json().to_string()).unwrap();
        assert_eq!(row["goal"], "P1");
        assert_eq!(
            (&row["figure"], &row["bound"], &row["met"]),
            (&json!(1.5), &json!(1.25), &json!(false))
        );
    }
}
