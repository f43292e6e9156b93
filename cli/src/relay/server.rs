//! Listens, and hands each request to whoever answers it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use super::gate::Gate;
use super::guests::{Guest, Guests};
use super::options::RelayArgs;
use super::{Relay, routes};
use crate::report::{Failure, Outcome, say};

/// How long a request's head may take, and a TLS handshake: slow ones are dropped.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Most bytes of a request's head.
const HEAD_ROOM: usize = 64 << 10;

/// How long requests under way may take once the relay is told to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long saying goodbye to the agents may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// A relay that listens.
pub(super) struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    relay: Arc<Relay>,
    guests: Arc<Guests>,
}

/// Binds the address.
pub(super) async fn listen(address: &str, gate: &Gate) -> Result<TcpListener, Failure> {
    let failed = |error| Failure::local(format!("cannot listen on {address}: {error}"));
    let bound = TcpListener::bind(address).await.map_err(failed)?;
    // Of what the name has become, and before anybody is served.
    gate.may_listen(bound.local_addr().map_err(failed)?.ip()).map_err(Failure::usage)?;
    Ok(bound)
}

/// TLS as the command line sets it.
pub(super) fn tls(args: &RelayArgs) -> Result<Option<TlsAcceptor>, Failure> {
    let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) else { return Ok(None) };
    let unreadable = |path: &std::path::Path, error: &dyn std::fmt::Display| {
        Failure::usage(format!("cannot use {}: {error}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(cert, &error))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|error| unreadable(cert, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

impl Listening {
    pub(super) fn new(
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        relay: Arc<Relay>,
    ) -> Result<Self, Failure> {
        let address = listener.local_addr();
        let address = address.map_err(|error| Failure::local(format!("no address: {error}")))?;
        let guests = Guests::new(relay.options.trust_forwarded);
        Ok(Self { listener, address, tls, relay, guests })
    }

    /// Where it listens, as a URL.
    pub(super) fn address(&self) -> String {
        format!("{}://{}", self.relay.scheme(), self.address)
    }

    /// Serves until the process is told to end; then what is under way has a moment.
    pub(super) async fn serve(self) -> Outcome {
        let unwatched = |error| Failure::local(format!("cannot watch signals: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(unwatched)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(unwatched)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(unwatched)?;
        let signal = loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = terminate.recv() => break "SIGTERM",
                _ = interrupt.recv() => break "SIGINT",
                _ = hangup.recv() => {
                    self.relay.reload();
                    continue;
                }
            };
            match accepted {
                Ok((socket, peer)) => match self.guests.take(peer.ip()) {
                    Some(guest) => self.take(socket, peer, guest),
                    None => tracing::debug!(%peer, "too many on whose connection nobody is in yet"),
                },
                Err(error) => {
                    // Out of descriptors, most often: others go meanwhile.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        };
        say(format_args!("told to end by {signal}"));
        let relay = Arc::clone(&self.relay);
        // Whoever comes now is to find another relay.
        drop(self);
        tokio::select! {
            _ = tokio::time::timeout(FAREWELL, quiet(&relay)) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let farewells = relay.agents.list().into_iter().map(|agent| agent.tunnel.close());
        let all = async {
            for farewell in farewells.collect::<Vec<_>>() {
                farewell.await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE, all).await;
        Ok(std::process::ExitCode::SUCCESS)
    }

    fn take(&self, socket: TcpStream, peer: SocketAddr, guest: Arc<Guest>) {
        let _ = socket.set_nodelay(true);
        watch(&socket);
        let (relay, tls) = (Arc::clone(&self.relay), self.tls.clone());
        tokio::spawn(async move {
            let served = match tls {
                None => serve(relay, socket, peer, guest).await,
                Some(tls) => match tokio::time::timeout(HEAD_TIME, tls.accept(socket)).await {
                    Ok(Ok(socket)) => serve(relay, socket, peer, guest).await,
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("the TLS handshake took too long".to_owned()),
                },
            };
            if let Err(error) = served {
                tracing::debug!(%peer, "a connection ended badly: {error}");
            }
        });
    }
}

/// Has the system find out about peers that went without a word, some 90 seconds later. A peer that
/// only does not read is none of them, so there is no bound on what waits to be sent.
fn watch(socket: &TcpStream) {
    use rustix::net::sockopt;
    let _ = sockopt::set_socket_keepalive(socket, true);
    #[cfg(target_os = "linux")]
    {
        let _ = sockopt::set_tcp_keepidle(socket, Duration::from_secs(60));
        let _ = sockopt::set_tcp_keepintvl(socket, Duration::from_secs(10));
        let _ = sockopt::set_tcp_keepcnt(socket, 3);
    }
}

async fn serve(
    relay: Arc<Relay>,
    socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
    guest: Arc<Guest>,
) -> Result<(), String> {
    let mut ending = relay.ending.subscribe();
    let known = Arc::clone(&guest);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let relay = Arc::clone(&relay);
        request.extensions_mut().insert(Arc::clone(&known));
        async move { Ok::<_, Infallible>(routes::answer(&relay, request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_ROOM)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => Some(served),
        () = guest.overdue() => return Err("nobody was let in on it in time".to_owned()),
        _ = ending.wait_for(|ends| *ends) => None,
    };
    let served = match served {
        Some(served) => served,
        None => {
            // The relay is to end: behind the request under way there is no other.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    served.map_err(|error| error.to_string())
}

/// Ready when no request is under way any more, and no stream to an agent.
async fn quiet(relay: &Relay) {
    relay.ending.send_replace(true);
    relay.ending.closed().await;
    let live = || relay.agents.list().iter().any(|it| it.tunnel.connection().stats().streams > 0);
    while live() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
