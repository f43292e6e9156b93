//! Smol, as the suite sees a runtime: the same names as the tokio binding's `rt`.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use futures_lite::{AsyncRead, AsyncWrite};

use crate::cases::examples::ECHOES;
use crate::cases::wire::Wire;

pub(crate) use trunkline_smol::tunnel;
pub(crate) use trunkline_smol::{
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
pub(crate) const AGENT: &str = "agent_smol";

/// Examples that run by themselves, each with how the lines it prints begin.
pub(crate) const EXAMPLES: [(&str, &[&str]); 2] = [
    ("echo_smol", &ECHOES),
    ("tunnel_smol", &["200 OK: hello from /a", "200 OK: hello from /b?c=d"]),
];

/// How long one test may take; one that hangs must fail.
const PATIENCE: Duration = Duration::from_secs(50);

/// Runs a test under every flavour of the runtime.
pub(crate) fn each(test: impl AsyncFn() + Sync) {
    each_alone(test);
}

/// The same, for tests of what belongs to the whole process.
pub(crate) fn each_alone(test: impl AsyncFn()) {
    smol::block_on(async {
        timeout(PATIENCE, test()).await.expect("the test hangs");
    });
}

/// A task; dropping it ends it.
pub(crate) struct Task<T>(smol::Task<T>);

impl<T> Task<T> {
    /// Lets the task run on.
    pub(crate) fn detach(self) {
        self.0.detach();
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Starts a task.
pub(crate) fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    Task(smol::spawn(future))
}

pub(crate) async fn sleep(time: Duration) {
    smol::Timer::after(time).await;
}

/// What the future gave, unless it took too long.
pub(crate) async fn timeout<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let late = async {
        sleep(time).await;
        None
    };
    futures_lite::future::or(async { Some(future.await) }, late).await
}

/// The next stream that the peer opened.
pub(crate) async fn next(incoming: &mut Incoming) -> Option<io::Result<Stream>> {
    poll_fn(|cx| futures_core::Stream::poll_next(Pin::new(&mut *incoming), cx)).await
}

/// Any transport of this runtime.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// Two connected sockets.
pub(crate) fn socket_pair() -> (smol::net::unix::UnixStream, smol::net::unix::UnixStream) {
    smol::net::unix::UnixStream::pair().expect("a socket pair")
}

/// A connection of such a listener.
pub(crate) type Socket = smol::net::TcpStream;

/// A listener of this machine alone, and its port.
pub(crate) async fn listen() -> (smol::net::TcpListener, u16) {
    let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

pub(crate) async fn accept(listener: &smol::net::TcpListener) -> Socket {
    listener.accept().await.expect("a connection").0
}

/// The server's half of TLS.
pub(crate) async fn tls(
    transport: impl Transport,
    config: Arc<rustls::ServerConfig>,
) -> io::Result<impl Transport> {
    futures_rustls::TlsAcceptor::from(config).accept(transport).await
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
    reader.read_exact(&mut bytes).await.map(|()| bytes)
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
    writer.close().await
}

/// One of the suite's own wires as a transport of this runtime.
#[derive(Debug)]
pub(crate) struct Over<W>(pub(crate) W);

impl<W: Wire> AsyncRead for Over<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buf)
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
        if self.0.is_vectored() {
            return self.0.poll_write(cx, bufs);
        }
        // What the trait does by itself.
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| &**buf);
        self.poll_write(cx, first)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(cx)
    }
}
