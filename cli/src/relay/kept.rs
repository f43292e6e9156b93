//! Bodies that are kept until their length is known: an original's agent needs it first.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::body::{Answer, text};

/// A request's body: as it comes, or as it was kept.
pub(super) enum MaybeBody {
    /// As it comes.
    Incoming(Incoming),
    /// All of it.
    Kept(Bytes),
}

/// The request with a body of known length; one that is longer than this many bytes is refused.
pub(super) async fn keep(
    request: Request<MaybeBody>,
    most: i64,
) -> Result<Request<MaybeBody>, Answer> {
    let (parts, body) = request.into_parts();
    let mut body = match body {
        MaybeBody::Incoming(body) if body.size_hint().exact().is_none() => body,
        body => return Ok(Request::from_parts(parts, body)),
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let unreadable = |_| text(StatusCode::INTERNAL_SERVER_ERROR, "failed to read request body");
        let Ok(data) = frame.map_err(unreadable)?.into_data() else { continue };
        if data.len() > most.saturating_sub(kept.len()) {
            let line = format!(
                "this agent needs a body's length first, and one that has none is kept up to {most} bytes"
            );
            return Err(text(StatusCode::LENGTH_REQUIRED, line));
        }
        kept.extend_from_slice(&data);
    }
    Ok(Request::from_parts(parts, MaybeBody::Kept(kept.freeze())))
}

impl Body for MaybeBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Incoming(body) => Pin::new(body).poll_frame(cx),
            Self::Kept(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Kept(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Incoming(body) => body.is_end_stream(),
            Self::Kept(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Incoming(body) => body.size_hint(),
            Self::Kept(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}
