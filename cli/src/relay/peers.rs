//! Tunnels to agents that other relays hold: each leads through a WebSocket to that relay.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use trunkline_tokio::DialOptions;
use trunkline_tokio::tunnel::{Place, Tunnel, TunnelOptions};

use super::tokens::Secret;
use crate::tunnel::reach;

/// Header that says a relay asks, and which: it is led to an agent of that very relay or to none,
/// so that relays that disagree cannot send a request round in circles.
pub(super) const RELAY_HEADER: &str = "trunkline-relay";

/// How long a relay has to answer the handshake.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// A tunnel that nobody has used for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// The tunnels through other relays, by the id of their agent.
#[derive(Debug, Default)]
pub(super) struct Peers(Mutex<BTreeMap<String, Arc<Peer>>>);

#[derive(Debug)]
struct Peer {
    epoch: u64,
    /// Made once; who asks meanwhile waits for it.
    tunnel: OnceCell<Tunnel>,
}

impl Peer {
    /// Whether its tunnel is still to be made, or takes streams.
    fn is_fit(&self) -> bool {
        self.tunnel.get().is_none_or(|tunnel| tunnel.connection().opens())
    }
}

/// How the asking relay shows itself.
#[derive(Debug)]
pub(super) struct Asker<'a> {
    pub(super) name: &'a str,
    pub(super) token: Option<Secret>,
    pub(super) answer_timeout: Option<Duration>,
}

impl Peers {
    /// The tunnel to an agent at this place. The error says in words why there is none; the next
    /// call tries again.
    pub(super) async fn tunnel(
        self: &Arc<Self>,
        id: &str,
        place: &Place,
        asker: Asker<'_>,
    ) -> Result<Tunnel, String> {
        let peer = {
            let mut peers = self.lock();
            match peers.get(id) {
                Some(peer) if peer.epoch == place.epoch && peer.is_fit() => Arc::clone(peer),
                _ => {
                    let peer = Arc::new(Peer { epoch: place.epoch, tunnel: OnceCell::new() });
                    // One that led elsewhere ends once it is idle or its agent is gone from there.
                    peers.insert(id.to_owned(), Arc::clone(&peer));
                    peer
                }
            }
        };
        let tunnel = peer.tunnel.get_or_try_init(|| async {
            let tunnel = dial(id, place, asker).await?;
            tracing::info!(
                agent = id,
                relay = place.relay,
                "an agent is reached through its relay"
            );
            let (peers, id, watched) = (Arc::clone(self), id.to_owned(), Arc::clone(&peer));
            tokio::spawn(watch(peers, id, watched, tunnel.clone()));
            Ok(tunnel)
        });
        let tunnel = tunnel.await.cloned();
        if tunnel.is_err() {
            self.forget(id, &peer);
        }
        tunnel
    }

    fn forget(&self, id: &str, peer: &Arc<Peer>) {
        let mut peers = self.lock();
        if peers.get(id).is_some_and(|known| Arc::ptr_eq(known, peer)) {
            peers.remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Peer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a tunnel that is over, and closes one that is idle.
async fn watch(peers: Arc<Peers>, id: String, peer: Arc<Peer>, tunnel: Tunnel) {
    let mut used = 0;
    loop {
        tokio::select! {
            reason = tunnel.closed() => {
                tracing::debug!(agent = id, %reason, "a way through another relay is over");
                return peers.forget(&id, &peer);
            }
            () = tokio::time::sleep(IDLE) => {}
        }
        let opened = tunnel.stats().opened;
        if opened == used && tunnel.connection().stats().streams == 0 {
            peers.forget(&id, &peer);
            tunnel.close().await;
            return;
        }
        used = opened;
    }
}

async fn dial(id: &str, place: &Place, asker: Asker<'_>) -> Result<Tunnel, String> {
    let mut dial = DialOptions::new(reach::address(&place.url, &format!("/-/open/{id}")))
        .header(RELAY_HEADER, asker.name);
    dial.timeout = HANDSHAKE;
    if let Some(token) = asker.token {
        dial = dial.header("Authorization", format!("Bearer {}", token.expose()));
    }
    let connected = reach::connect(dial).await;
    let (connection, dialect) = connected.map_err(|error| error.to_string())?;
    let mut options = TunnelOptions::default();
    // The other relay agrees to what the agent speaks.
    options.dialect = dialect;
    options.answer_timeout = asker.answer_timeout;
    Ok(Tunnel::new(connection, options))
}
