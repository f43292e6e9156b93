//! The crate tokio_smux: messages, no window, and one end for both directions.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio_smux::{Session, SmuxConfig};
use trunkline_bench::mux::transport::{Kind, tokio_pair};
use trunkline_bench::mux::{Mux, Stream};

#[derive(Clone)]
pub struct TokioSmux(Arc<Mutex<Session>>);

pub async fn pair(kind: Kind) -> io::Result<(TokioSmux, TokioSmux)> {
    let config = || SmuxConfig { keep_alive_disable: true, ..SmuxConfig::default() };
    let (one, other) = tokio_pair(kind).await?;
    let client = Session::client(one, config()).map_err(failed)?;
    let server = Session::server(other, config()).map_err(failed)?;
    Ok((TokioSmux(Arc::new(Mutex::new(client))), TokioSmux(Arc::new(Mutex::new(server)))))
}

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl Mux for TokioSmux {
    type Stream = Handle;

    async fn open(&self) -> io::Result<Handle> {
        self.0.lock().await.open_stream().await.map(|stream| Handle(Some(stream))).map_err(failed)
    }

    async fn accept(&self) -> io::Result<Handle> {
        self.0.lock().await.accept_stream().await.map(|stream| Handle(Some(stream))).map_err(failed)
    }
}

/// A stream; dropping it is the only way to end it.
pub struct Handle(Option<tokio_smux::Stream>);

impl Handle {
    fn open(&mut self) -> io::Result<&mut tokio_smux::Stream> {
        self.0.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Stream for Handle {
    fn half_close(&self) -> bool {
        false
    }

    async fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        self.open()?.send_message(bytes.to_vec()).await.map_err(failed)
    }

    async fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        let message = self.open()?.recv_message().await.map_err(failed)?;
        Ok(message.map_or(0, |message| message.len()))
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0 = None;
        Ok(())
    }
}
