//! What the relay answers with.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;
use trunkline_tokio::tunnel::{TunnelBody, TunnelError};

/// The body of an answer.
pub(super) enum Body {
    /// All of it, at once.
    Whole(Bytes),
    /// As it comes through a tunnel.
    Tunnel(TunnelBody),
    /// Server-sent events, until whoever makes them stops.
    Events(mpsc::Receiver<Bytes>),
}

/// An answer of the relay.
pub(super) type Answer = Response<Body>;

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = TunnelError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TunnelError>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Tunnel(body) => Pin::new(body).poll_frame(cx),
            Self::Events(events) => {
                events.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Tunnel(body) => body.is_end_stream(),
            Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Tunnel(body) => body.size_hint(),
            Self::Events(_) => SizeHint::new(),
        }
    }
}

/// One line of text, with this status.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut line = text.into();
    line.push('\n');
    whole(status, "text/plain; charset=utf-8", line)
}

/// An answer that is there as a whole, and is not to be kept by anybody.
pub(super) fn whole(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Answer {
    let mut answer = Response::new(Body::Whole(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::Whole(Bytes::new()));
    *answer.status_mut() = status;
    answer
}
