//! Terminals and forwarded ports through a relay, and who is let in.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;

use crate::job::{Job, LONG, eventually, run, run_with, trunkline};
use crate::temp::Temp;
use crate::terminal::on_terminal;
use crate::tunnel_chain::{listening, raw};

/// A relay with one agent.
struct Scene {
    relay: Job,
    agent: Job,
    at: String,
    url: String,
    temp: Temp,
}

impl Scene {
    /// With these options of the agent; both ends want their tokens.
    fn start(serves: &[&str]) -> Self {
        let temp = Temp::new();
        let tokens = private(&temp, "tokens", "# the agents\nbox1 agent-secret owner\n");
        let login = private(&temp, "login", "login-secret\n");
        let token = private(&temp, "token", "agent-secret\n");
        let relay = ["-vv", "relay", "--listen", "127.0.0.1:0", "--tokens", &tokens];
        let relay = relay.into_iter().chain(["--login-token-file", &login]);
        let relay = Job::start(&mut trunkline(relay));
        let mut at = String::new();
        eventually("the relay listens", || {
            let said = String::from_utf8_lossy(&relay.err.so_far()).into_owned();
            let mut whole = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let line = whole.find(|line| line.contains("listens on"));
            line.map(|line| at = listening(line)).is_some()
        });
        let url = format!("http://{at}");
        let join = ["-vv", "join", &url, "--id", "box1", "--token-file", &token];
        let agent = Job::start(&mut trunkline(join.into_iter().chain(serves.iter().copied())));
        let scene = Self { relay, agent, at, url, temp };
        eventually("the agent has joined", || scene.said_by_relay().contains("has joined"));
        scene
    }

    fn said_by_relay(&self) -> String {
        String::from_utf8_lossy(&self.relay.err.so_far()).into_owned()
    }

    /// A command that is let in.
    fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = trunkline([name, "--relay", &self.url, "box1"]);
        command.args(args).env("TRUNKLINE_LOGIN_TOKEN", "login-secret");
        command
    }
}

/// A file that is nobody else's business.
fn private(temp: &Temp, name: &str, content: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = temp.write(name, content);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn a_shell_ends_with_what_its_command_ended_with() {
    let scene = Scene::start(&["--shell"]);
    let shell = |script: &str| run(&mut scene.command("shell", &["--", "sh", "-c", script]));
    let ended = shell("echo out; exit 7");
    assert_eq!((ended.code, ended.text()), (Some(7), "out\r\n"));
    assert_eq!(shell("kill -9 $$").code, Some(137));
    let ended = run(&mut scene.command("shell", &["--", "/no/such/program"]));
    assert_eq!(ended.code, Some(127), "{ended:?}");
    assert!(ended.err.contains("/no/such/program"), "{ended:?}");
    let ended = shell("head -c 300000 /dev/zero | tr '\\0' x; exit 3");
    assert_eq!((ended.code, ended.out.len()), (Some(3), 300_000), "all of it, to the last byte");
    let ended = run_with(&mut scene.command("shell", &["--", "cat"]), b"typed\n");
    assert_eq!(ended.code, Some(0), "the end of the input is passed on: {ended:?}");
    let ended = run_with(&mut scene.command("shell", &["--", "cat"]), b"within a line");
    assert_eq!(ended.code, Some(0), "within a line too: {ended:?}");
}

#[test]
fn a_shell_has_the_size_of_its_terminal_and_follows_it() {
    let scene = Scene::start(&["--shell"]);
    let line = format!(
        "stty cols 93 rows 31; TRUNKLINE_LOGIN_TOKEN=login-secret TERM=xterm-16color \"$T\" shell --relay {} box1 -- \
         sh -c 'trap \"stty size; exit 4\" WINCH; stty size; echo $TERM; while :; do sleep 0.02; done'; echo code $?",
        scene.url
    );
    let job = on_terminal(&format!("{line} & pid=$!; wait $pid"));
    drop(job);
    let mut job = on_terminal(&line);
    job.out.until("31 93");
    job.out.until("xterm-16color");
    // A terminal is given another size from outside.
    let tty = std::fs::read_link(format!("/proc/{}/fd/0", child_of(&job))).unwrap();
    let resized =
        Command::new("stty").arg("-F").arg(&tty).args(["cols", "77", "rows", "22"]).status();
    assert!(resized.unwrap().success());
    job.out.until("22 77");
    job.out.until("code 4");
    assert_eq!(job.wait().code(), Some(0));
}

#[test]
fn a_shell_that_is_told_to_end_sets_its_terminal_back() {
    let scene = Scene::start(&["--shell"]);
    let pid = scene.temp.file("pid");
    let line = format!(
        "before=$(stty -g); TRUNKLINE_LOGIN_TOKEN=login-secret sh -c 'echo $$ > {pid}; exec \"$T\" \
         shell --relay {} box1 -- sh -c \"echo ready; exec sleep 1000\"'; echo code $?; \
         test \"$before\" = \"$(stty -g)\" && echo set back",
        scene.url
    );
    let job = on_terminal(&line);
    job.out.until("ready");
    let pid = std::fs::read_to_string(pid).unwrap();
    assert!(Command::new("kill").args(["-TERM", pid.trim()]).status().unwrap().success());
    job.out.until("code 143");
    job.out.until("set back");
}

/// The process that runs on the terminal of a `script`.
fn child_of(job: &Job) -> u32 {
    let parent = job.pid().as_raw_nonzero().get();
    let list = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    list.split_whitespace().next().expect("a child").parse().unwrap()
}

#[test]
fn a_shell_that_loses_its_relay_is_no_success() {
    let scene = Scene::start(&["--shell"]);
    let mut shell =
        Job::start_fed(&mut scene.command("shell", &["--", "sh", "-c", "echo ready; sleep 100"]));
    shell.out.until("ready");
    scene.relay.signal(rustix::process::Signal::KILL);
    assert_eq!(shell.wait().code(), Some(255));
}

#[test]
fn an_agent_serves_nothing_that_was_not_asked_for() {
    let scene = Scene::start(&["--allow", "127.0.0.1:1"]);
    let ended = run(&mut scene.command("shell", &["--", "true"]));
    assert_eq!(ended.code, Some(127));
    assert!(ended.err.contains("this agent serves no terminals"), "{ended:?}");
    let request = "GET /box1/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer login-secret\r\n\r\n";
    assert_eq!(raw(&scene.at, request.as_bytes()).unwrap().status, 502);
}

#[test]
fn a_port_leads_where_the_agent_allows_and_ends_are_passed_on() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = target.local_addr().unwrap().port();
    let echo = std::thread::spawn(move || {
        let (mut socket, _) = target.accept().unwrap();
        let mut all = Vec::new();
        // The end of one direction comes through while the other is open.
        socket.read_to_end(&mut all).unwrap();
        socket.write_all(&all).unwrap();
    });
    let scene = Scene::start(&["--allow", &format!("127.0.0.1:{port}")]);
    let rules = [format!("0:127.0.0.1:{port}"), "0:127.0.0.1:1".to_owned()];
    let forward = Job::start(&mut scene.command("forward", &["-L", &rules[0], "-L", &rules[1]]));
    let lines = forward.err.lines(2);
    let mut socket = TcpStream::connect(listening(&lines[0])).unwrap();
    let sent: Vec<u8> = (0..500_000_u32).map(|number| number as u8).collect();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let mut writer = socket.try_clone().unwrap();
    let copy = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut echoed = Vec::new();
    socket.read_to_end(&mut echoed).unwrap();
    writing.join().unwrap();
    echo.join().unwrap();
    assert!(echoed == sent, "{} of {} bytes", echoed.len(), sent.len());
    let mut refused = TcpStream::connect(listening(&lines[1])).unwrap();
    refused.set_read_timeout(Some(LONG)).unwrap();
    let met = refused.read(&mut [0]).unwrap_err();
    assert_eq!(met.kind(), ErrorKind::ConnectionReset, "what was refused has no end");
    eventually("it is told", || {
        String::from_utf8_lossy(&forward.err.so_far())
            .contains("this agent does not allow 127.0.0.1:1")
    });
}

