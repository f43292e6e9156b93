//! Machines alone: what one frame costs in core, beside the encoding and decoding of a head.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use super::frames::{self, Act, BATCH, Task};
use super::spec::{Sample, Spec};
use super::wires::heads;
use crate::allocator;

/// Streams that are open, usually and in a crowd.
const FEW: usize = 10;
const MANY: usize = 10_000;

/// Bytes of a large frame, as many of them as one read of a transport brings, and so many reads
/// between two looks at the clock: it costs as much as a frame.
const LARGE: usize = 16 << 10;
const TOGETHER: usize = 8;
const READS: usize = 4;

/// What a piece is called, bytes of a frame's payload, streams that are open, frames that come
/// together, reads between two looks at the clock, and frames of one piece.
const PIECES: [(&str, usize, usize, usize, usize, usize); 4] = [
    ("", 64, FEW, BATCH, 1, 20_000),
    // These two differ in nothing but the payload.
    ("_of_8", 64, FEW, TOGETHER, READS, 5_000),
    ("_large_of_8", LARGE, FEW, TOGETHER, READS, 5_000),
    ("_crowded", 64, MANY, BATCH, 1, 20_000),
];

/// Heads of one piece.
const HEADS: u32 = 100_000;

/// Nanoseconds of CPU for a frame, sent and received, and for a head: medians of short pieces. Bytes of heap for an
/// idle stream and end. `None` when there is no such wire.
pub(crate) fn play(wire: &str, spec: &Spec) -> Option<io::Result<Sample>> {
    heads(wire, 0)?;
    let until = Instant::now() + spec.time;
    let mut pieces: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let look = look();
    while pieces.is_empty() || Instant::now() < until {
        let begun = clock();
        black_box(heads(wire, HEADS)?);
        let took = (clock() - begun).as_nanos() as f64 / f64::from(HEADS);
        pieces.entry("head_ns".to_owned()).or_default().push(took);
        for (name, payload, streams, together, reads, times) in PIECES {
            let times = if spec.units == 0 { times } else { times.min(spec.units as usize) };
            let task = Task { act: Act::Carry, payload, streams, times, together, reads, clock };
            let Some(done) = frames::run(wire, task) else { return Some(Err(refused())) };
            let each = |took: Duration| took.as_nanos() as f64 / done.units as f64;
            for (act, took) in [("send", done.sending), ("receive", done.receiving)] {
                let took = (each(took) - look / (together * reads) as f64).max(0.0);
                pieces.entry(format!("{act}{name}_ns")).or_default().push(took);
            }
        }
    }
    let mut sample: Sample =
        pieces.into_iter().map(|(name, took)| (name, frames::median(took))).collect();
    allocator::start();
    for (name, streams) in [("heap_each_of_10", FEW), ("heap_each", MANY)] {
        let (payload, times, together, reads) = (0, 0, BATCH, 1);
        let task = Task { act: Act::Keep, payload, streams, times, together, reads, clock };
        let Some(done) = frames::run(wire, task) else { return Some(Err(refused())) };
        // One of two ends.
        sample.insert(name.to_owned(), done.held_each / 2.0);
    }
    Some(Ok(sample))
}

fn refused() -> io::Error {
    io::Error::other("the machines did not do what they should")
}

/// CPU time of this thread: what others do on the machine does not count, only disturbs.
fn clock() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

/// Nanoseconds that lie between two looks at the clock with nothing between them.
fn look() -> f64 {
    frames::median(
        (0..1_000)
            .map(|_| (clock(), clock()))
            .map(|(one, other)| (other - one).as_nanos() as f64)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mux::spec::Scenario;
    use crate::mux::transport::Kind;
    use crate::mux::wires::WIRES;

    #[test]
    fn every_wire_tells_what_a_frame_costs() {
        for wire in WIRES {
            let spec = Spec {
                subject: format!("trunkline {wire}"),
                scenario: Scenario::Core,
                transport: Kind::Alone,
                threads: 1,
                time: Duration::ZERO,
                units: 200,
                counts: false,
            };
            let sample = play(wire, &spec).unwrap().unwrap();
            for name in ["head_ns", "send_ns", "receive_ns", "receive_large_of_8_ns"] {
                assert!(sample.get(name).is_some_and(|took| *took > 0.0), "{wire}: {name}");
            }
        }
    }
}
