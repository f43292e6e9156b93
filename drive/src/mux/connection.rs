//! One multiplexed connection: opens and accepts streams, and says how it is.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tracing::Instrument as _;
use trunkline_core::CloseReason;
use trunkline_core::mux::{Abilities, Mux, MuxStats, Side};

use super::driver::Driver;
use super::handle::{Core, Handle, Spot, Wish};
use super::{MuxError, Stream};
use crate::random::random;
use crate::{Io, Runtime};

/// One connection that carries many streams. Cheap to clone: all clones are handles of the same.
///
/// The machine decides the wire; nothing else does. The handles know neither the wire nor the
/// transport, so code over them serves every wire.
///
/// # How it ends
///
/// [`close`](Self::close) ends it in order, within a bound; [`abort`](Self::abort) at once. It ends
/// by itself when the peer ends it, breaks a rule, gives no sign of life or the transport fails.
/// Then every stream that was not over gives an error whose source is a [`MuxError`], behind what
/// came of it, and so does everything here; a lost connection is never the end of a stream. Streams
/// that the peer had opened by then can still be accepted and read, unless this side ended it (on
/// wormhole they are gone).
///
/// # Tracing
///
/// Each connection has a `tracing` span `connection` of level debug, with the fields `id` (a number
/// of its own in this process), `wire` and `side`. What its task does is done in that span, and the
/// events of its streams (opened, accepted) and of its end belong to it, whichever task they happen
/// in.
///
/// # Dropping
///
/// When the last handle is dropped nobody accepts any more: streams that the peer opens from then
/// on are reset. The streams that live go on, and with the last of them the connection is closed in
/// order, as [`close`](Self::close) does. When the runtime drops the connection's task, the
/// connection is lost.
pub struct Connection<R: Runtime> {
    shared: Arc<Listening>,
    runtime: PhantomData<fn() -> R>,
}

/// What all handles of a connection share.
struct Listening(Arc<dyn Handle>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.unlisten();
    }
}

impl<R: Runtime> Connection<R> {
    /// Runs a machine over a transport, in a task of its own. Call it from within the runtime.
    ///
    /// It gives the machine [a seed](Mux::seed), random and another one for each connection; one
    /// that the wire's `Config` has already is kept.
    #[must_use]
    pub fn new(io: impl Io + 'static, mut machine: impl Mux + Send + 'static) -> Self {
        machine.seed(random());
        let core = Arc::new(Core::new(machine, io, R::clock()));
        let span = core.lock().span.clone();
        tracing::debug!(parent: &span, "connection begun");
        R::spawn(Driver::new(Arc::clone(&core), R::Sleep::default()).instrument(span));
        Self { shared: Arc::new(Listening(core)), runtime: PhantomData }
    }

    /// Opens a stream. The peer learns of it at the end of the turn at the latest, together with
    /// what is written until then.
    ///
    /// Waits while as many own opens wait for the peer as may
    /// ([`Limits::opens_waiting`](trunkline_core::Limits), on wires that acknowledge them), in the
    /// order of asking. Cancel safe: no stream is opened unless it is returned.
    ///
    /// # Errors
    ///
    /// [`MuxError::Connection`] when the connection is over; [`MuxError::Open`] when it is closing, the
    /// peer wants no more streams, ids are used up, or the budget has no room: the last alone may
    /// pass, when other streams end.
    pub async fn open(&self) -> io::Result<R::Stream> {
        Ok(self.open_stream().await?.into())
    }

    /// As [`open`](Self::open), for what stands on streams here.
    pub(crate) async fn open_stream(&self) -> io::Result<Stream> {
        let mut waits = self.waits(Wish::Open);
        let key =
            poll_fn(|cx| R::poll_within(cx, |cx| waits.shared.0.poll_open(cx, &mut waits.spot)))
                .await?;
        Ok(Stream::new(Arc::clone(&self.shared.0), key))
    }

    /// The next stream that the peer opened, in order of arrival; also one that waited when the
    /// connection ended, unless this side ended it, or the wire is wormhole.
    ///
    /// Those that nobody takes wait, up to [`Limits::backlog`](trunkline_core::Limits); further ones
    /// are refused, as the wire can. Cancel safe: no stream is taken unless it is returned.
    ///
    /// # Errors
    ///
    /// Once the connection is over and nothing waits, for ever.
    pub async fn accept(&self) -> io::Result<R::Stream> {
        Ok(self.accept_stream().await?.into())
    }

    /// As [`accept`](Self::accept), for what stands on streams here.
    pub(crate) async fn accept_stream(&self) -> io::Result<Stream> {
        let mut waits = self.waits(Wish::Accept);
        let key =
            poll_fn(|cx| R::poll_within(cx, |cx| waits.shared.0.poll_accept(cx, &mut waits.spot)))
                .await?;
        Ok(Stream::new(Arc::clone(&self.shared.0), key))
    }