#[test]
fn who_has_no_token_is_let_in_nowhere_and_no_log_tells_one() {
    let scene = Scene::start(&["--shell"]);
    let mut shell = scene.command("shell", &["--", "true"]);
    let ended = run(shell.env("TRUNKLINE_LOGIN_TOKEN", "wrong"));
    assert_eq!(ended.code, Some(255));
    assert!(ended.err.contains("the relay wants a login token"), "{ended:?}");
    let wrong = private(&scene.temp, "wrong", "another-secret\n");
    let join = ["join", &scene.url, "--id", "box1", "--token-file", &wrong, "--shell"];
    let ended = run(&mut trunkline(join));
    assert_eq!(ended.code, Some(255));
    assert!(ended.err.contains("401"), "it ends instead of trying for ever: {ended:?}");
    let get = |path: &str, token: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        raw(&scene.at, request.as_bytes()).unwrap().status
    };
    for path in ["/box1/", "/-/api/agents", "/-/api/events", "/-/terminal/box1", "/-/open/box1"] {
        assert_eq!(get(path, "wrong"), 401, "{path}");
    }
    assert_eq!(get("/-/api/agents", "login-secret"), 200);
    // An original's agent, whose token stands in the address.
    assert_eq!(get("/api/tunnel/box1?token=agent-secret", "x"), 401, "the header counts first");
    let said = scene.said_by_relay() + &String::from_utf8_lossy(&scene.agent.err.so_far());
    for secret in ["agent-secret", "login-secret"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn a_relay_without_tokens_keeps_to_loopback() {
    let ended = run(&mut trunkline(["relay", "--listen", "0.0.0.0:0"]));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("loopback"), "{ended:?}");
}

#[test]
fn a_relay_speaks_tls_to_who_trusts_its_certificate() {
    let temp = Temp::new();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext"])
        .args(["subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"])
        .args(["-keyout", &temp.file("key.pem"), "-out", &temp.file("cert.pem")])
        .output()
        .expect("openssl is missing: `cargo xtask test` installs it");
    assert!(made.status.success(), "{made:?}");
    let (cert, key) = (temp.file("cert.pem"), temp.file("key.pem"));
    let relay = ["relay", "--listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    let relay = Job::start(&mut trunkline(relay));
    let url = format!("https://{}", listening(&relay.err.line()));
    let agent =
        Job::start(&mut trunkline(["join", &url, "--id", "b", "--shell", "--ca-file", &cert]));
    agent.err.until("joined");
    let shell = ["shell", "--relay", &url, "--ca-file", &cert, "b", "--", "echo", "by TLS"];
    let ended = run(&mut trunkline(shell));
    assert_eq!((ended.code, ended.text()), (Some(0), "by TLS\r\n"));
    let ended = run(&mut trunkline(["shell", "--relay", &url, "b", "--", "true"]));
    assert_eq!(ended.code, Some(255));
    assert!(ended.err.contains("TLS"), "{ended:?}");
}
