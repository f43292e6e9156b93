//! Run commands on a remote agent, from smol.
//!
//! [`Agent`] says how to reach an agent: through any command line whose stdin and stdout lead to
//! one. [`Agent::exec`] runs a command there and gives an [`Exec`], whose streams implement
//! [`AsyncRead`](futures_io::AsyncRead) and [`AsyncWrite`](futures_io::AsyncWrite). Over a transport
//! of your own, use [`exec_over`] and [`paths_over`]; to be the agent, [`serve`] and
//! [`serve_stdio`].
//!
//! The crate `trunkline-tokio` has the same names for tokio: changing the crate's name changes the
//! runtime.
//!
//! ```no_run
//! use trunkline_smol::{Agent, ExecRequest};
//!
//! # async fn example() -> std::io::Result<()> {
//! let request = ExecRequest { path: "uname".into(), argv: Some(vec!["uname".into(), "-a".into()]), ..Default::default() };
//! let output = Agent::via("ssh host trunkline agent").exec(request)?.output().await?;
//! println!("{} {}", String::from_utf8_lossy(&output.stdout), output.status);
//! # Ok(()) }
//! ```
//!
//! # Multiplexers
//!
//! [`connection_over`] runs many streams over one transport, by the wire of the machine it is given:
//! [`yamux`], [`smux`] or [`wormhole`]. A [`Connection`] opens and accepts [`Stream`]s, a [`Pool`]
//! keeps many connections as one.
//!
//! ```no_run
//! use trunkline_smol::{Side, connection_over, yamux};
//!
//! # async fn example(transport: smol::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
//! let machine = yamux::Connection::new(Side::Client, yamux::Config::default())?; // the wire
//! let connection = connection_over(transport, machine);
//! let mut stream = connection.open().await?;
//! stream.write_bytes(&mut "hello".into()).await?;
//! stream.finish();
//! while let Some(bytes) = stream.read_chunk().await? {
//!     println!("{} bytes", bytes.len());
//! }
//! connection.close().await;
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod exec;
mod files;
mod io;
mod mux;
mod pool;
mod streams;
#[cfg(feature = "tunnel")]
pub mod tunnel;
#[cfg(feature = "websocket")]
mod websocket;

#[cfg(all(unix, feature = "host"))]
mod agent;

pub use exec::{Exec, exec_over, paths_over};
pub use files::{File, Files, copy_from, copy_to, files_over};
pub use io::{TimerSleep, TransportIo};
pub use mux::{Connection, Incoming, ReadHalf, Stream, WriteHalf, connection_over};
pub use pool::Pool;
pub use streams::{Duplex, Reader, Writer};
pub use trunkline_core::agentproto::{
    AgentConfig, Config, DirEntry, ExecRequest, FileOp, FileRequest, FileResponse, PathEntry,
    PathQuery, Redaction, Stat, Statfs, Stats,
};
pub use trunkline_core::mux::{
    Abilities, LocalEnd, MuxStats, OpenRefusal, Side, StreamEnd, StreamStats,
};
pub use trunkline_core::pool::{PoolConfig, PoolPolicy, PoolStats};
pub use trunkline_core::{CloseReason, ExitStatus, Limits, smux, wormhole, yamux};
pub use trunkline_drive::mux::MuxError;
pub use trunkline_drive::pool::{PoolError, Pooled};
pub use trunkline_drive::{
    ExecOptions, FileError, FileFault, FlagNumbers, OpenOptions, Output, ReadDir, Recording,
    RecordingOptions, SessionError,
};

#[cfg(all(unix, feature = "host"))]
pub use agent::{Agent, serve, serve_stdio};
#[cfg(unix)]
pub use io::{FdIo, FdReady};
#[cfg(feature = "websocket")]
pub use trunkline_core::{CloseFrame, Message, carrier};
#[cfg(feature = "websocket")]
pub use trunkline_drive::websocket::{
    DialError, DialFault, DialOptions, Limits as WebSocketLimits, ResponseHeaders, accept_key,
};
#[cfg(all(unix, feature = "host"))]
pub use trunkline_drive::{
    BadNames, Commands, FilePolicy, ServeOptions, TransferError, TransferEvent, TransferOptions,
    TransferProgress, TransferSummary,
};
#[cfg(feature = "websocket")]
pub use websocket::{
    DialStream, WebSocketStream, accept_upgraded, dial, messages_over, websocket_over,
};
