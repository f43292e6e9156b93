//! The goals P1 to P14, as far as one run can tell them, each for each of our wires.

use trunkline_bench::mux::spec::Scenario::{self, Bulk, Churn, Idle, Latency, Ping, PingIdle};
use trunkline_bench::mux::wires::WIRES;

use super::figures::{ALLOCATIONS, CPU, Figures, WRITES};
use super::plan::Place;
use crate::table::{columns, number};

/// One figure held against one goal.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) goal: &'static str,
    what: String,
    who: String,
    figure: f64,
    bound: f64,
    at_least: bool,
}

impl Held {
    pub(crate) fn is_met(&self) -> bool {
        if self.at_least { self.figure >= self.bound } else { self.figure <= self.bound }
    }

    fn cells(&self) -> Vec<String> {
        let sign = if self.at_least { ">=" } else { "<=" };
        let told = match self.is_met() {
            true => "met".to_owned(),
            false if self.bound == 0.0 => "MISSED".to_owned(),
            false => format!("MISSED by {:.0} %", (self.figure / self.bound - 1.0).abs() * 100.0),
        };
        vec![
            self.goal.to_owned(),
            self.what.clone(),
            self.who.clone(),
            number(self.figure),
            format!("{sign} {}", number(self.bound)),
            told,
        ]
    }
}

/// Everything that can be told from these figures.
pub(crate) fn held(figures: &Figures) -> Vec<Held> {
    let mut ledger = Ledger { figures, held: Vec::new() };
    for wire in WIRES {
        ledger.wire(wire);
    }
    ledger.held.sort_by_key(|held| held.goal.trim_start_matches('P').parse::<u32>().unwrap_or(0));
    ledger.held
}

/// They as a table.
pub(crate) fn table(figures: &Figures) -> String {
    let held = held(figures);
    if held.is_empty() {
        return String::new();
    }
    let head = ["goal", "what", "who", "figure", "bound", ""].map(str::to_owned).to_vec();
    let rows = held.iter().map(Held::cells);
    columns(&[head].into_iter().chain(rows).collect::<Vec<_>>())
}

struct Ledger<'a> {
    figures: &'a Figures,
    held: Vec<Held>,
}

