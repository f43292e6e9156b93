//! The programs that can take part.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::go;
use crate::{About, WireName};

/// A program that speaks the command line.
#[derive(Clone, Debug)]
pub struct Program {
    /// Which implementation it is.
    pub about: About,
    /// The program and its first arguments.
    command: Vec<String>,
}

impl Program {
    /// Asks a program what it is.
    ///
    /// # Errors
    ///
    /// When it cannot be run, or does not answer as it should.
    pub fn ask(command: Vec<String>) -> Result<Self, String> {
        let name = command.join(" ");
        let (program, arguments) = command.split_first().ok_or("no program")?;
        let output = Command::new(program)
            .args(arguments)
            .arg("--about")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{name} cannot be run: {error}"))?;
        let about = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{name} --about answers something else: {error}"))?;
        Ok(Self { about, command })
    }

    /// The command to start it with.
    pub(super) fn start(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        command
    }

    /// Whether it speaks a wire.
    #[must_use]
    pub fn speaks(&self, wire: WireName) -> bool {
        self.about.wires.iter().any(|name| name == wire.name())
    }

    /// Whether it is one of the two sides of Trunkline.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.about.name.starts_with("trunkline-")
    }

    /// Name and version.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", self.about.name, self.about.version)
    }
}

/// The implementations of others, built and asked.
///
/// # Panics
///
/// When one cannot be built or run, which is a failure of every test that needs it.
#[must_use]
pub fn foreign() -> Vec<Program> {
    let yamux = go::build("yamux");
    let smux = go::build("smux");
    let commands = [
        vec![yamux],
        vec![smux.clone()],
        vec![smux, "-old".to_owned()],
        vec![beside("peer-yamux")],
        vec![beside("peer-tokio-yamux")],
    ];
    commands.map(|command| Program::ask(command).unwrap_or_else(|why| panic!("{why}"))).into()
}

/// The two sides of Trunkline, tokio's first.
///
/// # Panics
///
/// When one cannot be run.
#[must_use]
pub fn ours() -> [Program; 2] {
    let ask = |name| Program::ask(vec![beside(name)]).unwrap_or_else(|why| panic!("{why}"));
    ["peer-trunkline-tokio", "peer-trunkline-smol"].map(ask)
}

/// A program of this package: it stands where this one stands, or one folder up from a test.
fn beside(name: &str) -> String {
    let path = folder().join(name);
    assert!(path.exists(), "{} is not built: cargo build -p trunkline-peers", path.display());
    path.to_string_lossy().into_owned()
}

/// The folder of the programs of this build.
pub(super) fn folder() -> PathBuf {
    let mut folder = env::current_exe().expect("a program has a path");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder
}
