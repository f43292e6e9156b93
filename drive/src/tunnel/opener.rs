//! The end of a tunnel that opens streams to an agent.

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use trunkline_core::CloseReason;
use trunkline_core::tunnel::http::{BodyLen, Caller, Config as HttpConfig, Dialect};
use trunkline_core::tunnel::{OwnForward, OwnForwardAnswer, OwnTerminal, StreamType};

use super::error::TunnelError;
use super::exchange::{Exchange, Sender, TunnelBody};
use super::heads;
use super::splice::Raw;
use super::terminal::Terminal;
use super::time::{sleep, within};
use super::typed;
use crate::Runtime;
use crate::mux::{Connection, Stream};

/// Columns and rows of an original's terminal before it is told others.
const ORIGINAL_SIZE: (u16, u16) = (120, 40);

/// How long nothing follows the size that an original is told: its agent takes for one message what
/// it reads at once, and what was typed right behind would be lost with the size
/// (`docs/protocols/agent-tunnel.md`, section 7).
const APART: Duration = Duration::from_millis(100);

/// Settings of a [`Tunnel`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TunnelOptions {
    /// Whether both ends agreed on our own stream types (`docs/protocols/agent-tunnel.md`, "Our own
    /// stream types"). Default: the original's three types only.
    pub dialect: Dialect,
    /// How long a stream's header may take from its first byte on; the answer to a forward three
    /// times as long, because the agent connects first [10 s].
    pub header_timeout: Duration,
    /// How long the head of an answer may take [none: the caller's own deadline decides].
    pub answer_timeout: Option<Duration>,
    /// Limits of the HTTP exchange.
    pub http: HttpConfig,
}

impl Default for TunnelOptions {
    fn default() -> Self {
        Self {
            dialect: Dialect::Original,
            header_timeout: Duration::from_secs(10),
            answer_timeout: None,
            http: HttpConfig::default(),
        }
    }
}

/// A tunnel's counters, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TunnelStats {
    /// Streams opened through it.
    pub opened: u64,
    /// Calls that failed: no stream, a refusal, a broken or missing answer.
    pub failed: u64,
}

/// A tunnel to an agent, from the end that opens HTTP calls, terminals and forwards in it.
///
/// Cheap to clone: all clones are handles of the same tunnel. It is over when its connection is;
/// dropping the last handle closes the connection in order, behind the streams that live.
pub struct Tunnel<R: Runtime> {
    shared: Arc<Shared<R>>,
}

struct Shared<R: Runtime> {
    connection: Connection<R>,
    options: TunnelOptions,
    opened: AtomicU64,
    failed: AtomicU64,
}

