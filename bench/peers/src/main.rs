//! Lets one subject do one thing and tells the figures: `peers SUBJECT SCENARIO TRANSPORT THREADS
//! MILLISECONDS [count]`. The benchmark starts it, a process for each pair.

mod async_smux;
mod h2;
mod smux;
mod tokio_smux;
mod tokio_yamux;
mod yamux;

use std::io;
use std::process::ExitCode;

use trunkline_bench::allocator::Counting;
use trunkline_bench::mux::own;
use trunkline_bench::mux::runtime::Tokio;
use trunkline_bench::mux::scenario::run;
use trunkline_bench::mux::spec::{Sample, Spec};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(spec) = Spec::parse(&args) else {
        eprintln!("peers: SUBJECT SCENARIO TRANSPORT THREADS MILLISECONDS [count]");
        return ExitCode::FAILURE;
    };
    match play(&spec) {
        Ok(sample) => {
            println!("{}", serde_json::to_string(&sample).expect("figures"));
            // Tasks that go on for ever end here.
            std::process::exit(0);
        }
        Err(error) => {
            eprintln!("peers: {}: {error}", args.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn play(spec: &Spec) -> io::Result<Sample> {
    if let Some(sample) = own::play(spec) {
        return sample;
    }
    let (kind, crowded) = (spec.transport, spec.scenario.is_crowded());
    match spec.subject.as_str() {
        "yamux" => run::<Tokio, _>(spec, yamux::pair(kind, crowded)),
        "tokio-yamux" => run::<Tokio, _>(spec, tokio_yamux::pair(kind)),
        "async_smux" => run::<Tokio, _>(spec, async_smux::pair(kind)),
        "tokio_smux" => run::<Tokio, _>(spec, tokio_smux::pair(kind)),
        "smux" => run::<Tokio, _>(spec, smux::pair(kind)),
        "h2" => run::<Tokio, _>(spec, h2::pair(kind)),
        other => Err(io::Error::other(format!("no subject `{other}`"))),
    }
}
