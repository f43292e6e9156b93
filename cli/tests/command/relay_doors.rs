//! How a relay keeps agents apart, ends what was opened by what is gone, and ends itself.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use rustix::process::Signal;

use crate::job::{Job, LONG, eventually, run, trunkline};
use crate::temp::Temp;
use crate::tunnel_chain::{Answer, listening, raw};

/// A relay, and where it listens.
struct Relay {
    job: Job,
    at: String,
}

impl Relay {
    fn start(options: &[&str]) -> Self {
        let relay = ["-v", "relay", "--listen", "127.0.0.1:0"];
        let job = Job::start(&mut trunkline(relay.into_iter().chain(options.iter().copied())));
        let mut at = String::new();
        eventually("the relay listens", || {
            let said = said(&job);
            let mut whole = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let line = whole.find(|line| line.contains("listens on"));
            line.map(|line| at = listening(line)).is_some()
        });
        Self { job, at }
    }

    /// An agent, once it has joined.
    fn join(&self, id: &str, serves: &[&str]) -> Job {
        let url = format!("ws://{}", self.at);
        let join = ["-v", "join", &url, "--id", id];
        let agent = Job::start(&mut trunkline(join.into_iter().chain(serves.iter().copied())));
        agent.err.until("joined");
        agent
    }

    fn get(&self, path: &str, headers: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n\r\n");
        raw(&self.at, request.as_bytes()).unwrap()
    }
}

fn said(job: &Job) -> String {
    String::from_utf8_lossy(&job.err.so_far()).into_owned()
}

/// A file that is nobody else's business.
fn private(temp: &Temp, name: &str, content: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = temp.write(name, content);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn with_host_names_no_agent_has_pages_at_the_relays_own() {
    let relay = Relay::start(&["--domain", "relay.test", "--wait", "0"]);
    let _agent = relay.join("Box1", &["--allow", "127.0.0.1:1"]);
    for host in ["relay.test:8080", "localhost:8080"] {
        let away = relay.get("/Box1/a/b?c=d", &format!("host: {host}"));
        assert_eq!(away.status, 308, "{away:?}");
        assert!(away.head.contains("location: http://box1.relay.test:8080/a/b?c=d"), "{away:?}");
    }
    let away = relay.get("/Box1", "host: relay.test");
    assert!(away.head.contains("location: http://box1.relay.test/\r"), "{away:?}");
    // Hosts have no case: it is this agent that answers, which serves no HTTP.
    let there = relay.get("/a", "host: box1.Relay.test");
    assert_eq!(there.status, 502, "{there:?}");
    assert_eq!(relay.get("/a", "host: box2.relay.test").status, 404);
    // What cannot be a host name cannot join, and is nowhere.
    assert_eq!(relay.get("/box_1/", "host: relay.test").status, 404);
    let url = format!("ws://{}", relay.at);
    let ended = run(&mut trunkline(["join", &url, "--id", "box_1", "--shell"]));
    assert_ne!(ended.code, Some(0));
    assert!(ended.err.contains("400"), "it ends instead of trying for ever: {ended:?}");
}

#[test]
fn what_a_token_opened_ends_when_the_token_is_gone() {
    let temp = Temp::new();
    let login = private(&temp, "login", "login-secret\nother-secret\n");
    let relay = Relay::start(&["--login-token-file", &login]);
    let _agent = relay.join("box1", &["--shell"]);
    let shell = |token: &str| {
        let url = format!("http://{}", relay.at);
        let shell = ["shell", "--relay", &url, "box1", "--", "sh", "-c", "echo ready; sleep 100"];
        let job = Job::start_fed(trunkline(shell).env("TRUNKLINE_LOGIN_TOKEN", token));
        job.out.until("ready");
        job
    };
    let (mut gone, mut stays) = (shell("login-secret"), shell("other-secret"));
    let mut events = TcpStream::connect(&relay.at).unwrap();
    events.set_read_timeout(Some(LONG)).unwrap();
    let request = "GET /-/api/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
        authorization: Bearer login-secret\r\n\r\n";
    events.write_all(request.as_bytes()).unwrap();
    events.read_exact(&mut [0; 12]).unwrap();
    let mut terminal = TcpStream::connect(&relay.at).unwrap();
    terminal.set_read_timeout(Some(LONG)).unwrap();
    let request = "GET /-/terminal/box1 HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: Bearer login-secret\r\n\r\n";
    terminal.write_all(request.as_bytes()).unwrap();
    terminal.read_exact(&mut [0; 12]).unwrap();
    private(&temp, "login", "other-secret\n");
    relay.job.signal(Signal::HUP);
    let mut rest = Vec::new();
    events.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "it ends in order");
    let mut rest = Vec::new();
    let _ = terminal.read_to_end(&mut rest);
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.contains("the login is over"), "{rest}");
    assert_eq!(gone.wait().code(), Some(255));
    assert!(!stays.is_over());
}

#[test]
fn a_relay_of_a_store_shows_nobody_the_login_token() {
    let temp = Temp::new();
    let login = private(&temp, "login", "login-secret\n");
    let store = format!("unix://{}", temp.file("store"));
    let relay = ["relay", "--listen", "127.0.0.1:0", "--store", &store];
    let ended = run(&mut trunkline(relay.into_iter().chain(["--login-token-file", &login])));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("--peer-token-file"), "{ended:?}");
}

#[test]
fn pages_that_came_by_another_name_get_no_agent_in() {
    let relay = Relay::start(&[]);
    let join = |host: &str| {
        let headers = format!(
            "host: {host}\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
        );
        relay.get("/api/tunnel/box1", &format!("{headers}\r\norigin: http://{host}")).status
    };
    assert_eq!(join("evil.example"), 421);
    // Let in, and then no WebSocket, since the connection is to be closed.
    assert_eq!(join("localhost"), 426);
}

#[test]
fn a_relay_that_is_told_to_end_finishes_what_is_under_way() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = target.local_addr().unwrap().to_string();
    let mut relay = Relay::start(&[]);
    let _agent = relay.join("box1", &["--http", &local]);
    let at = relay.at.clone();
    let asking = std::thread::spawn(move || {
        raw(&at, b"GET /box1/ HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap()
    });
    let (mut socket, _) = target.accept().unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    relay.job.signal(Signal::TERM);
    relay.job.err.until("told to end");
    eventually("nobody else is taken", || TcpStream::connect(&relay.at).is_err());
    socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").unwrap();
    let answer = asking.join().unwrap();
    assert_eq!((answer.status, answer.text().as_str(), answer.whole), (200, "late", true));
    assert_eq!(relay.job.wait().code(), Some(0));
}
