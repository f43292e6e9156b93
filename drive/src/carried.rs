//! A byte transport inside WebSocket messages: `docs/protocols/agent-tunnel.md` section 2.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use trunkline_core::carrier::{Carrier, Config, Farewell, Outbox, Received, Violation};
use trunkline_core::{CloseReason, Instant, Message};

use crate::deadline::{Deadline, Due};
use crate::{Clock, Io, MessageIo, Sleep};

mod wakers;

use wakers::Wakers;

/// The most bytes taken by one write: those of one message.
const MOST: usize = 64 << 10;

/// Messages below this size are put together, and then hold nothing but themselves; larger ones are
/// given on as they came.
const SMALL: usize = 2 << 10;

/// Memory that small messages share.
const SHARED: usize = 4 << 10;

/// Messages looked at in one read, so that a flood of empty ones leaves others their turn.
const MANY: usize = 256;

/// Bytes in WebSocket messages, as a transport of bytes: any byte machine runs over it.
///
/// The order of the data messages is the order of the bytes; where one ends means nothing. Each
/// write is one message of 64 KiB at most (heads and payloads of yamux frames apart under
/// [`Grouping::HeadAndPayload`](trunkline_core::carrier::Grouping), a payload whole whatever its
/// length). Pings, pongs and closes are sent in between, whoever polls: what the reader has to send
/// takes the writer's waker from nobody. The rules stand in `docs/protocols/agent-tunnel.md`
/// section 2.
///
/// - The **end** of the bytes is the peer's close with the code 1000 or without one, and also the
///   bare end of the transport: every machine takes that for a loss unless its wire said good-bye.
///   Every other end is an error, whose inner one is the [`CloseReason`]: another code, a broken
///   rule, a missing pong. A broken rule is answered with its close.
/// - **Closing** sends the close, once; reading then ends with the peer's close, or behind the wait
///   of [`Farewell`]. It is as slow as the transport is at taking what was written: whoever drives
///   it bounds it (5 s for connections here). Behind the close, what is written goes nowhere.
/// - **Dropping** it drops the transport, without a word.
pub struct Carried<W, S> {
    ws: W,
    carrier: Carrier,
    outbox: Outbox,
    clock: Clock,
    deadline: Deadline<S>,
    wakers: Arc<Wakers>,
    /// What everything is sent with.
    sender: Waker,
    /// A ping or the like was handed over and may not have left.
    unflushed: bool,
    /// What went wrong with sending where nobody could be told.
    failed: Option<io::Error>,
    /// The transport's own error, told behind what came before it.
    broken: Option<io::Error>,
    /// How long a peer that was refused may go on sending.
    linger_until: Option<Instant>,
    /// Small messages of one read.
    small: BytesMut,
    /// The message behind them.
    held: Bytes,
    /// What a reader had no room for.
    rest: Bytes,
}

impl<W: MessageIo, S: Sleep> Carried<W, S> {
    /// Bytes over `ws`, whose handshake is done. The time to the first ping begins now.
    ///
    /// Set [`Config::answers_pings`] to false where the library beneath answers pings itself.
    #[must_use]
    pub fn new(ws: W, config: Config, clock: Clock, sleep: S) -> Self {
        let wakers = Arc::new(Wakers::default());
        let outbox = Outbox::new(config.grouping);
        let mut carrier = Carrier::new(config);
        carrier.handle_timeout(clock.now());
        Self {
            ws,
            carrier,
            outbox,
            clock,
            deadline: Deadline::new(sleep, clock),
            sender: Waker::from(Arc::clone(&wakers)),
            wakers,
            unflushed: false,
            failed: None,
            broken: None,
            linger_until: None,
            small: BytesMut::new(),
            held: Bytes::new(),
            rest: Bytes::new(),
        }
    }

    /// The WebSocket beneath.
    #[must_use]
    pub const fn get_ref(&self) -> &W {
        &self.ws
    }

