//! Yamux inside WebSockets over real sockets, with and without TLS.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::PrivateKeyDer;

use super::raw::{machine, pinging, quiet};
use crate::cases::mux::wires::{Transport, echo, end, serve};
use crate::cases::support::Pattern;
use crate::rt::{
    self, CloseReason, Connection, DialError, DialFault, DialOptions, Side, WebSocketLimits,
    accept_key, carrier,
};

/// A file that is gone with the test.
pub(super) struct Temporary(pub(super) PathBuf);

impl Temporary {
    pub(super) fn new(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("trunkline-websocket-{}-{count}.pem", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A certificate for the machine itself, and a server with it.
pub(super) fn certificate() -> (Temporary, Arc<rustls::ServerConfig>) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Temporary::new(&made.cert.pem()), Arc::new(config))
}

/// The request on a transport, to its empty line.
pub(super) async fn request(transport: &mut impl Transport) -> io::Result<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.extend(rt::read_exact(transport, 1).await?);
    }
    Ok(String::from_utf8(request).unwrap())
}

/// The value of a request's header.
pub(super) fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| {
        let (known, value) = line.split_once(": ")?;
        known.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Does the server's half of a handshake; also gives the request.
pub(super) async fn upgrade(transport: &mut impl Transport) -> io::Result<String> {
    let request = request(transport).await?;
    let accept = accept_key(header(&request, "sec-websocket-key").unwrap());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nTrunkline-Tunnel: 1\r\n\r\n"
    );
    rt::write_all(transport, answer.as_bytes()).await?;
    Ok(request)
}

/// A server's connection on a transport, behind the handshake.
pub(super) async fn served(mut transport: impl Transport) -> io::Result<Connection> {
    upgrade(&mut transport).await?;
    let limits = WebSocketLimits::default();
    let websocket = rt::accept_upgraded(transport, Side::Server, limits).await;
    Ok(rt::websocket_over(websocket, machine(Side::Server), quiet()))
}

/// A pair of connections over real sockets.
async fn pair(tls: bool) -> (Connection, Connection) {
    let (listener, port) = rt::listen().await;
    let (file, config) = certificate();
    let serving = rt::spawn(async move {
        let socket = rt::accept(&listener).await;
        let served = match tls {
            true => served(rt::tls(socket, config).await.unwrap()).await,
            false => served(socket).await,
        };
        served.unwrap()
    });
    let scheme = if tls { "wss" } else { "ws" };
    let mut options = DialOptions::new(format!("{scheme}://127.0.0.1:{port}/a?token=b"));
    options.ca_file = Some(file.0.clone());
    let (websocket, headers) = rt::dial(options).await.unwrap();
    assert_eq!(headers.first("trunkline-tunnel"), Some("1"));
    assert_eq!(websocket.get_ref().tcp().peer_addr().unwrap().port(), port);
    let late = Duration::from_secs(40);
    let config = pinging(Duration::from_millis(1), late);
    let client = rt::websocket_over(websocket, machine(Side::Client), config);
    (client, serving.await)
}

async fn carries(tls: bool) {
    let (client, server) = pair(tls).await;
    // What one side opens the other serves, at the same time.
    let serving = [serve(server.clone()), serve(client.clone())];
    let mut tasks = Vec::new();
    for (number, opener) in [&client, &server, &client, &server].into_iter().enumerate() {
        let opener = opener.clone();
        tasks.push(rt::spawn(async move {
            const COUNT: usize = 1_000_000;
            let (mut reader, mut writer) = opener.open().await.unwrap().into_split();
            let writing = rt::spawn(async move {
                let pattern = Pattern::new();
                let mut sent = number;
                while sent < COUNT {
                    let mut piece = pattern.at(sent, 70_001.min(COUNT - sent));
                    sent += piece.len();
                    writer.write_bytes(&mut piece).await.unwrap();
                }
                writer
            });
            let pattern = Pattern::new();
            let mut seen = number;
            while seen < COUNT {
                let bytes = reader.read_chunk().await.unwrap().expect("no end");
                pattern.check(seen, &bytes);
                seen += bytes.len();
            }
            end(reader, writing.await).await;
        }));
    }
    for number in 0..100_u8 {
        let client = client.clone();
        tasks.push(rt::spawn(async move {
            let mut stream = client.open().await.unwrap();
            stream.write_bytes(&mut Bytes::from(vec![number; 300])).await.unwrap();
            stream.finish();
            assert_eq!(rt::read_to_end(&mut stream).await.unwrap(), [number; 300]);
        }));
    }
    for task in tasks {
        task.await;
    }
    let closed = rt::spawn({
        let server = server.clone();
        async move { server.closed().await }
    });
    drop(serving);
    assert_eq!(client.close().await, CloseReason::Local);
    let reason = closed.await;
    assert!(!matches!(reason, CloseReason::Violation(_) | CloseReason::Local), "{reason:?}");
}

