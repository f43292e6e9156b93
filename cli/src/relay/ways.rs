//! The way to an agent: its own tunnel, or one through the relay that holds it.

use std::sync::Arc;

use trunkline_tokio::tunnel::Tunnel;

use super::Relay;
use super::agents::{Agent, Shown};
use super::body::Answer;

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
    /// The way to an agent; one that has just left is waited for.
    pub(super) async fn way(&self, id: &str) -> Result<Option<Way>, Answer> {
        if let Some(agent) = self.agents.get(id) {
            return Ok(Some(Way::Here(agent)));
        }
        Ok(self.agents.find(id, self.patience()).await.map(Way::Here))
    }

    /// The agents that other relays hold.
    pub(super) async fn elsewhere(&self) -> Vec<Shown> {
        Vec::new()
    }
}
