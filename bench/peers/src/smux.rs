//! The crate smux.

use std::io;

use smux::{ConfigBuilder, Session};
use trunkline_bench::mux::Mux;
use trunkline_bench::mux::raw::TokioStream;
use trunkline_bench::mux::transport::{Kind, tokio_pair};

#[derive(Clone)]
pub struct Smux(Session);

pub async fn pair(kind: Kind) -> io::Result<(Smux, Smux)> {
    let config = || ConfigBuilder::new().enable_keep_alive(false).build().map_err(io::Error::other);
    let (one, other) = tokio_pair(kind).await?;
    let client = Session::client(one, config()?).await.map_err(io::Error::other)?;
    let server = Session::server(other, config()?).await.map_err(io::Error::other)?;
    Ok((Smux(client), Smux(server)))
}

impl Mux for Smux {
    type Stream = TokioStream<smux::Stream>;

    async fn open(&self) -> io::Result<Self::Stream> {
        self.0.open_stream().await.map(TokioStream).map_err(io::Error::other)
    }

    async fn accept(&self) -> io::Result<Self::Stream> {
        self.0.accept_stream().await.map(TokioStream).map_err(io::Error::other)
    }
}