    /// The streams that the peer opens, as a `Stream` of them.
    #[must_use]
    pub fn incoming(&self) -> Incoming<R> {
        Incoming { connection: self.clone(), spot: Spot::default(), over: false }
    }

    /// Asks the peer for a sign of life, and says how long it took. Waits its turn while as many
    /// pings as may are on their way.
    ///
    /// Cancel safe: a dropped ping is sent or not, and its answer is ignored.
    ///
    /// # Errors
    ///
    /// When the wire has no pings (`Unsupported`), or the connection is over.
    pub async fn ping(&self) -> io::Result<Duration> {
        let mut waits = self.waits(Wish::Ping);
        poll_fn(|cx| waits.shared.0.poll_ping(cx, &mut waits.spot)).await
    }

    /// Tells the peer to open no more streams, where the wire can; further ones are refused. Those
    /// that live go on, and this side may open more.
    pub fn go_away(&self) {
        self.shared.0.go_away();
    }

    /// Ends the connection in order and waits for it: no stream is opened or accepted any more, what
    /// was written is sent, then the transport is shut down. After
    /// [`Limits::close_drain`](trunkline_core::Limits) it is over all the same. Says why it is over:
    /// [`CloseReason::Local`] when nothing came in between.
    ///
    /// The closing begins with the call and goes on when the future is dropped.
    pub fn close(&self) -> impl Future<Output = CloseReason> + Send + use<R> {
        self.shared.0.close();
        let mut waits = self.waits(Wish::Closed);
        async move { poll_fn(|cx| waits.shared.0.poll_closed(cx, &mut waits.spot, true)).await }
    }

    /// Ends the connection at once; what was not sent is gone. Harmless once it is over.
    pub fn abort(&self) {
        self.shared.0.abort();
    }

    /// Waits until the connection is over, and says why. Cancel safe.
    pub async fn closed(&self) -> CloseReason {
        let mut waits = self.waits(Wish::Closed);
        poll_fn(|cx| waits.shared.0.poll_closed(cx, &mut waits.spot, false)).await
    }

    /// Why the connection is over; `None` while it is not.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.shared.0.close_reason()
    }

    /// Whether it lives and the peer has not said that it takes no more streams: whether
    /// [`open`](Self::open) is worth trying.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.shared.0.opens()
    }

    /// Whether both are handles of one connection.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The connection's counters, at any time, also after its end.
    #[must_use]
    pub fn stats(&self) -> MuxStats {
        self.shared.0.stats()
    }

    /// What the wire can do.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        self.shared.0.abilities()
    }

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.shared.0.side()
    }

    fn waits(&self, wish: Wish) -> Waits {
        Waits { shared: Arc::clone(&self.shared), wish, spot: Spot::default() }
    }
}

impl<R: Runtime> Clone for Connection<R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), runtime: PhantomData }
    }
}

impl<R: Runtime> fmt::Debug for Connection<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("wire", &self.abilities().name)
            .field("side", &self.side())
            .field("closed", &self.close_reason())
            .finish_non_exhaustive()
    }
}

/// A future that waits for something of the connection, and leaves no trace when it is dropped.
struct Waits {
    shared: Arc<Listening>,
    wish: Wish,
    spot: Spot,
}

impl Drop for Waits {
    fn drop(&mut self) {
        if self.spot.waits() {
            self.shared.0.leave(self.wish, &mut self.spot);
        }
    }
}

/// The streams that the peer opens, in order of arrival: a `Stream` of streams.
///
/// It ends behind a connection that this side closed. Behind one that ended otherwise it gives the
/// error once, and then ends. It is a handle of its connection.
pub struct Incoming<R: Runtime> {
    connection: Connection<R>,
    spot: Spot,
    over: bool,
}

impl<R: Runtime> futures_core::Stream for Incoming<R> {
    type Item = io::Result<R::Stream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        let handle = &this.connection.shared.0;
        Poll::Ready(
            match std::task::ready!(R::poll_within(cx, |cx| handle.poll_accept(cx, &mut this.spot)))
            {
                Ok(key) => Some(Ok(Stream::new(Arc::clone(handle), key).into())),
                Err(error) => {
                    this.over = true;
                    let local = Some(&MuxError::Connection(CloseReason::Local));
                    (MuxError::of(&error) != local).then_some(Err(error))
                }
            },
        )
    }
}

impl<R: Runtime> Unpin for Incoming<R> {}

impl<R: Runtime> Drop for Incoming<R> {
    fn drop(&mut self) {
        if self.spot.waits() {
            self.connection.shared.0.leave(Wish::Accept, &mut self.spot);
        }
    }
}

impl<R: Runtime> fmt::Debug for Incoming<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("connection", &self.connection).finish_non_exhaustive()
    }
}
