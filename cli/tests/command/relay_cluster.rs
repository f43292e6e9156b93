//! Two relays that share a real Redis: agents of one are reached through the other, whatever dies.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use crate::job::{Job, clean, eventually, run, trunkline};
use crate::temp::Temp;
use crate::tunnel_chain::{Answer, ask, raw};

/// A store, and relays that share it.
struct Cluster {
    store: Job,
    north: Relay,
    south: Relay,
    temp: Temp,
}

struct Relay {
    job: Job,
    at: String,
}

impl Cluster {
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these options of both relays.
    fn start_with(options: &[&str]) -> Self {
        let temp = Temp::new();
        let store = redis(&temp);
        let (north, south) =
            (Relay::start(&temp, "north", options), Relay::start(&temp, "south", options));
        Self { store, north, south, temp }
    }

    /// Kills the store and all that it knew.
    fn kill_store(&mut self) {
        self.store.signal(Signal::KILL);
        self.store.wait();
    }

    fn restart_store(&mut self) {
        self.store = redis(&self.temp);
    }

    /// A web server with this page, and where it is.
    fn web(&self, page: &str) -> (Job, String) {
        let folder = self.temp.path().join(page);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("index.html"), page).unwrap();
        // More than any window.
        std::fs::write(folder.join("big"), big()).unwrap();
        let mut server = clean("python3");
        server.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]);
        let server = Job::start(server.arg(folder));
        let at = listening(&server.out.line());
        (server, at)
    }
}

impl Relay {
    fn start(temp: &Temp, name: &str, options: &[&str]) -> Self {
        let store = format!("unix://{}", temp.file("store"));
        let relay = ["-v", "relay", "--listen", "127.0.0.1:0", "--name", name, "--store", &store];
        let job = Job::start(&mut trunkline(relay.into_iter().chain(options.iter().copied())));
        let mut at = None;
        eventually("the relay listens", || {
            let said = said(&job);
            let mut whole = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            at = whole.find(|line| line.contains("listens on")).map(listening);
            at.is_some()
        });
        Self { job, at: at.unwrap() }
    }

    fn get(&self, path: &str) -> io::Result<Answer> {
        ask(&self.at, "GET", path, b"")
    }

    /// Waits until this is what the agent's web server shows through this relay.
    fn shows(&self, agent: &str, page: &str) {
        eventually(&format!("{agent} shows {page}"), || {
            let answer = self.get(&format!("/{agent}/"));
            answer.is_ok_and(|answer| answer.status == 200 && answer.text() == page)
        });
    }

    /// Which relay holds each agent, as this one's page is told.
    fn agents(&self) -> Vec<(String, String)> {
        let list: Value = self.get("/-/api/agents").unwrap().json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let agents = list["agents"].as_array().unwrap().iter();
        agents.map(|agent| (text(&agent["id"]), text(&agent["relay"]))).collect()
    }
}

/// All that a process has said so far.
fn said(job: &Job) -> String {
    String::from_utf8_lossy(&job.err.so_far()).into_owned()
}

/// The store, which listens when it has got so far.
fn redis(temp: &Temp) -> Job {
    let mut redis = clean("redis-server");
    redis.args(["--port", "0", "--unixsocket", &temp.file("store"), "--save", ""]);
    redis.args(["--appendonly", "no", "--dir", temp.text()]);
    Job::start(&mut redis)
}

fn join(at: &str, id: &str, web: &str, options: &[&str]) -> Job {
    let url = format!("ws://{at}");
    let join = ["join", &url, "--id", id, "--http", web, "--shell"];
    Job::start(&mut trunkline(join.into_iter().chain(options.iter().copied())))
}

fn big() -> Vec<u8> {
    (0..3_000_000_u32).map(|number| (number % 251) as u8).collect()
}

/// The address in a line that tells it.
fn listening(line: &str) -> String {
    let (_, rest) = line.split_once("127.0.0.1:").expect("an address of loopback");
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    format!("127.0.0.1:{port}")
}

#[test]
fn an_agent_of_one_relay_is_reached_through_the_other() {
    let cluster = Cluster::start();
    let (_web, web) = cluster.web("page");
    let _agent = join(&cluster.north.at, "box1", &web, &[]);
    cluster.north.shows("box1", "page");
    cluster.south.shows("box1", "page");
    let whole = cluster.south.get("/box1/big").unwrap();
    assert!(whole.whole && whole.body == big());
    assert_eq!(cluster.south.get("/box2/").unwrap().status, 404);
    for relay in [&cluster.north, &cluster.south] {
        eventually("both list it", || relay.agents() == [("box1".to_owned(), "north".to_owned())]);
    }
    let url = format!("http://{}", cluster.south.at);
    let script = "echo through; exit 7";
    let ended = run(&mut trunkline(["shell", "--relay", &url, "box1", "--", "sh", "-c", script]));
    assert_eq!((ended.code, ended.text().trim_end()), (Some(7), "through"), "{ended:?}");
}

