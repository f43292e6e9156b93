//! The agent tunnel against the Go peer, which does as the original: our relay with its agent, our
//! agent with its server. The same is asked of two of ours, and of two of its, by which the instrument
//! is checked.
//!
//! The amounts are small, for a test command that is run often; with `TRUNKLINE_FULL=1` in the
//! environment they are those of `docs/interop.md`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use rustix::process::Signal;

use crate::job::{Job, LONG, eventually, trunkline};
use crate::tunnel_chain::{Answer, Chain, PAIRS, Pair, ask};

/// The reduced amount, or the full one.
fn amount(reduced: &'static str, full: &'static str) -> &'static str {
    if std::env::var_os("TRUNKLINE_FULL").is_some() { full } else { reduced }
}

/// Plays something with each pair, all at once.
fn each(play: impl Fn(Pair) + Sync) {
    thread::scope(|scope| {
        let plays = PAIRS.map(|pair| {
            scope.spawn({
                let play = &play;
                move || play(pair)
            })
        });
        for play in plays {
            if let Err(panic) = play.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

#[test]
fn thousands_of_requests_at_64_in_flight_get_each_its_own_answer() {
    let count = amount("600", "10000");
    each(|pair| {
        let chain = Chain::start(pair);
        chain.loads(&["--requests", count, "--inflight", "64"]);
        let echoes = ["--requests", count, "--inflight", "64", "--kind", "echo", "--bytes", "3000"];
        chain.loads(&echoes);
    });
}

#[test]
fn large_bodies_arrive_whole_both_ways() {
    let bytes = amount("8388608", "1073741824");
    each(|pair| {
        let chain = Chain::start(pair);
        for kind in ["down", "up"] {
            chain.loads(&["--requests", "1", "--kind", kind, "--bytes", bytes]);
        }
    });
}

#[test]
fn an_answer_that_comes_before_the_upload_is_read_is_the_answer() {
    // More than a window, and more than sockets hold.
    let body = vec![7; 12 << 20];
    each(|pair| {
        let chain = Chain::start(pair);
        let answer = chain.post("/early", &body).expect("an answer");
        assert_eq!((answer.status, answer.text()), (413, "too much\n".to_owned()), "{pair:?}");
        chain.loads(&["--requests", "5"]);
    });
}

#[test]
fn a_body_that_the_target_breaks_off_is_never_taken_for_whole() {
    each(|pair| {
        let chain = Chain::start(pair);
        let answer = chain.get("/cut?announce=100000&send=1000").expect("an answer's beginning");
        assert_eq!(answer.status, 200, "{pair:?}");
        assert!(!answer.whole && answer.body.len() <= 1000, "{pair:?}: {}", answer.body.len());
        chain.loads(&["--requests", "5"]);
    });
}

#[test]
fn a_target_that_dies_ends_its_answer_and_is_told_of_as_the_original_does() {
    each(|pair| {
        let chain = Chain::start(pair);
        let answer = chain.get("/die?announce=100000&send=1000").expect("an answer's beginning");
        assert!(answer.status == 200 && !answer.whole, "{pair:?}: {answer:?}");
        let refused = chain.get("/headers").expect("an answer");
        assert_eq!(refused.status, 502, "{pair:?}: {refused:?}");
        let text = refused.text();
        assert!(text.starts_with("local service error: "), "{pair:?}: {text}");
    });
}

#[test]
fn an_agent_that_dies_breaks_its_answers_and_the_next_one_serves() {
    each(|pair| {
        let mut chain = Chain::start(pair);
        let mut stream = begin_endless(&chain.at);
        chain.agent.signal(Signal::KILL);
        // The end comes, whatever was on its way, and long before the length that was announced.
        let _ = stream.read_to_end(&mut Vec::new());
        chain.start_agent();
        chain.loads(&["--requests", "5"]);
    });
}

#[test]
fn an_agent_whose_connection_breaks_joins_again() {
    for pair in [Pair::OurAgent, Pair::Originals] {
        let chain = Chain::start(pair);
        let mut stream = begin_endless(&chain.at);
        let cut = ask(&chain.at, "POST", "/-/api/close/box1", b"").expect("an answer");
        assert_eq!(cut.status, 200, "{pair:?}");
        let _ = stream.read_to_end(&mut Vec::new());
        chain.wait();
        chain.loads(&["--requests", "5"]);
    }
}

/// Asks for more than will ever come, and reads the beginning of it.
fn begin_endless(at: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).expect("the relay listens");
    stream.set_read_timeout(Some(LONG)).expect("a time");
    let head = format!("GET /box1/bytes/1099511627776 HTTP/1.1\r\nhost: {at}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the relay reads");
    stream.read_exact(&mut [0; 100_000]).expect("the beginning");
    stream
}

#[test]
fn events_come_one_by_one_and_an_agent_tells_of_itself() {
    each(|pair| {
        let chain = Chain::start(pair);
        let events = chain.get("/events?count=3&ms=1").expect("an answer");
        assert_eq!(events.text(), "data: 0\n\ndata: 1\n\ndata: 2\n\n", "{pair:?}");
        let told = || -> Option<Answer> {
            match pair.has_our_relay() {
                true => ask(&chain.at, "GET", "/-/api/agents", b"").ok(),
                false => ask(&chain.at, "GET", "/-/api/info/box1", b"").ok(),
            }
        };
        eventually("the agent's system is told", || {
            told().is_some_and(|answer| answer.text().contains("\"os\":\"linux\""))
        });
    });
}

#[test]
fn a_terminal_of_our_agent_opens_from_an_original() {
    for pair in [Pair::OurAgent, Pair::Originals] {
        let chain = Chain::start(pair);
        let path = "/-/api/terminal/box1?cols=90&rows=33&until=en%64-4";
        let typed = b"stty size; echo $TERM; echo en\"\"d-$((2+2))\n";
        let shown = ask(&chain.at, "POST", path, typed).expect("an answer").text();
        // An original that reads two messages at once shows the second one's first byte.
        let shown = shown.replace('\0', "");
        assert!(shown.contains("33 90"), "{pair:?}: {shown:?}");
        assert!(shown.contains("xterm-256color"), "{pair:?}: {shown:?}");
        assert!(shown.contains("end-4"), "{pair:?}: {shown:?}");
    }
}

#[test]
fn our_shell_opens_a_terminal_of_an_original() {
    let chain = Chain::start(Pair::OurRelay);
    let relay = format!("http://{}", chain.at);
    let mut shell = Job::start_fed(&mut trunkline(["shell", "--relay", &relay, "box1"]));
    shell.feed(b"stty size; echo $TERM; echo en\"\"d-$((2+2))\n");
    shell.out.until("end-4");
    let shown = String::from_utf8_lossy(&shell.out.so_far()).into_owned();
    assert!(shown.contains("40 120") && shown.contains("xterm-256color"), "{shown:?}");
}