impl<R: Runtime> Tunnel<R> {
    /// A tunnel over a connection (yamux, for all peers there are) that leads to an agent.
    #[must_use]
    pub fn new(connection: Connection<R>, options: TunnelOptions) -> Self {
        let (opened, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { connection, options, opened, failed }) }
    }

    /// The connection below.
    #[must_use]
    pub fn connection(&self) -> &Connection<R> {
        &self.shared.connection
    }

    /// Which stream types the agent speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.shared.options.dialect
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> TunnelStats {
        TunnelStats {
            opened: self.shared.opened.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
        }
    }

    /// Whether both are handles of one tunnel.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Ends the tunnel at once; streams that live break. Harmless when it is over.
    pub fn abort(&self) {
        self.shared.connection.abort();
    }

    /// Ends the tunnel in order: see [`Connection::close`].
    pub fn close(&self) -> impl Future<Output = CloseReason> + Send + use<R> {
        self.shared.connection.close()
    }

    /// Waits until the tunnel is over, and says why: the done signal. Cancel safe.
    pub async fn closed(&self) -> CloseReason {
        self.shared.connection.closed().await
    }

    /// Makes an HTTP call: the request goes to the agent's local service, the answer comes back as
    /// it is made there. [`begin`](Self::begin) and [`Call::send`] in one.
    ///
    /// # Errors
    ///
    /// See [`TunnelError`].
    pub async fn open_http<B>(
        &self,
        request: http::Request<B>,
    ) -> Result<http::Response<TunnelBody>, TunnelError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.begin().await?.send(request).await
    }

    /// Opens the stream of an HTTP call, and sends nothing yet: whoever has another tunnel can try
    /// that one when it fails. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`TunnelError::NotSent`].
    pub async fn begin(&self) -> Result<Call<R>, TunnelError> {
        let opened = self.shared.connection.open_stream().await;
        self.count(opened.is_ok());
        let stream = opened.map_err(TunnelError::NotSent)?;
        Ok(Call { tunnel: self.clone(), stream })
    }

    /// Opens a terminal: a command, or a shell, on a terminal of the agent's machine. Towards an
    /// original only a shell at a fixed size can be asked for, and its exit code is not told.
    ///
    /// # Errors
    ///
    /// When no stream can be opened.
    pub async fn open_terminal(&self, request: OwnTerminal) -> io::Result<Terminal> {
        let opened = match self.dialect() {
            Dialect::Own => {
                let metadata = request.to_json();
                self.open(StreamType::OWN_TERMINAL, &metadata).await.map(Terminal::own)
            }
            Dialect::Original => match self.open(StreamType::TERMINAL, &[]).await {
                Ok(raw) => {
                    let terminal = Terminal::original(raw);
                    let mut sized = Ok(());
                    if (request.cols, request.rows) != ORIGINAL_SIZE {
                        sized = terminal.resize(request.cols, request.rows).await;
                        sleep::<R>(APART).await;
                    }
                    sized.map(|()| terminal)
                }
                Err(error) => Err(error),
            },
        };
        if opened.is_err() {
            self.shared.failed.fetch_add(1, Ordering::Relaxed);
        }
        opened
    }

    /// Opens a connection from the agent's machine to a host and port, as far as the agent allows:
    /// bytes both ways, each direction with its own end.
    ///
    /// # Errors
    ///
    /// `Unsupported` towards an original; `ConnectionRefused`, with the agent's own text, when it
    /// does not allow it or cannot connect.
    pub async fn open_forward(&self, host: &str, port: u16) -> io::Result<Raw> {
        let opened = self.forward(host, port).await;
        if opened.is_err() {
            self.shared.failed.fetch_add(1, Ordering::Relaxed);
        }
        opened
    }

    async fn forward(&self, host: &str, port: u16) -> io::Result<Raw> {
        if self.dialect() == Dialect::Original {
            let text = "this agent cannot forward ports: it is not one of ours";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let request = OwnForward { host: host.to_owned(), port };
        let raw = self.open(StreamType::OWN_FORWARD, &request.to_json()).await?;
        let (stream, _) = raw.into_parts();
        // Longer than a header's: the agent connects before it answers.
        let limit = self.shared.options.header_timeout.saturating_mul(3);
        let (header, rest) = typed::read_header::<R>(&stream, limit).await?;
        let answer = OwnForwardAnswer::from_json(&header.metadata).map_err(typed::bad_data)?;
        match answer.error {
            None => Ok(Raw::new(stream, [rest])),
            Some(text) => Err(io::Error::new(io::ErrorKind::ConnectionRefused, text)),
        }
    }

    /// Opens a stream of any type, with any metadata: for types of one's own, and for relays.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the metadata is longer than 1 MiB; else as [`Connection::open`].
    pub async fn open(&self, kind: StreamType, metadata: &[u8]) -> io::Result<Raw> {
        let stream = typed::open(&self.shared.connection, kind, metadata).await?;
        self.shared.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Raw::new(Arc::new(stream), []))
    }

    fn count(&self, opened: bool) {
        let counter = if opened { &self.shared.opened } else { &self.shared.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl<R: Runtime> Clone for Tunnel<R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<R: Runtime> fmt::Debug for Tunnel<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("dialect", &self.shared.options.dialect)
            .field("connection", &self.shared.connection)
            .finish_non_exhaustive()
    }
}

/// An HTTP call whose stream is open, and of which nothing was sent yet. Dropping it resets the stream.
#[derive(Debug)]
pub struct Call<R: Runtime> {
    tunnel: Tunnel<R>,
    stream: Stream,
}

