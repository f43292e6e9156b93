//! No multiplexing: one connection for each stream, as it comes or with bounded flight.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;
use smol::io::AsyncWriteExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::count::Counted;
use super::queue::Queue;
use super::transport::{
    Kind, SmolLink, TokioLink, TokioPipe, address, smol_accept, smol_connect, tokio_connect,
    tokio_listen, tokio_pair,
};
use super::{Mux, Stream};

/// Bytes in flight of each stream with bounded flight.
const FLIGHT: u64 = 256 << 10;

/// A stream of tokio, or anything that reads and writes like one.
#[derive(Debug)]
pub struct TokioStream<T>(pub T);

impl<T> Stream for TokioStream<T>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    async fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        tokio::io::AsyncWriteExt::write_all(&mut self.0, bytes).await
    }

    async fn read(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        tokio::io::AsyncReadExt::read(&mut self.0, scratch).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

/// A stream of smol, or anything that reads and writes like one.
#[derive(Debug)]
pub struct SmolStream<T>(pub T);

impl<T> Stream for SmolStream<T>
where
    T: smol::io::AsyncRead + smol::io::AsyncWrite + Send + Unpin + 'static,
{
    async fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        smol::io::AsyncWriteExt::write_all(&mut self.0, bytes).await
    }

    async fn read(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        smol::io::AsyncReadExt::read(&mut self.0, scratch).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.close().await
    }
}

/// Connections of tokio, opened and accepted.
#[derive(Clone, Debug)]
pub struct RawTokio {
    kind: Kind,
    listener: Arc<TcpListener>,
    to: SocketAddr,
    /// Other ends of what does not listen.
    others: Queue<TokioLink>,
}

impl RawTokio {
    /// Both ends.
    ///
    /// # Errors
    ///
    /// What the system says to a listener.
    pub async fn pair(kind: Kind) -> io::Result<(Self, Self)> {
        let listener = Arc::new(tokio_listen(kind)?);
        let to = listener.local_addr()?;
        let end = Self { kind, listener, to, others: Queue::default() };
        Ok((end.clone(), end))
    }
}

impl Mux for RawTokio {
    type Stream = TokioStream<TokioLink>;

    const PORT_EACH: bool = true;

    async fn open(&self) -> io::Result<Self::Stream> {
        if self.kind.is_tcp() {
            let stream = tokio_connect(self.kind, self.to).await?;
            return Ok(TokioStream(Counted::new(TokioPipe::Tcp(stream))));
        }
        let (one, other) = tokio_pair(self.kind).await?;
        self.others.put(other);
        Ok(TokioStream(one))
    }

    async fn accept(&self) -> io::Result<Self::Stream> {
        if self.kind.is_tcp() {
            let (stream, _) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            return Ok(TokioStream(Counted::new(TokioPipe::Tcp(stream))));
        }
        Ok(TokioStream(self.others.take().await?))
    }
}

/// Connections of smol, opened and accepted.
#[derive(Clone, Debug)]
pub struct RawSmol {
    kind: Kind,
    listener: smol::net::TcpListener,
    to: SocketAddr,
}

impl RawSmol {
    /// Both ends.
    ///
    /// # Errors
    ///
    /// What the system says to a listener; `Unsupported` for what is not TCP.
    pub async fn pair(kind: Kind) -> io::Result<(Self, Self)> {
        if !kind.is_tcp() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let listener = smol::net::TcpListener::bind(address()).await?;
        let end = Self { kind, to: listener.local_addr()?, listener };
        Ok((end.clone(), end))
    }
}

impl Mux for RawSmol {
    type Stream = SmolStream<SmolLink>;

    const PORT_EACH: bool = true;

    async fn open(&self) -> io::Result<Self::Stream> {
        smol_connect(self.kind, self.to).await.map(SmolStream)
    }

    async fn accept(&self) -> io::Result<Self::Stream> {
        smol_accept(self.kind, &self.listener).await.map(SmolStream)
    }
}

/// Any bare transport with at most 256 KiB of each stream in flight, held to it for free: both ends
/// are in this process. The bytes never leave the cache.
#[derive(Clone, Debug)]
pub struct Bounded<M> {
    inner: M,
    flights: Queue<Arc<Flight>>,
}

impl<M: Mux> Bounded<M> {
    /// Both ends, around those of a bare transport.
    #[must_use]
    pub fn around((client, server): (M, M)) -> (Self, Self) {
        let flights = Queue::default();
        (Self { inner: client, flights: flights.clone() }, Self { inner: server, flights })
    }
}

impl<M: Mux> Mux for Bounded<M> {
    type Stream = BoundedStream<M::Stream>;

    const PORT_EACH: bool = M::PORT_EACH;

    async fn open(&self) -> io::Result<Self::Stream> {
        let flight = Arc::new(Flight::default());
        let inner = self.inner.open().await?;
        self.flights.put(Arc::clone(&flight));
        Ok(BoundedStream { inner, flight })
    }

    async fn accept(&self) -> io::Result<Self::Stream> {
        let inner = self.inner.accept().await?;
        Ok(BoundedStream { inner, flight: self.flights.take().await? })
    }
}

/// What the opener of a stream has written and the other end has not read.
#[derive(Debug, Default)]
struct Flight {
    bytes: AtomicU64,
    waiting: Mutex<Option<Waker>>,
}

/// A stream of [`Bounded`], bounded from its opener to the other end.
#[derive(Debug)]
pub struct BoundedStream<S> {
    inner: S,
    flight: Arc<Flight>,
}

impl<S: Stream> Stream for BoundedStream<S> {
    async fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        let (flight, count) = (&self.flight, bytes.len() as u64);
        poll_fn(|cx| {
            if flight.bytes.load(Ordering::SeqCst) + count <= FLIGHT {
                return Poll::Ready(());
            }
            *flight.waiting.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(cx.waker().clone());
            // It may have been read just before the waker was left.
            match flight.bytes.load(Ordering::SeqCst) + count <= FLIGHT {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        flight.bytes.fetch_add(count, Ordering::SeqCst);
        self.inner.write(bytes).await
    }

    async fn read(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(scratch).await?;
        let before = self.flight.bytes.fetch_sub(count as u64, Ordering::SeqCst);
        // A writer waits only when a whole write does not fit.
        if before + super::scenario::CHUNK as u64 > FLIGHT {
            let waiting = self.flight.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waiting {
                waker.wake();
            }
        }
        Ok(count)
    }

    fn close(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        self.inner.close()
    }
}
