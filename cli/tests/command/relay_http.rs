//! HTTP through our relay and our agent: what must arrive, what must be refused, who waits for whom.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::job::{Job, LONG, eventually, trunkline};
use crate::tunnel_chain::{Answer, Chain, Pair, ask, raw};

#[test]
fn what_an_original_cannot_carry_works_between_ours() {
    let chain = Chain::start(Pair::Ours);
    let cookies = chain.get("/cookies").unwrap();
    assert_eq!(cookies.head.matches("set-cookie: ").count(), 2, "{cookies:?}");
    let chunked = b"POST /box1/echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
        transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\n, w\r\n4\r\norld\r\n0\r\n\r\n";
    let echoed = raw(&chain.at, chunked).unwrap();
    assert_eq!((echoed.status, echoed.text().as_str()), (200, "hello, world"));
    // hyper sends none with a GET of its own accord.
    let odd = b"GET /box1/echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
        transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let echoed = raw(&chain.at, odd).unwrap();
    assert_eq!((echoed.status, echoed.text().as_str()), (200, "hello"));
    assert_eq!(web_socket(&chain.at), 101);
}

#[test]
fn an_original_gets_what_it_can_carry_and_the_rest_is_refused_clearly() {
    let chain = Chain::start(Pair::OurRelay);
    let chunked = b"POST /box1/echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
        transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let echoed = raw(&chain.at, chunked).unwrap();
    assert_eq!((echoed.status, echoed.text().as_str()), (200, "hello"), "kept until it was whole");
    assert_eq!(web_socket(&chain.at), 501);
}

#[test]
fn a_body_is_never_lost_to_an_offer_of_another_protocol() {
    for pair in [Pair::Ours, Pair::OurRelay] {
        let chain = Chain::start(pair);
        for offer in ["websocket", "h2c"] {
            let request = format!(
                "POST /box1/echo HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, close\r\nupgrade: {offer}\r\n\
                 content-length: 5\r\n\r\nhello"
            );
            let echoed = raw(&chain.at, request.as_bytes()).unwrap();
            assert_eq!((echoed.status, echoed.text().as_str()), (200, "hello"), "{offer}");
        }
    }
}

/// Asks for a WebSocket, sends a message and wants it back; says the status.
fn web_socket(at: &str) -> u16 {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let head = "GET /box1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    if status == 101 {
        assert!(head.to_ascii_lowercase().contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        // A masked text message, whose mask is nothing.
        stream.write_all(b"\x81\x85\0\0\0\0hello").unwrap();
        let mut echo = [0; 7];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"\x81\x05hello");
    }
    status
}

#[test]
fn requests_with_two_lengths_or_broken_lines_smuggle_nothing() {
    let chain = Chain::start(Pair::Ours);
    let refused = |head: &str| {
        let request = format!("{head}\r\nhost: localhost\r\nconnection: close\r\n\r\n0\r\n\r\n");
        let answer = raw(&chain.at, request.as_bytes());
        assert!(answer.as_ref().is_ok_and(|answer| answer.status == 400), "{head:?}: {answer:?}");
    };
    refused("POST /box1/echo HTTP/1.1\r\ncontent-length: 4\r\ncontent-length: 5");
    refused("POST /box1/echo HTTP/1.1\r\ncontent-length: -1");
    refused("GET /box1/headers HTTP/1.1\r\nx: a\rb");
    refused("GET /box1/headers HTTP/1.1\r\nx: a\0b");
    refused("GET /box1/headers HTTP/1.1\r\nbad name: a");
    // What says both is read by the stronger one, and what is carried on says only that: whoever
    // reads it next cannot see another end.
    for both in [
        "transfer-encoding: chunked\r\ncontent-length: 4",
        "content-length: 4\r\ntransfer-encoding: chunked",
    ] {
        let request = format!(
            "POST /box1/headers HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{both}\r\n\r\n0\r\n\r\n"
        );
        let answer = raw(&chain.at, request.as_bytes()).unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.json()["headers"]["Content-Length"].is_null(), "{answer:?}");
    }
    assert_eq!(chain.get("/headers").unwrap().status, 200, "all is well behind it");
}

