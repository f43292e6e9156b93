//! The agent tunnel, over tokio: reach an agent behind NAT, or be one.
//!
//! A [`Tunnel`] over a connection that an agent made opens HTTP calls, terminals and forwards to
//! it; [`serve_tunnel`] serves them on the agent's side. The guide is `docs/behind-nat.md`, the wire
//! `docs/protocols/agent-tunnel.md`.

use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use trunkline_drive::tunnel;

pub use trunkline_core::tunnel::http::{Config as HttpConfig, Dialect, Fault, Misuse};
pub use trunkline_core::tunnel::{
    AgentInfo, Backoff, DIALECT_HEADER, DIALECT_VERSION, Generation, Header, OwnForward,
    OwnTerminal, StreamType,
};
#[cfg(all(unix, feature = "host"))]
pub use trunkline_drive::tunnel::Shell;
pub use trunkline_drive::tunnel::{
    Allowed, Directory, Network, NoDirectory, Place, Raw, Target, Terminal, TerminalEvent,
    TerminalReader, TerminalWriter, Told, TunnelBody, TunnelError, TunnelOptions, TunnelStats,
    Unreachable, collect_control, serve_tunnel,
};

use crate::exec::Tokio;

/// A tunnel to an agent, from the end that opens streams in it.
///
/// See [`trunkline_drive::tunnel::Tunnel`] for its methods, their errors and limits.
pub type Tunnel = tunnel::Tunnel<Tokio>;

/// An HTTP call that was begun and not sent; see [`trunkline_drive::tunnel::Call`].
pub type Call = tunnel::Call<Tokio>;

/// The tunnels of a process, by the id of their agent; see [`trunkline_drive::tunnel::Registry`].
pub type Registry = tunnel::Registry<Tokio>;

/// What an agent serves, and how; see [`trunkline_drive::tunnel::AgentOptions`].
pub type AgentOptions = tunnel::AgentOptions<Tokio>;

/// A local web server that calls lead to; see [`trunkline_drive::tunnel::LocalService`].
pub type LocalService = tunnel::LocalService<Tokio>;

/// Reads the header of a stream that the other end opened; see
/// [`trunkline_drive::tunnel::Raw::header`]. Cancel safe.
///
/// # Errors
///
/// When it is not whole within the time, is none, or the stream ends badly.
pub async fn read_header(raw: &mut Raw, limit: Duration) -> io::Result<Header> {
    raw.header::<Tokio>(limit).await
}

impl Network for Tokio {
    type Socket = TokioIo<TcpStream>;

    async fn connect(host: &str, port: u16) -> io::Result<Self::Socket> {
        let socket = TcpStream::connect((host, port)).await?;
        // Small answers must not wait for acknowledgements.
        let _ = socket.set_nodelay(true);
        Ok(TokioIo::new(socket))
    }

    fn break_off(socket: &Self::Socket) {
        let _ = socket.inner().set_zero_linger();
    }
}
