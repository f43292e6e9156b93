//! Measures Trunkline beside its peers, in one run and one table; `gate` holds the counts that no
//! machine changes. `docs/benchmarks.md` says what each figure means.
#![forbid(unsafe_code)]

mod calls;
mod codec;
mod command;
mod compare;
mod count;
mod files;
mod gate;
mod gate_mux;
mod memory;
mod peers;
mod pipe;
mod relay;
mod small;
mod start;
mod stats;
mod table;
mod tunnel;
mod websocket;
mod work;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use command::Programs;
use table::Row;
use trunkline_bench::allocator::Counting;
use trunkline_bench::mux::own;
use trunkline_bench::mux::spec::Spec;
use work::Work;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HELP: &str = "\
usage: cargo run --release -p trunkline-bench -- [SCENARIO..] [--quick] [--json]
       cargo run --release -p trunkline-bench -- mux [SCENARIO..] [--only WORD,..] [--own]
                                                      [--quick] [--rounds N] [--json] [--docs]
       cargo run --release -p trunkline-bench -- tunnel [CASE..] [--quick] [--rounds N] [--json] [--docs]
       cargo run --release -p trunkline-bench -- gate [--store]

  SCENARIO..   measure these, all of them without a name
  --quick      fewer and smaller runs
  --json       one JSON object for each row instead of the table
  --list       list the scenarios
  mux          multiplexers: every subject in every scenario, or those that are named
  --only       subjects whose name has one of these words, beside the bare transports
  --own        only those that need no building: bare transports and our wires
  --rounds N   measure everything so often, instead of 5 times or 3
  --docs       write tables, charts and goals into docs/
  tunnel       the agent tunnel: relay and agent beside the Go peer's, in every case or those named
  gate         compare the counts that no machine changes with bench/gate.json
  gate --store write the counts of this run to bench/gate.json
";

/// Every scenario and what it measures.
const SCENARIOS: [(&str, &str); 7] = [
    ("codec", "a DATA frame through scanner, decoder, sessions and encoder; ciborium, minicbor"),
    ("pipe", "a large file through exec and cat; cat|cat|cat, the Go peer"),
    ("small", "a command that writes line by line; sh|cat|cat, the Go peer"),
    ("start", "the start of a command through exec; the command alone, the Go peer"),
    ("memory", "10 GiB through exec; 2^60 bytes announced"),
    ("websocket", "yamux inside a WebSocket; the bare library moving the same bytes"),
    (
        "files",
        "get, put and ls, over 200 ms and 1 Gbit/s and without; sftp, scp, rsync, a Go agent",
    ),
];

/// How thoroughly to measure.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    quick: bool,
}

impl Options {
    /// How often to repeat what is usually repeated so often.
    const fn runs(self, usual: usize) -> usize {
        if self.quick { 3 } else { usual }
    }

    /// How long one sample of a loop takes.
    const fn sample(self) -> Duration {
        Duration::from_millis(if self.quick { 20 } else { 100 })
    }
}

/// One line that says what could not be measured, or what the gate does not let pass.
#[derive(Debug)]
struct Failure(String);

impl Failure {
    fn new(line: impl Into<String>) -> Self {
        Self(line.into())
    }
}

fn main() -> ExitCode {
    let args: Vec<_> =
        env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["gate"] => gate::hold(),
        ["gate", "--store"] => gate::store(),
        ["mux", args @ ..] => compare::Wanted::parse(args).and_then(|wanted| compare::run(&wanted)),
        ["tunnel", args @ ..] => {
            tunnel::Wanted::parse(args).and_then(|wanted| tunnel::run(&wanted))
        }
        // A process of the tunnel's comparison.
        ["bare", role, to] => tunnel::play_bare(role, to),
        // A process of the comparison, without the crates of others.
        ["subject", ..] => do_subject(),
        // What callgrind looks at.
        ["work", work, payload, frames] => do_work(work, payload, frames),
        ["frames", wire, act, payload, streams, times] => {
            gate_mux::do_frames(wire, act, [payload, streams, times])
        }
        ["units", wire, scenario, units] => gate_mux::do_units(wire, scenario, units),
        // What stands between two processes of the scenario `files`.
        ["relay", delay, rate, command @ ..] => do_relay(delay, rate, command),
        _ => measure(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(line)) => {
            eprintln!("bench: {line}");
            ExitCode::FAILURE
        }
    }
}

