//! Multiplexed connections, with streams that are tokio's own.

use std::io::{self, IoSlice};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use trunkline_core::mux::Mux;
use trunkline_drive::mux;

use crate::exec::Tokio;
use crate::io::TransportIo;

/// One connection that carries many streams.
///
/// See [`trunkline_drive::mux::Connection`] for its methods, how it ends and what dropping it does.
pub type Connection = mux::Connection<Tokio>;

/// The streams that the peer opens.
pub type Incoming = mux::Incoming<Tokio>;

/// Runs a multiplexer over a transport. Call it from within the runtime. The machine decides the
/// wire: nothing else changes with it.
pub fn connection_over<T>(transport: T, machine: impl Mux + Send + 'static) -> Connection
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Connection::new(TransportIo::new(transport), machine)
}

/// One stream of a [`Connection`], with tokio's own traits.
///
/// [`trunkline_drive::mux::Stream`] has what it can do beyond them, how it ends and what dropping it
/// does. `shutdown` ends this side's direction behind what was written, as
/// [`finish`](trunkline_drive::mux::Stream::finish) does. `flush` does nothing: sending begins in
/// the same turn at the latest.
#[derive(Debug)]
pub struct Stream(mux::Stream);

/// The reading half of a [`Stream`].
///
/// See [`trunkline_drive::mux::ReadHalf`] for what it can do beyond the trait.
#[derive(Debug)]
pub struct ReadHalf(mux::ReadHalf);

/// The writing half of a [`Stream`].
///
/// See [`trunkline_drive::mux::WriteHalf`] for what it can do beyond the trait.
#[derive(Debug)]
pub struct WriteHalf(mux::WriteHalf);

impl Stream {
    /// The two directions, to be used in two tasks. The stream is let go with the second of them.
    #[must_use]
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        let (reader, writer) = self.0.into_split();
        (ReadHalf(reader), WriteHalf(writer))
    }
}

impl From<mux::Stream> for Stream {
    fn from(stream: mux::Stream) -> Self {
        Self(stream)
    }
}

/// The stream below, and the parts that every runtime shares.
macro_rules! shares {
    ($($ours:ty => $inner:ty),*) => {$(
        impl Deref for $ours {
            type Target = $inner;

            fn deref(&self) -> &$inner {
                &self.0
            }
        }

        impl DerefMut for $ours {
            fn deref_mut(&mut self) -> &mut $inner {
                &mut self.0
            }
        }
    )*};
}

shares!(Stream => mux::Stream, ReadHalf => mux::ReadHalf, WriteHalf => mux::WriteHalf);

macro_rules! reads {
    ($($ours:ty),*) => {$(
        impl AsyncRead for $ours {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let room = buf.remaining();
                self.0.poll_read_into(cx, room, |bytes| buf.put_slice(bytes)).map_ok(|_| ())
            }
        }
    )*};
}

reads!(Stream, ReadHalf);

macro_rules! writes {
    ($($ours:ty),*) => {$(
        impl AsyncWrite for $ours {
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
                true
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                self.0.finish();
                Poll::Ready(Ok(()))
            }
        }
    )*};
}

writes!(Stream, WriteHalf);
