//! A peer over the crate `tokio-yamux`.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::io::{AsyncRead, AsyncWrite};
use futures::stream::StreamExt;
use smol::channel::{Receiver, bounded};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_yamux::{Config, Control, Error, Session as Yamux, StreamHandle};
use trunkline_peers::{Run, Session, TokioStream, Trouble, WireName, ended, options, play};

#[tokio::main]
async fn main() {
    let run = Run::start(options("crate tokio-yamux", "tokio-yamux", &[WireName::Yamux]));
    let outcome = match connect(run).await {
        Ok(socket) => play(run, &Peer::start(run, socket)).await,
        Err(error) => Err(Trouble::io("connecting", 0)(error)),
    };
    run.end(outcome)
}

async fn connect(run: &Run) -> io::Result<TcpStream> {
    if run.options.is_client() {
        return TcpStream::connect(&run.options.address).await;
    }
    let listener = TcpListener::bind(&run.options.address).await?;
    run.listening(listener.local_addr()?);
    Ok(listener.accept().await?.0)
}

/// The session belongs to a task; it lives as long as the task.
struct Peer {
    control: Control,
    inbound: Receiver<StreamHandle>,
    task: JoinHandle<()>,
}

impl Peer {
    fn start(run: &Run, socket: TcpStream) -> Self {
        let start = if run.options.is_client() { Yamux::new_client } else { Yamux::new_server };
        let mut session = start(socket, Config::default());
        let control = session.control();
        let (tell, inbound) = bounded(1024);
        let task = tokio::spawn(async move {
            while let Some(stream) = session.next().await {
                match stream {
                    Ok(stream) => drop(tell.send(stream).await),
                    Err(error) => return eprintln!("crate tokio-yamux: {error}"),
                }
            }
        });
        Self { control, inbound, task }
    }
}

impl Session for Peer {
    type Stream = Kept;

    /// A writer without credit is woken by nothing but a frame, also when the session is gone.
    const WRITER_LEARNS: bool = false;

    async fn open(&self) -> io::Result<Self::Stream> {
        let opened = self.control.clone().open_stream().await;
        opened.map(Kept::new).map_err(|error| match error {
            Error::RemoteGoAway => io::Error::new(io::ErrorKind::ConnectionRefused, error),
            error => io::Error::other(error),
        })
    }

    async fn accept(&self) -> io::Result<Self::Stream> {
        self.inbound.recv().await.map(Kept::new).map_err(|_| ended())
    }

    /// It has a keep-alive of its own, and offers no call.
    async fn ping(&self, _: u64) -> Result<String, Trouble> {
        Ok("answers, and asks none".to_owned())
    }

    /// Its only go-away is that of an orderly close.
    async fn go_away(&self) -> Result<(), Trouble> {
        self.control.clone().close().await;
        Ok(())
    }

    /// Its orderly close waits ten seconds for a go-away that others need not send, so the session is
    /// dropped, and the socket with it.
    async fn close(&self) {
        self.task.abort();
    }
}

/// A stream that is also read from while it is written to, into a buffer that the peer's window bounds:
/// in this crate nobody but a reader takes notice of credit, so that one who only writes stands still.
struct Kept {
    inner: TokioStream<StreamHandle>,
    early: VecDeque<u8>,
    reader: Option<Waker>,
}

impl Kept {
    fn new(inner: StreamHandle) -> Self {
        Self { inner: TokioStream(inner), early: VecDeque::new(), reader: None }
    }

    /// Reads on, and wakes the reader when it brought something.
    fn read_early(&mut self, cx: &mut Context<'_>) {
        let mut buffer = [0; 16 << 10];
        while let Poll::Ready(read) = Pin::new(&mut self.inner).poll_read(cx, &mut buffer) {
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
            match read {
                // The end stays for the reader, who is told of it once more.
                Ok(0) | Err(_) => return,
                Ok(len) => self.early.extend(&buffer[..len]),
            }
        }
    }
}

impl AsyncRead for Kept {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.early.is_empty() {
            self.reader = Some(cx.waker().clone());
            return Pin::new(&mut self.inner).poll_read(cx, into);
        }
        Poll::Ready(io::Read::read(&mut self.early, into))
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, from);
        if written.is_ready() {
            return written;
        }
        self.read_early(cx);
        // What was read may have been the credit.
        Pin::new(&mut self.inner).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