#[test]
fn streams_go_both_ways_inside_a_websocket() {
    rt::each(async || carries(false).await);
}

#[test]
fn streams_go_both_ways_inside_tls() {
    rt::each(async || carries(true).await);
}

#[test]
fn a_slow_reader_stalls_its_own_stream_alone() {
    rt::each(async || {
        let (client, server) = pair(false).await;
        let mut slow = client.open().await.unwrap();
        rt::write_all(&mut slow, &[1; 10]).await.unwrap();
        // Nobody reads this one, and it is written to until its window is full.
        let unread = server.accept().await.unwrap();
        let filling = rt::spawn(async move {
            let mut slow = slow;
            let _ = rt::write_all(&mut slow, &vec![1; 40 << 20]).await;
        });
        let mut stream = client.open().await.unwrap();
        for round in 0..50 {
            rt::write_all(&mut stream, &[2; 1_000]).await.unwrap();
            if round == 0 {
                rt::spawn(echo(server.accept().await.unwrap())).detach();
            }
            assert_eq!(rt::read_exact(&mut stream, 1_000).await.unwrap(), [2; 1_000]);
        }
        drop((filling, unread));
    });
}

#[test]
fn a_peer_that_was_refused_hears_why_although_it_goes_on_sending() {
    rt::each(async || {
        let (listener, port) = rt::listen().await;
        let serving = rt::spawn(async move {
            let mut socket = rt::accept(&listener).await;
            upgrade(&mut socket).await.unwrap();
            // All of a message that is too large, and only then a look at what came back.
            let message = super::raw::frame(2, &vec![0; 6 << 20]);
            rt::write_all(&mut socket, &message).await.unwrap();
            rt::close(&mut socket).await.unwrap();
            rt::read_to_end(&mut socket).await.unwrap()
        });
        let options = DialOptions::new(format!("ws://127.0.0.1:{port}"));
        let (websocket, _) = rt::dial(options).await.unwrap();
        let mut config = quiet();
        config.close = carrier::Farewell::Close1000Wait(Duration::from_secs(20));
        let client = rt::websocket_over(websocket, machine(Side::Client), config);
        let reason = client.closed().await;
        assert!(matches!(reason, CloseReason::Violation(_)), "{reason:?}");
        // Short frames with a mask each, of which one is the close.
        let heard = serving.await;
        let mut rest = &heard[..];
        let code = loop {
            let length = usize::from(rest[1] & 0x7f);
            if rest[0] == 0x88 {
                break u16::from_be_bytes([rest[2] ^ rest[6], rest[3] ^ rest[7]]);
            }
            rest = &rest[6 + length..];
        };
        assert_eq!(code, 1009);
    });
}

#[test]
fn a_server_with_another_certificate_is_not_trusted() {
    rt::each(async || {
        let (listener, port) = rt::listen().await;
        let (_, config) = certificate();
        let (other, _) = certificate();
        let serving = rt::spawn(async move {
            let socket = rt::accept(&listener).await;
            assert!(rt::tls(socket, config).await.is_err(), "the client went on");
        });
        let mut options = DialOptions::new(format!("wss://localhost:{port}/?token=secret"));
        options.ca_file = Some(other.0.clone());
        let error = rt::dial(options).await.unwrap_err();
        let dialled = DialError::of(&error).unwrap();
        assert!(matches!(dialled.fault(), DialFault::Tls(_)), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(&format!("localhost:{port}")) && !shown.contains("secret"));
        serving.await;
    });
}
