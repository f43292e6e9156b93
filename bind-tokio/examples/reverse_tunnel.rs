//! A reverse tunnel: makes a port of this machine reachable at another one, over tokio.
//!
//! The machine with the service dials out, so it can be behind a firewall; the streams are opened
//! the other way, one for each visitor.
//!
//! ```sh
//! cargo run -p trunkline-tokio --example reverse_tunnel          # all of it in one process
//! # or on two machines:
//! reverse_tunnel relay 0.0.0.0:7000 0.0.0.0:8080                 # tunnels come in here, visitors there
//! reverse_tunnel expose relay.example.org:7000 127.0.0.1:3000    # beside the service
//! ```

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use trunkline_tokio::{Connection, Side, connection_over, yamux};

/// The wire. This one can half-close, which services that wait for the end of a request need.
fn connection(transport: TcpStream, side: Side) -> io::Result<Connection> {
    let machine = yamux::Connection::new(side, yamux::Config::default());
    Ok(connection_over(transport, machine.map_err(io::Error::other)?))
}

/// The far end: takes one tunnel after the other, and opens a stream of it for each visitor.
async fn relay(tunnels: TcpListener, visitors: TcpListener) -> io::Result<()> {
    loop {
        let (transport, from) = tunnels.accept().await?;
        let tunnel = connection(transport, Side::Server)?;
        eprintln!("relay: a tunnel from {from}");
        loop {
            let visitor = tokio::select! {
                visitor = visitors.accept() => visitor?.0,
                why = tunnel.closed() => {
                    eprintln!("relay: the tunnel ended: {why}");
                    break;
                }
            };
            let tunnel = tunnel.clone();
            drop(tokio::spawn(async move {
                let served = async { join(tunnel.open().await?, visitor).await };
                if let Err(error) = served.await {
                    eprintln!("relay: a visitor was lost: {error}");
                }
            }));
        }
    }
}

/// The near end: dials the relay, and joins each stream of it with the service.
async fn expose(relay: String, service: String) -> io::Result<()> {
    let tunnel = connection(TcpStream::connect(relay).await?, Side::Client)?;
    loop {
        let stream = tunnel.accept().await?;
        let service = service.clone();
        drop(tokio::spawn(async move {
            let served = async { join(stream, TcpStream::connect(service).await?).await };
            if let Err(error) = served.await {
                // The stream is dropped unread, so the visitor sees a reset and no end.
                eprintln!("expose: a visitor was lost: {error}");
            }
        }));
    }
}

/// Copies both ways until both have ended; each end is passed on by itself.
async fn join(mut stream: trunkline_tokio::Stream, mut socket: TcpStream) -> io::Result<()> {
    copy_bidirectional(&mut stream, &mut socket).await?;
    Ok(())
}

/// A service that answers once it has seen the end of the question, a relay, a tunnel and visitors.
async fn demonstrate() -> io::Result<()> {
    let local = || TcpListener::bind("127.0.0.1:0");
    let (tunnels, visitors, service) = (local().await?, local().await?, local().await?);
    let (relay_at, visit_at) = (tunnels.local_addr()?, visitors.local_addr()?);
    let service_at = service.local_addr()?;
    let answering = async move {
        loop {
            let (mut visitor, _) = service.accept().await?;
            let mut question = String::new();
            visitor.read_to_string(&mut question).await?;
            visitor.write_all(question.to_uppercase().as_bytes()).await?;
        }
    };
    let visiting = async move {
        for question in ["hello", "is this a tunnel?", "then good bye"] {
            let mut socket = TcpStream::connect(visit_at).await?;
            socket.write_all(question.as_bytes()).await?;
            socket.shutdown().await?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await?;
            println!("{question} -> {answer}");
        }
        Ok(())
    };
    tokio::select! {
        failed = answering => failed,
        failed = relay(tunnels, visitors) => failed,
        failed = expose(relay_at.to_string(), service_at.to_string()) => failed,
        done = visiting => done,
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => demonstrate().await,
        ["relay", tunnels, visitors] => {
            relay(TcpListener::bind(tunnels).await?, TcpListener::bind(visitors).await?).await
        }
        ["expose", relay, service] => expose(relay.to_owned(), service.to_owned()).await,
        _ => Err(io::Error::other("relay TUNNELS VISITORS, expose RELAY SERVICE, or nothing")),
    }
}
