//! WebSockets: dialled, accepted, and under multiplexers.

use std::error::Error as StdError;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream as MessageStream;
use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_sink::Sink;
use smol::net::TcpStream;
use trunkline_core::mux::{Mux, Side};
use trunkline_core::{Message, carrier};
use trunkline_drive::websocket::{
    DialFault, DialOptions, Handshake, Limits, Messages, ResponseHeaders, Target, Tungstenite,
    client_config, role, server_name,
};
use trunkline_drive::{Carried, MessageIo};

use crate::io::{TimerSleep, TransportIo, clock};
use crate::mux::Connection;

/// A WebSocket of the library that this binding uses, `async-tungstenite`.
pub use async_tungstenite::WebSocketStream;

/// Runs a multiplexer inside a WebSocket whose handshake is done, in a task of its own.
///
/// The library answers pings and closes, whatever [`carrier::Config::answers_pings`] says; this side
/// pings as `config` says. How the connection ends is told by its [`CloseReason`](crate::CloseReason):
/// a transport that ended without the machine's own good-bye is a loss. The rules stand in
/// `docs/protocols/agent-tunnel.md` section 2. Set the library's limits: [`dial`] and
/// [`accept_upgraded`] do.
pub fn websocket_over<T>(
    websocket: WebSocketStream<T>,
    machine: impl Mux + Send + 'static,
    mut config: carrier::Config,
) -> Connection
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    config.answers_pings = false;
    let discard = |websocket: &mut WebSocketStream<T>, cx: &mut Context<'_>| {
        Pin::new(websocket.get_mut()).poll_read(cx, &mut [0; 4 << 10])
    };
    over(Tungstenite::new(websocket, discard), machine, config)
}

/// Runs a multiplexer inside any stream and sink of messages: a WebSocket of another library, whose
/// handshake is done.
///
/// Where that library answers pings itself, set [`carrier::Config::answers_pings`] to false. Its
/// own limits are its user's business; messages above [`carrier::Config::max_message`] are refused
/// here once they have arrived.
pub fn messages_over<T, E>(
    messages: T,
    machine: impl Mux + Send + 'static,
    config: carrier::Config,
) -> Connection
where
    T: MessageStream<Item = Result<Message, E>> + Sink<Message> + Send + Unpin + 'static,
    E: Into<Box<dyn StdError + Send + Sync>> + 'static,
    <T as Sink<Message>>::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    over(Messages::new(messages), machine, config)
}

fn over(
    messages: impl MessageIo + 'static,
    machine: impl Mux + Send + 'static,
    config: carrier::Config,
) -> Connection {
    Connection::new(Carried::new(messages, config, clock(), TimerSleep::default()), machine)
}

/// Dials a WebSocket server: name, connection, TLS and handshake. Also gives the headers of its
/// answer.
///
/// No redirect is followed, no extension agreed to. Cancel safe: dropped, it hangs up.
///
/// # Errors
///
/// A [`DialError`](crate::DialError), with the host and what was wrong; never with what stands in
/// path, query or headers.
pub async fn dial(
    options: DialOptions,
) -> io::Result<(WebSocketStream<DialStream>, ResponseHeaders)> {
    let target = options.target()?;
    let late = async {
        smol::Timer::after(options.timeout).await;
        Err(target.error(DialFault::Timeout(options.timeout)))
    };
    smol::future::or(dial_target(&target, &options), late).await
}

async fn dial_target(
    target: &Target,
    options: &DialOptions,
) -> io::Result<(WebSocketStream<DialStream>, ResponseHeaders)> {
    let handshake = Handshake::new(target, options)?;
    let connected = TcpStream::connect((target.host.as_str(), target.port)).await;
    let stream = connected.map_err(|error| target.error(DialFault::Connect(error)))?;
    // Without it messages wait longer, and nothing else.
    let _ = stream.set_nodelay(true);
    let mut stream = if target.tls {
        let ca_file = options.ca_file.clone();
        let config = smol::unblock(move || client_config(ca_file.as_deref())).await;
        let config = config.map_err(|error| target.error(DialFault::Certificates(error)))?;
        let tls =
            async { TlsConnector::from(config).connect(server_name(&target.host)?, stream).await };
        let tls = tls.await.map_err(|error| target.error(DialFault::Tls(error)))?;
        DialStream(Inner::Tls(Box::new(tls)))
    } else {
        DialStream(Inner::Plain(stream))
    };
    let (headers, behind) = handshake.run(&mut TransportIo::new(&mut stream), target).await?;
    let (role, config) = (role(Side::Client), options.limits.config());
    let websocket = WebSocketStream::from_partially_read(stream, behind, role, Some(config)).await;
    Ok((websocket, headers))
}

/// A WebSocket over a transport on which the HTTP upgrade is done, whoever did it.
///
/// What was read behind the upgrade must still come from `transport` (as it does of hyper's
/// `Upgraded`). It never waits.
pub async fn accept_upgraded<T>(transport: T, side: Side, limits: Limits) -> WebSocketStream<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    WebSocketStream::from_raw_socket(transport, role(side), Some(limits.config())).await
}

/// What [`dial`] speaks through: TCP, with or without TLS.
#[derive(Debug)]
pub struct DialStream(Inner);

#[derive(Debug)]
enum Inner {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl DialStream {
    /// The connection beneath, for its addresses.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        match &self.0 {
            Inner::Plain(stream) => stream,
            Inner::Tls(stream) => stream.get_ref().0,
        }
    }
}

macro_rules! inner {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().0 {
            Inner::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Inner::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

impl AsyncRead for DialStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        inner!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for DialStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        inner!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inner!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_close(cx))
    }
}