impl<R: Runtime> Call<R> {
    /// Sends the request, and gives the answer as soon as its head is there.
    ///
    /// Hop-by-hop headers are dropped. A request with `Upgrade` and no body is carried whole between our
    /// own ends, and the body of an answer of status 101 is then [a duplex](TunnelBody::into_upgraded).
    /// The request's body is sent while the answer comes; an answer that ends early ends it. Towards
    /// an original a body needs a known length ([`Body::size_hint`]).
    ///
    /// Dropping the future resets the stream. Call it from within the runtime: what remains of the
    /// request's body behind the answer's head is sent by a task of its own.
    ///
    /// # Errors
    ///
    /// See [`TunnelError`].
    pub async fn send<B>(
        self,
        request: http::Request<B>,
    ) -> Result<http::Response<TunnelBody>, TunnelError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let shared = Arc::clone(&self.tunnel.shared);
        let sent = self.exchange(request).await;
        if sent.is_err() {
            shared.failed.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    async fn exchange<B>(
        self,
        request: http::Request<B>,
    ) -> Result<http::Response<TunnelBody>, TunnelError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let options = &self.tunnel.shared.options;
        let (parts, body) = request.into_parts();
        // A request that asks to switch protocols goes on behind its head. One with a body cannot: it
        // is carried as any other, which the local service may answer without switching.
        let upgrade = options.dialect == Dialect::Own
            && heads::upgrades(&parts.headers)
            && body.is_end_stream();
        let length = match (body.is_end_stream(), body.size_hint().exact()) {
            _ if upgrade => BodyLen::Unknown,
            (true, _) | (_, Some(0)) => BodyLen::None,
            (false, Some(length)) => BodyLen::Exact(length),
            (false, None) => BodyLen::Unknown,
        };
        let head = heads::request(&parts, length, options.dialect, upgrade);
        let (caller, first) =
            Caller::new(options.dialect, &head, options.http).map_err(TunnelError::Refused)?;
        let exchange = Exchange::new(Arc::new(self.stream), caller);
        let guard = Guard(Some(Arc::clone(&exchange)));
        // A failure to write shows in the reading direction, with its reason.
        let _ = typed::write_all(exchange.stream(), first).await;
        let mut sender = None;
        if length == BodyLen::None {
            exchange.finish()?;
        } else if !upgrade {
            sender = Some(Sender::new(Arc::clone(&exchange), body));
        }
        let mut begun = None;
        let head = poll_fn(|cx| {
            if sender.as_mut().is_some_and(|sender| sender.poll(cx).is_ready()) {
                sender = None;
            }
            if let Poll::Ready(head) = exchange.poll_head(cx) {
                return Poll::Ready(head);
            }
            if begun.is_none() && exchange.has_begun() {
                begun = Some(Box::pin(sleep::<R>(options.header_timeout)));
            }
            let late = begun.as_mut().is_some_and(|late| late.as_mut().poll(cx).is_ready());
            if late { Poll::Ready(Err(TunnelError::NoAnswer)) } else { Poll::Pending }
        });
        let head = match options.answer_timeout {
            None => head.await,
            Some(limit) => within::<R, _>(limit, head).await.unwrap_or(Err(TunnelError::NoAnswer)),
        }?;
        if let Some(mut sender) = sender {
            R::spawn(async move { poll_fn(|cx| sender.poll(cx)).await });
        }
        if upgrade && head.status != 101 {
            // Nothing will come behind the request's head.
            exchange.stream().finish();
        }
        let whole = exchange.is_whole();
        Ok(heads::answer(head, |length| {
            let length = if whole { Some(0) } else { length };
            TunnelBody::new(guard.into_inner().unwrap_or(exchange), length)
        }))
    }
}

/// An exchange whose caller may give up: its stream is reset then.
struct Guard(Option<Arc<Exchange>>);

impl Guard {
    fn into_inner(mut self) -> Option<Arc<Exchange>> {
        self.0.take()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(exchange) = &self.0 {
            drop(TunnelBody::new(Arc::clone(exchange), None));
        }
    }
}
