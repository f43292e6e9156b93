//! HTTP calls from outside, carried to an agent's local service.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use trunkline_tokio::tunnel::{Dialect, Misuse, TunnelBody, TunnelError};

use super::body::{Answer, Body, empty, text};
use super::kept::{MaybeBody, keep};
use super::{Relay, upgrade};

/// Times a call is begun before it is given up: agents that come back replace their tunnel.
const TRIES: usize = 3;

/// Where a call goes: an agent, and how its local service is named to the world.
pub(super) struct Place {
    pub(super) id: String,
    /// What of the path belongs to the relay: `/box1`, or nothing for a host name of the agent's own.
    pub(super) prefix: String,
}

/// Carries one call, and gives the answer as soon as its head is there.
pub(super) async fn call(
    relay: &Arc<Relay>,
    place: Place,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Answer {
    if !place.prefix.is_empty() && request.uri().path() == place.prefix {
        return with_slash(&place.prefix, request.uri());
    }
    if smuggles(request.headers()) {
        return text(StatusCode::BAD_REQUEST, "a request cannot have two lengths");
    }
    if let Err(answer) = rewrite(relay, &place, &mut request, peer) {
        return answer;
    }
    let upgrade = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    match exchange(relay, &place.id, request).await {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            switch(upgrade, response)
        }
        Ok(response) => response.map(Body::Tunnel),
        Err(answer) => answer,
    }
}

/// Sends it through the agent's tunnel. While nothing of it was sent it is tried again, on whichever
/// tunnel the agent has by then; a request that may be repeated is also sent a second time when its
/// tunnel was lost before the answer.
async fn exchange(
    relay: &Arc<Relay>,
    id: &str,
    request: Request<Incoming>,
) -> Result<http::Response<TunnelBody>, Answer> {
    let (parts, body) = request.into_parts();
    let repeatable = body.is_end_stream()
        && matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS)
        && !parts.headers.contains_key(UPGRADE);
    let again = repeatable.then(|| parts.clone());
    let mut whole = Some(Request::from_parts(parts, MaybeBody::Incoming(body)));
    let mut last = None;
    for _ in 0..TRIES {
        let Some(way) = relay.way(id).await? else { break };
        let call = match way.tunnel().begin().await {
            Ok(call) => call,
            Err(error) => {
                last = Some((way, error));
                continue;
            }
        };
        let Some(mut request) = whole.take() else { break };
        if way.tunnel().dialect() == Dialect::Original {
            // A WebSocket cannot do without. Whoever offers another protocol can do with this one,
            // and so can whoever sends a body along: the tunnel drops the offer.
            if upgrade::wanted(request.headers()) && request.body().is_end_stream() {
                drop(call);
                return Err(refused(&TunnelError::Refused(Misuse::Upgrade)));
            }
            request = keep(request, relay.options.keep_body).await?;
        }
        match call.send(request).await {
            Ok(response) => return Ok(response),
            Err(error) => {
                if error.is_lost()
                    && let Some(parts) = &again
                {
                    whole = Some(Request::from_parts(parts.clone(), MaybeBody::Kept(Bytes::new())));
                }
                let lost = error.is_lost();
                last = Some((way, error));
                if !lost {
                    break;
                }
            }
        }
    }
    Err(match last {
        Some((way, error)) => {
            way.failed(error.to_string());
            refused(&error)
        }
        None => text(StatusCode::NOT_FOUND, format!("no agent named {id:?} has joined")),
    })
}

/// The answer to a call that failed: as the reference's proxy has it, with the reason behind it.
fn refused(error: &TunnelError) -> Answer {
    match error {
        TunnelError::Body(_) => text(StatusCode::BAD_REQUEST, "failed to read request body"),
        TunnelError::Refused(Misuse::Upgrade) => {
            text(StatusCode::NOT_IMPLEMENTED, "this agent cannot switch protocols")
        }
        TunnelError::Refused(misuse) => text(StatusCode::BAD_REQUEST, misuse.to_string()),
        TunnelError::NoAnswer => {
            text(StatusCode::GATEWAY_TIMEOUT, "tunnel proxy error: no answer in time")
        }
        error => text(StatusCode::BAD_GATEWAY, format!("tunnel proxy error: {error}")),
    }
}

/// Joins the two sides of a connection that goes on in another protocol.
fn switch(
    upgrade: Option<hyper::upgrade::OnUpgrade>,
    response: http::Response<TunnelBody>,
) -> Answer {
    let (parts, body) = response.into_parts();
    let (Some(upgrade), Some(raw)) = (upgrade, body.into_upgraded()) else {
        return text(StatusCode::BAD_GATEWAY, "tunnel proxy error: an upgrade nobody asked for");
    };
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let _ = raw.join_socket(upgraded).await;
            }
            Err(_) => raw.reset(),
        }
    });
    http::Response::from_parts(parts, Body::Whole(Bytes::new()))
}

/// What the agent's local service is shown: the path below the prefix, who asked, and none of the
/// relay's own secrets.
fn rewrite(
    relay: &Relay,
    place: &Place,
    request: &mut Request<Incoming>,
    peer: SocketAddr,
) -> Result<(), Answer> {
    let below = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let below = below.strip_prefix(place.prefix.as_str()).unwrap_or(below);
    let below = if below.starts_with('/') { below.to_owned() } else { format!("/{below}") };
    let uri: Uri = below
        .parse()
        .map_err(|_| text(StatusCode::BAD_REQUEST, "the request's path cannot be carried"))?;
    let host = request
        .headers()
        .get(HOST)
        .cloned()
        .or_else(|| HeaderValue::from_str(request.uri().authority()?.as_str()).ok());
    *request.uri_mut() = uri;
    let trusted = relay.options.trust_forwarded;
    let headers = request.headers_mut();
    headers.remove("expect");
    relay.hide(headers);
    drop_named(headers);
    let mut put = |name: &'static str, value: Option<HeaderValue>| {
        let name = HeaderName::from_static(name);
        match value {
            Some(value) => headers.insert(name, value),
            None => headers.remove(name),
        };
    };
    put(
        "x-forwarded-prefix",
        HeaderValue::from_str(&place.prefix).ok().filter(|value| !value.is_empty()),
    );
    if !trusted {
        put("x-forwarded-for", HeaderValue::from_str(&peer.ip().to_string()).ok());
        put("x-forwarded-host", host);
        put("x-forwarded-proto", Some(HeaderValue::from_static(relay.scheme())));
        put("forwarded", None);
    }
    Ok(())
}

/// To where relative links are right.
fn with_slash(prefix: &str, uri: &Uri) -> Answer {
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let mut answer = empty(StatusCode::PERMANENT_REDIRECT);
    if let Ok(location) = HeaderValue::from_str(&format!("{prefix}/{query}")) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

/// Whether the request says its length in two ways; who reads the one must not meet who reads the
/// other.
fn smuggles(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH)
        || headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some()
}

/// Drops the headers that `Connection` names: said by a client, it must not take away what the relay
/// says.
fn drop_named(headers: &mut HeaderMap) {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> =
        values.flat_map(|value| value.split(',')).map(|name| name.trim().to_owned()).collect();
    let upgrades = named.iter().any(|name| name.eq_ignore_ascii_case("upgrade"));
    for name in named.iter().filter(|name| !name.eq_ignore_ascii_case("upgrade")) {
        headers.remove(name.as_str());
    }
    headers.remove(CONNECTION);
    if upgrades {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
}
