//! Agent tunnels, inside WebSockets: a local web server behind an agent, terminals, forwards and
//! control streams, in our own dialect and in the original's.

mod breaks;
mod calls;
mod streams;
mod web;

use std::sync::Arc;

use crate::cases::mux::wires::Kind;
use crate::cases::wire::Line;
use crate::rt::tunnel::{AgentOptions, Dialect, Tunnel, TunnelOptions};
use crate::rt::{self, CloseReason, Connection, Task};

/// What the binding itself has of futures beyond those of `drive`, given up here.
pub(crate) const FUTURES: [&str; 1] = ["tunnel.rs read_header"];

const DIALECTS: [Dialect; 2] = [Dialect::Own, Dialect::Original];

/// A tunnel, the agent that serves it, and the link between them.
struct Pair {
    tunnel: Tunnel,
    /// The agent's connection.
    agent: Connection,
    serving: Task<CloseReason>,
    line: Line,
}

/// A tunnel to an agent with these options.
fn pair(dialect: Dialect, options: AgentOptions) -> Pair {
    let (agent, relay, line) = Kind::WebSocket.pair();
    let serving = rt::tunnel::serve_tunnel(agent.clone(), dialect, Arc::new(options));
    let mut settings = TunnelOptions::default();
    settings.dialect = dialect;
    let tunnel = Tunnel::new(relay, settings);
    Pair { tunnel, agent, serving: rt::spawn(serving), line }
}
