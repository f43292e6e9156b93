//! Multiplexed connections, with streams that are tokio's own.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use trunkline_core::mux::Mux;
use trunkline_drive::{Runtime as _, mux};

use crate::exec::Tokio;
use crate::io::TransportIo;

/// One connection that carries many streams.
///
/// See [`trunkline_drive::mux::Connection`] for its methods, their errors and limits, how it ends and
/// what dropping it does. Its futures are cancel safe: each may be dropped at any time, and nothing
/// is lost, opened or taken by it.
///
/// When the runtime is dropped, its connections are lost: whoever waits for them or their streams,
/// on whichever thread, is told so.
pub type Connection = mux::Connection<Tokio>;

/// The streams that the peer opens, as a `Stream` of them.
///
/// See [`trunkline_drive::mux::Incoming`] for how it ends.
pub type Incoming = mux::Incoming<Tokio>;

/// Runs a multiplexer over a transport, in a task of its own. Call it within the runtime; outside of
/// it tokio panics.
///
/// The machine decides the wire: a `Connection` of [`yamux`](crate::yamux), [`smux`](crate::smux) or
/// [`wormhole`](crate::wormhole). Nothing else changes with it. A machine without a `hash_seed` gets
/// a random one. The transport is dropped when the connection is over.
pub fn connection_over<T>(transport: T, machine: impl Mux + Send + 'static) -> Connection
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Connection::new(TransportIo::new(transport), machine)
}

/// One stream of a [`Connection`], with tokio's own traits.
///
/// [`trunkline_drive::mux::Stream`] has what it can do beyond them: `finish`, `reset`, `closed`,
/// `read_end`, `write_end`, `drain`, `stats` and `abilities`.
///
/// - **Reading** gives 0 bytes only at an end that the peer sent in order. A stream that was reset or
///   refused, or whose connection is over, is an error, of which [`MuxError::of`](crate::MuxError::of)
///   tells why.
/// - **Writing** takes what window and queue have room for, and waits where there is none. Of what was
///   taken all is sent, unless the stream or the connection ends before.
/// - **Flushing** does nothing: sending begins in the same turn at the latest.
/// - **Ending** it (`shutdown`) ends this side's direction behind what was written, as
///   [`finish`](trunkline_drive::mux::Stream::finish) does; on a wire without half-close (wormhole)
///   it ends the stream. What goes over the wire stands in `docs/protocols/yamux.md` section 6,
///   `smux.md` section 5 and `wormhole.md` section 4.
/// - **Dropping** it sends what was written, and resets it if the peer's end was not read; see
///   [`trunkline_drive::mux::Stream`].
///
/// Every future of it is cancel safe, as long as it is one call of the trait: `write_all` and
/// `read_exact` of a runtime's extensions do not say how far they came.
///
/// # Sharing a thread
///
/// Reading, writing, opening and accepting take part in tokio's cooperative budget: a task that
/// uses a stream which is always ready lets others run now and then, unless it is
/// [`unconstrained`](tokio::task::coop::unconstrained).
#[derive(Debug)]
pub struct Stream(mux::Stream);

/// The reading half of a [`Stream`].
///
/// Dropping it while the writing half lives leaves what comes unread. See
/// [`trunkline_drive::mux::ReadHalf`] for what it can do beyond the trait.
#[derive(Debug)]
pub struct ReadHalf(mux::ReadHalf);

/// The writing half of a [`Stream`].
///
/// Dropping it ends this side's direction behind what was written, where the wire can end one alone.
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
        impl $ours {
            /// The next bytes as they arrived, without a copy; `None` at the end.
            ///
            /// Cancel safe: nothing is taken unless it is returned. A stream that has ended says so
            /// again and again.
            ///
            /// # Errors
            ///
            /// When the stream did not end in order: it was reset or refused, or its connection is
            /// over. [`MuxError::of`](crate::MuxError::of) tells which.
            pub async fn read_chunk(&mut self) -> io::Result<Option<Bytes>> {
                poll_fn(|cx| self.poll_read_chunk(cx)).await
            }

            /// Ready with what [`read_chunk`](Self::read_chunk) gives.
            ///
            /// # Errors
            ///
            /// As there.
            pub fn poll_read_chunk(
                &mut self,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<Option<Bytes>>> {
                Tokio::poll_within(cx, |cx| self.0.poll_read_chunk(cx))
            }
        }

        impl AsyncRead for $ours {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let room = buf.remaining();
                let read = Tokio::poll_within(cx, |cx| {
                    self.0.poll_read_into(cx, room, |bytes| buf.put_slice(bytes))
                });
                read.map_ok(|_| ())
            }
        }
    )*};
}

reads!(Stream, ReadHalf);

macro_rules! writes {
    ($($ours:ty),*) => {$(
        impl $ours {
            /// Writes all of `data` without a copy; waits while window and queue have no room.
            ///
            /// Cancel safe: what was not taken is still in `data`, and what was taken is sent.
            ///
            /// # Errors
            ///
            /// When this side's direction was ended, the stream was reset or refused, or the
            /// connection is over (or closing: smux alone takes writes until it is over).
            /// [`MuxError::of`](crate::MuxError::of) tells which.
            pub async fn write_bytes(&mut self, data: &mut Bytes) -> io::Result<()> {
                while !data.is_empty() {
                    poll_fn(|cx| self.poll_write_bytes(cx, data)).await?;
                }
                Ok(())
            }

            /// Takes bytes from the front of `data`, without a copy; says how many.
            ///
            /// # Errors
            ///
            /// As [`write_bytes`](Self::write_bytes).
            pub fn poll_write_bytes(
                &mut self,
                cx: &mut Context<'_>,
                data: &mut Bytes,
            ) -> Poll<io::Result<usize>> {
                Tokio::poll_within(cx, |cx| self.0.poll_write_bytes(cx, data))
            }
        }

        impl AsyncWrite for $ours {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Tokio::poll_within(cx, |cx| self.0.poll_write(cx, &[IoSlice::new(buf)]))
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Tokio::poll_within(cx, |cx| self.0.poll_write(cx, bufs))
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
