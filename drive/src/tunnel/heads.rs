//! Heads of HTTP messages, between the machines and the `http` crate.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use trunkline_core::tunnel::http::{BodyLen, Dialect, Head, ResponseHead, filter_hop_by_hop};

/// Whether the message asks to go on in another protocol.
pub(super) fn upgrades(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
        && headers.get_all(CONNECTION).iter().any(|value| {
            value.to_str().is_ok_and(|value| {
                value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
            })
        })
}

fn list(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    let each = headers.iter();
    each.map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())))
        .collect()
}

/// A request's head as it goes into a tunnel; without `upgrade` it no longer asks for another
/// protocol.
pub(super) fn request(
    parts: &http::request::Parts,
    body: BodyLen,
    dialect: Dialect,
    upgrade: bool,
) -> Head {
    let mut headers = list(&parts.headers);
    filter_hop_by_hop(&mut headers, upgrade);
    if dialect == Dialect::Original {
        // The original's servers keep it elsewhere; its agents would send it on.
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(HOST.as_str()));
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    Head { method: parts.method.as_str().to_owned(), path: path.to_owned(), headers, body }
}

/// Headers of a machine, as far as they are such; the machine has refused all others before.
pub(super) fn map(headers: Vec<(String, Bytes)>) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_maybe_shared(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    map
}

/// An answer as a response, with the body that the function makes for its length.
pub(super) fn answer<B>(
    mut head: ResponseHead,
    body: impl FnOnce(Option<u64>) -> B,
) -> http::Response<B> {
    let switched = head.status == StatusCode::SWITCHING_PROTOCOLS.as_u16();
    filter_hop_by_hop(&mut head.headers, switched);
    let headers = map(head.headers);
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut response = http::Response::new(body(length.filter(|_| !switched)));
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = headers;
    response
}

/// A local service's answer as it goes into a tunnel.
pub(super) fn response<B>(response: &http::Response<B>) -> ResponseHead {
    let mut headers = list(response.headers());
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    filter_hop_by_hop(&mut headers, switched);
    ResponseHead { status: response.status().as_u16(), headers }
}
