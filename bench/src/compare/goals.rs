//! The goals P1 to P10, P13 and P14, as far as one run can tell them, for each of our wires on each
//! runtime.

use trunkline_bench::mux::spec::Scenario::{
    self, Bulk, Churn, Core, Idle, Latency, Ping, PingIdle,
};
use trunkline_bench::mux::wires::WIRES;

use super::figures::{ALLOCATIONS, CPU, Figures, WRITES};
use super::held::{self, Held};
use super::plan::{Place, bare_of};

/// A MiB more than the windows of so many streams, in MiB: what a transfer may hold.
const WINDOW_MIB: f64 = 0.25;

/// Everything that can be told from these figures.
pub(crate) fn held(figures: &Figures) -> Vec<Held> {
    let mut all = Vec::new();
    for wire in WIRES {
        for runtime in ["", "@smol"] {
            let mut ledger = Ledger { figures, wire, runtime, held: Vec::new() };
            ledger.speed();
            ledger.crowd();
            ledger.two_workers();
            if runtime.is_empty() {
                ledger.memory();
                ledger.link();
                ledger.core();
                ledger.bindings();
            }
            all.append(&mut ledger.held);
        }
    }
    all
}

/// They as tables.
pub(crate) fn text(figures: &Figures) -> String {
    held::text(&held(figures))
}

/// One wire on one runtime.
struct Ledger<'a> {
    figures: &'a Figures,
    wire: &'static str,
    runtime: &'static str,
    held: Vec<Held>,
}

/// A scenario and where it runs.
type At = (Scenario, Place);

