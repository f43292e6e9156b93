//! WebSockets that are made of requests.

use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::body::{Answer, empty, text};

/// The stream below a WebSocket, once it is one.
pub(super) type Io = TokioIo<Upgraded>;

/// The stream below, as the WebSocket library takes it.
pub(super) fn io(upgraded: Upgraded) -> Io {
    TokioIo::new(upgraded)
}

/// Whether the request asks for a WebSocket.
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    has_token(headers, CONNECTION, "upgrade") && has_token(headers, UPGRADE, "websocket")
}

fn has_token(headers: &HeaderMap, name: http::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|each| each.trim().eq_ignore_ascii_case(token)))
}

/// The answer that makes the request a WebSocket, and the stream below it, which is there once the
/// answer has left.
pub(super) fn accept(request: &mut Request<Incoming>) -> Result<(Answer, OnUpgrade), Answer> {
    let headers = request.headers();
    if request.method() != Method::GET || !wanted(headers) {
        let mut answer = text(StatusCode::UPGRADE_REQUIRED, "this address is for WebSockets");
        answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        return Err(answer);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut answer = text(StatusCode::BAD_REQUEST, "WebSocket version 13 is the one there is");
        answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(answer);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let Some(key) = key else {
        return Err(text(StatusCode::BAD_REQUEST, "the WebSocket key is missing"));
    };
    let accepted = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| text(StatusCode::BAD_REQUEST, "the WebSocket key is none"))?;
    let mut answer = empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    Ok((answer, hyper::upgrade::on(request)))
}
