//! Two programs that play a scenario with each other.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Amounts, Expect, Play, Program, expected};
use crate::{Role, Scenario, WireName};

/// How long a program may take beyond its own limit before it is killed.
const GRACE: Duration = Duration::from_secs(20);
/// How long the other side may take once one has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// One cell of the matrix.
#[derive(Clone, Debug)]
pub struct Pair<'a> {
    /// Our side, or whatever stands in its place.
    pub ours: &'a Program,
    /// The other side.
    pub theirs: &'a Program,
    /// What they speak.
    pub wire: WireName,
    /// Which end ours is.
    pub role: Role,
    /// What they play.
    pub play: Play,
    /// Chooses when the one that dies does so.
    pub seed: u64,
}

/// What came of a cell.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// As it should be.
    Played {
        /// What our side said, which is not always `done`.
        outcome: String,
        /// How long the client took.
        took: Duration,
        /// What our side noted.
        detail: String,
    },
    /// It cannot be played, and why.
    Impossible(String),
    /// Another way, and how.
    Failed(String),
}

/// The last line of a program.
#[derive(Clone, Debug, Deserialize)]
struct Report {
    outcome: String,
    streams: u64,
    sent: u64,
    received: u64,
    millis: u64,
    detail: String,
}

/// How a program ended.
struct Ended {
    code: Option<i32>,
    report: Option<Report>,
    stderr: String,
}

impl Pair<'_> {
    /// What the cell is, as a failure is told.
    #[must_use]
    pub fn title(&self) -> String {
        let (ours, theirs) = (&self.ours.about.name, self.theirs.title());
        let (wire, role, play) = (self.wire.name(), self.role.name(), self.play.name());
        format!("{wire}: {ours} as {role} with {theirs}: {play} (seed {})", self.seed)
    }

    /// Plays it.
    #[must_use]
    pub fn play(&self, amounts: &Amounts) -> Verdict {
        let expect = match expected(self) {
            Ok(expect) => expect,
            Err(why) => return Verdict::Impossible(why.to_owned()),
        };
        let (server, client) = match self.role {
            Role::Server => (self.ours, self.theirs),
            Role::Client => (self.theirs, self.ours),
        };
        let mut server =
            match Playing::start(server, &self.line(amounts, Role::Server, "127.0.0.1:0")) {
                Ok(server) => server,
                Err(why) => return Verdict::Failed(why),
            };
        let limit = Instant::now() + Duration::from_secs(self.timeout(amounts)) + GRACE;
        let Some(address) = server.address(limit) else {
            let ended = server.end(limit);
            return match ended.code {
                Some(4) => Verdict::Impossible(ended.detail()),
                _ => Verdict::Failed(format!("the server did not listen: {ended}")),
            };
        };
        let client = match Playing::start(client, &self.line(amounts, Role::Client, &address)) {
            Ok(client) => client,
            Err(why) => return Verdict::Failed(why),
        };
        let (server, client) = end_both(server, client, limit);
        let (ours, theirs) = match self.role {
            Role::Server => (server, client),
            Role::Client => (client, server),
        };
        self.judge(amounts, &expect, &ours, &theirs)
    }

    /// The arguments of one side.
    fn line(&self, amounts: &Amounts, role: Role, address: &str) -> Vec<String> {
        let our = role == self.role;
        let scenario = match self.play {
            Play::Both(scenario) => scenario,
            Play::TheyDie if our => Scenario::Survive,
            Play::WeDie if !our => Scenario::Survive,
            Play::TheyDie | Play::WeDie => Scenario::Die,
        };
        let bytes = self.bytes(amounts);
        let streams = if scenario == Scenario::Echo { amounts.echo } else { amounts.short };
        let mut line: Vec<String> =
            ["--wire", self.wire.name(), "--role", role.name(), "--address", address]
                .map(str::to_owned)
                .into();
        line.extend(["--scenario", scenario.name()].map(str::to_owned));
        let numbers = [
            ("--streams", streams),
            ("--bytes", bytes),
            ("--after", 1 + random(self.seed) % (bytes / 2)),
            ("--pings", amounts.pings),
            ("--interval-ms", amounts.interval_ms),
            ("--timeout", self.timeout(amounts)),
        ];
        for (name, value) in numbers {
            line.extend([name.to_owned(), value.to_string()]);
        }
        if scenario == Scenario::HalfClose && self.confirms() {
            line.push("--confirm".to_owned());
        }
        line
    }

    fn bytes(&self, amounts: &Amounts) -> u64 {
        match self.play {
            Play::Both(Scenario::Bulk) => amounts.bulk,
            // Behind the peer's end this crate takes no credit any more (its session.rs and stream.rs):
            // an answer longer than one window never ends.
            Play::Both(Scenario::HalfClose) if self.server().about.name == "crate tokio-yamux" => {
                200_000
            }
            _ => amounts.some,
        }
    }

    /// Less than the time after which a keep-alive would get a stalled connection going again, where
    /// nothing takes long by itself.
    fn timeout(&self, amounts: &Amounts) -> u64 {
        match self.play {
            Play::Both(Scenario::Bulk | Scenario::Short) => amounts.timeout,
            Play::Both(Scenario::Ping) if amounts.interval_ms == 0 => amounts.timeout,
            _ => amounts.timeout.min(25),
        }
    }

    /// The newest smux throws away what its user has not read once both ends have come.
    fn confirms(&self) -> bool {
        let client = if self.role == Role::Client { self.ours } else { self.theirs };
        client.about.name == "xtaci/smux"
    }

    fn server(&self) -> &Program {
        if self.role == Role::Server { self.ours } else { self.theirs }
    }

    fn judge(&self, amounts: &Amounts, expect: &Expect, ours: &Ended, theirs: &Ended) -> Verdict {
        if [ours, theirs].iter().any(|side| side.code == Some(4)) {
            return Verdict::Impossible(format!("{} {}", ours.detail(), theirs.detail()));
        }
        let right = ours.is(expect.ours)
            && expect.theirs.iter().any(|outcome| theirs.is(outcome))
            && self.adds_up(amounts, ours, theirs);
        if !right {
            let expect = format!("{} and {}", expect.ours, expect.theirs.join(" or "));
            return Verdict::Failed(format!("expected {expect}; ours {ours}; theirs {theirs}"));
        }
        let client = if self.role == Role::Client { ours } else { theirs };
        // Of one who died only the other can tell.
        let outcome = match &theirs.report {
            Some(report) if self.play == Play::WeDie => &report.outcome,
            _ => expect.ours,
        };
        let told = [client, ours, theirs].iter().find_map(|side| side.report.as_ref());
        Verdict::Played {
            outcome: outcome.to_owned(),
            took: Duration::from_millis(told.map_or(0, |report| report.millis)),
            detail: ours.detail(),
        }
    }

    /// Whether both sides counted what the scenario moves.
    fn adds_up(&self, amounts: &Amounts, ours: &Ended, theirs: &Ended) -> bool {
        let (Some(one), Some(other)) = (&ours.report, &theirs.report) else { return true };
        let (streams, bytes) = match self.play {
            Play::Both(Scenario::Echo) => (2 * amounts.echo, None),
            Play::Both(Scenario::Bulk | Scenario::HalfClose) => (1, Some(self.bytes(amounts))),
            Play::Both(Scenario::Short) => (amounts.short, Some(64 * amounts.short)),
            _ => return true,
        };
        let extra = u64::from(self.play == Play::Both(Scenario::HalfClose) && self.confirms());
        let streams = streams + extra;
        let same = one.sent == other.received && one.received == other.sent;
        let all = bytes.is_none_or(|bytes| {
            one.sent.max(one.received) == bytes + extra && one.sent.min(one.received) == bytes
        });
        same && all && one.streams == streams && other.streams == streams
    }
}

