//! Our own connections, over either runtime: through the traits, and by buffers that are handed on.

use std::io;

use bytes::Bytes;

use super::raw::{SmolStream, TokioStream};
use super::transport::{Kind, smol_pair, tokio_pair};
use super::{Mux, Stream};
use trunkline_core::mux::{self, Side};

/// A connection of tokio's, used through `AsyncRead` and `AsyncWrite`.
#[derive(Clone, Debug)]
pub struct OnTokio(trunkline_tokio::Connection, bool);

/// A connection of smol's, used through `AsyncRead` and `AsyncWrite`.
#[derive(Clone, Debug)]
pub struct OnSmol(trunkline_smol::Connection, bool);

/// A connection whose streams are used by `write_bytes` and `read_chunk`.
#[derive(Clone, Debug)]
pub struct Owned<M>(pub M);

impl OnTokio {
    /// An end whose connection stands, whatever it runs over.
    #[must_use]
    pub fn over(connection: trunkline_tokio::Connection) -> Self {
        let half_close = connection.abilities().half_close;
        Self(connection, half_close)
    }

    /// Both ends, each with a machine of its own.
    ///
    /// # Errors
    ///
    /// What the system says to a socket.
    pub async fn pair<M>(kind: Kind, make: impl Fn(Side) -> M) -> io::Result<(Self, Self)>
    where
        M: mux::Mux + Send + 'static,
    {
        let (one, other) = tokio_pair(kind).await?;
        let client = trunkline_tokio::connection_over(one, make(Side::Client));
        let server = trunkline_tokio::connection_over(other, make(Side::Server));
        let half_close = client.abilities().half_close;
        Ok((Self(client, half_close), Self(server, half_close)))
    }
}

impl OnSmol {
    /// Both ends, each with a machine of its own, over TCP.
    ///
    /// # Errors
    ///
    /// What the system says to a socket.
    pub async fn pair<M>(kind: Kind, make: impl Fn(Side) -> M) -> io::Result<(Self, Self)>
    where
        M: mux::Mux + Send + 'static,
    {
        let (one, other) = smol_pair(kind).await?;
        let client = trunkline_smol::connection_over(one, make(Side::Client));
        let server = trunkline_smol::connection_over(other, make(Side::Server));
        let half_close = client.abilities().half_close;
        Ok((Self(client, half_close), Self(server, half_close)))
    }
}

/// A stream that is used through its runtime's traits.
#[derive(Debug)]
pub struct Plain<S> {
    stream: S,
    half_close: bool,
}

/// A stream that is used by buffers.
#[derive(Debug)]
pub struct ByBuffers<S>(Plain<S>);

macro_rules! ours {
    ($ours:ty, $stream:ty, $by:ident) => {
        impl Mux for $ours {
            type Stream = Plain<$by<$stream>>;

            async fn open(&self) -> io::Result<Self::Stream> {
                let stream = $by(self.0.open().await?);
                Ok(Plain { half_close: self.1, stream })
            }

            async fn accept(&self) -> io::Result<Self::Stream> {
                let stream = $by(self.0.accept().await?);
                Ok(Plain { half_close: self.1, stream })
            }
        }

        impl Mux for Owned<$ours> {
            type Stream = ByBuffers<$by<$stream>>;

            async fn open(&self) -> io::Result<Self::Stream> {
                self.0.open().await.map(ByBuffers)
            }

            async fn accept(&self) -> io::Result<Self::Stream> {
                self.0.accept().await.map(ByBuffers)
            }
        }

        impl Stream for ByBuffers<$by<$stream>> {
            fn half_close(&self) -> bool {
                self.0.half_close
            }

            async fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
                self.0.stream.0.write_bytes(&mut bytes.clone()).await
            }

            async fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Ok(self.0.stream.0.read_chunk().await?.map_or(0, |chunk| chunk.len()))
            }

            async fn close(&mut self) -> io::Result<()> {
                self.0.stream.0.finish();
                Ok(())
            }
        }
    };
}

ours!(OnTokio, trunkline_tokio::Stream, TokioStream);
ours!(OnSmol, trunkline_smol::Stream, SmolStream);

impl<S: Stream> Stream for Plain<S> {
    fn half_close(&self) -> bool {
        self.half_close
    }

    async fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        self.stream.write(bytes).await
    }

    async fn read(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        self.stream.read(scratch).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.stream.close().await
    }
}
