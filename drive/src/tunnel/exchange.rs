//! An HTTP call through a tunnel, from the end that makes it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use trunkline_core::tunnel::http::{Caller, CallerEvent, End, Fault, ResponseHead};

use super::error::TunnelError;
use super::typed::{Shared, end_of};

/// One exchange: its stream and its machine, shared by the body that goes up and the one that
/// comes down.
pub(super) struct Exchange {
    stream: Shared,
    state: Mutex<State>,
}

struct State {
    caller: Caller,
    /// The answer is over, or nobody wants it: nothing more goes up.
    stopped: bool,
    /// All of the request is on its way.
    sent: bool,
    /// Whoever sends the body, while it waits for more of it.
    sender: Option<Waker>,
    /// Why the request's body ended early.
    body_error: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Exchange {
    pub(super) fn new(stream: Shared, caller: Caller) -> Arc<Self> {
        let state = State { caller, stopped: false, sent: false, sender: None, body_error: None };
        Arc::new(Self { stream, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all of the answer was told, but for its end.
    pub(super) fn is_whole(&self) -> bool {
        self.lock().caller.is_whole()
    }

    /// Whether a head of an answer has begun and is not there yet.
    pub(super) fn has_begun(&self) -> bool {
        self.lock().caller.has_begun()
    }

    /// Whether all of the request was sent.
    fn is_sent(&self) -> bool {
        self.lock().sent
    }

    /// Nothing more of the request is wanted.
    fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        let sender = state.sender.take();
        drop(state);
        if let Some(sender) = sender {
            sender.wake();
        }
    }

    /// The request has no body, or it is over.
    pub(super) fn finish(&self) -> Result<(), TunnelError> {
        let half_close = {
            let mut state = self.lock();
            let half_close = state.caller.finish().map_err(TunnelError::Refused)?;
            state.sent = true;
            half_close
        };
        if half_close {
            self.stream.finish();
        }
        Ok(())
    }

    /// The next thing of the answer.
    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<CallerEvent> {
        loop {
            let event = self.lock().caller.poll_event();
            match event {
                Some(CallerEvent::StopUpload) => self.stop(),
                Some(event) => return Poll::Ready(event),
                None => {
                    let read = ready!(self.stream.poll_chunk(cx));
                    self.take(read);
                }
            }
        }
    }

    fn take(&self, read: std::io::Result<Option<Bytes>>) {
        let mut state = self.lock();
        match read {
            Ok(Some(bytes)) => state.caller.handle_bytes(bytes),
            Ok(None) => state.caller.handle_end(End::Finished),
            Err(error) => {
                // What came before a reset was sent, and may be the whole answer.
                while let Some(bytes) = self.stream.take_rest() {
                    state.caller.handle_bytes(bytes);
                }
                state.caller.handle_end(end_of(&error));
            }
        }
    }

    /// The head of the answer.
    pub(super) fn poll_head(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, TunnelError>> {
        loop {
            match ready!(self.poll_event(cx)) {
                CallerEvent::Head(head) => return Poll::Ready(Ok(head)),
                CallerEvent::Failed(fault) => return Poll::Ready(Err(self.failed(fault))),
                CallerEvent::End => return Poll::Ready(Err(TunnelError::Failed(Fault::Lost))),
                _ => {}
            }
        }
    }

    /// The failure, or that of the request's body when that came first.
    fn failed(&self, fault: Fault) -> TunnelError {
        self.stop();
        self.stream.reset();
        match self.lock().body_error.take() {
            Some(error) => TunnelError::Body(error),
            None => TunnelError::Failed(fault),
        }
    }

    pub(super) fn stream(&self) -> &Shared {
        &self.stream
    }
}

/// Sends a request's body.
pub(super) struct Sender<B> {
    exchange: Arc<Exchange>,
    body: Pin<Box<B>>,
    pending: Bytes,
}

impl<B: Body<Data = Bytes>> Sender<B>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn new(exchange: Arc<Exchange>, body: B) -> Self {
        Self { exchange, body: Box::pin(body), pending: Bytes::new() }
    }

    /// Ready when nothing more of the body goes up, for whatever reason.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            {
                let mut state = self.exchange.lock();
                if state.stopped {
                    return Poll::Ready(());
                }
                if !state.sender.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    state.sender = Some(cx.waker().clone());
                }
            }
            if !self.pending.is_empty() {
                // Of a failure the reading direction tells, with what came before it.
                if ready!(self.exchange.stream.poll_put(cx, &mut self.pending)).is_err() {
                    return Poll::Ready(());
                }
                continue;
            }
            match ready!(self.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if let Err(misuse) = self.exchange.lock().caller.body(data.len()) {
                        self.give_up(misuse.into());
                        return Poll::Ready(());
                    }
                    self.pending = data;
                }
                Some(Err(error)) => {
                    self.give_up(error.into());
                    return Poll::Ready(());
                }
                None => {
                    if let Err(error) = self.exchange.finish() {
                        self.give_up(error.into());
                    }
                    return Poll::Ready(());
                }
            }
        }
    }

    /// The request cannot be finished: whoever waits for the answer learns why.
    fn give_up(&self, error: Box<dyn std::error::Error + Send + Sync>) {
        let mut state = self.exchange.lock();
        state.body_error = Some(error);
        state.stopped = true;
        drop(state);
        self.exchange.stream.reset();
    }
}