#[test]
fn the_target_learns_who_asked_and_nothing_that_is_the_relays() {
    let chain = Chain::start(Pair::Ours);
    let request = "GET /box1/headers?a=%2Fb HTTP/1.1\r\nhost: localhost:1\r\n\
        connection: close, x-hop, x-forwarded-for, x-forwarded-prefix\r\n\
        x-hop: 1\r\nkeep-alive: 5\r\nx-forwarded-for: 6.6.6.6\r\nx-forwarded-prefix: /evil\r\n\
        cookie: trunkline_session=secret; mine=1\r\n\r\n";
    let seen = raw(&chain.at, request.as_bytes()).unwrap().json();
    let headers = &seen["headers"];
    assert_eq!(seen["uri"], "/headers?a=%2Fb");
    assert_eq!(headers["X-Forwarded-Prefix"][0], "/box1");
    assert_eq!(headers["X-Forwarded-For"][0], "127.0.0.1");
    assert_eq!(headers["X-Forwarded-Host"][0], "localhost:1");
    assert_eq!(headers["X-Forwarded-Proto"][0], "http");
    assert_eq!(headers["Cookie"][0], "mine=1");
    for gone in ["X-Hop", "Keep-Alive", "Connection"] {
        assert!(headers[gone].is_null(), "{gone}: {seen}");
    }
}

#[test]
fn a_slow_reader_stalls_only_its_own_answer() {
    let chain = Chain::start(Pair::Ours);
    let mut slow = TcpStream::connect(&chain.at).unwrap();
    slow.write_all(b"GET /box1/bytes/200000000 HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    slow.read_exact(&mut first).unwrap();
    // Whatever buffers there are between the two are full by then, or the next ones fill them.
    for _ in 0..20 {
        assert!(
            chain.get("/bytes/100000").is_ok_and(|answer| answer.whole && answer.status == 200)
        );
    }
    drop(slow);
}

#[test]
fn a_request_waits_for_an_agent_that_has_just_left() {
    let mut chain = Chain::start(Pair::Ours);
    chain.agent.signal(Signal::TERM);
    chain.agent.wait();
    let at = chain.at.clone();
    let waiting = std::thread::spawn(move || ask(&at, "GET", "/box1/headers", b""));
    std::thread::sleep(Duration::from_millis(200));
    chain.start_agent();
    assert_eq!(waiting.join().unwrap().unwrap().status, 200);
}

#[test]
fn an_agent_that_joins_again_replaces_the_old_one() {
    let mut chain = Chain::start(Pair::Ours);
    let mut old = std::mem::replace(&mut chain.agent, Job::start(&mut trunkline(["--version"])));
    chain.start_agent();
    // The old one is told, and tries again; from then on they take turns, as the original's do.
    eventually("the old one is out", || {
        String::from_utf8_lossy(&old.err.so_far()).contains("the connection to the relay is over")
    });
    old.signal(Signal::KILL);
    old.wait();
    chain.wait();
}

#[test]
fn whoever_is_not_there_is_told_so_at_once() {
    let chain = Chain::start(Pair::Ours);
    let start = Instant::now();
    let answer = ask(&chain.at, "GET", "/nobody/", b"").unwrap();
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (404, "no agent named \"nobody\" has joined\n")
    );
    assert!(start.elapsed() < Duration::from_secs(4), "nobody waits for who never was here");
    let Answer { status, head, .. } = ask(&chain.at, "GET", "/box1?a=b", b"").unwrap();
    assert_eq!(status, 308);
    assert!(head.contains("location: /box1/?a=b"), "{head}");
}

#[test]
fn an_agent_joins_again_when_its_relay_is_started_again() {
    let mut chain = Chain::start(Pair::Ours);
    chain.relay.signal(Signal::KILL);
    chain.relay.wait();
    let at = chain.at.clone();
    assert!(ask(&at, "GET", "/box1/headers", b"").is_err());
    chain.relay = Job::start(&mut trunkline(["relay", "--listen", &at]));
    chain.wait();
}
