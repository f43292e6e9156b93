//! The programs that take part, and how a process of theirs is run: with a deadline.

use std::env;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use trunkline_bench::mux::spec::{Sample, Spec};

use super::plan;
use crate::Failure;
use crate::command::succeed;

/// What a process may take beyond the time that it measures for.
const DEADLINE: Duration = Duration::from_secs(20);

/// The programs.
#[derive(Debug)]
pub(crate) struct Players {
    /// That of the crates, which has the bare transports and our wires as well.
    crates: Option<PathBuf>,
    go: Option<PathBuf>,
    /// This program, which has no multiplexers of others.
    own: PathBuf,
}

/// What became of one process.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It told its figures.
    Figures(Sample),
    /// It did not, and this is what it did instead.
    Told(String),
}

impl Players {
    /// Nobody but this program.
    pub(crate) fn own() -> Result<Self, Failure> {
        let own = env::current_exe()
            .map_err(|error| Failure::new(format!("this program is nowhere: {error}")))?;
        Ok(Self { crates: None, go: None, own })
    }

    /// Builds what is not built. Dependencies of the peers' own stay in a workspace of their own.
    pub(crate) fn build() -> Result<Self, Failure> {
        let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
        let players = Self::own()?;
        let target = players
            .own
            .parent()
            .and_then(Path::parent)
            .ok_or_else(|| Failure::new("this program lies in no target folder"))?
            .join("peers");
        eprintln!(
            "bench: building the crates that are compared into {}; some minutes when it is the \
             first time",
            target.display()
        );
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--release", "--locked"]).current_dir(bench.join("peers"));
        succeed(build.env("CARGO_TARGET_DIR", &target), "building the peers")?;
        eprintln!("bench: building the originals in Go");
        let go = target.join("bench-go");
        let mut build = Command::new("go");
        build.arg("build").arg("-o").arg(&go).arg(".").current_dir(bench.join("go"));
        let go = match build.stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => Some(go),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(Failure::new(format!("building the peers in Go failed: {said}")));
            }
            Err(_) => {
                eprintln!("bench: no Go peers: there is no Go toolchain to build them");
                None
            }
        };
        Ok(Self { crates: Some(target.join("release/trunkline-bench-peers")), go, ..players })
    }

    /// Whether the originals in Go take part.
    pub(crate) const fn has_go(&self) -> bool {
        self.go.is_some()
    }

    /// Whether the crates of others take part.
    pub(crate) const fn has_crates(&self) -> bool {
        self.crates.is_some()
    }

    /// Runs one process to its end, or to its deadline.
    pub(crate) fn play(&self, spec: &Spec) -> Result<Outcome, Failure> {
        let mut command = match (&self.go, &self.crates) {
            (Some(go), _) if plan::is_go(&spec.subject) => Command::new(go),
            (_, Some(crates)) => Command::new(crates),
            (_, None) => {
                let mut command = Command::new(&self.own);
                command.arg("subject");
                command
            }
        };
        let mut child = command
            .args(spec.args())
            // The threads of smol's executor, which has no other setting.
            .env("SMOL_THREADS", spec.threads.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::new(format!("{} did not start: {error}", spec.subject)))?;
        let (until, mut wait) = (Instant::now() + spec.time + DEADLINE, Duration::from_millis(1));
        let lost = |error| Failure::new(format!("a process was lost: {error}"));
        let status = loop {
            if let Some(status) = child.try_wait().map_err(lost)? {
                break status;
            }
            if Instant::now() >= until {
                child.kill().map_err(lost)?;
                child.wait().map_err(lost)?;
                let seconds = (spec.time + DEADLINE).as_secs();
                return Ok(Outcome::Told(format!("hangs: not over after {seconds} s")));
            }
            std::thread::sleep(wait);
            wait = (wait * 2).min(Duration::from_millis(20));
        };
        let (mut out, mut err) = (String::new(), String::new());
        if let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) {
            stdout.read_to_string(&mut out).map_err(lost)?;
            stderr.read_to_string(&mut err).map_err(lost)?;
        }
        Ok(outcome(status, &out, &err))
    }
}

fn outcome(status: ExitStatus, out: &str, err: &str) -> Outcome {
    match serde_json::from_str(out.trim()) {
        Ok(sample) if status.success() => Outcome::Figures(sample),
        _ => {
            let said = err.lines().rfind(|line| !line.starts_with("note:"));
            Outcome::Told(match said {
                Some(line) => format!("fails: {line}"),
                None => format!("fails: {status}, and says nothing"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn figures_count_only_from_a_process_that_ended_well() {
        let text = "{\"units\":1.0}\n";
        let well = outcome(ExitStatus::from_raw(0), text, "");
        assert!(matches!(well, Outcome::Figures(sample) if sample["units"] == 1.0));
        let killed = outcome(ExitStatus::from_raw(9), text, "");
        assert!(matches!(killed, Outcome::Told(line) if line.contains("signal: 9")));
        let failed = outcome(ExitStatus::from_raw(256), "", "first\npeers: it broke\nnote: x\n");
        assert!(matches!(failed, Outcome::Told(line) if line == "fails: peers: it broke"));
    }
}
