//! A peer over the crate `yamux`.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use futures::channel::oneshot;
use futures::stream::StreamExt;
use smol::channel::{Receiver, Sender, bounded};
use smol::net::{TcpListener, TcpStream};
use trunkline_peers::{Run, Session, Trouble, WireName, ended, options, play};
use yamux::{Config, Connection, ConnectionError, Mode, Stream};

fn main() {
    let run = Run::start(options("crate yamux", "yamux", &[WireName::Yamux]));
    smol::block_on(async {
        let outcome = match connect(run).await {
            Ok(socket) => play(run, &Peer::start(run, socket)).await,
            Err(error) => Err(Trouble::io("connecting", 0)(error)),
        };
        run.end(outcome)
    });
}

async fn connect(run: &Run) -> io::Result<TcpStream> {
    if run.options.is_client() {
        return TcpStream::connect(&run.options.address).await;
    }
    let listener = TcpListener::bind(&run.options.address).await?;
    run.listening(listener.local_addr()?);
    Ok(listener.accept().await?.0)
}

/// The connection belongs to a task, which is asked through channels.
struct Peer {
    commands: Sender<Command>,
    inbound: Receiver<Stream>,
}

enum Command {
    Open(oneshot::Sender<Result<Stream, ConnectionError>>),
    Close(oneshot::Sender<()>),
}

impl Peer {
    fn start(run: &Run, socket: TcpStream) -> Self {
        let mode = if run.options.is_client() { Mode::Client } else { Mode::Server };
        let mut task =
            Task { connection: Connection::new(socket, Config::default(), mode), wanted: None };
        let (commands, asked) = bounded(16);
        // Twice as many as the crate lets be open.
        let (tell, inbound) = bounded(1024);
        smol::spawn(async move {
            let mut asked = Box::pin(asked);
            poll_fn(|cx| task.poll(cx, &mut asked, &tell)).await;
        })
        .detach();
        Self { commands, inbound }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> io::Result<T> {
        let (tell, told) = oneshot::channel();
        self.commands.send(command(tell)).await.map_err(|_| ended())?;
        told.await.map_err(|_| ended())
    }
}

struct Task {
    connection: Connection<TcpStream>,
    wanted: Option<Command>,
}

impl Task {
    /// Ready when the connection has ended.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        asked: &mut (impl futures::Stream<Item = Command> + Unpin),
        tell: &Sender<Stream>,
    ) -> Poll<()> {
        loop {
            if self.wanted.is_none()
                && let Poll::Ready(Some(command)) = asked.poll_next_unpin(cx)
            {
                self.wanted = Some(command);
            }
            match self.wanted.take() {
                Some(Command::Close(tell)) => match self.connection.poll_close(cx) {
                    Poll::Ready(_) => {
                        let _ = tell.send(());
                        return Poll::Ready(());
                    }
                    Poll::Pending => {
                        self.wanted = Some(Command::Close(tell));
                        return Poll::Pending;
                    }
                },
                Some(Command::Open(tell)) => match self.connection.poll_new_outbound(cx) {
                    Poll::Ready(opened) => {
                        let _ = tell.send(opened);
                        continue;
                    }
                    Poll::Pending => self.wanted = Some(Command::Open(tell)),
                },
                None => {}
            }
            match self.connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => {
                    let _ = tell.try_send(stream);
                }
                Poll::Ready(Some(Err(error))) => {
                    eprintln!("crate yamux: {error}");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Session for Peer {
    type Stream = Stream;

    async fn open(&self) -> io::Result<Stream> {
        self.ask(Command::Open).await?.map_err(io::Error::other)
    }

    async fn accept(&self) -> io::Result<Stream> {
        self.inbound.recv().await.map_err(|_| ended())
    }

    /// It measures round trips by itself, and offers no call.
    async fn ping(&self, _: u64) -> Result<String, Trouble> {
        Ok("answers, and asks none".to_owned())
    }

    /// Its only go-away is that of an orderly close.
    async fn go_away(&self) -> Result<(), Trouble> {
        self.close().await;
        Ok(())
    }

    async fn close(&self) {
        let _ = self.ask(Command::Close).await;
    }
}
