//! The agent tunnel: typed streams over yamux over WebSocket, by which people reach an agent behind
//! NAT.
//!
//! The rules stand in `docs/protocols/agent-tunnel.md`; section numbers in this module's comments
//! are that page's. The multiplexer below is [`yamux`](crate::yamux) with
//! [`Config::agent_tunnel`](crate::yamux::Config::agent_tunnel); what is here speaks on its streams.

mod backoff;
mod class;
mod control;
mod header;
pub mod http;
mod info;
mod json;
mod meta;
mod own;
mod quote;
mod table;
pub mod terminal;

pub use backoff::Backoff;
pub use control::{CollectError, ControlCollector, MAX_CONTROL};
pub use header::{Header, HeaderDecoder, HeaderError, MAX_METADATA, StreamType, encode_header};
pub use info::AgentInfo;
pub use meta::{Headers, MAX_HEADERS, MetaError, RequestMeta, ResponseMeta};
pub use own::{
    DIALECT_HEADER, DIALECT_VERSION, OwnForward, OwnForwardAnswer, OwnRequest, OwnResponse,
    OwnTerminal,
};
pub use quote::quote;
pub use table::{Generation, Table};

/// How one direction of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// In order, with a FIN: everything came.
    Finished,
    /// By force, with an RST: what came is not all.
    Reset,
    /// With the tunnel: what came is not all.
    Lost,
}
