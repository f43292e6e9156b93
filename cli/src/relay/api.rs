//! What the page and programs ask: the agents, now and as they change.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;

use super::Relay;
use super::agents::Shown;
use super::body::{Answer, Body, whole};
use super::gate::Pass;

/// How often it is looked whether anything has changed.
const TICK: Duration = Duration::from_secs(1);

/// After how many quiet ticks a comment shows proxies in between that the line lives.
const QUIET_TICKS: u32 = 15;

#[derive(Serialize)]
struct List<'a> {
    relay: About<'a>,
    agents: Vec<Shown>,
}

#[derive(Serialize)]
struct About<'a> {
    version: &'static str,
    name: &'a str,
    started_ms: u64,
    /// What the agents' own host names end with.
    domain: Option<&'a str>,
}

/// The agents of this relay, and of all others of its store, as JSON in one line.
async fn list(relay: &Relay) -> String {
    let mut agents: Vec<Shown> =
        relay.agents.list().iter().map(|agent| agent.show(&relay.name)).collect();
    agents.extend(relay.elsewhere().await);
    let about = About {
        version: env!("CARGO_PKG_VERSION"),
        name: &relay.name,
        started_ms: relay.started,
        domain: relay.options.domain.as_deref(),
    };
    // Nothing in it can fail to become JSON.
    serde_json::to_string(&List { relay: about, agents }).unwrap_or_default()
}

/// `GET /-/api/agents`.
pub(super) async fn agents(relay: &Relay) -> Answer {
    whole(StatusCode::OK, "application/json", list(relay).await)
}

/// `GET /-/api/events`: the same, at once and whenever it has changed, for as long as
/// what let the reader in holds.
pub(super) fn events(relay: &Arc<Relay>, pass: Pass) -> Answer {
    let (events, body) = mpsc::channel(1);
    let relay = Arc::clone(relay);
    tokio::spawn(async move {
        let mut ending = relay.ending.subscribe();
        let (mut last, mut quiet) = (String::new(), 0);
        while relay.gate.holds(&pass) {
            let now = list(&relay).await;
            let event = if now == last {
                quiet += 1;
                if quiet < QUIET_TICKS { None } else { Some(Bytes::from_static(b":\n\n")) }
            } else {
                Some(Bytes::from(format!("event: agents\ndata: {now}\n\n")))
            };
            last = now;
            if let Some(event) = event {
                quiet = 0;
                // Whoever does not read gets the newest when it does; who is gone ends this.
                tokio::select! {
                    sent = events.send(event) => if sent.is_err() { return },
                    () = relay.let_go_of(&pass) => return,
                    _ = ending.wait_for(|ends| *ends) => return,
                }
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = events.closed() => return,
                _ = ending.wait_for(|ends| *ends) => return,
            }
        }
    });
    let mut answer = Response::new(Body::Events(body));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would keep events until a buffer of its own is full.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    answer
}
