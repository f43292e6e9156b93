//! A peer over the crate `tokio-yamux`.

use std::io;

use futures::stream::StreamExt;
use smol::channel::{Receiver, unbounded};
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
        let (tell, inbound) = unbounded();
        let task = tokio::spawn(async move {
            while let Some(stream) = session.next().await {
                match stream {
                    Ok(stream) => drop(tell.try_send(stream)),
                    Err(error) => return eprintln!("crate tokio-yamux: {error}"),
                }
            }
        });
        Self { control, inbound, task }
    }
}

impl Session for Peer {
    type Stream = TokioStream<StreamHandle>;

    async fn open(&self) -> io::Result<Self::Stream> {
        let opened = self.control.clone().open_stream().await;
        opened.map(TokioStream).map_err(|error| match error {
            Error::RemoteGoAway => io::Error::new(io::ErrorKind::ConnectionRefused, error),
            error => io::Error::other(error),
        })
    }

    async fn accept(&self) -> io::Result<Self::Stream> {
        self.inbound.recv().await.map(TokioStream).map_err(|_| ended())
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
