//! The suite of both bindings, over smol.
#![cfg(all(unix, feature = "host", feature = "tunnel", feature = "websocket"))]

mod rt;

#[path = "../../bind-tokio/tests/suite/mod.rs"]
mod cases;