/// A number that a seed chooses (splitmix64).
fn random(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Ended {
    /// Whether it ended with this outcome; `died` is the exit code of one who dies.
    fn is(&self, outcome: &str) -> bool {
        match &self.report {
            Some(report) => self.code == Some(0) && report.outcome == outcome,
            None => outcome == "died" && self.code == Some(9),
        }
    }

    fn detail(&self) -> String {
        self.report.as_ref().map_or_else(String::new, |report| report.detail.clone())
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.report {
            Some(report) => write!(f, "{report:?}")?,
            None => f.write_str("without a last line")?,
        }
        write!(f, ", exit code {:?}", self.code)?;
        if self.stderr.is_empty() { Ok(()) } else { write!(f, ", stderr: {}", self.stderr.trim()) }
    }
}

/// A program under way.
struct Playing {
    child: Child,
    lines: Receiver<String>,
    stderr: JoinHandle<String>,
}

impl Playing {
    fn start(program: &Program, line: &[String]) -> Result<Self, String> {
        let mut command = program.start();
        command.args(line).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|error| format!("{command:?} cannot be run: {error}"))?;
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut stderr = child.stderr.take().expect("it is piped");
        let (tell, lines) = sync_channel(8);
        thread::spawn(move || {
            // The receiver is gone when nobody asks any more.
            stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)).ok();
        });
        let stderr = thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).ok();
            let text = String::from_utf8_lossy(&bytes);
            text.chars().take(2000).collect()
        });
        Ok(Self { child, lines, stderr })
    }

    /// Where a server listens.
    fn address(&mut self, limit: Instant) -> Option<String> {
        #[derive(Deserialize)]
        struct Listening {
            listening: String,
        }
        let line = self.lines.recv_timeout(limit.saturating_duration_since(Instant::now())).ok()?;
        serde_json::from_str::<Listening>(&line).ok().map(|line| line.listening)
    }

    /// Whether it has ended by itself.
    fn has_ended(&mut self) -> Option<bool> {
        let status = self.child.try_wait().expect("a child can be waited for")?;
        Some(matches!(status.code(), Some(0 | 9)))
    }

    /// Waits for its end, and makes it.
    fn end(mut self, limit: Instant) -> Ended {
        while self.has_ended().is_none() && Instant::now() < limit {
            thread::sleep(Duration::from_millis(2));
        }
        // Harmless where it has ended.
        self.child.kill().ok();
        let code = self.child.wait().expect("a child can be waited for").code();
        let report = self.lines.iter().last().and_then(|line| serde_json::from_str(&line).ok());
        Ended { code, report, stderr: self.stderr.join().expect("it only reads") }
    }
}

/// Waits for the ends of both; when one fails the other need not go on.
fn end_both(mut one: Playing, mut other: Playing, mut limit: Instant) -> (Ended, Ended) {
    loop {
        let ended = [one.has_ended(), other.has_ended()];
        if ended.contains(&Some(false)) {
            limit = limit.min(Instant::now() + AFTER_FAILURE);
            break;
        }
        if ended.iter().all(Option::is_some) || Instant::now() >= limit {
            break;
        }
        thread::sleep(Duration::from_millis(2));
    }
    (one.end(limit), other.end(limit))
}
