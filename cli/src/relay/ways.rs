//! The way to an agent: its own tunnel, or one through the relay that holds it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;
use trunkline_tokio::tunnel::{Place, Tunnel};

use super::Relay;
use super::agents::{Agent, Shown};
use super::body::{Answer, text};
use super::peers::Asker;

/// How often it is looked whether an agent that is waited for has joined another relay.
const LOOK: Duration = Duration::from_millis(200);

/// The way to an agent.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// It has joined here.
    Here(Arc<Agent>),
    /// Another relay holds it.
    There(Tunnel),
}

impl Way {
    /// The tunnel that leads there.
    pub(super) fn tunnel(&self) -> &Tunnel {
        match self {
            Self::Here(agent) => &agent.tunnel,
            Self::There(tunnel) => tunnel,
        }
    }

    /// Notes a call that failed.
    pub(super) fn failed(&self, text: String) {
        match self {
            Self::Here(agent) => agent.failed(text),
            Self::There(_) => tracing::debug!("a call through another relay failed: {text}"),
        }
    }
}

impl Relay {
    /// The way to an agent, wherever it has joined; one that has just left is waited for.
    pub(super) async fn way(&self, id: &str) -> Result<Option<Way>, Answer> {
        if let Some(agent) = self.agents.get(id) {
            return Ok(Some(Way::Here(agent)));
        }
        let until = Instant::now() + self.patience();
        loop {
            let joined = self.agents.joined();
            if let Some(agent) = self.agents.get(id) {
                return Ok(Some(Way::Here(agent)));
            }
            let place = self.directory.find(id).await;
            // What has been joined meanwhile is nearer than any other place.
            if let Some(agent) = self.agents.get(id) {
                return Ok(Some(Way::Here(agent)));
            }
            let over = Instant::now() >= until;
            match place {
                Ok(Some(place)) if Some(&place.url) != self.options.advertise.as_ref() => {
                    match self.peers.tunnel(id, &place, self.asker_of_peers()).await {
                        Ok(tunnel) => return Ok(Some(Way::There(tunnel))),
                        Err(error) if over => return Err(unreachable(&place.relay, &error)),
                        // It may join another relay any moment, or this one.
                        Err(_) => {}
                    }
                }
                // It was here before this process was.
                Ok(Some(_)) if !over => {}
                Ok(None) if !over && self.agents.was_here(id) => {}
                Ok(_) => return Ok(None),
                Err(error) if over || !self.agents.was_here(id) => {
                    return Err(text(StatusCode::SERVICE_UNAVAILABLE, error.to_string()));
                }
                Err(_) => {}
            }
            let next = until.min(Instant::now() + LOOK);
            let _ = tokio::time::timeout_at(next, joined).await;
        }
    }

    /// The name of the agent that a part of a host name means: those have no case, names have.
    pub(super) async fn meant(&self, label: String) -> String {
        if let Some(id) = self.agents.meant(&label) {
            return id;
        }
        if !matches!(self.directory.find(&label).await, Ok(None)) {
            return label;
        }
        let mut elsewhere = self.directory.list().await.into_iter().map(|(id, _)| id);
        elsewhere.find(|id| id.eq_ignore_ascii_case(&label)).unwrap_or(label)
    }

    /// The agents that other relays hold.
    pub(super) async fn elsewhere(&self) -> Vec<Shown> {
        let list = self.directory.list().await.into_iter();
        list.filter(|(id, place)| {
            self.agents.get(id).is_none() && Some(&place.url) != self.options.advertise.as_ref()
        })
        .map(|(id, place)| Shown::elsewhere(id, place))
        .collect()
    }

    /// Serves an agent's tunnel to its end; meanwhile the directory leads others here.
    pub(super) async fn hold(&self, agent: &Arc<Agent>) {
        let place = Place {
            epoch: agent.epoch,
            relay: self.name.clone(),
            url: self.options.advertise.clone().unwrap_or_default(),
            dialect: agent.tunnel.dialect(),
            since_ms: agent.since,
        };
        // What is announced last is what stands, so it is told in the order of storing.
        let tell = || self.directory.announce(&agent.id, place);
        let (generation, told) = self.agents.store(agent, tell);
        // The tokens may have been read again since it was let in, and it was in no list then.
        if !self.gate.stands(&agent.proof) {
            agent.tunnel.abort();
        }
        let announced = async {
            told.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = announced => {}
            () = self.agents.serve(agent, generation) => {}
        }
        self.directory.withdraw(&agent.id, agent.epoch).await;
    }

    /// Ends tunnels of agents that have joined another relay since: they are of no use any more.
    pub(super) async fn let_go(self: Arc<Self>) {
        loop {
            let (id, epoch) = self.directory.taken().await;
            if let Some(agent) = self.agents.get(&id).filter(|agent| agent.epoch == epoch) {
                tracing::info!(agent = id, "the agent has joined another relay");
                agent.tunnel.abort();
            }
        }
    }

    fn asker_of_peers(&self) -> Asker<'_> {
        Asker {
            name: &self.name,
            token: self.gate.peer_token(),
            answer_timeout: self.options.answer_time(),
        }
    }
}

fn unreachable(relay: &str, error: &str) -> Answer {
    tracing::warn!(relay, "a relay that holds an agent cannot be reached: {error}");
    text(StatusCode::BAD_GATEWAY, "the relay that holds this agent cannot be reached")
}
