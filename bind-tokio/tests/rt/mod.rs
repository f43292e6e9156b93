//! Tokio, as the suite sees a runtime: the same names as the smol binding's `rt`.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::Builder;

use crate::cases::examples::ECHOES;
use crate::cases::wire::Wire;

pub(crate) use trunkline_tokio::tunnel;
pub(crate) use trunkline_tokio::{
    Agent, AgentConfig, CloseReason, Commands, Config, Connection, DialError, DialFault,
    DialOptions, Duplex, Exec, ExecOptions, ExecRequest, ExitStatus, File, FileError, FileFault,
    FileOp, FileRequest, Files, Incoming, Message, MuxError, OpenOptions, OpenRefusal, Output,
    PathQuery, Pool, PoolConfig, PoolError, PoolPolicy, Pooled, ReadHalf, Reader, Recording,
    RecordingOptions, Redaction, ServeOptions, SessionError, Side, Stream, StreamEnd,
    TransferError, TransferEvent, TransferOptions, TransferProgress, TransferSummary,
    WebSocketLimits, WriteHalf, Writer, accept_key, accept_upgraded, carrier, connection_over,
    copy_from, copy_to, dial, exec_over, files_over, messages_over, paths_over, serve,
    websocket_over,
};

/// The example that serves as an agent's process.
pub(crate) const AGENT: &str = "agent_tokio";

/// Examples that run by themselves, each with how the lines it prints begin.
pub(crate) const EXAMPLES: [(&str, &[&str]); 4] = [
    ("tunnel", &["200 OK: hello from /a", "200 OK: hello from /b?c=d"]),
    ("echo", &ECHOES),
    (
        "reverse_tunnel",
        &["hello -> HELLO", "is this a tunnel? -> IS THIS", "then good bye -> THEN"],
    ),
    (
        "pool",
        &[
            "warm: 1 connections, 1 of them idle; 1 dialled and 0 streams",
            "busy: 3 connections, 0 of them idle; 3 dialled and 25 streams",
            "lost: 5 streams",
            "mended: 3 connections, 0 of them idle; 4 dialled and 26 streams",
            "closed: 0 connections",
        ],
    ),
];

/// How long one test may take; one that hangs must fail.
const PATIENCE: Duration = Duration::from_secs(50);

/// Runs a test under every flavour of the runtime, at the same time.
pub(crate) fn each(test: impl AsyncFn() + Sync) {
    let other = || under("multi_thread", &test);
    std::thread::scope(|scope| {
        let other = scope.spawn(other);
        under("current_thread", &test);
        other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// The same one after the other, for tests of what belongs to the whole process.
pub(crate) fn each_alone(test: impl AsyncFn()) {
    under("current_thread", &test);
    under("multi_thread", &test);
}

fn under(flavour: &str, test: &impl AsyncFn()) {
    let mut builder = match flavour {
        "current_thread" => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let ended = timeout(PATIENCE, test()).await;
        ended.unwrap_or_else(|| panic!("the test hangs under {flavour}"));
    });
    // Shown when the test fails.
    eprintln!("passed under tokio's {flavour}");
}

/// A task; dropping it ends it.
pub(crate) struct Task<T>(Option<tokio::task::JoinHandle<T>>);

impl<T> Task<T> {
    /// Lets the task run on.
    pub(crate) fn detach(mut self) {
        self.0 = None;
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let handle = self.0.as_mut().expect("a task that is not detached");
        match ready!(Pin::new(handle).poll(cx)) {
            Ok(value) => Poll::Ready(value),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.abort();
        }
    }
}

/// Starts a task.
pub(crate) fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    Task(Some(tokio::spawn(future)))
}

pub(crate) async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

/// What the future gave, unless it took too long.
pub(crate) async fn timeout<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(time, future).await.ok()
}

/// The next stream that the peer opened.
pub(crate) async fn next(incoming: &mut Incoming) -> Option<io::Result<Stream>> {
    poll_fn(|cx| futures_core::Stream::poll_next(Pin::new(&mut *incoming), cx)).await
}

/// Any transport of this runtime.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// Two connected sockets.
pub(crate) fn socket_pair() -> (tokio::net::UnixStream, tokio::net::UnixStream) {
    tokio::net::UnixStream::pair().expect("a socket pair")
}

/// A connection of such a listener.
pub(crate) type Socket = tokio::net::TcpStream;

/// A listener of this machine alone, and its port.
pub(crate) async fn listen() -> (tokio::net::TcpListener, u16) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

pub(crate) async fn accept(listener: &tokio::net::TcpListener) -> Socket {
    listener.accept().await.expect("a connection").0
}

/// The server's half of TLS.
pub(crate) async fn tls(
    transport: impl Transport,
    config: Arc<rustls::ServerConfig>,
) -> io::Result<impl Transport> {
    tokio_rustls::TlsAcceptor::from(config).accept(transport).await
}

pub(crate) async fn read_to_end(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.map(|_| bytes)
}

pub(crate) async fn read_exact(
    reader: &mut (impl AsyncRead + Unpin),
    count: usize,
) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    reader.read_exact(&mut bytes).await.map(|_| bytes)
}

pub(crate) async fn read(
    reader: &mut (impl AsyncRead + Unpin),
    buf: &mut [u8],
) -> io::Result<usize> {
    reader.read(buf).await
}

pub(crate) async fn write(writer: &mut (impl AsyncWrite + Unpin), buf: &[u8]) -> io::Result<usize> {
    writer.write(buf).await
}

pub(crate) async fn write_vectored(
    writer: &mut (impl AsyncWrite + Unpin),
    bufs: &[IoSlice<'_>],
) -> io::Result<usize> {
    writer.write_vectored(bufs).await
}

pub(crate) async fn write_all(
    writer: &mut (impl AsyncWrite + Unpin),
    buf: &[u8],
) -> io::Result<()> {
    writer.write_all(buf).await
}

pub(crate) async fn flush(writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    writer.flush().await
}

pub(crate) async fn seek(file: &mut File, to: io::SeekFrom) -> io::Result<u64> {
    file.seek(to).await
}

/// Ends a stream by the runtime's own trait.
pub(crate) async fn close(writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    writer.shutdown().await
}

/// One of the suite's own wires as a transport of this runtime.
#[derive(Debug)]
pub(crate) struct Over<W>(pub(crate) W);

impl<W: Wire> AsyncRead for Over<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = ready!(self.0.poll_read(cx, buf.initialize_unfilled()))?;
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<W: Wire> AsyncWrite for Over<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(cx)
    }
}
