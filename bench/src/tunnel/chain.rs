//! The processes between a load generator and a target, of whom CPU and memory are told.

use std::env;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::Failure;
use crate::command::succeed;

/// How long processes may take until the first request goes through.
const STARTING: Duration = Duration::from_secs(30);

/// How many lines of a process may wait to be looked at; more are lost.
const LINES: usize = 1 << 16;

/// Who stands between load and target.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Who {
    /// `trunkline relay` and `trunkline join`.
    Ours,
    /// The Go peer's server and agent.
    Go,
    /// Nothing but the WebSocket library of ours: one connection, one WebSocket.
    Bare,
}

impl Who {
    /// Everybody, in the order in which they take turns.
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::Go, Self::Bare];

    /// The name in a table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "trunkline",
            Self::Go => "Go peer",
            Self::Bare => "bare WebSocket",
        }
    }
}

/// The programs that take part.
#[derive(Debug)]
pub(crate) struct Players {
    pub(crate) trunkline: PathBuf,
    pub(crate) go: PathBuf,
    own: PathBuf,
}

/// What the load generator tells of a run.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) requests: f64,
    pub(crate) bytes: f64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Seconds of relay and agent.
    pub(crate) cpu: f64,
    /// Bytes that the saturating stream moved.
    pub(crate) beside: f64,
}

impl Players {
    /// Builds the Go peer beside the command.
    pub(crate) fn beside(trunkline: &Path) -> Result<Self, Failure> {
        let go = trunkline.with_file_name("tunnel-peer");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/peers/tunnel");
        let mut build = Command::new("go");
        build.arg("build").arg("-o").arg(&go).arg(".").current_dir(source);
        succeed(build.env("CGO_ENABLED", "0"), "building the Go peer of the tunnel")?;
        let own = env::current_exe()
            .map_err(|error| Failure::new(format!("this program is nowhere: {error}")))?;
        Ok(Self { trunkline: trunkline.to_owned(), go, own })
    }

    /// Runs the load generator; a request that fails, or a wrong byte, fails all of it.
    pub(crate) fn load(&self, args: &[String]) -> Result<Report, Failure> {
        let told = Command::new(&self.go)
            .arg("load")
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .map_err(|error| Failure::new(format!("the load generator did not start: {error}")))?;
        let text = String::from_utf8_lossy(&told.stdout);
        if !told.status.success() {
            return Err(Failure::new(format!("{} failed: {}", args.join(" "), text.trim())));
        }
        serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("the load generator told no figures: {error}")))
    }
}

/// A process that is ended when nobody needs it any more.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// What it prints, line by line: whoever printed into a full pipe would stand still.
    said: Receiver<String>,
    name: String,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let name = format!("{command:?}");
        let failed = |error| Failure::new(format!("{name} did not start: {error}"));
        let mut child = command
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (say, said) = mpsc::sync_channel(LINES);
        if let Some(out) = child.stdout.take() {
            tell(out, say.clone());
        }
        if let Some(out) = child.stderr.take() {
            tell(out, say);
        }
        Ok(Self { child, said, name })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints.
    pub(crate) fn line(&self) -> Result<String, Failure> {
        self.said
            .recv_timeout(STARTING)
            .map_err(|error| Failure::new(format!("{} says nothing more: {error}", self.name)))
    }

    /// The address that it listens at: that of the first line with one.
    pub(crate) fn address(&self) -> Result<String, Failure> {
        loop {
            let line = self.line()?;
            if let Some((_, rest)) = line.split_once("127.0.0.1:") {
                let port = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                return Ok(format!("127.0.0.1:{port}"));
            }
        }
    }
}

fn tell(out: impl Read + Send + 'static, say: SyncSender<String>) {
    std::thread::spawn(move || {
        // Read on when nobody listens any more.
        BufReader::new(out).lines().map_while(Result::ok).for_each(|line| drop(say.try_send(line)));
    });
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A way from an address to a target, and the processes that it consists of.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) who: Who,
    /// What leads to the target.
    pub(crate) url: String,
    relay: Process,
    agent: Process,
    _target: Process,
}

impl Chain {
    /// Starts everything, and waits until a request goes through.
    pub(crate) fn begin(players: &Players, who: Who) -> Result<Self, Failure> {
        let target = Process::start(Command::new(&players.go).arg("target"))?;
        let local = target.address()?;
        let mut relay = relay(players, who)?;
        let at = relay.address()?;
        let mut agent = match who {
            Who::Ours => {
                let mut join = Command::new(&players.trunkline);
                join.args(["join", &format!("ws://{at}"), "--id", "box1", "--http", &local]);
                join
            }
            Who::Go => {
                let mut agent = Command::new(&players.go);
                agent.args(["agent", "--server", &format!("http://{at}")]);
                agent.args(["--local", &format!("http://{local}")]);
                agent
            }
            Who::Bare => {
                let mut agent = Command::new(&players.own);
                agent.args(["bare", "agent", &local]);
                agent
            }
        };
        let agent = Process::start(&mut agent)?;
        let url = match who {
            Who::Ours | Who::Go => format!("http://{at}/box1"),
            // Here it is the relay that dials.
            Who::Bare => {
                drop(relay);
                let at = agent.address()?;
                let mut bare = Command::new(&players.own);
                relay = Process::start(bare.args(["bare", "relay", &at]))?;
                format!("http://{}", relay.address()?)
            }
        };
        let chain = Self { who, url, relay, agent, _target: target };
        chain.wait(players)?;
        Ok(chain)
    }

    fn wait(&self, players: &Players) -> Result<(), Failure> {
        let until = Instant::now() + STARTING;
        let args = ["--url", &self.url, "--requests", "1"].map(str::to_owned);
        loop {
            match players.load(&args) {
                Ok(_) => return Ok(()),
                Err(failure) if Instant::now() > until => return Err(failure),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// The processes whose CPU counts, for the load generator.
    pub(crate) fn counted(&self) -> String {
        format!("{},{}", self.relay.id(), self.agent.id())
    }
}

/// A relay, before any agent has joined.
pub(crate) fn relay(players: &Players, who: Who) -> Result<Process, Failure> {
    let mut relay = match who {
        Who::Ours => {
            let mut relay = Command::new(&players.trunkline);
            relay.args(["relay", "--listen", "127.0.0.1:0"]);
            relay
        }
        Who::Go => {
            let mut server = Command::new(&players.go);
            server.arg("server");
            server
        }
        Who::Bare => {
            let mut bare = Command::new(&players.own);
            bare.args(["bare", "agent", "127.0.0.1:1"]);
            bare
        }
    };
    Process::start(&mut relay)
}