    /// Reads messages until there are bytes for the machine, or the end.
    fn poll_messages(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        for kept in [&mut self.rest, &mut self.held] {
            if !kept.is_empty() {
                return Poll::Ready(Ok(std::mem::take(kept)));
            }
        }
        for _ in 0..MANY {
            if self.carrier.closed().is_some() {
                self.send_control(cx);
                return self.end();
            }
            let received = match self.ws.poll_next(cx) {
                Poll::Ready(message) => self.take_in(message),
                Poll::Pending if !self.small.is_empty() => break,
                Poll::Pending => match self.wait(cx) {
                    Due::LookAgain | Due::Now => continue,
                    Due::NotYet => return Poll::Pending,
                },
            };
            let Received::Bytes(bytes) = received else { continue };
            if bytes.len() >= SMALL {
                if self.small.is_empty() {
                    return Poll::Ready(Ok(bytes));
                }
                self.held = bytes;
                break;
            }
            if self.small.capacity() - self.small.len() >= bytes.len() {
                self.small.extend_from_slice(&bytes);
                continue;
            }
            let gathered = self.gathered();
            self.small.reserve(SHARED);
            self.small.extend_from_slice(&bytes);
            if !gathered.is_empty() {
                return Poll::Ready(Ok(gathered));
            }
        }
        if !self.small.is_empty() {
            return Poll::Ready(Ok(self.gathered()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn gathered(&mut self) -> Bytes {
        self.small.split().freeze()
    }

    /// Hands what the transport gave to the carrier.
    fn take_in(&mut self, message: Option<io::Result<Message>>) -> Received {
        let now = self.clock.now();
        match message {
            Some(Ok(message)) => self.carrier.handle_message(now, message),
            None => self.carrier.handle_eof(now),
            Some(Err(error)) => {
                let inner = error.get_ref();
                if let Some(rule) = inner.and_then(|inner| inner.downcast_ref::<Violation>()) {
                    return self.carrier.refuse(*rule);
                }
                self.carrier.handle_failure(now, error.raw_os_error());
                self.broken = Some(error);
                Received::Nothing
            }
        }
    }

    /// Nothing is there to be read: acts on what is due and sends it.
    fn wait(&mut self, cx: &mut Context<'_>) -> Due {
        let due = self.deadline.poll(cx, self.carrier.poll_timeout(), false);
        if due == Due::Now {
            self.carrier.handle_timeout(self.clock.now());
        }
        self.send_control(cx);
        due
    }

    /// Sends what the carrier wants to, on a reader's account.
    fn send_control(&mut self, cx: &Context<'_>) {
        if self.failed.is_some() || !self.unflushed && !self.carrier.wants_output() {
            return;
        }
        self.wakers.reader(cx.waker());
        let sent = self.poll_control().map_ok(|()| self.poll_sent());
        if let Poll::Ready(Err(error) | Ok(Poll::Ready(Err(error)))) = sent {
            self.failed = Some(error);
        }
    }

    /// Hands over the pings, pongs and the close that are due.
    fn poll_control(&mut self) -> Poll<io::Result<()>> {
        let mut cx = Context::from_waker(&self.sender);
        while self.carrier.wants_output() {
            ready!(self.ws.poll_ready(&mut cx))?;
            if let Some(message) = self.carrier.poll_control(self.clock.now()) {
                self.unflushed = true;
                self.ws.start_send(message)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Hands over the messages that are complete, or may be. Nothing may follow a close.
    fn poll_data(&mut self) -> Poll<io::Result<()>> {
        if self.carrier.is_closing() {
            self.outbox.clear();
        }
        let mut cx = Context::from_waker(&self.sender);
        while !self.outbox.is_empty() {
            ready!(self.ws.poll_ready(&mut cx))?;
            // A part of a head or a payload waits for its rest.
            let Some(bytes) = self.outbox.flush() else { break };
            self.unflushed = true;
            self.ws.start_send(Message::Binary(bytes))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until everything that was handed over has left.
    fn poll_sent(&mut self) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(self.ws.poll_flush(&mut Context::from_waker(&self.sender)))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The beginning of everything that the writer does: tells what went wrong since, once.
    fn as_writer(&mut self, cx: &Context<'_>) -> io::Result<()> {
        self.wakers.writer(cx.waker());
        self.failed.take().map_or(Ok(()), Err)
    }

    /// How the transport ended, behind what was read before.
    fn end(&mut self) -> Poll<io::Result<Bytes>> {
        if !self.small.is_empty() {
            return Poll::Ready(Ok(self.gathered()));
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Err(error));
        }
        let kind = match self.carrier.closed() {
            None
            | Some(
                CloseReason::Local
                | CloseReason::Eof { .. }
                | CloseReason::Peer { code: 0 | 1000, .. },
            ) => return Poll::Ready(Ok(Bytes::new())),
            Some(CloseReason::Timeout(_)) => io::ErrorKind::TimedOut,
            Some(CloseReason::Violation(_)) => io::ErrorKind::InvalidData,
            Some(_) => io::ErrorKind::ConnectionAborted,
        };
        let reason = self.carrier.closed().cloned().unwrap_or(CloseReason::Local);
        Poll::Ready(Err(io::Error::new(kind, reason)))
    }
}

impl<W: MessageIo, S: Sleep> Io for Carried<W, S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let mut bytes = ready!(self.poll_messages(cx))?;
        let room = buf.capacity() - buf.len();
        if bytes.len() > room {
            self.rest = bytes.split_off(room);
        }
        buf.extend_from_slice(&bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_read_chunk(&mut self, cx: &mut Context<'_>) -> Option<Poll<io::Result<Bytes>>> {
        Some(self.poll_messages(cx))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.as_writer(cx)?;
        ready!(self.poll_control())?;
        if self.carrier.is_closing() {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        ready!(self.poll_data())?;
        ready!(self.ws.poll_ready(&mut Context::from_waker(&self.sender)))?;
        let mut room = MOST;
        for buf in bufs {
            let (front, _) = buf.split_at(room.min(buf.len()));
            self.outbox.push(front);
            room -= front.len();
        }
        // It was taken, whatever becomes of it.
        if let Poll::Ready(Err(error)) = self.poll_data() {
            self.failed = Some(error);
        }
        Poll::Ready(Ok(MOST - room))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.as_writer(cx)?;
        ready!(self.poll_control())?;
        ready!(self.poll_data())?;
        self.poll_sent()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.as_writer(cx)?;
        if !self.carrier.is_closing() {
            ready!(self.poll_data())?;
            self.carrier.close(self.clock.now());
        }
        ready!(self.poll_control())?;
        ready!(self.poll_sent())?;
        match (self.carrier.closed(), self.carrier.config().close) {
            // The original's close never reaches the wire: letting go of the transport is all.
            (_, Farewell::None) | (None, _) => Poll::Ready(Ok(())),
            (Some(CloseReason::Violation(_)), Farewell::Close1000Wait(wait)) => {
                let now = self.clock.now();
                let until = *self.linger_until.get_or_insert(now + wait);
                if now < until && self.ws.poll_discard(cx).is_pending() {
                    return self.deadline.poll_until(cx, until).map(Ok);
                }
                Poll::Ready(Ok(()))
            }
            (Some(_), _) => self.ws.poll_close(&mut Context::from_waker(&self.sender)),
        }
    }
}

impl<W, S> fmt::Debug for Carried<W, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carried").field("closed", &self.carrier.closed()).finish_non_exhaustive()
    }
}
