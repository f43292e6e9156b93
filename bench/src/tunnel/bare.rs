//! The WebSocket library alone on the way between load and target.
//!
//! Two processes as relay and agent, and nothing between them but WebSockets: each connection that
//! the relay takes becomes one WebSocket, and that one connection to the target. There is no
//! handshake, no multiplexer and no HTTP, and at most [`MESSAGE`] bytes in one message.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::Failure;

/// Most bytes of one message: as many as our relay puts into one.
const MESSAGE: usize = 64 << 10;

/// A process of the bare way: `relay` dials WebSockets to an address, `agent` connections.
pub(crate) fn play(role: &str, to: &str) -> Result<(), Failure> {
    let relay = match role {
        "relay" => true,
        "agent" => false,
        other => return Err(Failure::new(format!("neither relay nor agent: {other}"))),
    };
    let failed = |error: io::Error| Failure::new(format!("bare {role} {to}: {error}"));
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(serve(relay, to.to_owned())))
        .map_err(failed)
}

async fn serve(relay: bool, to: String) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{{\"listening\":\"{}\"}}", listener.local_addr()?);
    loop {
        let (taken, _) = listener.accept().await?;
        let to = to.clone();
        // A connection that breaks is for its two ends to tell.
        tokio::spawn(async move { pass(relay, taken, &to).await });
    }
}

async fn pass(relay: bool, taken: TcpStream, to: &str) -> io::Result<()> {
    let dialled = TcpStream::connect(to).await?;
    taken.set_nodelay(true)?;
    dialled.set_nodelay(true)?;
    let (plain, other, role) =
        if relay { (taken, dialled, Role::Client) } else { (dialled, taken, Role::Server) };
    let (mut out, mut messages) = WebSocketStream::from_raw_socket(other, role, None).await.split();
    let (mut read, mut write) = plain.into_split();
    let there = async move {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(MESSAGE);
            let some = read.read_buf(&mut buffer).await?;
            let message = match some {
                0 => Message::Close(None),
                _ => Message::Binary(buffer.split().freeze()),
            };
            out.send(message).await.map_err(io::Error::other)?;
            if some == 0 {
                return Ok::<_, io::Error>(());
            }
        }
    };
    let back = async move {
        while let Some(message) = messages.next().await {
            match message.map_err(io::Error::other)? {
                Message::Binary(bytes) => write_all(&mut write, bytes).await?,
                Message::Close(_) => break,
                _ => {}
            }
        }
        write.shutdown().await
    };
    tokio::try_join!(there, back).map(|_| ())
}

async fn write_all(
    write: &mut (impl tokio::io::AsyncWrite + Unpin),
    bytes: Bytes,
) -> io::Result<()> {
    write.write_all(&bytes).await
}
