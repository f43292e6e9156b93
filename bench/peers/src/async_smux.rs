//! The crate async_smux.

use std::io;
use std::sync::Arc;

use async_smux::{MuxAcceptor, MuxBuilder, MuxConnector, MuxStream};
use tokio::sync::Mutex;
use trunkline_bench::mux::Mux;
use trunkline_bench::mux::raw::TokioStream;
use trunkline_bench::mux::transport::{Kind, TokioLink, tokio_pair};

#[derive(Clone)]
pub struct AsyncSmux {
    connector: MuxConnector<TokioLink>,
    acceptor: Arc<Mutex<MuxAcceptor<TokioLink>>>,
}

pub async fn pair(kind: Kind) -> io::Result<(AsyncSmux, AsyncSmux)> {
    let (one, other) = tokio_pair(kind).await?;
    let client = MuxBuilder::client().with_connection(one).build();
    let server = MuxBuilder::server().with_connection(other).build();
    tokio::spawn(client.2);
    tokio::spawn(server.2);
    Ok((make(client.0, client.1), make(server.0, server.1)))
}

fn make(connector: MuxConnector<TokioLink>, acceptor: MuxAcceptor<TokioLink>) -> AsyncSmux {
    AsyncSmux { connector, acceptor: Arc::new(Mutex::new(acceptor)) }
}

impl Mux for AsyncSmux {
    type Stream = TokioStream<MuxStream<TokioLink>>;

    async fn open(&self) -> io::Result<Self::Stream> {
        self.connector.connect().map(TokioStream).map_err(io::Error::other)
    }

    async fn accept(&self) -> io::Result<Self::Stream> {
        let stream = self.acceptor.lock().await.accept().await;
        stream.map(TokioStream).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}
