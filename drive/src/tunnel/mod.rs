//! The agent tunnel: typed streams to an agent behind NAT, over a multiplexed connection.
//!
//! One end opens streams (a [`Tunnel`], kept in a [`Registry`] by the agent's id), the other serves
//! them ([`serve_tunnel`]). The connection is yamux inside a WebSocket; nothing here depends on
//! that. The wire is `docs/protocols/agent-tunnel.md`.

mod agent;
mod allow;
mod control;
mod directory;
mod error;
mod exchange;
mod heads;
mod incoming;
mod local;
mod network;
mod opener;
mod registry;
#[cfg(all(unix, feature = "host"))]
mod shell;
mod splice;
mod terminal;
mod time;
mod typed;

pub use agent::{AgentOptions, serve_tunnel};
pub use allow::{Allowed, Target};
pub use control::collect_control;
pub use directory::{Directory, NoDirectory, Place, Told, Unreachable};
pub use error::TunnelError;
pub use exchange::TunnelBody;
pub use local::LocalService;
pub use network::Network;
#[cfg(unix)]
pub use network::reset_when_closed;
pub use opener::{Call, Tunnel, TunnelOptions, TunnelStats};
pub use registry::Registry;
#[cfg(all(unix, feature = "host"))]
pub use shell::Shell;
pub use splice::Raw;
pub use terminal::{Terminal, TerminalEvent, TerminalReader, TerminalWriter};
