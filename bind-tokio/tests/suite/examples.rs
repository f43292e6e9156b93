//! The examples of the multiplexers and of the pool, run as their users run them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::rt;

use super::support::example;

/// How long one example may take; one that hangs must fail.
const PATIENCE: Duration = Duration::from_secs(50);

/// What the echo says: that all streams of all wires got their answers.
pub(crate) const ECHOES: [&str; 4] = [
    "wormhole: 100 streams, 50445 bytes",
    "yamux: 100 streams, 50445 bytes",
    "smux: 100 streams, 50445 bytes",
    "smux2: 100 streams, 50445 bytes",
];

#[test]
fn examples_run_to_their_end_and_say_what_they_did() {
    for (name, begins) in rt::EXAMPLES {
        let said = run(name);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), begins.len(), "{name}: {said}");
        for (line, begin) in lines.iter().zip(begins) {
            assert!(line.starts_with(begin), "{name}: {line}");
        }
    }
}

/// What an example prints, which a pipe can keep; it must succeed.
fn run(name: &str) -> String {
    let mut command = Command::new(example(name));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{name} hangs: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