/// The body of an answer, as it comes through a tunnel.
///
/// It ends only where the other end said so, and no shorter than its `Content-Length`; a cut is an
/// error. Dropping it before its end resets the stream, so that the other end stops sending
/// (`docs/protocols/agent-tunnel.md`, hazards 1 and 3).
pub struct TunnelBody {
    exchange: Option<Arc<Exchange>>,
    length: Option<u64>,
}

impl TunnelBody {
    pub(super) const fn new(exchange: Arc<Exchange>, length: Option<u64>) -> Self {
        Self { exchange: Some(exchange), length }
    }

    /// The stream and what has already come of it, once the answer was 101: from then on both
    /// directions are the new protocol's bytes.
    #[must_use]
    pub fn into_upgraded(mut self) -> Option<super::Raw> {
        let exchange = self.exchange.take()?;
        let mut first = Vec::new();
        let mut state = exchange.lock();
        while let Some(event) = state.caller.poll_event() {
            if let CallerEvent::Body(bytes) = event {
                first.push(bytes);
            }
        }
        drop(state);
        Some(super::Raw::new(Arc::clone(exchange.stream()), first))
    }
}

impl Body for TunnelBody {
    type Data = Bytes;
    type Error = TunnelError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TunnelError>>> {
        let Some(exchange) = &self.exchange else { return Poll::Ready(None) };
        let event = loop {
            match ready!(exchange.poll_event(cx)) {
                CallerEvent::Body(bytes) => {
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                CallerEvent::End => break None,
                CallerEvent::Failed(fault) => break Some(Err(exchange.failed(fault))),
                _ => {}
            }
        };
        exchange.stop();
        // Lets go of the stream: whoever still sends the request's body stops.
        self.exchange = None;
        Poll::Ready(event)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }

    fn is_end_stream(&self) -> bool {
        self.exchange.as_ref().is_none_or(|exchange| exchange.is_whole())
    }
}

impl Drop for TunnelBody {
    fn drop(&mut self) {
        let Some(exchange) = self.exchange.take() else { return };
        // Who knows its length stops reading there, and nothing is wrong then.
        let done = exchange.is_whole() && exchange.is_sent();
        exchange.stop();
        if done {
            exchange.stream.finish();
        } else {
            exchange.stream.reset();
        }
    }
}

impl std::fmt::Debug for TunnelBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TunnelBody")
            .field("length", &self.length)
            .field("over", &self.exchange.is_none())
            .finish_non_exhaustive()
    }
}
