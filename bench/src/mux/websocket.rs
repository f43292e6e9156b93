//! WebSockets: the bare library, one connection for each stream, and ours inside one.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream as _;
use futures_sink::Sink as _;
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use trunkline_core::mux::{self, Side};
use trunkline_tokio::{WebSocketLimits, accept_upgraded, carrier, websocket_over};

use super::count::Counted;
use super::ours::OnTokio;
use super::transport::{Kind, TokioLink, TokioPipe, tokio_connect, tokio_listen, tokio_pair};
use super::{Mux, Stream};

/// The library's connections, opened and accepted; a message is what was written at once.
#[derive(Clone, Debug)]
pub struct Bare {
    kind: Kind,
    listener: Arc<TcpListener>,
    config: Option<WebSocketConfig>,
}

impl Bare {
    /// Both ends, over TCP; with the library's own buffers, or with those that ours have.
    ///
    /// # Errors
    ///
    /// What the system says to a listener; `Unsupported` for what is not TCP.
    pub async fn pair(kind: Kind, ours: bool) -> io::Result<(Self, Self)> {
        if !kind.is_tcp() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let listener = Arc::new(tokio_listen(kind)?);
        let limits = WebSocketLimits::default();
        let config = ours.then(|| {
            WebSocketConfig::default()
                .read_buffer_size(limits.read_buffer)
                .write_buffer_size(limits.write_buffer)
        });
        let end = Self { kind, listener, config };
        Ok((end.clone(), end))
    }
}

/// One of the library's connections.
#[derive(Debug)]
pub struct BareStream(WebSocketStream<TokioLink>);

impl Mux for Bare {
    type Stream = BareStream;

    const PORT_EACH: bool = true;

    async fn open(&self) -> io::Result<Self::Stream> {
        let stream = tokio_connect(self.kind, self.listener.local_addr()?).await?;
        let link = Counted::new(TokioPipe::Tcp(stream));
        let websocket = WebSocketStream::from_raw_socket(link, Role::Client, self.config).await;
        Ok(BareStream(websocket))
    }

    async fn accept(&self) -> io::Result<Self::Stream> {
        let (stream, _) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        let link = Counted::new(TokioPipe::Tcp(stream));
        let websocket = WebSocketStream::from_raw_socket(link, Role::Server, self.config).await;
        Ok(BareStream(websocket))
    }
}

impl BareStream {
    async fn send(&mut self, message: Message) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut self.0).poll_ready(cx)).await.map_err(io::Error::other)?;
        Pin::new(&mut self.0).start_send(message).map_err(io::Error::other)?;
        poll_fn(|cx| Pin::new(&mut self.0).poll_flush(cx)).await.map_err(io::Error::other)
    }
}

impl Stream for BareStream {
    fn half_close(&self) -> bool {
        false
    }

    async fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        self.send(Message::Binary(bytes.clone())).await
    }

    async fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        loop {
            match poll_fn(|cx| Pin::new(&mut self.0).poll_next(cx)).await {
                Some(Ok(Message::Binary(bytes))) if bytes.is_empty() => {}
                Some(Ok(Message::Binary(bytes))) => return Ok(bytes.len()),
                Some(Ok(Message::Close(_))) | None => return Ok(0),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.send(Message::Close(None)).await
    }
}

/// Both ends of one of our connections inside one WebSocket.
///
/// # Errors
///
/// What the system says to a socket.
pub async fn ours<M>(kind: Kind, make: impl Fn(Side) -> M) -> io::Result<(OnTokio, OnTokio)>
where
    M: mux::Mux + Send + 'static,
{
    let (one, other) = tokio_pair(kind).await?;
    let limits = WebSocketLimits::default();
    let client = accept_upgraded(one, Side::Client, limits).await;
    let server = accept_upgraded(other, Side::Server, limits).await;
    let config = carrier::Config::default();
    Ok((
        OnTokio::over(websocket_over(client, make(Side::Client), config.clone())),
        OnTokio::over(websocket_over(server, make(Side::Server), config)),
    ))
}
