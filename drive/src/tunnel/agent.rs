//! The agent's end of a tunnel: serves what the other end opens.

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::CloseReason;
use trunkline_core::tunnel::http::{Config as HttpConfig, Dialect};
use trunkline_core::tunnel::{Header, OwnForward, OwnForwardAnswer, StreamType, encode_header};

use super::allow::Allowed;
use super::incoming;
use super::local::LocalService;
use super::network::Network;
use super::splice::Raw;
use super::time::{sleep, within};
use super::typed::{self, Shared, bad_data, write_all};
use crate::mux::{Connection, Stream};

/// What an agent serves, and how.
#[non_exhaustive]
pub struct AgentOptions<R: Network> {
    /// The local web server that HTTP streams lead to; without one they are answered with 502.
    pub http: Option<LocalService<R>>,
    /// Passes the caller's `Host` on to the local web server, instead of the server's own.
    pub keep_host: bool,
    /// Where forwarded connections may go; nowhere by default.
    pub allowed: Allowed,
    /// What terminals run; none are served by default.
    #[cfg(all(unix, feature = "host"))]
    pub shell: Option<super::shell::Shell>,
    /// Makes the document that the agent tells about itself, each time it is sent.
    pub info: Arc<dyn Fn() -> Vec<u8> + Send + Sync>,
    /// How often it is sent [20 s]; at once first.
    pub info_interval: Duration,
    /// How long a stream's header may take [10 s].
    pub header_timeout: Duration,
    /// How long a forwarded connection may take to come about [10 s].
    pub connect_timeout: Duration,
    /// Limits of the HTTP exchange.
    pub http_limits: HttpConfig,
}

impl<R: Network> Default for AgentOptions<R> {
    fn default() -> Self {
        Self {
            http: None,
            keep_host: false,
            allowed: Allowed::default(),
            #[cfg(all(unix, feature = "host"))]
            shell: None,
            info: Arc::new(|| b"{}".to_vec()),
            info_interval: Duration::from_secs(20),
            header_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            http_limits: HttpConfig::default(),
        }
    }
}

impl<R: Network> fmt::Debug for AgentOptions<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentOptions")
            .field("http", &self.http)
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

/// Serves what the other end of a connection opens, until the connection is over; says why it is.
///
/// Each stream is a task of its own, and fails alone. Every 20 seconds a control stream carries the
/// agent's document, which also keeps proxies in between from dropping an idle connection.
/// Dropping the future stops both: streams that live go on, and when nobody else holds the connection
/// further ones are refused and it is closed behind them. Call it from within the runtime.
pub async fn serve_tunnel<R: Network>(
    connection: Connection<R>,
    dialect: Dialect,
    options: Arc<AgentOptions<R>>,
) -> CloseReason {
    let mut heart = pin!(beat(&connection, &options));
    let accept = async {
        while let Ok(stream) = connection.accept_stream().await {
            let options = Arc::clone(&options);
            R::spawn(async move { serve(stream, dialect, &options).await });
        }
    };
    let mut accept = pin!(accept);
    poll_fn(|cx| {
        // It says nothing that is waited for, and never ends before the connection.
        let _ = heart.as_mut().poll(cx);
        accept.as_mut().poll(cx)
    })
    .await;
    connection.closed().await
}

/// Tells about the agent, again and again. A time that fails is left out.
async fn beat<R: Network>(connection: &Connection<R>, options: &AgentOptions<R>) {
    loop {
        let told = within::<R, _>(options.info_interval, tell(connection, options)).await;
        if let Some(Err(error)) = told {
            tracing::debug!(%error, "the agent's document was not taken");
        }
        sleep::<R>(options.info_interval).await;
    }
}

async fn tell<R: Network>(connection: &Connection<R>, options: &AgentOptions<R>) -> io::Result<()> {
    let stream = typed::open(connection, StreamType::CONTROL, &[]).await?;
    write_all(&stream, Bytes::from((options.info)())).await?;
    stream.finish();
    // The other end's direction ends with ours; then the stream is gone.
    typed::read(&stream).await.map(drop)
}

async fn serve<R: Network>(stream: Stream, dialect: Dialect, options: &AgentOptions<R>) {
    let stream = Arc::new(stream);
    let (header, rest) = match typed::read_header::<R>(&stream, options.header_timeout).await {
        Ok(read) => read,
        Err(error) => {
            tracing::debug!(%error, "a stream without a header was dropped");
            return stream.reset();
        }
    };
    let own = dialect == Dialect::Own;
    match header.kind {
        StreamType::HTTP => http(&stream, header, rest, Dialect::Original, options).await,
        StreamType::OWN_HTTP if own => http(&stream, header, rest, Dialect::Own, options).await,
        StreamType::OWN_FORWARD if own => forward(stream, &header, rest, options).await,
        #[cfg(all(unix, feature = "host"))]
        StreamType::TERMINAL | StreamType::OWN_TERMINAL
            if own || header.kind == StreamType::TERMINAL =>
        {
            super::shell::serve::<R>(stream, &header, rest, options.shell.as_ref()).await;
        }
        kind => {
            tracing::debug!(kind = kind.0, "a stream of a type that is not served was dropped");
            stream.reset();
        }
    }
}

async fn http<R: Network>(
    stream: &Shared,
    header: Header,
    rest: Bytes,
    dialect: Dialect,
    options: &AgentOptions<R>,
) {
    let (service, limits) = (options.http.as_ref(), options.http_limits);
    let stream = Arc::clone(stream);
    incoming::serve(stream, &header, rest, dialect, limits, service, options.keep_host).await;
}

/// Connects to where the stream asks to go, if that is allowed, and joins the two.
async fn forward<R: Network>(
    stream: Shared,
    header: &Header,
    rest: Bytes,
    options: &AgentOptions<R>,
) {
    let connected = async {
        let wanted = OwnForward::from_json(&header.metadata).map_err(bad_data)?;
        if !options.allowed.allows(&wanted.host, wanted.port) {
            let text = format!("this agent does not allow {}:{}", wanted.host, wanted.port);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        within::<R, _>(options.connect_timeout, R::connect(&wanted.host, wanted.port))
            .await
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    };
    let connected = connected.await;
    let error = connected.as_ref().err().map(ToString::to_string);
    let answer = OwnForwardAnswer { error }.to_json();
    let Ok(answer) = encode_header(StreamType::OWN_FORWARD, &answer) else { return stream.reset() };
    if write_all(&stream, answer).await.is_err() {
        return;
    }
    match connected {
        Ok(socket) => {
            let joined = Raw::new(stream, [rest]).join_socket_or(socket, R::break_off).await;
            if let Err(error) = joined {
                tracing::debug!(%error, "a forwarded connection broke");
            }
        }
        Err(error) => {
            tracing::debug!(%error, "a connection was not forwarded");
            stream.finish();
            // The caller's direction is read to its end, so that the answer is not lost in a reset.
            let _ = within::<R, _>(options.header_timeout, typed::read(&stream)).await;
        }
    }
}