impl Ledger<'_> {
    /// The subject's name: through the traits, or by owned buffers.
    fn name(&self, owned: bool) -> String {
        let owned = if owned { " owned" } else { "" };
        format!("trunkline {}{owned}{}", self.wire, self.runtime)
    }

    fn cpu(&self, (scenario, place): At, who: &str) -> Option<f64> {
        self.figures.median(scenario, place, who, CPU)
    }

    fn push(
        &mut self,
        goal: &'static str,
        what: impl Into<String>,
        owned: bool,
        figure: Option<f64>,
        bound: f64,
    ) {
        let Some(figure) = figure else { return };
        let runtime = if self.runtime.is_empty() { "tokio" } else { "smol" };
        let how = if owned { format!("owned, {runtime}") } else { runtime.to_owned() };
        let (what, wire) = (what.into(), self.wire);
        self.held.push(Held { goal, what, how, wire, figure, own: None, bound, at_least: false });
    }

    /// The figure that the last ratio was made of.
    fn of(&mut self, (scenario, place): At, owned: bool) {
        let own = self.cpu((scenario, place), &self.name(owned));
        let unit = if matches!(scenario, Bulk(_)) { "s/GB" } else { "us" };
        if let (Some(last), Some(own)) = (self.held.last_mut(), own) {
            last.own = Some((own, unit));
        }
    }

    /// CPU beside another's, beside the bare transport's of the same runtime, or beside the best
    /// peer's.
    fn beside(&mut self, goal: &'static str, at: At, owned: bool, other: &str, bound: f64) {
        let other_cpu = match other {
            "best peer" => self.figures.best_peer(at.0, at.1).map(|best| best.1),
            "raw" | "raw-fc" => self.cpu(at, &bare_of(self.runtime, other)),
            name => self.cpu(at, name),
        };
        let figure = self.cpu(at, &self.name(owned)).zip(other_cpu).map(|(own, other)| own / other);
        let what = format!("{}, {}: x {other}", at.0.name(), at.1.name());
        self.push(goal, what, owned, figure, bound);
        if figure.is_some() {
            self.of(at, owned);
        }
    }

    fn speed(&mut self) {
        let place = Place::TCP;
        self.beside("P1", (Bulk(1), place), true, "raw-fc", 1.25);
        self.beside("P1", (Bulk(1), place), false, "raw-fc", 1.5);
        for (owned, peer) in [(true, 0.7), (false, 0.8)] {
            self.beside("P2", (Bulk(100), place), owned, "raw", 0.9);
            self.beside("P2", (Bulk(100), place), owned, "best peer", peer);
            self.beside("P2", (Bulk(100), Place::TCP_256K), owned, "raw-fc", 1.2);
        }
        self.beside("P3", (Ping(1), place), false, "raw", 1.1);
        if self.runtime.is_empty() {
            let at = (Ping(1), Place::DUPLEX);
            let above = self.cpu(at, &self.name(false)).zip(self.cpu(at, "raw"));
            let above = above.map(|(own, raw)| own - raw);
            self.push("P3", "ping1, duplex: us above raw", false, above, 0.5);
        }
        self.beside("P4", (Ping(100), place), false, "raw", 0.1);
        self.beside("P4", (Ping(100), place), false, "async_smux", 0.4);
        self.beside("P4", (Ping(100), place), false, "yamux", 0.05);
        let writes = |scenario| self.figures.median(scenario, place, &self.name(false), WRITES);
        let (messages, streams) = (writes(Ping(100)), writes(Churn(1)));
        self.push("P4", "ping100, tcp: writes a round trip", false, messages, 0.05);
        let raw = self.cpu((Ping(1), place), &bare_of(self.runtime, "raw"));
        for (scenario, bound) in [(Churn(1), 1.25), (Churn(64), 0.25)] {
            let own = self.cpu((scenario, place), &self.name(false));
            let to_raw = own.zip(raw).map(|(own, raw)| own / raw);
            let what = format!("{}, tcp: x a raw ping-pong", scenario.name());
            self.push("P5", what, false, to_raw, bound);
            if to_raw.is_some() {
                self.of((scenario, place), false);
            }
        }
        // What other frames there are now and then is not a third write.
        self.push("P5", "churn1, tcp: writes a stream", false, streams, 2.05);
        for (peer, times) in [("h2", 6.0), ("async_smux", 8.0), ("yamux", 15.0)] {
            self.beside("P5", (Churn(64), place), false, peer, 1.0 / times);
        }
    }

    fn crowd(&mut self) {
        let own = self.name(false);
        let alone = self.cpu((Ping(1), Place::TCP), &own);
        let beside = self.cpu((PingIdle, Place::TCP), &own).zip(alone);
        let beside = beside.map(|(beside, alone)| beside / alone);
        self.push("P8", "ping1 beside 10,000 idle streams: x alone", false, beside, 1.05);
    }

    fn memory(&mut self) {
        let place = Place::DUPLEX;
        let (own, owned) = (self.name(false), self.name(true));
        let counted = |scenario, who: &str| self.figures.median(scenario, place, who, ALLOCATIONS);
        let (one, many) = (counted(Ping(1), &own), counted(Ping(100), &own));
        let (bulk, by_buffers) = (counted(Bulk(1), &own), counted(Bulk(1), &owned));
        let stream = counted(Churn(64), &own);
        // What happens once in a hundred messages does not belong to a message.
        self.push("P6", "ping1: a round trip", false, one, 0.01);
        self.push("P6", "ping100: a round trip", false, many, 0.01);
        self.push("P6", "bulk1: for 32 KiB", true, by_buffers, 0.25);
        self.push("P6", "bulk1: for 32 KiB", false, bulk, 0.25);
        self.push("P6", "churn64: a stream, both ends", false, stream, 4.0);
        let idle = |name| self.figures.median(Idle, place, &own, name);
        let (resident, first, last) = (idle("resident_each"), idle("first_ns"), idle("last_ns"));
        let heap = self.figures.median(Core, Place::ALONE, &own, "heap_each");
        self.push("P7", "idle stream and end in core: bytes of heap", false, heap, 128.0);
        self.push("P7", "idle pair with its handles: resident bytes", false, resident, 512.0);
        if self.has_windows() {
            for streams in [1, 100] {
                let most = self.figures.median(Bulk(streams), place, &own, "most_held");
                let most = most.map(|most| most / f64::from(1 << 20));
                let what = format!("bulk{streams}: MiB of heap, beside windows of 256 KiB + 1 MiB");
                self.push("P7", what, false, most, WINDOW_MIB * streams as f64 + 1.0);
            }
        }
        let slower = first.zip(last).map(|(first, last)| last / first);
        self.push("P8", "the 10,000th open: x the first", false, slower, 1.3);
    }

    /// The first version of smux has none.
    fn has_windows(&self) -> bool {
        self.wire != "smux v1"
    }

    fn link(&mut self) {
        for (name, what, bound) in [
            ("bytes_per_second", "1 Gbit/s, 50 ms: of raw", 0.95),
            ("bytes_per_second_at_last", "the same, last quarter: of raw", 0.99),
        ] {
            let rate = |who: &str| self.figures.median(Latency, Place::LINK, who, name);
            let (own, raw) = (rate(&self.name(false)), rate("raw"));
            self.push("P9", what, false, own.zip(raw).map(|(own, raw)| own / raw), bound);
            if let (Some(own), Some(_), Some(last)) = (own, raw, self.held.last_mut()) {
                (last.at_least, last.own) = (true, Some((own / 1e6, "MB/s")));
            }
        }
    }

    fn core(&mut self) {
        let told = |name: &str| self.figures.median(Core, Place::ALONE, &self.name(false), name);
        let (sent, received, head) = (told("send_ns"), told("receive_ns"), told("head_ns"));
        let by = |own: Option<f64>, other: Option<f64>| own.zip(other).map(|(own, by)| own / by);
        let large = by(told("send_large_of_8_ns"), told("send_of_8_ns"));
        let large_in = by(told("receive_large_of_8_ns"), told("receive_of_8_ns"));
        for (what, figure) in [("sent", sent), ("received", received)] {
            self.push("P10", format!("64 B frame {what}: ns"), false, figure, 50.0);
            let to_head = by(figure, head);
            self.push("P10", format!("64 B frame {what}: x a head"), false, to_head, 25.0);
            if let (Some(_), Some(last), Some(head)) = (to_head, self.held.last_mut(), head) {
                last.own = Some((head, "ns a head"));
            }
        }
        self.push("P10", "16 KiB frame sent: x one of 64 B", false, large, 1.1);
        self.push("P10", "16 KiB frame received: x one of 64 B", false, large_in, 1.1);
    }

    fn two_workers(&mut self) {
        let place = Place::TCP_2;
        for (scenario, bound) in [
            (Bulk(1), 0.5),
            (Churn(1), 0.5),
            (Churn(64), 0.5),
            (Ping(100), 0.75),
            (Bulk(100), 0.75),
        ] {
            self.beside("P13", (scenario, place), false, "best peer", bound);
        }
        self.beside("P13", (Ping(1), place), false, "raw", 1.1);
        for (scenario, bound) in [(Bulk(1), 1.3), (Ping(100), 5.0), (Churn(64), 5.0)] {
            let own = self.name(false);
            let both =
                self.cpu((scenario, place), &own).zip(self.cpu((scenario, Place::TCP), &own));
            let what = format!("{}, tcp, two workers: x one thread", scenario.name());
            self.push("P13", what, false, both.map(|(two, one)| two / one), bound);
        }
    }

    /// Each as a ratio to raw on its own runtime; the larger of the two by the smaller.
    fn bindings(&mut self) {
        for (scenario, owned) in [
            (Bulk(1), true),
            (Bulk(1), false),
            (Bulk(100), true),
            (Bulk(100), false),
            (Ping(1), false),
            (Ping(100), false),
            (Churn(1), false),
            (Churn(64), false),
        ] {
            let ratio = |runtime: &str| {
                let own = format!("{}{runtime}", self.name(owned));
                // A stream of ours is no connection: it stands beside a ping.
                let beside = if matches!(scenario, Churn(_)) { Ping(1) } else { scenario };
                let raw = self.cpu((beside, Place::TCP), &bare_of(runtime, "raw"))?;
                Some(self.cpu((scenario, Place::TCP), &own)? / raw)
            };
            let apart = ratio("").zip(ratio("@smol"));
            let apart = apart.map(|(one, other)| f64::max(one / other, other / one));
            let what = format!("{}, tcp: one x the other", scenario.name());
            self.push("P14", what, owned, apart, 1.15);
            if let (Some(_), Some(last)) = (apart, self.held.last_mut()) {
                last.how = last.how.replace("tokio", "both");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::plan::Cell;
    use super::*;

    fn figures(told: &[(Scenario, Place, &str, f64)]) -> Figures {
        let samples = told.iter().map(|(scenario, place, subject, cpu)| {
            let sample = [("units", 1.0), ("cpu_ns", *cpu)].map(|(name, of)| (name.to_owned(), of));
            (Cell::new(*scenario, *place, subject, false), vec![sample.into()])
        });
        Figures::of(samples.collect(), BTreeMap::new())
    }

    #[test]
    fn bulk_is_held_to_the_floor_of_its_own_runtime() {
        let figures = figures(&[
            (Bulk(1), Place::TCP, "raw-fc", 0.1),
            (Bulk(1), Place::TCP, "raw-fc@smol", 0.2),
            (Bulk(1), Place::TCP, "trunkline yamux owned", 0.12),
            (Bulk(1), Place::TCP, "trunkline yamux owned@smol", 0.3),
        ]);
        let held = held(&figures);
        let [tokio, smol] = held.as_slice() else { panic!("{held:?}") };
        assert_eq!((tokio.goal, tokio.how.as_str()), ("P1", "owned, tokio"));
        assert!(tokio.is_met() && !smol.is_met());
        assert!((smol.figure - 1.5).abs() < 1e-9);
        assert_eq!(smol.own, Some((0.3, "s/GB")));
    }

    #[test]
    fn bindings_are_compared_by_their_ratios_to_raw() {
        let figures = figures(&[
            (Ping(1), Place::TCP, "raw", 10.0),
            (Ping(1), Place::TCP, "raw@smol", 20.0),
            (Ping(1), Place::TCP, "trunkline smux v1", 11.0),
            (Ping(1), Place::TCP, "trunkline smux v1@smol", 22.0),
        ]);
        let held = held(&figures);
        let apart = held.iter().find(|held| held.goal == "P14").unwrap();
        assert!(apart.is_met() && (apart.figure - 1.0).abs() < 1e-9, "{apart:?}");
        assert_eq!((apart.wire, apart.how.as_str()), ("smux v1", "both"));
    }
}
