//! What one process of the comparison is told to do, and what it tells when it is done.

use std::collections::BTreeMap;
use std::time::Duration;

use super::transport::Kind;

/// What a subject is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// One way in writes of 32 KiB, over so many streams.
    Bulk(usize),
    /// 64 bytes there and back, over so many streams at once.
    Ping(usize),
    /// Open, 64 bytes, their echo, both ends close; so many at once.
    Churn(usize),
    /// Open 10,000 streams that then do nothing.
    Idle,
    /// One stream's 64 bytes there and back, beside 10,000 that do nothing.
    PingIdle,
    /// One way in writes of 32 KiB over one stream, for six seconds of a long link.
    Latency,
    /// Machines of ours alone: what a frame costs without transport, driver and runtime.
    Core,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Bulk(1),
        Self::Bulk(100),
        Self::Ping(1),
        Self::Ping(100),
        Self::Churn(1),
        Self::Churn(64),
        Self::Idle,
        Self::PingIdle,
        Self::Latency,
        Self::Core,
    ];

    /// Its name on a command line and in tables.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Bulk(streams) => format!("bulk{streams}"),
            Self::Ping(streams) => format!("ping{streams}"),
            Self::Churn(streams) => format!("churn{streams}"),
            Self::Idle => "idle10k".to_owned(),
            Self::PingIdle => "ping1-beside-10k".to_owned(),
            Self::Latency => "latency1".to_owned(),
            Self::Core => "core".to_owned(),
        }
    }

    /// The scenario of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.name() == name)
    }

    /// Whether more streams are open than subjects allow by default.
    #[must_use]
    pub const fn is_crowded(self) -> bool {
        matches!(self, Self::Idle | Self::PingIdle)
    }
}

/// One measurement of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Who.
    pub subject: String,
    /// Does what.
    pub scenario: Scenario,
    /// Over which transport.
    pub transport: Kind,
    /// On how many threads.
    pub threads: usize,
    /// For how long.
    pub time: Duration,
    /// How many units at the most, of each stream; 0 is any number. Not told on a command line.
    pub units: u64,
    /// Whether allocations are counted, which takes a little time itself.
    pub counts: bool,
}

impl Spec {
    /// The arguments that a process is started with.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        let mut args = vec![
            self.subject.clone(),
            self.scenario.name(),
            self.transport.name().to_owned(),
            self.threads.to_string(),
            self.time.as_millis().to_string(),
        ];
        if self.counts {
            args.push("count".to_owned());
        }
        args
    }

    /// What such arguments mean.
    #[must_use]
    pub fn parse(args: &[String]) -> Option<Self> {
        let [subject, scenario, transport, threads, millis, rest @ ..] = args else { return None };
        Some(Self {
            subject: subject.clone(),
            scenario: Scenario::named(scenario)?,
            transport: Kind::named(transport)?,
            threads: threads.parse().ok()?,
            time: Duration::from_millis(millis.parse().ok()?),
            units: 0,
            counts: rest.first().is_some_and(|word| word == "count"),
        })
    }
}

/// What came out: figures by name. Every scenario but `core` gives `units`, `cpu_ns` and `wall_ns`; units are
/// bytes for bulk, round trips for pings, streams for churn and idle.
pub type Sample = BTreeMap<String, f64>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_understood_as_they_were_written() {
        for scenario in Scenario::ALL {
            let spec = Spec {
                subject: "raw".to_owned(),
                scenario,
                transport: Kind::Tcp,
                threads: 2,
                time: Duration::from_millis(300),
                units: 0,
                counts: scenario == Scenario::Idle,
            };
            assert_eq!(Spec::parse(&spec.args()), Some(spec));
        }
        assert_eq!(Spec::parse(&["raw".to_owned()]), None);
    }
}
