//! The crate tokio-yamux, of tentacle.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio_yamux::{Config, Control, Session, StreamHandle};
use trunkline_bench::mux::queue::Queue;
use trunkline_bench::mux::transport::{Kind, tokio_pair};
use trunkline_bench::mux::{Mux, Stream};

#[derive(Clone)]
pub struct TokioYamux {
    control: Control,
    accepted: Queue<StreamHandle>,
}

pub async fn pair(kind: Kind) -> io::Result<(TokioYamux, TokioYamux)> {
    let config = Config { enable_keepalive: false, ..Config::default() };
    let (one, other) = tokio_pair(kind).await?;
    Ok((make(Session::new_client(one, config)), make(Session::new_server(other, config))))
}

fn make<T>(mut session: Session<T>) -> TokioYamux
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (control, accepted) = (session.control(), Queue::default());
    let queue = accepted.clone();
    tokio::spawn(async move {
        while let Some(Ok(stream)) = session.next().await {
            queue.put(stream);
        }
        queue.end();
    });
    TokioYamux { control, accepted }
}

impl Mux for TokioYamux {
    type Stream = Handle;

    async fn open(&self) -> io::Result<Handle> {
        self.control.clone().open_stream().await.map(Handle).map_err(io::Error::other)
    }

    async fn accept(&self) -> io::Result<Handle> {
        self.accepted.take().await.map(Handle)
    }
}

pub struct Handle(StreamHandle);

impl Stream for Handle {
    async fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        let mut rest: &[u8] = bytes;
        while !rest.is_empty() {
            let written = poll_fn(|cx| {
                if let Poll::Ready(written) = Pin::new(&mut self.0).poll_write(cx, rest) {
                    return Poll::Ready(written);
                }
                // A stream without window hears of more only while it is read: without this it
                // would wait for ever.
                let mut byte = [0];
                let mut peeked = ReadBuf::new(&mut byte);
                if let Poll::Ready(Err(error)) = Pin::new(&mut self.0).poll_peek(cx, &mut peeked) {
                    return Poll::Ready(Err(error));
                }
                Pin::new(&mut self.0).poll_write(cx, rest)
            });
            rest = rest.get(written.await?..).unwrap_or_default();
        }
        Ok(())
    }

    async fn read(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        self.0.read(scratch).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}
