//! The transports: a pipe in memory, loopback TCP, and a long link that is simulated.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::count::Counted;
use super::simlink::{Properties, SimLink};

/// Bytes that a pipe in memory holds in each direction.
const PIPE: usize = 1 << 20;

/// What a bounded socket is asked to hold; the system doubles it.
const BOUNDED: u32 = 128 << 10;

/// Which transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pipe in memory, 1 MiB each way.
    Duplex,
    /// Loopback TCP, no delay, socket buffers as the system has them.
    Tcp,
    /// Loopback TCP with socket buffers of 256 KiB.
    TcpBounded,
    /// A simulated link of 1 Gbit/s and 50 ms there and back.
    Link,
    /// None at all.
    Alone,
}

impl Kind {
    /// Its name on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Duplex => "duplex",
            Self::Tcp => "tcp",
            Self::TcpBounded => "tcp-256k",
            Self::Link => "link",
            Self::Alone => "alone",
        }
    }

    /// The transport of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Duplex, Self::Tcp, Self::TcpBounded, Self::Link, Self::Alone];
        all.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it is TCP.
    pub(crate) const fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::TcpBounded)
    }
}

/// An end of a transport under tokio, counted.
pub type TokioLink = Counted<TokioPipe>;

/// An end of a transport under smol, counted.
pub type SmolLink = Counted<smol::net::TcpStream>;

/// An end of any transport under tokio.
#[derive(Debug)]
pub enum TokioPipe {
    /// In memory.
    Duplex(DuplexStream),
    /// Over loopback.
    Tcp(TcpStream),
    /// Over a long link.
    Link(SimLink),
}

/// An address of this process's own, so that what one process leaves in `TIME_WAIT` takes no port
/// from the next.
pub(crate) fn address() -> SocketAddr {
    let [.., a, b] = std::process::id().to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 1, a, b)), 0)
}

/// Both ends of a new transport, the opener's first.
///
/// # Errors
///
/// What the system says to a socket.
pub async fn tokio_pair(kind: Kind) -> io::Result<(TokioLink, TokioLink)> {
    let (one, other) = match kind {
        Kind::Duplex => {
            let (one, other) = tokio::io::duplex(PIPE);
            (TokioPipe::Duplex(one), TokioPipe::Duplex(other))
        }
        Kind::Tcp | Kind::TcpBounded => {
            let listener = tokio_listen(kind)?;
            let one = tokio_connect(kind, listener.local_addr()?).await?;
            let (other, _) = listener.accept().await?;
            other.set_nodelay(true)?;
            (TokioPipe::Tcp(one), TokioPipe::Tcp(other))
        }
        Kind::Link => {
            let (one, other) = SimLink::pair(Properties::LATENCY);
            (TokioPipe::Link(one), TokioPipe::Link(other))
        }
        Kind::Alone => return Err(io::ErrorKind::Unsupported.into()),
    };
    Ok((Counted::new(one), Counted::new(other)))
}

/// What connections of a listener inherit is set on it.
pub(crate) fn tokio_listen(kind: Kind) -> io::Result<TcpListener> {
    let socket = tokio_socket(kind)?;
    socket.bind(address())?;
    socket.listen(1024)
}

fn tokio_socket(kind: Kind) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    if kind == Kind::TcpBounded {
        socket.set_send_buffer_size(BOUNDED)?;
        socket.set_recv_buffer_size(BOUNDED)?;
    }
    Ok(socket)
}

pub(crate) async fn tokio_connect(kind: Kind, to: SocketAddr) -> io::Result<TcpStream> {
    let stream = tokio_socket(kind)?.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Both ends of a new loopback connection under smol.
///
/// # Errors
///
/// What the system says to a socket; `Unsupported` for what is not TCP.
pub async fn smol_pair(kind: Kind) -> io::Result<(SmolLink, SmolLink)> {
    if !kind.is_tcp() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let listener = smol::net::TcpListener::bind(address()).await?;
    let one = smol_connect(kind, listener.local_addr()?).await?;
    Ok((one, smol_accept(kind, &listener).await?))
}

pub(crate) async fn smol_connect(kind: Kind, to: SocketAddr) -> io::Result<SmolLink> {
    smol_link(kind, smol::net::TcpStream::connect(to).await?)
}

pub(crate) async fn smol_accept(
    kind: Kind,
    listener: &smol::net::TcpListener,
) -> io::Result<SmolLink> {
    smol_link(kind, listener.accept().await?.0)
}

fn smol_link(kind: Kind, stream: smol::net::TcpStream) -> io::Result<SmolLink> {
    stream.set_nodelay(true)?;
    if kind == Kind::TcpBounded {
        // smol has no way to do it before the connection stands.
        sockopt::set_socket_send_buffer_size(&stream, BOUNDED as usize)?;
        sockopt::set_socket_recv_buffer_size(&stream, BOUNDED as usize)?;
    }
    Ok(Counted::new(stream))
}

macro_rules! each {
    ($self:expr, $pipe:ident => $call:expr) => {
        match &mut *$self {
            TokioPipe::Duplex($pipe) => $call,
            TokioPipe::Tcp($pipe) => $call,
            TokioPipe::Link($pipe) => $call,
        }
    };
}

impl AsyncRead for TokioPipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, pipe => Pin::new(pipe).poll_read(cx, buf))
    }
}

impl AsyncWrite for TokioPipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, pipe => Pin::new(pipe).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, pipe => Pin::new(pipe).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, pipe => Pin::new(pipe).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, pipe => Pin::new(pipe).poll_shutdown(cx))
    }
}
