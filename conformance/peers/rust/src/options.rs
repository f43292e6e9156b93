//! The command line that every peer understands.

use std::process;

use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

/// The wire that a peer is told to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WireName {
    /// yamux.
    Yamux,
    /// smux, version 1.
    Smux1,
    /// smux, version 2.
    Smux2,
    /// wormhole.
    Wormhole,
}

impl WireName {
    /// Every wire there is.
    pub const ALL: [Self; 4] = [Self::Yamux, Self::Smux1, Self::Smux2, Self::Wormhole];

    /// As the command line has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Yamux => "yamux",
            Self::Smux1 => "smux1",
            Self::Smux2 => "smux2",
            Self::Wormhole => "wormhole",
        }
    }
}

/// Which end of the connection a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// It dials.
    Client,
    /// It listens.
    Server,
}

impl Role {
    /// As the command line has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// What a peer plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Streams of several sizes from both sides, echoed.
    Echo,
    /// Many bytes both ways at once.
    Bulk,
    /// Many short streams.
    Short,
    /// An answer behind the end of the question.
    HalfClose,
    /// Signs of life.
    Ping,
    /// No more streams, please.
    GoAway,
    /// The other side dies.
    Survive,
    /// This side dies.
    Die,
}

impl Scenario {
    /// As the command line has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Bulk => "bulk",
            Self::Short => "short",
            Self::HalfClose => "half-close",
            Self::Ping => "ping",
            Self::GoAway => "go-away",
            Self::Survive => "survive",
            Self::Die => "die",
        }
    }
}

/// The options of `conformance/peers/README.md`.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// The wire.
    #[arg(long)]
    pub wire: WireName,
    /// The role, on the wire too.
    #[arg(long)]
    pub role: Role,
    /// `HOST:PORT` to listen at or to dial.
    #[arg(long)]
    pub address: String,
    /// What to play.
    #[arg(long)]
    pub scenario: Scenario,
    /// How many streams.
    #[arg(long, default_value_t = 16)]
    pub streams: u64,
    /// How many bytes in each direction.
    #[arg(long, default_value_t = 1 << 20)]
    pub bytes: u64,
    /// How many received bytes to die after.
    #[arg(long, default_value_t = 0)]
    pub after: u64,
    /// How many pings.
    #[arg(long, default_value_t = 5)]
    pub pings: u64,
    /// The keep-alive interval in milliseconds; 0 leaves it at its default.
    #[arg(long, default_value_t = 0)]
    pub interval_ms: u64,
    /// Finish the answer only when it was confirmed.
    #[arg(long)]
    pub confirm: bool,
    /// Seconds to give up after.
    #[arg(long, default_value_t = 60)]
    pub timeout: u64,
}

impl Options {
    /// Whether this side dials.
    #[must_use]
    pub fn is_client(&self) -> bool {
        self.role == Role::Client
    }
}

/// What `--about` prints.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct About {
    /// The implementation.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The wires it speaks.
    pub wires: Vec<String>,
}

/// Reads the command line of a peer, which answers `--about` and refuses other wires than its own.
#[must_use]
pub fn options(name: &str, package: &str, wires: &[WireName]) -> Options {
    if std::env::args().nth(1).as_deref() == Some("--about") {
        let wires = wires.iter().map(|wire| wire.name().to_owned()).collect();
        let about = About { name: name.to_owned(), version: locked(package), wires };
        println!("{}", serde_json::to_string(&about).expect("three texts"));
        process::exit(0);
    }
    let options = Options::parse();
    if !wires.contains(&options.wire) {
        eprintln!("bad usage: {name} does not speak {}", options.wire.name());
        process::exit(2);
    }
    options
}

/// The version of a package as this workspace has it.
fn locked(package: &str) -> String {
    let lock = include_str!("../../../../Cargo.lock");
    let named = format!("name = \"{package}\"\nversion = \"");
    let version = lock.split_once(&named).and_then(|(_, rest)| rest.split('"').next());
    version.unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_page() {
        let line = "p --wire smux2 --role client --address a:1 --scenario half-close --confirm";
        let options = Options::try_parse_from(line.split(' ')).unwrap();
        assert_eq!((options.wire, options.scenario), (WireName::Smux2, Scenario::HalfClose));
        assert!(options.is_client() && options.confirm);
        let numbers = [options.streams, options.bytes, options.after, options.pings];
        assert_eq!(numbers, [16, 1_048_576, 0, 5]);
        assert_eq!((options.interval_ms, options.timeout), (0, 60));
    }

    #[test]
    fn every_name_is_read_back() {
        for wire in WireName::ALL {
            assert_eq!(WireName::from_str(wire.name(), false), Ok(wire));
        }
        for scenario in Scenario::value_variants() {
            assert_eq!(Scenario::from_str(scenario.name(), false), Ok(*scenario));
        }
    }

    #[test]
    fn a_version_comes_from_the_lock_file() {
        assert!(locked("yamux").starts_with("0.1"), "{}", locked("yamux"));
        assert_eq!(locked("no such package"), "unknown");
    }
}
