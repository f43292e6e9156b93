//! Which subject does what, over which transport and on how many threads.

use std::time::Duration;

use trunkline_bench::mux::spec::{Scenario, Spec};
use trunkline_bench::mux::transport::Kind;

use super::Wanted;
use super::players::Players;

/// The crates of others.
pub(crate) const CRATES: [&str; 6] =
    ["yamux", "tokio-yamux", "async_smux", "tokio_smux", "smux", "h2"];

/// The originals in Go.
pub(crate) const GO: [&str; 4] = ["go raw", "go yamux", "go smux v1", "go smux v2"];

/// One thing that is measured: so many times, in a process of its own each time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    /// Where the scenario stands in tables, and which it is.
    pub(crate) scenario: (usize, String),
    /// Where and under what it runs.
    pub(crate) place: Place,
    /// Who.
    pub(crate) subject: String,
    /// Whether it is run for its allocations, and not for its time.
    pub(crate) counts: bool,
}

/// A transport and a number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    transport: u8,
    pub(crate) threads: usize,
}

impl Place {
    pub(crate) const TCP: Self = Self { transport: 1, threads: 1 };
    pub(crate) const TCP_2: Self = Self { transport: 1, threads: 2 };
    pub(crate) const TCP_256K: Self = Self { transport: 2, threads: 1 };
    pub(crate) const DUPLEX: Self = Self { transport: 0, threads: 1 };
    pub(crate) const LINK: Self = Self { transport: 3, threads: 1 };
    pub(crate) const ALONE: Self = Self { transport: 4, threads: 1 };

    const KINDS: [Kind; 5] = [Kind::Duplex, Kind::Tcp, Kind::TcpBounded, Kind::Link, Kind::Alone];

    fn kind(self) -> Kind {
        Self::KINDS.get(usize::from(self.transport)).copied().unwrap_or(Kind::Tcp)
    }

    /// For the heading of a table.
    pub(crate) fn name(self) -> String {
        if self == Self::ALONE {
            return "machines alone".to_owned();
        }
        let threads = if self.threads == 1 { "one thread" } else { "two workers" };
        format!("{}, {threads}", self.kind().name())
    }
}

impl Cell {
    /// A cell by its parts.
    pub(crate) fn new(scenario: Scenario, place: Place, subject: &str, counts: bool) -> Self {
        let at = Scenario::ALL.iter().position(|known| *known == scenario).unwrap_or_default();
        Self { scenario: (at, scenario.name()), place, subject: subject.to_owned(), counts }
    }

    pub(crate) fn scenario(&self) -> Scenario {
        Scenario::named(&self.scenario.1).unwrap_or(Scenario::Ping(1))
    }

    /// In how many of all rounds it takes part: what takes long takes part in fewer.
    pub(crate) fn rounds(&self, wanted: &Wanted) -> usize {
        let all = wanted.rounds();
        match self.scenario() {
            _ if self.counts => 1,
            Scenario::Latency | Scenario::Idle | Scenario::PingIdle if wanted.quick => 1,
            Scenario::Latency | Scenario::Idle | Scenario::PingIdle => all.min(3),
            _ => all,
        }
    }

    /// How long one process is likely to take.
    pub(crate) fn expected(&self, quick: bool) -> Duration {
        let own = match self.scenario() {
            Scenario::Idle => 1_000,
            Scenario::PingIdle => 1_500,
            // What was written still has to arrive, and what was queued.
            Scenario::Bulk(_) => 100,
            _ => 50,
        };
        self.spec(quick).time * 7 / 6 + Duration::from_millis(own)
    }

    /// What a process is told.
    pub(crate) fn spec(&self, quick: bool) -> Spec {
        let scenario = self.scenario();
        let millis = match scenario {
            // The goal is about these six seconds: shorter ones would show the start twice.
            Scenario::Latency => 6_000,
            _ if self.counts => 60,
            Scenario::Core if !quick => 600,
            _ if quick => 80,
            _ => 300,
        };
        Spec {
            subject: self.subject.clone(),
            scenario,
            transport: self.place.kind(),
            threads: self.place.threads,
            time: Duration::from_millis(millis),
            units: 0,
            counts: self.counts,
        }
    }
}

/// The names of all scenarios.
pub(crate) fn scenarios() -> Vec<String> {
    Scenario::ALL.iter().map(|scenario| scenario.name()).collect()
}

