//! The gate's counts of our multiplexers: instructions of the machines alone, and allocations, calls
//! and bytes of connections over a transport in memory, while the clock stands still.

use std::time::Duration;

use trunkline_bench::allocator;
use trunkline_bench::mux::frames::{self, Act, BATCH, Task};
use trunkline_bench::mux::own;
use trunkline_bench::mux::spec::{Sample, Scenario, Spec};
use trunkline_bench::mux::transport::Kind;
use trunkline_bench::mux::wires::WIRES;

use crate::Failure;
use crate::count::per_unit;
use crate::work::no_clock;

/// Few and many: nothing may cost more beside many streams than beside few.
const FEW: usize = 10;
const MANY: usize = 10_000;

/// What instructions are counted of: the act, the bytes of a payload, streams that are open, units.
const COUNTED: [(Act, usize, usize, usize); 7] = [
    (Act::Receive, 64, FEW, 10_000),
    (Act::Receive, 64, MANY, 10_000),
    (Act::Receive, 32 << 10, FEW, 2_000),
    (Act::Carry, 64, FEW, 10_000),
    (Act::Carry, 32 << 10, FEW, 1_000),
    (Act::Open, 64, FEW, 1_000),
    (Act::Open, 64, MANY, 1_000),
];

/// Connections that are counted, each stream with so many units.
const CONNECTED: [(Scenario, u64); 5] = [
    (Scenario::Bulk(1), 512),
    (Scenario::Ping(1), 1_000),
    (Scenario::Ping(100), 50),
    (Scenario::Churn(1), 500),
    (Scenario::Churn(64), 50),
];

/// All of them, by name.
pub(crate) fn counts() -> Result<Vec<(String, f64)>, Failure> {
    let mut counts = Vec::new();
    for wire in WIRES {
        for (act, payload, streams, times) in COUNTED {
            let counted = per_unit(times, |times| {
                let words = [act.name(), &payload.to_string(), &streams.to_string(), &times];
                ["frames", wire].into_iter().chain(words).map(str::to_owned).collect()
            })?;
            counts.push((instructions(wire, act, payload, streams), counted.instructions));
        }
        for streams in [FEW, MANY] {
            let task = task(Act::Keep, 0, streams, 0);
            allocator::start();
            let done = frames::run(wire, task).ok_or_else(|| refused(wire))?;
            // One of two ends.
            counts.push((
                format!("heap B per stream: {wire}, {streams} streams"),
                done.held_each / 2.0,
            ));
        }
        for (scenario, units) in CONNECTED {
            counts.extend(connected(wire, scenario, units)?);
        }
    }
    Ok(counts)
}

const fn task(act: Act, payload: usize, streams: usize, times: usize) -> Task {
    Task { act, payload, streams, times, together: BATCH, reads: 1, clock: no_clock }
}

/// One of our connections at work while the clock stands still: so many units on each stream.
fn at_work(wire: &str, scenario: Scenario, units: u64, counts: bool) -> Result<Sample, Failure> {
    let spec = Spec {
        subject: format!("trunkline {wire}"),
        scenario,
        transport: Kind::Duplex,
        threads: 1,
        time: Duration::from_secs(3600),
        units,
        counts,
    };
    own::count(wire, &spec)
        .ok_or_else(|| refused(wire))?
        .map_err(|error| Failure::new(format!("{wire}, {}: {error}", scenario.name())))
}

fn connected(wire: &str, scenario: Scenario, units: u64) -> Result<[(String, f64); 4], Failure> {
    let sample = at_work(wire, scenario, units, true)?;
    let done = sample.get("units").copied().unwrap_or_default();
    let (unit, times) = match scenario {
        Scenario::Bulk(_) => ("32 KiB", 32768.0 / done),
        Scenario::Ping(_) => ("round trip", 1.0 / done),
        _ => ("stream", 1.0 / done),
    };
    let each = |what: &str, name: &str| {
        let count = sample.get(name).copied().unwrap_or_default() * times;
        (format!("{what} per {unit}: {wire} {}", scenario.name()), count)
    };
    Ok([
        each("allocations", "blocks"),
        each("writes", "writes"),
        each("reads", "reads"),
        each("bytes", "bytes"),
    ])
}

fn instructions(wire: &str, act: Act, payload: usize, streams: usize) -> String {
    format!("instructions per {}: {wire}, {payload} B, {streams} streams", act.name())
}

fn refused(wire: &str) -> Failure {
    Failure::new(format!("the machines of {wire} did not do what they should"))
}

/// What this program does for callgrind.
pub(crate) fn do_frames(wire: &str, act: &str, numbers: [&str; 3]) -> Result<(), Failure> {
    let [payload, streams, times] = numbers.map(str::parse);
    let (Some(act), Ok(payload), Ok(streams), Ok(times)) =
        (Act::named(act), payload, streams, times)
    else {
        return Err(Failure::new("frames WIRE ACT PAYLOAD STREAMS TIMES"));
    };
    let task = task(act, payload, streams, times);
    let done = frames::run(wire, task).ok_or_else(|| refused(wire))?;
    println!("{}", done.units);
    Ok(())
}

/// The same for a profiler: connections with their driver and their runtime.
pub(crate) fn do_units(wire: &str, scenario: &str, units: &str) -> Result<(), Failure> {
    let (Some(scenario), Ok(units)) = (Scenario::named(scenario), units.parse()) else {
        return Err(Failure::new("units WIRE SCENARIO UNITS"));
    };
    let sample = at_work(wire, scenario, units, false)?;
    println!("{}", sample.get("units").copied().unwrap_or_default());
    Ok(())
}

/// The command that shows where a count comes from.
pub(crate) fn why(name: &str) -> Option<String> {
    for wire in WIRES {
        for (act, payload, streams, times) in COUNTED {
            if name == instructions(wire, act, payload, streams) {
                return Some(format!(
                    "valgrind --tool=callgrind target/release/trunkline-bench frames '{wire}' {} {payload} \
                     {streams} {times}, then callgrind_annotate on what it wrote",
                    act.name()
                ));
            }
        }
        for (scenario, _) in CONNECTED {
            if name.ends_with(&format!(": {wire} {}", scenario.name())) {
                return Some(format!(
                    "valgrind --tool=dhat target/release/trunkline-bench units '{wire}' {} 1000 (or \
                     --tool=callgrind)",
                    scenario.name()
                ));
            }
        }
    }
    None
}