fn do_subject() -> Result<(), Failure> {
    let args: Vec<String> = env::args().skip(2).collect();
    let sample = Spec::parse(&args).and_then(|spec| own::play(&spec));
    let failed = |line: &str| Failure::new(format!("{}: {line}", args.join(" ")));
    let sample = sample.ok_or_else(|| failed("no such subject"))?;
    let sample = sample.map_err(|error| failed(&error.to_string()))?;
    println!("{}", serde_json::to_string(&sample).map_err(|error| failed(&error.to_string()))?);
    // Tasks that go on for ever end here.
    std::process::exit(0);
}

fn do_work(work: &str, payload: &str, frames: &str) -> Result<(), Failure> {
    let known = (Work::named(work), payload.parse(), frames.parse());
    let (Some(work), Ok(payload), Ok(frames)) = known else {
        return Err(Failure::new(format!("no such work: {work} {payload} {frames}")));
    };
    println!("{}", work.run(payload, frames, work::no_clock).frames);
    Ok(())
}

fn do_relay(delay: &str, rate: &str, command: &[&str]) -> Result<(), Failure> {
    let (Ok(delay), Ok(bytes_per_second)) = (delay.parse(), rate.parse()) else {
        return Err(Failure::new(format!("no such link: {delay} {rate}")));
    };
    relay::run(relay::Link { delay: Duration::from_millis(delay), bytes_per_second }, command)
}

fn measure(args: &[&str]) -> Result<(), Failure> {
    let (mut names, mut options, mut json) = (Vec::new(), Options::default(), false);
    for arg in args {
        match *arg {
            "--help" | "-h" | "help" => {
                print!("{HELP}");
                return Ok(());
            }
            "--list" => {
                SCENARIOS.iter().for_each(|(name, what)| println!("{name:<9} {what}"));
                return Ok(());
            }
            "--quick" => options.quick = true,
            "--json" => json = true,
            name if SCENARIOS.iter().any(|(known, _)| *known == name) => names.push(name),
            other => {
                return Err(Failure::new(format!("no scenario `{other}`; --help shows them")));
            }
        }
    }
    let wanted = |name: &str| names.is_empty() || names.contains(&name);
    let programs = if matches!(names.as_slice(), ["codec"] | ["websocket"]) {
        None
    } else {
        Some(Programs::build()?)
    };
    let mut rows = Vec::new();
    for (name, what) in SCENARIOS.iter().filter(|(name, _)| wanted(name)) {
        eprintln!("bench: {name}: {what}");
        rows.extend(match (*name, &programs) {
            ("codec", _) => codec::run(&options)?,
            ("websocket", _) => websocket::run(&options)?,
            ("pipe", Some(programs)) => pipe::run(&options, programs)?,
            ("small", Some(programs)) => small::run(&options, programs)?,
            ("start", Some(programs)) => start::run(&options, programs)?,
            ("memory", Some(programs)) => memory::run(&options, programs)?,
            ("files", Some(programs)) => files::run(&options, programs)?,
            _ => Vec::new(),
        });
    }
    show(&rows, json)
}

fn show(rows: &[Row], json: bool) -> Result<(), Failure> {
    if json {
        for row in rows {
            let line = serde_json::to_string(row).map_err(|e| Failure::new(e.to_string()))?;
            println!("{line}");
        }
        return Ok(());
    }
    print!("{}", table::table(rows));
    let missed = rows.iter().filter(|row| row.is_missed()).count();
    eprintln!("bench: {} figures, {missed} goals missed", rows.len());
    Ok(())
}
