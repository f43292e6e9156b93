//! How to test code of your own, above a machine of ours, in the simulator.
//!
//! The code under test is [`Collector`]: it runs a command and collects its output. It has a bug
//! that can be switched on. A test that hands over one frame after the other never finds it; a link
//! that joins the last two frames into one piece does, and the seed shows it again, with what happened.
//!
//! ```sh
//! cargo run -p trunkline-conformance --example simulate
//! TRUNKLINE_SEED=3 cargo run -p trunkline-conformance --example simulate   # one seed alone
//! TRUNKLINE_RUNS=100000 cargo run -p trunkline-conformance --example simulate
//! ```

use trunkline_conformance::sim::{Chunks, End, Failed, Fault, Pair, Rng, Script, Shape, seeds};
use trunkline_core::agentproto::{Config, ExecRequest, Frame, Item as _, Local, LocalEvent, Read};
use trunkline_core::{ExitStatus, Instant, Machine as _};

/// What the command of these simulations says.
const SAYS: [&str; 4] = ["one ", "two ", "three ", "four"];

/// Code of one's own: collects the output of a command, and how it ended.
#[derive(Debug, Default)]
struct Collector {
    output: Vec<u8>,
    ended: Option<ExitStatus>,
    /// The bug: a session that is over has nothing left to read, or so it believes.
    careless: bool,
}

impl Collector {
    /// Does what there is to do; says whether that was anything.
    fn turn(&mut self, local: &mut Local) -> bool {
        let mut moved = false;
        while let Some(event) = local.poll_event() {
            moved = true;
            match event {
                LocalEvent::Readable(1) if self.careless && local.closed().is_some() => {}
                LocalEvent::Readable(1) => self.read(local),
                LocalEvent::Exited { code, text } => {
                    self.ended = Some(ExitStatus::Exited { code, text, clean: true });
                }
                LocalEvent::Closed(reason) => {
                    self.ended.get_or_insert(ExitStatus::Lost(reason));
                }
                _ => {}
            }
        }
        moved
    }

    fn read(&mut self, local: &mut Local) {
        while let Read::Data(bytes) = local.read(1, usize::MAX) {
            self.output.extend_from_slice(&bytes);
        }
    }
}

/// An agent that says what it was told to say: a script, so that nothing else can be wrong.
fn agent() -> Result<Script, String> {
    let mut frames: Vec<Frame> = SAYS.map(|text| Frame::data(1, text.as_bytes())).into();
    frames.extend([Frame::eof(1), Frame::exit(0, "")]);
    let mut script = Script::new().after(1);
    for frame in frames {
        script = script.send(frame.to_bytes().map_err(|why| why.to_string())?);
    }
    Ok(script.after_end().end())
}

/// One simulation: a random link, and in every third run one that breaks somewhere. A tame link
/// hands over one frame after the other.
fn simulate(careless: bool, tame: bool, rng: &mut Rng) -> Result<(), String> {
    let mut local = Local::new(Config::default());
    let request = ExecRequest { path: "/bin/count".into(), ..ExecRequest::default() };
    local.exec(Instant::ORIGIN, request, None).map_err(|why| why.to_string())?;

    let mut pair = Pair::random(local, agent()?, rng);
    if tame {
        pair.back.shape = Shape { chunks: Chunks::AsSent, ..Shape::default() };
    }
    let breaks = rng.once_in(3);
    if breaks {
        pair.back.fault(rng.below(60), Fault::Reset);
    }
    let mut collector = Collector { careless, ..Collector::default() };
    let outcome = pair.run(|pair| {
        let moved = collector.turn(&mut pair.a);
        if moved {
            // What the code under test did stands in the trace, between what the link did.
            pair.note(End::A, format!("collected {} bytes", collector.output.len()));
        }
        moved
    });
    outcome.map_err(|stuck| stuck.to_string())?;

    // The promise of this component: all of the output, or a word that it is not all.
    let whole = SAYS.concat();
    let fits = match &collector.ended {
        Some(ExitStatus::Exited { code: 0, .. }) => collector.output == whole.as_bytes(),
        Some(ExitStatus::Lost(_)) => breaks && whole.as_bytes().starts_with(&collector.output),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&collector.output).into_owned();
    Err(format!("collected {output:?}, {:?}; what happened:\n{}", collector.ended, pair.trace))
}

fn main() -> Result<(), Failed> {
    seeds(1_000, |rng| simulate(false, false, rng))?;
    println!("the sound collector passes");
    match seeds(1_000, |rng| simulate(true, false, rng)) {
        Ok(()) => println!("the careless collector passes with these seeds"),
        Err(failed) => println!("the careless collector fails {failed}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sound_collector_passes_and_the_planted_bug_is_found_by_a_seed_that_shows_it_again() {
        seeds(300, |rng| simulate(false, false, rng)).unwrap();
        seeds(300, |rng| simulate(true, true, rng)).unwrap();
        let fails = |seed: u64| simulate(true, false, &mut Rng::new(seed)).is_err();
        let found = (0..300).find(|seed| fails(*seed)).expect("the bug is found");
        assert!(fails(found), "the same seed shows it again");
    }
}
