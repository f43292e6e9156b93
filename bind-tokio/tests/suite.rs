//! The suite of both bindings, over tokio.
#![cfg(all(unix, feature = "host"))]

mod rt;

#[path = "suite/mod.rs"]
mod cases;
