//! The scenario `websocket`: yamux inside a WebSocket, beside the bare library moving the same
//! bytes, and beside the same yamux over TCP.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use trunkline_bench::mux::spec::{Sample, Scenario, Spec};
use trunkline_bench::mux::transport::Kind;

use crate::stats::Summary;
use crate::table::{Goal, Row};
use crate::{Failure, Options};

/// The library with the buffers it has by default.
const BARE: &str = "websocket";

/// Who is measured: the subject, and its name in the table.
const SUBJECTS: [(&str, &str); 5] = [
    (BARE, "bare library"),
    ("websocket 16k", "bare library, our buffers"),
    ("trunkline yamux owned@websocket", "yamux in a WebSocket, by buffers"),
    ("trunkline yamux@websocket", "yamux in a WebSocket"),
    ("trunkline yamux owned", "yamux over TCP, by buffers"),
];

/// What they do, and how many threads they do it on.
const CASES: [(Scenario, &str); 4] = [
    (Scenario::Bulk(1), "one large body"),
    (Scenario::Bulk(100), "100 large bodies"),
    (Scenario::Ping(1), "64 bytes there and back"),
    (Scenario::Ping(100), "64 bytes there and back, 100 at once"),
];

/// Runs everybody in turns, each time in a process of its own.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>, Failure> {
    let time = Duration::from_millis(if options.quick { 300 } else { 2_000 });
    let mut rows = Vec::new();
    for (scenario, case) in CASES {
        let mut samples: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
        for _ in 0..options.runs(5) {
            for (subject, _) in SUBJECTS {
                let spec = Spec {
                    subject: subject.to_owned(),
                    scenario,
                    transport: Kind::Tcp,
                    threads: 2,
                    time,
                    units: 0,
                    counts: false,
                };
                samples.entry(subject).or_default().push(play(&spec)?);
            }
        }
        let bulk = matches!(scenario, Scenario::Bulk(_));
        // CPU seconds of a gibibyte, or microseconds of a round trip; the other way round by time.
        let burnt = |subject: &str| {
            let scale = if bulk { f64::from(1 << 30) / 1e9 } else { 1e-3 };
            summary(&samples, subject, |sample| {
                Some(sample.get("cpu_ns")? / sample.get("units")? * scale)
            })
        };
        let rate = |subject: &str| {
            let scale = if bulk { 1e9 / f64::from(1 << 20) } else { 1e9 };
            summary(&samples, subject, |sample| {
                Some(sample.get("units")? / sample.get("wall_ns")? * scale)
            })
        };
        let units = if bulk { ("s of CPU/GiB", "MiB/s") } else { ("us of CPU", "/s") };
        for (subject, who) in SUBJECTS {
            let (Some(cpu), Some(speed)) = (burnt(subject), rate(subject)) else { continue };
            let mut cpu = Row::new("websocket", case, who, units.0, cpu);
            let mut speed = Row::new("websocket", case, who, units.1, speed);
            if let (Some(bare_cpu), Some(bare_speed)) = (burnt(BARE), rate(BARE))
                && subject != BARE
            {
                cpu = cpu.beside("bare", bare_cpu);
                speed = speed.beside("bare", bare_speed);
            }
            if bulk && subject.contains("owned@") {
                cpu = cpu.goal(Goal::RatioAtMost(1.3));
            }
            rows.extend([cpu, speed]);
        }
    }
    Ok(rows)
}

fn summary(
    samples: &BTreeMap<&str, Vec<Sample>>,
    subject: &str,
    figure: impl Fn(&Sample) -> Option<f64>,
) -> Option<Summary> {
    Summary::of(samples.get(subject)?.iter().filter_map(figure))
}

/// One sample, from a process of its own.
fn play(spec: &Spec) -> Result<Sample, Failure> {
    let failed = |what: String| Failure::new(format!("{}: {what}", spec.subject));
    let own = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut process = Command::new(own);
    process.arg("subject").args(spec.args()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = process.output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(format!("ended with {}", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}
