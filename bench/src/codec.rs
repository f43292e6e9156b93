//! The scenario `codec`: one frame through the scanner, the decoder, the sessions and the encoder.

use std::time::Duration;

use crate::stats::Summary;
use crate::table::{Goal, Row};
use crate::work::{Work, thread_cpu};
use crate::{Failure, Options};

const SIZES: [(usize, &str); 4] =
    [(64, "64 B"), (1 << 10, "1 KiB"), (32 << 10, "32 KiB"), (1 << 20, "1 MiB")];

/// The work, how the table calls it, its peer in the same run, and its goal in ns.
type Case = (Work, &'static str, Option<Work>, Option<f64>);

const DECODE: [Case; 6] = [
    (Work::Scan, "scanner", Some(Work::MinicborDecode), Some(15.0)),
    (Work::Decode, "decoder", Some(Work::MinicborDecode), None),
    (Work::Local, "local session", Some(Work::MinicborDecode), Some(50.0)),
    (Work::Agent, "agent session", Some(Work::MinicborDecode), Some(50.0)),
    (Work::MinicborDecode, "minicbor", None, None),
    (Work::CiboriumDecode, "ciborium", Some(Work::MinicborDecode), None),
];

const ENCODE: [Case; 5] = [
    (Work::Head, "head alone", Some(Work::MinicborEncode), Some(3.0)),
    (Work::Send, "agent session", Some(Work::MinicborEncode), None),
    (Work::Whole, "head and payload", Some(Work::MinicborEncode), None),
    (Work::MinicborEncode, "minicbor", None, None),
    (Work::CiboriumEncode, "ciborium", Some(Work::MinicborEncode), None),
];

/// Times every case; all of one size take turns, so that none has the quieter machine.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (direction, cases) in [("decode", &DECODE[..]), ("encode", &ENCODE[..])] {
        for (size, shown) in SIZES {
            let figures = time_all(cases, size, options.runs(5), options.sample());
            for ((work, who, peer, goal), figure) in cases.iter().zip(&figures) {
                let mut row =
                    Row::new("codec", format!("{direction} {shown}"), *who, "ns of CPU", *figure);
                let position = cases.iter().position(|(known, ..)| Some(*known) == *peer);
                if let Some(position) = position.filter(|_| Some(*work) != *peer) {
                    row = row.beside(cases[position].1, figures[position]);
                }
                rows.push(match goal {
                    Some(bound) => row.goal(Goal::AtMost(*bound)),
                    None => row,
                });
            }
        }
    }
    Ok(rows)
}

fn time_all(cases: &[Case], size: usize, runs: usize, sample: Duration) -> Vec<Summary> {
    let counts: Vec<_> = cases.iter().map(|(work, ..)| frames_for(*work, size, sample)).collect();
    let mut samples = vec![Vec::new(); cases.len()];
    for _ in 0..runs {
        for (((work, ..), frames), samples) in cases.iter().zip(&counts).zip(&mut samples) {
            samples.push(nanos(*work, size, *frames).1);
        }
    }
    samples.into_iter().filter_map(Summary::of).collect()
}

/// How many frames take about as long as one sample should.
fn frames_for(work: Work, size: usize, sample: Duration) -> usize {
    let mut frames = 64;
    loop {
        let (took, each) = nanos(work, size, frames);
        if took > sample / 4 || frames > 1 << 28 {
            return ((sample.as_nanos() as f64 / each) as usize).max(1);
        }
        frames *= 4;
    }
}

/// How long it took, and how many nanoseconds each frame did.
fn nanos(work: Work, size: usize, frames: usize) -> (Duration, f64) {
    let done = work.run(size, frames, thread_cpu);
    (done.cpu, done.cpu.as_nanos() as f64 / done.frames as f64)
}
