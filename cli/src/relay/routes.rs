//! Which address is answered by what.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{ACCEPT, CACHE_CONTROL, ETAG, HOST, HeaderMap, HeaderValue, LOCATION};
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use super::body::{Answer, empty, text};
use super::proxy::Place;
use super::{Relay, api, console, files, joins, opens, proxy};

/// Answers one request.
pub(super) async fn answer(
    relay: &Arc<Relay>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Answer {
    let path = request.uri().path().to_owned();
    // Behind a trusted proxy everybody has the proxy's address, which tells nothing; the port of the
    // true one is not known.
    let peer = match relay.asker(request.headers(), peer) {
        address if address == peer.ip() => peer,
        address => SocketAddr::new(address, 0),
    };
    // An agent's own host name has all paths but the relay's login.
    if let Some(id) = by_host(relay, &request) {
        let place = Place { id: relay.meant(id).await, prefix: String::new() };
        return outside(relay, place, request, peer).await;
    }
    if let Some(id) = path.strip_prefix("/api/tunnel/") {
        let id = id.to_owned();
        return joins::join(relay, &id, request, peer);
    }
    if path == "/" || path.starts_with("/-/") {
        return own(relay, &path, request, peer).await;
    }
    let id = path.split('/').nth(1).unwrap_or_default();
    if !joins::is_id(id) {
        return text(StatusCode::NOT_FOUND, "there is nothing here");
    }
    // A page at a path would share the relay's own origin, which host names are there to prevent.
    if let Some(domain) = &relay.options.domain {
        return to_host(relay, id, domain, &request);
    }
    let place = Place { id: id.to_owned(), prefix: format!("/{id}") };
    outside(relay, place, request, peer).await
}

/// To the agent's own host name, the port and all below the prefix as they were.
fn to_host(relay: &Relay, id: &str, domain: &str, request: &Request<Incoming>) -> Answer {
    if !joins::is_label(id) {
        return text(StatusCode::NOT_FOUND, "this name can be no host name, so nothing is there");
    }
    let port = host(request).and_then(|host| host.rsplit_once(':')).map_or("", |(_, port)| port);
    let port = if port.bytes().all(|byte| byte.is_ascii_digit()) { port } else { "" };
    let colon = if port.is_empty() { "" } else { ":" };
    let scheme = if relay.gate.is_secure(request.headers()) { "https" } else { "http" };
    let below = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
    let below = below.strip_prefix('/').and_then(|path| path.strip_prefix(id)).unwrap_or_default();
    let slash = if below.starts_with('/') { "" } else { "/" };
    let mut answer = empty(StatusCode::PERMANENT_REDIRECT);
    let at = format!("{scheme}://{id}.{domain}{colon}{port}{slash}{below}");
    if let Ok(at) = HeaderValue::from_str(&at) {
        answer.headers_mut().insert(LOCATION, at);
    }
    answer
}

/// A call from outside to an agent's local service.
async fn outside(
    relay: &Arc<Relay>,
    place: Place,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Answer {
    if let Err(refused) = relay.admit(&request, false, peer) {
        return with_form(refused, &place, &request);
    }
    proxy::call(relay, place, request, peer).await
}

/// A refusal as a person needs it: a browser that opens a page gets the form to log in, which comes
/// back to this address. At an agent's own host name the form's files are not to be had.
fn with_form(refused: Answer, place: &Place, request: &Request<Incoming>) -> Answer {
    let wanted = request.headers().get(ACCEPT).and_then(|types| types.to_str().ok());
    let is_page = request.method() == Method::GET
        && !place.prefix.is_empty()
        && wanted.is_some_and(|types| types.contains("text/html"));
    if refused.status() != StatusCode::UNAUTHORIZED || !is_page {
        return refused;
    }
    let mut form = files::answer("/", &HeaderMap::new());
    *form.status_mut() = StatusCode::UNAUTHORIZED;
    form.headers_mut().remove(ETAG);
    form.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    form
}

/// The relay's own addresses.
async fn own(
    relay: &Arc<Relay>,
    path: &str,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Answer {
    let get = matches!(*request.method(), Method::GET | Method::HEAD);
    let (area, rest) = match path.strip_prefix("/-/") {
        None => ("page", ""),
        Some(below) => below.split_once('/').unwrap_or((below, "")),
    };
    match (area, rest) {
        ("page" | "assets", _) if get => files::answer(path, request.headers()),
        ("login", "") if request.method() == Method::POST => relay.login(request, peer).await,
        ("logout", "") if request.method() == Method::POST => relay.logout(&request, peer),
        ("open", id) => opens::open(relay, id, request, peer).await,
        _ => {
            let pass = match relay.admit(&request, true, peer) {
                Ok(pass) => pass,
                Err(refused) => return refused,
            };
            match (area, rest) {
                ("api", "agents") if get => api::agents(relay).await,
                ("api", "events") if get => api::events(relay, pass),
                ("terminal", id) => console::open(relay, id, request, peer, pass).await,
                _ => text(StatusCode::NOT_FOUND, "there is nothing here"),
            }
        }
    }
}

/// The agent whose host name the request names.
fn by_host(relay: &Relay, request: &Request<Incoming>) -> Option<String> {
    let domain = relay.options.domain.as_deref()?;
    let host = host(request)?;
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase();
    let id = host.strip_suffix(&domain.to_ascii_lowercase())?.strip_suffix('.')?;
    joins::is_id(id).then(|| id.to_owned())
}

/// The host that the request is for, as it says.
fn host(request: &Request<Incoming>) -> Option<&str> {
    match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers().get(HOST)?.to_str().ok(),
    }
}
