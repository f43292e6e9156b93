//! F1: every recorded exchange, cut at every byte of each direction, as an end, a reset, a silence
//! that ends and one that does not. Nothing is made up, nothing that had arrived is lost, and
//! whoever can know of it does.

mod cuts;

use std::path::Path;

use cuts::{agent_end, local_end};
use trunkline_conformance::agentproto::transcripts::{Action, Side, Transcript};
use trunkline_conformance::laws::cut_everywhere;
use trunkline_conformance::vectors::Suite;
use trunkline_core::agentproto::{Config, OpNumbers};

/// The recorded sessions that one of our ends can take, by name.
fn recorded(side: Side) -> Vec<(String, Transcript)> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let suite = Suite::load(&vectors, &["agentproto".into()]).unwrap();
    let file = suite.files.into_iter().find(|file| file.name == "transcripts.json").unwrap();
    let cases = file.cases.unwrap().into_iter();
    let read = cases.map(|case| (case.name, Transcript::read(&case.value).unwrap()));
    read.filter(|(_, transcript)| transcript.roles.contains(&side)).collect()
}

/// Where each of a side's writes ends.
fn ends(transcript: &Transcript, side: Side) -> Vec<u64> {
    let writes = transcript.steps.iter().filter(|step| step.from == side);
    let sizes = writes.filter_map(|step| match &step.action {
        Action::Write { bytes, .. } => Some(bytes.len() as u64),
        _ => None,
    });
    sizes
        .scan(0, |sum, size| {
            *sum += size;
            Some(*sum)
        })
        .collect()
}

/// Cuts the direction that `side` writes, in each session that our `ours` end takes.
fn cut_all(
    ours: Side,
    side: Side,
    run: impl Fn(
        &Transcript,
        &Config,
        u64,
        trunkline_conformance::sim::Fault,
    ) -> Result<(), trunkline_conformance::laws::Broken>,
) -> u64 {
    let mut runs = 0;
    for (name, transcript) in recorded(ours) {
        // The originals' callers did not ask first which operations the agent knows.
        let mut default = Config::default();
        default.op_numbers = OpNumbers::Assumed;
        // Nor did they give requests a time; an hour's silence ends no session here.
        default.request_timeout = None;
        for config in [default.clone(), Config::reference()] {
            let ends = ends(&transcript, side);
            let length = ends.last().copied().unwrap_or(0);
            // All bytes within a long payload are alike; those around its ends are not.
            let wanted = |at: u64| {
                length < 2_000
                    || at.is_multiple_of(4_001)
                    || ends.iter().any(|end| end.abs_diff(at) < 12)
            };
            let cut =
                cut_everywhere(length, wanted, |at, fault| run(&transcript, &config, at, fault));
            let mode = if config == default { "default" } else { "reference" };
            runs += cut.unwrap_or_else(|broken| panic!("{name}, {mode}: {broken}"));
        }
    }
    runs
}

#[test]
fn f1_a_local_side_survives_every_cut_of_what_it_reads() {
    let runs = cut_all(Side::Local, Side::Agent, |it, config, at, fault| {
        local_end::run(it, config, |pair| pair.back.fault(at, fault), Some((at, fault)))
    });
    assert!(runs > 20_000, "{runs} runs");
}

#[test]
fn f1_a_local_side_survives_every_cut_of_what_it_writes() {
    let runs = cut_all(Side::Local, Side::Local, |it, config, at, fault| {
        local_end::run(it, config, |pair| pair.there.fault(at, fault), None)
    });
    assert!(runs > 10_000, "{runs} runs");
}

#[test]
fn f1_an_agent_survives_every_cut_of_what_it_reads() {
    let runs = cut_all(Side::Agent, Side::Local, |it, config, at, fault| {
        agent_end::run(it, config, |pair| pair.back.fault(at, fault), Some((at, fault)))
    });
    assert!(runs > 10_000, "{runs} runs");
}

#[test]
fn f1_an_agent_survives_every_cut_of_what_it_writes() {
    let runs = cut_all(Side::Agent, Side::Agent, |it, config, at, fault| {
        agent_end::run(it, config, |pair| pair.there.fault(at, fault), None)
    });
    assert!(runs > 20_000, "{runs} runs");
}
