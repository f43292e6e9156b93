//! Command lines and other relays, which open streams to an agent through this relay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use trunkline_tokio::Connection;
use trunkline_tokio::tunnel::{
    DIALECT_HEADER, DIALECT_VERSION, Dialect, Raw, StreamType, read_header,
};

use super::body::{Answer, text};
use super::gate::Pass;
use super::joins::connection;
use super::peers::RELAY_HEADER;
use super::ways::Way;
use super::{Relay, upgrade};

/// How long the header of a stream may take.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// Answers whoever wants to open streams to an agent, and passes them on from then on.
pub(super) async fn open(
    relay: &Arc<Relay>,
    id: &str,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Answer {
    let is_relay = request.headers().contains_key(RELAY_HEADER);
    let pass = match relay.admit_opener(&request, is_relay, peer) {
        Ok(pass) => pass,
        Err(refused) => return refused,
    };
    let found = match is_relay {
        true => Ok(relay.agents.get(id).map(Way::Here)),
        false => relay.way(id).await,
    };
    let way = match found {
        Ok(Some(way)) => way,
        Ok(None) => {
            return text(StatusCode::NOT_FOUND, format!("no agent named {id:?} has joined"));
        }
        Err(answer) => return answer,
    };
    let (mut answer, upgraded) = match upgrade::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(answer) => return answer,
    };
    let dialect = way.tunnel().dialect();
    if dialect == Dialect::Own {
        let version = HeaderValue::from_static(DIALECT_VERSION);
        answer.headers_mut().insert(DIALECT_HEADER, version);
    }
    tracing::info!(agent = id, %peer, "streams are opened from outside");
    let (relay, id) = (Arc::clone(relay), id.to_owned());
    tokio::spawn(async move {
        let Some(connection) = connection(upgraded, dialect).await else { return };
        let over = async {
            match is_relay {
                // The other relay looks for the agent anew once this one has lost it.
                true => drop(way.tunnel().closed().await),
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            () = pass_on(&relay, &id, &connection, dialect, &pass) => {}
            () = over => drop(connection.close().await),
            () = relay.let_go_of(&pass) => {
                tracing::info!(agent = id, %peer, "what let somebody in holds no more");
                connection.abort();
            }
        }
    });
    answer
}

/// Each stream that is opened here is opened there, and the two are joined, for as long as what let
/// the opener in holds.
async fn pass_on(
    relay: &Arc<Relay>,
    id: &str,
    connection: &Connection,
    dialect: Dialect,
    pass: &Pass,
) {
    while let Ok(mut raw) = Raw::accept(connection).await {
        let (relay, id, pass) = (Arc::clone(relay), id.to_owned(), pass.clone());
        tokio::spawn(async move {
            let Ok(header) = read_header(&mut raw, HEADER_TIME).await else { return raw.reset() };
            let fits = match header.kind {
                StreamType::HTTP => true,
                // Its messages are frames, which are kept apart towards originals only.
                StreamType::TERMINAL => dialect == Dialect::Original,
                StreamType::OWN_HTTP | StreamType::OWN_TERMINAL | StreamType::OWN_FORWARD => {
                    dialect == Dialect::Own
                }
                _ => false,
            };
            let allowed = fits && relay.gate.holds(&pass);
            let way = if allowed { relay.way(&id).await.ok().flatten() } else { None };
            let Some(way) = way.filter(|way| way.tunnel().dialect() == dialect) else {
                return raw.reset();
            };
            match way.tunnel().open(header.kind, &header.metadata).await {
                Ok(there) if header.kind == StreamType::TERMINAL => {
                    let _ = raw.join_frames(there).await;
                }
                Ok(there) => {
                    let _ = raw.join(there).await;
                }
                Err(error) => {
                    way.failed(error.to_string());
                    raw.reset();
                }
            }
        });
    }
}
