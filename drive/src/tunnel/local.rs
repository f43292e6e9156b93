//! HTTP calls to a local service, over connections that are kept.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::body::Incoming;
use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};

use super::incoming::RequestBody;
use super::network::Network;

/// Idle connections to the service that are kept.
const KEPT: usize = 256;

/// How long an idle connection is kept: less than servers do by habit.
const KEPT_FOR: Duration = Duration::from_secs(4);

/// A local web server that an agent's HTTP streams lead to.
#[derive(Clone)]
pub struct LocalService<R: Network> {
    client: Client<Connector<R>, RequestBody>,
    base: Uri,
}

impl<R: Network> LocalService<R> {
    /// The service at `base`: `http://host[:port][/prefix]`, or `host:port` alone.
    ///
    /// # Errors
    ///
    /// A line of text that says what is wrong with the address.
    pub fn new(base: &str) -> Result<Self, String> {
        let whole = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
        let base: Uri = whole
            .parse()
            .map_err(|error| format!("{base:?} is no address of a service: {error}"))?;
        if base.scheme_str() != Some("http") || base.host().is_none() {
            return Err(format!(
                "{whole:?} is no address of a local service: expected http://HOST:PORT"
            ));
        }
        if base.query().is_some() {
            return Err(format!(
                "{whole:?} has a query; an address with a path is the most there can be"
            ));
        }
        let client = Client::builder(Spawner::<R>(PhantomData))
            .pool_timer(Timers::<R>(PhantomData))
            .pool_idle_timeout(KEPT_FOR)
            .pool_max_idle_per_host(KEPT)
            .set_host(false)
            .build(Connector(PhantomData));
        Ok(Self { client, base })
    }

    /// The service's `host[:port]`, as its own `Host`.
    pub(super) fn authority(&self) -> &str {
        self.base.authority().map_or("", http::uri::Authority::as_str)
    }

    /// The whole address of a path and query that begins with a slash; none where the path leads
    /// out of the service's own.
    pub(super) fn address(&self, path: &str) -> Option<Uri> {
        let prefix = self.base.path().trim_end_matches('/');
        if !prefix.is_empty() && has_dots(path) {
            return None;
        }
        let path = if prefix.is_empty() { path.to_owned() } else { format!("{prefix}{path}") };
        Uri::builder().scheme("http").authority(self.authority()).path_and_query(path).build().ok()
    }

    pub(super) async fn call(
        &self,
        request: http::Request<RequestBody>,
    ) -> Result<http::Response<Incoming>, hyper_util::client::legacy::Error> {
        self.client.request(request).await
    }
}

impl<R: Network> std::fmt::Debug for LocalService<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalService").field("base", &self.base).finish_non_exhaustive()
    }
}

/// Whether a segment of the path is `.` or `..`, in any way of writing it that a server may undo.
fn has_dots(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let plain = path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    // What stands behind a semicolon is a parameter of the segment to some servers.
    let mut segments = plain.split(['/', '\\']);
    segments.any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

/// The runtime's tasks, as hyper sees them.
struct Spawner<R>(PhantomData<fn() -> R>);

impl<R> Clone for Spawner<R> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<R: Network, F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner<R> {
    fn execute(&self, future: F) {
        R::spawn(future);
    }
}

/// The runtime's timers, as hyper sees them.
struct Timers<R>(PhantomData<fn() -> R>);

impl<R> Clone for Timers<R> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

/// A timer that can be shared, which hyper asks for and never does.
struct Timer(std::sync::Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        timer.as_mut().poll(cx)
    }
}

impl hyper::rt::Sleep for Timer {}

impl<R: Network> hyper::rt::Timer for Timers<R> {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Timer(std::sync::Mutex::new(Box::pin(super::time::sleep::<R>(duration)))))
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(std::time::Instant::now()))
    }
}

/// Connects to the service.
struct Connector<R>(PhantomData<fn() -> R>);

impl<R> Clone for Connector<R> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<R: Network> tower_service::Service<Uri> for Connector<R> {
    type Response = ServiceSocket<R::Socket>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<ServiceSocket<R::Socket>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            R::connect(&host, uri.port_u16().unwrap_or(80)).await.map(ServiceSocket)
        })
    }
}

/// A socket to the service.
struct ServiceSocket<S>(S);

impl<S> Connection for ServiceSocket<S> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl<S: Read + Unpin> Read for ServiceSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: Write + Unpin> Write for ServiceSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }
}
