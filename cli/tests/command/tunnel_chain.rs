//! Load, relay, agent and target of an agent tunnel as processes, ours and the Go peer's in any mix.

use std::io::{self, Read, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Command;

use serde_json::Value;

use crate::interop::go_peer;
use crate::job::{Ended, Job, LONG, clean, eventually, run, trunkline};

/// Whose the relay is, and whose the agent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pair {
    /// Our relay, and an original's agent.
    OurRelay,
    /// An original's server, and our agent.
    OurAgent,
    /// Neither is ours: what fails here too is the fault of the instrument.
    Originals,
    /// Both are ours.
    Ours,
}

pub(crate) const PAIRS: [Pair; 4] = [Pair::OurRelay, Pair::OurAgent, Pair::Originals, Pair::Ours];

impl Pair {
    pub(crate) const fn has_our_relay(self) -> bool {
        matches!(self, Self::OurRelay | Self::Ours)
    }

    pub(crate) const fn has_our_agent(self) -> bool {
        matches!(self, Self::OurAgent | Self::Ours)
    }
}

/// Everything that runs for one test.
pub(crate) struct Chain {
    pub(crate) pair: Pair,
    _target: Job,
    pub(crate) relay: Job,
    pub(crate) agent: Job,
    /// Where the relay listens.
    pub(crate) at: String,
    local: String,
}

/// The Go peer with these arguments.
pub(crate) fn peer(args: &[&str]) -> Command {
    let mut peer = clean(go_peer::tunnel().to_str().expect("UTF-8"));
    peer.args(args);
    peer
}

impl Chain {
    /// Starts everything, and waits until a request goes through.
    pub(crate) fn start(pair: Pair) -> Self {
        let target = Job::start(&mut peer(&["target"]));
        let local = listening(&target.out.line());
        let relay = Job::start(&mut match pair.has_our_relay() {
            true => trunkline(["relay", "--listen", "127.0.0.1:0"]),
            false => peer(&["server"]),
        });
        let at = match pair.has_our_relay() {
            true => listening(&relay.err.line()),
            false => listening(&relay.out.line()),
        };
        let agent = agent(pair, &at, &local);
        let chain = Self { pair, _target: target, relay, agent, at, local };
        chain.wait();
        chain
    }

    /// Starts another agent of the same name.
    pub(crate) fn start_agent(&mut self) {
        self.agent = agent(self.pair, &self.at, &self.local);
        self.wait();
    }

    /// Waits until requests go through.
    pub(crate) fn wait(&self) {
        eventually("a request goes through the tunnel", || {
            self.get("/headers").is_ok_and(|answer| answer.status == 200)
        });
    }

    /// Asks the target through the tunnel.
    pub(crate) fn get(&self, path: &str) -> io::Result<Answer> {
        ask(&self.at, "GET", &format!("/box1{path}"), b"")
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> io::Result<Answer> {
        ask(&self.at, "POST", &format!("/box1{path}"), body)
    }

    /// Runs the load generator to its end.
    pub(crate) fn load(&self, args: &[&str]) -> Ended {
        let url = format!("http://{}/box1", self.at);
        let mut load = peer(&["load", "--url", &url]);
        run(load.args(args))
    }

    /// The load generator, which compares every byte, has nothing to complain about.
    #[track_caller]
    pub(crate) fn loads(&self, args: &[&str]) {
        let ended = self.load(args);
        let said = || format!("{:?} {args:?}: {ended:?}", self.pair);
        assert_eq!(ended.code, Some(0), "{}", said());
        let told: Value = serde_json::from_str(ended.text()).expect("one object");
        assert_eq!(told["errors"], 0, "{}", said());
    }
}

fn agent(pair: Pair, at: &str, local: &str) -> Job {
    let (dial, serve) = (format!("http://{at}"), format!("http://{local}"));
    Job::start(&mut match pair.has_our_agent() {
        true => {
            let dial = format!("ws://{at}");
            let mut join = trunkline(["join", &dial, "--id", "box1", "--http", local, "--shell"]);
            if !pair.has_our_relay() {
                join.arg("--token-in-url").env("TRUNKLINE_TOKEN", "token");
            }
            join.env("SHELL", "/bin/bash").env("TERM", "dumb");
            join
        }
        false => peer(&["agent", "--server", &dial, "--local", &serve]),
    })
}

/// The address in a line that tells it.
pub(crate) fn listening(line: &str) -> String {
    let (_, rest) = line.split_once("127.0.0.1:").expect("an address of loopback");
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    format!("127.0.0.1:{port}")
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether its end came as its head says, or the connection broke before.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Makes one request over a connection of its own.
///
/// The body is written by a thread, for an answer may come before all of it is taken.
pub(crate) fn ask(at: &str, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(LONG))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut bytes = Vec::new();
    std::thread::scope(|scope| {
        let mut writer = stream.try_clone()?;
        scope.spawn(move || writer.write_all(body));
        // Whoever answers early may reset the connection behind the answer.
        let read = stream.read_to_end(&mut bytes);
        let _ = stream.shutdown(Shutdown::Both);
        if bytes.is_empty() { read.map(drop) } else { Ok(()) }
    })?;
    answer(&bytes).ok_or_else(|| io::Error::other(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Sends these bytes over a connection of their own, and reads the answer to its end.
pub(crate) fn raw(at: &str, bytes: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(LONG))?;
    stream.write_all(bytes)?;
    let mut read = Vec::new();
    // Whoever refuses may reset the connection behind the answer.
    let ended = stream.read_to_end(&mut read);
    match answer(&read) {
        Some(answer) => Ok(answer),
        None => ended.and(Err(io::Error::other(String::from_utf8_lossy(&read).into_owned()))),
    }
}

fn answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let rest = &bytes[end + 4..];
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let (body, whole) = if let Some(length) = length {
        (rest.to_vec(), length.trim().parse() == Ok(rest.len()))
    } else if head.contains("transfer-encoding: chunked") {
        chunks(rest)
    } else {
        (rest.to_vec(), true)
    };
    Some(Answer { status, head, body, whole })
}

/// The content of chunks, and whether the last one is there.
fn chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return (body, false);
        };
        let size = String::from_utf8_lossy(&rest[..end]).into_owned();
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { return (body, false) };
        rest = &rest[end + 2..];
        if size == 0 {
            return (body, true);
        }
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(next) = rest.get(size + 2..) else { return (body, false) };
        rest = next;
    }
}
