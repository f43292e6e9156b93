//! An HTTP call through a tunnel, from the end that serves it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, TRANSFER_ENCODING};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use trunkline_core::tunnel::Header;
use trunkline_core::tunnel::http::{
    BodyLen, Callee, CalleeEvent, Config, Dialect, End, Fault, Head, filter_hop_by_hop,
};

use super::heads;
use super::local::LocalService;
use super::network::Network;
use super::splice::Raw;
use super::time::within;
use super::typed::{Shared, end_of, write_all};
use crate::Runtime;

/// How long the rest of a request that was answered may let wait for itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it is read at all.
const LONGEST: Duration = Duration::from_secs(60);

/// One call that is being served: its stream and its machine.
struct Served {
    stream: Shared,
    state: Mutex<State>,
}

struct State {
    callee: Callee,
    /// The answer is out: nobody needs the rest of the request.
    answered: bool,
    /// Whoever passes the request's body on, while it waits for more of it.
    body: Option<Waker>,
    /// Whoever reads the rest of it behind the answer.
    rest: Option<Waker>,
    /// What was wrong with the request behind its head.
    fault: Option<Fault>,
}

impl Served {
    fn new(stream: Shared, callee: Callee) -> Arc<Self> {
        let state = State { callee, answered: false, body: None, rest: None, fault: None };
        Arc::new(Self { stream, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<CalleeEvent> {
        loop {
            if let Some(event) = self.lock().callee.poll_event() {
                return Poll::Ready(event);
            }
            let read = ready!(self.stream.poll_chunk(cx));
            let callee = &mut self.lock().callee;
            match read {
                Ok(Some(bytes)) => callee.handle_bytes(bytes),
                Ok(None) => callee.handle_end(End::Finished),
                Err(error) => callee.handle_end(end_of(&error)),
            }
        }
    }

    /// Whoever passes the request's body on stops.
    fn give_up_body(&self) {
        let mut state = self.lock();
        state.answered = true;
        let body = state.body.take();
        drop(state);
        if let Some(body) = body {
            body.wake();
        }
    }

    /// The answer is out. Reads what still comes of the request, and drops it: a stream that is let
    /// go with bytes unread is reset, and the answer with it (hazard 2).
    async fn linger<R: Runtime>(&self) {
        self.give_up_body();
        let rest = async {
            while !self.lock().callee.is_request_over() {
                let next = poll_fn(|cx| {
                    self.lock().rest = Some(cx.waker().clone());
                    self.poll_event(cx)
                });
                if within::<R, _>(PATIENCE, next).await.is_none() {
                    return;
                }
            }
        };
        let _ = within::<R, _>(LONGEST, rest).await;
    }

    /// Answers a fault in the reference's words, or breaks the stream off.
    async fn answer<R: Runtime>(&self, fault: &Fault) {
        let answer = self.lock().callee.answer(fault);
        match answer {
            Some((head, text)) => {
                if write_all(&self.stream, head).await.is_ok()
                    && write_all(&self.stream, text).await.is_ok()
                {
                    self.stream.finish();
                    self.linger::<R>().await;
                    // What comes behind a head that was refused is no request, and ends with the
                    // other end's patience or this one's.
                    let rest =
                        async { while let Ok(Some(_)) = super::typed::read(&self.stream).await {} };
                    let _ = within::<R, _>(PATIENCE, rest).await;
                }
            }
            None => self.stream.reset(),
        }
    }
}

/// The body of a request, as it comes through a tunnel.
pub(super) struct RequestBody {
    served: Option<Arc<Served>>,
    length: Option<u64>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(served) = &self.served else { return Poll::Ready(None) };
        {
            let mut state = served.lock();
            if state.answered {
                drop(state);
                self.served = None;
                let text = "the answer was over before the request";
                return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::BrokenPipe, text))));
            }
            if !state.body.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.body = Some(cx.waker().clone());
            }
        }
        loop {
            let Poll::Ready(event) = served.poll_event(cx) else {
                let mut state = served.lock();
                // Between the look above and this read the answer may have gone out: whoever reads
                // the rest has lost its place as the stream's reader to this one.
                if state.answered
                    && let Some(rest) = state.rest.take()
                {
                    drop(state);
                    rest.wake();
                }
                return Poll::Pending;
            };
            match event {
                CalleeEvent::Body(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                CalleeEvent::BodyEnd => {
                    self.served = None;
                    return Poll::Ready(None);
                }
                CalleeEvent::Failed(fault) => {
                    served.lock().fault = Some(fault.clone());
                    self.served = None;
                    return Poll::Ready(Some(Err(io::Error::other(fault))));
                }
                _ => {}
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }

    fn is_end_stream(&self) -> bool {
        self.served.is_none()
    }
}

/// Serves one call: reads its head, asks the local service, and passes its answer on.
pub(super) async fn serve<R: Network>(
    stream: Shared,
    header: &Header,
    rest: Bytes,
    dialect: Dialect,
    config: Config,
    service: Option<&LocalService<R>>,
    keep_host: bool,
) {
    let mut callee = Callee::with_header(dialect, header, config);
    callee.handle_bytes(rest);
    let served = Served::new(stream, callee);
    let head = loop {
        match poll_fn(|cx| served.poll_event(cx)).await {
            CalleeEvent::Head(head) => break head,
            CalleeEvent::Failed(fault) => return served.answer::<R>(&fault).await,
            _ => {}
        }
    };
    let Some(service) = service else {
        let fault = Fault::Target("this agent has none".to_owned());
        return served.answer::<R>(&fault).await;
    };
    let outcome = forward(&served, head, service, keep_host).await;
    match outcome {
        Ok(()) => served.linger::<R>().await,
        Err(Stop::Answer(fault)) => served.answer::<R>(&fault).await,
        // Its head is out: what follows can only be broken off.
        Err(Stop::Break) => served.stream.reset(),
    }
}

/// Why a call could not be served to its end.
enum Stop {
    Answer(Fault),
    Break,
}

async fn forward<R: Network>(
    served: &Arc<Served>,
    head: Head,
    service: &LocalService<R>,
    keep_host: bool,
) -> Result<(), Stop> {
    let address = service.address(&head.path).ok_or(Stop::Answer(Fault::Path))?;
    let upgrade = head.is_upgrade();
    let mut headers = head.headers;
    filter_hop_by_hop(&mut headers, upgrade);
    let mut headers = heads::map(headers);
    if (!keep_host || !headers.contains_key(HOST))
        && let Ok(host) = HeaderValue::from_str(service.authority())
    {
        headers.insert(HOST, host);
    }
    let (has_body, length) = match head.body {
        BodyLen::None => (false, Some(0)),
        BodyLen::Exact(length) => (true, Some(length)),
        BodyLen::Unknown => (!upgrade, None),
    };
    if has_body && length.is_none() {
        // Without it hyper sends no body with a GET.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let body = RequestBody { served: has_body.then(|| Arc::clone(served)), length };
    let mut request = http::Request::new(body);
    *request.method_mut() = http::Method::from_bytes(head.method.as_bytes())
        .map_err(|_| Stop::Answer(Fault::Method))?;
    *request.uri_mut() = address;
    *request.headers_mut() = headers;
    let called = service.call(request);
    let gone = served.stream.closed();
    let mut response = match first_of(called, gone).await {
        Some(Ok(response)) => response,
        Some(Err(error)) => {
            // What was wrong with the request counts before what the service makes of it.
            let fault = served.lock().fault.take();
            return Err(Stop::Answer(fault.unwrap_or_else(|| Fault::Target(chain(&error)))));
        }
        // Nobody waits for the answer any more.
        None => return Err(Stop::Break),
    };
    let upgraded = (response.status() == http::StatusCode::SWITCHING_PROTOCOLS)
        .then(|| hyper::upgrade::on(&mut response));
    let out = served.lock().callee.respond(&heads::response(&response));
    let out = out.map_err(|misuse| Stop::Answer(Fault::Target(misuse.to_string())))?;
    write_all(&served.stream, out).await.map_err(|_| Stop::Break)?;
    match upgraded {
        Some(upgraded) => {
            let socket = upgraded.await.map_err(|_| Stop::Break)?;
            let mut first = Vec::new();
            while let Some(event) = served.lock().callee.poll_event() {
                if let CalleeEvent::Body(bytes) = event {
                    first.push(bytes);
                }
            }
            let raw = Raw::new(Arc::clone(&served.stream), first);
            raw.join_socket(socket).await.map_err(|_| Stop::Break)
        }
        None => send(&served.stream, response.into_body()).await,
    }
}

/// Passes a body on as it comes, and its end as what it is.
async fn send(stream: &Shared, mut body: Incoming) -> Result<(), Stop> {
    // A body that never ends must not outlive whoever wanted it.
    let mut gone = std::pin::pin!(stream.closed());
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        match first_of(frame, gone.as_mut()).await {
            Some(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    write_all(stream, data).await.map_err(|_| Stop::Break)?;
                }
            }
            Some(None) => {
                stream.finish();
                return Ok(());
            }
            Some(Some(Err(_))) | None => return Err(Stop::Break),
        }
    }
}

/// What the first gives, or `None` when the second is ready before it.
async fn first_of<T>(
    first: impl Future<Output = T>,
    second: impl Future<Output = trunkline_core::mux::StreamEnd>,
) -> Option<T> {
    let mut first = std::pin::pin!(first);
    let mut second = std::pin::pin!(second);
    poll_fn(move |cx| {
        if let Poll::Ready(done) = first.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        second.as_mut().poll(cx).map(|_| None)
    })
    .await
}

/// An error and what is behind it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}