pub(crate) fn is_scenario(name: &str) -> bool {
    Scenario::named(name).is_some()
}

/// Everything that is wanted and can be had, in an order that brings what is compared together.
pub(crate) fn cells(wanted: &Wanted, players: &Players) -> Vec<Cell> {
    let mut cells = Vec::new();
    for scenario in Scenario::ALL {
        if !wanted.scenarios.is_empty() && !wanted.scenarios.contains(&scenario.name()) {
            continue;
        }
        for place in places(scenario) {
            for subject in subjects(scenario, *place, players) {
                let named = |word: &String| subject.contains(word.as_str());
                if wanted.only.is_empty() || is_bare(&subject) || wanted.only.iter().any(named) {
                    cells.push(Cell::new(scenario, *place, &subject, false));
                    if counted(scenario, *place, &subject) {
                        cells.push(Cell::new(scenario, *place, &subject, true));
                    }
                }
            }
        }
    }
    cells
}

fn places(scenario: Scenario) -> &'static [Place] {
    match scenario {
        Scenario::Latency => &[Place::LINK],
        Scenario::Core => &[Place::ALONE],
        Scenario::Idle => &[Place::DUPLEX],
        Scenario::PingIdle => &[Place::TCP],
        Scenario::Bulk(100) => &[Place::DUPLEX, Place::TCP, Place::TCP_256K, Place::TCP_2],
        _ => &[Place::DUPLEX, Place::TCP, Place::TCP_2],
    }
}

/// Allocations are those of one thread and a transport that allocates nothing itself.
fn counted(scenario: Scenario, place: Place, subject: &str) -> bool {
    let is_there = place == Place::DUPLEX && !is_go(subject);
    is_there && !matches!(scenario, Scenario::PingIdle | Scenario::Latency | Scenario::Core)
}

/// Whether a subject is a bare transport.
pub(crate) fn is_bare(subject: &str) -> bool {
    subject.starts_with("raw") || subject == "go raw"
}

/// Whether a subject is one of the originals in Go.
pub(crate) fn is_go(subject: &str) -> bool {
    subject.starts_with("go ")
}

/// Whether a subject is ours.
pub(crate) fn is_ours(subject: &str) -> bool {
    subject.starts_with("trunkline")
}

/// Whether a subject runs under smol.
pub(crate) fn is_smol(subject: &str) -> bool {
    subject.ends_with("@smol")
}

/// The bare transport that a subject stands beside: that of its own runtime.
pub(crate) fn bare_of(subject: &str, bare: &str) -> String {
    if is_smol(subject) { format!("{bare}@smol") } else { bare.to_owned() }
}

fn subjects(scenario: Scenario, place: Place, players: &Players) -> Vec<String> {
    let bulk = matches!(scenario, Scenario::Bulk(_));
    // Ten thousand connections take more descriptors than a process has.
    let bare = !scenario.is_crowded() && scenario != Scenario::Core;
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str, fits: bool| {
        if fits {
            names.push(name.to_owned());
        }
    };
    add("raw", bare);
    add("raw-fc", bulk);
    for wire in trunkline_bench::mux::wires::WIRES {
        // The first version of smux has no windows that could follow a long link.
        add(&format!("trunkline {wire}"), scenario != Scenario::Latency || wire != "smux v1");
        add(&format!("trunkline {wire} owned"), bulk);
    }
    for name in CRATES {
        let fits = match scenario {
            Scenario::Core => false,
            // The others have a fixed window, which tells the link's length, or none at all.
            Scenario::Latency => name == "yamux" || name == "h2",
            _ => true,
        };
        add(name, fits && players.has_crates());
    }
    let over_tcp = place == Place::TCP || place == Place::TCP_2;
    for name in GO {
        let fits = over_tcp || scenario == Scenario::Idle;
        add(name, players.has_go() && fits && (bare || name != "go raw"));
    }
    if over_tcp || place == Place::TCP_256K {
        add("raw@smol", bare);
        add("raw-fc@smol", bulk);
        for wire in trunkline_bench::mux::wires::WIRES {
            add(&format!("trunkline {wire}@smol"), true);
            add(&format!("trunkline {wire} owned@smol"), bulk);
        }
    }
    names
}