#[test]
fn the_store_may_die_and_come_back_without_what_it_knew() {
    let mut cluster = Cluster::start();
    let (_web, web) = cluster.web("page");
    let _one = join(&cluster.north.at, "box1", &web, &[]);
    cluster.south.shows("box1", "page");
    cluster.kill_store();
    // The next one starts without even a socket to find.
    let _ = std::fs::remove_file(cluster.temp.file("store"));
    for relay in [&cluster.north, &cluster.south] {
        relay.job.err.until("the store does not answer");
        // Its own agents as ever, those of others where they were last seen.
        assert_eq!(relay.get("/box1/").unwrap().text(), "page");
    }
    // One that joins meanwhile is found where it is, and by others when the store is back.
    let _two = join(&cluster.north.at, "box2", &web, &[]);
    cluster.north.shows("box2", "page");
    assert_eq!(cluster.south.get("/box2/").unwrap().status, 503);
    cluster.restart_store();
    cluster.south.shows("box2", "page");
    cluster.south.shows("box1", "page");
    for relay in [&cluster.north, &cluster.south] {
        relay.job.err.until("the store answers again");
        let said = said(&relay.job);
        let count = |text| said.matches(text).count();
        // It is said when it changes, and not at every try.
        assert!(count("does not answer") <= count("answers again") + 1, "{said}");
    }
}

#[test]
fn a_store_that_hangs_holds_nobody_up_for_long() {
    let cluster = Cluster::start();
    let (_web, web) = cluster.web("page");
    let _agent = join(&cluster.north.at, "box1", &web, &[]);
    cluster.south.shows("box1", "page");
    cluster.store.signal(Signal::STOP);
    for relay in [&cluster.north, &cluster.south] {
        assert_eq!(relay.get("/box1/").unwrap().text(), "page");
        relay.job.err.until("the store does not answer");
    }
    cluster.store.signal(Signal::CONT);
    cluster.south.job.err.until("the store answers again");
    cluster.south.shows("box1", "page");
}

#[test]
fn an_agent_whose_relay_dies_is_reached_where_it_comes_back() {
    let mut cluster = Cluster::start();
    let (_web, web) = cluster.web("page");
    let (balancer, target) = balancer(&cluster.north.at);
    let _agent = join(&balancer, "box1", &web, &[]);
    cluster.south.shows("box1", "page");
    assert!(said(&cluster.south.job).contains("reached through its relay"));
    // Before that port can be somebody else's.
    target.lock().unwrap().clone_from(&cluster.south.at);
    cluster.north.job.signal(Signal::KILL);
    cluster.north.job.wait();
    // Nobody told the store, and nobody waits for it to forget.
    cluster.south.shows("box1", "page");
    eventually("the list has it once, in its new place", || {
        cluster.south.agents() == [("box1".to_owned(), "south".to_owned())]
    });
    // And back.
    cluster.north = Relay::start(&cluster.temp, "north", &[]);
    cluster.north.shows("box1", "page");
}

#[test]
fn who_joins_last_has_the_name_at_every_relay() {
    let cluster = Cluster::start();
    let ((_first, first), (_second, second)) = (cluster.web("first"), cluster.web("second"));
    let mut one = join(&cluster.north.at, "box1", &first, &["--once"]);
    cluster.south.shows("box1", "first");
    let _two = join(&cluster.south.at, "box1", &second, &[]);
    cluster.south.shows("box1", "second");
    // The other relay lets go of its own, whose late clean-up changes nothing.
    cluster.north.shows("box1", "second");
    one.wait();
    cluster.north.shows("box1", "second");
    cluster.south.shows("box1", "second");
}

#[test]
fn relays_that_ask_for_a_login_know_each_other_by_a_token() {
    use std::os::unix::fs::PermissionsExt as _;
    let secrets = Temp::new();
    let private = |name: &str, text: &str| {
        let path = secrets.write(name, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (login, peers) = (private("login", "login-secret"), private("peers", "relay-secret"));
    let mut cluster =
        Cluster::start_with(&["--login-token-file", &login, "--peer-token-file", &peers]);
    let (_web, web) = cluster.web("page");
    let _agent = join(&cluster.north.at, "box1", &web, &[]);
    let get = |relay: &Relay, token: &str| {
        let request = format!(
            "GET /box1/ HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
             authorization: Bearer {token}\r\n\r\n",
            relay.at
        );
        raw(&relay.at, request.as_bytes()).unwrap().status
    };
    eventually("it is reached", || get(&cluster.south, "login-secret") == 200);
    // The relays' token opens nothing for people.
    assert_eq!(get(&cluster.south, "relay-secret"), 401);
    // And one with another token is nobody's peer.
    let other = private("other", "other-secret");
    let options = ["--login-token-file", &login, "--peer-token-file", &other, "--wait", "0"];
    cluster.south = Relay::start(&cluster.temp, "stranger", &options);
    eventually("it is refused", || get(&cluster.south, "login-secret") == 502);
    for relay in [&cluster.north, &cluster.south] {
        assert!(!said(&relay.job).contains("-secret"), "{}", said(&relay.job));
    }
}

/// What stands in front of relays: where it is, and where it leads new connections.
fn balancer(relay: &str) -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let target = Arc::new(Mutex::new(relay.to_owned()));
    let now = Arc::clone(&target);
    thread::spawn(move || {
        for inside in listener.incoming().flatten() {
            let target = now.lock().unwrap().clone();
            let Ok(outside) = TcpStream::connect(target) else { continue };
            for (mut from, mut to) in [
                (inside.try_clone().unwrap(), outside.try_clone().unwrap()),
                (outside.try_clone().unwrap(), inside.try_clone().unwrap()),
            ] {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    (at, target)
}
