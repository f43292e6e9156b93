//! The suite of both bindings, over tokio.
#![cfg(all(unix, feature = "host", feature = "tunnel", feature = "websocket"))]

mod rt;

#[path = "suite/mod.rs"]
mod cases;
