//! What both bindings share of WebSockets: the library's messages as [`MessageIo`](crate::MessageIo), its limits, and
//! the sans-I/O part of dialling.
//!
//! The rules stand in `docs/protocols/agent-tunnel.md` sections 1 and 2: no compression, text
//! refused, messages bounded.

mod dial;
mod error;
mod handshake;
mod messages;
mod tls;

pub use dial::{DialOptions, Target};
pub use error::{DialError, DialFault};
pub use handshake::{Handshake, ResponseHeaders, accept_key};
pub use messages::{Discard, Limits, Messages, Tungstenite, role};
pub use tls::{client_config, server_name};
