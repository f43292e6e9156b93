//! Logging in to a relay as a browser does, and tokens that change while it runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::job::{Job, eventually, trunkline};
use crate::temp::Temp;
use crate::tunnel_chain::{Answer, raw};

/// A relay that wants tokens.
struct Scene {
    relay: Job,
    at: String,
    temp: Temp,
}

impl Scene {
    fn start() -> Self {
        let temp = Temp::new();
        let tokens = private(&temp, "tokens", "box1 agent-secret\nbox2 other-secret\n");
        let login = private(&temp, "login", "login-secret\n");
        let relay = ["relay", "--listen", "127.0.0.1:0", "--tokens", &tokens];
        let relay = relay.into_iter().chain(["--login-token-file", &login]);
        let relay = Job::start(&mut trunkline(relay));
        let line = relay.err.line();
        let (_, at) = line.rsplit_once("http://").expect("an address");
        Self { at: at.to_owned(), relay, temp }
    }

    /// An agent that says who it is by this token.
    fn join(&self, id: &str, token: &str) -> Job {
        let file = private(&self.temp, &format!("token-{id}"), token);
        let url = format!("ws://{}", self.at);
        Job::start(&mut trunkline(["join", &url, "--id", id, "--token-file", &file, "--shell"]))
    }

    /// A request with these further lines of its head, and this form.
    fn ask(&self, what: &str, lines: &[&str], form: &str) -> Answer {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let request = format!(
            "{what} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{lines}content-length: {}\r\n\r\n{form}",
            self.at,
            form.len()
        );
        raw(&self.at, request.as_bytes()).expect("an answer")
    }

    fn agents(&self, lines: &[&str]) -> Answer {
        self.ask("GET /-/api/agents", lines, "")
    }

    /// Logs in, and gives the line with the cookie.
    fn cookie(&self) -> String {
        let answer = self.ask("POST /-/login", &[], "token=login-secret");
        assert_eq!(answer.status, 204, "{answer:?}");
        let set = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let set = set.expect("a cookie");
        assert!(set.contains("; httponly; samesite=strict; path=/;"), "{set}");
        format!("cookie: {}", set.split(';').next().unwrap_or_default())
    }

    fn reload(&self) {
        self.relay.signal(Signal::HUP);
    }
}

/// A file that is nobody else's business.
fn private(temp: &Temp, name: &str, content: &str) -> String {
    let path = temp.write(name, content);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn a_login_lasts_until_the_logout_and_is_for_pages_of_the_relay() {
    let scene = Scene::start();
    assert_eq!(scene.agents(&[]).status, 401);
    assert_eq!(scene.ask("POST /-/login", &[], "token=wrong-secret").status, 401);
    assert_eq!(scene.ask("POST /-/login", &["origin: http://evil.example"], "token=x").status, 403);
    assert_eq!(scene.ask("POST /-/login", &[], &"x".repeat(5000)).status, 400);
    let cookie = scene.cookie();
    assert_eq!(scene.agents(&[&cookie]).status, 200);
    let upgrade = |origin: &str| {
        let lines = [
            cookie.as_str(),
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
            origin,
        ];
        scene.ask("GET /-/terminal/box1", &lines, "").status
    };
    assert_eq!(upgrade("origin: http://evil.example"), 403);
    assert_eq!(upgrade("x-no-origin: 1"), 403);
    assert_eq!(upgrade(&format!("origin: http://{}", scene.at)), 404, "no such agent has joined");
    let out = scene.ask("POST /-/logout", &[&cookie], "");
    assert!(out.status == 204 && out.head.contains("max-age=0"), "{out:?}");
    assert_eq!(scene.agents(&[&cookie]).status, 401);
}

#[test]
fn wrong_logins_are_slowed_down_and_nobody_is_thrown_out_by_them() {
    let scene = Scene::start();
    let cookie = scene.cookie();
    eventually("it has enough of wrong ones", || {
        let answer = scene.ask("POST /-/login", &[], "token=wrong-secret");
        answer.status == 429 && answer.head.contains("retry-after: ")
    });
    assert_eq!(scene.agents(&[&cookie]).status, 200);
}

#[test]
fn tokens_that_are_taken_away_end_agents_and_logins() {
    let scene = Scene::start();
    let (mut one, _two) = (scene.join("box1", "agent-secret"), scene.join("box2", "other-secret"));
    let cookie = scene.cookie();
    let listed = || {
        let list = scene.agents(&["authorization: Bearer login-secret"]).text();
        ["box1", "box2"].map(|id| list.contains(&format!("{id:?}")))
    };
    eventually("both have joined", || listed() == [true, true]);
    // A file that is of no use changes nothing.
    private(&scene.temp, "tokens", "box1 short\n");
    scene.reload();
    scene.relay.err.until("the tokens stay as they were");
    assert_eq!(scene.agents(&[&cookie]).status, 200);
    private(&scene.temp, "tokens", "box2 other-secret\n");
    scene.reload();
    eventually("the one has gone", || listed() == [false, true]);
    // It is not let in again, and ends instead of trying for ever.
    assert_eq!(one.wait().code(), Some(255));
    private(&scene.temp, "login", "another-secret\n");
    scene.reload();
    eventually("the login is over", || scene.agents(&[&cookie]).status == 401);
}