impl Ledger<'_> {
    fn cpu(&self, scenario: Scenario, place: Place, who: &str) -> Option<f64> {
        self.figures.median(scenario, place, who, CPU)
    }

    fn push(
        &mut self,
        goal: &'static str,
        what: impl Into<String>,
        who: &str,
        figure: Option<f64>,
        bound: f64,
    ) {
        let Some(figure) = figure else { return };
        let (what, who) = (what.into(), who.to_owned());
        self.held.push(Held { goal, what, who, figure, bound, at_least: false });
    }

    /// A figure that is to be at least so much.
    fn floor(
        &mut self,
        goal: &'static str,
        what: &str,
        who: &str,
        figure: Option<f64>,
        bound: f64,
    ) {
        self.push(goal, what, who, figure, bound);
        if figure.is_some()
            && let Some(last) = self.held.last_mut()
        {
            last.at_least = true;
        }
    }

    /// CPU beside another's, or beside the best peer's.
    fn beside(
        &mut self,
        goal: &'static str,
        (scenario, place): (Scenario, Place),
        who: &str,
        other: &str,
        bound: f64,
    ) {
        let other_cpu = match other {
            "best peer" => self.figures.best_peer(scenario, place).map(|best| best.1),
            name => self.cpu(scenario, place, name),
        };
        let figure = self.cpu(scenario, place, who).zip(other_cpu).map(|(own, other)| own / other);
        let what = format!("{}, {}: x {other}", scenario.name(), place.name());
        self.push(goal, what, who, figure, bound);
    }

    fn wire(&mut self, wire: &str) {
        let us = format!("trunkline {wire}");
        let (us, owned) = (us.as_str(), format!("{us} owned"));
        let owned = owned.as_str();
        self.bulk(us, owned);
        self.small(us);
        self.memory(us);
        self.link(us);
        self.two_workers(us);
        self.bindings(wire);
    }

    fn bulk(&mut self, us: &str, owned: &str) {
        self.beside("P1", (Bulk(1), Place::TCP), owned, "raw-fc", 1.25);
        self.beside("P1", (Bulk(1), Place::TCP), us, "raw-fc", 1.5);
        self.beside("P2", (Bulk(100), Place::TCP), us, "raw", 0.9);
        self.beside("P2", (Bulk(100), Place::TCP), us, "best peer", 0.8);
        self.beside("P2", (Bulk(100), Place::TCP), owned, "best peer", 0.7);
        self.beside("P2", (Bulk(100), Place::TCP_256K), us, "raw-fc", 1.2);
    }

    fn small(&mut self, us: &str) {
        let place = Place::TCP;
        self.beside("P3", (Ping(1), place), us, "raw", 1.1);
        let above =
            self.cpu(Ping(1), Place::DUPLEX, us).zip(self.cpu(Ping(1), Place::DUPLEX, "raw"));
        self.push("P3", "ping1, duplex: us above raw", us, above.map(|(us, raw)| us - raw), 0.5);
        self.beside("P4", (Ping(100), place), us, "raw", 0.1);
        self.beside("P4", (Ping(100), place), us, "async_smux", 0.4);
        self.beside("P4", (Ping(100), place), us, "yamux", 0.05);
        let writes = self.figures.median(Ping(100), place, us, WRITES);
        self.push("P4", "ping100, tcp: writes a round trip", us, writes, 0.05);
        let raw = self.cpu(Ping(1), place, "raw");
        let to_raw = |own: Option<f64>| own.zip(raw).map(|(own, raw)| own / raw);
        let churn = to_raw(self.cpu(Churn(1), place, us));
        self.push("P5", "churn1, tcp: x a raw ping", us, churn, 1.25);
        let writes = self.figures.median(Churn(1), place, us, WRITES);
        self.push("P5", "churn1, tcp: writes a stream", us, writes, 2.05);
        let churn = to_raw(self.cpu(Churn(64), place, us));
        self.push("P5", "churn64, tcp: x a raw ping (a million a second)", us, churn, 0.25);
        self.beside("P5", (Churn(64), place), us, "h2", 1.0 / 6.0);
        self.beside("P5", (Churn(64), place), us, "async_smux", 1.0 / 8.0);
        self.beside("P5", (Churn(64), place), us, "yamux", 1.0 / 15.0);
    }

    fn memory(&mut self, us: &str) {
        let counted = |scenario| self.figures.median(scenario, Place::DUPLEX, us, ALLOCATIONS);
        let (message, bulk, stream) = (counted(Ping(1)), counted(Bulk(1)), counted(Churn(64)));
        self.push("P6", "allocations a round trip", us, message, 0.01);
        self.push("P6", "allocations for 32 KiB", us, bulk, 0.25);
        self.push("P6", "allocations a stream, both ends", us, stream, 4.0);
        let idle = |name| self.figures.median(Idle, Place::DUPLEX, us, name);
        let (resident, first, last) = (idle("resident_each"), idle("first_ns"), idle("last_ns"));
        self.push("P7", "resident bytes of an idle pair", us, resident, 512.0);
        let slower = first.zip(last).map(|(first, last)| last / first);
        self.push("P8", "the 10,000th open: x the first", us, slower, 1.3);
        let beside = self.cpu(PingIdle, Place::TCP, us).zip(self.cpu(Ping(1), Place::TCP, us));
        let beside = beside.map(|(beside, alone)| beside / alone);
        self.push("P8", "ping1 beside 10,000 idle streams: x alone", us, beside, 1.05);
    }

    fn link(&mut self, us: &str) {
        for (name, what, bound) in [
            ("bytes_per_second", "50 ms, 1 Gbit/s, 6 s: of raw", 0.95),
            ("bytes_per_second_at_last", "the same, last quarter: of raw", 0.99),
        ] {
            let rate = |who| self.figures.median(Latency, Place::LINK, who, name);
            let share = rate(us).zip(rate("raw")).map(|(us, raw)| us / raw);
            self.floor("P9", what, us, share, bound);
        }
    }

    fn two_workers(&mut self, us: &str) {
        let place = Place::TCP_2;
        for (scenario, bound) in [
            (Bulk(1), 0.5),
            (Churn(1), 0.5),
            (Churn(64), 0.5),
            (Ping(100), 0.75),
            (Bulk(100), 0.75),
        ] {
            self.beside("P13", (scenario, place), us, "best peer", bound);
        }
        self.beside("P13", (Ping(1), place), us, "raw", 1.1);
        for (scenario, bound) in [(Bulk(1), 1.3), (Ping(100), 5.0), (Churn(64), 5.0)] {
            let both = self.cpu(scenario, place, us).zip(self.cpu(scenario, Place::TCP, us));
            let what = format!("{}, tcp, two workers: x one thread", scenario.name());
            self.push("P13", what, us, both.map(|(two, one)| two / one), bound);
        }
    }

    /// Each as a ratio to raw on its own runtime; the larger of the two by the smaller.
    fn bindings(&mut self, wire: &str) {
        for scenario in [Bulk(1), Bulk(100), Ping(1), Ping(100), Churn(1), Churn(64)] {
            let ratio = |runtime: &str| {
                let own = self.cpu(scenario, Place::TCP, &format!("trunkline {wire}{runtime}"))?;
                // A stream of ours is no connection: it stands beside a ping.
                let beside = if matches!(scenario, Churn(_)) { Ping(1) } else { scenario };
                Some(own / self.cpu(beside, Place::TCP, &format!("raw{runtime}"))?)
            };
            let apart = ratio("")
                .zip(ratio("@smol"))
                .map(|(one, other)| f64::max(one / other, other / one));
            let what = format!("{}, tcp: one binding x the other", scenario.name());
            self.push("P14", what, &format!("trunkline {wire}"), apart, 1.15);
        }
    }
}
