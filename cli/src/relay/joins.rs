//! Agents that join.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use trunkline_tokio::tunnel::{
    DIALECT_HEADER, DIALECT_VERSION, Dialect, Tunnel, TunnelOptions, collect_control,
};
use trunkline_tokio::{
    Connection, Side, WebSocketLimits, accept_upgraded, carrier, websocket_over, yamux,
};

use super::agents::Agent;
use super::body::{Answer, text};
use super::tokens::Proof;
use super::{Relay, upgrade};
use crate::tunnel::reach::multiplexer;

/// Whether this can be an agent's name: it becomes part of paths and host names.
pub(crate) fn is_id(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=63).contains(&id.len())
        && id.bytes().all(fits)
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !id.contains("..")
}

/// Whether a name can be the first part of a host name, too.
pub(super) fn is_label(id: &str) -> bool {
    !id.contains(['.', '_']) && !id.ends_with('-')
}

/// Answers an agent that wants to join, and serves its tunnel from then on.
pub(super) fn join(
    relay: &Arc<Relay>,
    id: &str,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Answer {
    if !is_id(id) {
        return text(StatusCode::BAD_REQUEST, "missing parameters");
    }
    if relay.options.domain.is_some() && !is_label(id) {
        let line = "with host names for agents (--domain) a name has letters, digits and `-` only";
        tracing::warn!(agent = id, %peer, "an agent was refused: {line}");
        return text(StatusCode::BAD_REQUEST, line);
    }
    let proof = match relay.admit_agent(id, &request, peer) {
        Ok(proof) => proof,
        Err(refused) => return refused,
    };
    let own = request.headers().get(DIALECT_HEADER).is_some_and(|asked| asked == DIALECT_VERSION);
    let (mut answer, upgraded) = match upgrade::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(answer) => return answer,
    };
    if own {
        let version = HeaderValue::from_static(DIALECT_VERSION);
        answer.headers_mut().insert(DIALECT_HEADER, version);
    }
    let relay = Arc::clone(relay);
    let dialect = if own { Dialect::Own } else { Dialect::Original };
    tokio::spawn(async move { serve(&relay, proof, dialect, upgraded, peer).await });
    answer
}

/// A connection over the WebSocket below an upgraded request; `None` when it came to nothing.
pub(super) async fn connection(upgraded: OnUpgrade, dialect: Dialect) -> Option<Connection> {
    let upgraded = match upgraded.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "a WebSocket did not come about");
            return None;
        }
    };
    let side = Side::Server;
    let machine = yamux::Connection::new(side, multiplexer(dialect)).ok()?;
    let websocket = accept_upgraded(upgrade::io(upgraded), side, WebSocketLimits::default()).await;
    Some(websocket_over(websocket, machine, carrier::Config::default()))
}

async fn serve(
    relay: &Arc<Relay>,
    proof: Proof,
    dialect: Dialect,
    upgraded: OnUpgrade,
    peer: SocketAddr,
) {
    let Some(connection) = connection(upgraded, dialect).await else { return };
    let mut options = TunnelOptions::default();
    options.dialect = dialect;
    options.answer_timeout = relay.options.answer_time();
    let agent = Agent::new(proof, Tunnel::new(connection.clone(), options), peer);
    let told = Arc::clone(&agent);
    tokio::spawn(collect_control(connection, move |document| told.told(&document)));
    let owner = agent.proof.owner.as_deref();
    tracing::info!(agent = agent.id, owner, %peer, ?dialect, "an agent has joined");
    relay.hold(&agent).await;
}
