//! What is asked of everybody, and what came out.

use std::collections::BTreeMap;

use super::chain::{Chain, Players, Report, Who};
use super::idle;
use crate::Failure;

/// Bytes of a small answer.
const SMALL: u64 = 64;

/// One thing that is measured.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Case {
    /// Small answers, so many requests with so many in flight.
    Small { in_flight: u64, requests: u64 },
    /// One answer of so many bytes.
    Down(u64),
    /// One request of so many bytes.
    Up(u64),
    /// Small answers, one after the other, while an endless one saturates the tunnel.
    Beside(u64),
}

impl Case {
    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Small { in_flight: 1, .. } => "small1",
            Self::Small { in_flight: 64, .. } => "small64",
            Self::Small { .. } => "small1000",
            Self::Down(_) => "down",
            Self::Up(_) => "up",
            Self::Beside(_) => "beside",
        }
    }

    /// What a table calls it.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Small { in_flight, .. } => format!("{SMALL} B, {in_flight} in flight"),
            Self::Down(bytes) => format!("{} MiB down", bytes >> 20),
            Self::Up(bytes) => format!("{} MiB up", bytes >> 20),
            Self::Beside(_) => format!("{SMALL} B beside a saturating answer"),
        }
    }

    /// Whether somebody takes part. The bare library has one connection for each of HTTP's and no
    /// streams: only large bodies can be compared.
    pub(crate) const fn takes(self, who: Who) -> bool {
        !matches!(who, Who::Bare) || matches!(self, Self::Down(_) | Self::Up(_))
    }

    /// One run.
    pub(crate) fn play(self, players: &Players, chain: &Chain) -> Result<Report, Failure> {
        let (kind, requests, in_flight, bytes, warm) = match self {
            Self::Small { in_flight, requests } => {
                ("down", requests, in_flight, SMALL, in_flight.max(100))
            }
            Self::Down(bytes) => ("down", 1, 1, bytes, 0),
            Self::Up(bytes) => ("up", 1, 1, bytes, 0),
            Self::Beside(requests) => ("down", requests, 1, SMALL, 10),
        };
        let mut args = vec![
            "--url".to_owned(),
            chain.url.clone(),
            "--pids".to_owned(),
            chain.counted(),
            "--kind".to_owned(),
            kind.to_owned(),
        ];
        let numbers = [
            ("--requests", requests),
            ("--inflight", in_flight),
            ("--bytes", bytes),
            ("--warm", warm),
        ];
        for (name, number) in numbers {
            args.extend([name.to_owned(), number.to_string()]);
        }
        if matches!(self, Self::Beside(_)) {
            args.push("--beside".to_owned());
        }
        players
            .load(&args)
            .map_err(|Failure(line)| Failure::new(format!("{}: {line}", chain.who.name())))
    }
}

/// The names of everything that can be asked for.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    cases(true).into_iter().map(Case::name).chain([idle::NAME])
}

/// Everything that is asked of chains, in order.
pub(crate) fn cases(quick: bool) -> Vec<Case> {
    let requests = |many: u64| if quick { many / 5 } else { many };
    let bytes = if quick { 256 << 20 } else { 1 << 30 };
    vec![
        Case::Small { in_flight: 1, requests: requests(10_000) },
        Case::Small { in_flight: 64, requests: requests(50_000) },
        Case::Small { in_flight: 1000, requests: requests(50_000) },
        Case::Down(bytes),
        Case::Up(bytes),
        Case::Beside(requests(2_000)),
    ]
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<Case, BTreeMap<Who, Vec<Report>>>);

impl Samples {
    pub(crate) fn add(&mut self, case: Case, who: Who, report: Report) {
        self.0.entry(case).or_default().entry(who).or_default().push(report);
    }

    /// Each case with what everybody's runs told.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Case, &BTreeMap<Who, Vec<Report>>)> {
        self.0.iter().map(|(case, all)| (*case, all))
    }
}
